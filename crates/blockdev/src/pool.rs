//! Pages for write data: faulted in before the kernel copies into them, handed on as `Bytes` without a copy.
//!
//! A page that must be faulted in while the process is being killed makes the kernel *end* the request with EIO
//! (fs/fuse/dev.c, `fuse_copy_fill`), so every page is populated, and locked where permitted, before it is used. The
//! unit of allocation is the page: a small write that is kept for long pins no more than its own pages. Segments are
//! added when needed and given back to the kernel by [`Pool::trim`]; how much may be under way is decided elsewhere
//! (`share`).
#![allow(unsafe_code)]

use std::io;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rustix::mm::{Advice, MapFlags, ProtFlags};

/// Size of the pool's pages in bytes; a multiple of the kernel's on every platform with 4 KiB pages.
pub(crate) const PAGE: usize = 4096;
const PAGES_PER_SEGMENT: usize = 512;
const SEGMENT_BYTES: usize = PAGE * PAGES_PER_SEGMENT;
/// Pages of a window: what one read of /dev/fuse may fill.
const WINDOW_PAGES: usize = crate::fuse::MAX_WRITE / PAGE;

/// A pool of pages, shared by all devices of a process. Clones share it.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Mutex<Inner>>,
    /// Told when a segment is added.
    pub(crate) grown: Arc<tokio::sync::Notify>,
}

struct Inner {
    /// Slots are reused, so that a buffer names its segment by index.
    segments: Vec<Option<Segment>>,
    /// Where to look first: segment and page.
    hint: (usize, usize),
    /// Whether the kernel let us lock all segments so far.
    locked: bool,
}

struct Segment {
    base: NonNull<u8>,
    used: [bool; PAGES_PER_SEGMENT],
    used_pages: usize,
    /// Whether a buffer was taken since the last trim.
    touched: bool,
}

// SAFETY: a segment is plain memory that only its owner points to; nothing about it is bound to a thread.
unsafe impl Send for Segment {}

/// What a pool holds at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUsage {
    /// Resident bytes.
    pub mapped_bytes: usize,
    /// Bytes in buffers that are in use.
    pub used_bytes: usize,
    /// Whether all of it is locked into memory.
    pub locked: bool,
}

impl Pool {
    /// A pool with one segment of 2 MiB, which it keeps for good.
    ///
    /// # Errors
    /// When the kernel has no memory.
    pub fn new() -> io::Result<Self> {
        let mut inner = Inner {
            segments: Vec::new(),
            hint: (0, 0),
            locked: true,
        };
        inner.add_segment()?;
        Ok(Self {
            inner: Arc::new(Mutex::new(inner)),
            grown: Arc::default(),
        })
    }

    /// Lets `fill` write into a window of `MAX_WRITE` bytes and say how many it wants to keep (from the start).
    /// Those come back as a buffer that returns its pages when the last clone is dropped.
    pub(crate) fn fill<R>(&self, fill: impl FnOnce(&mut [u8]) -> (usize, R)) -> io::Result<(Bytes, R)> {
        let mut inner = self.lock();
        let (index, page) = match inner.find_window() {
            Some(found) => found,
            None => {
                let added = inner.add_segment()?;
                self.grown.notify_one();
                (added, 0)
            }
        };
        let window = inner.window(index, page);
        let (len, result) = fill(window);
        let pages = len.min(window.len()).div_ceil(PAGE);
        if pages == 0 {
            return Ok((Bytes::new(), result));
        }
        let base = inner.take(index, page, pages);
        drop(inner);
        let buffer = PageBuffer {
            pool: self.inner.clone(),
            base,
            len,
            segment: index,
            page,
            pages,
        };
        Ok((Bytes::from_owner(buffer), result))
    }

    /// Gives back segments that were not used since the last call, except the first. Returns whether there may be
    /// more to give back later.
    pub(crate) fn trim(&self) -> bool {
        let mut inner = self.lock();
        let mut left = 0;
        for slot in inner.segments.iter_mut().skip(1) {
            match slot {
                Some(segment) if segment.used_pages == 0 && !segment.touched => *slot = None,
                Some(segment) => {
                    segment.touched = false;
                    left += 1;
                }
                None => {}
            }
        }
        left > 0
    }

