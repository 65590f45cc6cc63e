//! How a writer learns of readers in other processes: each reader locks one byte far beyond the container's end. The
//! offset of that byte says which checkpoint the reader reads. The system releases the lock when the reader's process
//! ends, even by a kill.
//!
//! The locks belong to the open file and not to the process, so that a process may write a container and read it as well.

#[cfg(all(any(target_os = "linux", target_os = "android"), target_pointer_width = "64"))]
mod locks {
    use std::fs::File;
    use std::io;

    use nix::errno::Errno;
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc::{F_RDLCK, F_UNLCK, F_WRLCK, SEEK_SET, flock, off_t};

    /// The byte for checkpoint 0. No container is that long.
    const FIRST: off_t = 1 << 62;

    fn bytes(kind: i32, start: off_t, len: off_t) -> flock {
        flock { l_type: kind as i16, l_whence: SEEK_SET as i16, l_start: start, l_len: len, l_pid: 0 }
    }

    fn place(checkpoint: u64) -> io::Result<off_t> {
        let place = off_t::try_from(checkpoint).ok().and_then(|checkpoint| FIRST.checked_add(checkpoint));
        place.ok_or(io::ErrorKind::InvalidInput.into())
    }

    fn set(file: &File, bytes: &flock) -> io::Result<()> {
        match fcntl(file, FcntlArg::F_OFD_SETLK(bytes)) {
            Err(error) if is_unsupported(error) => Err(io::ErrorKind::Unsupported.into()),
            outcome => outcome.map(drop).map_err(Into::into),
        }
    }

    /// Whether a file system says that it has no such locks.
    fn is_unsupported(error: Errno) -> bool {
        matches!(error, Errno::EINVAL | Errno::ENOSYS | Errno::ENOLCK | Errno::EOPNOTSUPP)
    }

    pub(crate) fn hold(file: &File, checkpoint: u64) -> io::Result<()> {
        set(file, &bytes(F_RDLCK, place(checkpoint)?, 1))
    }

    pub(crate) fn let_go(file: &File, checkpoint: u64) -> io::Result<()> {
        set(file, &bytes(F_UNLCK, place(checkpoint)?, 1))
    }

    pub(crate) fn let_go_of_all(file: &File) -> io::Result<()> {
        // A length of 0 means up to the end of the file.
        set(file, &bytes(F_UNLCK, FIRST, 0))
    }

    pub(crate) fn is_held_before(file: &File, checkpoint: u64) -> io::Result<bool> {
        if checkpoint == 0 {
            return Ok(false);
        }
        let mut in_the_way = bytes(F_WRLCK, FIRST, place(checkpoint)? - FIRST);
        match fcntl(file, FcntlArg::F_OFD_GETLK(&mut in_the_way)) {
            // Without byte-range locks, no reader holds one.
            Err(error) if is_unsupported(error) => Ok(false),
            outcome => outcome.map(|_| i32::from(in_the_way.l_type) != F_UNLCK).map_err(Into::into),
        }
    }
}

#[cfg(not(all(any(target_os = "linux", target_os = "android"), target_pointer_width = "64")))]
mod locks {
    use std::fs::File;
    use std::io;

    pub(crate) fn hold(_: &File, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn let_go(_: &File, _: u64) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn let_go_of_all(_: &File) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn is_held_before(_: &File, _: u64) -> io::Result<bool> {
        Ok(false)
    }
}

pub(super) use locks::{hold, is_held_before, let_go, let_go_of_all};

#[cfg(all(test, target_os = "linux", target_pointer_width = "64"))]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_writer_knows_of_the_readers_before_a_checkpoint_until_they_close() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.vde");
        let writer = File::create(&path).unwrap();
        let reader = || File::open(&path).unwrap();
        let held = |checkpoint| is_held_before(&writer, checkpoint).unwrap();
        assert!(!held(0) && !held(u64::MAX >> 2));
        let (one, other) = (reader(), reader());
        hold(&one, 5).unwrap();
        hold(&other, 5).unwrap();
        hold(&other, 9).unwrap();
        assert!(!held(5) && held(6));
        drop(one);
        assert!(held(6), "another has the same");
        let_go(&other, 5).unwrap();
        assert!(!held(9) && held(10));
        let copy = other.try_clone().unwrap();
        let_go_of_all(&other).unwrap();
        assert!(!held(10));
        drop(copy);
        let beginning = reader();
        hold(&beginning, 0).unwrap();
        assert!(!held(0) && held(1));
        drop(beginning);
        assert!(!held(1));
        assert!(hold(&reader(), u64::MAX).is_err());
    }
}
