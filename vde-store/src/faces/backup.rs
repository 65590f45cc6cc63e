//! Copies of a whole store, made while writers continue.

use std::path::Path;
use std::sync::Arc;

use crate::container::device::Partial;
use crate::container::error::{Error, Result};
use crate::engine::entry::Entry;
use crate::engine::options::{Durability, VdeOptions};
use crate::faces::opening::initialise;
use crate::faces::store::Vde;

impl Vde {
    /// Copies the store, as it is now, into a new container at `path`. Readers and writers continue meanwhile. Values
    /// keep their metadata; named snapshots are not copied. Returns how many keys were copied.
    ///
    /// The copy is written to a temporary file beside `path`, and appears at `path` once it is whole and durable. If
    /// the copy fails, the temporary file is removed. If the process is killed, the temporary file stays; its name
    /// ends in `.partial`, and the next backup to `path` removes it. New versions in the copy continue after those of
    /// the store.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if `path` exists already or cannot be written; the errors of
    /// [`ReadView::get`](crate::ReadView::get).
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::Vde;
    ///
    /// let dir = tempfile::tempdir().unwrap();
    /// let store = Vde::in_memory()?;
    /// store.put("k", "v")?;
    /// assert_eq!(store.backup(dir.path().join("copy.vde"))?, 1);
    /// assert!(Vde::open(dir.path().join("copy.vde"))?.contains("k")?);
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn backup(&self, path: impl AsRef<Path>) -> Result<u64> {
        self.backup_telling(path, |_, _| {})
    }

    /// As [`backup`](Self::backup), for a store that was opened with [`salvage`](VdeOptions::salvage). `left_out` is
    /// called with each key that is not copied, and the reason. `None` stands for the unknown keys of a damaged index
    /// page.
    ///
    /// # Errors
    ///
    /// As [`backup`](Self::backup).
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Vde, VdeOptions};
    ///
    /// let dir = tempfile::tempdir().unwrap();
    /// let path = dir.path().join("store.vde");
    /// Vde::create(&path)?.put("k", "v")?;
    /// let store = VdeOptions::new().read_only(true).salvage(true).open(&path)?;
    /// let mut left_out = Vec::new();
    /// store.backup_telling(dir.path().join("copy.vde"), |key, _| left_out.push(key.map(<[u8]>::to_vec)))?;
    /// assert!(left_out.is_empty());
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn backup_telling(
        &self,
        path: impl AsRef<Path>,
        mut left_out: impl FnMut(Option<&[u8]>, &Error),
    ) -> Result<u64> {
        let shared = self.shared();
        let ours = &shared.options;
        let (partial, device) = Partial::create(path.as_ref(), ours.lock)?;
        let view = self.read_view();
        let segment_size = shared.pages.geometry().segment_size;
        initialise(&device, segment_size, shared.log.published())?;
        let options = VdeOptions {
            read_only: false,
            salvage: false,
            background: true,
            segment_size,
            durability: Durability::Buffered,
            ..ours.clone()
        };
        let copy = Self::start(options, Arc::new(device))?;
        let mut keys = 0;
        for entry in view.list("") {
            let adopted = match &entry {
                Ok(entry) => copy.adopt(entry),
                Err(error) => Err(error.clone()),
            };
            match adopted {
                Err(error @ Error::Corrupt { .. }) if ours.salvage => {
                    left_out(entry.as_ref().ok().map(Entry::key), &error);
                }
                adopted => {
                    adopted?;
                    keys += 1;
                }
            }
        }
        copy.flush()?;
        copy.checkpoint()?;
        drop(copy);
        partial.finish()?;
        Ok(keys)
    }

    /// Puts an entry of another store with its metadata.
    fn adopt(&self, entry: &Entry) -> Result<()> {
        let mut batch = self.copy_batch();
        batch.put(entry.key(), entry.reader()?, &entry.metadata()?)?;
        batch.commit().map(drop)
    }
}
