//! Opening a store at a path or on a device, and creating new ones.

use std::io::ErrorKind::{AlreadyExists, NotFound};
use std::path::Path;
use std::sync::Arc;

use crate::container::device::{Device, FileDevice, MemoryDevice};
use crate::container::error::{Error, Result};
use crate::container::format::Superblock;
use crate::engine::giving_back::reserve_of;
use crate::engine::options::VdeOptions;
use crate::engine::recovery::newest_checkpoint;
use crate::engine::value::now_micros;
use crate::faces::store::Vde;

impl VdeOptions {
    /// Opens the container at `path`. If it does not exist, it is created, unless
    /// [`create_if_missing`](Self::create_if_missing) is off or the store is opened read-only.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyOpen`] if another process has it open. Opening for reading fails with this error only on
    /// systems where a writer cannot detect readers. [`Error::NotAStore`], [`Error::NewerFormat`] or
    /// [`Error::Corrupt`] if the container cannot be used; [`Error::InvalidOption`]; [`Error::Io`].
    ///
    /// # Examples
    ///
    /// ```
    /// let dir = tempfile::tempdir().unwrap();
    /// let store = vde_store::VdeOptions::new().open(dir.path().join("store.vde"))?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn open(self, path: impl AsRef<Path>) -> Result<Vde> {
        let path = path.as_ref();
        self.validate()?;
        if self.read_only {
            let opened = match FileDevice::open_read_only_under(self.lock, path) {
                Err(Error::AlreadyOpen { .. }) => self.open_beside_writer(path),
                device => device.and_then(|device| Vde::start(self, Arc::new(device))),
            };
            return opened.map_err(|error| error.in_file(path));
        }
        let open = || FileDevice::open_under(self.lock, path);
        let device = match open() {
            Err(Error::Io { source, .. }) if self.create_if_missing && source.kind() == NotFound => {
                match self.create_device(path) {
                    // Another process has created it meanwhile.
                    Err(Error::Io { source, .. }) if source.kind() == AlreadyExists => open(),
                    created => created,
                }
            }
            opened => opened,
        };
        device.and_then(|device| Vde::start(self, Arc::new(device))).map_err(|error| error.in_file(path))
    }

    /// Opens a container for reading that a writer may have open. Until this process knows the newest checkpoint, the
    /// writer overwrites no data of any checkpoint. After that, it overwrites no data of that checkpoint.
    fn open_beside_writer(self, path: &Path) -> Result<Vde> {
        let device = Arc::new(FileDevice::open_beside_writer(path)?);
        device.read_from(newest_checkpoint(&*device)?)?;
        Vde::start(Self { beside_writer: true, ..self }, device)
    }

    /// Creates a container at `path`, which must not exist. It appears there once it is whole and durable. A crash
    /// may leave a temporary file beside it, whose name ends in `.partial`; the next creation at `path` removes it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if `path` exists already; [`Error::InvalidOption`].
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::VdeOptions;
    ///
    /// let dir = tempfile::tempdir().unwrap();
    /// let path = dir.path().join("store.vde");
    /// drop(VdeOptions::new().create(&path)?);
    /// assert!(VdeOptions::new().create(&path).is_err());
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn create(self, path: impl AsRef<Path>) -> Result<Vde> {
        self.validate()?;
        if self.read_only {
            return Err(Error::InvalidOption {
                option: "read_only",
                reason: "must be off to create a store",
            });
        }
        let device = self.create_device(path.as_ref())?;
        Vde::start(self, Arc::new(device))
    }

    fn create_device(&self, path: &Path) -> Result<FileDevice> {
        FileDevice::create_with(path, self.lock, |device| {
            initialise(device, self.segment_size, self.first_version - 1)
        })
    }

    /// Opens the container on `device`. Creates it if the device is empty.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open). If the power was cut while a container was being created on the device, this may be
    /// [`Error::NotAStore`]. Such a container has no data.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use vde_store::{MemoryDevice, VdeOptions};
    /// let store = VdeOptions::new().open_device(Arc::new(MemoryDevice::new()))?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn open_device(self, device: Arc<dyn Device>) -> Result<Vde> {
        self.validate()?;
        let empty = device.is_empty().map_err(|e| Error::io("measure the container", e))?;
        if empty && !self.read_only {
            initialise(&*device, self.segment_size, self.first_version - 1)?;
        }
        Vde::start(self, device)
    }

    /// A store in memory. Its contents are dropped with its last handle.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidOption`].
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::VdeOptions::new().in_memory()?;
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn in_memory(self) -> Result<Vde> {
        self.open_device(Arc::new(MemoryDevice::new()))
    }
}

