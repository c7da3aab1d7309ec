//! A machine with loop devices as its storage: a backend of LUNs that are image files.

#![allow(clippy::unwrap_used)]

use longshore_disk::{Device as OpenDevice, DeviceError};
use longshore_volume::backend::{
    AttachRequest, Attached, Backend, BackendError, Backends, Cause, Device, DeviceKey, DeviceNumber,
};
use longshore_volume::host::LinuxHost;
use longshore_volume::{
    Call, Engine, EngineConfig, ErrorKind, IscsiVolume, LunKey, Outcome, RecordedSource, Source, VolumeError,
    VolumeSpec,
};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) const IQN: &str = "iqn.2003-01.org.example:loop";

pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect(program);
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {text} {errors}"
    );
    text
}

/// LUN n is the file `lun-n.img`.
struct LoopBackend {
    images: PathBuf,
}

impl LoopBackend {
    fn image(&self, lun: u16) -> PathBuf {
        self.images.join(format!("lun-{lun}.img"))
    }

    fn attached(&self, lun: u16) -> Option<Device> {
        let image = self.image(lun);
        let image = image.to_str().unwrap();
        let line = run(
            "losetup",
            &["--noheadings", "--raw", "--output", "NAME,RO", "-j", image],
        );
        let mut fields = line.lines().next()?.split_whitespace();
        let path = PathBuf::from(fields.next()?);
        let read_only = fields.next()? == "1";
        let number = longshore_mount::DeviceNumber::of_node(&path).ok()??;
        let size_bytes = OpenDevice::open(&path).ok()?.size_bytes();
        Some(Device {
            key: DeviceKey {
                target: IQN.into(),
                wwid: format!("naa.{lun:016x}"),
            },
            lun: LunKey::iscsi(IQN, lun),
            path,
            number: DeviceNumber {
                major: number.major,
                minor: number.minor,
            },
            read_only,
            size_bytes,
            description: "loop device".into(),
            session: "local".into(),
            conditions: Vec::new(),
        })
    }

    fn all(&self) -> Vec<Device> {
        (0..8).filter_map(|lun| self.attached(lun)).collect()
    }

    fn by_key(&self, key: &DeviceKey) -> Option<Device> {
        self.all().into_iter().find(|device| device.key == *key)
    }
}

impl Backend for LoopBackend {
    fn attach(&self, request: &AttachRequest<'_>, _: Instant) -> Result<Attached, BackendError> {
        let Source::Iscsi(IscsiVolume { lun, .. }) = request.source;
        if let Some(device) = self.attached(*lun) {
            let same = device.read_only == request.read_only;
            return match same {
                true => Ok(Attached {
                    device,
                    outcome: Outcome::AlreadySo,
                    steps: Vec::new(),
                }),
                false => Err(BackendError::new(
                    ErrorKind::Conflict,
                    "attached with another access",
                )),
            };
        }
        let image = self.image(*lun);
        if !image.exists() {
            return Err(BackendError::new(ErrorKind::NotFound, "no such LUN").because(Cause::Other));
        }
        let mut arguments = vec!["--find", "--show"];
        arguments.extend(request.read_only.then_some("--read-only"));
        arguments.push(image.to_str().unwrap());
        run("losetup", &arguments);
        let device = self.attached(*lun).unwrap();
        Ok(Attached {
            device,
            outcome: Outcome::Changed,
            steps: Vec::new(),
        })
    }

    fn find(&self, source: &RecordedSource, _: Instant) -> Result<Option<Device>, BackendError> {
        Ok(self
            .all()
            .into_iter()
            .find(|device| device.lun == source.lun_key()))
    }

    fn verify(&self, key: &DeviceKey, _: Instant) -> Result<Device, BackendError> {
        self.by_key(key)
            .ok_or_else(|| BackendError::new(ErrorKind::NotFound, "gone"))
    }

    fn rescan(&self, key: &DeviceKey, deadline: Instant) -> Result<Device, BackendError> {
        let device = self.verify(key, deadline)?;
        run("losetup", &["--set-capacity", device.path.to_str().unwrap()]);
        self.verify(key, deadline)
    }

