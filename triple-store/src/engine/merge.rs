//! The checkpoint: the quads of the deltas move to a new run, and the journal starts again.
//!
//! A checkpoint freezes the newest delta: it adds an empty delta on top, and holds all stripes for that moment. From
//! then on writers write to the new delta, readers read both, and the frozen deltas are merged with the run in the
//! background. A reader keeps the view with which it began. Only one checkpoint runs at a time.

use crate::engine::core::Core;
use crate::engine::delta::{Delta, LATEST};
use crate::engine::view::{Layer, View};
use crate::error::Result;
use crate::storage::journal::Manifest;
use crate::storage::planted::{self, Bug};
use crate::storage::run::Run;
use crate::terms::quad::{Change, Seq};
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

impl Core {
    /// Merges everything committed before into a new run. Writers and readers keep working.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        self.journal.check_writable()?;
        let mut manifest = self.manifest.lock();
        self.checkpoint_under(&mut manifest)?;
        self.sweep_or_wake(&mut manifest);
        Ok(())
    }

    /// The number of quads in the newest delta of a view, and the number at which it is merged.
    pub(crate) fn recent(&self, view: &View) -> (usize, usize) {
        // A merge may have to rewrite the whole run, so a large run waits for more quads, as long as they fit into memory. Each
        // quad is then written about eight times.
        let patient = (view.base.len() as usize / 8).min(self.most_recent);
        (view.layers[0].delta.entries(), self.checkpoint_after.max(patient))
    }

    /// Merges if the newest delta has reached its bound. If the disk fails, later writes fail; earlier writes are
    /// durable.
    pub(crate) fn checkpoint_if_due(&self) {
        let mut manifest = self.manifest.lock();
        let (recent, bound) = self.recent(&self.latest());
        if recent >= bound {
            match self.checkpoint_under(&mut manifest) {
                Ok(()) => self.sweep_or_wake(&mut manifest),
                Err(error) => self.commits.fail(&error),
            }
        }
    }

    pub(crate) fn checkpoint_under(&self, manifest: &mut Manifest) -> Result<()> {
        let held = self.stripes.lock_all();
        let last = self.commits.last_begun();
        let frozen = View::clone(&self.latest());
        if frozen.layers.iter().all(|layer| layer.delta.entries() == 0) {
            return Ok(());
        }
        let mut view = frozen.clone();
        view.layers.insert(0, self.empty_layer());
        self.replace_view(view);
        drop(held);

        // All readers of a run see all its quads, so every commit in it must be published first.
        self.commits.wait(last)?;
        self.keep_merged(&frozen);
        let run = self.flatten(&frozen)?;
        let merged = frozen.layers.len();
        drop(frozen);
        *manifest = self.write_checkpoint(last, &run)?;
        let mut view = View::clone(&self.latest());
        view.layers.truncate(view.layers.len() - merged);
        view.base = run;
        self.replace_view(view);
        self.clean(*manifest)
    }

    /// Deletes what the newest checkpoint replaces and no reader can need. The caller has locked the manifest.
    pub(crate) fn clean(&self, manifest: Manifest) -> Result<()> {
        self.delete_unused_long_terms()?;
        let mut runs = self.runs.lock();
        runs.push(Arc::downgrade(&self.latest().base));
        runs.retain(|run| run.strong_count() > 0);
        let (read, terms): (Vec<_>, _) =
            (runs.iter().filter_map(Weak::upgrade).collect(), self.dictionary.archives());
        let pages = read.iter().flat_map(|run| run.numbers());
        self.journal.clean(manifest, pages.chain(terms.iter().flat_map(|archive| archive.numbers())))
    }

    /// Deletes the texts of long terms that are in no archive, because a load failed before the store was opened, or because of
    /// a sweep or a compaction.
    pub(crate) fn delete_unused_long_terms(&self) -> Result<()> {
        if !self.is_clean.load(Ordering::Relaxed) {
            let archives = self.dictionary.archives();
            self.journal.delete_long_terms_beyond(&archives)?;
            let newest = [self.dictionary.archive(), self.dictionary.durable()];
            let is_new = |archive: &Arc<_>| newest.iter().any(|newest| Arc::ptr_eq(archive, newest));
            self.is_clean.store(archives.iter().all(is_new), Ordering::Relaxed);
        }
        Ok(())
    }

    /// If there is a sweep, the terms of these deltas stay: a view may have quads of them that the next run does not have.
    fn keep_merged(&self, frozen: &View) {
        if self.dictionary.sweeps() && !planted::has(Bug::ForgetMerged) {
            for layer in &frozen.layers {
                let quads = layer.delta.quads(|_| true).into_iter();
                self.dictionary.keep(quads.flat_map(|(quad, _)| quad.terms()));
            }
        }
    }

    fn empty_layer(&self) -> Layer {
        let delta = Delta::new(self.stripes.stripes(), self.stripes.hasher().clone());
        Layer { delta: Arc::new(delta), seq: LATEST }
    }

    fn write_checkpoint(&self, last: Seq, run: &Run) -> Result<Manifest> {
        if !self.journal.is_kept() {
            return Ok(Manifest { last, next_term: 0 });
        }
        let next = self.dictionary.next_archives(&self.dictionary.undurable())?;
        let manifest = Manifest { last, next_term: self.dictionary.next() };
        self.journal.checkpoint(manifest, run, &next.durable, None)?;
        self.dictionary.adopt(next);
        Ok(manifest)
    }

    /// A run of all quads of a view.
    fn flatten(&self, view: &View) -> Result<Arc<Run>> {
        view.layers.iter().rev().try_fold(Arc::clone(&view.base), |run, layer| {
            if layer.delta.entries() == 0 {
                return Ok(run);
            }
            let (added, removed): (Vec<_>, Vec<_>) =
                layer.delta.changes().into_iter().partition(|change| change.adds);
            // Each quad that the delta had and does not add was removed once, or was there before.
            self.count_gone(layer.delta.entries().saturating_sub(added.len()) as u64);
            let quads = |changes: Vec<Change>| changes.into_iter().map(|change| change.quad).collect();
            run.merged(quads(added), quads(removed), self.block_keys).map(Arc::new)
        })
    }
}

