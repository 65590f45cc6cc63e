//! Reading the container: through a map of the file if the device has one, otherwise by copying.

use std::any::Any;
use std::borrow::Cow;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwapOption, Guard};
use parking_lot::Mutex;

use crate::container::device::{Device, Mapping};
use crate::container::error::{Error, Result};
use crate::container::format::{BLOCK, Extent, Geometry, extent_checksum};

/// The first map covers this many bytes, even if the file is shorter. Each later map is twice as long.
const FIRST_MAP: u64 = 1 << 34;

/// How many bytes of a record are prefetched. The processor itself prefetches the bytes after them.
const FETCHED: usize = 512;
const CACHE_LINE: usize = 64;

/// A map of the container, with bits for the pages and records that were verified since they were written.
pub(crate) struct Map {
    mapping: Mapping,
    verified: Box<[AtomicU64]>,
    records: Box<[OnceLock<Box<[AtomicU64]>>]>,
}

/// A record of at least this many bytes has a bit that says whether it was verified. Two such records never begin in
/// the same block of this length.
const NOTED: u64 = 256;
/// The bits for this many bytes of the container are allocated together, once one of them is needed.
const NOTED_TOGETHER: u64 = 16 << 20;

/// Whether a record was verified since it was written.
#[derive(Clone, Copy)]
pub(crate) struct Verified<'a>(&'a AtomicU64, u64);

impl Verified<'_> {
    pub(crate) fn is_noted(self) -> bool {
        self.0.load(Ordering::Relaxed) & self.1 != 0
    }

    pub(crate) fn note(self) {
        self.0.fetch_or(self.1, Ordering::Relaxed);
    }
}

/// The current map of the container, if there is one.
pub(crate) struct Shown(Guard<Option<Arc<Map>>>);

/// The container, for reading.
pub(crate) struct Pages {
    device: Arc<dyn Device>,
    geometry: Geometry,
    map: ArcSwapOption<Map>,
    remap: Mutex<bool>,
    /// Whether a read may make the system read more than was asked for.
    read_ahead: AtomicBool,
    /// The device is at least this long.
    len: AtomicU64,
    corruptions: AtomicU64,
}

/// Bytes of the container.
pub(crate) enum Bytes {
    Mapped { map: Guard<Option<Arc<Map>>>, start: usize, end: usize },
    Copied(Vec<u8>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped { map, start, end } => map.as_ref().map_or(&[], |map| &map.mapping[*start..*end]),
            Self::Copied(bytes) => bytes,
        }
    }
}

/// Bytes of the container that a caller can keep.
#[derive(Clone)]
pub(crate) enum PinnedBytes {
    Mapped {
        map: Arc<Map>,
        start: usize,
        end: usize,
    },
    Owned(Arc<[u8]>),
    /// Bytes of the anchor's map.
    Anchored {
        anchor: Arc<Anchor>,
        start: usize,
        end: usize,
    },
}

/// Keeps a map alive, and an owner of the space, for other bytes of the same map. The readers of one thread share one
/// anchor, so their reference count is in another cache line than those of other threads.
pub(crate) struct Anchor {
    pub(crate) bytes: PinnedBytes,
    #[allow(dead_code, reason = "held, never read")]
    pub(crate) owner: Arc<dyn Any + Send + Sync>,
}

impl Deref for PinnedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped { map, start, end } => &map.mapping[*start..*end],
            Self::Owned(bytes) => bytes,
            Self::Anchored { anchor, start, end } => {
                anchor.bytes.map().map_or(&[], |map| &map.mapping[*start..*end])
            }
        }
    }
}

impl PinnedBytes {
    fn map(&self) -> Option<&Map> {
        match self {
            Self::Mapped { map, .. } => Some(map),
            Self::Anchored { anchor, .. } => anchor.bytes.map(),
            Self::Owned(_) => None,
        }
    }