    fn detach(&self, key: &DeviceKey, _force: bool, _: Instant) -> Result<Outcome, BackendError> {
        let Some(device) = self.by_key(key) else {
            return Ok(Outcome::AlreadySo);
        };
        match OpenDevice::open_exclusive(&device.path) {
            Ok(open) => drop(open),
            Err(error @ DeviceError::Busy { .. }) => {
                return Err(BackendError::new(ErrorKind::InUse, error.to_string()));
            }
            Err(error) => return Err(BackendError::new(ErrorKind::Internal, error.to_string())),
        }
        run("losetup", &["-d", device.path.to_str().unwrap()]);
        Ok(Outcome::Changed)
    }

    fn fail(&self, _key: &DeviceKey, _deadline: Instant) -> Result<Outcome, BackendError> {
        // A loop device on a file of this machine never waits for anybody.
        Ok(Outcome::AlreadySo)
    }

    fn list(&self, _: Instant) -> Result<Vec<Device>, BackendError> {
        Ok(self.all())
    }
}

/// An engine on this machine with directories and LUNs of its own. Drops take down what a failed test left.
pub(crate) struct Machine {
    dir: TempDir,
    pub(crate) engine: Engine,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let backend = LoopBackend {
            images: root.to_owned(),
        };
        let engine = Engine::open(EngineConfig {
            state_dir: root.join("state"),
            run_dir: root.join("run"),
            backends: Backends::new().with("iscsi", Box::new(backend)),
            host: Box::new(LinuxHost::new().unwrap()),
        });
        Machine {
            engine: engine.unwrap(),
            dir,
        }
    }

    pub(crate) fn image(&self, lun: u16) -> PathBuf {
        self.dir.path().join(format!("lun-{lun}.img"))
    }

    /// Makes (or grows) a LUN of zeros.
    pub(crate) fn size(&self, lun: u16, bytes: u64) {
        let file = std::fs::File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.image(lun));
        file.unwrap().set_len(bytes).unwrap();
    }

    pub(crate) fn target(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join("pods").join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    pub(crate) fn mount(&self, spec: &VolumeSpec, name: &str) -> Result<Outcome, VolumeError> {
        self.engine
            .mount(spec, &self.target(name), &mut call())
            .map(|(outcome, _)| outcome)
    }

    pub(crate) fn umount(&self, name: &str) {
        self.engine.umount(&self.target(name), &mut call()).unwrap();
    }

    fn mounts(&self) -> Vec<PathBuf> {
        let info = longshore_mount::MountInfo::read_own().unwrap();
        let below = |path: &&Path| path.starts_with(self.dir.path());
        info.entries()
            .iter()
            .map(|e| e.mount_point.as_path())
            .filter(below)
            .map(Path::to_owned)
            .collect()
    }

    fn loops(&self) -> Vec<String> {
        let all = run(
            "losetup",
            &["--noheadings", "--raw", "--output", "NAME,BACK-FILE"],
        );
        let dir = self.dir.path().to_str().unwrap().to_owned();
        let ours = all.lines().filter(|line| line.contains(&dir));
        ours.filter_map(|line| line.split_whitespace().next())
            .map(str::to_owned)
            .collect()
    }

    pub(crate) fn assert_clean(&self) {
        assert_eq!(self.mounts(), Vec::<PathBuf>::new());
        assert_eq!(self.loops(), Vec::<String>::new());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for at in self.mounts().into_iter().rev() {
            let _ = Command::new("umount")
                .args(["-l".as_ref(), at.as_os_str()])
                .status();
        }
        for device in self.loops() {
            let _ = Command::new("losetup").args(["-d", &device]).status();
        }
    }
}

pub(crate) fn spec(lun: u16) -> VolumeSpec {
    VolumeSpec::new(Source::Iscsi(IscsiVolume::new("127.0.0.1", IQN, lun)))
}

pub(crate) fn call() -> Call<'static> {
    Call::within(Duration::from_secs(120))
}
