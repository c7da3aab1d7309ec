//! Sense data in fixed and descriptor format (SPC-5 4.4), with the additional sense codes that matter here.

use std::fmt;

use crate::bytes::{u8_at, u32_at, u64_at};

/// What kind of condition the sense data report (SPC-5 4.4.8).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
#[allow(missing_docs)] // The names are the standard's own.
pub enum SenseKey {
    NoSense = 0x0,
    RecoveredError = 0x1,
    NotReady = 0x2,
    MediumError = 0x3,
    HardwareError = 0x4,
    IllegalRequest = 0x5,
    UnitAttention = 0x6,
    DataProtect = 0x7,
    BlankCheck = 0x8,
    VendorSpecific = 0x9,
    CopyAborted = 0xa,
    AbortedCommand = 0xb,
    Reserved = 0xc,
    VolumeOverflow = 0xd,
    Miscompare = 0xe,
    Completed = 0xf,
}

impl SenseKey {
    /// The key in the low four bits of `byte`.
    #[must_use]
    pub fn from_low_bits(byte: u8) -> Self {
        use SenseKey::*;
        const ALL: [SenseKey; 16] = [
            NoSense,
            RecoveredError,
            NotReady,
            MediumError,
            HardwareError,
            IllegalRequest,
            UnitAttention,
            DataProtect,
            BlankCheck,
            VendorSpecific,
            CopyAborted,
            AbortedCommand,
            Reserved,
            VolumeOverflow,
            Miscompare,
            Completed,
        ];
        ALL[usize::from(byte & 0x0f)]
    }
}

/// An additional sense code and its qualifier (SPC-5 4.4.10).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Asc(pub u8, pub u8);

