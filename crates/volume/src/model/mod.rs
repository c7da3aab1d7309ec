//! The model: what a volume is, how it is named, and what may differ between two uses of it.

mod conflict;
mod id;
mod portal;
mod recorded;
mod spec;
mod validate;
mod words;

pub use conflict::FieldDifference;
pub(crate) use conflict::differences;
pub(crate) use id::short_hash;
pub use id::{LunKey, VolumeId};
pub use recorded::{RecordedSource, RecordedSpec};
pub use spec::{Chap, IscsiVolume, Source, VolumeSpec};
pub(crate) use validate::check_options;
pub use words::{Access, Condition, DataPath, FormatPolicy, FsType, Outcome, Severity};