    /// What the pool holds at the moment.
    pub fn usage(&self) -> PoolUsage {
        let inner = self.lock();
        let segments = inner.segments.iter().flatten();
        let (count, used) = segments.fold((0, 0), |(n, used), s| (n + 1, used + s.used_pages));
        PoolUsage {
            mapped_bytes: count * SEGMENT_BYTES,
            used_bytes: used * PAGE,
            locked: inner.locked,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Finds free pages for a window: from the hint on, then from the start of each segment.
    fn find_window(&self) -> Option<(usize, usize)> {
        let (index, page) = self.hint;
        let hinted = self.segments.get(index).and_then(Option::as_ref);
        if hinted.is_some_and(|segment| segment.free_run(page)) {
            return Some((index, page));
        }
        self.segments.iter().enumerate().find_map(|(index, slot)| {
            let segment = slot.as_ref()?;
            segment.find_run().map(|page| (index, page))
        })
    }

    fn window(&mut self, index: usize, page: usize) -> &mut [u8] {
        let segment = self.segments[index].as_mut().expect("found a moment ago");
        // SAFETY: the pages lie within the segment's mapping (free_run checked), are populated, and no buffer uses
        // them (`used` is false for each). `&mut self` keeps everybody else from taking them meanwhile.
        unsafe { std::slice::from_raw_parts_mut(segment.base.as_ptr().add(page * PAGE), WINDOW_PAGES * PAGE) }
    }

    fn take(&mut self, index: usize, page: usize, pages: usize) -> NonNull<u8> {
        let segment = self.segments[index].as_mut().expect("found a moment ago");
        segment.used[page..page + pages].fill(true);
        segment.used_pages += pages;
        segment.touched = true;
        self.hint = (index, page + pages);
        // SAFETY: `page` is a page of the segment, so the pointer stays within its mapping.
        unsafe { segment.base.add(page * PAGE) }
    }

    fn add_segment(&mut self) -> io::Result<usize> {
        let (segment, locked) = Segment::map()?;
        self.locked &= locked;
        let free = self.segments.iter().position(Option::is_none);
        let index = free.unwrap_or(self.segments.len());
        if free.is_none() {
            self.segments.push(None);
        }
        self.segments[index] = Some(segment);
        Ok(index)
    }
}

impl Segment {
    /// Maps, populates and, where permitted, locks a segment.
    fn map() -> io::Result<(Self, bool)> {
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no other memory.
        let base = unsafe {
            rustix::mm::mmap_anonymous(std::ptr::null_mut(), SEGMENT_BYTES, prot, MapFlags::PRIVATE)
        }?;
        let base = NonNull::new(base.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let segment = Self {
            base,
            used: [false; PAGES_PER_SEGMENT],
            used_pages: 0,
            touched: true,
        };
        let start = base.as_ptr().cast();
        // SAFETY: exactly the mapping made above; populating changes no content.
        let populated = unsafe { rustix::mm::madvise(start, SEGMENT_BYTES, Advice::LinuxPopulateWrite) };
        match populated {
            Ok(()) => {}
            // Kernels before 5.14 do not know it: touch every page instead.
            Err(rustix::io::Errno::INVAL) => {
                for page in 0..PAGES_PER_SEGMENT {
                    // SAFETY: within the mapping, which nobody else knows yet.
                    unsafe { base.as_ptr().add(page * PAGE).write_volatile(0) };
                }
            }
            Err(error) => return Err(error.into()),
        }
        // SAFETY: exactly the mapping made above; locking changes no content.
        let locked = unsafe { rustix::mm::mlock(start, SEGMENT_BYTES) }.is_ok();
        Ok((segment, locked))
    }

    /// Whether a window that begins at `page` is free.
    fn free_run(&self, page: usize) -> bool {
        page + WINDOW_PAGES <= PAGES_PER_SEGMENT && !self.used[page..page + WINDOW_PAGES].contains(&true)
    }

    fn find_run(&self) -> Option<usize> {
        let mut start = 0;
        while start + WINDOW_PAGES <= PAGES_PER_SEGMENT {
            match self.used[start..start + WINDOW_PAGES]
                .iter()
                .rposition(|used| *used)
            {
                None => return Some(start),
                Some(last_used) => start += last_used + 1,
            }
        }
        None
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        debug_assert_eq!(
            self.used_pages, 0,
            "a segment is dropped only when no buffer points into it"
        );
        // SAFETY: the mapping is ours alone and no buffer points into it: buffers keep the pool alive, and `trim`
        // drops a segment only when none of its pages is used.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), SEGMENT_BYTES) };
        debug_assert!(unmapped.is_ok());
    }
}

/// The owner behind a `Bytes`.
struct PageBuffer {
    pool: Arc<Mutex<Inner>>,
    base: NonNull<u8>,
    len: usize,
    segment: usize,
    page: usize,
    pages: usize,
}

// SAFETY: the pages belong to this buffer alone until it is dropped, and are only read through it.
unsafe impl Send for PageBuffer {}

impl AsRef<[u8]> for PageBuffer {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `len` bytes from `base` lie in pages that are marked used for this buffer, hence mapped and written
        // by nobody until it is dropped.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len) }
    }
}

impl Drop for PageBuffer {
    fn drop(&mut self) {
        let mut inner = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Some(segment)) = inner.segments.get_mut(self.segment) {
            segment.used[self.page..self.page + self.pages].fill(false);
            segment.used_pages -= self.pages;
            if segment.used_pages == 0 {
                inner.hint = (self.segment, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(pool: &Pool, len: usize, byte: u8) -> Bytes {
        pool.fill(|window| {
            window[..len].fill(byte);
            (len, ())
        })
        .unwrap()
        .0
    }

    #[test]
    fn buffers_are_disjoint_and_return_their_pages() {
        let pool = Pool::new().unwrap();
        let buffers: Vec<Bytes> = (0..300).map(|i| take(&pool, 4096 + i % 7, i as u8)).collect();
        for (i, buffer) in buffers.iter().enumerate() {
            assert_eq!(buffer.len(), 4096 + i % 7);
            assert!(
                buffer[..] == vec![i as u8; buffer.len()],
                "buffer {i} was overwritten"
            );
        }
        drop(buffers);
        assert_eq!(pool.usage().used_bytes, 0);
    }

    #[test]
    fn a_small_buffer_that_is_kept_pins_only_its_page() {
        let pool = Pool::new().unwrap();
        let kept: Vec<Bytes> = (0..200)
            .map(|i| {
                let small = take(&pool, 512, i as u8);
                drop(take(&pool, crate::fuse::MAX_WRITE, 0xff));
                small
            })
            .collect();
        assert_eq!(pool.usage().used_bytes, 200 * PAGE);
        for (i, buffer) in kept.iter().enumerate() {
            assert!(buffer.iter().all(|b| *b == i as u8));
        }
    }

    #[test]
    fn a_burst_is_given_back_and_the_first_segment_stays() {
        let pool = Pool::new().unwrap();
        let burst: Vec<Bytes> = (0..16).map(|_| take(&pool, crate::fuse::MAX_WRITE, 1)).collect();
        assert!(pool.usage().mapped_bytes >= 16 << 20);
        assert!(pool.trim());
        drop(burst);
        pool.trim();
        assert!(!pool.trim());
        assert_eq!(
            pool.usage(),
            PoolUsage {
                mapped_bytes: SEGMENT_BYTES,
                used_bytes: 0,
                locked: pool.usage().locked
            }
        );
    }

    #[test]
    fn a_buffer_may_be_dropped_on_another_thread_and_after_the_pool() {
        let pool = Pool::new().unwrap();
        let buffer = take(&pool, 8192, 7);
        drop(pool);
        std::thread::spawn(move || assert!(buffer.iter().all(|b| *b == 7)))
            .join()
            .unwrap();
    }
}
