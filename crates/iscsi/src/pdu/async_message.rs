//! Asynchronous Message (RFC 7143 §11.9).

use super::{Cid, LunField, Opcode, PduError, RawPdu, sense_data};
use crate::serial::SerialNumber32;
use bytes::Bytes;
use std::fmt;

/// The target tells something that nobody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsyncMessage {
    /// The logical unit of a SCSI event, otherwise zero.
    pub lun: LunField,
    /// StatSN; used up, as by any status.
    pub stat_sn: SerialNumber32,
    /// ExpCmdSN.
    pub exp_cmd_sn: SerialNumber32,
    /// MaxCmdSN.
    pub max_cmd_sn: SerialNumber32,
    /// What happened.
    pub event: AsyncEvent,
    /// Sense data of a SCSI event, otherwise empty.
    pub sense: Bytes,
    /// What follows the sense data; of other events the whole data segment.
    pub event_data: Bytes,
}

/// AsyncEvent and its parameters (§11.9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsyncEvent {
    /// 0: a SCSI asynchronous event, told by the sense data.
    Scsi,
    /// 1: the initiator must log this connection out within so many seconds.
    LogoutRequest {
        /// Parameter3: the deadline, in seconds.
        time_s: u16,
    },
    /// 2: the target drops a connection.
    ConnectionDrop {
        /// Parameter1: the connection.
        cid: Cid,
        /// Parameter2: least time before a reconnect, in seconds.
        time2wait_s: u16,
        /// Parameter3: longest time for which tasks are kept, in seconds.
        time2retain_s: u16,
    },
    /// 3: the target drops all connections of the session.
    SessionDrop {
        /// Parameter2: least time before a reconnect, in seconds.
        time2wait_s: u16,
        /// Parameter3: longest time for which the session is kept, in seconds.
        time2retain_s: u16,
    },
    /// 4: the target wants to negotiate parameters.
    ParameterNegotiation {
        /// Parameter3: the initiator must start within so many seconds.
        time_s: u16,
    },
    /// Any other code: 255 is the vendor's, the rest are reserved or of later standards.
    Other {
        /// AsyncEvent.
        code: u8,
        /// AsyncVCode.
        vendor_code: u8,
        /// Parameter1 to Parameter3.
        parameters: [u16; 3],
    },
}

impl AsyncMessage {
    /// Reads the PDU.
    ///
    /// # Errors
    /// Sense data that overruns the data segment; additional headers.
    pub fn parse(raw: RawPdu) -> Result<Self, PduError> {
        raw.expect(Opcode::AsyncMessage)?;
        raw.expect_no_ahs()?;
        let event = AsyncEvent::parse(&raw);
        let (sense, event_data) = match event {
            AsyncEvent::Scsi => sense_data::split(&raw)?,
            _ => (Bytes::new(), raw.data.clone()),
        };
        Ok(Self {
            lun: raw.lun(),
            stat_sn: raw.serial_at(24),
            exp_cmd_sn: raw.serial_at(28),
            max_cmd_sn: raw.serial_at(32),
            event,
            sense,
            event_data,
        })
    }

    /// The PDU in wire form. Sense data goes out with a SCSI event only.
    ///
    /// # Panics
    /// If the caller put more than 65,535 bytes into `sense`.
    pub fn into_raw(self) -> RawPdu {
        let data = match self.event {
            AsyncEvent::Scsi => sense_data::join(&self.sense, &self.event_data),
            _ => self.event_data,
        };
        let (code, vendor_code, [parameter1, parameter2, parameter3]) = self.event.to_wire();
        RawPdu::new(Opcode::AsyncMessage)
            .with_u8(1, 0x80)
            .with_bytes(8, &self.lun.0)
            .with_u32(16, 0xffff_ffff)
            .with_serial(24, self.stat_sn)
            .with_serial(28, self.exp_cmd_sn)
            .with_serial(32, self.max_cmd_sn)
            .with_u8(36, code)
            .with_u8(37, vendor_code)
            .with_u16(38, parameter1)
            .with_u16(40, parameter2)
            .with_u16(42, parameter3)
            .with_data(data)
    }
}

impl AsyncEvent {
    fn parse(raw: &RawPdu) -> Self {
        let parameters @ [parameter1, parameter2, parameter3] =
            [raw.u16_at(38), raw.u16_at(40), raw.u16_at(42)];
        match raw.bhs[36] {
            0 => Self::Scsi,
            1 => Self::LogoutRequest { time_s: parameter3 },
            2 => Self::ConnectionDrop {
                cid: Cid(parameter1),
                time2wait_s: parameter2,
                time2retain_s: parameter3,
            },
            3 => Self::SessionDrop {
                time2wait_s: parameter2,
                time2retain_s: parameter3,
            },
            4 => Self::ParameterNegotiation { time_s: parameter3 },
            code => Self::Other {
                code,
                vendor_code: raw.bhs[37],
                parameters,
            },
        }
    }

