//! A mount namespace for each test, image files, loop devices; all is taken away when the test ends, however it ends.

#![allow(dead_code, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use longshore_mount::{
    DetachedMount, DeviceNumber, DuplicateUuid, MountError, MountInfo, MountNamespace, MountOptions,
    MountRequest, OptionDefaults, PlacedMount, TargetDirectory, TargetRoot, mount_filesystem,
};

pub(crate) const MIB: u64 = 1 << 20;

/// A deadline that no test reaches on any machine that works.
pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(300)
}

/// Runs a command of others that must succeed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A private mount namespace for the calling thread, with a directory to work in. The mounts end with the thread.
pub(crate) struct Sandbox {
    directory: tempfile::TempDir,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        use rustix::thread::UnshareFlags;
        // The mount namespace and the working directory are this thread's own from here on. The other form of this
        // call is unsafe, for flags that are not used here.
        #[allow(deprecated)]
        rustix::thread::unshare(UnshareFlags::NEWNS | UnshareFlags::FS).expect("unshare: run as root");
        run("mount", &["--make-rprivate", "/"]);
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    pub(crate) fn root(&self) -> TargetRoot {
        TargetRoot::open(own(), self.path()).unwrap()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // The directory can only be removed when nothing is mounted below it.
        let Ok(info) = MountInfo::read_own() else { return };
        let mut points: Vec<&Path> = info.below(self.path()).map(|e| e.mount_point.as_path()).collect();
        points.reverse();
        for point in points {
            let _ = rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH);
        }
    }
}

pub(crate) fn own() -> MountNamespace {
    MountNamespace::own().unwrap()
}

/// A loop device with a file system.
pub(crate) struct Loop {
    pub(crate) path: PathBuf,
    pub(crate) image: PathBuf,
    _directory: tempfile::TempDir,
}

impl Loop {
    pub(crate) fn blank(size_bytes: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        std::fs::File::create(&image)
            .unwrap()
            .set_len(size_bytes)
            .unwrap();
        Self::on(directory, image)
    }

    fn on(directory: tempfile::TempDir, image: PathBuf) -> Self {
        let path = PathBuf::from(run("losetup", &["--find", "--show", image.to_str().unwrap()]));
        Self {
            path,
            image,
            _directory: directory,
        }
    }

    pub(crate) fn with(fs_type: &str) -> Self {
        let (size, force) = match fs_type {
            "ext4" => (32 * MIB, "-q"),
            "xfs" => (300 * MIB, "-q"),
            _ => (128 * MIB, "-q"),
        };
        let device = Self::blank(size);
        run(
            &format!("mkfs.{fs_type}"),
            &[force, device.image.to_str().unwrap()],
        );
        device
    }

    /// Another loop device with the same content as this has now.
    pub(crate) fn copy(&self) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        std::fs::copy(&self.image, &image).unwrap();
        Self::on(directory, image)
    }

    pub(crate) fn number(&self) -> DeviceNumber {
        DeviceNumber::of_node(&self.path).unwrap().unwrap()
    }

    pub(crate) fn request<'a>(&'a self, options: &'a MountOptions, read_only: bool) -> MountRequest<'a> {
        MountRequest {
            source: &self.path,
            device: self.number(),
            options,
            read_only,
            duplicate_uuid: DuplicateUuid::Refuse,
        }
    }

    pub(crate) fn mount(
        &self,
        fs_type: &str,
        words: &[&str],
        read_only: bool,
    ) -> Result<DetachedMount, MountError> {
        let options = MountOptions::parse(fs_type, words, OptionDefaults::default()).unwrap();
        mount_filesystem(&self.request(&options, read_only), soon())
    }

    /// Mounted and placed at a new directory of the sandbox.
    pub(crate) fn place(&self, fs_type: &str, sandbox: &Sandbox, name: &str) -> PlacedMount {
        sandbox.dir(name);
        let root = sandbox.root();
        let target = TargetDirectory::open(&root, Path::new(name)).unwrap();
        self.mount(fs_type, &[], false)
            .unwrap()
            .place(&target, self.number(), soon())
            .unwrap()
    }
}

/// Makes the kernel refuse writes to a loop device while it lives. The kernel keeps this flag with the device's
/// number, also for the next image, so it must always be taken back.
pub(crate) struct WriteProtected<'a>(&'a Loop);

impl<'a> WriteProtected<'a> {
    pub(crate) fn new(device: &'a Loop) -> Self {
        run("blockdev", &["--setro", device.path.to_str().unwrap()]);
        Self(device)
    }
}

impl Drop for WriteProtected<'_> {
    fn drop(&mut self) {
        let _ = Command::new("/usr/sbin/blockdev")
            .arg("--setrw")
            .arg(&self.0.path)
            .status();
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("/usr/sbin/losetup")
            .arg("-d")
            .arg(&self.path)
            .status();
    }
}

/// A process, killed and reaped when it is dropped.
pub(crate) struct Process(pub(crate) Child);

impl Process {
    /// Starts a shell that says "ready" once `before` is done, and then sleeps.
    pub(crate) fn shell(unshare: bool, before: &str) -> Self {
        use std::io::Read;
        let script = format!("{before} && echo ready && exec sleep 1000");
        let mut command = if unshare {
            Command::new("unshare")
        } else {
            Command::new("/bin/sh")
        };
        if unshare {
            command.args(["--mount", "--propagation", "private", "/bin/sh"]);
        }
        let mut child = command
            .args(["-c", &script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0_u8; 5];
        let out = child.stdout.take().unwrap().read_exact(&mut ready);
        let process = Self(child);
        out.unwrap();
        process
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
