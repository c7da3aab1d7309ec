//! The exporter that works on every host: a FUSE file under a loop device.

mod device;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use tokio::sync::watch;

pub use device::{Device, DeviceStats};
pub(crate) use device::{claim, dispose};

use crate::descriptors::{DescriptorStore, Kept, Record};
use crate::exporter::{ExportError, ExportOptions, Exporter};
use crate::fuse::{Connection, Control, Counters, Server, mount_detached};
use crate::loopdev;
use crate::own_table::Helper;
use crate::pool::Pool;
use crate::share::Budget;
use crate::storage::{Geometry, Storage};

/// The prefix of our loop devices' markers.
const MARKER: &str = "longshore:";

/// Makes devices of this kind; one per process, inside a tokio runtime.
pub struct FuseLoop {
    pool: Pool,
    budget: Budget,
}

impl FuseLoop {
    /// An exporter whose devices share a pool and a budget of bytes under way.
    ///
    /// # Errors
    /// When there is no memory for the pool's first 2 MiB.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(budget: Budget) -> io::Result<Self> {
        let pool = Pool::new()?;
        tokio::spawn(trim(pool.clone()));
        Ok(Self { pool, budget })
    }

    /// The pool, for figures.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Starts the server of a connection.
    fn serve<S: Storage>(
        &self,
        connection: Arc<Connection>,
        storage: Arc<S>,
        record: &Record,
    ) -> (Arc<Counters>, watch::Sender<Control>, device::Ended) {
        let counters = Arc::new(Counters {
            size_bytes: AtomicU64::new(record.size_bytes),
            in_flight: AtomicU32::new(0),
            io_errors: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        });
        let (control, receiver) = watch::channel(Control::Serve);
        let server = Server {
            connection,
            storage,
            counters: counters.clone(),
            control: receiver,
            pool: self.pool.clone(),
            share: self.budget.share(),
            block_size_bytes: record.block_size_bytes,
            read_only: record.read_only,
            name: record.name.clone(),
        };
        let (over, ended) = watch::channel(false);
        let name = record.name.clone();
        tokio::spawn(async move {
            match server.run().await {
                Ok(()) => tracing::debug!(device = name, "the FUSE file system is gone"),
                Err(error) => {
                    tracing::error!(device = name, %error, "the server of the FUSE file ended; its I/O fails")
                }
            }
            over.send_replace(true);
        });
        (counters, control, ended)
    }
}

impl Exporter for FuseLoop {
    async fn export<S: Storage, D: DescriptorStore>(
        &self,
        storage: Arc<S>,
        options: ExportOptions,
        store: &D,
    ) -> Result<Device, ExportError> {
        let geometry = check(storage.geometry(), &options)?;
        let marker = format!("{MARKER}{}", options.name);
        let (fuse, mount) = mount_detached(&marker).map_err(|source| host("make a FUSE mount", source))?;
        let connection = Connection::new(fuse).map_err(|source| host("watch /dev/fuse", source))?;
        let handshake = tokio::time::timeout_at(options.deadline.into(), connection.handshake(&self.pool));
        let negotiated = handshake
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|source| host("start the FUSE file system", source))?;
        let mut record = Record {
            name: options.name,
            loop_number: 0,
            size_bytes: geometry.size_bytes,
            block_size_bytes: geometry.block_size_bytes,
            read_only: options.read_only || geometry.read_only,
            negotiated,
        };
        let connection = Arc::new(connection);
        let (counters, control, ended) = self.serve(connection.clone(), storage, &record);

        let wanted = wanted(&record);
        let mut helper = Helper::start("make loop device", vec![mount], move |given| {
            let (file, device, number) = loopdev::create(&given[0], &wanted)?;
            Ok((number, vec![file, device]))
        })
        .map_err(|source| host("start a helper thread", source))?;
        let made = helper.finish(options.deadline).await;
        let (number, descriptors) = made.map_err(|source| host("make a loop device", source))?;
        let Ok([file, loop_device]) = <[_; 2]>::try_from(descriptors) else {
            return Err(host(
                "make a loop device",
                io::Error::other("the helper thread returned too little"),
            ));
        };
        record.loop_number = number;
        let device = Device::new(record, connection, file, loop_device, counters, control, ended);
        if let Err(error) = device.keep(store).await {
            device.abandon().await;
            return Err(error);
        }
        Ok(device)
    }

    fn resume<S: Storage>(&self, storage: Arc<S>, kept: Kept) -> Result<Device, ExportError> {
        let Kept {
            record,
            fuse,
            file,
            loop_device,
        } = kept;
        if !record.negotiated.resend {
            return Err(ExportError::NoResend);
        }
        let connection = Connection::new(fuse).map_err(|source| host("watch /dev/fuse", source))?;
        connection
            .resend()
            .map_err(|source| host("ask for unanswered requests", source))?;
        let connection = Arc::new(connection);
        let (counters, control, ended) = self.serve(connection.clone(), storage, &record);
        Ok(Device::new(
            record,
            connection,
            file,
            loop_device,
            counters,
            control,
            ended,
        ))
    }
}

/// What the loop device of a record must be.
fn wanted(record: &Record) -> loopdev::Wanted {
    loopdev::Wanted {
        marker: format!("{MARKER}{}", record.name),
        size_bytes: record.size_bytes,
        block_size_bytes: record.block_size_bytes,
        read_only: record.read_only,
    }
}

fn check(geometry: Geometry, options: &ExportOptions) -> Result<Geometry, ExportError> {
    let Geometry {
        size_bytes,
        block_size_bytes,
        ..
    } = geometry;
    if !matches!(block_size_bytes, 512 | 1024 | 2048 | 4096) {
        return Err(ExportError::Invalid(format!(
            "its block size is {block_size_bytes}; Linux takes 512 to 4096 bytes"
        )));
    }
    if size_bytes == 0 || size_bytes % u64::from(block_size_bytes) != 0 || i64::try_from(size_bytes).is_err()
    {
        return Err(ExportError::Invalid(format!(
            "its size is {size_bytes} bytes, with blocks of {block_size_bytes}"
        )));
    }
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if options.name.is_empty() || options.name.len() > 40 || !options.name.bytes().all(allowed) {
        return Err(ExportError::Invalid(format!(
            "the name '{}' is not 1 to 40 of [a-z0-9-]",
            options.name
        )));
    }
    Ok(geometry)
}

fn host(what: &'static str, source: io::Error) -> ExportError {
    ExportError::Host { what, source }
}

/// Gives memory of bursts back, a second after they are over. Sleeps without end while there was none.
async fn trim(pool: Pool) {
    loop {
        pool.grown.notified().await;
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if !pool.trim() {
                break;
            }
        }
    }
}
