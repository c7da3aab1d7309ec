//! SCSI Command (RFC 7143 §11.3) with its additional headers (§11.2.2).

use super::{Fault, InitiatorTaskTag, LunField, MAX_AHS_LEN, Opcode, PduError, RawPdu, TaskAttribute};
use crate::serial::SerialNumber32;
use bytes::{BufMut, Bytes, BytesMut};
use std::borrow::Cow;
use std::fmt;

/// Longest part of a CDB that travels in an additional header, in bytes: SPC ends at CDBs of 260 bytes.
pub const MAX_EXTENDED_CDB_LEN: usize = 244;

const AHS_EXTENDED_CDB: u8 = 1;
const AHS_BIDIRECTIONAL_READ_LENGTH: u8 = 2;

/// A SCSI command, possibly with immediate data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScsiCommand {
    /// The I bit: outside the command window.
    pub immediate: bool,
    /// The F bit: no unsolicited Data-Out PDUs follow.
    pub final_bit: bool,
    /// The R bit: data towards the initiator is expected.
    pub read: bool,
    /// The W bit: data towards the target is expected.
    pub write: bool,
    /// ATTR.
    pub attribute: TaskAttribute,
    /// The logical unit.
    pub lun: LunField,
    /// The task's tag.
    pub initiator_task_tag: InitiatorTaskTag,
    /// Bytes that the command is to transfer; of a bidirectional command, towards the target.
    pub expected_data_transfer_length: u32,
    /// CmdSN.
    pub cmd_sn: SerialNumber32,
    /// ExpStatSN.
    pub exp_stat_sn: SerialNumber32,
    /// The first 16 bytes of the CDB; a shorter one is followed by zeros.
    pub cdb: [u8; 16],
    /// What a CDB has beyond 16 bytes, at most [`MAX_EXTENDED_CDB_LEN`].
    pub extended_cdb: Bytes,
    /// Bytes that a bidirectional command is to transfer towards the initiator, when its additional header is there.
    pub bidirectional_read_length: Option<u32>,
    /// Immediate data.
    pub data: Bytes,
}

impl ScsiCommand {
    /// Reads the PDU.
    ///
    /// # Errors
    /// A reserved tag or attribute; data without the W bit or beyond the expected length; a command without the W
    /// bit that announces more data; additional headers that overrun their space or that the RFC reserves.
    pub fn parse(raw: RawPdu) -> Result<Self, PduError> {
        raw.expect(Opcode::ScsiCommand)?;
        let initiator_task_tag = raw.expect_task_tag()?;
        let attribute = TaskAttribute::from_code(raw.flags() & 0x07);
        if !attribute.is_defined() {
            return Err(raw.refuse(
                Fault::InvalidMessage,
                "ATTR",
                u32::from(attribute.code()),
                "this value is reserved",
            ));
        }
        check_data(&raw)?;
        let headers = AdditionalHeaders::parse(&raw)?;
        Ok(Self {
            immediate: raw.is_immediate(),
            final_bit: raw.flag(0x80),
            read: raw.flag(0x40),
            write: raw.flag(0x20),
            attribute,
            lun: raw.lun(),
            initiator_task_tag,
            expected_data_transfer_length: raw.u32_at(20),
            cmd_sn: raw.serial_at(24),
            exp_stat_sn: raw.serial_at(28),
            cdb: raw.array_at(32),
            extended_cdb: headers.extended_cdb,
            bidirectional_read_length: headers.bidirectional_read_length,
            data: raw.data,
        })
    }

