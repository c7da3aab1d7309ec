//! A target of a running server, for changes while it runs.

use crate::config::LunConfig;
use crate::error::LunError;
use crate::lun::Lun;
use crate::server::Shared;
use crate::sync::{lock, read, write};
use crate::target::Target;
use std::net::SocketAddr;
use std::sync::Arc;

/// A target of a running server, for changes while it runs.
#[derive(Clone)]
pub struct TargetHandle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) target: Arc<Target>,
}

/// A logical unit as it is served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LunInfo {
    /// Its number.
    pub number: u16,
    /// Its WWID, as `longshore_scsi::identity::Wwid` writes it.
    pub wwid: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Length of a block in bytes.
    pub block_size_bytes: u32,
    /// Initiators can only read.
    pub read_only: bool,
}

/// A session that is logged in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionInfo {
    /// InitiatorName.
    pub initiator: String,
    /// ISID, as 12 hexadecimal digits.
    pub isid: String,
    /// TSIH.
    pub tsih: u16,
    /// Address of the initiator.
    pub peer: SocketAddr,
}

impl TargetHandle {
    /// The target's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.target.name.as_str()
    }

    /// All logical units.
    #[must_use]
    pub fn luns(&self) -> Vec<LunInfo> {
        read(&self.target.luns)
            .values()
            .map(|lun| LunInfo {
                number: lun.number,
                wwid: lun.wwid(),
                size_bytes: lock(&lun.unit).config().capacity.size_bytes(),
                block_size_bytes: lun.block_size_bytes,
                read_only: lun.read_only,
            })
            .collect()
    }

    /// All sessions.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionInfo> {
        let sessions = self
            .target
            .sessions()
            .into_iter()
            .filter(|session| !session.is_closed());
        sessions
            .map(|session| SessionInfo {
                initiator: session.key.0.to_string(),
                isid: session.key.1.0.iter().map(|byte| format!("{byte:02x}")).collect(),
                tsih: session.tsih.0,
                peer: session.peer,
            })
            .collect()
    }

    /// Adds a logical unit; initiators are told 3F/0E.
    ///
    /// # Errors
    /// [`LunError`]: the number is taken, the disk cannot be used, or its WWID is served already.
    pub fn add_lun(&self, config: &LunConfig) -> Result<(), LunError> {
        let _changing = lock(&self.shared.changing);
        if self.target.lun(config.number).is_some() {
            return Err(LunError::Taken(config.number));
        }
        let lun = self.open(config)?;
        self.target.put(lun);
        Ok(())
    }

    /// Takes a logical unit away, when the I/O that is under way has ended; initiators are told 3F/0E.
    ///
    /// # Errors
    /// [`LunError::Missing`].
    pub fn remove_lun(&self, number: u16) -> Result<(), LunError> {
        let _changing = lock(&self.shared.changing);
        self.target.take(number).map(drop)
    }

    /// Puts another disk under a number that is in use; initiators are told 3F/0E. If the new disk cannot be used, the
    /// old one stays.
    ///
    /// # Errors
    /// [`LunError`], as of [`add_lun`](Self::add_lun), and [`LunError::Missing`].
    pub fn replace_lun(&self, config: &LunConfig) -> Result<(), LunError> {
        let _changing = lock(&self.shared.changing);
        let old = self
            .target
            .lun(config.number)
            .ok_or(LunError::Missing(config.number))?;
        let new = self.open(config)?;
        self.target.put(new);
        old.retire();
        Ok(())
    }

    /// Changes the size of a logical unit's file; initiators are told 2A/09.
    ///
    /// # Errors
    /// [`LunError`]: there is no such unit, or its file cannot have that size.
    pub fn resize_lun(&self, number: u16, size_bytes: u64) -> Result<(), LunError> {
        let _changing = lock(&self.shared.changing);
        let lun = self.target.lun(number).ok_or(LunError::Missing(number))?;
        let _alone = write(&lun.gate);
        let resized = lun.disk.resize(size_bytes, lun.block_size_bytes);
        resized.map_err(|source| LunError::Disk { number, source })?;
        lock(&lun.unit).resize(size_bytes / u64::from(lun.block_size_bytes));
        Ok(())
    }

    /// Opens a disk that no other logical unit of the server is.
    pub(crate) fn open(&self, config: &LunConfig) -> Result<Lun, LunError> {
        let lun = Lun::open(config, &self.target.name.normalized())?;
        for target in &self.shared.targets {
            let luns = read(&target.luns);
            if let Some(other) = luns.values().find(|other| other.disk.naa() == lun.disk.naa()) {
                return Err(LunError::SameWwid {
                    number: lun.number,
                    path: config.path.display().to_string(),
                    wwid: lun.wwid(),
                    other: format!(
                        "LUN {} of {} ({})",
                        other.number,
                        target.name,
                        other.disk.path().display()
                    ),
                });
            }
        }
        Ok(lun)
    }
}
