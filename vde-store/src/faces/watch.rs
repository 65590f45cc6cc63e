//! Watching a store: a view, and every change that becomes durable after it.

use crate::container::error::Result;
use crate::container::log::watchers::Watch;
use crate::engine::view::ReadView;
use crate::engine::watching::Step;
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

    /// The durable changes that `watch`, a watch of this store, has not yielded yet, and a view of the store directly
    /// after them. Use it to send the net effect of many changes elsewhere: read the values from the view. It waits
    /// for nothing; buffered writes that are not synced yet are left for the next call.
    ///
    /// # Errors
    ///
    /// [`Error::FellBehind`](crate::Error::FellBehind): see [`Watch`]; the watch has ended then.
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// let (_, mut watch) = store.watch()?;
    /// store.put("k", "v")?;
    /// let step = store.catch_up(&mut watch)?;
    /// assert_eq!(*step.changes[0].key, *b"k");
    /// assert!(store.catch_up(&mut watch)?.changes.is_empty());
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn catch_up(&self, watch: &mut Watch) -> Result<Step> {
        self.shared().catch_up(watch)
    }

    /// As [`watch`](Self::watch), continuing after an earlier version: every change after `version` is either in the
    /// step or yielded by the watch. It returns `None` if that cannot be known: the store has no such version, or a
    /// checkpoint has merged later changes into the index. Then start with a new [`watch`](Self::watch).
    ///
    /// The step may name keys whose values were only moved within the file. It reads all recent changes, and waits for
    /// a checkpoint that is being made.
    ///
    /// # Errors
    ///
    /// As [`watch`](Self::watch).
    ///
    /// # Examples
    ///
    /// ```
    /// let store = vde_store::Vde::in_memory()?;
    /// let first = store.put("k", "v")?;
    /// store.put("l", "v")?;
    /// let (step, watch) = store.watch_after(first)?.expect("there was no checkpoint");
    /// assert_eq!(*step.changes[0].key, *b"l");
    /// store.checkpoint()?;
    /// assert!(store.watch_after(first)?.is_none());
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn watch_after(&self, version: u64) -> Result<Option<(Step, Watch)>> {
        self.shared().watch_after(version)
    }
}
