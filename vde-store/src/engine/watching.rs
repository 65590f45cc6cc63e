//! Watching a store: from now on, from a version on, and one step after another.

use std::sync::Arc;

use crate::container::error::Result;
use crate::container::log::watchers::{Change, ChangeKind, Watch};
use crate::container::memtable::{Horizon, Memtable, Target};
use crate::container::planted::Bug;
use crate::engine::shared::Shared;
use crate::engine::view::ReadView;

/// A view of a store, and the changes that lead to it from an earlier version.
///
/// # Examples
///
/// ```
/// let store = vde_store::Vde::in_memory()?;
/// let (_, mut watch) = store.watch()?;
/// store.put("k", "1")?;
/// let version = store.put("k", "2")?;
/// let step = store.catch_up(&mut watch)?;
/// assert_eq!((step.version, step.changes.len()), (version, 2));
/// assert_eq!(step.view.get("k")?.unwrap(), b"2");
/// # Ok::<(), vde_store::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Step {
    /// The store as it is after the changes. It has only durable writes.
    pub view: ReadView,
    /// The view has exactly the writes up to this version.
    pub version: u64,
    /// The changes in the order of the log.
    pub changes: Vec<Change>,
}

/// The changes in the memtables of a view whose numbers are above `version`, in the order of the log.
fn changes_after(version: u64, view: &ReadView) -> Vec<Change> {
    let seqs = version + 1..=view.horizon.durable;
    let of_memtable = |memtable: &Memtable| memtable.changed_within(seqs.clone());
    let mut changes: Vec<_> = view.layers.memtables().flat_map(of_memtable).collect();
    changes.sort_unstable_by_key(|(seq, ..)| *seq);
    let change = |(version, target, len): (u64, _, Option<u64>)| {
        let (key, kind) = match target {
            Target::Key(key) => (key, if len.is_some() { ChangeKind::Put } else { ChangeKind::Delete }),
            Target::Range(from, until) => (from, ChangeKind::DeleteRange(until.map(Arc::from))),
        };
        Change { key: key.into(), version, kind, len: len.unwrap_or(0), ends_batch: true, logged: None }
    };
    changes.into_iter().map(change).collect()
}

impl Shared {
    /// A view of all durable writes, and of nothing else. All changes up to it are known to the watchers.
    fn durable_view(&self) -> ReadView {
        // While nothing can be logged, no memtable is replaced, so the layers have everything that is durable. The
        // index has only durable writes, because a checkpoint publishes an index only when all of it is durable.
        let view = self.log.holding(|_| {
            let layers = self.layers.load_full();
            let durable = self.log.durable();
            ReadView { layers, horizon: Horizon { durable, published: durable } }
        });
        self.watchers.advance(view.horizon.durable);
        view
    }

    /// A view, and every change that becomes durable after it.
    pub(crate) fn watch(&self) -> Result<(ReadView, Watch)> {
        self.check_writable()?;
        let (mut watch, logged) = self.log.holding(|logged| (self.watchers.begin(), logged));
        // The watcher does not receive changes that were logged earlier, so the view must contain them.
        if !self.options.planted.has(Bug::WatchLate) {
            self.wait_durable(logged)?;
        }
        let view = self.durable_view();
        watch.skip_to(view.horizon.durable);
        Ok((view, watch))
    }

    /// A view, and the changes that `watch` has not yielded up to it.
    pub(crate) fn catch_up(&self, watch: &mut Watch) -> Result<Step> {
        let view = self.durable_view();
        let version = view.horizon.durable;
        Ok(Step { changes: watch.take_until(version)?, version, view })
    }

    /// The changes after `version` up to a view, and every change that becomes durable after it. `None` if the store
    /// has no such version, or if a checkpoint has merged later changes into the index.
    pub(crate) fn watch_after(&self, version: u64) -> Result<Option<(Step, Watch)>> {
        // While this lock is held, no checkpoint ends.
        let checkpoint = self.checkpoint.lock();
        if version < checkpoint.superblock.log.seq || version > self.log.durable() {
            return Ok(None);
        }
        let (view, watch) = self.watch()?;
        let changes = changes_after(version, &view);
        Ok(Some((Step { version: view.horizon.durable, changes, view }, watch)))
    }
}
