//! A small blocking initiator and a server on a free port, for tests.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test file compiles it for itself and uses a part of it

use bytes::{Buf, Bytes};
use longshore_iscsi::chap::{Algorithms, ChapCredentials};
use longshore_iscsi::frame::{Decoder, encode};
use longshore_iscsi::isid::Isid;
use longshore_iscsi::login::{InitiatorLogin, InitiatorLoginConfig, InitiatorStep, LoginError};
use longshore_iscsi::params::{DigestPolicy, Offers, SessionParameters};
use longshore_iscsi::pdu::*;
use longshore_iscsi::serial::SerialNumber32;
use longshore_scsi::sense::Asc;
use longshore_scsi::{Lun, Sense, Status};
use longshore_target::{Limits, LunConfig, Server, TargetConfig};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

pub const TARGET: &str = "iqn.2026-11.test:target";
pub const MIB: u64 = 1 << 20;

/// A target with LUN 0 of 64 MiB and a read-only LUN 1 of 1 MiB.
pub fn target_config(dir: &Path) -> TargetConfig {
    std::fs::write(dir.join("read-only.img"), vec![0x5a; MIB as usize]).unwrap();
    let mut target = TargetConfig::new(TARGET);
    target.luns.push(LunConfig {
        size_bytes: Some(64 * MIB),
        ..LunConfig::new(0, dir.join("disk.img"))
    });
    target.luns.push(LunConfig {
        read_only: true,
        ..LunConfig::new(1, dir.join("read-only.img"))
    });
    target
}

pub fn serve(target: TargetConfig) -> Server {
    serve_with(target, Limits::default())
}

pub fn serve_with(target: TargetConfig, limits: Limits) -> Server {
    Server::builder()
        .listen("127.0.0.1:0".parse().unwrap())
        .target(target)
        .limits(limits)
        .start()
        .unwrap()
}

pub fn stop(server: Server) {
    server.stop(Instant::now() + Duration::from_secs(30)).unwrap();
}

/// How a client logs in.
pub struct Login {
    pub name: String,
    pub isid: [u8; 6],
    pub target: Option<String>,
    pub offers: Offers,
    pub chap: Option<ChapCredentials>,
    pub mutual: Option<ChapCredentials>,
}

impl Login {
    pub fn new(initiator: &str) -> Self {
        Self {
            name: format!("iqn.2026-11.test:{initiator}"),
            isid: [0x80, 0, 0, 0, 0, 1],
            target: Some(TARGET.to_owned()),
            offers: Offers {
                header_digest: DigestPolicy::Never,
                data_digest: DigestPolicy::Never,
                ..Offers::default()
            },
            chap: None,
            mutual: None,
        }
    }

    pub fn connect(&self, address: SocketAddr) -> Client {
        self.try_connect(address).unwrap()
    }

    pub fn try_connect(&self, address: SocketAddr) -> Result<Client, ClientError> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        self.on_stream(stream)
    }

    pub fn on_stream(&self, stream: TcpStream) -> Result<Client, ClientError> {
        let config = InitiatorLoginConfig {
            initiator_name: self.name.parse().unwrap(),
            initiator_alias: None,
            target_name: self.target.as_ref().map(|name| name.parse().unwrap()),
            isid: Isid(self.isid),
            tsih: Tsih(0),
            cid: Cid(0),
            cmd_sn: SerialNumber32(1),
            offers: self.offers.clone(),
            chap: self.chap.clone(),
            mutual: self.mutual.clone(),
            algorithms: Algorithms::all(),
        };
        let mut login = InitiatorLogin::new(config, [7; 32]).map_err(ClientError::Login)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut client = Client {
            stream,
            decoder: Decoder::new(8192),
            session: SessionParameters::default(),
            cmd_sn: SerialNumber32(1),
            tag: 0,
        };
        client.send(login.start())?;
        loop {
            let response = LoginResponse::parse(client.receive_raw()?).unwrap();
            match login.handle(response).map_err(ClientError::Login)? {
                InitiatorStep::Send(request) => client.send(request)?,
                InitiatorStep::Done(session) => {
                    client
                        .decoder
                        .set_max_data_segment(session.max_recv_data_segment_length);
                    client.decoder.set_digests(session.digests);
                    client.session = session;
                    return Ok(client);
                }
                InitiatorStep::Redirect { .. } => panic!("no redirect was asked for"),
            }
        }
    }
}

