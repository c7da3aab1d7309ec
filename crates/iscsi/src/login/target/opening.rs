//! The first key list of a login: who comes, where it wants to go, whether it may (RFC 7143 §6.3.1).

use super::super::error::ProtocolError;
use super::super::list::{KeyList, bad_value, is_value, take_one};
use super::TargetLoginConfig;
use super::authority::{Access, AccessRequest, Authority, Grant};
use super::opened::Opened;
use super::ready::LoginIdentity;
use super::refusal::RefusalReason;
use super::security::Security;
use crate::name::IscsiName;
use crate::params::{Negotiation, Role, SessionType};
use crate::pdu::LoginRequest;

/// The keys that stand in the first list only.
const NAMES: [&str; 3] = ["InitiatorName", "TargetName", "SessionType"];

/// Takes the names out of the list and asks the authority.
pub(super) fn open(
    config: &TargetLoginConfig,
    request: &LoginRequest,
    list: &mut KeyList,
    authority: &dyn Authority,
) -> Result<Opened, RefusalReason> {
    let initiator_name =
        take_one(list, "InitiatorName")?.ok_or(ProtocolError::MissingKey { key: "InitiatorName" })?;
    let initiator_name: IscsiName = initiator_name
        .parse()
        .map_err(|_| bad_value("InitiatorName", &initiator_name))?;
    let session_type = match take_one(list, "SessionType")?.as_deref() {
        None | Some("Normal") => SessionType::Normal,
        Some("Discovery") => SessionType::Discovery,
        Some(other) => {
            return Err(RefusalReason::SessionType {
                value: other.chars().take(64).collect(),
            });
        }
    };
    let target_name = take_one(list, "TargetName")?;
    let target_name: Option<IscsiName> = match (session_type, target_name) {
        // A name in a discovery session would only narrow what is told; nothing asks for that.
        (SessionType::Discovery, _) => None,
        (SessionType::Normal, Some(name)) => Some(name.parse().map_err(|_| RefusalReason::TargetName)?),
        (SessionType::Normal, None) => {
            return Err(ProtocolError::MissingKey { key: "TargetName" }.into());
        }
    };
    let grant = match authority.admit(&AccessRequest {
        initiator_name: &initiator_name,
        target_name: target_name.as_ref(),
    }) {
        Access::Granted(Grant {
            target_alias: Some(alias),
            ..
        }) if !is_value(&alias) => return Err(RefusalReason::BadAnswer("alias")),
        Access::Granted(grant) => grant,
        Access::Moved { address, .. } if !is_value(&address) => {
            return Err(RefusalReason::BadAnswer("address"));
        }
        Access::Moved { address, permanent } => {
            return Err(RefusalReason::Moved { address, permanent });
        }
        Access::Refused(refusal) => return Err(refusal.into()),
    };
    Ok(Opened {
        security: Security::new(grant.authentication, config.algorithms.clone(), config.challenge),
        negotiation: Negotiation::new(Role::Target, session_type, config.offers.clone()),
        target_alias: grant.target_alias,
        identity: LoginIdentity {
            initiator_name,
            initiator_alias: None,
            target_name,
            session_type,
            isid: request.isid,
            tsih: request.tsih,
            cid: request.cid,
            chap_user: None,
        },
    })
}

/// Refuses the keys of the first list in a later one, and what belongs to full feature phase.
pub(super) fn refuse_names(list: &KeyList) -> Result<(), ProtocolError> {
    for (key, _) in list {
        if NAMES.contains(&&key[..]) {
            return Err(ProtocolError::RepeatedKey { key: key.clone() });
        }
        if key == "SendTargets" {
            return Err(ProtocolError::UnexpectedKey { key: key.clone() });
        }
    }
    Ok(())
}