    fn to_wire(self) -> (u8, u8, [u16; 3]) {
        match self {
            Self::Scsi => (0, 0, [0; 3]),
            Self::LogoutRequest { time_s } => (1, 0, [0, 0, time_s]),
            Self::ConnectionDrop {
                cid,
                time2wait_s,
                time2retain_s,
            } => (2, 0, [cid.0, time2wait_s, time2retain_s]),
            Self::SessionDrop {
                time2wait_s,
                time2retain_s,
            } => (3, 0, [0, time2wait_s, time2retain_s]),
            Self::ParameterNegotiation { time_s } => (4, 0, [0, 0, time_s]),
            Self::Other {
                code,
                vendor_code,
                parameters,
            } => (code, vendor_code, parameters),
        }
    }
}

impl fmt::Display for AsyncEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scsi => f.write_str("SCSI event"),
            Self::LogoutRequest { time_s } => write!(f, "logout requested within {time_s}s"),
            Self::ConnectionDrop {
                cid,
                time2wait_s,
                time2retain_s,
            } => write!(
                f,
                "connection {cid} dropped, time2wait={time2wait_s}s time2retain={time2retain_s}s"
            ),
            Self::SessionDrop {
                time2wait_s,
                time2retain_s,
            } => write!(
                f,
                "session dropped, time2wait={time2wait_s}s time2retain={time2retain_s}s"
            ),
            Self::ParameterNegotiation { time_s } => {
                write!(f, "parameter negotiation requested within {time_s}s")
            }
            Self::Other {
                code, vendor_code, ..
            } => write!(f, "unknown event {code:#04x} ({vendor_code:#04x})"),
        }
    }
}

impl fmt::Display for AsyncMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Asynchronous Message {} lun={} statsn={} expcmdsn={} maxcmdsn={} sense={}",
            self.event,
            self.lun,
            self.stat_sn,
            self.exp_cmd_sn,
            self.max_cmd_sn,
            self.sense.len(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdu::wire::{assert_both_ways, raw, refusal};

    const SCSI: &str = "32 80 0000  00 000006  0001 0000 0000 0000  ffffffff  00000000
                        00000001 00000002 00000003  00 00 0000  0000 0000  00000000";

    fn message(event: AsyncEvent) -> AsyncMessage {
        AsyncMessage {
            lun: LunField::default(),
            stat_sn: SerialNumber32(1),
            exp_cmd_sn: SerialNumber32(2),
            max_cmd_sn: SerialNumber32(3),
            event,
            sense: Bytes::new(),
            event_data: Bytes::new(),
        }
    }

    #[test]
    fn bytes_of_a_scsi_event() {
        let pdu = AsyncMessage {
            lun: LunField([0, 1, 0, 0, 0, 0, 0, 0]),
            sense: Bytes::from_static(b"abc"),
            event_data: Bytes::from_static(b"d"),
            ..message(AsyncEvent::Scsi)
        };
        assert_eq!(
            pdu.to_string(),
            "Asynchronous Message SCSI event lun=0x0001000000000000 statsn=1 expcmdsn=2 maxcmdsn=3 sense=3"
        );
        assert_both_ways(pdu, raw(SCSI, b"\x00\x03abcd"));
    }

    /// AsyncEvent, AsyncVCode, Parameter1, Parameter2, Parameter3.
    #[test]
    fn bytes_of_the_other_events() {
        let (time2wait_s, time2retain_s) = (2, 20);
        let cases = [
            (AsyncEvent::LogoutRequest { time_s: 10 }, "01 00 0000 0000 000a"),
            (
                AsyncEvent::ConnectionDrop {
                    cid: Cid(7),
                    time2wait_s,
                    time2retain_s,
                },
                "02 00 0007 0002 0014",
            ),
            (
                AsyncEvent::SessionDrop {
                    time2wait_s,
                    time2retain_s,
                },
                "03 00 0000 0002 0014",
            ),
            (
                AsyncEvent::ParameterNegotiation { time_s: 3 },
                "04 00 0000 0000 0003",
            ),
            (
                AsyncEvent::Other {
                    code: 255,
                    vendor_code: 9,
                    parameters: [1, 2, 3],
                },
                "ff 09 0001 0002 0003",
            ),
        ];
        for (event, parameters) in cases {
            let header = format!(
                "32 80 0000  00 000000  0000000000000000  ffffffff  00000000
                 00000001 00000002 00000003  {parameters}  00000000"
            );
            assert_both_ways(message(event), raw(&header, b""));
        }
    }

    #[test]
    fn sense_data_that_overruns_its_segment() {
        assert_eq!(refusal(raw(SCSI, b"\x00\x05abcd")).field, "SenseLength");
    }
}
