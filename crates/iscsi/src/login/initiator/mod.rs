//! The initiator's side of a login (RFC 7143 §6.3).

mod config;
mod security;

pub use config::{InitiatorLoginConfig, InitiatorStep, LoginWarning};

use super::error::{LoginError, ProtocolError};
use super::list::{Inbox, KeyList, Outbox, is_value, take_one};
use super::{MAX_EXCHANGES, SessionParameters, SessionType};
use crate::chap::ChapCredentials;
use crate::isid::Isid;
use crate::params::{Negotiation, Role, parse_number};
use crate::pdu::{InitiatorTaskTag, LoginRequest, LoginResponse, LoginStatus, Stage, Tsih};
use crate::serial::SerialNumber32;
use security::Security;

/// The tag of all login requests: nothing else is under way on the connection.
const TASK_TAG: InitiatorTaskTag = InitiatorTaskTag(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    NotStarted,
    UnderWay(Stage),
    Over,
}

/// The machine of one login: [`start`](Self::start) once, then [`handle`](Self::handle) with each response, until it
/// gives anything but [`InitiatorStep::Send`]. [`warnings`](Self::warnings) are complete then.
#[derive(Debug)]
pub struct InitiatorLogin {
    config: InitiatorLoginConfig,
    phase: Phase,
    security: Security,
    negotiation: Negotiation,
    inbox: Inbox,
    outbox: Outbox,
    /// The transition that the list under way asks for in its last PDU.
    wanted: Option<Stage>,
    /// The transition that the last request asked for.
    asked: Option<Stage>,
    exp_stat_sn: SerialNumber32,
    exchanges: u32,
    target_portal_group_tag: Option<u16>,
    target_alias: Option<String>,
    warnings: Vec<LoginWarning>,
}

impl InitiatorLogin {
    /// A login that has not begun. `challenge` is 32 fresh random bytes, with which the target is challenged in
    /// mutual CHAP.
    ///
    /// # Errors
    /// [`LoginError::MutualWithoutChap`] and [`LoginError::Credentials`] for credentials that do not fit together,
    /// [`LoginError::Alias`].
    pub fn new(config: InitiatorLoginConfig, challenge: [u8; 32]) -> Result<Self, LoginError> {
        match (&config.chap, &config.mutual) {
            (None, Some(_)) => return Err(LoginError::MutualWithoutChap),
            (Some(chap), Some(mutual)) => chap.differ_from(mutual)?,
            _ => {}
        }
        if !config.initiator_alias.as_deref().is_none_or(is_value) {
            return Err(LoginError::Alias);
        }
        let secrets = [&config.chap, &config.mutual];
        let warnings = secrets
            .into_iter()
            .flatten()
            .filter_map(ChapCredentials::warning)
            .map(LoginWarning::Secret)
            .collect();
        Ok(Self {
            security: Security::new(challenge),
            negotiation: Negotiation::new(Role::Initiator, config.session_type(), config.offers.clone()),
            phase: Phase::NotStarted,
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            wanted: None,
            asked: None,
            exp_stat_sn: SerialNumber32(0),
            exchanges: 0,
            target_portal_group_tag: None,
            target_alias: None,
            warnings,
            config,
        })
    }

    /// The first request; call it once.
    pub fn start(&mut self) -> LoginRequest {
        self.phase = Phase::UnderWay(Stage::SecurityNegotiation);
        let mut list = vec![("InitiatorName".to_owned(), self.config.initiator_name.to_string())];
        if let Some(alias) = &self.config.initiator_alias {
            list.push(("InitiatorAlias".to_owned(), alias.clone()));
        }
        if let Some(target) = &self.config.target_name {
            list.push(("TargetName".to_owned(), target.to_string()));
        }
        list.push((
            "SessionType".to_owned(),
            self.config.session_type().name().to_owned(),
        ));
        let (method, transit_to) = self.security.open(&self.config);
        list.push(("AuthMethod".to_owned(), method.to_owned()));
        self.send(Stage::SecurityNegotiation, &list, transit_to)
    }

