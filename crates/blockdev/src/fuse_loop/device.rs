//! A device that exists: its figures, its size, its end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{MARKER, host, wanted};
use crate::descriptors::{DescriptorStore, Handover, Record};
use crate::exporter::ExportError;
use crate::fuse::{Connection, Control, Counters};
use crate::loopdev;
use crate::own_table::Helper;

/// Becomes true when the server has ended.
pub(super) type Ended = watch::Receiver<bool>;

/// How long a forced end waits for the flush before it gives the device up.
const FORCED_FLUSH: Duration = Duration::from_secs(2);
/// How long the kernel may take to end a device that nobody uses any more, also when the caller's deadline is over.
const KERNEL: Duration = Duration::from_secs(5);

/// A block device that is served by this process.
pub struct Device {
    record: Mutex<Record>,
    connection: Arc<Connection>,
    /// Taken when the device ends.
    beneath: Mutex<Option<(OwnedFd, OwnedFd)>>,
    counters: Arc<Counters>,
    control: watch::Sender<Control>,
    ended: Ended,
    /// One end, resize or check at a time. Holds what an end that was given up left behind.
    change: tokio::sync::Mutex<Ending>,
}

/// How far the end of a device has come.
enum Ending {
    No,
    /// The device is claimed, and a thread flushes it.
    Flushing(Helper<()>),
    /// Nothing of ours keeps the device; somebody else's descriptor may.
    Clearing,
}

/// Figures of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceStats {
    /// Requests of the kernel that are not answered yet.
    pub in_flight: u32,
    /// Requests that were answered with an error since this process serves the device.
    pub io_errors: u64,
    /// Requests since this process serves the device.
    pub requests: u64,
    /// The server has ended, or fails everything.
    pub failed: bool,
}

impl Device {
    pub(super) fn new(
        record: Record,
        connection: Arc<Connection>,
        file: OwnedFd,
        loop_device: OwnedFd,
        counters: Arc<Counters>,
        control: watch::Sender<Control>,
        ended: Ended,
    ) -> Self {
        Self {
            record: Mutex::new(record),
            connection,
            beneath: Mutex::new(Some((file, loop_device))),
            counters,
            control,
            ended,
            change: tokio::sync::Mutex::new(Ending::No),
        }
    }

