//! The PDUs of RFC 7143 §11, one file each: typed struct, `parse`, `into_raw`, `Display`, byte vectors.
//!
//! `parse` never panics, whatever the bytes. As the RFC demands, reserved bits are written as zero and not looked at
//! when they arrive; what the RFC forbids is refused with a [`PduError`] that says who erred.
//!
//! `Display` shows tags, numbers and lengths and never the data, so it is fit for logs; `Debug` prints data segments.

mod async_message;
mod codes;
mod data_in;
mod data_out;
mod error;
mod login_request;
mod login_response;
mod logout_request;
mod logout_response;
mod nop_in;
mod nop_out;
mod opcode;
mod r2t;
mod raw;
mod reject;
mod scsi_command;
mod scsi_response;
mod sense_data;
mod snack_request;
mod stage;
mod tags;
mod task_management_request;
mod task_management_response;
mod text_request;
mod text_response;
#[cfg(test)]
mod wire;

pub use async_message::{AsyncEvent, AsyncMessage};
pub use codes::{
    LogoutReason, LogoutResponseCode, RejectReason, ServiceResponse, SnackType, TaskAttribute,
    TaskManagementFunction, TaskManagementResponseCode,
};
pub use data_in::{DataIn, DataInStatus};
pub use data_out::DataOut;
pub use error::{Fault, PduError};
pub use login_request::LoginRequest;
pub use login_response::{LoginResponse, LoginStatus};
pub use logout_request::LogoutRequest;
pub use logout_response::LogoutResponse;
pub use nop_in::NopIn;
pub use nop_out::NopOut;
pub use opcode::Opcode;
pub use r2t::R2t;
pub use raw::{BHS_LEN, Bhs, MAX_AHS_LEN, MAX_DATA_SEGMENT_LEN, RawPdu};
pub use reject::Reject;
pub use scsi_command::{MAX_EXTENDED_CDB_LEN, ScsiCommand};
pub use scsi_response::ScsiResponse;
pub use snack_request::SnackRequest;
pub use stage::Stage;
pub use tags::{Cid, InitiatorTaskTag, LunField, Residual, TargetTransferTag, Tsih};
pub use task_management_request::TaskManagementRequest;
pub use task_management_response::TaskManagementResponse;
pub use text_request::TextRequest;
pub use text_response::TextResponse;

use std::fmt;

macro_rules! pdus {
    ($($name:ident),+ $(,)?) => {
        /// Any PDU of either side.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each variant is the PDU of its name")]
        pub enum Pdu {
            $($name($name),)+
        }

        impl Pdu {
            /// Reads the PDU that the opcode names.
            ///
            /// # Errors
            /// An opcode that the RFC does not define, and whatever the PDU's own `parse` refuses.
            pub fn parse(raw: RawPdu) -> Result<Self, PduError> {
                match raw.opcode() {
                    $(Some(Opcode::$name) => $name::parse(raw).map(Self::$name),)+
                    None => Err(raw.refuse(
                        Fault::PeerIncompatible,
                        "Opcode",
                        u32::from(raw.opcode_bits()),
                        "this code names no PDU",
                    )),
                }
            }

            /// The PDU in wire form.
            pub fn into_raw(self) -> RawPdu {
                match self {
                    $(Self::$name(pdu) => pdu.into_raw(),)+
                }
            }

            /// What kind of PDU this is.
            pub const fn opcode(&self) -> Opcode {
                match self {
                    $(Self::$name(_) => Opcode::$name,)+
                }
            }
        }

        impl fmt::Display for Pdu {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name(pdu) => pdu.fmt(f),)+
                }
            }
        }

        $(
            impl From<$name> for Pdu {
                fn from(pdu: $name) -> Self {
                    Self::$name(pdu)
                }
            }

            impl From<$name> for RawPdu {
                fn from(pdu: $name) -> Self {
                    pdu.into_raw()
                }
            }
        )+
    };
}

pdus! {
    NopOut, ScsiCommand, TaskManagementRequest, LoginRequest, TextRequest, DataOut, LogoutRequest, SnackRequest,
    NopIn, ScsiResponse, TaskManagementResponse, LoginResponse, TextResponse, DataIn, LogoutResponse, R2t,
    AsyncMessage, Reject,
}
