//! Why a call to the data plane failed.

use std::io;
use std::path::PathBuf;

use crate::proto::{ErrorKind, RemoteError};
use crate::wire::WireError;

/// A failed call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The data plane answered that it could not.
    #[error("{0}")]
    Remote(RemoteError),
    /// It is there, but does not take a connection.
    #[error("cannot connect to the data plane at {}: {source}", socket.display())]
    Connect {
        /// Its socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It could not be started.
    #[error("the data plane did not start: {reason}{}", log_excerpt(log, excerpt))]
    Start {
        /// Why, as far as known.
        reason: String,
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        excerpt: String,
    },
    /// The directories cannot be used.
    #[error("cannot use the run and state directories: {0}")]
    Directories(io::Error),
    /// The conversation ended.
    #[error("the conversation with the data plane ended: {reason}")]
    Disconnected {
        /// Why.
        reason: String,
    },
    /// No answer until the deadline.
    #[error("the data plane did not answer before the deadline")]
    DeadlineExceeded,
}

impl ClientError {
    /// The kind of the failure, in the protocol's terms.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Remote(error) => error.kind,
            Self::DeadlineExceeded => ErrorKind::DeadlineExceeded,
            Self::Directories(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                ErrorKind::PermissionDenied
            }
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                ErrorKind::PermissionDenied
            }
            Self::Start { .. } | Self::Directories(_) => ErrorKind::Host,
            Self::Connect { .. } | Self::Disconnected { .. } => ErrorKind::Other,
        }
    }
}

impl From<WireError> for ClientError {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Io(error)
                if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) =>
            {
                Self::DeadlineExceeded
            }
            WireError::Io(error) => Self::Disconnected {
                reason: error.to_string(),
            },
            other => Self::Disconnected {
                reason: other.to_string(),
            },
        }
    }
}

fn log_excerpt(log: &std::path::Path, excerpt: &str) -> String {
    if excerpt.is_empty() {
        return format!(" (its log {} says nothing)", log.display());
    }
    format!("; the last lines of {}:\n{excerpt}", log.display())
}
