//! A FUSE request, parsed.

use bytes::Bytes;

use super::abi::{Fields, IN_HEADER, opcode};

/// A request with what its answer needs.
#[derive(Debug)]
pub(super) struct Request {
    /// Comes back in the answer as it is; bit 63 is set on one that was sent again.
    pub(super) unique: u64,
    pub(super) operation: Operation,
}

/// What is asked of the file.
#[derive(Debug)]
pub(super) enum Operation {
    Init {
        major: u32,
        minor: u32,
        max_readahead: u32,
        flags: u32,
        flags2: u32,
    },
    GetAttr,
    Open,
    StatFs,
    Read {
        offset: u64,
        len: u32,
    },
    Write {
        offset: u64,
        data: Bytes,
    },
    Fsync,
    Allocate {
        offset: u64,
        len: u64,
        mode: u32,
    },
    Release,
    Destroy,
    /// Kinds that the kernel expects no answer to.
    Unanswered,
    /// May not be done to this file.
    Forbidden,
    /// Not known here; the kernel does without.
    Unknown,
    /// Shorter than its own layout.
    Malformed {
        opcode: u32,
    },
}

/// Whether a header announces a write, whose data is to stay where it was read.
pub(super) fn is_write(header: &[u8]) -> bool {
    Fields::new(header.get(4..8).unwrap_or_default()).u32() == opcode::WRITE
}

impl Request {
    /// Parses what was read: the first bytes in `header`, for a write its data in `data`, for anything else the
    /// rest of the arguments.
    pub(super) fn parse(header: &[u8], data: Bytes) -> Self {
        let mut fields = Fields::new(header);
        let _len = fields.u32();
        let opcode = fields.u32();
        let unique = fields.u64();
        let mut args = Fields::new(header.get(IN_HEADER..).unwrap_or_default());
        let operation = match opcode {
            opcode::INIT => {
                return Self {
                    unique,
                    operation: init(header, &data),
                };
            }
            opcode::GETATTR => Operation::GetAttr,
            opcode::OPEN => Operation::Open,
            opcode::STATFS => Operation::StatFs,
            opcode::READ => {
                let (_fh, offset, len) = (args.u64(), args.u64(), args.u32());
                Operation::Read { offset, len }
            }
            opcode::WRITE => {
                let (_fh, offset, len) = (args.u64(), args.u64(), args.u32());
                args.short |= len as usize != data.len();
                Operation::Write { offset, data }
            }
            opcode::FSYNC => Operation::Fsync,
            opcode::FALLOCATE => {
                let (_fh, offset, len, mode) = (args.u64(), args.u64(), args.u64(), args.u32());
                Operation::Allocate { offset, len, mode }
            }
            opcode::RELEASE => Operation::Release,
            opcode::DESTROY => Operation::Destroy,
            opcode::FORGET | opcode::BATCH_FORGET | opcode::INTERRUPT | opcode::NOTIFY_REPLY => {
                Operation::Unanswered
            }
            opcode::SETATTR => Operation::Forbidden,
            // FLUSH too: the kernel then stops sending it on every close.
            _ => Operation::Unknown,
        };
        let operation = if args.short {
            Operation::Malformed { opcode }
        } else {
            operation
        };
        Self { unique, operation }
    }
}

fn init(header: &[u8], rest: &[u8]) -> Operation {
    let mut bytes = header.get(IN_HEADER..).unwrap_or_default().to_vec();
    bytes.extend_from_slice(rest);
    let mut fields = Fields::new(&bytes);
    let (major, minor, max_readahead, flags) = (fields.u32(), fields.u32(), fields.u32(), fields.u32());
    if fields.short {
        return Operation::Malformed { opcode: opcode::INIT };
    }
    // Absent before 7.36, hence zero then.
    let flags2 = fields.u32();
    Operation::Init {
        major,
        minor,
        max_readahead,
        flags,
        flags2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(opcode: u32, args: &[u64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&80u32.to_ne_bytes());
        bytes.extend_from_slice(&opcode.to_ne_bytes());
        bytes.extend_from_slice(&77u64.to_ne_bytes());
        bytes.extend_from_slice(&[0; 24]);
        for arg in args {
            bytes.extend_from_slice(&arg.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn a_write_whose_length_differs_from_its_data_is_malformed() {
        let bytes = header(opcode::WRITE, &[0, 4096, 512, 0, 0]);
        let request = Request::parse(&bytes, Bytes::from_static(&[1; 512]));
        assert!(matches!(
            request,
            Request {
                unique: 77,
                operation: Operation::Write { offset: 4096, .. }
            }
        ));
        let request = Request::parse(&bytes, Bytes::from_static(&[1; 511]));
        assert!(matches!(
            request.operation,
            Operation::Malformed {
                opcode: opcode::WRITE
            }
        ));
    }

    #[test]
    fn a_truncated_request_is_malformed_not_zero() {
        let bytes = header(opcode::READ, &[0, 4096]);
        assert!(matches!(
            Request::parse(&bytes, Bytes::new()).operation,
            Operation::Malformed { .. }
        ));
        assert!(matches!(
            Request::parse(&[], Bytes::new()),
            Request {
                unique: 0,
                operation: Operation::Unknown
            }
        ));
    }
}