#[derive(Debug)]
pub enum ClientError {
    Login(LoginError),
    Io(std::io::Error),
}

impl From<std::io::Error> for ClientError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Answer {
    pub status: Status,
    pub sense: Option<Sense>,
    pub data: Vec<u8>,
    pub residual: Residual,
}

impl Answer {
    #[track_caller]
    pub fn good(self) -> Vec<u8> {
        assert_eq!(self.status, Status::GOOD, "{:?}", self.sense);
        self.data
    }

    #[track_caller]
    pub fn expect(&self, code: Asc) {
        let sense = self
            .sense
            .unwrap_or_else(|| panic!("expected {code:?}, got {self:?}"));
        assert_eq!(sense.code(), code, "{sense}");
    }
}

pub struct Client {
    pub stream: TcpStream,
    decoder: Decoder,
    pub session: SessionParameters,
    cmd_sn: SerialNumber32,
    tag: u32,
}

pub const TEST_UNIT_READY: [u8; 6] = [0; 6];

impl Client {
    pub fn send(&mut self, pdu: impl Into<RawPdu>) -> std::io::Result<()> {
        let mut frame = encode(pdu.into(), self.session.parameters.digests);
        while frame.has_remaining() {
            let written = self.stream.write(frame.chunk())?;
            frame.advance(written);
        }
        Ok(())
    }

    fn receive_raw(&mut self) -> std::io::Result<RawPdu> {
        loop {
            if let Some(raw) = self.decoder.decode().map_err(std::io::Error::other)? {
                return Ok(raw);
            }
            let mut block = vec![0; 65_536];
            let read = self.stream.read(&mut block)?;
            if read == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            self.decoder.buffer().extend_from_slice(&block[..read]);
        }
    }

    pub fn receive(&mut self) -> std::io::Result<Pdu> {
        self.receive_raw().map(|raw| Pdu::parse(raw).unwrap())
    }

    /// A command PDU with the next CmdSN and a tag of its own.
    pub fn prepare(&mut self, lun: u16, cdb: &[u8], read: u32, write: u32) -> ScsiCommand {
        let cmd_sn = self.cmd_sn;
        self.cmd_sn = cmd_sn.next();
        self.tag += 1;
        let mut bytes = [0; 16];
        bytes[..cdb.len()].copy_from_slice(cdb);
        ScsiCommand {
            immediate: false,
            final_bit: true,
            read: read > 0,
            write: write > 0,
            attribute: TaskAttribute::Simple,
            lun: LunField(Lun::from_number(lun).unwrap().to_bytes()),
            initiator_task_tag: InitiatorTaskTag(self.tag),
            expected_data_transfer_length: read.max(write),
            cmd_sn,
            exp_stat_sn: SerialNumber32(0),
            cdb: bytes,
            extended_cdb: Bytes::new(),
            bidirectional_read_length: None,
            data: Bytes::new(),
        }
    }

    pub fn next_tag(&mut self) -> InitiatorTaskTag {
        self.tag += 1;
        InitiatorTaskTag(self.tag)
    }

    pub fn read(&mut self, lun: u16, cdb: &[u8], len: u32) -> Answer {
        let command = self.prepare(lun, cdb, len, 0);
        self.send(command.clone()).unwrap();
        self.answer(command.initiator_task_tag, &Bytes::new()).unwrap()
    }

    pub fn write(&mut self, lun: u16, cdb: &[u8], data: &[u8]) -> Answer {
        let command = self.prepare(lun, cdb, 0, data.len() as u32);
        self.send(command.clone()).unwrap();
        self.answer(command.initiator_task_tag, &Bytes::copy_from_slice(data))
            .unwrap()
    }

    pub fn test_unit_ready(&mut self, lun: u16) -> Answer {
        self.read(lun, &TEST_UNIT_READY, 0)
    }

    /// Takes unit attentions away until there are none.
    pub fn settle(mut self, lun: u16) -> Self {
        while self.test_unit_ready(lun).status != Status::GOOD {}
        self
    }

