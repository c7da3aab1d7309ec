//! The log of `hold` and the data plane: one file, and one older file, each bounded when it is opened.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::OFlags;

use crate::Dirs;

/// A log that is longer when it is opened becomes the older one.
const MAX_BYTES: u64 = 1 << 20;

/// Opens the log for appending; starts a new one when it is over 1 MiB.
pub(super) fn open(dirs: &Dirs) -> io::Result<File> {
    let path = dirs.log();
    if std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.len() > MAX_BYTES) {
        std::fs::rename(&path, path.with_extension("log.old"))?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits() as i32)
        .open(path)
}

/// Writes a line of `hold` to standard error, which is the log. A full disk must not end `hold`.
pub(super) fn line(text: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let _ = writeln!(io::stderr(), "{} hold: {text}", timestamp(now.as_secs()));
}

/// Seconds since 1970 as RFC 3339 has it. Days become a date by counting from the first of March, so that leap days
/// come last.
fn timestamp(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(timestamp(seconds), text);
        }
    }

    #[test]
    fn the_log_stays_bounded_and_private() {
        let base = tempfile::tempdir().unwrap();
        let dirs = Dirs::new(base.path(), base.path());
        open(&dirs).unwrap().write_all(&vec![b'x'; 2 << 20]).unwrap();
        open(&dirs).unwrap().write_all(b"new").unwrap();
        assert_eq!(std::fs::read(dirs.log()).unwrap(), b"new");
        std::fs::remove_file(dirs.log()).unwrap();
        std::os::unix::fs::symlink("/dev/null", dirs.log()).unwrap();
        assert!(open(&dirs).is_err(), "followed a symbolic link");
    }
}
