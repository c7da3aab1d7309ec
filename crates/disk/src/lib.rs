//! What is on a block device: identity of content, the format gate, mkfs, fsck, grow
