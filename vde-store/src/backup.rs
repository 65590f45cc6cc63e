//! Copies of a whole store, made while it is written to.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use crate::device::sync_parent;
use crate::entries::Entry;
use crate::error::{Error, Result};
use crate::format::MAX_RECORD_VALUE;
use crate::log::record::Origin;
use crate::options::{Durability, VdeOptions};
use crate::store::Vde;
use crate::value::{encode_user, micros_from_time};
use crate::writes::{Content, Write};

/// A name beside `path`.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".partial");
    name.into()
}

impl Vde {
    /// Copies the store, as it is now, into a new container at `path`. Readers and writers go on meanwhile. Values keep
    /// their metadata; named snapshots are not copied. Returns how many keys were.
    ///
    /// The copy is made beside `path` and appears there once it is whole and durable; until then an empty file holds the
    /// name, which no store opens. What fails leaves neither.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where `path` exists already or cannot be written; as [`ReadView::get`](crate::ReadView::get).
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
        let path = path.as_ref();
        let claimed = OpenOptions::new().write(true).create_new(true).open(path);
        claimed.map_err(|e| Error::io("create the copy", e))?;
        let partial = beside(path);
        // The name is ours, so this is what is left of a copy whose process was killed.
        let _ = fs::remove_file(&partial);
        let copied = self.copy_to(&partial).and_then(|keys| {
            fs::rename(&partial, path).map_err(|e| Error::io("rename the copy", e))?;
            sync_parent(path)?;
            Ok(keys)
        });
        if copied.is_err() {
            let _ = fs::remove_file(&partial);
            let _ = fs::remove_file(path);
        }
        copied
    }

    fn copy_to(&self, path: &Path) -> Result<u64> {
        let ours = &self.shared().options;
        let options = VdeOptions { read_only: false, salvage: false, background: true, ..ours.clone() };
        let copy = options
            .segment_size(self.shared().pages.geometry().segment_size)
            .durability(Durability::Buffered)
            .create(path)?;
        let mut keys = 0;
        for entry in self.read_view().list("") {
            match entry.and_then(|entry| copy.adopt(&entry)) {
                Err(Error::Corrupt { .. }) if ours.salvage => {}
                adopted => {
                    adopted?;
                    keys += 1;
                }
            }
        }
        copy.flush()?;
        copy.checkpoint()?;
        Ok(keys)
    }

    /// Puts an entry of another store with all that is known of it.
    fn adopt(&self, entry: &Entry) -> Result<()> {
        let metadata = entry.metadata()?;
        let user = encode_user(&metadata.user);
        let created = micros_from_time(metadata.created);
        let origin =
            Some((Origin { version: metadata.version, created }, micros_from_time(metadata.modified)));
        let shared = self.shared();
        shared.throttle()?;
        let write = |content| {
            let _stripe = shared.stripes.lock(entry.key());
            shared.log(&[Write { key: entry.key(), content, user: &user, origin }], Durability::Buffered)
        };
        if entry.len() <= MAX_RECORD_VALUE as u64 {
            write(shared.lift(&entry.value()?)?.content())?;
        } else {
            let (map, unborn) = shared.write_blob(&[], &mut entry.reader()?)?;
            write(Content::Blob(&map, unborn.len))?;
            unborn.keep();
        }
        Ok(())
    }
}