    /// As [`Bytes::verified_record`].
    pub(crate) fn verified_record(&self) -> Option<Verified<'_>> {
        match self {
            Self::Mapped { start, end, .. } | Self::Anchored { start, end, .. } => {
                self.map()?.verified_record(*start, *end)
            }
            Self::Owned(_) => None,
        }
    }

    /// The part that begins at `from`.
    pub(crate) fn tail(mut self, from: usize) -> Self {
        match &mut self {
            Self::Mapped { start, .. } | Self::Anchored { start, .. } => *start += from,
            Self::Owned(bytes) => *bytes = bytes[from..].into(),
        }
        self
    }

    /// Prefetches the start of other bytes of the same map into the processor's cache. It reads nothing from a disk.
    pub(crate) fn fetch(&self, offset: u64, len: u32) {
        if let Self::Mapped { map, .. } = self
            && let Ok(start) = usize::try_from(offset)
            && let Some(bytes) = map.mapping.get(start..start + (len as usize).min(FETCHED))
        {
            bytes.chunks(CACHE_LINE).for_each(fetch_line);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "scans of records of 1 KiB are up to twice as fast")]
fn fetch_line(line: &[u8]) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

    // SAFETY: a prefetch is a hint, which reads and changes nothing that a program can observe, whatever the address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
}

/// Elsewhere, the standard library has no such hint.
#[cfg(not(target_arch = "x86_64"))]
fn fetch_line(_: &[u8]) {}

impl Bytes {
    /// The bit that says whether these bytes, a record, were verified since they were written. `None` if they have no
    /// such bit.
    pub(crate) fn verified_record(&self) -> Option<Verified<'_>> {
        match self {
            Self::Mapped { map, start, end } => map.as_ref()?.verified_record(*start, *end),
            Self::Copied(_) => None,
        }
    }

    /// Keeps a part of the bytes.
    pub(crate) fn pin(&self, from: usize, to: usize) -> PinnedBytes {
        match self {
            Self::Mapped { map, start, .. } => match &**map {
                Some(map) => PinnedBytes::Mapped { map: map.clone(), start: start + from, end: start + to },
                None => PinnedBytes::Owned(Arc::default()),
            },
            Self::Copied(bytes) => PinnedBytes::Owned(bytes[from..to].into()),
        }
    }
}

impl Pages {
    /// The pages are read by copying until [`allow_map`](Self::allow_map).
    pub(crate) fn new(device: Arc<dyn Device>, geometry: Geometry) -> Self {
        Self {
            device,
            geometry,
            map: ArcSwapOption::empty(),
            remap: Mutex::new(false),
            read_ahead: AtomicBool::new(true),
            len: AtomicU64::new(0),
            corruptions: AtomicU64::new(0),
        }
    }

    pub(crate) fn geometry(&self) -> Geometry {
        self.geometry
    }

    pub(crate) fn device(&self) -> &dyn Device {
        &*self.device
    }

    /// Reads `len` bytes at `offset`. The caller verifies them.
    pub(crate) fn read(&self, offset: u64, len: usize, what: &'static str) -> Result<Bytes> {
        match self.read_mapped(offset, len, what)? {
            Some(bytes) => Ok(bytes),
            None => self.copy(offset, len),
        }
    }

    /// As [`read`](Self::read), but `None` if that would copy the bytes.
    pub(crate) fn read_mapped(&self, offset: u64, len: usize, what: &'static str) -> Result<Option<Bytes>> {
        let end = self.end_of(offset, len, what)?;
        // Without read-ahead, a map reads one page at a time. One call for all pages is faster.
        if len > BLOCK as usize && !self.read_ahead.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let map = self.map_to(end);
        Ok(map.map(|map| Bytes::Mapped { map, start: offset as usize, end: end as usize }))
    }

    /// As [`read`](Self::read), but never through the map. Reading bytes through the map ends the process if they
    /// were never written or if the disk cannot read them.
    pub(crate) fn read_copy(&self, offset: u64, len: usize, what: &'static str) -> Result<Bytes> {
        self.end_of(offset, len, what)?;
        self.copy(offset, len)
    }

