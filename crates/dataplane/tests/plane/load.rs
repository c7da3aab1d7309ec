//! Writes with direct I/O from several threads, reads back, compares, and measures the longest pause.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const BLOCK: usize = 4096;
const BLOCKS: u64 = 128;

/// What a run brought.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report {
    pub writes: u64,
    /// The longest single write, read or sync.
    pub longest: Duration,
}

/// Runs until `stop` is set, then compares everything. Panics with the first error or wrong byte.
pub fn run(path: &Path, threads: u64, stop: &AtomicBool) -> Report {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || part(path, thread, stop)))
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .fold(Report::default(), |sum, part| Report {
                writes: sum.writes + part.writes,
                longest: sum.longest.max(part.longest),
            })
    })
}

pub fn open(path: &Path) -> File {
    let flags = rustix::fs::OFlags::DIRECT.bits() as i32;
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(path)
        .unwrap()
}

fn part(path: &Path, thread: u64, stop: &AtomicBool) -> Report {
    let file = open(path);
    let mut memory = vec![0u8; 2 * BLOCK];
    let start = memory.as_ptr().align_offset(BLOCK);
    let buffer = &mut memory[start..start + BLOCK];
    let mut expected = vec![0u64; BLOCKS as usize];
    let mut state = 0x9e37_79b9_7f4a_7c15 ^ (thread + 1);
    let mut report = Report::default();
    let place = |block: u64| (thread * BLOCKS + block) * BLOCK as u64;
    while !stop.load(Ordering::Relaxed) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let (block, mark) = (state % BLOCKS, state | 1);
        buffer
            .chunks_exact_mut(8)
            .for_each(|word| word.copy_from_slice(&mark.to_ne_bytes()));
        let began = Instant::now();
        file.write_all_at(buffer, place(block)).unwrap();
        expected[block as usize] = mark;
        if state & 3 == 0 {
            compare(&file, buffer, place(block), mark);
        }
        if state & 63 == 1 {
            file.sync_all().unwrap();
        }
        report.longest = report.longest.max(began.elapsed());
        report.writes += 1;
    }
    file.sync_all().unwrap();
    for (block, mark) in expected.into_iter().enumerate().filter(|(_, mark)| *mark != 0) {
        compare(&file, buffer, place(block as u64), mark);
    }
    report
}

fn compare(file: &File, buffer: &mut [u8], place: u64, mark: u64) {
    file.read_exact_at(buffer, place).unwrap();
    let wrong = buffer.chunks_exact(8).position(|word| word != mark.to_ne_bytes());
    assert_eq!(wrong, None, "other data at {place}");
}
