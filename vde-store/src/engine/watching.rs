//! Beginning to watch a store.

use crate::container::error::Result;
use crate::container::log::watchers::Watch;
use crate::container::memtable::Horizon;
use crate::container::planted::Bug;
use crate::engine::shared::Shared;
use crate::engine::view::ReadView;

impl Shared {
    /// A view, and every change that becomes durable after it.
    pub(crate) fn watch(&self) -> Result<(ReadView, Watch)> {
        self.check_writable()?;
        let (mut watch, logged) = self.log.holding(|logged| (self.watchers.begin(), logged));
        // The watcher does not receive changes that were logged earlier, so the view must contain them.
        if !self.options.planted.has(Bug::WatchLate) {
            self.wait_durable(logged)?;
        }
        // While nothing can be logged, no memtable is replaced, so the layers have everything that is durable. The
        // index has only durable writes, because a checkpoint publishes an index only when all of it is durable.
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