    /// As [`read`](Self::read), for bytes that the caller keeps. If they are in the anchor's map, they keep the
    /// anchor alive.
    pub(crate) fn read_anchored(
        &self,
        anchor: &Arc<Anchor>,
        offset: u64,
        len: usize,
        what: &'static str,
    ) -> Result<PinnedBytes> {
        let end = self.end_of(offset, len, what)?;
        let may_map = len <= BLOCK as usize || self.read_ahead.load(Ordering::Relaxed);
        if may_map && anchor.bytes.map().is_some_and(|map| end <= map.mapping.len() as u64) {
            return Ok(PinnedBytes::Anchored {
                anchor: anchor.clone(),
                start: offset as usize,
                end: end as usize,
            });
        }
        let bytes = self.read(offset, len, what)?;
        Ok(bytes.pin(0, len))
    }

    fn copy(&self, offset: u64, len: usize) -> Result<Bytes> {
        let mut bytes = vec![0; len];
        self.device.read_at(&mut bytes, offset).map_err(|e| Error::io("read the container", e))?;
        Ok(Bytes::Copied(bytes))
    }

    /// From now on, a read makes the system read no more than was asked for.
    pub(crate) fn stop_reading_ahead(&self) {
        self.read_ahead.store(false, Ordering::Relaxed);
        self.device.expect_random_reads(None);
    }

    /// From now on, the container is read through a map, if the device has one. Recovery has verified the bytes that
    /// it read, and made all others durable.
    pub(crate) fn allow_map(&self) {
        *self.remap.lock() = true;
    }

    /// The end of a run of bytes that the device has.
    fn end_of(&self, offset: u64, len: usize, what: &'static str) -> Result<u64> {
        let end = offset.checked_add(len as u64).ok_or(Error::corrupt(what, offset))?;
        if end > self.len.load(Ordering::Relaxed) {
            let actual = self.device.len().map_err(|e| Error::io("measure the container", e))?;
            if end > actual {
                return Err(Error::corrupt(what, offset));
            }
            self.len.store(actual, Ordering::Relaxed);
        }
        Ok(end)
    }

    /// A map of at least `end` bytes, if the device can be mapped.
    fn map_to(&self, end: u64) -> Option<Guard<Option<Arc<Map>>>> {
        let map = self.map.load();
        if map.as_ref().is_some_and(|map| end <= map.mapping.len() as u64) {
            return Some(map);
        }
        let mut can_map = self.remap.lock();
        if !*can_map {
            return None;
        }
        let map = self.map.load();
        if map.as_ref().is_some_and(|map| end <= map.mapping.len() as u64) {
            return Some(map);
        }
        let len = FIRST_MAP.max(end.next_power_of_two());
        let Some(mapping) = self.device.map(len) else {
            *can_map = false;
            return None;
        };
        if !self.read_ahead.load(Ordering::Relaxed) {
            self.device.expect_random_reads(Some(&mapping));
        }
        let records = (0..len.div_ceil(NOTED_TOGETHER)).map(|_| OnceLock::new()).collect();
        let map = Map { mapping, verified: none_of(len.div_ceil(64 * BLOCK)), records };
        self.map.store(Some(Arc::new(map)));
        Some(self.map.load())
    }

    /// Reads and verifies the run of bytes that `extent` describes.
    pub(crate) fn extent(&self, extent: Extent, what: &'static str) -> Result<Bytes> {
        let bytes = self.read(extent.offset, extent.len as usize, what)?;
        let map = match &bytes {
            Bytes::Mapped { map, .. } => map.as_deref(),
            Bytes::Copied(_) => None,
        };
        self.verify(extent, &bytes, map, what)?;
        Ok(bytes)
    }

    /// The map from which [`extent_in`](Self::extent_in) reads. It is cheaper to load it once for several reads.
    pub(crate) fn shown(&self) -> Shown {
        Shown(self.map.load())
    }

