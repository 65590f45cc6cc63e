//! Watching a store: a view, and every change that becomes durable after it.

use crate::container::error::Result;
use crate::container::log::watchers::Watch;
use crate::engine::view::ReadView;
use crate::faces::store::Vde;

impl Vde {
    /// A view of the store, and every change that becomes durable after it: puts, deletions, and deletions of ranges,
    /// in the order in which they were made, batches whole. A cache, an index or a copy elsewhere can follow the
    /// store by them.
    ///
    /// The view shows durable writes only, and no buffered ones. The view and the changes together are the contents
    /// of the store, without a gap or an overlap. The call waits for one sync, if there are logged writes that are
    /// not durable yet.
    ///
    /// A watch ends when the store is closed. A new watch of the reopened store begins with a new view. That contains
    /// all changes that were yielded before, except for keys that were changed again; those have a greater version.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`](crate::Error::ReadOnly), because such a store does not change; as [`flush`](Self::flush).
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// store.put("before", "1")?;
    /// let (view, mut changes) = store.watch()?;
    /// store.put("after", "2")?;
    /// assert!(view.contains("before")? && !view.contains("after")?);
    /// assert_eq!(*changes.next().unwrap()?.key, *b"after");
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn watch(&self) -> Result<(ReadView, Watch)> {
        self.shared().watch()
    }
}
