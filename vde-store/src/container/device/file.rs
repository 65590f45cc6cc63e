//! A container file as a device.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use crate::container::device::{Device, Lock, Mapping, readers, system};
use crate::container::error::{Error, Result};

/// A container file. While it is open, it holds the operating system's file lock.
///
/// # Examples
///
/// ```
/// use vde_store::{Error, FileDevice};
///
/// let dir = tempfile::tempdir().unwrap();
/// let path = dir.path().join("store.vde");
/// let held = FileDevice::create(&path)?;
/// assert!(matches!(FileDevice::open(&path), Err(Error::AlreadyOpen { .. })));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct FileDevice {
    file: File,
    /// The same file, opened for direct writes that bypass the page cache, if the file system allows that.
    direct: Option<File>,
    /// The process that took the lock.
    process: u32,
}

/// Unlocks explicitly. The lock belongs to the open file, which a forked child process shares until it starts another
/// program. If this process only closed the file, the child would keep the lock.
impl Drop for FileDevice {
    fn drop(&mut self) {
        // A forked child that exits must not unlock the file, because its parent still uses the file.
        if std::process::id() == self.process {
            let _ = self.file.unlock();
            let _ = readers::let_go_of_all(&self.file);
        }
    }
}

impl FileDevice {
    /// Creates a new, empty file at `path` and locks it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file exists already or cannot be created.
    ///
    /// # Examples
    ///
    /// ```
    /// let dir = tempfile::tempdir().unwrap();
    /// let path = dir.path().join("store.vde");
    /// let device = vde_store::FileDevice::create(&path)?;
    /// assert!(vde_store::FileDevice::create(&path).is_err());
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn create(path: &Path) -> Result<Self> {
        Self::create_with(path, Lock::File, |_| Ok(()))
    }

    /// Creates a new file that `write` makes durable before it appears at `path`.
    pub(crate) fn create_with(
        path: &Path,
        lock: Lock,
        write: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<Self> {
        let (partial, device) = Partial::create(path, lock)?;
        write(&device)?;
        partial.finish()?;
        Ok(device)
    }

    /// Opens the file at `path` and locks it against every other opener.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyOpen`] if it is open elsewhere; [`Error::Io`] if it cannot be opened.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::FileDevice;
    ///
    /// let dir = tempfile::tempdir().unwrap();
    /// let path = dir.path().join("store.vde");
    /// assert!(FileDevice::open(&path).is_err());
    /// drop(FileDevice::create(&path)?);
    /// let device = FileDevice::open(&path)?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_under(Lock::File, path)
    }

    pub(crate) fn open_under(lock: Lock, path: &Path) -> Result<Self> {
        Self::open_with(OpenOptions::new().read(true).write(true), path, false, lock)
    }

