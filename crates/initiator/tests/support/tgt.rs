//! Debian's `tgtd` on a port of its own, with file-backed LUNs.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use longshore_initiator::Portal;

use super::{free_port, soon};

pub(crate) const TARGET: &str = "iqn.2026-11.org.longshore:tgt";

static NEXT_CONTROL: AtomicU32 = AtomicU32::new(0);

/// A running tgtd. It is killed when this is dropped, its files go with it.
pub(crate) struct Tgt {
    child: Child,
    control: String,
    pub(crate) port: u16,
    dir: tempfile::TempDir,
    luns: Vec<(u16, PathBuf)>,
    name: String,
    chap: Option<(String, String)>,
    mutual: Option<(String, String)>,
}

impl Tgt {
    /// Starts tgtd with LUNs 1 to `luns`, of `len` bytes each.
    pub(crate) fn start(luns: u16, len: u64) -> Tgt {
        Tgt::named(TARGET, luns, len)
    }

    /// As [`Tgt::start`], with a target name of its own.
    pub(crate) fn named(name: &str, luns: u16, len: u64) -> Tgt {
        let dir = tempfile::tempdir().unwrap();
        let files: Vec<(u16, PathBuf)> = (1..=luns)
            .map(|lun| {
                let path = dir.path().join(format!("lun{lun}"));
                std::fs::File::create(&path).unwrap().set_len(len).unwrap();
                (lun, path)
            })
            .collect();
        let (child, control, port) = spawn_somewhere();
        let mut tgt = Tgt {
            child,
            control,
            port,
            dir,
            luns: files,
            name: name.to_owned(),
            chap: None,
            mutual: None,
        };
        tgt.configure();
        tgt
    }

    pub(crate) fn with_chap(mut self, user: &str, secret: &str) -> Tgt {
        self.chap = Some((user.to_owned(), secret.to_owned()));
        self.configure_chap();
        self
    }

    /// The target proves itself too.
    pub(crate) fn with_mutual_chap(mut self, user: &str, secret: &str) -> Tgt {
        self.mutual = Some((user.to_owned(), secret.to_owned()));
        self.configure_chap();
        self
    }

    pub(crate) fn portal(&self) -> Portal {
        format!("127.0.0.1:{}", self.port).parse().unwrap()
    }

    pub(crate) fn file(&self, lun: u16) -> &Path {
        &self.luns.iter().find(|(number, _)| *number == lun).unwrap().1
    }

    /// As a power cut of the array, but for its page cache.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn restart(&mut self) {
        // The old control socket is still there and would make tgtd refuse to start.
        let _absent = std::fs::remove_file(format!("/var/run/tgtd/socket.{}", self.control));
        self.child = spawn(&self.control, self.port);
        assert!(
            is_ready(&mut self.child, &self.control, self.port),
            "tgtd does not start again"
        );
        self.configure();
        if self.chap.is_some() {
            self.configure_chap();
        }
    }

    fn configure(&mut self) {
        self.admin(&["--op", "new", "--mode", "target", "--tid", "1", "-T", &self.name]);
        for (lun, path) in &self.luns {
            let (lun, path) = (lun.to_string(), path.to_str().unwrap());
            self.admin(&[
                "--op",
                "new",
                "--mode",
                "logicalunit",
                "--tid",
                "1",
                "--lun",
                &lun,
                "-b",
                path,
            ]);
        }
        self.admin(&["--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL"]);
    }

    fn configure_chap(&self) {
        for (account, flag) in [(&self.chap, None), (&self.mutual, Some("--outgoing"))] {
            let Some((user, secret)) = account else { continue };
            // It may be there from before.
            let new = ["--op", "new", "--mode", "account", "--user", user];
            tgtadm(&self.control, &[&new[..], &["--password", secret]].concat());
            let bind = ["--op", "bind", "--mode", "account", "--tid", "1", "--user", user];
            let bind: Vec<&str> = bind.into_iter().chain(flag).collect();
            let bound = tgtadm(&self.control, &bind);
            let text = String::from_utf8_lossy(&bound.stderr).into_owned();
            assert!(
                bound.status.success() || text.contains("already"),
                "{bind:?}: {text}"
            );
        }
    }

    fn admin(&self, arguments: &[&str]) {
        let output = tgtadm(&self.control, arguments);
        assert!(
            output.status.success(),
            "tgtadm {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

impl Drop for Tgt {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
        let _absent = std::fs::remove_file(format!("/var/run/tgtd/socket.{}", self.control));
    }
}

/// Both the port and the number of the control socket may be somebody else's: then tgtd ends at once.
fn spawn_somewhere() -> (Child, String, u16) {
    for _ in 0..50 {
        let number = std::process::id().wrapping_mul(16) + NEXT_CONTROL.fetch_add(1, Ordering::Relaxed);
        let control = (number % 32_000 + 1).to_string();
        if Path::new(&format!("/var/run/tgtd/socket.{control}")).exists() {
            continue;
        }
        let port = free_port();
        let mut child = spawn(&control, port);
        if is_ready(&mut child, &control, port) {
            return (child, control, port);
        }
    }
    panic!("tgtd does not start, on none of 50 ports");
}

/// tgtd must listen and its control socket must answer; commands right after the start race. `false` when it ended.
fn is_ready(child: &mut Child, control: &str, port: u16) -> bool {
    let deadline = soon();
    while child.try_wait().unwrap().is_none() {
        let listens = std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        if listens
            && tgtadm(control, &["--op", "show", "--mode", "target"])
                .status
                .success()
        {
            return true;
        }
        assert!(Instant::now() < deadline, "tgtd does not answer on port {port}");
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

fn tgtadm(control: &str, arguments: &[&str]) -> Output {
    Command::new("tgtadm")
        .args(["-C", control, "--lld", "iscsi"])
        .args(arguments)
        .output()
        .unwrap()
}

fn spawn(control: &str, port: u16) -> Child {
    let portal = format!("portal=127.0.0.1:{port}");
    Command::new("tgtd")
        .args(["-f", "-C", control, "--iscsi", &portal])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("cannot start tgtd ({error}); install Debian's package tgt (`make test` does)")
        })
}
