//! What the kernel's log says about one device from a point in time on: many file systems explain a refused mount
//! only there (kernel `Documentation/ABI/testing/dev-kmsg`).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

use crate::device::DeviceNumber;

/// The most records that are looked at, and the most bytes that are kept.
const MAX_RECORDS: usize = 256;
const MAX_BYTES: usize = 1024;

/// A place in the kernel's log. Where `/dev/kmsg` may not be read (some containers), it stays silent.
pub(crate) struct KernelLog {
    file: Option<File>,
    device: Option<String>,
}

impl KernelLog {
    /// Remembers the present end of the log, for messages about `device`.
    pub(crate) fn from_now(device: DeviceNumber) -> Self {
        let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
        let file = File::options()
            .read(true)
            .custom_flags(nonblocking)
            .open("/dev/kmsg")
            .ok();
        let file = file.and_then(|mut file| file.seek(SeekFrom::End(0)).ok().map(|_| file));
        let name = std::fs::read_link(format!("/sys/dev/block/{device}")).ok();
        let device = name.and_then(|n| Some(n.file_name()?.to_str()?.to_owned()));
        Self { file, device }
    }

    /// The messages since then that name the device, joined.
    pub(crate) fn messages(self) -> String {
        let (Some(mut file), Some(device)) = (self.file, self.device) else {
            return String::new();
        };
        let mut text = String::new();
        let mut record = [0_u8; 8192];
        for _ in 0..MAX_RECORDS {
            // One record per read; an error is "no more" or "this one was overwritten".
            let Ok(len) = file.read(&mut record) else { break };
            let line = String::from_utf8_lossy(record.get(..len).unwrap_or_default());
            if let Some(message) = about(&line, &device) {
                if text.len() + message.len() > MAX_BYTES {
                    break;
                }
                if !text.is_empty() {
                    text.push_str("; ");
                }
                text.push_str(message);
            }
        }
        text
    }
}

/// `priority,sequence,time,flags;message` followed by lines with a dictionary.
fn about<'a>(record: &'a str, device: &str) -> Option<&'a str> {
    let message = record.split_once(';')?.1.lines().next()?.trim();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    message
        .split(|c| !is_name(c))
        .any(|word| word == device)
        .then_some(message)
}

#[cfg(test)]
mod tests {
    use super::about;

    #[test]
    fn only_messages_that_name_the_device() {
        let record = "3,1234,5678,-;XFS (loop1): logbufs value 1 is too small\n SUBSYSTEM=block\n";
        assert_eq!(
            about(record, "loop1"),
            Some("XFS (loop1): logbufs value 1 is too small")
        );
        assert_eq!(about(record, "loop"), None);
        assert_eq!(about("3,1,2,-;XFS (loop11): x", "loop1"), None);
        assert_eq!(about("no record", "loop1"), None);
    }
}