    /// What is known about the device.
    pub fn record(&self) -> Record {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The device's node.
    pub fn path(&self) -> PathBuf {
        loopdev::path(self.record().loop_number)
    }

    /// Major and minor number.
    pub fn number(&self) -> (u32, u32) {
        (loopdev::MAJOR, self.record().loop_number)
    }

    /// Figures.
    pub fn stats(&self) -> DeviceStats {
        DeviceStats {
            in_flight: self.counters.in_flight.load(Ordering::Relaxed),
            io_errors: self.counters.io_errors.load(Ordering::Relaxed),
            requests: self.counters.requests.load(Ordering::Relaxed),
            failed: *self.ended.borrow() || *self.control.borrow() == Control::Fail,
        }
    }

    /// Hands the descriptors to a store, again when the store was replaced.
    ///
    /// # Errors
    /// [`ExportError::Store`].
    pub async fn keep<D: DescriptorStore>(&self, store: &D) -> Result<(), ExportError> {
        let record = self.record();
        let Some((file, loop_device)) = self.duplicates().map_err(ExportError::Store)? else {
            return Ok(());
        };
        let descriptors = [self.connection.as_fd(), file.as_fd(), loop_device.as_fd()];
        store
            .keep(&Handover {
                record: &record,
                descriptors,
            })
            .await
            .map_err(ExportError::Store)
    }

    /// Answers everything with EIO from now on, also what is under way.
    pub fn fail(&self) {
        self.control.send_replace(Control::Fail);
    }

    /// Checks that the kernel's device is what it was made as.
    ///
    /// # Errors
    /// [`ExportError::Host`] with the difference.
    pub async fn verify(&self, deadline: Instant) -> Result<(), ExportError> {
        let _alone = self.change.lock().await;
        let wanted = wanted(&self.record());
        let Some((_, loop_device)) = self
            .duplicates()
            .map_err(|source| host("check the loop device", source))?
        else {
            return Err(host("check the loop device", io::ErrorKind::NotFound.into()));
        };
        let work = move |given: Vec<OwnedFd>| Ok((loopdev::verify(&given[0], &wanted)?, Vec::new()));
        let helper = Helper::start("check loop device", vec![loop_device], work);
        self.finish(helper, deadline)
            .await
            .map_err(|source| host("check the loop device", source))
    }

    /// Makes the device as large as the storage is now.
    ///
    /// # Errors
    /// [`ExportError::Host`]; the device has the old or the new size then.
    pub async fn resize<D: DescriptorStore>(
        &self,
        size_bytes: u64,
        store: &D,
        deadline: Instant,
    ) -> Result<(), ExportError> {
        let alone = self.change.lock().await;
        let what = "resize the loop device";
        let Some((file, loop_device)) = self.duplicates().map_err(|source| host(what, source))? else {
            return Err(host(what, io::ErrorKind::NotFound.into()));
        };
        self.counters.size_bytes.store(size_bytes, Ordering::Relaxed);
        self.connection
            .forget_attributes()
            .map_err(|source| host(what, source))?;
        let work = |given: Vec<OwnedFd>| Ok((loopdev::follow_size(&given[0], &given[1])?, Vec::new()));
        let helper = Helper::start("resize loop device", vec![file, loop_device], work);
        let now = self
            .finish(helper, deadline)
            .await
            .map_err(|source| host(what, source))?;
        if now != size_bytes {
            return Err(host(
                what,
                io::Error::other(format!("it has {now} bytes instead of {size_bytes}")),
            ));
        }
        self.record
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .size_bytes = size_bytes;
        drop(alone);
        self.keep(store).await
    }

    /// Takes the device away: proves that nobody uses it, flushes it, ends it. May be called again after an error; it
    /// goes on where it was. With `force`, what cannot be flushed is lost.
    ///
    /// # Errors
    /// [`ExportError::Busy`], [`ExportError::Flush`]: the device works as before. [`ExportError::Host`].
    pub async fn detach<D: DescriptorStore>(
        &self,
        store: &D,
        force: bool,
        deadline: Instant,
    ) -> Result<(), ExportError> {
        let mut ending = self.change.lock().await;
        let number = self.record().loop_number;
        if let Ending::No = *ending {
            match self.start_flush(deadline).await? {
                Some(helper) => *ending = Ending::Flushing(helper),
                None => *ending = Ending::Clearing,
            }
        }
        if let Ending::Flushing(helper) = &mut *ending {
            let (flushed, claimed) = match self.await_flush(helper, force, deadline).await {
                Ok(done) => done,
                Err(error) => {
                    if error.kind() != io::ErrorKind::TimedOut {
                        *ending = Ending::No;
                    }
                    return Err(ExportError::Flush {
                        device: self.path().display().to_string(),
                        source: error,
                    });
                }
            };
            if let Err(source) = flushed
                && !force
            {
                *ending = Ending::No;
                return Err(ExportError::Flush {
                    device: self.path().display().to_string(),
                    source,
                });
            }
            // From here on a crash of this process ends the device, which is what is wanted.
            store
                .release(&self.record().name)
                .await
                .map_err(ExportError::Store)?;
            *ending = Ending::Clearing;
            return self.clear(Some(claimed), number, deadline).await;
        }
        store
            .release(&self.record().name)
            .await
            .map_err(ExportError::Store)?;
        self.clear(None, number, deadline).await
    }

    /// Claims the device and starts its flush; `None` when the device is gone already.
    async fn start_flush(&self, deadline: Instant) -> Result<Option<Helper<()>>, ExportError> {
        let record = self.record();
        let marker = format!("{MARKER}{}", record.name);
        let number = record.loop_number;
        let claim = Helper::start("claim loop device", Vec::new(), move |_| {
            match loopdev::claim(number, &marker) {
                Ok(claimed) => Ok((true, claimed.into_iter().collect())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((false, Vec::new())),
                Err(error) => Err(error),
            }
        });
        let mut claim = claim.map_err(|source| host("claim the loop device", source))?;
        let (ours, claimed) = claim
            .finish(deadline)
            .await
            .map_err(|source| host("claim the loop device", source))?;
        if !ours {
            return Ok(None);
        }
        if claimed.is_empty() {
            return Err(ExportError::Busy {
                device: self.path().display().to_string(),
            });
        }
        let flush = Helper::start("flush loop device", claimed, |given| {
            let result = loopdev::flush(&given[0]);
            // The claim comes back in any case; a failed flush is told by one descriptor more.
            let mut returned = given;
            if result.is_err() {
                returned.push(returned[0].try_clone()?);
            }
            Ok(((), returned))
        });
        flush
            .map(Some)
            .map_err(|source| host("flush the loop device", source))
    }

    /// Waits for the flush; with `force` it is not waited for long. Returns how it went, and the claim.
    async fn await_flush(
        &self,
        helper: &mut Helper<()>,
        force: bool,
        deadline: Instant,
    ) -> io::Result<(io::Result<()>, OwnedFd)> {
        let patience = if force {
            deadline.min(Instant::now() + FORCED_FLUSH)
        } else {
            deadline
        };
        let done = match helper.finish(patience).await {
            Err(error) if force && error.kind() == io::ErrorKind::TimedOut => {
                tracing::warn!(
                    device = self.record().name,
                    "given up by force: what was not flushed is lost"
                );
                self.fail();
                helper.finish(Instant::now() + KERNEL).await
            }
            other => other,
        };
        let ((), mut returned) = done?;
        let failed = returned.len() > 1;
        let claimed = returned
            .pop()
            .ok_or_else(|| io::Error::other("the helper thread returned too little"))?;
        let flushed = if failed {
            Err(io::Error::other("the storage refused (the log has the reason)"))
        } else {
            Ok(())
        };
        Ok((flushed, claimed))
    }

    /// Closes all that is ours and waits for the kernel.
    async fn clear(
        &self,
        claimed: Option<OwnedFd>,
        number: u32,
        deadline: Instant,
    ) -> Result<(), ExportError> {
        let deadline = deadline.max(Instant::now() + KERNEL);
        let marker = format!("{MARKER}{}", self.record().name);
        let (file, loop_device) = match self.beneath.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some((file, loop_device)) => (Some(file), Some(loop_device)),
            None => (None, None),
        };
        let has_claim = claimed.is_some();
        let given: Vec<OwnedFd> = claimed.into_iter().chain(loop_device).chain(file).collect();
        let work = move |mut given: Vec<OwnedFd>| {
            let gone = if has_claim {
                let claimed = given.remove(0);
                loopdev::clear(claimed, given, number, &marker, deadline)?
            } else {
                drop(given);
                loopdev::wait_gone(number, &marker, deadline)?
            };
            Ok((gone, Vec::new()))
        };
        let helper = Helper::start("clear loop device", given, work);
        let gone = self
            .finish(helper, deadline + KERNEL)
            .await
            .map_err(|source| host("clear the loop device", source))?;
        if !gone {
            return Err(ExportError::Busy {
                device: self.path().display().to_string(),
            });
        }
        let mut ended = self.ended.clone();
        let over =
            tokio::time::timeout_at((Instant::now() + KERNEL).into(), ended.wait_for(|over| *over)).await;
        if over.is_err() {
            tracing::warn!(
                device = self.record().name,
                "the loop device is gone, but its FUSE file is still there"
            );
        }
        Ok(())
    }

    /// Ends a device that nobody has seen yet.
    pub(super) async fn abandon(&self) {
        let number = self.record().loop_number;
        if let Err(error) = self.clear(None, number, Instant::now() + KERNEL).await {
            tracing::warn!(device = self.record().name, %error, "a device that could not be kept was not taken away either");
        }
    }

    async fn finish<T: Send + 'static>(
        &self,
        helper: io::Result<Helper<T>>,
        deadline: Instant,
    ) -> io::Result<T> {
        Ok(helper?.finish(deadline).await?.0)
    }

