//! Reading the container: through a map of the file if the device has one, otherwise by copying.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwapOption, Guard};
use parking_lot::Mutex;

use crate::container::device::{Device, Mapping};
use crate::container::error::{Error, Result};
use crate::container::format::{BLOCK, Extent, Geometry, extent_checksum};

/// The first map covers this much of the file, written or not; each later one twice as much.
const FIRST_MAP: u64 = 1 << 34;

/// How much of what will be read soon is fetched. Behind that, the processor sees by itself what comes next.
const FETCHED: usize = 512;
const CACHE_LINE: usize = 64;

/// A map and which of its pages were verified since they were written.
pub(crate) struct Map {
    mapping: Mapping,
    verified: Box<[AtomicU64]>,
}

/// The map of the container as it is at a moment, if there is one.
pub(crate) struct Shown(Guard<Option<Arc<Map>>>);

/// The container, for reading.
pub(crate) struct Pages {
    device: Arc<dyn Device>,
    geometry: Geometry,
    map: ArcSwapOption<Map>,
    remap: Mutex<bool>,
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

/// Bytes of the container that outlive the reading of them.
#[derive(Clone)]
pub(crate) enum PinnedBytes {
    Mapped { map: Arc<Map>, start: usize, end: usize },
    Owned(Arc<[u8]>),
}

impl Deref for PinnedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped { map, start, end } => &map.mapping[*start..*end],
            Self::Owned(bytes) => bytes,
        }
    }
}

impl PinnedBytes {
    /// Has the processor fetch the start of other bytes of the same map, which will be read soon. Nothing is read from a disk.
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
    /// Reads by copying until [`allow_map`](Self::allow_map).
    pub(crate) fn new(device: Arc<dyn Device>, geometry: Geometry) -> Self {
        Self {
            device,
            geometry,
            map: ArcSwapOption::empty(),
            remap: Mutex::new(false),
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
        let end = self.end_of(offset, len, what)?;
        if let Some(map) = self.map_to(end) {
            return Ok(Bytes::Mapped { map, start: offset as usize, end: end as usize });
        }
        self.copy(offset, len)
    }

    /// As [`read`](Self::read), but never through the map. If bytes were never written, or the disk cannot read them,
    /// reading them through the map ends the process.
    pub(crate) fn read_copy(&self, offset: u64, len: usize, what: &'static str) -> Result<Bytes> {
        self.end_of(offset, len, what)?;
        self.copy(offset, len)
    }

    fn copy(&self, offset: u64, len: usize) -> Result<Bytes> {
        let mut bytes = vec![0; len];
        self.device.read_at(&mut bytes, offset).map_err(|e| Error::io("read the container", e))?;
        Ok(Bytes::Copied(bytes))
    }

    /// From here on, the container is read through a map, if the device has one. Recovery has proven the bytes that
    /// it read, and made the others durable.
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
        let verified = (0..len.div_ceil(64 * BLOCK)).map(|_| AtomicU64::new(0)).collect();
        self.map.store(Some(Arc::new(Map { mapping, verified })));
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

    /// The map from which [`extent_in`](Self::extent_in) reads. Loading it once for several runs is cheaper than once
    /// for each.
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

    /// Runs a check of bytes that a crash may have torn, and does not count failures as damage. No other thread reads
    /// meanwhile.
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

    /// The device is about to be cut to `len` bytes.
    pub(crate) fn cut(&self, len: u64) {
        self.len.store(len, Ordering::Relaxed);
    }
}

impl Shown {
    /// A block that holds a verified page.
    pub(crate) fn block(&self, block: u64) -> Option<&[u8]> {
        let start = usize::try_from(block * BLOCK).ok()?;
        self.0.as_deref()?.mapping.get(start..start + BLOCK as usize)
    }
}

impl Map {
    fn verified_bit(&self, offset: u64) -> (&AtomicU64, u64) {
        let page = offset / BLOCK;
        (&self.verified[(page / 64) as usize], 1 << (page % 64))
    }
}
