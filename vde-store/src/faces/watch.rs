//! Watching a store: a view, and every change that becomes durable after it.

use crate::container::error::Result;
use crate::container::log::watchers::Watch;
use crate::engine::view::ReadView;
use crate::faces::store::Vde;

impl Vde {
    /// A view of the store, and every change that becomes durable after it: puts, deletions, and deletions of ranges.
    /// The changes come in the order in which they were made, and batches come whole. Use them to keep a cache, an
    /// index or a copy elsewhere up to date.
    ///
    /// The view contains only durable writes. The view and the changes together are the contents of the store,
    /// without a gap or an overlap. The call waits for one sync if there are logged writes that are not durable yet.
    ///
    /// A watch ends when the store is closed. A new watch of the reopened store begins with a new view, which
    /// contains all changes that were yielded before. If a key was changed again since, the view has its newer
    /// version.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`](crate::Error::ReadOnly), because a read-only store does not change; the errors of
    /// [`flush`](Self::flush).
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
