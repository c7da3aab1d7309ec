//! Manifests: what a good one becomes, and every mistake with its exact line, column and field.

mod mistakes;

use std::path::{Path, PathBuf};

use longshore_volume::{Access, FormatPolicy, FsType, IscsiVolume, Source, VolumeSpec};
use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;

/// A Pod with two containers; tests change lines of it.
const POD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations:
    longshore.storage/format.data: ifBlank
spec:
  containers:
  - name: reader
    image: busybox
    volumeMounts:
    - name: pages
      mountPath: /pages
      readOnly: true
  - name: writer
    volumeMounts:
    - {name: data, mountPath: /var/data}
    - {name: data, mountPath: /again, readOnly: true}
    - {name: scratch, mountPath: /tmp}
  volumes:
  - name: pages
    iscsi:
      targetPortal: 127.0.0.1:3260
      iqn: iqn.2003-01.org.example:disk
      lun: 0
      fsType: ext4
      readOnly: true
  - name: data
    iscsi:
      targetPortal: 127.0.0.1:3260
      portals: ['[::1]:3261', 127.0.0.1:3260]
      iqn: iqn.2003-01.org.example:disk
      lun: 1
      iscsiInterface: default
  - name: scratch
    emptyDir: {}
";

const SECRET: &str = "\
---
apiVersion: v1
kind: Secret
metadata: {name: chap}
type: kubernetes.io/iscsi-chap
data:
  node.session.auth.username: YWxpY2U=
  node.session.auth.password: aHVudGVyMmh1bnRlcjI=
stringData:
  node.session.auth.username_in: array
  node.session.auth.password_in: anotherSecret1
";

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).expect("written");
    path
}

fn load_text(text: &str) -> Result<Manifest, Vec<Problem>> {
    let dir = tempfile::tempdir().expect("directory");
    load(&write(dir.path(), "pod.yaml", text), &[])
}

fn iscsi(spec: &VolumeSpec) -> &IscsiVolume {
    let Source::Iscsi(iscsi) = &spec.source;
    iscsi
}

/// The Pod with one line replaced, and the problems that makes: line, column, field, text.
fn problems_of(text: &str) -> Vec<(usize, usize, String, String)> {
    let problems = match load_text(text) {
        Ok(manifest) => panic!("should not load: {manifest:?}"),
        Err(problems) => problems,
    };
    problems
        .into_iter()
        .map(|p| {
            let text = p
                .remedy
                .map_or(p.problem.clone(), |remedy| format!("{} ({remedy})", p.problem));
            (p.line, p.column, p.field, text)
        })
        .collect()
}

#[test]
fn a_good_pod_becomes_volumes_and_mounts() {
    let manifest = load_text(POD).expect("loads");
    assert!(manifest.warnings.is_empty(), "{:?}", manifest.warnings);
    let [pod] = manifest.pods.as_slice() else {
        panic!("one Pod")
    };
    assert_eq!((pod.namespace.as_str(), pod.name.as_str()), ("default", "web"));
    let [pages, data] = pod.volumes.as_slice() else {
        panic!("two volumes")
    };
    assert_eq!(
        (pages.spec.fs_type, pages.spec.access),
        (Some(FsType::Ext4), Access::ReadOnly)
    );
    assert_eq!(
        (pages.spec.format, data.spec.format),
        (FormatPolicy::Never, FormatPolicy::IfBlank)
    );
    let source = iscsi(&data.spec);
    assert_eq!(source.target_portal, "127.0.0.1:3260");
    assert_eq!(source.portals, ["[::1]:3261"], "each portal once");
    assert_eq!((source.lun, source.iscsi_interface.as_deref()), (1, None));
    let mounts: Vec<_> = pod
        .mounts
        .iter()
        .map(|m| {
            (
                m.container.as_str(),
                m.volume,
                m.mount_path.display().to_string(),
                m.access,
            )
        })
        .collect();
    assert_eq!(
        mounts,
        [
            ("reader", 0, "pages".to_owned(), Access::ReadOnly),
            ("writer", 1, "var/data".to_owned(), Access::ReadWrite),
            ("writer", 1, "again".to_owned(), Access::ReadOnly),
        ]
    );
    assert_eq!(
        pod.skipped,
        ["container \"writer\": the volume \"scratch\" is of kind emptyDir; left alone"]
    );
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = POD
        .replace("lun: 0", "lun: x")
        .replace("lun: 1", "lun: y")
        .replace("mountPath: /pages", "mountPath: p");
    assert_eq!(problems_of(&text).len(), 3);
}