/// How long a sweep that waits for others is left alone. Unit tests are less patient.
const BETWEEN_SWEEPS: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 1000 });

/// The state of the thread that merges in the background.
///
/// | state | the thread | writers |
/// |---|---|---|
/// | idle | waits. If a sweep of the terms waits, it moves on to due after a second | move on to due when the newest delta reaches its bound, or when many quads are gone |
/// | due | merges and [sweeps](crate::engine::dead_terms) if it is time for that, then moves on to idle | do not change the state; at twice the bound they merge themselves |
/// | closing | ends after the current merge | there are none |
#[derive(Debug, Default)]
pub(crate) struct Merger {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Idle,
    Due,
    Closing,
}

impl Merger {
    /// Asks the thread to merge.
    pub(crate) fn wake(&self) {
        self.advance(State::Idle, State::Due);
    }

    pub(crate) fn close(&self) {
        *self.state.lock() = State::Closing;
        self.changed.notify_one();
    }

    /// Merges whenever it is due, until the store is closed.
    pub(crate) fn run(&self, core: &Core) {
        while self.wait(core) == State::Due {
            core.checkpoint_if_due();
            core.sweep_terms(&mut core.manifest.lock());
            self.advance(State::Due, State::Idle);
        }
    }

    fn wait(&self, core: &Core) -> State {
        let mut state = self.state.lock();
        while *state == State::Idle {
            if !core.wants_sweep() {
                self.changed.wait(&mut state);
            } else if self.changed.wait_for(&mut state, BETWEEN_SWEEPS).timed_out() {
                *state = State::Due;
            }
        }
        *state
    }

    fn advance(&self, from: State, to: State) {
        let mut state = self.state.lock();
        if *state == from {
            *state = to;
            self.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::TripleStoreOptions;
    use crate::engine::options::RECENT_BYTES;
    use oxrdf::{GraphName, Literal, NamedNode, Quad};

    #[test]
    fn recent_quads_of_a_large_store_take_no_more_memory_than_its_cache() {
        let quad = |number: i64| {
            let node = NamedNode::new_unchecked(format!("urn:{}", number % 7));
            Quad::new(node.clone(), node, Literal::from(number), GraphName::DefaultGraph)
        };
        for (cached_quads, is_bounded) in [(1_000, true), (4_000, false)] {
            let dir = tempfile::tempdir().unwrap();
            let options = TripleStoreOptions::new().checkpoint_after(10).background(false);
            let options = options.cache(cached_quads * RECENT_BYTES).durability(crate::Durability::Buffered);
            let store = options.open(dir.path().join("data.vde")).unwrap();
            store.extend((0..20_000).map(quad)).unwrap();
            store.checkpoint().unwrap();
            for number in 20_000..21_500 {
                store.insert(quad(number).as_ref()).unwrap();
            }
            let recent = store.engine.latest().layers[0].delta.entries();
            assert_eq!(recent < 1_000, is_bounded, "{recent} quads are in memory");
        }
    }
}
