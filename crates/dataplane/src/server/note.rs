//! What a data plane notes beside a device, for its successor: in memory only, secrets included.

use secrecy::{ExposeSecret, SecretSlice};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::proto::{AttachRequest, DeviceKey};

const VERSION: u32 = 1;

/// The note of one device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Note {
    version: u32,
    /// As it was asked for.
    pub(super) request: AttachRequest,
    /// As it was proved.
    pub(super) key: DeviceKey,
    pub(super) description: Description,
    pub(super) attached_at_unix_ms: u64,
    /// How often a successor took the device over.
    pub(super) takeovers: u32,
}

/// How the unit describes itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Description {
    pub(super) vendor: String,
    pub(super) product: String,
    pub(super) revision: String,
    pub(super) serial: Option<String>,
}

impl Note {
    pub(super) fn new(
        request: AttachRequest,
        key: DeviceKey,
        description: Description,
        now_unix_ms: u64,
    ) -> Self {
        Self {
            version: VERSION,
            request,
            key,
            description,
            attached_at_unix_ms: now_unix_ms,
            takeovers: 0,
        }
    }

    pub(super) fn encode(&self) -> Result<SecretSlice<u8>, serde_json::Error> {
        // Large enough not to move while it grows, which would leave a copy behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(16 << 10));
        serde_json::to_writer(&mut *bytes, self)?;
        Ok(SecretSlice::from(bytes.to_vec()))
    }

    /// Reads a note, also one of an older version.
    pub(super) fn decode(bytes: &SecretSlice<u8>) -> Result<Self, String> {
        // serde_json's errors quote names of fields, never values.
        let note: Self = serde_json::from_slice(bytes.expose_secret())
            .map_err(|error| format!("its note is malformed ({error})"))?;
        if note.version > VERSION {
            return Err(format!(
                "its note has version {}, and this program knows {VERSION}",
                note.version
            ));
        }
        Ok(note)
    }
}