#[test]
fn what_looks_misspelt_beside_our_fields_is_a_warning() {
    let text = POD.replacen("    image: busybox", "    image: busybox\n    volumeMount: []", 1);
    let manifest = load_text(&text).expect("loads");
    let [warning] = manifest.warnings.as_slice() else {
        panic!("{:?}", manifest.warnings)
    };
    assert_eq!(
        warning.to_string().split_once("pod.yaml:").map(|(_, rest)| rest),
        Some("11:5: spec.containers[0].volumeMount: unknown field, ignored; did you mean `volumeMounts`?")
    );
}

#[test]
fn a_secret_in_the_same_file_or_in_another_gives_chap() {
    let pod = POD.replacen(
        "      iscsiInterface: default",
        "      chapAuthSession: true\n      secretRef: {name: chap}",
        1,
    );
    let dir = tempfile::tempdir().expect("directory");
    let both = write(dir.path(), "both.yaml", &format!("{pod}{SECRET}"));
    let alone = write(dir.path(), "pod.yaml", &pod);
    let secret = write(dir.path(), "secret.yaml", SECRET);
    for manifest in [load(&both, &[]), load(&alone, std::slice::from_ref(&secret))] {
        let manifest = manifest.expect("loads");
        let chap = iscsi(&manifest.pods[0].volumes[1].spec)
            .chap
            .as_ref()
            .expect("chap");
        assert_eq!(
            (chap.username.as_str(), chap.password.expose_secret()),
            ("alice", "hunter2hunter2")
        );
        let (name, secret) = chap.mutual.as_ref().expect("mutual");
        assert_eq!(
            (name.as_str(), secret.expose_secret()),
            ("array", "anotherSecret1")
        );
        assert!(
            !format!("{manifest:?}").contains("hunter2"),
            "a secret in Debug output"
        );
    }
    let (pairs, _) = load_chap(&secret).expect("loads");
    assert_eq!(pairs.ours.user, "alice");
    let errors = load_discovery_chap(&secret).expect_err("no discovery keys");
    assert!(
        errors[0].problem.contains("discovery.sendtargets.auth.username"),
        "{errors:?}"
    );
}

#[test]
fn a_secret_of_another_namespace_is_not_used() {
    let pod = POD.replacen(
        "      iscsiInterface: default",
        "      chapAuthSession: true\n      secretRef: {name: chap}",
        1,
    );
    let secret = SECRET.replacen("{name: chap}", "{name: chap, namespace: other}", 1);
    assert!(problems_of(&format!("{pod}{secret}"))[0].3.contains("no Secret"));
}

#[test]
fn a_wrong_secret_is_named_without_its_value() {
    let pod = POD.replacen(
        "      iscsiInterface: default",
        "      chapAuthSession: true\n      secretRef: {name: chap}",
        1,
    );
    for (old, new, part) in [
        ("aHVudGVyMmh1bnRlcjI=", "hunter2!", "not base64"),
        ("aHVudGVyMmh1bnRlcjI=", "'hunter2hunter2!'", "not base64"),
        ("aHVudGVyMmh1bnRlcjI=", "//79", "not UTF-8"),
        ("aHVudGVyMmh1bnRlcjI=", "''", "empty"),
        (
            "aHVudGVyMmh1bnRlcjI=",
            "[hunter2]",
            "expected a string, found a list",
        ),
        ("aHVudGVyMmh1bnRlcjI=", "12345678", "put it in quotes"),
        (
            "  node.session.auth.password: aHVudGVyMmh1bnRlcjI=\n",
            "",
            "node.session.auth.username but no node.session.auth.password",
        ),
        ("stringData", "stringdata", "did you mean `stringData`?"),
    ] {
        let found = problems_of(&format!("{pod}{}", SECRET.replacen(old, new, 1)));
        assert!(
            found.iter().any(|problem| problem.3.contains(part)),
            "{part}: {found:?}"
        );
        assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
        assert!(!format!("{found:?}").contains("12345678"), "{found:?}");
    }
}