    /// The PDU in wire form.
    ///
    /// # Panics
    /// If the caller put more than [`MAX_EXTENDED_CDB_LEN`] bytes into `extended_cdb`.
    pub fn into_raw(self) -> RawPdu {
        let flags = u8::from(self.final_bit) << 7
            | u8::from(self.read) << 6
            | u8::from(self.write) << 5
            | self.attribute.code() & 0x07;
        let headers = AdditionalHeaders {
            extended_cdb: self.extended_cdb,
            bidirectional_read_length: self.bidirectional_read_length,
        };
        RawPdu::new(Opcode::ScsiCommand)
            .with_immediate(self.immediate)
            .with_u8(1, flags)
            .with_bytes(8, &self.lun.0)
            .with_u32(16, self.initiator_task_tag.0)
            .with_u32(20, self.expected_data_transfer_length)
            .with_serial(24, self.cmd_sn)
            .with_serial(28, self.exp_stat_sn)
            .with_bytes(32, &self.cdb)
            .with_ahs(headers.emit())
            .with_data(self.data)
    }

    /// The CDB with its extension.
    pub fn full_cdb(&self) -> Cow<'_, [u8]> {
        if self.extended_cdb.is_empty() {
            return Cow::Borrowed(&self.cdb);
        }
        Cow::Owned([&self.cdb, self.extended_cdb.as_ref()].concat())
    }
}

/// The F and W bits agree with the data (§11.3.1, §11.3.4).
fn check_data(raw: &RawPdu) -> Result<(), PduError> {
    let (final_bit, write) = (raw.flag(0x80), raw.flag(0x20));
    let len = raw.data.len() as u32;
    if !write && !final_bit {
        return Err(raw.refuse(
            Fault::PeerMisbehaved,
            "F",
            0,
            "a command that writes nothing cannot announce more data",
        ));
    }
    if !write && len > 0 {
        return Err(raw.refuse(
            Fault::PeerMisbehaved,
            "DataSegmentLength",
            len,
            "a command without the W bit has no immediate data",
        ));
    }
    if len > raw.u32_at(20) {
        return Err(raw.refuse(
            Fault::PeerMisbehaved,
            "DataSegmentLength",
            len,
            "immediate data cannot exceed the Expected Data Transfer Length",
        ));
    }
    Ok(())
}

/// The additional headers that the RFC defines, both for SCSI commands only.
#[derive(Default)]
struct AdditionalHeaders {
    extended_cdb: Bytes,
    bidirectional_read_length: Option<u32>,
}

impl AdditionalHeaders {
    fn parse(raw: &RawPdu) -> Result<Self, PduError> {
        let mut headers = Self::default();
        let mut rest = raw.ahs.clone();
        while !rest.is_empty() {
            // AHSLength (2 bytes), AHSType (1 byte), then AHSLength bytes, padded to a word.
            let Some(&[high, low, ahs_type]) = rest.first_chunk::<3>() else {
                return Err(overrun(raw, rest.len()));
            };
            let len = usize::from(u16::from_be_bytes([high, low]));
            let padded = (3 + len).next_multiple_of(4);
            if len == 0 || padded > rest.len() {
                return Err(overrun(raw, len));
            }
            let body = rest.slice(3..3 + len);
            headers.take(raw, ahs_type & 0x3f, body)?;
            rest = rest.slice(padded..);
        }
        Ok(headers)
    }

    fn take(&mut self, raw: &RawPdu, ahs_type: u8, body: Bytes) -> Result<(), PduError> {
        match ahs_type {
            AHS_EXTENDED_CDB if body.len() <= 1 + MAX_EXTENDED_CDB_LEN => {
                self.extended_cdb = body.slice(1..);
                Ok(())
            }
            AHS_BIDIRECTIONAL_READ_LENGTH if body.len() == 5 => {
                let length = [body[1], body[2], body[3], body[4]];
                self.bidirectional_read_length = Some(u32::from_be_bytes(length));
                Ok(())
            }
            AHS_EXTENDED_CDB | AHS_BIDIRECTIONAL_READ_LENGTH => Err(raw.refuse(
                Fault::InvalidMessage,
                "AHSLength",
                body.len() as u32,
                "this is no length of an additional header of its type",
            )),
            // "Non-iSCSI extensions": whoever does not know them passes over them.
            60..=63 => Ok(()),
            reserved => Err(raw.refuse(
                Fault::PeerIncompatible,
                "AHSType",
                u32::from(reserved),
                "this type is reserved",
            )),
        }
    }

