//! The process that owns iSCSI sessions and block devices, its local protocol and client
