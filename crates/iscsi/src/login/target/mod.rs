//! The target's side of a login (RFC 7143 §6.3).

mod authority;
mod opened;
mod opening;
mod ready;
mod refusal;
mod security;

pub use authority::{Access, AccessRefusal, AccessRequest, Authentication, Authority, Grant};
pub use ready::{LoginIdentity, ReadyLogin};
pub use refusal::{LoginRefusal, RefusalReason};

use super::MAX_EXCHANGES;
use super::error::ProtocolError;
use super::list::{Inbox, KeyList, Outbox, encode, take_one};
use crate::chap::Algorithms;
use crate::params::Offers;
use crate::pdu::{LoginRequest, LoginResponse, LoginStatus, Stage, Tsih};
use crate::serial::SerialNumber32;
use bytes::Bytes;
use opened::{Opened, Reply};

/// What a target logs initiators in with.
#[derive(Clone, Debug)]
pub struct TargetLoginConfig {
    /// The portal group that the connection came in by.
    pub target_portal_group_tag: u16,
    /// The limits within which the target agrees.
    pub offers: Offers,
    /// The CHAP algorithms that are accepted.
    pub algorithms: Algorithms,
    /// 32 fresh random bytes, with which the initiator is challenged.
    pub challenge: [u8; 32],
    /// StatSN of the first response; any number will do.
    pub stat_sn: SerialNumber32,
    /// How many commands the target takes ahead: MaxCmdSN is this far after the last CmdSN that it has.
    pub command_window: u32,
}

/// What to do next.
#[derive(Debug)]
pub enum TargetStep {
    /// Send this response and wait for the next request.
    Send(LoginResponse),
    /// The initiator may come in: find or make its session, then [`accept`](ReadyLogin::accept) it, or
    /// [`refuse`](ReadyLogin::refuse) it. Nothing is sent before.
    Ready(Box<ReadyLogin>),
}

/// The machine of one login: [`handle`](Self::handle) with each request, until it gives [`TargetStep::Ready`] or a
/// [`LoginRefusal`].
#[derive(Debug)]
pub struct TargetLogin {
    config: TargetLoginConfig,
    stage: Option<Stage>,
    is_over: bool,
    /// The first request, whose tag and names all others repeat. Its data is not kept.
    first: Option<LoginRequest>,
    /// What the first complete list has opened.
    opened: Option<Opened>,
    inbox: Inbox,
    outbox: Outbox,
    stat_sn: SerialNumber32,
    exchanges: u32,
}

impl TargetLogin {
    /// A login of which nothing has arrived.
    #[must_use]
    pub fn new(config: TargetLoginConfig) -> Self {
        Self {
            stat_sn: config.stat_sn,
            config,
            stage: None,
            is_over: false,
            first: None,
            opened: None,
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            exchanges: 0,
        }
    }

    /// Takes a request. `authority` is asked when the initiator has named itself and the target.
    ///
    /// # Errors
    /// [`LoginRefusal`]: send its response and close the connection.
    pub fn handle(
        &mut self,
        request: LoginRequest,
        authority: &dyn Authority,
    ) -> Result<TargetStep, Box<LoginRefusal>> {
        self.advance(&request, authority).map_err(|reason| {
            self.is_over = true;
            Box::new(self.refusal(&request, reason))
        })
    }

    fn advance(
        &mut self,
        request: &LoginRequest,
        authority: &dyn Authority,
    ) -> Result<TargetStep, RefusalReason> {
        self.check(request)?;
        let stage = request.current_stage;
        if !self.outbox.is_empty() {
            if !request.data.is_empty() || request.continue_bit {
                return Err(ProtocolError::DataBeforeEndOfList.into());
            }
            return Ok(TargetStep::Send(self.send_part(request, None)));
        }
        let Some(list) = self.inbox.take(&request.data, request.continue_bit)? else {
            return Ok(TargetStep::Send(self.send_part(request, None)));
        };
        let (answers, next) = self.handle_list(request, list, authority)?;
        self.outbox.put(&answers);
        // A list that takes several PDUs does not end its stage; the initiator asks again.
        let next = next.filter(|_| self.outbox.fits_one_part());
        self.stage = Some(next.unwrap_or(stage));
        let response = self.send_part(request, next);
        if next != Some(Stage::FullFeaturePhase) {
            return Ok(TargetStep::Send(response));
        }
        self.is_over = true;
        match self.opened.take() {
            Some(opened) => Ok(TargetStep::Ready(Box::new(ReadyLogin::new(
                opened,
                response,
                self.config.target_portal_group_tag,
            )?))),
            None => Err(ProtocolError::NotUnderWay.into()),
        }
    }

