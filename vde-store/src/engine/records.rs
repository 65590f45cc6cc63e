//! Reading puts from the log by their place, without looking their keys up.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crate::container::error::Result;
use crate::container::log::watchers::LoggedPut;
use crate::container::tree::Tree;
use crate::engine::layers::read_record;
use crate::engine::value::{UserMetadata, decode_user, time_from_micros};
use crate::engine::view::ReadView;

/// Keeps the log records after a view readable: until this is dropped, their space is not reused. To read a put from
/// there takes no lookup of its key.
///
/// # Examples
///
/// See [`ReadView::later_records`].
#[derive(Clone)]
pub struct Records {
    /// While it is held, space that is freed from now on is not overwritten.
    tree: Arc<Tree>,
    /// Records after this version are readable.
    after: u64,
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("after", &self.after).finish_non_exhaustive()
    }
}

/// A put, as [`Records::read`] returns it.
///
/// # Examples
///
/// See [`ReadView::later_records`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PutRecord<'a> {
    /// The version of the value.
    pub version: u64,
    /// When the value was put.
    pub modified: SystemTime,
    /// The metadata that the caller of the put has passed.
    pub user: UserMetadata,
    /// The value.
    pub value: Cow<'a, [u8]>,
}

impl ReadView {
    /// Keeps the records of the changes after this view readable. It is cheaper to hold than the view: it keeps no recent
    /// writes in memory.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// let (view, mut watch) = store.watch()?;
    /// let records = view.later_records();
    /// let version = store.put("k", "v")?;
    /// let step = store.catch_up(&mut watch)?;
    /// let logged = step.changes[0].logged.unwrap();
    /// let found = records.read("k", &logged, |put| (put.version, put.value.into_owned()))?;
    /// assert_eq!(found, Some((version, b"v".to_vec())));
    /// // The records after the step do not include it.
    /// assert!(step.view.later_records().read("k", &logged, |_| ())?.is_none());
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn later_records(&self) -> Records {
        Records { tree: self.layers.tree.clone(), after: self.horizon.durable }
    }
}

impl Records {
    /// Calls `use_it` with a put of `key` that a watch of the same store has yielded. `None` if it is not after the view of
    /// these records.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`](crate::Error::Corrupt) and [`Error::Io`](crate::Error::Io) if the record cannot be read.
    ///
    /// # Examples
    ///
    /// See [`ReadView::later_records`].
    pub fn read<T>(
        &self,
        key: impl AsRef<[u8]>,
        put: &LoggedPut,
        use_it: impl FnOnce(PutRecord<'_>) -> T,
    ) -> Result<Option<T>> {
        if put.version <= self.after {
            return Ok(None);
        }
        let (location, pages) = (put.location, &self.tree.pages);
        read_record(pages, key.as_ref(), location, |record, _| {
            Ok(Some(use_it(PutRecord {
                version: record.origin.map_or(put.version, |origin| origin.version),
                modified: time_from_micros(record.head.modified),
                user: decode_user(record.user),
                value: record.content(location.offset)?,
            })))
        })?
    }
}
