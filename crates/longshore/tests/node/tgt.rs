//! Debian's tgt as the array.

use super::{image, machine, wait};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A tgtd with one target; ended when dropped.
pub struct Tgt {
    daemon: Child,
    control: String,
    port: u16,
    pub iqn: String,
    disks: Vec<PathBuf>,
    chap: Option<Chap>,
    plain_serials: bool,
}

/// What the target asks for, and what it proves itself with.
#[derive(Clone)]
pub struct Chap {
    pub user: String,
    pub password: String,
    /// The target's own name and secret, for mutual CHAP.
    pub outgoing: Option<(String, String)>,
}

impl Tgt {
    /// Starts tgtd; the first of `disks` is LUN 1, because tgt keeps LUN 0 for itself.
    pub fn start(iqn: &str, disks: &[&Path], chap: Option<Chap>) -> Self {
        Self::new(iqn, disks, chap, false)
    }

    /// The same with the serial numbers that tgt makes up: equal for the same LUN of any two tgtd.
    pub fn start_with_plain_serials(iqn: &str, disks: &[&Path]) -> Self {
        Self::new(iqn, disks, None, true)
    }

    fn new(iqn: &str, disks: &[&Path], chap: Option<Chap>, plain_serials: bool) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        // The control socket's number is one of the whole machine, and at most 32,767; an ephemeral port that is ours
        // gives one that is ours.
        let control = (port % 32_768).to_string();
        let disks = disks.iter().map(|d| d.to_path_buf()).collect();
        let daemon = spawn(&control, port);
        let tgt = Self {
            daemon,
            control,
            port,
            iqn: iqn.to_owned(),
            disks,
            chap,
            plain_serials,
        };
        tgt.configure();
        tgt
    }

    /// `ADDRESS:PORT`.
    pub fn portal(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The iscsi:// address of the `index`-th disk, counted from 0.
    pub fn url(&self, index: u16) -> String {
        format!("iscsi://{}/{}/{}", self.portal(), self.iqn, index + 1)
    }

    /// `kill -9` of the array.
    pub fn kill(&mut self) {
        machine::kill(self.daemon.id());
        self.daemon.wait().unwrap();
    }

    /// The same array again, at the same address.
    pub fn start_again(&mut self) {
        self.daemon = spawn(&self.control, self.port);
        self.configure();
    }

    fn configure(&self) {
        let ready = wait(Duration::from_secs(20), || {
            self.admin(&["--op", "show", "--mode", "sys"]).is_ok()
        });
        assert!(ready, "tgtd does not answer");
        self.must(&["--op", "new", "--mode", "target", "--tid", "1", "-T", &self.iqn]);
        for (at, disk) in self.disks.iter().enumerate() {
            let (lun, file) = ((at + 1).to_string(), disk.display().to_string());
            self.must(&[
                "--op",
                "new",
                "--mode",
                "logicalunit",
                "--tid",
                "1",
                "--lun",
                &lun,
                "-b",
                &file,
            ]);
            if self.plain_serials {
                continue;
            }
            // tgt derives these from small numbers; an array of the field has its own.
            let serial = format!("{}{lun}", std::process::id());
            self.must(&[
                "--op",
                "update",
                "--mode",
                "logicalunit",
                "--tid",
                "1",
                "--lun",
                &lun,
                "--params",
                &format!("scsi_sn={serial}"),
            ]);
        }
        if let Some(chap) = &self.chap {
            self.account(&chap.user, &chap.password, false);
            if let Some((user, password)) = &chap.outgoing {
                self.account(user, password, true);
            }
        }
        self.must(&["--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL"]);
    }

    fn account(&self, user: &str, password: &str, outgoing: bool) {
        self.must(&[
            "--op",
            "new",
            "--mode",
            "account",
            "--user",
            user,
            "--password",
            password,
        ]);
        let mut words = vec!["--op", "bind", "--mode", "account", "--tid", "1", "--user", user];
        if outgoing {
            words.push("--outgoing");
        }
        self.must(&words);
    }

    #[track_caller]
    fn must(&self, words: &[&str]) {
        self.admin(words)
            .unwrap_or_else(|e| panic!("tgtadm {words:?}: {e}"));
    }

    fn admin(&self, words: &[&str]) -> Result<(), String> {
        let output = Command::new("tgtadm")
            .args(["-C", &self.control, "--lld", "iscsi"])
            .args(words)
            .output()
            .expect("tgtadm of the Debian package tgt");
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

fn spawn(control: &str, port: u16) -> Child {
    Command::new("tgtd")
        .args([
            "-f",
            "-C",
            control,
            "--iscsi",
            &format!("portal=127.0.0.1:{port}"),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("tgtd of the Debian package tgt")
}

impl Drop for Tgt {
    fn drop(&mut self) {
        machine::kill(self.daemon.id());
        let _ = self.daemon.wait();
    }
}

/// A tgt with an ext4 and an xfs that others' tools made.
pub fn two_disks(folder: &Path, chap: Option<Chap>) -> Tgt {
    let ext4 = image::ext4_with_file(folder, "tgt-ext4.img", "hello.txt", "from the array\n");
    let xfs = image::formatted(folder, "tgt-xfs.img", "xfs");
    Tgt::start("iqn.2003-01.org.example:tgt", &[&ext4, &xfs], chap)
}