    /// As [`extent`](Self::extent).
    pub(crate) fn extent_in<'a>(
        &self,
        shown: &'a Shown,
        extent: Extent,
        what: &'static str,
    ) -> Result<Cow<'a, [u8]>> {
        let end = self.end_of(extent.offset, extent.len as usize, what)?;
        let Some(map) = shown.0.as_deref().filter(|map| end <= map.mapping.len() as u64) else {
            return Ok(Cow::Owned(self.extent(extent, what)?.to_vec()));
        };
        let bytes = &map.mapping[extent.offset as usize..end as usize];
        self.verify(extent, bytes, Some(map), what)?;
        Ok(Cow::Borrowed(bytes))
    }

    /// Verifies bytes that were read, unless they are in a map and were verified before.
    fn verify(&self, extent: Extent, bytes: &[u8], map: Option<&Map>, what: &'static str) -> Result<()> {
        let known = map.map(|map| map.verified_bit(extent.offset));
        if known.is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0) {
            return Ok(());
        }
        if extent_checksum(bytes, extent.offset, self.geometry.salt) != extent.checksum {
            return Err(self.corrupt(what, extent.offset));
        }
        if let Some((word, bit)) = known {
            word.fetch_or(bit, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Counts a checksum that did not match.
    pub(crate) fn corrupt(&self, what: &'static str, offset: u64) -> Error {
        self.corruptions.fetch_add(1, Ordering::Relaxed);
        Error::corrupt(what, offset)
    }

    /// How many checksums did not match since the store was opened.
    pub(crate) fn corruptions(&self) -> u64 {
        self.corruptions.load(Ordering::Relaxed)
    }

    /// Runs a check of bytes that a crash may have torn, and does not count its failures as damage. No other thread
    /// may read meanwhile.
    pub(crate) fn overlooking<T>(&self, check: impl FnOnce() -> T) -> T {
        let before = self.corruptions();
        let checked = check();
        self.corruptions.store(before, Ordering::Relaxed);
        checked
    }

    /// The page at `offset` is about to be overwritten, so it has to be verified again.
    pub(crate) fn forget(&self, offset: u64) {
        if let Some(map) = &*self.map.load()
            && offset < map.mapping.len() as u64
        {
            let (word, bit) = map.verified_bit(offset);
            word.fetch_and(!bit, Ordering::Relaxed);
        }
    }

    /// Records at `offset` are about to be overwritten, so they have to be verified again.
    pub(crate) fn forget_records(&self, offset: u64, len: usize) {
        if let Some(map) = &*self.map.load() {
            map.forget_records(offset, len as u64);
        }
    }

    /// The device is about to be shortened to `len` bytes.
    pub(crate) fn cut(&self, len: u64) {
        self.len.store(len, Ordering::Relaxed);
    }
}

impl Shown {
    /// The block with this index. The caller knows that it holds a verified page.
    pub(crate) fn block(&self, block: u64) -> Option<&[u8]> {
        let start = usize::try_from(block * BLOCK).ok()?;
        self.0.as_deref()?.mapping.get(start..start + BLOCK as usize)
    }
}

/// `words` words without a set bit.
fn none_of(words: u64) -> Box<[AtomicU64]> {
    (0..words).map(|_| AtomicU64::new(0)).collect()
}

impl Map {
    fn verified_record(&self, start: usize, end: usize) -> Option<Verified<'_>> {
        let offset = start as u64;
        if ((end - start) as u64) < NOTED {
            return None;
        }
        let together = self.records.get((offset / NOTED_TOGETHER) as usize)?;
        let words = together.get_or_init(|| none_of(NOTED_TOGETHER / NOTED / 64));
        let bit = offset % NOTED_TOGETHER / NOTED;
        Some(Verified(words.get((bit / 64) as usize)?, 1 << (bit % 64)))
    }

    fn forget_records(&self, offset: u64, len: u64) {
        for bit in offset / NOTED..(offset + len).div_ceil(NOTED) {
            let place = bit * NOTED;
            let together = self.records.get((place / NOTED_TOGETHER) as usize).and_then(OnceLock::get);
            let bit = place % NOTED_TOGETHER / NOTED;
            let Some(word) = together.and_then(|words| words.get((bit / 64) as usize)) else { continue };
            let bit = 1 << (bit % 64);
            if word.load(Ordering::Relaxed) & bit != 0 {
                word.fetch_and(!bit, Ordering::Relaxed);
            }
        }
    }

    fn verified_bit(&self, offset: u64) -> (&AtomicU64, u64) {
        let page = offset / BLOCK;
        (&self.verified[(page / 64) as usize], 1 << (page % 64))
    }
}
