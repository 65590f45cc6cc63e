//! The seam between the engine and the disk: everything that the engine ever does to storage goes through [`Device`].

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use parking_lot::RwLock;

use crate::error::{Error, Result};

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
    /// [`io::ErrorKind::UnexpectedEof`] where the range reaches beyond the end; else the system's error.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `data` at byte `offset`, lengthening the storage where needed.
    ///
    /// # Errors
    ///
    /// The system's error; how much was written is then unknown.
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;

    /// Makes every completed write durable.
    ///
    /// # Errors
    ///
    /// The system's error; what became durable is then unknown.
    fn sync(&self) -> io::Result<()>;

    /// The length in bytes.
    ///
    /// # Errors
    ///
    /// The system's error.
    fn len(&self) -> io::Result<u64>;

    /// Whether nothing has been written yet.
    ///
    /// # Errors
    ///
    /// The system's error.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts or lengthens (with zeros) the storage to `len` bytes.
    ///
    /// # Errors
    ///
    /// The system's error.
    fn set_len(&self, len: u64) -> io::Result<()>;
}

/// A container file, held under the operating system's file lock for as long as it is open.
///
/// # Examples
///
/// ```
/// use vde_store::{Error, FileDevice};
///
/// let dir = tempfile::tempdir().unwrap();
/// let path = dir.path().join("store.vde");
/// let held = FileDevice::create(&path)?;
/// assert!(matches!(FileDevice::open(&path), Err(Error::AlreadyOpen)));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct FileDevice {
    file: File,
}

impl FileDevice {
    /// Creates a new file at `path` and locks it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where the file exists already or cannot be created.
    pub fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(|e| Error::io("create the container", e))?;
        let device = Self::locked(file, false)?;
        sync_parent(path)?;
        Ok(device)
    }

    /// Opens the file at `path` and locks it against every other opener.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyOpen`] where it is open elsewhere; [`Error::Io`] where it cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let opened = OpenOptions::new().read(true).write(true).open(path);
        Self::locked(opened.map_err(|e| Error::io("open the container", e))?, false)
    }

    /// Opens the file at `path` for reading, shared with other readers but with no writer.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyOpen`] where a writer has it open; [`Error::Io`] where it cannot be opened.
    pub fn open_read_only(path: &Path) -> Result<Self> {
        let opened = OpenOptions::new().read(true).open(path);
        Self::locked(opened.map_err(|e| Error::io("open the container", e))?, true)
    }

    fn locked(file: File, shared: bool) -> Result<Self> {
        let locked = if shared { file.try_lock_shared() } else { file.try_lock() };
        match locked {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(Error::AlreadyOpen),
            Err(TryLockError::Error(e)) => Err(Error::io("lock the container", e)),
        }
    }
}

/// Makes the directory entry of a new file durable, without which a crash could lose the whole file.
fn sync_parent(path: &Path) -> Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = File::open(parent).and_then(|dir| dir.sync_all());
    synced.map_err(|e| Error::io("sync the container's directory", e))
}

impl Device for FileDevice {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
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