macro_rules! additional_sense {
    ($($(#[$doc:meta])* $name:ident = $asc:literal, $ascq:literal, $text:literal;)*) => {
        impl Asc {
            $(#[doc = concat!($text, ".")] pub const $name: Asc = Asc($asc, $ascq);)*

            /// What the standard calls this code, in lower case; `None` where this crate has no name for it.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                match (self.0, self.1) {
                    $(($asc, $ascq) => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

additional_sense! {
    NONE = 0x00, 0x00, "no additional sense information";
    BECOMING_READY = 0x04, 0x01, "logical unit is in process of becoming ready";
    INITIALIZING_COMMAND_REQUIRED = 0x04, 0x02, "logical unit not ready, initializing command required";
    ASYMMETRIC_ACCESS_TRANSITION = 0x04, 0x0a, "logical unit not accessible, asymmetric access state transition";
    WRITE_ERROR = 0x0c, 0x00, "write error";
    UNEXPECTED_UNSOLICITED_DATA = 0x0c, 0x0c, "write error, unexpected unsolicited data";
    NOT_ENOUGH_UNSOLICITED_DATA = 0x0c, 0x0d, "write error, not enough unsolicited data";
    UNRECOVERED_READ_ERROR = 0x11, 0x00, "unrecovered read error";
    PARAMETER_LIST_LENGTH_ERROR = 0x1a, 0x00, "parameter list length error";
    MISCOMPARE_DURING_VERIFY = 0x1d, 0x00, "miscompare during verify operation";
    INVALID_COMMAND_OPERATION_CODE = 0x20, 0x00, "invalid command operation code";
    LBA_OUT_OF_RANGE = 0x21, 0x00, "logical block address out of range";
    INVALID_FIELD_IN_CDB = 0x24, 0x00, "invalid field in CDB";
    LOGICAL_UNIT_NOT_SUPPORTED = 0x25, 0x00, "logical unit not supported";
    INVALID_FIELD_IN_PARAMETER_LIST = 0x26, 0x00, "invalid field in parameter list";
    INVALID_RELEASE_OF_PERSISTENT_RESERVATION = 0x26, 0x04, "invalid release of persistent reservation";
    WRITE_PROTECTED = 0x27, 0x00, "write protected";
    SPACE_ALLOCATION_FAILED = 0x27, 0x07, "space allocation failed, write protect";
    MEDIUM_MAY_HAVE_CHANGED = 0x28, 0x00, "not ready to ready change, medium may have changed";
    POWER_ON_OR_RESET = 0x29, 0x00, "power on, reset, or bus device reset occurred";
    POWER_ON_OCCURRED = 0x29, 0x01, "power on occurred";
    BUS_DEVICE_RESET = 0x29, 0x03, "bus device reset function occurred";
    NEXUS_LOSS_OCCURRED = 0x29, 0x07, "I_T nexus loss occurred";
    PARAMETERS_CHANGED = 0x2a, 0x00, "parameters changed";
    MODE_PARAMETERS_CHANGED = 0x2a, 0x01, "mode parameters changed";
    RESERVATIONS_PREEMPTED = 0x2a, 0x03, "reservations preempted";
    RESERVATIONS_RELEASED = 0x2a, 0x04, "reservations released";
    REGISTRATIONS_PREEMPTED = 0x2a, 0x05, "registrations preempted";
    ASYMMETRIC_ACCESS_STATE_CHANGED = 0x2a, 0x06, "asymmetric access state changed";
    CAPACITY_DATA_HAS_CHANGED = 0x2a, 0x09, "capacity data has changed";
    COMMANDS_CLEARED_BY_ANOTHER_INITIATOR = 0x2f, 0x00, "commands cleared by another initiator";
    INSUFFICIENT_TIME_FOR_OPERATION = 0x2e, 0x00, "insufficient time for operation";
    SAVING_PARAMETERS_NOT_SUPPORTED = 0x39, 0x00, "saving parameters not supported";
    MEDIUM_NOT_PRESENT = 0x3a, 0x00, "medium not present";
    INQUIRY_DATA_HAS_CHANGED = 0x3f, 0x03, "inquiry data has changed";
    REPORTED_LUNS_DATA_HAS_CHANGED = 0x3f, 0x0e, "reported LUNs data has changed";
    INTERNAL_TARGET_FAILURE = 0x44, 0x00, "internal target failure";
    INVALID_MESSAGE = 0x49, 0x00, "invalid message error";
    DATA_PHASE_ERROR = 0x4b, 0x00, "data phase error";
    OVERLAPPED_COMMANDS = 0x4e, 0x00, "overlapped commands attempted";
    PROTOCOL_SERVICE_CRC_ERROR = 0x47, 0x05, "protocol service CRC error";
    MEDIUM_REMOVAL_PREVENTED = 0x53, 0x02, "medium removal prevented";
    INSUFFICIENT_REGISTRATION_RESOURCES = 0x55, 0x04, "insufficient registration resources";
    THRESHOLD_EXCEEDED = 0x5d, 0x00, "failure prediction threshold exceeded";
}

impl fmt::Debug for Asc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Asc({:02x}/{:02x})", self.0, self.1)
    }
}

/// Where in the CDB or in the parameter list the offending field is (SPC-5 4.4.2.4.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FieldPointer {
    /// The field is in the CDB; otherwise in the parameter list.
    pub in_cdb: bool,
    /// First byte of the field.
    pub byte: u16,
    /// The most significant bit of the field, where it is not a whole byte.
    pub bit: Option<u8>,
}

/// Sense data, whichever format they came in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Sense {
    /// What kind of condition.
    pub key: SenseKey,
    /// Additional sense code.
    pub asc: u8,
    /// Its qualifier.
    pub ascq: u8,
    /// The INFORMATION field where it is valid, for instance the LBA of an unrecovered error or the byte of a miscompare.
    pub information: Option<u64>,
    /// The offending field of an ILLEGAL REQUEST.
    pub field: Option<FieldPointer>,
    /// The condition belongs to an earlier command (response codes 71h and 73h).
    pub deferred: bool,
}

/// Sense data that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SenseError {
    /// Fewer bytes than the format needs for key and code.
    #[error("sense data of {len} bytes are too short to hold a sense key")]
    TooShort {
        /// How many bytes there were.
        len: usize,
    },
    /// A response code other than 70h–73h.
    #[error("sense data with the unknown response code 0x{0:02x}")]
    UnknownResponseCode(u8),
}

const FIXED_LEN: usize = 18;
const DESCRIPTOR_INFORMATION: u8 = 0x00;
const DESCRIPTOR_KEY_SPECIFIC: u8 = 0x02;

impl Sense {
    /// Sense data of a current condition, without further information.
    #[must_use]
    pub const fn new(key: SenseKey, code: Asc) -> Self {
        Self {
            key,
            asc: code.0,
            ascq: code.1,
            information: None,
            field: None,
            deferred: false,
        }
    }

    /// ILLEGAL REQUEST with `code`.
    #[must_use]
    pub const fn illegal_request(code: Asc) -> Self {
        Self::new(SenseKey::IllegalRequest, code)
    }

    /// ILLEGAL REQUEST, INVALID FIELD IN CDB, pointing at a byte of the CDB.
    #[must_use]
    pub const fn invalid_field_in_cdb(byte: u16) -> Self {
        Self::illegal_request(Asc::INVALID_FIELD_IN_CDB).at(FieldPointer {
            in_cdb: true,
            byte,
            bit: None,
        })
    }

    /// ILLEGAL REQUEST, INVALID FIELD IN PARAMETER LIST, pointing at a byte of the list.
    #[must_use]
    pub const fn invalid_field_in_parameters(byte: u16) -> Self {
        Self::illegal_request(Asc::INVALID_FIELD_IN_PARAMETER_LIST).at(FieldPointer {
            in_cdb: false,
            byte,
            bit: None,
        })
    }

    /// UNIT ATTENTION with `code`.
    #[must_use]
    pub const fn unit_attention(code: Asc) -> Self {
        Self::new(SenseKey::UnitAttention, code)
    }

    /// With the INFORMATION field.
    #[must_use]
    pub const fn with_information(mut self, information: u64) -> Self {
        self.information = Some(information);
        self
    }

    /// With the pointer at the offending field.
    #[must_use]
    pub const fn at(mut self, field: FieldPointer) -> Self {
        self.field = Some(field);
        self
    }

    /// Code and qualifier as one value.
    #[must_use]
    pub const fn code(&self) -> Asc {
        Asc(self.asc, self.ascq)
    }

    /// Whether this is the condition (`key`, `code`).
    #[must_use]
    pub fn is(&self, key: SenseKey, code: Asc) -> bool {
        self.key == key && self.code() == code
    }

    /// Reads either format (SPC-5 4.4.2, 4.4.3). Descriptors that are cut short or unknown are left out; the
    /// additional bytes of a fixed format that is shorter than 18 bytes are taken as zero.
    ///
    /// # Errors
    /// [`SenseError`] where not even key and code can be read.
    pub fn parse(bytes: &[u8]) -> Result<Self, SenseError> {
        let too_short = SenseError::TooShort { len: bytes.len() };
        let response_code = bytes.first().ok_or(too_short)? & 0x7f;
        match response_code {
            0x70 | 0x71 => Self::parse_fixed(bytes, response_code == 0x71).ok_or(too_short),
            0x72 | 0x73 => Self::parse_descriptor(bytes, response_code == 0x73).ok_or(too_short),
            other => Err(SenseError::UnknownResponseCode(other)),
        }
    }

    fn parse_fixed(bytes: &[u8], deferred: bool) -> Option<Self> {
        let key = SenseKey::from_low_bits(u8_at(bytes, 2)?);
        let valid = bytes.first()? & 0x80 != 0;
        let additional_len = usize::from(u8_at(bytes, 7).unwrap_or(0));
        let bytes = &bytes[..bytes.len().min(8 + additional_len)];
        Some(Self {
            key,
            asc: u8_at(bytes, 12).unwrap_or(0),
            ascq: u8_at(bytes, 13).unwrap_or(0),
            information: if valid {
                u32_at(bytes, 3).map(u64::from)
            } else {
                None
            },
            field: bytes
                .get(15..18)
                .and_then(|specific| parse_field_pointer(key, specific)),
            deferred,
        })
    }

    fn parse_descriptor(bytes: &[u8], deferred: bool) -> Option<Self> {
        let [_, key, asc, ascq] = *bytes.first_chunk::<4>()?;
        let key = SenseKey::from_low_bits(key);
        let mut sense = Self {
            key,
            asc,
            ascq,
            information: None,
            field: None,
            deferred,
        };
        let additional_len = usize::from(u8_at(bytes, 7).unwrap_or(0));
        let mut rest = bytes.get(8..bytes.len().min(8 + additional_len)).unwrap_or(&[]);
        while let [kind, len, ..] = *rest {
            let end = 2 + usize::from(len);
            let Some(descriptor) = rest.get(..end) else { break };
            match kind {
                DESCRIPTOR_INFORMATION if u8_at(descriptor, 2).is_some_and(|b| b & 0x80 != 0) => {
                    sense.information = u64_at(descriptor, 4);
                }
                DESCRIPTOR_KEY_SPECIFIC => {
                    sense.field = descriptor
                        .get(4..7)
                        .and_then(|specific| parse_field_pointer(key, specific));
                }
                _ => {}
            }
            rest = &rest[end..];
        }
        Some(sense)
    }

    /// The 18 bytes of the fixed format. INFORMATION that does not fit into 32 bits is left out, as SPC-5 asks.
    #[must_use]
    pub fn to_fixed(&self) -> [u8; FIXED_LEN] {
        let mut bytes = [0; FIXED_LEN];
        bytes[0] = if self.deferred { 0x71 } else { 0x70 };
        if let Some(information) = self.information.and_then(|value| u32::try_from(value).ok()) {
            bytes[0] |= 0x80;
            bytes[3..7].copy_from_slice(&information.to_be_bytes());
        }
        bytes[2] = self.key as u8;
        bytes[7] = 10;
        bytes[12] = self.asc;
        bytes[13] = self.ascq;
        if let Some(field) = self.field {
            bytes[15..18].copy_from_slice(&emit_field_pointer(field));
        }
        bytes
    }

    /// The descriptor format with the descriptors that are needed.
    #[must_use]
    pub fn to_descriptor(&self) -> Vec<u8> {
        let response_code = if self.deferred { 0x73 } else { 0x72 };
        let mut bytes = vec![response_code, self.key as u8, self.asc, self.ascq, 0, 0, 0, 0];
        if let Some(information) = self.information {
            bytes.extend_from_slice(&[DESCRIPTOR_INFORMATION, 0x0a, 0x80, 0]);
            bytes.extend_from_slice(&information.to_be_bytes());
        }
        if let Some(field) = self.field {
            bytes.extend_from_slice(&[DESCRIPTOR_KEY_SPECIFIC, 0x06, 0, 0]);
            bytes.extend_from_slice(&emit_field_pointer(field));
            bytes.push(0);
        }
        bytes[7] = (bytes.len() - 8) as u8; // at most two descriptors: 20 bytes
        bytes
    }
}

fn parse_field_pointer(key: SenseKey, specific: &[u8]) -> Option<FieldPointer> {
    let &[flags, high, low] = specific else {
        return None;
    };
    if key != SenseKey::IllegalRequest || flags & 0x80 == 0 {
        return None;
    }
    Some(FieldPointer {
        in_cdb: flags & 0x40 != 0,
        byte: u16::from_be_bytes([high, low]),
        bit: (flags & 0x08 != 0).then_some(flags & 0x07),
    })
}

fn emit_field_pointer(field: FieldPointer) -> [u8; 3] {
    let [high, low] = field.byte.to_be_bytes();
    let bit = field.bit.map_or(0, |bit| 0x08 | (bit & 0x07));
    [0x80 | if field.in_cdb { 0x40 } else { 0 } | bit, high, low]
}

impl fmt::Display for Sense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:02x}/{:02x}", self.key, self.asc, self.ascq)?;
        if let Some(name) = self.code().name() {
            write!(f, " ({name})")?;
        }
        if let Some(information) = self.information {
            write!(f, ", information {information}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
