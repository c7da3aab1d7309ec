//! `longshore target serve` as the array: a process of its own, so that it can be killed.

use super::{image, machine};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// A running target; ended when dropped.
pub struct Served {
    daemon: Child,
    portal: String,
    pub iqn: String,
    arguments: Vec<String>,
}

impl Served {
    /// Serves `disks` as LUN 0, 1, …; `more` are further arguments of `target serve`.
    pub fn start(iqn: &str, disks: &[&Path], more: &[&str]) -> Self {
        let luns: Vec<String> = disks
            .iter()
            .enumerate()
            .map(|(lun, disk)| format!("{lun}={}", disk.display()))
            .collect();
        Self::start_with_luns(iqn, &luns, more)
    }

    /// The same with each LUN written as `--lun` takes it.
    pub fn start_with_luns(iqn: &str, luns: &[String], more: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let portal = format!("127.0.0.1:{port}");
        let mut arguments: Vec<String> = ["target", "serve", "--portal", &portal, "--iqn", iqn]
            .map(str::to_owned)
            .to_vec();
        for lun in luns {
            arguments.extend(["--lun".to_owned(), lun.clone()]);
        }
        arguments.extend(more.iter().map(|word| (*word).to_owned()));
        let daemon = spawn(&arguments);
        Self {
            daemon,
            portal,
            iqn: iqn.to_owned(),
            arguments,
        }
    }

    /// `ADDRESS:PORT`.
    pub fn portal(&self) -> String {
        self.portal.clone()
    }

    /// The iscsi:// address of the `index`-th disk, counted from 0.
    pub fn url(&self, index: u16) -> String {
        format!("iscsi://{}/{}/{index}", self.portal, self.iqn)
    }

    /// `kill -9` of the array.
    pub fn kill(&mut self) {
        machine::kill(self.daemon.id());
        self.daemon.wait().unwrap();
    }

    /// The same array again, at the same address.
    pub fn start_again(&mut self) {
        self.daemon = spawn(&self.arguments);
    }
}

/// Starts the target and waits for its first line, which says that it listens.
fn spawn(arguments: &[String]) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_longshore"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let output = child.stdout.take().unwrap();
    let (sender, first) = mpsc::channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(output);
        let mut line = String::new();
        let _ = reader.read_line(&mut line);
        let _ = sender.send(line);
        let _ = std::io::copy(&mut reader, &mut std::io::sink());
    });
    let line = first
        .recv_timeout(Duration::from_secs(30))
        .expect("the target says that it listens");
    assert!(!line.is_empty(), "the target ended at once: {arguments:?}");
    child
}

impl Drop for Served {
    fn drop(&mut self) {
        machine::kill(self.daemon.id());
        let _ = self.daemon.wait();
    }
}

/// Our target with an ext4 that holds one file and an xfs, both made by others' tools.
pub fn two_disks(folder: &Path, more: &[&str]) -> Served {
    let (ext4, xfs) = two_images(folder);
    Served::start("iqn.2003-01.org.example:ours", &[&ext4, &xfs], more)
}

fn two_images(folder: &Path) -> (PathBuf, PathBuf) {
    let ext4 = image::ext4_with_file(folder, "ours-ext4.img", "hello.txt", "from the array\n");
    (ext4, image::formatted(folder, "ours-xfs.img", "xfs"))
}
