//! What is on the device decides what may be done: mount it, ask the format gate, or refuse and say why.

use super::work::Work;
use crate::backend::Device;
use crate::error::VolumeError;
use crate::host::{Content, FormatAnswer, FormatRequest};
use crate::journal::{FormatMark, LunRecord};
use crate::lock::{io_error, now_ms};
use crate::model::{FormatPolicy, FsType, VolumeSpec, check_options};
use crate::progress::{Phase, Step};
use serde_json::Map;
use std::path::Path;
use std::time::{Duration, Instant};

/// A file system that is on the device and may be mounted.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) fs_type: FsType,
    pub(super) fs_uuid: String,
    /// Its journal must be replayed.
    pub(super) dirty: bool,
    /// This call made it.
    pub(super) formatted: bool,
}

impl Work<'_, '_> {
    /// Finds the file system that the specification and the witness agree with, or makes one if everything allows it.
    pub(super) fn file_system(&mut self, spec: &VolumeSpec, device: &Device) -> Result<Found, VolumeError> {
        let mut known = self
            .engine
            .journal
            .lun(&self.lun())?
            .unwrap_or_else(|| LunRecord::new(self.lun()));
        match self.settled_content(&known, device)? {
            Content::FileSystem {
                fs_type,
                uuid,
                format_uuid,
                dirty,
            } => {
                let finished = known
                    .formatted
                    .as_mut()
                    .filter(|mark| !mark.complete && format_uuid.as_ref() == Some(&mark.fs_uuid));
                // A format that was interrupted after mkfs, or whose mkfs outlived us, turns out to be complete.
                let completed = finished.map(|mark| mark.complete_with(&uuid)).is_some();
                self.accept(spec, &known, device, fs_type, &uuid)?;
                if completed {
                    self.engine.journal.write_lun(&known)?;
                }
                Ok(Found {
                    fs_type,
                    fs_uuid: uuid,
                    dirty,
                    formatted: false,
                })
            }
            Content::Blank => self.make(spec, known, device),
            Content::Other { name } => Err(self.wrong_content(spec, &known, device, name)),
            Content::Unknown { reason } => Err(VolumeError::ContentUnknown {
                id: self.id.clone(),
                device: shown(device),
                reason,
            }),
        }
    }

