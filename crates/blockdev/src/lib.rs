//! User-space block devices behind one trait; the first exporter is a FUSE file under a loop device.

mod storage;

pub use storage::{Geometry, Storage, StorageError};
