//! Watching a store: a view, and every change that becomes durable after it.

use crate::container::error::Result;
use crate::container::log::watchers::Watch;
use crate::engine::view::ReadView;
use crate::faces::store::Vde;

impl Vde {
    /// A view of the store, and every change that becomes durable after it: puts, deletions, and deletions of ranges, in
    /// the order in which they were made, batches whole. What a cache, an index or a copy elsewhere needs to follow the
    /// store.
    ///
    /// The view shows what is durable, and nothing that is only buffered. The view and the changes together are the contents of
    /// the store, without a gap or an overlap. The call waits for one sync, if anything is logged that is not durable yet.
    ///
    /// A watch ends with the store. A new watch of the reopened store begins with a new view. It contains the changes that were yielded
    /// before, unless a key was changed since; its version is greater then.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`](crate::Error::ReadOnly): nothing changes there; as [`flush`](Self::flush).
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