    /// Opens the file at `path` for reading. Other readers may have it open, but no writer.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyOpen`] if a writer has it open; [`Error::Io`] if it cannot be opened.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::FileDevice;
    ///
    /// let dir = tempfile::tempdir().unwrap();
    /// let path = dir.path().join("store.vde");
    /// drop(FileDevice::create(&path)?);
    /// let (one, other) = (FileDevice::open_read_only(&path)?, FileDevice::open_read_only(&path)?);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn open_read_only(path: &Path) -> Result<Self> {
        Self::open_read_only_under(Lock::File, path)
    }

    pub(crate) fn open_read_only_under(lock: Lock, path: &Path) -> Result<Self> {
        Self::open_with(OpenOptions::new().read(true), path, true, lock)
    }

    /// Opens the file at `path` for reading, even if a writer has it open, and keeps the writer from overwriting
    /// anything. Call [`read_from`](Self::read_from) next, so that the writer may overwrite older data.
    pub(crate) fn open_beside_writer(path: &Path) -> Result<Self> {
        let file = open_regular(OpenOptions::new().read(true), path)?;
        readers::hold(&file, 0).map_err(|e| match e.kind() {
            // Without byte-range locks, a writer would not know of this reader.
            io::ErrorKind::Unsupported | io::ErrorKind::WouldBlock => {
                Error::AlreadyOpen { path: path.into() }
            }
            _ => Error::at(path, "lock the container", &e),
        })?;
        Ok(Self { file, direct: None, process: std::process::id() })
    }

    /// Lets the writer free space that only checkpoints before this one need.
    pub(crate) fn read_from(&self, checkpoint: u64) -> Result<()> {
        if checkpoint == 0 {
            return Ok(());
        }
        let held = readers::hold(&self.file, checkpoint).and_then(|()| readers::let_go(&self.file, 0));
        held.map_err(|e| Error::io("lock the container", e))
    }

    fn open_with(options: &mut OpenOptions, path: &Path, shared: bool, lock: Lock) -> Result<Self> {
        let failed = |e: io::Error| Error::at(path, "open the container", &e);
        loop {
            let device = Self::locked(open_regular(options, path)?, path, shared, lock)?;
            // Another file may have been renamed to `path` before this one was locked. Then writes to this one would
            // be lost.
            if system::is_at(&device.file, path).map_err(failed)? {
                return Ok(device);
            }
        }
    }

    fn locked(file: File, path: &Path, shared: bool, lock: Lock) -> Result<Self> {
        let locked = match lock {
            Lock::None => Ok(()),
            Lock::File if shared => file.try_lock_shared(),
            Lock::File => file.try_lock(),
        };
        match locked {
            Ok(()) => {
                let direct = if shared { None } else { system::open_direct(&file, path) };
                Ok(Self { direct, file, process: std::process::id() })
            }
            Err(TryLockError::WouldBlock) => Err(Error::AlreadyOpen { path: path.into() }),
            Err(TryLockError::Error(e)) => Err(Error::at(path, "lock the container", &e)),
        }
    }
}

fn open_regular(options: &mut OpenOptions, path: &Path) -> Result<File> {
    let failed = |e: io::Error| Error::at(path, "open the container", &e);
    let file = system::without_waiting(options).open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_file() {
        Ok(file)
    } else {
        Err(Error::not_a_store("it is not a regular file").in_file(path))
    }
}

/// A new file that has a temporary name until it is whole, so that neither a crash nor a failure leaves an incomplete
/// file at its path.
pub(crate) struct Partial<'a> {
    path: &'a Path,
    /// The temporary name. The file is removed when this is dropped, unless it got its final name.
    partial: PathBuf,
}

impl<'a> Partial<'a> {
    /// Creates and locks an empty file. Removes temporary files for `path` that killed processes left.
    pub(crate) fn create(path: &'a Path, lock: Lock) -> Result<(Self, FileDevice)> {
        let failed = |e: io::Error| Error::at(path, "create the container", &e);
        if path.symlink_metadata().is_ok() {
            return Err(failed(io::ErrorKind::AlreadyExists.into()));
        }
        // Without locks, it is unknown which temporary files are still being written.
        if lock == Lock::File {
            remove_leftovers(path);
        }
        loop {
            // A random name, because a file with a predictable name could belong to another process.
            let unique = std::hash::RandomState::new().build_hasher().finish();
            let mut partial = path.as_os_str().to_owned();
            partial.push(format!(".{unique:016x}{SUFFIX}"));
            let partial = Self { path, partial: partial.into() };
            let file = OpenOptions::new().read(true).write(true).create_new(true).open(&partial.partial);
            match FileDevice::locked(file.map_err(failed)?, &partial.partial, false, lock) {
                // Another process took the file for a leftover and locked it first.
                Err(Error::AlreadyOpen { .. }) => {}
                Ok(device) if !system::is_at(&device.file, &partial.partial).unwrap_or(false) => {}
                device => return Ok((partial, device?)),
            }
        }
    }

    /// Gives the file its final name. The caller has made its contents durable.
    pub(crate) fn finish(self) -> Result<()> {
        system::rename_to_new(&self.partial, self.path)
            .map_err(|e| Error::at(self.path, "create the container", &e))?;
        sync_parent(self.path)
    }
}

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.partial);
    }
}

/// The end of a temporary file's name, after 16 hexadecimal digits.
const SUFFIX: &str = ".partial";

