//! The seam between the engine and the disk: everything that the engine ever does to storage goes through [`Device`].

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::ops::Deref;
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

    /// As [`write_at`](Self::write_at), for large writes that should not burden the syncs of others: a file is
    /// written past the page cache where the system can. Offset and length are multiples of 4096.
    ///
    /// # Errors
    ///
    /// As [`write_at`](Self::write_at).
    fn write_bulk(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.write_at(data, offset)
    }

    /// How many bytes more it could hold, if it can tell.
    fn available(&self) -> Option<u64> {
        None
    }

    /// Makes the range's space ready, so that later writes to it change no file-system metadata. Its bytes may become
    /// anything; nothing in it is in use.
    ///
    /// # Errors
    ///
    /// The system's error.
    fn prepare(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }

    /// Gives the range's space back, where the system can do that inside of a file. Its bytes may become anything; nothing in
    /// it is in use.
    ///
    /// # Errors
    ///
    /// The system's error.
    fn discard(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }

    /// A map of the first `len` bytes, written or not yet, if the device can be mapped.
    fn map(&self, _len: u64) -> Option<Mapping> {
        None
    }

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

/// The bytes of a device, mapped into memory. Those beyond the device's end must not be touched.
#[derive(Debug)]
pub struct Mapping(memmap2::Mmap);

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
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
    /// The same file past the page cache, where the file system allows that.
    direct: Option<File>,
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
        let device = Self::locked(file, path, false)?;
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
        Self::locked(opened.map_err(|e| Error::io("open the container", e))?, path, false)
    }

    /// Opens the file at `path` for reading, shared with other readers but with no writer.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyOpen`] where a writer has it open; [`Error::Io`] where it cannot be opened.
    pub fn open_read_only(path: &Path) -> Result<Self> {
        let opened = OpenOptions::new().read(true).open(path);
        Self::locked(opened.map_err(|e| Error::io("open the container", e))?, path, true)
    }

    fn locked(file: File, path: &Path, shared: bool) -> Result<Self> {
        let locked = if shared { file.try_lock_shared() } else { file.try_lock() };
        match locked {
            Ok(()) => Ok(Self { direct: if shared { None } else { open_direct(path) }, file }),
            Err(TryLockError::WouldBlock) => Err(Error::AlreadyOpen),
            Err(TryLockError::Error(e)) => Err(Error::io("lock the container", e)),
        }
    }
}

#[allow(unsafe_code, reason = "a map lets point reads do without a system call and a copy each")]
fn map_file(file: &File, len: u64) -> Option<Mapping> {
    let len = usize::try_from(len).ok()?;
    // SAFETY: the file's lock keeps other processes from writing it, and the engine writes no byte that a reader can
    // still reach, so that what the map shows does not change while it is borrowed.
    let mapped = unsafe { memmap2::MmapOptions::new().len(len).map(file) };
    mapped.ok().map(Mapping)
}

/// The flag that makes the system write past its page cache.
#[cfg(target_os = "linux")]
fn open_direct(path: &Path) -> Option<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new()
        .write(true)
        .custom_flags(rustix::fs::OFlags::DIRECT.bits().cast_signed())
        .open(path)
        .ok()
}

#[cfg(not(target_os = "linux"))]
fn open_direct(_: &Path) -> Option<File> {
    None
}

/// Direct writes go out in pieces of this size, through one aligned buffer.
const BULK: usize = 1 << 20;
/// What direct writes must be aligned to, in memory and on the device.
const ALIGNMENT: usize = 4096;

fn write_direct(file: &File, data: &[u8], offset: u64) -> io::Result<()> {
    if data.as_ptr().align_offset(ALIGNMENT) == 0 {
        return file.write_all_at(data, offset);
    }
    let mut buffer = vec![0; data.len().min(BULK) + ALIGNMENT];
    let start = buffer.as_ptr().align_offset(ALIGNMENT);
    let mut at = offset;
    for piece in data.chunks(BULK) {
        let aligned = &mut buffer[start..start + piece.len()];
        aligned.copy_from_slice(piece);
        file.write_all_at(aligned, at)?;
        at += piece.len() as u64;
    }
    Ok(())
}

/// Makes the directory entry of a file durable, without which a crash could lose the whole file.
pub(crate) fn sync_parent(path: &Path) -> Result<()> {
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

    fn write_bulk(&self, data: &[u8], offset: u64) -> io::Result<()> {
        match &self.direct {
            Some(direct) => write_direct(direct, data, offset),
            None => self.write_at(data, offset),
        }
    }

    fn available(&self) -> Option<u64> {
        let stat = rustix::fs::fstatvfs(&self.file).ok()?;
        stat.f_bavail.checked_mul(stat.f_frsize)
    }

    fn prepare(&self, offset: u64, len: u64) -> io::Result<()> {
        if self.file.metadata()?.len() >= offset + len {
            return Ok(());
        }
        let zeros = vec![0; BULK];
        for at in (offset..offset + len).step_by(BULK) {
            let piece = (offset + len - at).min(BULK as u64) as usize;
            self.write_bulk(&zeros[..piece], at)?;
        }
        self.file.sync_data()
    }

    #[cfg(target_os = "linux")]
    fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};

        match fallocate(&self.file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len) {
            Err(error) if error != rustix::io::Errno::OPNOTSUPP => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn map(&self, len: u64) -> Option<Mapping> {
        map_file(&self.file, len)
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