    /// Takes a complete list: our answers, and the stage that we agree to go to.
    fn handle_list(
        &mut self,
        request: &LoginRequest,
        mut list: KeyList,
        authority: &dyn Authority,
    ) -> Result<Reply, RefusalReason> {
        let mut announced = KeyList::new();
        let opened = match &mut self.opened {
            Some(opened) => opened,
            closed => {
                let opened = opening::open(&self.config, request, &mut list, authority)?;
                announced = opened.announcements(self.config.target_portal_group_tag);
                closed.insert(opened)
            }
        };
        opening::refuse_names(&list)?;
        if let Some(alias) = take_one(&mut list, "InitiatorAlias")? {
            opened.identity.initiator_alias = Some(alias);
        }
        let wanted = request.transit_to;
        let (mut answers, next) = match request.current_stage {
            Stage::SecurityNegotiation => opened.secure(list, wanted)?,
            _ => opened.negotiate(&list, wanted)?,
        };
        answers.extend(announced);
        Ok((answers, next))
    }

    fn check(&mut self, request: &LoginRequest) -> Result<(), RefusalReason> {
        if self.is_over {
            return Err(ProtocolError::NotUnderWay.into());
        }
        self.exchanges += 1;
        if self.exchanges > MAX_EXCHANGES {
            return Err(ProtocolError::TooManyExchanges.into());
        }
        if request.version_min > 0 {
            return Err(RefusalReason::Version {
                version_min: request.version_min,
            });
        }
        let expected = *self.stage.get_or_insert(request.current_stage);
        if request.current_stage != expected {
            return Err(ProtocolError::Stage {
                expected,
                received: request.current_stage,
            }
            .into());
        }
        let first = self.first.get_or_insert_with(|| LoginRequest {
            data: Bytes::new(),
            ..request.clone()
        });
        check_same(first, request)?;
        Ok(())
    }

    fn send_part(&mut self, request: &LoginRequest, transit_to: Option<Stage>) -> LoginResponse {
        let (data, continue_bit) = self.outbox.next();
        LoginResponse {
            continue_bit,
            transit_to,
            data,
            ..self.response(request, LoginStatus::SUCCESS)
        }
    }

    fn response(&mut self, request: &LoginRequest, status: LoginStatus) -> LoginResponse {
        let stat_sn = self.stat_sn;
        self.stat_sn = stat_sn.next();
        LoginResponse {
            continue_bit: false,
            current_stage: request.current_stage,
            transit_to: None,
            version_max: 0,
            version_active: 0,
            isid: request.isid,
            tsih: request.tsih,
            initiator_task_tag: request.initiator_task_tag,
            stat_sn,
            exp_cmd_sn: request.cmd_sn,
            max_cmd_sn: request.cmd_sn.advance(self.config.command_window).retreat(1),
            status,
            data: Bytes::new(),
        }
    }

    fn refusal(&mut self, request: &LoginRequest, reason: RefusalReason) -> LoginRefusal {
        let mut response = self.response(request, reason.status());
        if let RefusalReason::Moved { address, .. } = &reason {
            response.data = encode(&[("TargetAddress".to_owned(), address.clone())]);
        }
        let initiator = match &self.opened {
            Some(opened) => opened.identity.initiator_name.to_string(),
            None => "an unnamed initiator".to_owned(),
        };
        LoginRefusal {
            response,
            initiator,
            reason,
        }
    }
}

/// The fields that name a login are the same in all its requests.
fn check_same(first: &LoginRequest, request: &LoginRequest) -> Result<(), ProtocolError> {
    let number = |isid: &[u8; 6]| isid.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let (Tsih(first_tsih), Tsih(tsih)) = (first.tsih, request.tsih);
    let fields = [
        (
            "Initiator Task Tag",
            u64::from(first.initiator_task_tag.0),
            u64::from(request.initiator_task_tag.0),
        ),
        ("ISID", number(&first.isid.0), number(&request.isid.0)),
        ("TSIH", first_tsih.into(), tsih.into()),
        ("CID", first.cid.0.into(), request.cid.0.into()),
    ];
    for (field, expected, received) in fields {
        if expected != received {
            return Err(ProtocolError::Field {
                field,
                expected,
                received,
            });
        }
    }
    Ok(())
}