    /// Waits for the end of a command and sends what its R2Ts ask for.
    pub fn answer(&mut self, tag: InitiatorTaskTag, out: &Bytes) -> std::io::Result<Answer> {
        let mut data = Vec::new();
        loop {
            match self.receive()? {
                Pdu::DataIn(pdu) if pdu.initiator_task_tag == tag => {
                    assert_eq!(pdu.buffer_offset as usize, data.len());
                    data.extend_from_slice(&pdu.data);
                    if let Some(end) = pdu.status {
                        return Ok(Answer {
                            status: Status(end.status),
                            sense: None,
                            data,
                            residual: end.residual,
                        });
                    }
                }
                Pdu::ScsiResponse(pdu) if pdu.initiator_task_tag == tag => {
                    let sense = Sense::parse(&pdu.sense).ok();
                    return Ok(Answer {
                        status: Status(pdu.status),
                        sense,
                        data,
                        residual: pdu.residual,
                    });
                }
                Pdu::R2t(r2t) if r2t.initiator_task_tag == tag => self.send_data_out(&r2t, out)?,
                _ => {}
            }
        }
    }

    pub fn send_data_out(&mut self, r2t: &R2t, out: &Bytes) -> std::io::Result<()> {
        let end = r2t.buffer_offset + r2t.desired_data_transfer_length;
        let step = self.session.max_send_data_segment_length;
        let mut offset = r2t.buffer_offset;
        let mut data_sn = SerialNumber32(0);
        while offset < end {
            let len = step.min(end - offset);
            self.send(DataOut {
                final_bit: offset + len == end,
                lun: r2t.lun,
                initiator_task_tag: r2t.initiator_task_tag,
                target_transfer_tag: r2t.target_transfer_tag,
                exp_stat_sn: SerialNumber32(0),
                data_sn,
                buffer_offset: offset,
                data: out.slice(offset as usize..(offset + len) as usize),
            })?;
            data_sn = data_sn.next();
            offset += len;
        }
        Ok(())
    }

    pub fn manage(
        &mut self,
        function: TaskManagementFunction,
        lun: u16,
        referenced: InitiatorTaskTag,
    ) -> TaskManagementResponseCode {
        let tag = self.next_tag();
        self.send(TaskManagementRequest {
            immediate: true,
            function,
            lun: LunField(Lun::from_number(lun).unwrap().to_bytes()),
            initiator_task_tag: tag,
            referenced_task_tag: referenced,
            cmd_sn: self.cmd_sn,
            exp_stat_sn: SerialNumber32(0),
            ref_cmd_sn: SerialNumber32(0),
            exp_data_sn: SerialNumber32(0),
        })
        .unwrap();
        loop {
            if let Pdu::TaskManagementResponse(response) = self.receive().unwrap() {
                return response.response;
            }
        }
    }

    pub fn logout(mut self) {
        let tag = self.next_tag();
        self.send(LogoutRequest {
            immediate: true,
            reason: LogoutReason::CloseSession,
            initiator_task_tag: tag,
            cid: Cid(0),
            cmd_sn: self.cmd_sn,
            exp_stat_sn: SerialNumber32(0),
        })
        .unwrap();
        while !matches!(self.receive().unwrap(), Pdu::LogoutResponse(_)) {}
        assert!(self.receive().is_err(), "the target closes the connection");
    }

    pub fn nop_out(&mut self, data: &'static [u8]) -> InitiatorTaskTag {
        let tag = self.next_tag();
        self.send(NopOut {
            immediate: true,
            lun: LunField::default(),
            initiator_task_tag: tag,
            target_transfer_tag: TargetTransferTag::RESERVED,
            cmd_sn: self.cmd_sn,
            exp_stat_sn: SerialNumber32(0),
            data: Bytes::from_static(data),
        })
        .unwrap();
        tag
    }
}

/// READ(10) of `blocks` from `lba`.
pub fn read_10(lba: u32, blocks: u16) -> [u8; 10] {
    transfer(0x28, lba, blocks)
}

/// WRITE(10) of `blocks` to `lba`.
pub fn write_10(lba: u32, blocks: u16) -> [u8; 10] {
    transfer(0x2a, lba, blocks)
}

fn transfer(opcode: u8, lba: u32, blocks: u16) -> [u8; 10] {
    let [a, b, c, d] = lba.to_be_bytes();
    let [high, low] = blocks.to_be_bytes();
    [opcode, 0, a, b, c, d, 0, high, low, 0]
}
