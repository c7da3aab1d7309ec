//! A target that follows a script: it keeps one small disk, notes what it is asked, and misbehaves on demand.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use longshore_initiator::Portal;
use longshore_iscsi::chap::Algorithms;
use longshore_iscsi::frame::{Decoder, encode};
use longshore_iscsi::login::{
    Access, AccessRequest, Authentication, Authority, Grant, SessionParameters, TargetLogin,
    TargetLoginConfig, TargetStep,
};
use longshore_iscsi::params::Offers;
use longshore_iscsi::pdu::{
    DataIn, InitiatorTaskTag, LogoutResponse, LogoutResponseCode, LunField, NopIn, Pdu, RawPdu, Reject,
    RejectReason, Residual, ScsiCommand, ScsiResponse, ServiceResponse, TargetTransferTag,
    TaskManagementFunction, TaskManagementResponse, TaskManagementResponseCode, Tsih,
};
use longshore_iscsi::serial::SerialNumber32;
use longshore_scsi::capacity::Capacity;
use longshore_scsi::cdb::{Cdb, Form};
use longshore_scsi::inquiry::StandardInquiry;
use longshore_scsi::mode::{CACHING, ModeParameters, caching_page};
use longshore_scsi::sense::{Asc, SenseKey};
use longshore_scsi::vpd::{self, Designator, DesignatorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const TARGET: &str = "iqn.2026-11.org.longshore:peer";
const BLOCK: usize = 512;

/// What the peer was asked, in the order in which it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Login([u8; 6]),
    Identity,
    Read(u64),
    Write(u64),
    Flush,
    Reserve,
    Abort,
    UnitReset,
    Logout,
}

/// What the peer does with the next data command, instead of what it should.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Act {
    /// A status without data.
    Status(u8),
    /// CHECK CONDITION.
    Check(SenseKey, Asc),
    /// A Reject of the whole PDU.
    Reject,
    /// Nothing; the command stays unanswered.
    Ignore,
    /// Carries it out, and drops the connection instead of answering.
    DropAfter,
    /// Drops the connection without carrying it out.
    DropBefore,
}

pub(crate) struct State {
    pub(crate) disk: Vec<u8>,
    /// The last byte of the unit's NAA designator.
    pub(crate) identity: u8,
    pub(crate) seen: Vec<Seen>,
    /// For the next READs, WRITEs and SYNCHRONIZE CACHEs, one each.
    pub(crate) script: VecDeque<Act>,
    /// A unit attention for every new nexus.
    pub(crate) attention: Option<Asc>,
    /// When this command comes, another unit takes the place of this one, and the command is told 3F/0E.
    pub(crate) swap_at: Option<fn(&Cdb) -> bool>,
    /// Another initiator has reserved the unit for itself alone (exclusive access).
    pub(crate) reserved: bool,
    /// MODE SENSE knows no caching page, and the medium is write protected.
    pub(crate) protected_without_caching_page: bool,
    pub(crate) portal_group: u16,
    /// So many LOGICAL UNIT RESETs end in the loss of the connection.
    pub(crate) drop_at_reset: u32,
    pub(crate) redirect: Option<String>,
    /// No READ is ever answered.
    pub(crate) deaf: bool,
    /// Accepts connections and says nothing.
    pub(crate) silent: bool,
    /// Answers the login with garbage.
    pub(crate) garbage: bool,
    pub(crate) blocks: u64,
    /// The greatest number of WRITEs without an answer at one time, where answers are held back.
    pub(crate) hold: bool,
    pub(crate) held_max: usize,
}

pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Peer {
    pub(crate) async fn start() -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let blocks = 2048;
        let state = Arc::new(Mutex::new(State {
            disk: vec![0; blocks * BLOCK],
            identity: 1,
            seen: Vec::new(),
            script: VecDeque::new(),
            attention: None,
            swap_at: None,
            reserved: false,
            protected_without_caching_page: false,
            portal_group: 1,
            drop_at_reset: 0,
            redirect: None,
            deaf: false,
            silent: false,
            garbage: false,
            blocks: blocks as u64,
            hold: false,
            held_max: 0,
        }));
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = shared.clone();
                tokio::spawn(async move {
                    // A connection that breaks is what many of the tests are about.
                    let _broken = serve(stream, state).await;
                });
            }
        });
        Peer { address, state }
    }

    pub(crate) fn portal(&self) -> Portal {
        Portal::from_address(self.address)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    pub(crate) fn count(&self, what: &Seen) -> usize {
        self.state().seen.iter().filter(|seen| *seen == what).count()
    }

    /// Forgets what was seen until now.
    pub(crate) fn forget(&self) {
        self.state().seen.clear();
    }

    pub(crate) fn script(&self, acts: impl IntoIterator<Item = Act>) {
        self.state().script.extend(acts);
    }
}

struct Gate<'a>(&'a Mutex<State>);

impl Authority for Gate<'_> {
    fn admit(&self, _: &AccessRequest<'_>) -> Access {
        match &self.0.lock().unwrap().redirect {
            Some(address) => Access::Moved {
                address: address.clone(),
                permanent: false,
            },
            None => Access::Granted(Grant {
                authentication: Authentication::None,
                target_alias: None,
            }),
        }
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) -> io::Result<()> {
    let (silent, garbage) = {
        let state = state.lock().unwrap();
        (state.silent, state.garbage)
    };
    stream.set_nodelay(true)?;
    if silent {
        return std::future::pending().await;
    }
    if garbage {
        stream.write_all(&[0x23; 4096]).await?;
        return Ok(());
    }
    let mut decoder = Decoder::new(8192);
    let parameters = log_in(&mut stream, &mut decoder, &state).await?;
    decoder.set_digests(parameters.digests);
    decoder.set_max_data_segment(parameters.max_recv_data_segment_length);
    let attention = state.lock().unwrap().attention;
    let mut nexus = Nexus {
        exp_cmd_sn: parameters.cmd_sn,
        stat_sn: parameters.exp_stat_sn,
        attention,
        held: Vec::new(),
        state,
    };
    loop {
        let Some(raw) = receive(&mut stream, &mut decoder).await? else {
            return Ok(());
        };
        for pdu in nexus.handle(Pdu::parse(raw).unwrap())? {
            let frame = encode(pdu, parameters.digests);
            for part in frame.slices() {
                stream.write_all(part).await?;
            }
        }
    }
}

async fn receive(stream: &mut TcpStream, decoder: &mut Decoder) -> io::Result<Option<RawPdu>> {
    loop {
        if let Some(raw) = decoder.decode().unwrap() {
            return Ok(Some(raw));
        }
        if stream.read_buf(decoder.buffer()).await? == 0 {
            return Ok(None);
        }
    }
}

async fn log_in(
    stream: &mut TcpStream,
    decoder: &mut Decoder,
    state: &Mutex<State>,
) -> io::Result<SessionParameters> {
    let mut login = TargetLogin::new(TargetLoginConfig {
        target_portal_group_tag: state.lock().unwrap().portal_group,
        offers: Offers::default(),
        algorithms: Algorithms::all(),
        challenge: [7; 32],
        stat_sn: SerialNumber32(0),
        command_window: 64,
    });
    loop {
        let Some(raw) = receive(stream, decoder).await? else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let Ok(Pdu::LoginRequest(request)) = Pdu::parse(raw) else {
            panic!("a login request is due")
        };
        let (response, done) = match login.handle(request, &Gate(state)) {
            Ok(TargetStep::Send(response)) => (response, None),
            Ok(TargetStep::Ready(ready)) => {
                state
                    .lock()
                    .unwrap()
                    .seen
                    .push(Seen::Login(ready.identity.isid.0));
                let (response, parameters) = ready.accept(Tsih(1));
                (response, Some(parameters))
            }
            Err(refusal) => (refusal.response, None),
        };
        let frame = encode(response.into_raw(), Default::default());
        for part in frame.slices() {
            stream.write_all(part).await?;
        }
        if let Some(parameters) = done {
            return Ok(parameters);
        }
    }
}

