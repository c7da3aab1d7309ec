//! Image files, loop devices and mounts for the tests, each taken away again when it is dropped.

#![allow(dead_code, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A deadline that no test reaches on any machine that works.
pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(300)
}

/// The tools under test: the system's, or those in the directories that `LONGSHORE_TEST_TOOLS` names (separated by
/// colons), to try another release's.
pub(crate) fn tools() -> longshore_disk::Tools {
    match std::env::var_os("LONGSHORE_TEST_TOOLS") {
        Some(directories) => longshore_disk::Tools::in_directories(std::env::split_paths(&directories)),
        None => longshore_disk::Tools::system(),
    }
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

/// A sparse image file in a directory of its own.
pub(crate) struct Image {
    _directory: tempfile::TempDir,
    pub(crate) path: PathBuf,
}

impl Image {
    pub(crate) fn new(size_bytes: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image");
        std::fs::File::create(&path).unwrap().set_len(size_bytes).unwrap();
        Self {
            _directory: directory,
            path,
        }
    }

    pub(crate) fn text(&self) -> &str {
        self.path.to_str().unwrap()
    }

    pub(crate) fn write(&self, at: u64, bytes: &[u8]) {
        use std::os::unix::fs::FileExt;
        std::fs::File::options()
            .write(true)
            .open(&self.path)
            .unwrap()
            .write_all_at(bytes, at)
            .unwrap();
    }

    pub(crate) fn read(&self, at: u64, len: usize) -> Vec<u8> {
        use std::os::unix::fs::FileExt;
        let mut bytes = vec![0; len];
        std::fs::File::open(&self.path)
            .unwrap()
            .read_exact_at(&mut bytes, at)
            .unwrap();
        bytes
    }

    /// Checks that not one byte was ever written.
    pub(crate) fn is_untouched(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(&self.path).unwrap().blocks() == 0
    }
}

/// A loop device on an image file.
pub(crate) struct Loop {
    pub(crate) path: PathBuf,
    pub(crate) image: Image,
}

impl Loop {
    pub(crate) fn new(size_bytes: u64, block_size: u32) -> Self {
        Self::of(Image::new(size_bytes), block_size, &[])
    }

    pub(crate) fn of(image: Image, block_size: u32, more: &[&str]) -> Self {
        let block_size = block_size.to_string();
        let mut arguments = vec!["--find", "--show", "--sector-size", &block_size];
        arguments.extend(more);
        arguments.push(image.text());
        let path = PathBuf::from(run("losetup", &arguments));
        Self { path, image }
    }

    pub(crate) fn text(&self) -> &str {
        self.path.to_str().unwrap()
    }

    pub(crate) fn number(&self) -> (u32, u32) {
        use std::os::unix::fs::MetadataExt;
        let rdev = std::fs::metadata(&self.path).unwrap().rdev();
        (rustix::fs::major(rdev), rustix::fs::minor(rdev))
    }
}

/// Makes the kernel refuse writes to a loop device while it lives. The kernel keeps this flag with the device's
/// number, also for the next image, so it must always be taken back.
pub(crate) struct WriteProtected<'a>(&'a Loop);

impl<'a> WriteProtected<'a> {
    pub(crate) fn new(device: &'a Loop) -> Self {
        run("blockdev", &["--setro", device.text()]);
        Self(device)
    }
}

impl Drop for WriteProtected<'_> {
    fn drop(&mut self) {
        let _ = Command::new("/usr/sbin/blockdev")
            .args(["--setrw", self.0.text()])
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

/// A mount by mount(8), taken away again.
pub(crate) struct Mounted {
    pub(crate) path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Mounted {
    pub(crate) fn new(device: &Path, options: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mnt");
        std::fs::create_dir(&path).unwrap();
        // A child process that another test is just starting holds a copy of our last claim until its exec.
        let deadline = soon();
        loop {
            let output = Command::new("/usr/bin/mount")
                .args(["-o", options])
                .args([device, path.as_path()])
                .env("LC_ALL", "C")
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() {
                break;
            }
            assert!(text.contains("busy") && Instant::now() < deadline, "{text}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self {
            path,
            _directory: directory,
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("/usr/bin/umount").arg(&self.path).status();
    }
}
