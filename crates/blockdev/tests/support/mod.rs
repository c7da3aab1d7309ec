//! What the tests of devices share: a storage in memory with faults, a device on a thread, and clean-up.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use longshore_blockdev::{
    Budget, DescriptorStore, Device, ExportOptions, Exporter, FuseLoop, Geometry, Handover, Storage,
    StorageError,
};

/// A generous deadline: a test that waits so long has failed.
pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// A storage in memory with switches for faults.
pub struct Memory {
    pub bytes: Mutex<Vec<u8>>,
    pub geometry: Mutex<Geometry>,
    pub flushes: AtomicU64,
    pub discards: AtomicU64,
    pub zeroes: AtomicU64,
    pub fail_reads: AtomicBool,
    pub short_reads: AtomicBool,
    pub fail_flushes: AtomicBool,
    /// Calls wait while it holds `true`.
    pub stalled: tokio::sync::watch::Sender<bool>,
}

impl Memory {
    pub fn new(size_bytes: u64, block_size_bytes: u32) -> Arc<Self> {
        Arc::new(Self {
            bytes: Mutex::new(vec![0; size_bytes as usize]),
            geometry: Mutex::new(Geometry {
                size_bytes,
                block_size_bytes,
                read_only: false,
            }),
            flushes: AtomicU64::new(0),
            discards: AtomicU64::new(0),
            zeroes: AtomicU64::new(0),
            fail_reads: AtomicBool::new(false),
            short_reads: AtomicBool::new(false),
            fail_flushes: AtomicBool::new(false),
            stalled: tokio::sync::watch::Sender::new(false),
        })
    }

    pub fn resize(&self, size_bytes: u64) {
        self.bytes.lock().unwrap().resize(size_bytes as usize, 0);
        self.geometry.lock().unwrap().size_bytes = size_bytes;
    }

    async fn pass(&self) {
        let mut stalled = self.stalled.subscribe();
        let _ = stalled.wait_for(|stalled| !stalled).await;
        // Others get their turn, so that requests overlap.
        tokio::task::yield_now().await;
    }
}

impl Storage for Memory {
    fn geometry(&self) -> Geometry {
        *self.geometry.lock().unwrap()
    }

    async fn read(&self, offset: u64, len: u32) -> Result<Vec<Bytes>, StorageError> {
        self.pass().await;
        if self.fail_reads.load(Ordering::Relaxed) {
            return Err(StorageError::failed("medium error"));
        }
        let bytes = self.bytes.lock().unwrap();
        let short = usize::from(self.short_reads.load(Ordering::Relaxed));
        let range = &bytes[offset as usize..offset as usize + len as usize - short];
        Ok(range.chunks(8192).map(Bytes::copy_from_slice).collect())
    }

    async fn write(&self, offset: u64, data: Bytes) -> Result<(), StorageError> {
        self.pass().await;
        let mut bytes = self.bytes.lock().unwrap();
        bytes[offset as usize..offset as usize + data.len()].copy_from_slice(&data);
        Ok(())
    }

    async fn flush(&self) -> Result<(), StorageError> {
        self.pass().await;
        self.flushes.fetch_add(1, Ordering::Relaxed);
        if self.fail_flushes.load(Ordering::Relaxed) {
            return Err(StorageError::failed("cache is lost"));
        }
        Ok(())
    }

    async fn write_zeroes(&self, offset: u64, len: u64) -> Result<(), StorageError> {
        self.pass().await;
        self.zeroes.fetch_add(1, Ordering::Relaxed);
        self.bytes.lock().unwrap()[offset as usize..(offset + len) as usize].fill(0);
        Ok(())
    }

    async fn discard(&self, offset: u64, len: u64) -> Result<(), StorageError> {
        self.pass().await;
        self.discards.fetch_add(1, Ordering::Relaxed);
        self.bytes.lock().unwrap()[offset as usize..(offset + len) as usize].fill(0);
        Ok(())
    }
}

/// A store that keeps nothing.
pub struct Nobody;

