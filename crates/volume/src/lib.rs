//! The volume model, the engine that takes volumes up and down, and its journal.
//!
//! A front end builds a [`VolumeSpec`] and calls the [`Engine`]; it never names a backend. The engine records
//! each step in the journal before it takes it, so that after a kill at any point the same call or the opposite
//! call finishes the job. Several processes may run engines on the same directories at once.
#![forbid(unsafe_code)]

pub mod backend;
pub mod engine;
mod error;
pub mod failpoint;
pub mod host;
pub mod journal;
pub mod lock;
mod model;
mod progress;
pub mod sim;
#[cfg(test)]
mod tests;

pub use engine::{Call, Engine, EngineConfig};
pub use error::{ErrorKind, ErrorList, VolumeError};
pub use model::{
    Access, Chap, Condition, DataPath, FieldDifference, FormatPolicy, FsType, IscsiVolume, LunKey, Outcome,
    RecordedSource, RecordedSpec, Severity, Source, VolumeId, VolumeSpec,
};
pub use progress::{Phase, Progress, Step};