/// The peer's half of one connection.
struct Nexus {
    exp_cmd_sn: SerialNumber32,
    stat_sn: SerialNumber32,
    attention: Option<Asc>,
    held: Vec<RawPdu>,
    state: Arc<Mutex<State>>,
}

/// What a command comes to.
enum Reply {
    Good,
    Data(Vec<u8>),
    Status(u8),
    Check(SenseKey, Asc),
    Reject,
    Nothing,
}

impl Nexus {
    fn handle(&mut self, pdu: Pdu) -> io::Result<Vec<RawPdu>> {
        match pdu {
            Pdu::ScsiCommand(command) => self.command(command),
            Pdu::NopOut(ping) if !ping.initiator_task_tag.is_reserved() => {
                Ok(vec![self.pong(ping.initiator_task_tag)])
            }
            Pdu::TaskManagementRequest(request) => {
                let seen = match request.function {
                    TaskManagementFunction::AbortTask => Seen::Abort,
                    _ => Seen::UnitReset,
                };
                let is_reset = seen == Seen::UnitReset;
                self.note(seen);
                let mut state = self.state.lock().unwrap();
                if is_reset && state.drop_at_reset > 0 {
                    state.drop_at_reset -= 1;
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                drop(state);
                Ok(vec![
                    TaskManagementResponse {
                        response: TaskManagementResponseCode::FunctionComplete,
                        initiator_task_tag: request.initiator_task_tag,
                        stat_sn: self.status_number(),
                        exp_cmd_sn: self.exp_cmd_sn,
                        max_cmd_sn: self.exp_cmd_sn.advance(63),
                    }
                    .into_raw(),
                ])
            }
            Pdu::LogoutRequest(request) => {
                self.note(Seen::Logout);
                Ok(vec![
                    LogoutResponse {
                        response: LogoutResponseCode::Success,
                        initiator_task_tag: request.initiator_task_tag,
                        stat_sn: self.status_number(),
                        exp_cmd_sn: self.exp_cmd_sn,
                        max_cmd_sn: self.exp_cmd_sn.advance(63),
                        time2wait_s: 0,
                        time2retain_s: 0,
                    }
                    .into_raw(),
                ])
            }
            other => panic!("the peer does not expect {other}"),
        }
    }

    fn note(&self, seen: Seen) {
        self.state.lock().unwrap().seen.push(seen);
    }

    fn status_number(&mut self) -> SerialNumber32 {
        let number = self.stat_sn;
        self.stat_sn = number.next();
        number
    }

    fn pong(&mut self, tag: InitiatorTaskTag) -> RawPdu {
        NopIn {
            lun: LunField::default(),
            initiator_task_tag: tag,
            target_transfer_tag: TargetTransferTag::RESERVED,
            stat_sn: self.status_number(),
            exp_cmd_sn: self.exp_cmd_sn,
            max_cmd_sn: self.exp_cmd_sn.advance(63),
            data: Bytes::new(),
        }
        .into_raw()
    }

    fn command(&mut self, command: ScsiCommand) -> io::Result<Vec<RawPdu>> {
        self.exp_cmd_sn = command.cmd_sn.next();
        let cdb = Cdb::parse(&command.cdb).unwrap();
        assert!(
            !command.write || command.data.len() == command.expected_data_transfer_length as usize,
            "the peer takes immediate data only"
        );
        let reply = self.execute(&cdb, &command)?;
        let is_write = matches!(cdb, Cdb::Write(_));
        let pdus = self.reply(&command, reply);
        let mut state = self.state.lock().unwrap();
        if state.hold && is_write {
            self.held.extend(pdus);
            state.held_max = state.held_max.max(self.held.len());
            return Ok(Vec::new());
        }
        // Answers that were held back go out with the next one that is not.
        drop(state);
        let mut all = std::mem::take(&mut self.held);
        all.extend(pdus);
        Ok(all)
    }

    fn execute(&mut self, cdb: &Cdb, command: &ScsiCommand) -> io::Result<Reply> {
        let dropped = || io::Error::from(io::ErrorKind::ConnectionReset);
        let untouched = matches!(cdb, Cdb::Inquiry { .. } | Cdb::ReportLuns { .. });
        if let Some(code) = self.attention.filter(|_| !untouched) {
            self.attention = None;
            return Ok(Reply::Check(SenseKey::UnitAttention, code));
        }
        let mut state = self.state.lock().unwrap();
        if state.swap_at.is_some_and(|is_now| is_now(cdb)) {
            state.swap_at = None;
            state.identity += 1;
            let code = Asc::REPORTED_LUNS_DATA_HAS_CHANGED;
            return Ok(Reply::Check(SenseKey::UnitAttention, code));
        }
        let seen = match cdb {
            Cdb::Read(it) => Some(Seen::Read(it.lba)),
            Cdb::Write(it) => Some(Seen::Write(it.lba)),
            Cdb::SynchronizeCache { .. } => Some(Seen::Flush),
            Cdb::PersistentReserveOut { .. } => Some(Seen::Reserve),
            Cdb::Inquiry {
                page_code: vpd::DEVICE_IDENTIFICATION,
                ..
            } => Some(Seen::Identity),
            _ => None,
        };
        state.seen.extend(seen.clone());
        let act = match seen {
            Some(Seen::Read(_) | Seen::Write(_) | Seen::Flush | Seen::Reserve) => state.script.pop_front(),
            _ => None,
        };
        match act {
            Some(Act::Status(status)) => return Ok(Reply::Status(status)),
            Some(Act::Check(key, code)) => return Ok(Reply::Check(key, code)),
            Some(Act::Reject) => return Ok(Reply::Reject),
            Some(Act::Ignore) => return Ok(Reply::Nothing),
            Some(Act::DropBefore) => return Err(dropped()),
            Some(Act::DropAfter) => {
                state.carry_out(cdb, &command.data);
                return Err(dropped());
            }
            None => {}
        }
        if state.reserved && matches!(cdb, Cdb::Read(_) | Cdb::Write(_) | Cdb::ModeSense { .. }) {
            return Ok(Reply::Status(0x18));
        }
        if state.deaf && matches!(cdb, Cdb::Read(_)) {
            return Ok(Reply::Nothing);
        }
        Ok(state.carry_out(cdb, &command.data))
    }

    fn reply(&mut self, command: &ScsiCommand, reply: Reply) -> Vec<RawPdu> {
        let tag = command.initiator_task_tag;
        let max_cmd_sn = self.exp_cmd_sn.advance(63);
        let expected = command.expected_data_transfer_length;
        let (status, sense, data) = match reply {
            Reply::Nothing => return Vec::new(),
            Reply::Reject => {
                let reject = Reject {
                    reason: RejectReason::CommandNotSupported,
                    stat_sn: self.status_number(),
                    exp_cmd_sn: self.exp_cmd_sn,
                    max_cmd_sn,
                    data_sn_or_r2t_sn: SerialNumber32(0),
                    data: Bytes::copy_from_slice(&command.clone().into_raw().bhs),
                };
                return vec![reject.into_raw()];
            }
            Reply::Good => (0, Bytes::new(), Vec::new()),
            Reply::Data(data) => (0, Bytes::new(), data),
            Reply::Status(status) => (status, Bytes::new(), Vec::new()),
            Reply::Check(key, Asc(asc, ascq)) => {
                let mut sense = [0; 18];
                (sense[0], sense[2], sense[7], sense[12], sense[13]) = (0x70, key as u8, 10, asc, ascq);
                (2, Bytes::copy_from_slice(&sense), Vec::new())
            }
        };
        let mut pdus = Vec::new();
        let len = data.len().min(expected as usize);
        if len > 0 {
            pdus.push(
                DataIn {
                    final_bit: true,
                    acknowledge: false,
                    status: None,
                    lun: LunField::default(),
                    initiator_task_tag: tag,
                    target_transfer_tag: TargetTransferTag::RESERVED,
                    exp_cmd_sn: self.exp_cmd_sn,
                    max_cmd_sn,
                    data_sn: SerialNumber32(0),
                    buffer_offset: 0,
                    data: Bytes::from(data).slice(..len),
                }
                .into_raw(),
            );
        }
        let residual = match expected.saturating_sub(len as u32) {
            0 => Residual::None,
            _ if command.write && status == 0 => Residual::None,
            missing => Residual::Underflow(missing),
        };
        pdus.push(
            ScsiResponse {
                response: ServiceResponse::CommandCompleted,
                status,
                initiator_task_tag: tag,
                snack_tag: 0,
                stat_sn: self.status_number(),
                exp_cmd_sn: self.exp_cmd_sn,
                max_cmd_sn,
                exp_data_sn: SerialNumber32(0),
                residual,
                bidirectional_read_residual: Residual::None,
                sense,
                response_data: Bytes::new(),
            }
            .into_raw(),
        );
        pdus
    }
}

impl State {
    fn carry_out(&mut self, cdb: &Cdb, data: &Bytes) -> Reply {
        match cdb {
            Cdb::TestUnitReady | Cdb::SynchronizeCache { .. } | Cdb::PersistentReserveOut { .. } => {
                Reply::Good
            }
            Cdb::Inquiry { evpd: false, .. } => Reply::Data(inquiry().to_bytes().to_vec()),
            Cdb::Inquiry {
                page_code: vpd::SUPPORTED_PAGES,
                ..
            } => Reply::Data(vpd::supported_pages(
                0,
                // Some targets promise pages that they do not have.
                &[
                    vpd::SUPPORTED_PAGES,
                    vpd::UNIT_SERIAL_NUMBER,
                    vpd::DEVICE_IDENTIFICATION,
                    vpd::BLOCK_LIMITS,
                    vpd::LOGICAL_BLOCK_PROVISIONING,
                ],
            )),
            Cdb::Inquiry {
                page_code: vpd::DEVICE_IDENTIFICATION,
                ..
            } => {
                let mut naa = vec![0x60; 16];
                naa[15] = self.identity;
                let designator = Designator::of_logical_unit(DesignatorKind::Naa(naa));
                Reply::Data(vpd::device_identification(0, &[designator]))
            }
            Cdb::ReadCapacity16 { .. } => Reply::Data(
                Capacity::plain(self.blocks, BLOCK as u32)
                    .to_read_capacity_16()
                    .to_vec(),
            ),
            Cdb::ModeSense { page: CACHING, .. } if self.protected_without_caching_page => {
                Reply::Check(SenseKey::IllegalRequest, Asc::INVALID_FIELD_IN_CDB)
            }
            Cdb::ModeSense { form: Form::Six, .. } if self.protected_without_caching_page => {
                let parameters = ModeParameters {
                    write_protected: true,
                    ..Default::default()
                };
                Reply::Data(parameters.to_bytes(Form::Six))
            }
            Cdb::ModeSense { form: Form::Six, .. } => {
                let parameters = ModeParameters {
                    pages: vec![caching_page(true)],
                    ..Default::default()
                };
                Reply::Data(parameters.to_bytes(Form::Six))
            }
            Cdb::Read(it) => {
                let start = it.lba as usize * BLOCK;
                Reply::Data(self.disk[start..start + it.blocks as usize * BLOCK].to_vec())
            }
            Cdb::Write(it) => {
                let start = it.lba as usize * BLOCK;
                self.disk[start..start + data.len()].copy_from_slice(data);
                Reply::Good
            }
            _ => Reply::Check(SenseKey::IllegalRequest, Asc::INVALID_COMMAND_OPERATION_CODE),
        }
    }
}

fn inquiry() -> StandardInquiry {
    StandardInquiry {
        peripheral: 0,
        removable: false,
        version: 7,
        command_queueing: true,
        target_port_group_support: 0,
        third_party_copy: false,
        protect: false,
        vendor: "LONGSHOR".to_owned(),
        product: "peer".to_owned(),
        revision: "1".to_owned(),
        version_descriptors: Vec::new(),
    }
}