    /// A tool (mkfs, e2fsck, resize2fs) that outlived a killed call of ours may be at work still: what it leaves is what
    /// counts.
    fn settled_content(&mut self, known: &LunRecord, device: &Device) -> Result<Content, VolumeError> {
        let with_tool = [Step::Format, Step::Check, Step::Grow].map(Step::as_str);
        let interrupted = known.formatted.as_ref().is_some_and(|mark| !mark.complete)
            || self
                .interrupted_at
                .as_deref()
                .is_some_and(|step| with_tool.contains(&step));
        loop {
            let held = interrupted && {
                let held = self.engine.config.host.is_held(&device.path);
                held.map_err(|e| self.host_error(Step::Identify, e))?
            };
            if !held {
                return self.probe(device);
            }
            self.call.check_time(&self.id, Step::Identify)?;
            let reason = "the tool of an interrupted call is still running".to_owned();
            self.call.tell(
                Step::Identify,
                &device.path.display().to_string(),
                Phase::Waiting { reason },
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn probe(&mut self, device: &Device) -> Result<Content, VolumeError> {
        self.call.check_time(&self.id, Step::Identify)?;
        let probed = self
            .engine
            .config
            .host
            .probe(&device.path, device.number, self.deadline());
        probed.map_err(|e| self.host_error(Step::Identify, e))
    }

    fn accept(
        &self,
        spec: &VolumeSpec,
        known: &LunRecord,
        device: &Device,
        fs_type: FsType,
        uuid: &str,
    ) -> Result<(), VolumeError> {
        if let Some(wanted) = spec.fs_type.filter(|wanted| *wanted != fs_type) {
            return Err(VolumeError::WrongContent {
                id: self.id.clone(),
                device: shown(device),
                found: format!("{fs_type} with the UUID {uuid}"),
                wanted: wanted.to_string(),
            });
        }
        let changed = |expected: &str, expected_by, remedy: String| {
            Err(VolumeError::IdentityChanged {
                id: self.id.clone(),
                what: "file system UUID",
                found: uuid.into(),
                expected: expected.to_owned(),
                expected_by,
                remedy: remedy.into(),
            })
        };
        match (&spec.fs_uuid, &known.fs_uuid, &known.formatted) {
            (Some(asked), _, _) if asked != uuid => changed(
                asked,
                "the specification's field fsUuid",
                "correct that field".to_owned(),
            ),
            (_, Some(before), _) if before != uuid => {
                changed(before, "the record of its earlier use", self.forget_remedy())
            }
            (_, None, Some(mark)) if mark.fs_uuid != uuid => {
                changed(&mark.fs_uuid, "the record of its format", self.forget_remedy())
            }
            _ => Ok(()),
        }
    }

    fn wrong_content(
        &self,
        spec: &VolumeSpec,
        known: &LunRecord,
        device: &Device,
        name: String,
    ) -> VolumeError {
        let interrupted = known.formatted.as_ref().filter(|mark| !mark.complete);
        let found = match interrupted {
            Some(mark) => format!(
                "{name} (a format to {} was interrupted here at {} s since the epoch; wipe the device by hand if \
                 you know that nothing else is on it)",
                mark.fs_type, mark.begun_at_s
            ),
            None => name,
        };
        let wanted = spec.fs_type.map_or_else(
            || "a file system that Longshore mounts".to_owned(),
            |t| t.to_string(),
        );
        VolumeError::WrongContent {
            id: self.id.clone(),
            device: shown(device),
            found,
            wanted,
        }
    }

    /// Every probed byte is zero: asks the format gate, with the record of the format written first (F2).
    fn make(
        &mut self,
        spec: &VolumeSpec,
        mut known: LunRecord,
        device: &Device,
    ) -> Result<Found, VolumeError> {
        if let Some(reason) = veto(spec, &known) {
            return Err(VolumeError::FormatRefused {
                id: self.id.clone(),
                device: shown(device),
                reason,
            });
        }
        let fs_type = spec.fs_type.unwrap_or(FsType::Ext4);
        let format_uuid = match &spec.fs_uuid {
            Some(uuid) => uuid.clone(),
            None => random_uuid()?,
        };
        check_options(fs_type, &spec.mount_options)?;
        let verified_at = Instant::now();
        let verified = self.verify_live(device, spec)?;
        let earlier = known.formatted.take();
        known.formatted = Some(FormatMark {
            wwid: device.key.wwid.clone(),
            fs_type,
            fs_uuid: format_uuid.clone(),
            begun_at_s: now_ms() / 1000,
            complete: false,
            extra: Map::new(),
        });
        let running = self.begin(Step::Format, device.path.display())?;
        self.engine.journal.write_lun(&known)?;
        let request = FormatRequest {
            device: &device.path,
            number: device.number,
            fs_type,
            uuid: &format_uuid,
            allowed: spec.format == FormatPolicy::IfBlank,
            wwid: &verified.key.wwid,
            size_bytes: verified.size_bytes,
            verified_at,
            earlier: earlier.as_ref(),
        };
        let answer = self.engine.config.host.format(&request, self.deadline());
        let answer = answer
            .map_err(|e| self.host_error(Step::Format, e))
            .and_then(|answer| match answer {
                FormatAnswer::Formatted { uuid } => Ok(uuid),
                FormatAnswer::Refused(reason) => Err(VolumeError::FormatRefused {
                    id: self.id.clone(),
                    device: shown(device),
                    reason,
                }),
            });
        if matches!(answer, Err(VolumeError::FormatRefused { .. })) {
            // The gate wrote nothing, so there was no new format.
            known.formatted = earlier;
            self.engine.journal.write_lun(&known)?;
        }
        let fs_uuid = self.end(running, answer)?;
        if let Some(mark) = &mut known.formatted {
            mark.complete_with(&fs_uuid);
        }
        self.engine.journal.write_lun(&known)?;
        Ok(Found {
            fs_type,
            fs_uuid,
            dirty: false,
            formatted: true,
        })
    }
}

/// Why a blank device is not even shown to the gate.
fn veto(spec: &VolumeSpec, known: &LunRecord) -> Option<String> {
    if let Some(mark) = known.formatted.as_ref().filter(|mark| mark.complete) {
        return Some(format!(
            "it reads as zeros, but Longshore made an {} with the UUID {} on it at {} s since the epoch; its data may \
             be hidden by a fault of the storage, so look there first. To give the data up, `longshore forget {}`",
            mark.fs_type, mark.fs_uuid, mark.begun_at_s, known.lun
        ));
    }
    if let Some(uuid) = &known.fs_uuid {
        return Some(format!(
            "it reads as zeros, but at its earlier use it held a file system with the UUID {uuid}; look at the storage \
             first. To give that up, `longshore forget {}`",
            known.lun
        ));
    }
    if spec.access.is_read_only() {
        return Some("it is blank, and a read-only volume is never formatted".into());
    }
    if spec.format == FormatPolicy::Never {
        return Some(
            "it is blank, and the volume does not allow it; if the LUN is new and yours, say format: ifBlank"
                .into(),
        );
    }
    if spec.fs_type == Some(FsType::Btrfs) && spec.fs_uuid.is_some() {
        return Some(
            "it is blank, and a new btrfs gets a UUID that mkfs.btrfs chooses, so it would not be the one of the \
             specification's field fsUuid; leave that field out for a LUN that is new"
                .into(),
        );
    }
    None
}

fn shown(device: &Device) -> String {
    format!("{} ({})", device.path.display(), device.key.wwid)
}

fn random_uuid() -> Result<String, VolumeError> {
    let uuid = longshore_disk::FsUuid::random();
    let uuid = uuid.map_err(|e| io_error("cannot get random bytes from", Path::new("the kernel"), e))?;
    Ok(uuid.to_string())
}
