//! Tests of the allow-list.

use super::*;
use proptest::prelude::*;

fn parse(fs_type: &str, words: &[&str]) -> Result<MountOptions, OptionError> {
    MountOptions::parse(fs_type, words, OptionDefaults::default())
}

#[test]
fn read_only_never_replays_a_journal() {
    let parameters = |t: &str| MountOptions::defaults(t).expect("defaults").parameters(true);
    assert_eq!(parameters("ext4"), [("ro".into(), None), ("noload".into(), None)]);
    assert_eq!(
        parameters("xfs"),
        [("ro".into(), None), ("norecovery".into(), None)]
    );
    assert_eq!(
        parameters("btrfs"),
        [("ro".into(), None), ("rescue".into(), Some("nologreplay".into()))]
    );
    assert!(
        MountOptions::defaults("ext4")
            .expect("defaults")
            .parameters(false)
            .is_empty()
    );
}

#[test]
fn set_user_id_and_devices_are_off_unless_asked_for() {
    let off = MountOptions::defaults("xfs").expect("defaults").attributes(false);
    assert!(off.contains(MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV));
    let on = parse("xfs", &["suid", "dev", "noexec", "noatime"])
        .expect("options")
        .attributes(true);
    assert!(!on.intersects(MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV));
    assert!(on.contains(
        MountAttrFlags::MOUNT_ATTR_NOEXEC
            | MountAttrFlags::MOUNT_ATTR_NOATIME
            | MountAttrFlags::MOUNT_ATTR_RDONLY
    ));
}

#[test]
fn allowed_options_pass() {
    for (fs_type, words) in [
        (
            "ext4",
            &[
                "discard",
                "commit=30",
                "data=journal",
                "errors=remount-ro",
                "lazytime",
                "defaults",
            ][..],
        ),
        (
            "xfs",
            &["allocsize=64k", "logbsize=256k", "inode64", "prjquota"][..],
        ),
        (
            "btrfs",
            &[
                "compress=zstd:3",
                "compress-force=lzo",
                "subvol=/a/b",
                "subvolid=256",
                "discard=async",
            ][..],
        ),
        ("btrfs", &["compress"][..]),
    ] {
        assert!(
            parse(fs_type, words).is_ok(),
            "{fs_type} {words:?}: {:?}",
            parse(fs_type, words)
        );
    }
}

#[test]
fn what_is_dangerous_or_malformed_is_refused() {
    for (fs_type, word) in [
        ("ext4", "nobarrier"),
        ("ext4", "errors=panic"),
        ("ext4", "commit=-1"),
        ("ext4", "commit=99999999999999999999999"),
        ("ext4", "commit"),
        ("ext4", "discard=yes"),
        ("ext4", "journal_path=/dev/sda"),
        ("ext4", "inode64"),
        ("xfs", "nouuid"),
        ("xfs", "logdev=/dev/sdb"),
        ("xfs", "norecovery"),
        ("btrfs", "subvol=../x"),
        ("btrfs", "device=/dev/sdb"),
        ("btrfs", "compress=zstd:300"),
        ("ext4", "ro"),
        ("ext4", "remount"),
        ("ext4", "_netdev"),
    ] {
        let error = parse(fs_type, &[word]).expect_err(word);
        assert!(
            matches!(error, OptionError::NotAllowed { .. } | OptionError::Value { .. }),
            "{word}: {error}"
        );
        assert!(error.to_string().contains(word), "{error}");
    }
    for word in ["", "a,b", "noatime,suid", "x\ny", "x\0", "ä", "a b", "\u{7f}"] {
        assert!(
            matches!(parse("ext4", &[word]), Err(OptionError::Character { .. })),
            "{word:?}"
        );
    }
    assert!(matches!(parse("vfat", &["x"]), Err(OptionError::UnknownType(_))));
    assert_eq!(parse("ext4", &["sync"; 65]), Err(OptionError::TooMany));
}

#[test]
fn contradictions_are_named() {
    assert!(matches!(
        parse("ext4", &["discard", "nodiscard"]),
        Err(OptionError::Conflict { .. })
    ));
    assert!(matches!(
        parse("ext4", &["commit=5", "commit=6"]),
        Err(OptionError::Conflict { .. })
    ));
    assert!(parse("ext4", &["commit=5", "commit=5"]).is_ok());
}

proptest! {
    #[test]
    fn nothing_that_passes_holds_a_separator(word in "\\PC{0,300}") {
        if let Ok(options) = parse("btrfs", &[word.as_str()]) {
            for (name, value) in options.parameters(false) {
                let all = format!("{name}{}", value.unwrap_or_default());
                prop_assert!(!all.contains([',', '\0', '\n']) && all.len() <= MAX_BYTES);
            }
        }
    }
}
