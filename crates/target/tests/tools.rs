//! Initiators that others wrote: libiscsi's tools and QEMU (Debian packages libiscsi-bin, qemu-utils and
//! qemu-block-extra).

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use std::process::{Command, Output};

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new("timeout")
        .arg("120")
        .arg(program)
        .args(arguments)
        .output();
    output.unwrap_or_else(|error| panic!("cannot run {program}: {error}; install libiscsi-bin, qemu-utils"))
}

#[track_caller]
fn text(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text
}

#[test]
fn libiscsis_tools_find_and_describe_the_disks() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(target_config(dir.path()));
    let portal = format!("iscsi://{}", server.local_addr());
    let listed = text("iscsi-ls", &["-s", &portal]);
    assert!(
        listed.contains(&format!("Target:{TARGET} Portal:{},1", server.local_addr())),
        "{listed}"
    );
    assert!(listed.contains("Lun:0") && listed.contains("Lun:1"), "{listed}");
    let lun = format!("{portal}/{TARGET}/0");
    let inquiry = text("iscsi-inq", &[&lun]);
    assert!(
        inquiry.contains("Vendor:LNGSHORE") && inquiry.contains("DIRECT_ACCESS"),
        "{inquiry}"
    );
    let capacity = text("iscsi-readcapacity16", &[&lun]);
    assert!(capacity.contains("Total size:67108864"), "{capacity}");
    stop(server);
}

#[test]
fn libiscsi_proves_itself_with_mutual_chap() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = target_config(dir.path());
    let account = |name: &str, secret: &str| longshore_target::ChapConfig {
        name: name.into(),
        secret: secrecy::SecretString::from(secret),
        initiator: None,
    };
    config.chap.push(account("user", "initiator-secret"));
    config.mutual_chap = Some(account("disk", "target-secret-1"));
    let server = serve(config);
    let url = |secret: &str, target_secret: &str| {
        let (address, target) = (server.local_addr(), TARGET);
        format!("iscsi://user%{secret}@{address}/{target}/0?target_user=disk&target_password={target_secret}")
    };
    assert!(
        run("iscsi-inq", &[&url("initiator-secret", "target-secret-1")])
            .status
            .success()
    );
    assert!(
        !run("iscsi-inq", &[&url("wrong-secret-000", "target-secret-1")])
            .status
            .success()
    );
    assert!(
        !run("iscsi-inq", &[&url("initiator-secret", "wrong-secret-000")])
            .status
            .success()
    );
    stop(server);
}

#[test]
fn qemu_writes_reads_flushes_and_discards() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(target_config(dir.path()));
    let lun = format!("iscsi://{}/{TARGET}/0", server.local_addr());
    let commands = [
        "write -P 7 0 8M",
        "write -P 9 1M 64k",
        "write -z 2M 1M",
        "discard 3M 1M",
        "flush",
        "read -P 7 0 1M",
        "read -P 9 1M 64k",
        "read -P 0 2M 1M",
        "read -P 7 4M 4M",
    ];
    let mut arguments = vec!["-f", "raw"];
    commands
        .iter()
        .for_each(|command| arguments.extend(["-c", command]));
    arguments.push(&lun);
    let output = text("qemu-io", &arguments);
    assert!(
        !output.contains("failed") && !output.contains("mismatch"),
        "{output}"
    );

    let image = dir.path().join("source.img");
    let content: Vec<u8> = (0..8 * MIB as u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    std::fs::write(&image, &content).unwrap();
    let image = image.to_str().unwrap();
    text(
        "qemu-img",
        &["convert", "-n", "-f", "raw", "-O", "raw", image, &lun],
    );
    let back = dir.path().join("back.img");
    text(
        "qemu-img",
        &["convert", "-f", "raw", "-O", "raw", &lun, back.to_str().unwrap()],
    );
    assert!(
        std::fs::read(back).unwrap()[..content.len()] == content[..],
        "what was written is read back"
    );
    stop(server);
}