impl DescriptorStore for Nobody {
    async fn keep(&self, _: &Handover<'_>) -> io::Result<()> {
        Ok(())
    }
    async fn release(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
}

/// Devices served by a runtime on a thread of its own, so that the test may block on them.
pub struct Host {
    pub runtime: tokio::runtime::Handle,
    pub exporter: Arc<FuseLoop>,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    devices: Mutex<Vec<Arc<Device>>>,
}

impl Host {
    pub fn start() -> Self {
        let (ready, handle) = mpsc::channel();
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let (end, mut ended) = tokio::sync::mpsc::channel::<()>(1);
            std::thread::spawn(move || {
                let _ = stopped.recv();
                drop(end);
            });
            runtime.block_on(async {
                let exporter = Arc::new(FuseLoop::new(Budget::new(32 << 20)).unwrap());
                ready.send((tokio::runtime::Handle::current(), exporter)).unwrap();
                ended.recv().await;
            });
        });
        let (runtime, exporter) = handle.recv().unwrap();
        Self {
            runtime,
            exporter,
            stop: Some(stop),
            thread: Some(thread),
            devices: Mutex::default(),
        }
    }

    /// Runs a future on the host's own thread, where the servers run.
    pub fn run<F>(&self, future: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (sender, receiver) = mpsc::channel();
        self.runtime.spawn(async move {
            let _ = sender.send(future.await);
        });
        receiver
            .recv_timeout(Duration::from_secs(120))
            .expect("the host hangs")
    }

    pub fn export(&self, storage: &Arc<Memory>, read_only: bool) -> Arc<Device> {
        let (exporter, storage) = (self.exporter.clone(), storage.clone());
        let options = ExportOptions {
            name: unique_name(),
            read_only,
            deadline: soon(),
        };
        let device = Arc::new(
            self.run(async move { exporter.export(storage, options, &Nobody).await })
                .unwrap(),
        );
        self.devices.lock().unwrap().push(device.clone());
        device
    }

    pub fn detach(
        &self,
        device: &Arc<Device>,
        force: bool,
        within: Duration,
    ) -> Result<(), longshore_blockdev::ExportError> {
        let device = device.clone();
        self.run(async move { device.detach(&Nobody, force, Instant::now() + within).await })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let devices: Vec<_> = self.devices.lock().unwrap().drain(..).collect();
        for device in devices {
            device.fail();
            let _ = self.detach(&device, true, Duration::from_secs(10));
        }
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A name that no other test has at the same time.
pub fn unique_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!(
        "test-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Opens a device or file for direct I/O.
pub fn open_direct(path: &Path) -> File {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)
        .unwrap()
}

/// Memory aligned for direct I/O.
pub struct Aligned {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    pub fn new(len: usize, byte: u8) -> Self {
        let memory = vec![byte; len + 4096];
        let start = memory.as_ptr().align_offset(4096);
        Self { memory, start, len }
    }
}

impl std::ops::Deref for Aligned {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl std::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

/// A mount that is taken away again, also when the test fails.
pub struct Mounted(pub PathBuf, pub tempfile::TempDir);

impl Mounted {
    pub fn new(device: &Path, fs_type: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        run(
            "mount",
            &[
                "-t",
                fs_type,
                device.to_str().unwrap(),
                dir.path().to_str().unwrap(),
            ],
        );
        Self(dir.path().to_owned(), dir)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Runs a tool, which must succeed.
pub fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.status.success(),
        "{program} {args:?}: {}\n{text}",
        output.status
    );
    text
}

/// A small generator of numbers, the same in every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Writes random 4 KiB blocks of a file with direct I/O from several threads at once, each in its own part, reads
/// each back at once, syncs now and then, and compares everything at the end. `ops` per thread, or until `stop`.
pub fn hammer(path: &Path, threads: u64, blocks_per_thread: u64, ops: u64, stop: &AtomicBool) -> u64 {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || hammer_part(path, thread, blocks_per_thread, ops, stop)))
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    })
}

fn hammer_part(path: &Path, thread: u64, blocks: u64, ops: u64, stop: &AtomicBool) -> u64 {
    use std::os::unix::fs::FileExt;
    let file = open_direct(path);
    let mut random = Random(0x9e37_79b9 + thread * 77);
    let mut expected = vec![0u64; blocks as usize];
    let mut buffer = Aligned::new(4096, 0);
    let place = |block: u64| (thread * blocks + block) * 4096;
    let mut done = 0;
    while done < ops && !stop.load(Ordering::Relaxed) {
        let block = random.next() % blocks;
        let mark = random.next() | 1;
        buffer
            .chunks_exact_mut(8)
            .for_each(|word| word.copy_from_slice(&mark.to_ne_bytes()));
        file.write_all_at(&buffer, place(block)).unwrap();
        expected[block as usize] = mark;
        if done % 4 == 0 {
            check(&file, &mut buffer, place(block), mark);
        }
        if done % 64 == 63 {
            file.sync_all().unwrap();
        }
        done += 1;
    }
    file.sync_all().unwrap();
    for (block, mark) in expected.iter().enumerate().filter(|(_, mark)| **mark != 0) {
        check(&file, &mut buffer, place(block as u64), *mark);
    }
    done
}

fn check(file: &File, buffer: &mut [u8], place: u64, mark: u64) {
    use std::os::unix::fs::FileExt;
    file.read_exact_at(buffer, place).unwrap();
    let wrong = buffer.chunks_exact(8).position(|word| word != mark.to_ne_bytes());
    assert_eq!(wrong, None, "other data at {place}");
}