    /// Takes a response.
    ///
    /// # Errors
    /// [`LoginError`]: the login is over and the connection is to be closed.
    pub fn handle(&mut self, response: LoginResponse) -> Result<InitiatorStep, LoginError> {
        let Phase::UnderWay(stage) = self.phase else {
            return Err(ProtocolError::NotUnderWay.into());
        };
        // Whatever goes wrong from here on ends the login.
        self.phase = Phase::Over;
        self.check_header(&response)?;
        if !response.status.is_success() {
            return self.handle_failure(&response);
        }
        self.check_stage(stage, &response)?;
        self.exp_stat_sn = response.stat_sn.next();
        if !self.outbox.is_empty() {
            if !response.data.is_empty() || response.continue_bit {
                return Err(ProtocolError::DataBeforeEndOfList.into());
            }
            return Ok(InitiatorStep::Send(self.send_part(stage)));
        }
        let Some(list) = self.inbox.take(&response.data, response.continue_bit)? else {
            return Ok(InitiatorStep::Send(self.send(stage, &[], None)));
        };
        self.handle_list(stage, list, &response)
    }

    /// What the user should know, also when the login failed.
    #[must_use]
    pub fn warnings(&self) -> &[LoginWarning] {
        &self.warnings
    }

    fn handle_list(
        &mut self,
        stage: Stage,
        mut list: KeyList,
        response: &LoginResponse,
    ) -> Result<InitiatorStep, LoginError> {
        self.take_declarations(&mut list)?;
        let next = response.transit_to;
        let (answers, wanted) = match stage {
            Stage::SecurityNegotiation => {
                let declared = take_one(&mut list, "MaxRecvDataSegmentLength")?;
                self.negotiation.receive(
                    declared
                        .iter()
                        .map(|value| ("MaxRecvDataSegmentLength", &value[..])),
                )?;
                self.security.handle(&self.config, list, &mut self.warnings)?
            }
            _ => {
                let pairs = list.iter().map(|(key, value)| (&key[..], &value[..]));
                (self.negotiation.receive(pairs)?, Some(Stage::FullFeaturePhase))
            }
        };
        match next {
            None => Ok(InitiatorStep::Send(self.send(stage, &answers, wanted))),
            Some(Stage::FullFeaturePhase) => self.finish(&answers, response).map(InitiatorStep::Done),
            Some(next) => {
                self.security.leave();
                let offers = self.negotiation.offer_all();
                let request = self.send(next, &offers, Some(Stage::FullFeaturePhase));
                Ok(InitiatorStep::Send(request))
            }
        }
    }

    /// Takes the keys that a target may declare in any stage (§13.6, §13.8, §13.9).
    fn take_declarations(&mut self, list: &mut KeyList) -> Result<(), ProtocolError> {
        if let Some(tag) = take_one(list, "TargetPortalGroupTag")? {
            let value = parse_number(&tag)
                .and_then(|tag| u16::try_from(tag).ok())
                .ok_or_else(|| super::list::bad_value("TargetPortalGroupTag", &tag))?;
            // Some tell it again in the next stage.
            if *self.target_portal_group_tag.get_or_insert(value) != value {
                return Err(ProtocolError::RepeatedKey {
                    key: "TargetPortalGroupTag".to_owned(),
                });
            }
        }
        if let Some(alias) = take_one(list, "TargetAlias")? {
            self.target_alias = Some(alias);
        }
        // Of use in a redirect alone.
        list.retain(|(key, _)| key != "TargetAddress");
        Ok(())
    }