    /// Second descriptors of the file and the loop device, for a helper; `None` when the device has ended.
    fn duplicates(&self) -> io::Result<Option<(OwnedFd, OwnedFd)>> {
        let beneath = self.beneath.lock().unwrap_or_else(PoisonError::into_inner);
        match &*beneath {
            Some((file, loop_device)) => Ok(Some((file.try_clone()?, loop_device.try_clone()?))),
            None => Ok(None),
        }
    }
}

/// Whether nobody uses the device of a record: an exclusive open succeeds, or the device is not ours any more.
pub(crate) async fn claim(record: &Record, deadline: Instant) -> Result<bool, ExportError> {
    let (number, marker) = (record.loop_number, format!("{MARKER}{}", record.name));
    let helper = Helper::start("claim loop device", Vec::new(), move |_| {
        match loopdev::claim(number, &marker) {
            Ok(claimed) => Ok((claimed.is_some(), Vec::new())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((true, Vec::new())),
            Err(error) => Err(error),
        }
    });
    let done = async { helper?.finish(deadline).await };
    let (free, _) = done
        .await
        .map_err(|source| host("claim the loop device", source))?;
    Ok(free)
}

/// Closes the last descriptors of a device whose connection is closed, and waits until the kernel has ended it.
pub(crate) async fn dispose(
    record: &Record,
    file: OwnedFd,
    loop_device: OwnedFd,
    deadline: Instant,
) -> Result<(), ExportError> {
    let deadline = deadline.max(Instant::now() + KERNEL);
    let (number, marker) = (record.loop_number, format!("{MARKER}{}", record.name));
    let helper = Helper::start("clear loop device", vec![loop_device, file], move |given| {
        drop(given);
        Ok((loopdev::wait_gone(number, &marker, deadline)?, Vec::new()))
    });
    let done = async { helper?.finish(deadline + KERNEL).await };
    match done.await {
        Ok((true, _)) => Ok(()),
        Ok((false, _)) => Err(ExportError::Busy {
            device: loopdev::path(number).display().to_string(),
        }),
        Err(source) => Err(host("clear the loop device", source)),
    }
}
