//! The interface between the engine and the disk: the engine accesses storage only through [`Device`].

mod file;
mod readers;
mod system;

use std::io;
use std::ops::Deref;

use parking_lot::RwLock;

pub use file::FileDevice;
pub(crate) use file::Partial;

/// Positioned storage. Writes become durable only through [`sync`](Device::sync); until then a crash may keep
/// any part of them, in any order.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use vde_store::{Device, MemoryDevice, VdeOptions};
///
/// let device: Arc<dyn Device> = Arc::new(MemoryDevice::new());
/// VdeOptions::new().open_device(device.clone())?.put("k", "v")?;
/// let reopened = VdeOptions::new().open_device(device)?;
/// assert_eq!(reopened.get("k")?.as_deref(), Some(&b"v"[..]));
/// # Ok::<(), vde_store::Error>(())
/// ```
pub trait Device: Send + Sync + 'static {
    /// Fills `buf` from byte `offset` on.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] if the range reaches beyond the end; otherwise the system's error.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Device, MemoryDevice};
    /// let device = MemoryDevice::new();
    /// device.write_at(b"abc", 0).unwrap();
    /// let mut two = [0; 2];
    /// device.read_at(&mut two, 1).unwrap();
    /// assert_eq!(&two, b"bc");
    /// assert!(device.read_at(&mut two, 2).is_err());
    /// ```
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `data` at byte `offset`, and lengthens the storage if needed.
    ///
    /// # Errors
    ///
    /// The system's error. Then it is unknown how much was written.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Device, MemoryDevice};
    /// let device = MemoryDevice::new();
    /// device.write_at(b"abc", 4).unwrap();
    /// assert_eq!(device.len().unwrap(), 7);
    /// ```
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;

    /// As [`write_at`](Self::write_at), for large writes that are unlikely to be read soon. A file bypasses the page
    /// cache if the system supports that. So these writes neither slow down other syncs nor evict pages that are
    /// read. Offset and length are multiples of 4096.
    ///
    /// # Errors
    ///
    /// As [`write_at`](Self::write_at).
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Device, MemoryDevice};
    /// let device = MemoryDevice::new();
    /// device.write_bulk(&[7; 4096], 4096).unwrap();
    /// assert_eq!(device.len().unwrap(), 8192);
    /// ```
    fn write_bulk(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.write_at(data, offset)
    }

    /// As [`write_at`](Self::write_at), for large writes that are likely to be read soon. A file keeps them in the
    /// page cache and starts writing them to the disk at once, so that the next sync has less to wait for.
    ///
    /// # Errors
    ///
    /// As [`write_at`](Self::write_at).
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Device, MemoryDevice};
    /// let device = MemoryDevice::new();
    /// device.write_cached(b"abc", 4).unwrap();
    /// assert_eq!(device.len().unwrap(), 7);
    /// ```
    fn write_cached(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.write_at(data, offset)
    }

    /// The free space of the underlying storage in bytes, if that is known.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Device, MemoryDevice};
    /// let device = MemoryDevice::new();
    /// assert_eq!(device.available(), None);
    /// ```
    fn available(&self) -> Option<u64> {
        None
    }

    /// How many bytes of the underlying storage are allocated, if that is known. They are fewer than the length if
    /// [`discard`](Device::discard) has left holes.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Device, MemoryDevice};
    /// let device = MemoryDevice::new();
    /// assert_eq!(device.allocated(), None);
    /// ```
    fn allocated(&self) -> Option<u64> {
        None
    }

    /// Allocates the space of a range that is not in use. Its bytes become undefined. Later writes to the range
    /// cannot fail for lack of space and, after the next sync, change no file-system metadata. Returns whether
    /// anything was allocated, and so needs a sync.
    ///
    /// # Errors
    ///
    /// The system's error.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Device, MemoryDevice};
    /// let device = MemoryDevice::new();
    /// assert!(!device.prepare(8192, 1 << 20).unwrap(), "memory is always ready");
    /// ```
    fn prepare(&self, _offset: u64, _len: u64) -> io::Result<bool> {
        Ok(false)
    }

    /// Returns the space of a range that is not in use to the file system, if the system supports that inside a file.
    /// The bytes of the range become undefined.
    ///
    /// # Errors
    ///
    /// The system's error.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Device, MemoryDevice};
    /// let device = MemoryDevice::new();
    /// device.write_at(b"abc", 0).unwrap();
    /// device.discard(0, 3).unwrap();
    /// assert_eq!(device.len().unwrap(), 3);
    /// ```
    fn discard(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }

    /// A map of the first `len` bytes, if the device can be mapped. The map may reach beyond the device's end.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Device, MemoryDevice};
    /// let device = MemoryDevice::new();
    /// assert!(device.map(4096).is_none());
    /// ```
    fn map(&self, _len: u64) -> Option<Mapping> {
        None
    }

    /// Says that the next reads are at random places, so the system need not read more than it is asked for. It applies to
    /// reads from the device, and to a map that is passed.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Device, FileDevice};
    ///
    /// let dir = tempfile::tempdir().unwrap();
    /// let device = FileDevice::create(&dir.path().join("store.vde"))?;
    /// device.write_at(b"abc", 0).unwrap();
    /// device.expect_random_reads(device.map(3).as_ref());
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    fn expect_random_reads(&self, _map: Option<&Mapping>) {}

    /// Whether another process reads a checkpoint before number `checkpoint`. If so, the data of earlier checkpoints
    /// must not be overwritten.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Device, MemoryDevice};
    /// assert!(!MemoryDevice::new().is_read_before(7));
    /// ```
    fn is_read_before(&self, _checkpoint: u64) -> bool {
        false
    }

    /// Makes every completed write durable.
    ///
    /// # Errors
    ///
    /// The system's error. Then it is unknown which writes became durable.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Device, MemoryDevice};
    /// let device = MemoryDevice::new();
    /// device.write_at(b"abc", 0).unwrap();
    /// device.sync().unwrap();
    /// ```
    fn sync(&self) -> io::Result<()>;

    /// The length in bytes.
    ///
    /// # Errors
    ///
    /// The system's error.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Device, MemoryDevice};
    /// let device = MemoryDevice::new();
    /// assert_eq!(device.len().unwrap(), 0);
    /// ```
    fn len(&self) -> io::Result<u64>;

    /// Whether nothing has been written yet.
    ///
    /// # Errors
    ///
    /// The system's error.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Device, MemoryDevice};
    /// let device = MemoryDevice::new();
    /// assert!(device.is_empty().unwrap());
    /// ```
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Sets the length to `len` bytes: shortens the storage, or lengthens it with zeros.
    ///
    /// # Errors
    ///
    /// The system's error.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Device, MemoryDevice};
    /// let device = MemoryDevice::new();
    /// device.set_len(3).unwrap();
    /// assert_eq!(device.len().unwrap(), 3);
    /// ```
    fn set_len(&self, len: u64) -> io::Result<()>;
}

