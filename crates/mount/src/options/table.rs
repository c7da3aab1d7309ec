//! The mount options that are allowed, per file system (kernel `Documentation/filesystems/{ext4,xfs,btrfs}.rst`).
//!
//! Left out on purpose: what can lose data (`nobarrier`, `norecovery` read-write), stop the machine
//! (`errors=panic`), hide the device's identity (`nouuid`, set by us when it is needed), or name another device or
//! file (`logdev`, `journal_path`, `device`).

/// What may follow an option's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// Nothing.
    Flag,
    /// A decimal number up to this bound.
    Number(u64),
    /// A decimal number with an optional k, m or g.
    Size,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Nothing, or one of these words, with an optional `:level` of one or two digits.
    Compression(&'static [&'static str]),
    /// A path inside the file system, without `..`.
    Subvolume,
}

/// One allowed option.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowed {
    pub(super) name: &'static str,
    pub(super) value: Value,
}

const fn flag(name: &'static str) -> Allowed {
    Allowed {
        name,
        value: Value::Flag,
    }
}

const fn with(name: &'static str, value: Value) -> Allowed {
    Allowed { name, value }
}

/// Options of the VFS's super block flags, for every file system (kernel `fs/fs_context.c`).
pub(super) const COMMON: &[Allowed] = &[flag("sync"), flag("dirsync"), flag("lazytime")];

const EXT4: &[Allowed] = &[
    flag("acl"),
    flag("auto_da_alloc"),
    flag("noauto_da_alloc"),
    with("commit", Value::Number(3600)),
    with("data", Value::OneOf(&["ordered", "journal", "writeback"])),
    flag("delalloc"),
    flag("nodelalloc"),
    flag("discard"),
    flag("nodiscard"),
    with("errors", Value::OneOf(&["remount-ro", "continue"])),
    flag("grpquota"),
    with("init_itable", Value::Number(1000)),
    flag("noinit_itable"),
    with("inode_readahead_blks", Value::Number(1 << 20)),
    flag("journal_checksum"),
    with("max_batch_time", Value::Number(60_000_000)),
    with("min_batch_time", Value::Number(60_000_000)),
    flag("prjquota"),
    with("stripe", Value::Number(1 << 20)),
    flag("user_xattr"),
    flag("usrquota"),
];

const XFS: &[Allowed] = &[
    with("allocsize", Value::Size),
    flag("discard"),
    flag("nodiscard"),
    flag("filestreams"),
    flag("grpquota"),
    flag("gquota"),
    flag("gqnoenforce"),
    flag("inode32"),
    flag("inode64"),
    flag("largeio"),
    flag("nolargeio"),
    with("logbsize", Value::Size),
    with("logbufs", Value::Number(8)),
    flag("noalign"),
    flag("noquota"),
    flag("pquota"),
    flag("prjquota"),
    flag("pqnoenforce"),
    with("sunit", Value::Number(1 << 20)),
    flag("swalloc"),
    with("swidth", Value::Number(1 << 20)),
    flag("uquota"),
    flag("usrquota"),
    flag("uqnoenforce"),
    flag("wsync"),
];

const BTRFS: &[Allowed] = &[
    flag("acl"),
    flag("autodefrag"),
    flag("noautodefrag"),
    with("commit", Value::Number(3600)),
    with("compress", Value::Compression(&["zlib", "lzo", "zstd", "no"])),
    with("compress-force", Value::Compression(&["zlib", "lzo", "zstd"])),
    flag("datacow"),
    flag("nodatacow"),
    flag("datasum"),
    flag("nodatasum"),
    with("discard", Value::OneOf(&["sync", "async"])),
    flag("nodiscard"),
    flag("flushoncommit"),
    with("max_inline", Value::Size),
    with("metadata_ratio", Value::Number(100)),
    flag("skip_balance"),
    with("space_cache", Value::OneOf(&["v1", "v2"])),
    flag("ssd"),
    flag("nossd"),
    flag("ssd_spread"),
    with("subvol", Value::Subvolume),
    with("subvolid", Value::Number(u64::MAX)),
    with("thread_pool", Value::Number(1024)),
    flag("treelog"),
    flag("notreelog"),
    flag("user_subvol_rm_allowed"),
];

/// The table of a file system type; `None` when this module does not know the type.
pub(super) fn of(fs_type: &str) -> Option<&'static [Allowed]> {
    match fs_type {
        "ext4" => Some(EXT4),
        "xfs" => Some(XFS),
        "btrfs" => Some(BTRFS),
        _ => None,
    }
}

/// Why an option that users ask for is not on the list.
pub(super) fn why_refused(name: &str) -> Option<&'static str> {
    Some(match name {
        "nobarrier" | "barrier" => {
            "write barriers are always on, because without them a power cut loses data"
        }
        "noload" | "norecovery" | "nologreplay" | "rescue" | "ro" | "rw" | "recovery" | "usebackuproot" => {
            "read-only is asked for by the volume's own field; the journal options follow from it"
        }
        "nouuid" => "it is added by itself when a UUID clash is proved to be a clone",
        "logdev" | "rtdev" | "journal_path" | "journal_dev" | "device" => "it would name another device",
        "dax" => "it bypasses the block device, which network storage does not support",
        "loop"
        | "offset"
        | "sizelimit"
        | "_netdev"
        | "nofail"
        | "auto"
        | "noauto"
        | "user"
        | "users"
        | "owner"
        | "group"
        | "x-systemd.automount" => "it belongs in fstab and is not an option of the kernel",
        "bind" | "rbind" | "move" | "remount" | "shared" | "rshared" | "private" | "rprivate" | "slave"
        | "rslave" => "it changes what the mount is and is decided by the volume, not by an option",
        "context" | "fscontext" | "defcontext" | "rootcontext" | "seclabel" => {
            "security labels are not supported here"
        }
        "degraded" => "a file system of several devices is not supported",
        _ => return None,
    })
}
