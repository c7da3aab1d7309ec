//! What the engine tells its caller while it works: steps with their names and durations.

use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// A step of an operation. The names are stable: they stand in the journal, in lock files and in failpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Waits for the volume, the LUN or the target directory while another call works on it.
    Lock,
    /// Logs in (or finds the session) and makes the block device.
    Attach,
    /// Makes the stable link to a raw block device.
    Link,
    /// Compares the WWID, and the file system's UUID, with the witness and the specification.
    Identify,
    /// Makes a file system on a device that the format gate found blank.
    Format,
    /// Lets the file system's own tool replay and check it (`e2fsck -p`).
    Check,
    /// Mounts the file system at its staging directory.
    Mount,
    /// Grows the file system to the size of its device.
    Grow,
    /// Places a clone of the staged mount on the target directory.
    Publish,
    /// Takes the mount off the target directory.
    Unpublish,
    /// Takes every layer off the staging directory.
    Unmount,
    /// Removes the stable link to a raw block device.
    Unlink,
    /// Removes the device, and logs out when it was the last of its session.
    Detach,
    /// Removes the volume from the journal.
    Forget,
}

impl Step {
    /// All steps that have a side effect, in no particular order.
    pub const WITH_EFFECT: [Step; 12] = [
        Step::Attach,
        Step::Link,
        Step::Format,
        Step::Check,
        Step::Mount,
        Step::Grow,
        Step::Publish,
        Step::Unpublish,
        Step::Unmount,
        Step::Unlink,
        Step::Detach,
        Step::Forget,
    ];

    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Step::Lock => "lock",
            Step::Attach => "attach",
            Step::Link => "link",
            Step::Identify => "identify",
            Step::Format => "format",
            Step::Check => "check",
            Step::Mount => "mount",
            Step::Grow => "grow",
            Step::Publish => "publish",
            Step::Unpublish => "unpublish",
            Step::Unmount => "unmount",
            Step::Unlink => "unlink",
            Step::Detach => "detach",
            Step::Forget => "forget",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One report of progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Which step.
    pub step: Step,
    /// What it works on: a device, a directory, a portal.
    pub subject: String,
    /// Where it stands.
    pub phase: Phase,
}

/// Where a step stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum Phase {
    /// It begins.
    Started,
    /// It waits, and for what ("pid 4711, step mount, since 3 s").
    Waiting {
        /// For whom or what.
        reason: String,
    },
    /// It is done.
    Finished {
        /// How long it took.
        #[serde(rename = "tookMicros", serialize_with = "micros")]
        took: Duration,
    },
    /// It failed; the error that the call returns says why.
    Failed,
    /// A part of a step that somebody else reports (the data plane's login, for instance).
    Detail {
        /// What.
        name: String,
        /// How long it took.
        #[serde(rename = "tookMicros", serialize_with = "micros")]
        took: Duration,
    },
}

fn micros<S: serde::Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(took.as_micros()).unwrap_or(u64::MAX))
}