#[test]
fn a_secret_with_a_line_break_gets_a_warning() {
    let dir = tempfile::tempdir().expect("directory");
    let text = SECRET.replacen("aHVudGVyMmh1bnRlcjI=", "aHVudGVyMmh1bnRlcjIK", 1);
    let (_, warnings) = load_chap(&write(dir.path(), "secret.yaml", &text)).expect("loads");
    assert!(
        warnings
            .iter()
            .any(|warning| warning.problem.contains("line break")),
        "{warnings:?}"
    );
}

#[test]
fn several_pods_and_foreign_documents_stand_beside_each_other() {
    let second = POD.replace("name: web", "name: web2");
    let text = format!("{POD}---\nkind: Service\napiVersion: v1\n---\n{second}");
    let manifest = load_text(&text).expect("loads");
    assert_eq!(manifest.pods.len(), 2);
    assert!(manifest.warnings[0].problem.contains("\"Service\" is left alone"));
    assert!(
        problems_of(&format!("{POD}---\n{POD}"))[0]
            .3
            .contains("given twice")
    );
}

#[test]
fn files_that_are_no_manifests() {
    let dir = tempfile::tempdir().expect("directory");
    let cases: [(&[u8], &str); 4] = [
        (b"", "empty"),
        (b"- 1\n", "expected a mapping"),
        (b"a: b\n", "required"),
        (b"kind: \xff\xfe\n", "not UTF-8"),
    ];
    for (content, part) in cases {
        let path = dir.path().join("x");
        std::fs::write(&path, content).expect("written");
        let problems = load(&path, &[]).expect_err(part);
        assert!(
            problems.iter().any(|problem| problem.problem.contains(part)),
            "{part}: {problems:?}"
        );
    }
    assert!(
        load(&dir.path().join("absent"), &[]).expect_err("absent")[0]
            .problem
            .contains("cannot read")
    );
    assert!(
        load(dir.path(), &[]).expect_err("a directory")[0]
            .problem
            .contains("cannot read")
    );
    let big = write(dir.path(), "big", &" ".repeat(tree::MAX_FILE_BYTES + 1));
    assert!(
        load(&big, &[]).expect_err("big")[0]
            .problem
            .contains("larger than")
    );
}

#[test]
fn names_are_found_even_when_the_volumes_are_wrong() {
    let dir = tempfile::tempdir().expect("directory");
    let text = POD
        .replace("lun: 0", "lun: x")
        .replacen("  name: web", "  name: web\n  namespace: prod", 1);
    let path = write(dir.path(), "pod.yaml", &text);
    assert_eq!(pod_names(&path), Ok(vec![("prod".to_owned(), "web".to_owned())]));
    assert!(pod_names(&write(dir.path(), "secret.yaml", SECRET)).is_err());
}

#[test]
fn the_example_is_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/iscsi-pd.yaml");
    let manifest = load(&path, &[]).expect("loads");
    assert!(manifest.warnings.is_empty(), "{:?}", manifest.warnings);
    assert_eq!(manifest.pods[0].mounts.len(), 2);
}

proptest! {
    /// No text makes the reader panic or go on for ever.
    #[test]
    fn any_text_is_an_answer(text in "[a-z:\\-\\[\\]{}&*!|>'\"#,?% \n\t0-9]{0,200}") {
        let _ = load_text(&text);
    }

    /// Nor does the Pod with a piece cut out of it.
    #[test]
    fn a_mutilated_pod_is_an_answer(from in 0..POD.len(), len in 0..40usize, with in "[ \n:a\\-{\\[]{0,3}") {
        let mut text = POD.to_owned();
        text.replace_range(from..(from + len).min(POD.len()), &with);
        let _ = load_text(&text);
    }
}
