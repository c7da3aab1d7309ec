//! Turns failures into the protocol's errors, in one place.

use longshore_blockdev::ExportError;
use longshore_initiator::{
    Condition, DiscoverError, LoginFailure, LoginFailureKind, TransportError, UnitError,
};

use crate::proto::{ErrorKind, RemoteError};

pub(super) fn login(failure: &LoginFailure) -> RemoteError {
    let kind = match failure.kind() {
        LoginFailureKind::NoPortal => ErrorKind::InvalidRequest,
        LoginFailureKind::Unresolved => ErrorKind::ResolveFailed,
        LoginFailureKind::Unreachable => ErrorKind::Unreachable,
        LoginFailureKind::Timeout => ErrorKind::DeadlineExceeded,
        LoginFailureKind::TargetNotFound => ErrorKind::TargetNotFound,
        LoginFailureKind::Authentication => ErrorKind::AuthenticationFailed,
        LoginFailureKind::Bind => ErrorKind::Host,
        LoginFailureKind::Redirect | LoginFailureKind::Protocol => ErrorKind::LoginFailed,
    };
    RemoteError::new(kind, failure.to_string())
}

pub(super) fn discover(error: &DiscoverError) -> RemoteError {
    match error {
        DiscoverError::Login(failure) => login(failure),
        DiscoverError::Deadline { .. } => RemoteError::new(ErrorKind::DeadlineExceeded, error.to_string()),
        DiscoverError::Lost { .. } => RemoteError::new(ErrorKind::Unreachable, error.to_string()),
        DiscoverError::Answer { .. } => RemoteError::new(ErrorKind::Other, error.to_string()),
    }
}

pub(super) fn unit(error: &UnitError) -> RemoteError {
    let kind = match error {
        UnitError::Fenced(Condition::IdentityChanged { .. }) => ErrorKind::WwidMismatch,
        UnitError::Fenced(_) => ErrorKind::Conflict,
        UnitError::NoSuchLun { .. } => ErrorKind::LunNotFound,
        UnitError::NotADisk { .. } | UnitError::Unsupported { .. } => ErrorKind::Unsupported,
        UnitError::ReadOnly => ErrorKind::ReadOnlyMedium,
        UnitError::WritesLost { .. } => ErrorKind::FlushFailed,
        UnitError::Transport(TransportError::Deadline { .. }) => ErrorKind::DeadlineExceeded,
        _ => ErrorKind::Other,
    };
    RemoteError::new(kind, error.to_string())
}

pub(super) fn export(error: &ExportError) -> RemoteError {
    let kind = match error {
        ExportError::Invalid(_) => ErrorKind::Unsupported,
        ExportError::Busy { .. } => ErrorKind::Busy,
        ExportError::Flush { .. } => ErrorKind::FlushFailed,
        ExportError::Host { source, .. } if source.kind() == std::io::ErrorKind::TimedOut => {
            ErrorKind::DeadlineExceeded
        }
        _ => ErrorKind::Host,
    };
    RemoteError::new(kind, error.to_string())
}

/// The deadline passed while waiting for somebody else.
pub(super) fn late(what: &str) -> RemoteError {
    RemoteError::new(
        ErrorKind::DeadlineExceeded,
        format!("{what} did not come to an end before the deadline"),
    )
}
