//! SCSI as bytes and values: CDBs, sense data, VPD and mode pages, and the logical unit that answers them.
//!
//! Nothing here does I/O, knows a transport or reads a clock. Both sides of the wire live in one place: an initiator
//! builds a [`cdb::Cdb`] and parses the answer, a target parses the CDB and builds the answer, and the tests hold
//! the bytes of both against each other. [`unit::LogicalUnit`] is the device server of a direct-access block device:
//! it takes a CDB and gives a finished reply or an I/O step for its caller to carry out.
//!
//! Section numbers are those of SAM-5, SPC-5 and SBC-4.
#![forbid(unsafe_code)]

mod bytes;
pub mod capacity;
pub mod cdb;
pub mod identity;
pub mod inquiry;
pub mod lun;
pub mod mode;
pub mod report_luns;
pub mod sense;
pub mod status;
pub mod unit;
pub mod unmap;
pub mod vpd;

pub use lun::Lun;
pub use sense::Sense;
pub use status::Status;