/// Removes temporary files for `path` that are not locked, because no process will finish them. A file that cannot be
/// removed stays.
fn remove_leftovers(path: &Path) {
    let (Some(name), Ok(files)) = (path.file_name(), fs::read_dir(parent(path))) else { return };
    for file in files.flatten() {
        let file_name = file.file_name();
        let unique = file_name
            .as_encoded_bytes()
            .strip_prefix(name.as_encoded_bytes())
            .and_then(|rest| rest.strip_prefix(b"."))
            .and_then(|rest| rest.strip_suffix(SUFFIX.as_bytes()));
        if unique.is_some_and(|unique| unique.len() == 16 && unique.iter().all(u8::is_ascii_hexdigit))
            && let Ok(device) = FileDevice::open(&file.path())
        {
            let _ = fs::remove_file(file.path());
            drop(device);
        }
    }
}

/// Unaligned data is written directly in pieces of this size, through one aligned buffer.
const BULK: usize = 1 << 20;
/// The alignment of direct writes, in memory and on the device.
pub(super) const ALIGNMENT: usize = 4096;

fn write_direct(file: &File, data: &[u8], offset: u64) -> io::Result<()> {
    if data.as_ptr().align_offset(ALIGNMENT) == 0 {
        return system::write_at(file, data, offset);
    }
    let mut buffer = vec![0; data.len().min(BULK) + ALIGNMENT];
    let start = buffer.as_ptr().align_offset(ALIGNMENT);
    let mut at = offset;
    for piece in data.chunks(BULK) {
        let aligned = &mut buffer[start..start + piece.len()];
        aligned.copy_from_slice(piece);
        system::write_at(file, aligned, at)?;
        at += piece.len() as u64;
    }
    Ok(())
}

/// The directory that a file is in.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes the directory entry of a file durable. Without it, a crash could lose the whole file.
fn sync_parent(path: &Path) -> Result<()> {
    let directory = parent(path);
    system::sync_directory(directory).map_err(|e| Error::at(directory, "sync the container's directory", &e))
}

impl Device for FileDevice {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        system::read_at(&self.file, buf, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        system::write_at(&self.file, data, offset)
    }

    fn write_bulk(&self, data: &[u8], offset: u64) -> io::Result<()> {
        match &self.direct {
            Some(direct) => write_direct(direct, data, offset),
            None => self.write_at(data, offset),
        }
    }

    fn write_cached(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.write_at(data, offset)?;
        system::begin_writing(&self.file, offset, data.len() as u64);
        Ok(())
    }

    fn available(&self) -> Option<u64> {
        system::available(&self.file)
    }

    fn allocated(&self) -> Option<u64> {
        system::allocated(&self.file)
    }

    fn prepare(&self, offset: u64, len: u64) -> io::Result<bool> {
        let before = self.file.metadata()?.len();
        let end = offset + len;
        let zeros = vec![0; BULK];
        let mut at = offset;
        while at < end {
            let Some((hole, hole_end)) = system::next_hole(&self.file, at, end, before) else { break };
            for at in (hole..hole_end).step_by(BULK) {
                let piece = (hole_end - at).min(BULK as u64) as usize;
                if let Err(error) = self.write_bulk(&zeros[..piece], at) {
                    // Returns the space that this call allocated: other programs may need it.
                    let _ = self.file.set_len(before);
                    return Err(error);
                }
            }
            at = hole_end;
        }
        Ok(at > offset)
    }

    fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
        system::discard(&self.file, offset, len)
    }

    fn map(&self, len: u64) -> Option<Mapping> {
        system::map(&self.file, len)
    }

    fn expect_random_reads(&self, map: Option<&Mapping>) {
        system::expect_random_reads(&self.file, map);
    }

    /// Returns `true` if it is unknown, because there may be a reader.
    fn is_read_before(&self, checkpoint: u64) -> bool {
        readers::is_held_before(&self.file, checkpoint).unwrap_or(true)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_creation_leaves_no_file_and_replaces_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.vde");
        let files = || fs::read_dir(dir.path()).unwrap().count();
        let failed = FileDevice::create_with(&path, Lock::File, |_| Err(Error::ReadOnly));
        assert!(matches!(failed, Err(Error::ReadOnly)));
        assert_eq!(files(), 0);
        // Another process creates the file first.
        let late = FileDevice::create_with(&path, Lock::File, |_| {
            fs::write(&path, "theirs").unwrap();
            Ok(())
        });
        let Err(Error::Io { source, .. }) = late else { panic!("{late:?}") };
        assert_eq!(source.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((fs::read(&path).unwrap(), files()), (b"theirs".to_vec(), 1));
        fs::remove_file(&path).unwrap();
        drop(FileDevice::create_with(&path, Lock::File, |_| Ok(())).unwrap());
        assert_eq!((files(), path.exists()), (1, true));
    }

    #[test]
    fn a_file_that_was_renamed_to_the_path_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("store.vde"), dir.path().join("other.vde"));
        fs::write(&path, "ours").unwrap();
        fs::write(&other, "theirs").unwrap();
        let ours = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let device = FileDevice::locked(ours.try_clone().unwrap(), &path, false, Lock::File).unwrap();
        assert!(system::is_at(&device.file, &path).unwrap());
        fs::rename(&other, &path).unwrap();
        assert!(system::open_direct(&ours, &path).is_none());
        assert!(!system::is_at(&device.file, &path).unwrap());
        drop(device);
        FileDevice::locked(ours, &path, false, Lock::File).unwrap().write_bulk(&[7; ALIGNMENT], 0).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_pipe_or_a_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        for opened in [FileDevice::open(&pipe), FileDevice::open_read_only(&pipe)] {
            assert!(matches!(opened, Err(Error::NotAStore { .. })), "{opened:?}");
        }
        assert!(FileDevice::open(dir.path()).is_err());
        assert!(matches!(FileDevice::open_read_only(dir.path()), Err(Error::NotAStore { .. })));
    }

    #[test]
    fn the_next_creation_removes_the_temporary_file_of_a_killed_process_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.vde");
        let names = [
            "store.vde.0123456789abcdef.partial",
            "store.vde.partial",
            "store.vde.0123456789abcdeg.partial",
            "other.vde.0123456789abcdef.partial",
        ];
        for name in names {
            fs::write(dir.path().join(name), "left").unwrap();
        }
        let (partial, being_made) = Partial::create(&path, Lock::File).unwrap();
        let left: Vec<bool> = names.iter().map(|name| dir.path().join(name).exists()).collect();
        assert_eq!(left, [false, true, true, true]);
        drop(FileDevice::create(&path).unwrap());
        assert!(system::is_at(&being_made.file, &partial.partial).unwrap(), "it is being made");
        assert!(partial.finish().is_err(), "another process was faster");
    }

    #[test]
    fn an_inherited_file_does_not_keep_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.vde");
        let device = FileDevice::create(&path).unwrap();
        // A forked child has such a copy until it starts another program.
        let inherited = device.file.try_clone().unwrap();
        assert!(matches!(FileDevice::open(&path), Err(Error::AlreadyOpen { .. })));
        drop(device);
        drop(FileDevice::open(&path).unwrap());
        drop(inherited);
    }

    #[test]
    fn a_forked_process_does_not_unlock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.vde");
        let device = FileDevice::create(&path).unwrap();
        let file = device.file.try_clone().unwrap();
        drop(FileDevice { file, direct: None, process: device.process.wrapping_add(1) });
        assert!(matches!(FileDevice::open(&path), Err(Error::AlreadyOpen { .. })));
    }

    #[test]
    fn preparing_fills_holes_and_keeps_data() {
        const PAGE: u64 = ALIGNMENT as u64;
        let dir = tempfile::tempdir().unwrap();
        let device = FileDevice::create(&dir.path().join("store.vde")).unwrap();
        device.write_at(&[7; ALIGNMENT], 63 * PAGE).unwrap();
        device.write_at(&vec![7; 16 * ALIGNMENT], 8 * PAGE).unwrap();
        device.discard(12 * PAGE, 4 * PAGE).unwrap();
        assert!(device.prepare(4 * PAGE, 80 * PAGE).unwrap());
        device.sync().unwrap();
        assert!(!device.prepare(4 * PAGE, 80 * PAGE).unwrap());
        assert_eq!(device.len().unwrap(), 84 * PAGE);
        let allocated = device.allocated().unwrap();
        assert!((80 * PAGE..=84 * PAGE).contains(&allocated), "{allocated} bytes");
        let mut block = [1; ALIGNMENT];
        for (page, byte) in [(8, 7), (14, 0), (63, 7), (83, 0)] {
            device.read_at(&mut block, page * PAGE).unwrap();
            assert_eq!(block, [byte; ALIGNMENT], "what was written stays");
        }
    }
}