/// Writes the first superblocks of a new container, whose first write has the number `seq + 1`.
pub(crate) fn initialise(device: &dyn Device, segment_size: u32, seq: u64) -> Result<()> {
    let mut id = [0; 16];
    for half in id.chunks_exact_mut(8) {
        // A fresh `RandomState` is the standard library's source of randomness.
        let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), now_micros());
        half.copy_from_slice(&random.to_le_bytes());
    }
    let mut superblock = Superblock::new(id, segment_size);
    superblock.log.seq = seq;
    let mut blocks = superblock.encode();
    superblock.generation = 1;
    blocks.extend_from_slice(&superblock.encode());
    // The superblocks are synced before anything is written after them, so that recovery does not take torn
    // superblocks for damaged ones.
    let written = device.write_at(&blocks, 0).and_then(|()| device.sync());
    written.map_err(|e| Error::io("write the first superblocks", e))?;
    // The maintenance thread prepares the other segments.
    let first_segment = superblock.geometry().segment_offset(0);
    let prepared = device.prepare(first_segment, u64::from(segment_size) + reserve_of(segment_size));
    prepared.map(drop).map_err(|e| Error::io("prepare a segment", e))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::io;
    use std::sync::atomic::{AtomicU64, Ordering};

    use parking_lot::Mutex;

    use super::*;
    use crate::container::format::BLOCK;

    /// A device that keeps only the blocks that were written, and counts how often it is read.
    #[derive(Default)]
    struct Sparse {
        blocks: Mutex<HashMap<u64, [u8; BLOCK as usize]>>,
        len: AtomicU64,
        reads: AtomicU64,
    }

    /// The parts of a range that lie in one block each: block, start in it, length.
    fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
        let mut at = offset;
        let end = offset + len as u64;
        std::iter::from_fn(move || {
            let (block, start) = (at / BLOCK, (at % BLOCK) as usize);
            let len = (end - at).min(BLOCK - start as u64) as usize;
            at += len as u64;
            (len > 0).then_some((block, start, len))
        })
    }

    impl Device for Sparse {
        fn read_at(&self, mut buf: &mut [u8], offset: u64) -> io::Result<()> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            if offset + buf.len() as u64 > self.len.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let blocks = self.blocks.lock();
            for (block, start, len) in parts(offset, buf.len()) {
                let (part, rest) = buf.split_at_mut(len);
                match blocks.get(&block) {
                    Some(bytes) => part.copy_from_slice(&bytes[start..start + len]),
                    None => part.fill(0),
                }
                buf = rest;
            }
            Ok(())
        }

        fn write_at(&self, mut data: &[u8], offset: u64) -> io::Result<()> {
            self.len.fetch_max(offset + data.len() as u64, Ordering::Relaxed);
            let mut blocks = self.blocks.lock();
            for (block, start, len) in parts(offset, data.len()) {
                let (part, rest) = data.split_at(len);
                blocks.entry(block).or_insert([0; BLOCK as usize])[start..start + len].copy_from_slice(part);
                data = rest;
            }
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            Ok(())
        }

        fn len(&self) -> io::Result<u64> {
            Ok(self.len.load(Ordering::Relaxed))
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.len.store(len, Ordering::Relaxed);
            Ok(())
        }
    }

    #[test]
    fn after_a_crash_a_container_of_a_terabyte_opens_with_few_reads() {
        let device = Arc::new(Sparse::default());
        let options = || VdeOptions::new().background(false);
        let store = options().open_device(device.clone()).unwrap();
        store.put("k", "old").unwrap();
        {
            let mut segments = store.shared().segments.lock();
            for _ in 0..65_000 {
                segments.take_pages(4096);
            }
        }
        store.checkpoint().unwrap();
        store.put("k", "new").unwrap();
        assert!(device.len().unwrap() > 1_000_000_000_000, "the catalog lies at its end");
        // A simulated crash: the store is never closed.
        std::mem::forget(store);
        let before = device.reads.load(Ordering::Relaxed);
        let store = options().open_device(device.clone()).unwrap();
        let reads = device.reads.load(Ordering::Relaxed) - before;
        assert!(reads < 50, "{reads} reads");
        assert_eq!(store.get("k").unwrap().unwrap(), b"new");
    }
}
