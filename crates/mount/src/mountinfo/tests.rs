//! Tests of the mount table: parsing, escapes, stacked layers.

use super::*;
use proptest::prelude::*;

const SAMPLE: &[u8] = b"22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
40 27 7:0 / /mnt/a\\040b rw,nosuid,nodev shared:5 master:2 unbindable - xfs /dev/loop0 rw,attr2
50 41 7:2 /sub /mnt/x ro,relatime - ext4 /dev/loop2 rw
41 27 7:1 / /mnt/x rw,relatime - ext4 /dev/loop1 rw
60 50 7:3 / /mnt/x rw - ext4 /dev/loop3 ro,errors=remount-ro
";

fn sample() -> MountInfo {
    MountInfo::parse(SAMPLE).expect("sample")
}

#[test]
fn fields_and_escapes() {
    let info = sample();
    let entry = info.by_id(40).expect("entry");
    assert_eq!(entry.mount_point, Path::new("/mnt/a b"));
    assert_eq!(entry.device, DeviceNumber::new(7, 0));
    assert_eq!(entry.optional_fields.len(), 3);
    assert_eq!(entry.fs_type, "xfs");
    assert!(!entry.is_private() && !entry.is_read_only());
    assert!(info.by_id(22).expect("proc").is_private());
}

#[test]
fn f10_stacked_layers_are_ordered_by_their_parents() {
    let info = sample();
    let ids: Vec<u64> = info
        .layers(Path::new("/mnt/x"))
        .iter()
        .map(|e| e.mount_id)
        .collect();
    assert_eq!(ids, [41, 50, 60]);
    assert_eq!(info.top(Path::new("/mnt/x")).map(|e| e.mount_id), Some(60));
    assert!(info.top(Path::new("/mnt/x")).expect("top").is_read_only());
    assert_eq!(
        info.containing(Path::new("/mnt/x/deep/er")).map(|e| e.mount_id),
        Some(60)
    );
    assert_eq!(
        info.containing(Path::new("/mnt/xy")).map(|e| e.mount_id),
        Some(27)
    );
    assert_eq!(info.below(Path::new("/mnt")).count(), 4);
}

#[test]
fn look_up_by_device() {
    let info = sample();
    let ids: Vec<u64> = info
        .of_device(DeviceNumber::new(7, 1))
        .map(|e| e.mount_id)
        .collect();
    assert_eq!(ids, [41]);
    assert!(info.by_id(41).expect("41").belongs_to(&[DeviceNumber::new(7, 1)]));
    assert!(!info.by_id(41).expect("41").belongs_to(&[DeviceNumber::new(7, 2)]));
}

#[test]
fn parents_in_a_circle_end() {
    let text = b"5 6 7:1 / /x rw - ext4 a rw\n6 5 7:1 / /x rw - ext4 a rw\n7 7 7:1 / /x rw - ext4 a rw\n";
    assert_eq!(
        MountInfo::parse(text)
            .expect("parses")
            .layers(Path::new("/x"))
            .len(),
        3
    );
}

#[test]
fn malformed_lines_name_line_and_field() {
    let cases: [(&[u8], &str); 7] = [
        (b"x 1 7:1 / /x rw - ext4 a rw", "mount id"),
        (b"1 y 7:1 / /x rw - ext4 a rw", "parent id"),
        (b"1 1 7;1 / /x rw - ext4 a rw", "major:minor"),
        (b"1 1 7:1 / x rw - ext4 a rw", "mount point"),
        (b"1 1 7:1 / /x rw shared:1", "separator"),
        (b"1 1 7:1 / /x rw - ext4", "source"),
        (b"1 1 7:1 / /x rw - ext4 a", "super options"),
    ];
    for (text, field) in cases {
        assert_eq!(MountInfo::parse(text), Err(ParseError::Field { line: 1, field }));
    }
}

#[test]
fn own_table_has_a_root() {
    let info = MountInfo::read_own().expect("own");
    assert!(info.top(Path::new("/")).is_some());
    assert_eq!(
        info,
        MountInfo::read(&MountNamespace::own().expect("ns")).expect("read")
    );
}

fn escape(path: &str) -> String {
    path.bytes()
        .map(|b| {
            if b" \t\n\\#".contains(&b) {
                format!("\\{b:03o}")
            } else {
                char::from(b).to_string()
            }
        })
        .collect()
}

proptest! {
    #[test]
    fn any_bytes_parse_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = MountInfo::parse(&bytes);
    }

    #[test]
    fn a_damaged_line_parses_or_fails(at in 0..SAMPLE.len(), byte in any::<u8>()) {
        let mut text = SAMPLE.to_vec();
        text[at] = byte;
        if let Ok(info) = MountInfo::parse(&text) {
            for entry in info.entries() {
                prop_assert!(info.layers(&entry.mount_point).len() <= info.entries().len());
            }
        }
    }

    #[test]
    fn escaped_paths_come_back(name in "[ -~\t\n]{0,40}") {
        let path = format!("/{name}");
        let line = format!("1 0 7:1 / {} rw - ext4 {} rw\n", escape(&path), escape("/dev/x"));
        let info = MountInfo::parse(line.as_bytes()).expect("parses");
        prop_assert_eq!(info.entries()[0].mount_point.as_os_str(), std::ffi::OsStr::new(&path));
    }
}
