//! Which directories may be mounted over, and which are made and removed for a mount.

#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use longshore_mount::target::remove_created;
use longshore_mount::{Created, TargetDirectory, TargetError, TargetRoot};
use support::{Loop, Sandbox, own};

fn error(root: &TargetRoot, relative: &str) -> TargetError {
    TargetDirectory::open(root, Path::new(relative)).unwrap_err()
}

#[test]
fn an_empty_directory_below_a_root_behind_a_link_is_taken() {
    let sandbox = Sandbox::new();
    let real = sandbox.dir("real/pods/a b");
    symlink("real", sandbox.path().join("link")).unwrap();
    let root = TargetRoot::open(own(), &sandbox.path().join("link")).unwrap();
    assert_eq!(root.path(), sandbox.path().join("real"));
    let target = TargetDirectory::open(&root, Path::new("pods/a b")).unwrap();
    assert_eq!(target.path(), real);
    let (root, name) = TargetRoot::parent_of(own(), &real).unwrap();
    assert_eq!(TargetDirectory::open(&root, &name).unwrap().path(), real);
}

#[test]
fn a_link_at_the_end_or_on_the_way_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.dir("real/inner/deep");
    symlink("real", sandbox.path().join("link")).unwrap();
    symlink("/etc", sandbox.path().join("etc")).unwrap();
    symlink("missing", sandbox.path().join("dangling")).unwrap();
    for path in [
        "link",
        "link/inner",
        "link/inner/deep",
        "etc",
        "etc/network",
        "dangling",
    ] {
        let error = error(&sandbox.root(), path);
        assert!(matches!(error, TargetError::Symlink { .. }), "{path}: {error}");
        let error = TargetDirectory::open_or_create(&sandbox.root(), Path::new(path)).unwrap_err();
        assert!(matches!(error, TargetError::Symlink { .. }), "{path}: {error}");
    }
}

#[test]
fn what_is_not_an_empty_directory_is_refused_and_named() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.dir("full").join("precious"), b"x").unwrap();
    std::fs::write(sandbox.path().join("file"), b"x").unwrap();
    let root = sandbox.root();
    let full = error(&root, "full");
    assert!(
        matches!(&full, TargetError::NotEmpty { example, .. } if example == "precious"),
        "{full}"
    );
    assert!(matches!(error(&root, "file"), TargetError::NotADirectory { .. }));
    assert!(matches!(
        error(&root, "file/x"),
        TargetError::NotADirectory { .. }
    ));
    assert!(matches!(error(&root, "missing"), TargetError::Missing { .. }));
    for path in ["", ".", "..", "../x", "a/../b", "/abs", "full/.."] {
        let error = error(&root, path);
        assert!(
            matches!(error, TargetError::InvalidPath { .. }),
            "{path}: {error}"
        );
    }
    assert!(matches!(
        TargetRoot::open(own(), Path::new("relative")),
        Err(TargetError::InvalidPath { .. })
    ));
}

#[test]
fn an_existing_mount_is_refused_and_named() {
    let sandbox = Sandbox::new();
    let device = Loop::with("ext4");
    device.place("ext4", &sandbox, "target");
    let error = error(&sandbox.root(), "target");
    let text = error.to_string();
    assert!(matches!(error, TargetError::AlreadyMounted { .. }), "{text}");
    assert!(
        text.contains(device.path.to_str().unwrap()) && text.contains("ext4"),
        "{text}"
    );
}

/// Part of the proof of F30.
#[test]
fn only_directories_that_were_made_are_removed() {
    let sandbox = Sandbox::new();
    sandbox.dir("kept");
    let root = sandbox.root();
    let wanted = Path::new("kept/one/two");
    let plan = Created::plan(&root, wanted).unwrap();
    assert_eq!(
        plan.directories,
        [PathBuf::from("kept/one"), PathBuf::from("kept/one/two")]
    );
    let (target, created) = TargetDirectory::open_or_create(&root, wanted).unwrap();
    assert_eq!(created, plan);
    assert!(target.path().is_dir());
    drop(target);
    let (_, again) = TargetDirectory::open_or_create(&root, wanted).unwrap();
    assert!(again.is_empty());

    assert_eq!(remove_created(&root, &created).unwrap().len(), 2);
    assert!(sandbox.path().join("kept").is_dir() && !sandbox.path().join("kept/one").exists());
    assert!(
        remove_created(&root, &created).unwrap().is_empty(),
        "a second removal is already so"
    );
}

/// Part of the proof of F30.
#[test]
fn a_directory_that_is_in_use_stays() {
    let sandbox = Sandbox::new();
    let root = sandbox.root();
    let (_, created) = TargetDirectory::open_or_create(&root, Path::new("one/two")).unwrap();
    std::fs::write(sandbox.path().join("one/precious"), b"x").unwrap();
    assert_eq!(
        remove_created(&root, &created).unwrap(),
        [PathBuf::from("one/two")]
    );
    assert!(sandbox.path().join("one/precious").exists());

    let device = Loop::with("ext4");
    let (_, created) = TargetDirectory::open_or_create(&root, Path::new("three")).unwrap();
    device.place("ext4", &sandbox, "three");
    assert!(remove_created(&root, &created).unwrap().is_empty());
    assert!(sandbox.path().join("three").is_dir());
}

#[test]
fn a_refused_target_takes_its_new_directories_with_it() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.dir("full").join("x"), b"x").unwrap();
    let error = TargetDirectory::open_or_create(&sandbox.root(), Path::new("full")).unwrap_err();
    assert!(matches!(error, TargetError::NotEmpty { .. }));
    let error = TargetDirectory::open_or_create(&sandbox.root(), Path::new("new/full/../x")).unwrap_err();
    assert!(matches!(error, TargetError::InvalidPath { .. }));
    assert!(!sandbox.path().join("new").exists());
}
