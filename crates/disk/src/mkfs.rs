//! The arguments of mkfs: what a Linux 5.10 mounts, never forced, no discards. Called by the gate only.
//!
//! - **Never forced**: no `-f`, no `-F`; each tool takes its own O_EXCL, and mkfs.xfs and mkfs.btrfs look for a known
//!   signature once more. mkfs.ext4 does that at a terminal only, so the gate's own proof is all that stands before it.
//! - **Features** are listed, not left to the tool's defaults, which differ between releases: ext4 without
//!   `orphan_file` (Linux 5.15) and `metadata_csum_seed`; xfs without `nrext64` (5.19), `bigtime` and
//!   `inobtcount` (experimental in 5.10), `exchange` (6.10) and `parent` (6.12); btrfs without `block-group-tree` (6.1).
//!   So an xfs counts time up to the year 2038; `xfs_admin -O bigtime=1` lifts that off line.
//! - **No discard** (`-E nodiscard`, `-K`): the device was just proved blank, and a discard of a large thin
//!   LUN can take its array minutes.
//! - ext4: inode tables are initialised lazily (the kernel does it gently after the first mount; 16 GiB per TiB
//!   otherwise), the journal at once, so that nothing old is ever taken for a journal entry. No blocks are
//!   reserved for root (`-m 0`), and an error makes it read-only (`-e remount-ro`).
//! - xfs: the sector size is the device's logical block size, so it can be mounted wherever the LUN appears.
//! - btrfs gets no `-U`: mkfs.btrfs would look for that UUID on every block device of the host, and a single one that
//!   does not answer (a LUN whose array is away) would hold up the format. The tool chooses the UUID, and the label says
//!   which format made it ([`crate::FileSystem::format_uuid`]). The other two open no device but their own.

use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;

use crate::fs::{FsType, FsUuid};
use crate::tools::{Tool, ToolError, Tools, arguments};

/// The smallest devices, in bytes. mkfs.xfs refuses under 300 MB; btrfs needs about 110 MiB; ext4 with a journal 8 MiB.
pub(crate) const fn minimum_bytes(fs_type: FsType) -> u64 {
    match fs_type {
        FsType::Ext4 => 16 << 20,
        FsType::Xfs => 300 << 20,
        FsType::Btrfs => 128 << 20,
    }
}

/// The longest label, in bytes. That of a btrfs is taken: it is the UUID of the format.
pub(crate) const fn maximum_label_bytes(fs_type: FsType) -> usize {
    match fs_type {
        FsType::Ext4 => 16,
        FsType::Xfs => 12,
        FsType::Btrfs => 0,
    }
}

pub(crate) const fn tool(fs_type: FsType) -> Tool {
    match fs_type {
        FsType::Ext4 => Tool::MkfsExt4,
        FsType::Xfs => Tool::MkfsXfs,
        FsType::Btrfs => Tool::MkfsBtrfs,
    }
}

const EXT4_FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,\
                             sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

/// The words that mkfs is given. Asks the tool what it knows, so call it while the device is still claimed.
pub(crate) fn words(
    tools: &Tools,
    device: &Path,
    plan: &Plan<'_>,
    deadline: Instant,
) -> Result<Vec<OsString>, ToolError> {
    let uuid = plan.uuid.to_string();
    let mut words = match plan.fs_type {
        FsType::Ext4 => ext4(&uuid),
        FsType::Xfs => xfs(&uuid, plan.block_size_bytes, xfs_version(tools, deadline)?),
        FsType::Btrfs => btrfs(&uuid, &btrfs_features(tools, deadline)?),
    };
    if !plan.label.is_empty() {
        words.extend(arguments(["-L", plan.label]));
    }
    words.push(device.as_os_str().to_owned());
    Ok(words)
}

/// What to make.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) fs_type: FsType,
    pub(crate) uuid: FsUuid,
    pub(crate) label: &'a str,
    pub(crate) block_size_bytes: u32,
}

fn ext4(uuid: &str) -> Vec<OsString> {
    let extended = "nodiscard,lazy_itable_init=1,lazy_journal_init=0,root_owner=0:0";
    arguments([
        "-q",
        "-t",
        "ext4",
        "-b",
        "4096",
        "-I",
        "256",
        "-m",
        "0",
        "-e",
        "remount-ro",
        "-O",
        EXT4_FEATURES,
        "-E",
        extended,
        "-U",
        uuid,
    ])
}

