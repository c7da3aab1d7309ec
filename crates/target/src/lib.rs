//! The embedded iSCSI target with file-backed logical units