    fn finish(
        &mut self,
        answers: &[(String, String)],
        response: &LoginResponse,
    ) -> Result<SessionParameters, LoginError> {
        // A target that offers something and does not wait for the answer. What we do not understand needs none.
        if let Some((key, _)) = answers.iter().find(|(_, answer)| answer != "NotUnderstood") {
            return Err(ProtocolError::UnexpectedKey { key: key.clone() }.into());
        }
        let received = response.tsih;
        let is_legal = match self.config.tsih {
            Tsih(0) => received != Tsih(0) || self.config.session_type() == SessionType::Discovery,
            asked => received == asked,
        };
        if !is_legal {
            return Err(field("TSIH", self.config.tsih.0.into(), received.0.into()).into());
        }
        // §4.2.2.1: a window that ends before its beginning is ignored.
        let smallest = response.exp_cmd_sn.retreat(1);
        let max_cmd_sn = if response.max_cmd_sn.is_before(smallest) {
            smallest
        } else {
            response.max_cmd_sn
        };
        Ok(SessionParameters {
            parameters: self.negotiation.clone().finish()?,
            session_type: self.config.session_type(),
            tsih: received,
            target_portal_group_tag: self.target_portal_group_tag,
            target_alias: self.target_alias.take(),
            cmd_sn: self.config.cmd_sn,
            max_cmd_sn,
            exp_stat_sn: self.exp_stat_sn,
        })
    }

    fn handle_failure(&mut self, response: &LoginResponse) -> Result<InitiatorStep, LoginError> {
        let status = response.status;
        if status.is_redirection() {
            let list = self.inbox.take(&response.data, false)?.unwrap_or_default();
            // Some targets give several; the first is as good as any.
            let address = list
                .into_iter()
                .find(|(key, value)| key == "TargetAddress" && !value.is_empty())
                .ok_or(LoginError::RedirectWithoutAddress { status })?;
            return Ok(InitiatorStep::Redirect {
                address: address.1,
                permanent: status == LoginStatus::TARGET_MOVED_PERMANENTLY,
            });
        }
        Err(self.security.refused(&self.config, status))
    }

    fn check_header(&mut self, response: &LoginResponse) -> Result<(), ProtocolError> {
        self.exchanges += 1;
        if self.exchanges > MAX_EXCHANGES {
            return Err(ProtocolError::TooManyExchanges);
        }
        let (ours, theirs) = (TASK_TAG, response.initiator_task_tag);
        if ours != theirs {
            return Err(field("Initiator Task Tag", ours.0.into(), theirs.0.into()));
        }
        if !response.status.is_success() {
            // What else a refusal holds means nothing.
            return Ok(());
        }
        if response.isid != self.config.isid {
            let number = |isid: Isid| isid.0.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            return Err(field("ISID", number(self.config.isid), number(response.isid)));
        }
        if response.version_active != 0 {
            return Err(field("Version-active", 0, response.version_active.into()));
        }
        Ok(())
    }

    fn check_stage(&self, stage: Stage, response: &LoginResponse) -> Result<(), ProtocolError> {
        if response.current_stage != stage {
            return Err(ProtocolError::Stage {
                expected: stage,
                received: response.current_stage,
            });
        }
        match (self.asked, response.transit_to) {
            (_, None) => Ok(()),
            (Some(asked), Some(received)) if received.code() <= asked.code() => Ok(()),
            (_, Some(received)) => Err(ProtocolError::Transition { received }),
        }
    }

    fn send(&mut self, stage: Stage, list: &[(String, String)], transit_to: Option<Stage>) -> LoginRequest {
        self.outbox.put(list);
        self.wanted = transit_to;
        self.send_part(stage)
    }

    fn send_part(&mut self, stage: Stage) -> LoginRequest {
        let (data, continue_bit) = self.outbox.next();
        self.asked = if continue_bit { None } else { self.wanted };
        self.phase = Phase::UnderWay(stage);
        LoginRequest {
            continue_bit,
            current_stage: stage,
            transit_to: self.asked,
            version_max: 0,
            version_min: 0,
            isid: self.config.isid,
            tsih: self.config.tsih,
            initiator_task_tag: TASK_TAG,
            cid: self.config.cid,
            cmd_sn: self.config.cmd_sn,
            exp_stat_sn: self.exp_stat_sn,
            data,
        }
    }
}

fn field(field: &'static str, expected: u64, received: u64) -> ProtocolError {
    ProtocolError::Field {
        field,
        expected,
        received,
    }
}