fn xfs(uuid: &str, block_size_bytes: u32, version: (u32, u32)) -> Vec<OsString> {
    let mut metadata = format!("crc=1,finobt=1,reflink=1,rmapbt=0,uuid={uuid}");
    let mut inodes = "sparse=1".to_owned();
    let mut naming = "ftype=1".to_owned();
    if version >= (5, 10) {
        metadata.push_str(",bigtime=0,inobtcount=0");
    }
    if version >= (5, 19) {
        inodes.push_str(",nrext64=0");
    }
    if version >= (6, 10) {
        inodes.push_str(",exchange=0");
        naming.push_str(",parent=0");
    }
    let sector = format!("size={}", block_size_bytes.max(512));
    arguments([
        "-q",
        "-K",
        "-b",
        "size=4096",
        "-m",
        &metadata,
        "-i",
        &inodes,
        "-n",
        &naming,
        "-s",
        &sector,
    ])
}

/// The UUID of the format becomes the label (see the module's text). `known` is what `mkfs.btrfs -O list-all` says:
/// older tools have the free space tree behind `-R`.
fn btrfs(uuid: &str, known: &str) -> Vec<OsString> {
    let mut features = "extref,skinny-metadata,no-holes".to_owned();
    let runtime_feature = !known.contains("free-space-tree");
    if !runtime_feature {
        features.push_str(",free-space-tree");
    }
    if known.contains("block-group-tree") {
        features.push_str(",^block-group-tree");
    }
    let mut words = arguments([
        "-q", "-K", "-d", "single", "-m", "dup", "-n", "16384", "-s", "4096", "--csum", "crc32c", "-O",
        &features, "-L", uuid,
    ]);
    if runtime_feature {
        words.extend(arguments(["-R", "free-space-tree"]));
    }
    words
}

/// `mkfs.xfs version 6.1.0`.
fn xfs_version(tools: &Tools, deadline: Instant) -> Result<(u32, u32), ToolError> {
    let output = tools.ask(Tool::MkfsXfs, &arguments(["-V"]), deadline)?;
    parse_version(&output.text).ok_or_else(|| ToolError::Failed {
        tool: Tool::MkfsXfs.name(),
        how: "its version is unknown".to_owned(),
        output: output.text,
    })
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let word = text
        .split_whitespace()
        .find(|w| w.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut parts = word.split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn btrfs_features(tools: &Tools, deadline: Instant) -> Result<String, ToolError> {
    Ok(tools
        .ask(Tool::MkfsBtrfs, &arguments(["-O", "list-all"]), deadline)?
        .text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(words: &[OsString]) -> String {
        words
            .iter()
            .map(|w| w.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn never_forced_and_without_discard() {
        let all = [
            text(&ext4("u")),
            text(&xfs("u", 512, (6, 13))),
            text(&btrfs("u", "")),
        ];
        for line in &all {
            assert!(
                !line.split(' ').any(|w| w == "-f" || w == "-F" || w == "--force"),
                "{line}"
            );
            assert!(line.contains("nodiscard") || line.contains("-K"), "{line}");
        }
    }

    /// One device that does not answer must not hold up the format of another.
    #[test]
    fn btrfs_is_marked_by_its_label_so_that_the_tool_looks_at_no_other_device() {
        let line = text(&btrfs("u", ""));
        assert!(line.contains("-L u") && !line.contains("-U"), "{line}");
        assert!(
            !line.contains("--uuid") && !line.contains("--device-uuid"),
            "{line}"
        );
    }

    #[test]
    fn options_fit_the_tool_of_debian_12_and_13() {
        assert_eq!(parse_version("mkfs.xfs version 6.1.0"), Some((6, 1)));
        assert_eq!(parse_version("mkfs.xfs version 6.13.0"), Some((6, 13)));
        assert_eq!(parse_version("mkfs.xfs version"), None);
        let bookworm = text(&xfs("u", 4096, (6, 1)));
        assert!(
            bookworm.contains("nrext64=0")
                && !bookworm.contains("exchange")
                && bookworm.contains("size=4096")
        );
        let trixie = text(&xfs("u", 512, (6, 13)));
        assert!(
            trixie.contains("exchange=0") && trixie.contains("parent=0") && trixie.contains("-s size=512")
        );
        assert!(!text(&xfs("u", 512, (5, 4))).contains("bigtime"));
        let bookworm = text(&btrfs("u", "no-holes    - no explicit hole extents"));
        assert!(bookworm.contains("-R free-space-tree") && !bookworm.contains("block-group-tree"));
        let trixie = text(&btrfs("u", "free-space-tree - …; block-group-tree - …"));
        assert!(trixie.contains("no-holes,free-space-tree,^block-group-tree") && !trixie.contains("-R"));
    }
}
