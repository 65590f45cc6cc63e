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
        // Changes that were logged before are not in the watcher's list, so the view must have them.
        if !self.options.planted.has(Bug::WatchLate) {
            self.wait_durable(logged)?;
        }
        // While nothing can be logged, no memtable is replaced, so the layers have everything that is durable. The
        // index has nothing that is not durable, because a checkpoint publishes it only when all of it is.
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
