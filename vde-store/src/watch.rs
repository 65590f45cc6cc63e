//! Watching a store: a view, and every change that becomes durable after it.

use crate::engine::Shared;
use crate::error::Result;
use crate::log::watchers::Watch;
use crate::memtable::Horizon;
use crate::planted::Bug;
use crate::store::Vde;
use crate::view::ReadView;

impl Shared {
    pub(crate) fn watch(&self) -> Result<(ReadView, Watch)> {
        self.check_writable()?;
        let (mut watch, logged) = self.log.holding(|logged| (self.watchers.begin(), logged));
        // What was logged before is not in the list, so the view must have it.
        if !self.options.planted.has(Bug::WatchLate) {
            self.wait_durable(logged)?;
        }
        // While nothing can be logged, no memtable is exchanged: the layers have all that is durable. The index has nothing
        // else, for a checkpoint publishes it when all of it is durable.
        let view = self.log.holding(|_| {
            let layers = self.layers.load_full();
            let durable = self.log.durable();
            ReadView { layers, horizon: Horizon { durable, published: durable } }
        });
        watch.skip_to(view.horizon.durable);
        self.watchers.advance(view.horizon.durable);
        Ok((view, watch))
    }
}

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