    fn emit(self) -> Bytes {
        let extension = self.extended_cdb;
        assert!(
            extension.len() <= MAX_EXTENDED_CDB_LEN,
            "a CDB has at most 260 bytes"
        );
        if extension.is_empty() && self.bidirectional_read_length.is_none() {
            return Bytes::new();
        }
        let mut ahs = BytesMut::with_capacity(MAX_AHS_LEN);
        if !extension.is_empty() {
            ahs.put_u16(1 + extension.len() as u16);
            ahs.put_u8(AHS_EXTENDED_CDB);
            ahs.put_u8(0);
            ahs.put_slice(&extension);
            ahs.resize(ahs.len().next_multiple_of(4), 0);
        }
        if let Some(length) = self.bidirectional_read_length {
            ahs.put_u16(5);
            ahs.put_u8(AHS_BIDIRECTIONAL_READ_LENGTH);
            ahs.put_u8(0);
            ahs.put_u32(length);
        }
        ahs.freeze()
    }
}

fn overrun(raw: &RawPdu, len: usize) -> PduError {
    raw.refuse(
        Fault::InvalidMessage,
        "AHSLength",
        len as u32,
        "the additional header does not fit into TotalAHSLength",
    )
}

impl fmt::Display for ScsiCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SCSI Command itt={} lun={} op={:#04x}{}{}{} length={} {} cmdsn={}{} expstatsn={} data={}",
            self.initiator_task_tag,
            self.lun,
            self.cdb[0],
            if self.read { " R" } else { "" },
            if self.write { " W" } else { "" },
            if self.final_bit { " F" } else { "" },
            self.expected_data_transfer_length,
            self.attribute,
            self.cmd_sn,
            if self.immediate { " immediate" } else { "" },
            self.exp_stat_sn,
            self.data.len(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdu::RejectReason;
    use crate::pdu::wire::{assert_both_ways, raw, raw_with_ahs, refusal};

    /// WRITE(10) of 512 bytes to LUN 1 with three bytes of immediate data; more data follows unsolicited.
    const WRITE: &str = "01 21 0000  00 000003  0001 0000 0000 0000  0000002a  00000200
                         00000005 00000009  2a 00 00000010 00 0001 00  000000000000";
    /// READ(10) of 4096 bytes.
    const READ: &str = "01 c1 0000  00 000000  0000 0000 0000 0000  0000002b  00001000
                        00000006 00000009  28 00 00000000 00 0008 00  000000000000";

    fn write() -> ScsiCommand {
        let mut cdb = [0; 16];
        cdb[..10].copy_from_slice(&[0x2a, 0, 0, 0, 0, 0x10, 0, 0, 1, 0]);
        ScsiCommand {
            immediate: false,
            final_bit: false,
            read: false,
            write: true,
            attribute: TaskAttribute::Simple,
            lun: LunField([0, 1, 0, 0, 0, 0, 0, 0]),
            initiator_task_tag: InitiatorTaskTag(0x2a),
            expected_data_transfer_length: 0x200,
            cmd_sn: SerialNumber32(5),
            exp_stat_sn: SerialNumber32(9),
            cdb,
            extended_cdb: Bytes::new(),
            bidirectional_read_length: None,
            data: Bytes::from_static(b"abc"),
        }
    }

    #[test]
    fn bytes() {
        assert_eq!(
            write().to_string(),
            "SCSI Command itt=0x2a lun=0x0001000000000000 op=0x2a W length=512 simple cmdsn=5 expstatsn=9 data=3"
        );
        assert_both_ways(write(), raw(WRITE, b"abc"));
    }

    /// A bidirectional command with a CDB of 32 bytes (XDWRITEREAD(32) has this shape): both additional headers.
    #[test]
    fn bytes_of_additional_headers() {
        let command = ScsiCommand {
            read: true,
            final_bit: true,
            extended_cdb: Bytes::from_static(b"0123456789abcdef"),
            bidirectional_read_length: Some(0x1_0000),
            data: Bytes::new(),
            ..write()
        };
        assert_eq!(command.full_cdb().len(), 32);
        let header = WRITE.replace("01 21 0000  00 000003", "01 e1 0000  07 000000");
        let ahs = "0011 01 00 30313233 34353637 38396162 63646566  0005 02 00 00010000";
        assert_both_ways(command, raw_with_ahs(&header, ahs, b""));
    }

    #[test]
    fn an_extended_cdb_is_padded_to_a_word() {
        let extended_cdb = Bytes::from_static(b"12345");
        let raw = ScsiCommand {
            extended_cdb: extended_cdb.clone(),
            ..write()
        }
        .into_raw();
        assert_eq!(
            (raw.bhs[4], &raw.ahs[..]),
            (3, b"\x00\x06\x01\x0012345\0\0\0".as_slice())
        );
        assert_eq!(ScsiCommand::parse(raw).unwrap().extended_cdb, extended_cdb);
    }

    #[test]
    fn illegal_additional_headers() {
        let cases = [
            ("0000 01 00", Fault::InvalidMessage, "AHSLength"),
            ("0005 01 00", Fault::InvalidMessage, "AHSLength"),
            ("ffff 01 00", Fault::InvalidMessage, "AHSLength"),
            ("0001 02 00", Fault::InvalidMessage, "AHSLength"),
            ("0001 03 00", Fault::PeerIncompatible, "AHSType"),
            ("00", Fault::InvalidMessage, "AHSLength"),
        ];
        for (ahs, fault, field) in cases {
            let error = refusal(raw_with_ahs(WRITE, ahs, b"abc"));
            assert_eq!((error.fault, error.field), (fault, field), "{ahs}: {error}");
        }
    }

    #[test]
    fn non_iscsi_extensions_are_passed_over() {
        let parsed = ScsiCommand::parse(raw_with_ahs(WRITE, "0002 3c 00 00 000000", b"abc"));
        assert_eq!(parsed, Ok(write()));
    }

    /// Each illegal combination, by the byte that makes it.
    #[test]
    fn illegal_combinations() {
        let cases = [
            (WRITE, b"abc".as_slice(), 1, 0x27, Fault::InvalidMessage, "ATTR"),
            (READ, b"", 1, 0x41, Fault::PeerMisbehaved, "F"),
            (READ, b"abc", 1, 0xc1, Fault::PeerMisbehaved, "DataSegmentLength"),
            (
                WRITE,
                b"abc",
                22,
                0x00,
                Fault::PeerMisbehaved,
                "DataSegmentLength",
            ),
            (
                WRITE,
                b"abc",
                0,
                0x01,
                Fault::PeerMisbehaved,
                "Initiator Task Tag",
            ),
        ];
        for (header, data, at, byte, fault, field) in cases {
            let mut raw = raw(header, data);
            raw.bhs[at] = byte;
            if field == "Initiator Task Tag" {
                raw.bhs[16..20].fill(0xff);
            }
            let error = refusal(raw);
            assert_eq!(
                (error.fault, error.field, error.section),
                (fault, field, "11.3"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_refusal_says_what_where_why_and_who() {
        let mut bad = raw(READ, b"");
        bad.bhs[1] = 0xc7;
        let error = refusal(bad);
        assert_eq!(
            error.to_string(),
            "SCSI Command: ATTR is 0x7, but this value is reserved (RFC 7143 §11.3): \
             the peer's message cannot be decoded"
        );
        assert_eq!(error.reject_reason(), RejectReason::InvalidPduField);
    }
}
