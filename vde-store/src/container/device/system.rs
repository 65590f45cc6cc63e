//! The differences between operating systems and file systems.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use crate::container::device::Mapping;
use crate::container::device::file::ALIGNMENT;

const PAGE: u64 = ALIGNMENT as u64;

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};

    use rustix::io::Errno;

    use super::{File, Mapping, OpenOptions, Path, fs, io};

    pub(crate) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<()> {
        file.read_exact_at(buf, offset)
    }

    pub(crate) fn write_at(file: &File, data: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(data, offset)
    }

    /// Opening a pipe would otherwise wait for a process at the other end.
    pub(crate) fn without_waiting(options: &mut OpenOptions) -> &mut OpenOptions {
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
    }

    /// Whether `file` is the one at `path`.
    pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
        let (ours, there) = (file.metadata()?, fs::metadata(path)?);
        Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
    }

    pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
        match File::open(path).and_then(|directory| directory.sync_all()) {
            // File systems that cannot sync a directory do not need it.
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Ok(()),
            synced => synced,
        }
    }

    pub(crate) fn available(file: &File) -> Option<u64> {
        let stat = rustix::fs::fstatvfs(file).ok()?;
        stat.f_bavail.checked_mul(stat.f_frsize)
    }

    pub(crate) fn allocated(file: &File) -> Option<u64> {
        /// The unit of `st_blocks`.
        const UNIT: u64 = 512;
        file.metadata().ok()?.blocks().checked_mul(UNIT)
    }

    #[allow(unsafe_code, reason = "a map lets point reads do without a system call and a copy each")]
    pub(crate) fn map(file: &File, len: u64) -> Option<Mapping> {
        let len = usize::try_from(len).ok()?;
        // SAFETY: the file's lock keeps other processes from writing the file, or tells the writing process which
        // checkpoint is read here. The engine writes no byte that a reader can still reach, so mapped bytes do not
        // change while they are borrowed.
        let mapped = unsafe { memmap2::MmapOptions::new().len(len).map(file) };
        mapped.ok().map(Mapping::new)
    }

    /// The system takes both as hints, so errors do no harm.
    pub(crate) fn expect_random_reads(file: &File, map: Option<&Mapping>) {
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::Random);
        #[cfg(not(target_os = "linux"))]
        let _ = file;
        if let Some(map) = map {
            let _ = map.0.advise(memmap2::Advice::Random);
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use super::{File, Mapping, OpenOptions, Path, io};

    #[cfg(windows)]
    pub(crate) fn read_at(file: &File, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        use std::os::windows::fs::FileExt;

        while !buf.is_empty() {
            match file.seek_read(buf, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => (buf, offset) = (&mut buf[read..], offset + read as u64),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    #[cfg(windows)]
    pub(crate) fn write_at(file: &File, mut data: &[u8], mut offset: u64) -> io::Result<()> {
        use std::os::windows::fs::FileExt;

        while !data.is_empty() {
            match file.seek_write(data, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => (data, offset) = (&data[written..], offset + written as u64),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(crate) fn without_waiting(options: &mut OpenOptions) -> &mut OpenOptions {
        options
    }

    /// The standard library cannot compare files on this system.
    pub(crate) fn is_at(_: &File, _: &Path) -> io::Result<bool> {
        Ok(true)
    }

    /// Directories cannot be synced on this system.
    pub(crate) fn sync_directory(_: &Path) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn available(_: &File) -> Option<u64> {
        None
    }

    pub(crate) fn allocated(_: &File) -> Option<u64> {
        None
    }

    /// On this system, a map would lengthen the file to the map's length, and keep it from being shortened.
    pub(crate) fn map(_: &File, _: u64) -> Option<Mapping> {
        None
    }

    pub(crate) fn expect_random_reads(_: &File, _: Option<&Mapping>) {}
}

#[cfg(not(unix))]
pub(super) use elsewhere::{
    allocated, available, expect_random_reads, is_at, map, read_at, sync_directory, without_waiting, write_at,
};
#[cfg(unix)]
pub(super) use unix::{
    allocated, available, expect_random_reads, is_at, map, read_at, sync_directory, without_waiting, write_at,
};

/// Opens `file`, which was opened at `path`, again for direct writes that bypass the page cache. Returns `None` if
/// another file has that path by now.
#[cfg(target_os = "linux")]
pub(super) fn open_direct(file: &File, path: &Path) -> Option<File> {
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

    let flags = rustix::fs::OFlags::DIRECT | rustix::fs::OFlags::NONBLOCK;
    let direct = OpenOptions::new().write(true).custom_flags(flags.bits().cast_signed()).open(path).ok()?;
    let (ours, opened) = (file.metadata().ok()?, direct.metadata().ok()?);
    ((ours.dev(), ours.ino()) == (opened.dev(), opened.ino())).then_some(direct)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn open_direct(_: &File, _: &Path) -> Option<File> {
    None
}

/// Returns the space of a part of a file to the file system, if that is possible.
#[cfg(target_os = "linux")]
pub(super) fn discard(file: &File, offset: u64, len: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};

    match fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len) {
        Err(error) if error != rustix::io::Errno::OPNOTSUPP => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn discard(_: &File, _: u64, _: u64) -> io::Result<()> {
    Ok(())
}

/// Makes the system start writing a part of a file to the disk. It does not wait, and it reports no errors: the next
/// sync reports them.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "the system call is in no safe library")]
pub(super) fn begin_writing(file: &File, offset: u64, len: u64) {
    use std::os::fd::AsRawFd;

    // SAFETY: the descriptor is open, for `file` is borrowed, and the call touches no memory.
    unsafe {
        libc::sync_file_range(
            file.as_raw_fd(),
            offset.cast_signed(),
            len.cast_signed(),
            libc::SYNC_FILE_RANGE_WRITE,
        );
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn begin_writing(_: &File, _: u64, _: u64) {}

/// The first hole of a file between `from` and `end`, in whole pages. A hole is a part without allocated space. The
/// file has `len` bytes. A file system that does not track holes reports none before the file's end.
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
pub(super) fn next_hole(file: &File, from: u64, end: u64, len: u64) -> Option<(u64, u64)> {
    use rustix::fs::{SeekFrom, seek};

    let hole = if from < len { seek(file, SeekFrom::Hole(from)).unwrap_or(len) } else { from };
    let hole = (hole / PAGE * PAGE).max(from);
    let data = if hole < len { seek(file, SeekFrom::Data(hole)).unwrap_or(end) } else { end };
    // If data begins in the middle of a page, the whole page is data.
    let hole_end = data.next_multiple_of(PAGE).max(hole + PAGE).min(end);
    (hole < end).then_some((hole, hole_end))
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
pub(super) fn next_hole(_: &File, from: u64, end: u64, len: u64) -> Option<(u64, u64)> {
    let hole = from.max(len / PAGE * PAGE);
    (hole < end).then_some((hole, end))
}

/// Renames a file. Fails if the new name exists.
type Rename = fn(&Path, &Path) -> io::Result<()>;

/// The ways to rename, the best one first. The last one works everywhere, but it replaces a file of that name that
/// another process creates at the same moment.
const RENAMES: &[Rename] = &[rename_without_replacing, link, check_and_rename];

#[cfg(any(target_os = "linux", target_vendor = "apple"))]
fn rename_without_replacing(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};

    renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).map_err(Into::into)
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn rename_without_replacing(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn link(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    fs::remove_file(from)
}

fn check_and_rename(from: &Path, to: &Path) -> io::Result<()> {
    if to.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::rename(from, to)
}

/// Renames a file. Fails if the new name exists.
pub(super) fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    rename_by(RENAMES, from, to)
}

/// Tries the ways in order. File systems without links, such as FAT and SMB, report that by various errors, so any
/// error except `AlreadyExists` leads to the next way.
fn rename_by(ways: &[Rename], from: &Path, to: &Path) -> io::Result<()> {
    let mut outcome = Err(io::ErrorKind::Unsupported.into());
    for rename in ways {
        outcome = rename(from, to);
        if outcome.as_ref().err().is_none_or(|error| error.kind() == io::ErrorKind::AlreadyExists) {
            break;
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rename_replaces_nothing_however_it_is_done() {
        let cannot: Rename = |_, _| Err(io::ErrorKind::PermissionDenied.into());
        let unsupported: Rename = |_, _| Err(io::ErrorKind::Unsupported.into());
        let without_links = [unsupported, cannot, check_and_rename];
        for ways in [RENAMES, &RENAMES[1..], &RENAMES[2..], &without_links] {
            let dir = tempfile::tempdir().unwrap();
            let (from, to) = (dir.path().join("from"), dir.path().join("to"));
            fs::write(&from, "1").unwrap();
            rename_by(ways, &from, &to).unwrap();
            fs::write(&from, "2").unwrap();
            let replaced = rename_by(ways, &from, &to).unwrap_err();
            assert_eq!(replaced.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!((fs::read(&from).unwrap(), fs::read(&to).unwrap()), (b"2".to_vec(), b"1".to_vec()));
            assert!(rename_by(ways, &dir.path().join("missing"), &dir.path().join("new")).is_err());
        }
    }
}
