//! Keys in a Text Request or Response of full feature phase (RFC 7143 §6.4, §11.10).

use super::error::NegotiationError;
use super::key::Key;
use super::negotiation::parse_segment_length;
use super::outcome::Parameters;
use super::value::is_refusal;

/// Takes the keys of a text exchange after login and gives the answers to send.
///
/// Only `MaxRecvDataSegmentLength` may change then: its new value goes into
/// [`max_send_data_segment_length`](Parameters::max_send_data_segment_length). The aliases are informational and need
/// no answer. Other keys of login are refused with `Reject`, unknown ones with `NotUnderstood`. `SendTargets` and what
/// answers it is the caller's, which takes it out of the list first.
///
/// # Errors
/// [`NegotiationError::BadDeclaration`], or [`NegotiationError::Repeated`] if the length is declared twice in one
/// exchange. `parameters` is unchanged then.
pub fn respond_in_full_feature<'a>(
    parameters: &mut Parameters,
    list: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Vec<(String, String)>, NegotiationError> {
    let mut declared = None;
    let mut answers = Vec::new();
    for (name, value) in list {
        if name == Key::MaxRecvDataSegmentLength.name() {
            if declared.replace(parse_segment_length(value)?).is_some() {
                return Err(NegotiationError::Repeated {
                    key: Key::MaxRecvDataSegmentLength.name(),
                });
            }
        } else if !is_refusal(value) && !matches!(name, "InitiatorAlias" | "TargetAlias") {
            let answer = if is_login_key(name) {
                "Reject"
            } else {
                "NotUnderstood"
            };
            answers.push((name.to_owned(), answer.to_owned()));
        }
    }
    if let Some(len) = declared {
        parameters.max_send_data_segment_length = len;
    }
    Ok(answers)
}

fn is_login_key(name: &str) -> bool {
    Key::from_name(name).is_some()
        || matches!(
            name,
            "AuthMethod"
                | "SessionType"
                | "InitiatorName"
                | "TargetName"
                | "TargetAddress"
                | "TargetPortalGroupTag"
        )
}
