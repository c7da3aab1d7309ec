//! A login that has come to its end on the target's side and waits for its session.

use super::opened::Opened;
use super::refusal::RefusalReason;
use crate::isid::Isid;
use crate::name::IscsiName;
use crate::params::{SessionParameters, SessionType};
use crate::pdu::{Cid, LoginResponse, LoginStatus, Tsih};
use bytes::Bytes;

/// Who has logged in, where to, and how the session is named (RFC 7143 §4.4.3, §6.3.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginIdentity {
    /// InitiatorName.
    pub initiator_name: IscsiName,
    /// InitiatorAlias.
    pub initiator_alias: Option<String>,
    /// TargetName; `None` in a discovery session.
    pub target_name: Option<IscsiName>,
    /// SessionType.
    pub session_type: SessionType,
    /// The initiator's half of the session identifier.
    pub isid: Isid,
    /// 0: a new session, which takes the place of a former one with the same initiator, ISID and portal group.
    /// Otherwise the session that the connection wants to be in.
    pub tsih: Tsih,
    /// The connection's number.
    pub cid: Cid,
    /// The CHAP name that was proved.
    pub chap_user: Option<String>,
}

/// A login of which all is negotiated. The caller finds its session and lets it in or not.
#[derive(Debug)]
pub struct ReadyLogin {
    /// Who comes in.
    pub identity: LoginIdentity,
    response: LoginResponse,
    session: SessionParameters,
}

impl ReadyLogin {
    pub(super) fn new(
        opened: Opened,
        response: LoginResponse,
        target_portal_group_tag: u16,
    ) -> Result<Self, RefusalReason> {
        let identity = opened.identity;
        let session = SessionParameters {
            parameters: opened.negotiation.finish()?,
            session_type: identity.session_type,
            tsih: identity.tsih,
            target_portal_group_tag: identity.target_name.is_some().then_some(target_portal_group_tag),
            target_alias: opened.target_alias,
            cmd_sn: response.exp_cmd_sn,
            max_cmd_sn: response.max_cmd_sn,
            exp_stat_sn: response.stat_sn.next(),
        };
        Ok(Self {
            identity,
            response,
            session,
        })
    }

    /// Lets the initiator in: the last response, after which full feature phase begins. `tsih` is the session's, which
    /// is never 0.
    #[must_use]
    pub fn accept(self, tsih: Tsih) -> (LoginResponse, SessionParameters) {
        (
            LoginResponse {
                tsih,
                ..self.response
            },
            SessionParameters { tsih, ..self.session },
        )
    }

    /// Turns the initiator away: send the response and close the connection. For a session that does not exist, a
    /// connection too many, a target that has no room.
    #[must_use]
    pub fn refuse(self, status: LoginStatus) -> LoginResponse {
        LoginResponse {
            status,
            transit_to: None,
            data: Bytes::new(),
            ..self.response
        }
    }
}