/// The lock that keeps two processes from writing one container.
///
/// # Examples
///
/// ```
/// use vde_store::{Lock, VdeOptions};
///
/// let dir = tempfile::tempdir().unwrap();
/// let store = VdeOptions::new().lock(Lock::None).open(dir.path().join("store.vde"))?;
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lock {
    /// The operating system's lock on the file.
    #[default]
    File,
    /// No lock, for file systems without locks. The caller must let only one process at a time open the container:
    /// two writers destroy it, and a reader beside a writer reads data that is being overwritten.
    None,
}

/// The bytes of a device, mapped into memory. Those beyond the device's end must not be touched.
///
/// # Examples
///
/// ```
/// use vde_store::{Device, FileDevice};
///
/// let dir = tempfile::tempdir().unwrap();
/// let device = FileDevice::create(&dir.path().join("store.vde"))?;
/// device.write_at(b"abc", 0).unwrap();
/// assert!(device.map(3).is_none_or(|map| &map[..3] == b"abc"));
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Debug)]
pub struct Mapping(memmap2::Mmap);

impl Mapping {
    #[cfg(unix)]
    fn new(map: memmap2::Mmap) -> Self {
        Self(map)
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// Storage in memory, for stores that need not outlive the process, and for tests.
///
/// # Examples
///
/// ```
/// use vde_store::{Device, MemoryDevice};
///
/// let device = MemoryDevice::new();
/// device.write_at(b"abc", 2).unwrap();
/// assert_eq!(device.len().unwrap(), 5);
/// ```
#[derive(Debug, Default)]
pub struct MemoryDevice {
    bytes: RwLock<Vec<u8>>,
}

impl MemoryDevice {
    /// An empty device.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Device, MemoryDevice};
    /// assert!(MemoryDevice::new().is_empty().unwrap());
    /// ```
    pub fn new() -> Self {
        Self::default()
    }
}

impl Device for MemoryDevice {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = self.bytes.read();
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = start.checked_add(buf.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        let source = bytes.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(source);
        Ok(())
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let mut bytes = self.bytes.write();
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::StorageFull)?;
        let end = start.checked_add(data.len()).ok_or(io::ErrorKind::StorageFull)?;
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[start..end].copy_from_slice(data);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.read().len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::StorageFull)?;
        self.bytes.write().resize(len, 0);
        Ok(())
    }
}
