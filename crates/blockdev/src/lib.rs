//! User-space block devices behind one trait; the first exporter is a FUSE file under a loop device.
//!
//! A [`Storage`] is what a device is made of, an [`Exporter`] makes the device, a [`DescriptorStore`] keeps what a
//! successor needs when this process dies. Requests come from /dev/fuse, become calls of the storage and are answered
//! on one thread, without a hand-over and without copying data.

mod descriptors;
mod exporter;
pub mod fdpass;
mod fuse;
mod fuse_loop;
mod loopdev;
mod own_table;
mod pool;
mod share;
mod storage;

pub use descriptors::{DESCRIPTORS, DescriptorStore, Handover, Kept, Record, lift};
pub use exporter::{ExportError, ExportOptions, Exporter};
pub use fuse_loop::{Device, DeviceStats, FuseLoop};
pub use pool::{Pool, PoolUsage};
pub use share::Budget;
pub use storage::{Geometry, Storage, StorageError};
