//! SCSI status codes (SAM-5 5.3.1).

use std::fmt;

/// The status byte that ends a command. A status is a value: a command that ends with CHECK CONDITION was carried to
/// the device server and answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub u8);

impl Status {
    /// The command ended as it should.
    pub const GOOD: Status = Status(0x00);
    /// Sense data say what went wrong.
    pub const CHECK_CONDITION: Status = Status(0x02);
    /// PRE-FETCH: the requested blocks fit into the cache.
    pub const CONDITION_MET: Status = Status(0x04);
    /// The logical unit is busy; the command may be sent again later.
    pub const BUSY: Status = Status(0x08);
    /// Another I_T nexus holds a conflicting reservation. Final: a repeat fails too.
    pub const RESERVATION_CONFLICT: Status = Status(0x18);
    /// The task set is full; the command may be sent again when another one has ended.
    pub const TASK_SET_FULL: Status = Status(0x28);
    /// An auto contingent allegiance stands.
    pub const ACA_ACTIVE: Status = Status(0x30);
    /// Another nexus aborted the command and the TAS bit asked for an answer.
    pub const TASK_ABORTED: Status = Status(0x40);

    /// Whether the command did what it was asked for (GOOD or CONDITION MET).
    #[must_use]
    pub fn is_good(self) -> bool {
        self == Self::GOOD || self == Self::CONDITION_MET
    }

    /// The standard's name; `None` for a code that SAM-5 does not define.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::GOOD => "GOOD",
            Self::CHECK_CONDITION => "CHECK CONDITION",
            Self::CONDITION_MET => "CONDITION MET",
            Self::BUSY => "BUSY",
            Self::RESERVATION_CONFLICT => "RESERVATION CONFLICT",
            Self::TASK_SET_FULL => "TASK SET FULL",
            Self::ACA_ACTIVE => "ACA ACTIVE",
            Self::TASK_ABORTED => "TASK ABORTED",
            _ => return None,
        })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "status 0x{:02x}", self.0),
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Status({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_standards() {
        assert_eq!(Status(0x18).to_string(), "RESERVATION CONFLICT");
        assert_eq!(Status(0x77).to_string(), "status 0x77");
        assert!(Status::CONDITION_MET.is_good());
        assert!(!Status::BUSY.is_good());
    }
}
