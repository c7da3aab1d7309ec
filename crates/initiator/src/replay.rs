//! Which commands may be sent again when their status was lost (SAM: the outcome is unknown).
//!
//! - **Always**: what only reads, and SYNCHRONIZE CACHE. When the target may have lost its cache (a unit attention
//!   29/xx), the retained writes go out again before any SYNCHRONIZE CACHE does.
//! - **After reinstatement**: WRITE, WRITE SAME, UNMAP. Only when the old session is known to be dead, so that none of
//!   its writes can land later: a login with the same ISID to the same portal group ended it (RFC 7143 §6.3.5), or a
//!   LOGICAL UNIT RESET did. No two writes whose ranges overlap are ever under way together, so the order of
//!   overlapping writes is the order in which they were given.
//! - **Never**: everything else, such as COMPARE AND WRITE and PERSISTENT RESERVE OUT.

use std::ops::Range;

use longshore_scsi::cdb::Cdb;

/// When a command may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayClass {
    /// On any new connection.
    Always,
    /// Once the old session is dead.
    AfterReinstatement,
    /// Never.
    Never,
}

/// The class of a command.
#[must_use]
pub fn class(cdb: &Cdb) -> ReplayClass {
    match cdb {
        Cdb::TestUnitReady
        | Cdb::Inquiry { .. }
        | Cdb::Read(_)
        | Cdb::ReadCapacity10 { .. }
        | Cdb::ReadCapacity16 { .. }
        | Cdb::ReportLuns { .. }
        | Cdb::ModeSense { .. }
        | Cdb::PersistentReserveIn { .. }
        | Cdb::SynchronizeCache { .. } => ReplayClass::Always,
        Cdb::Write(_) | Cdb::WriteSame { .. } | Cdb::Unmap { .. } => ReplayClass::AfterReinstatement,
        _ => ReplayClass::Never,
    }
}

/// The blocks that a replayable write changes. UNMAP names its blocks in its data; it counts as all of them.
pub(crate) fn written(cdb: &Cdb) -> Option<Range<u64>> {
    let range = |lba: u64, blocks: u32| lba..lba.saturating_add(u64::from(blocks));
    match *cdb {
        Cdb::Write(transfer) => Some(range(transfer.lba, transfer.blocks)),
        // No blocks means: to the end of the medium.
        Cdb::WriteSame { blocks: 0, lba, .. } => Some(lba..u64::MAX),
        Cdb::WriteSame { lba, blocks, .. } => Some(range(lba, blocks)),
        Cdb::Unmap { .. } => Some(0..u64::MAX),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules() {
        use ReplayClass::{AfterReinstatement, Always, Never};
        let compare = Cdb::CompareAndWrite {
            protect: 0,
            dpo: false,
            fua: false,
            lba: 0,
            blocks: 1,
        };
        let reserve = Cdb::PersistentReserveOut {
            service_action: 1,
            scope: 0,
            kind: 5,
            parameter_list_length: 24,
        };
        for (cdb, expected) in [
            (Cdb::read(0, 1), Always),
            (Cdb::inquiry(96), Always),
            (Cdb::vpd(0x83, 255), Always),
            (Cdb::TestUnitReady, Always),
            (Cdb::read_capacity_16(), Always),
            (Cdb::read_capacity_10(), Always),
            (Cdb::report_luns(64), Always),
            (Cdb::mode_sense_6(8, 255), Always),
            (
                Cdb::PersistentReserveIn {
                    service_action: 0,
                    allocation_length: 8,
                },
                Always,
            ),
            (Cdb::synchronize_cache(), Always),
            (Cdb::write(0, 1, false), AfterReinstatement),
            (Cdb::write_same_16(0, 1, true), AfterReinstatement),
            (Cdb::unmap(24), AfterReinstatement),
            (compare, Never),
            (reserve, Never),
            (Cdb::Reserve6, Never),
        ] {
            assert_eq!(class(&cdb), expected, "{cdb:?}");
        }
    }

    #[test]
    fn writes_name_their_blocks() {
        assert_eq!(written(&Cdb::write(5, 3, false)), Some(5..8));
        assert_eq!(written(&Cdb::write_same_16(9, 0, false)), Some(9..u64::MAX));
        assert_eq!(written(&Cdb::unmap(24)), Some(0..u64::MAX));
        assert_eq!(written(&Cdb::read(0, 1)), None);
        assert_eq!(written(&Cdb::write(u64::MAX, 7, false)), Some(u64::MAX..u64::MAX));
    }
}
