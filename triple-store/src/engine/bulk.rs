//! Changes of very many quads as one transaction: bulk loads, and the removal or replacement of whole graphs.
//!
//! The quads of a load are sorted in *batches*. Each batch is a run of its own, so memory holds one batch. Terms that would
//! take too much memory move to the [archive](crate::storage::dictionary::stages). The next run is merged from the batches
//! and the run of the last checkpoint, while writers write to the delta. Only the publication takes the stripes.
//!
//! Of a quad that the delta has, the next run has to say what the run before says, because the delta is relative to that.
//! What the load changes about such a quad is a change in the delta. Those changes are the record of the commit, which is
//! written together with the manifest. So after a crash, either both are there, and the records of the delta are replayed
//! over the next run, or neither is.

use crate::allocator;
use crate::engine::core::{Core, Outcome};
use crate::engine::dead_terms::Epoch;
use crate::engine::delta::{Delta, LATEST};
use crate::engine::graphs::{Conditions, GraphChange};
use crate::engine::view::View;
use crate::error::{Error, Result};
use crate::parallel;
use crate::storage::dictionary::stages::Next;
use crate::storage::journal::Manifest;
use crate::storage::order::sort;
use crate::storage::pages::Hold;
use crate::storage::planted::{self, Bug};
use crate::storage::rewrite::{Rewritten, Steps};
use crate::storage::run::Run;
use crate::terms::pattern::Pattern;
use crate::terms::quad::{Change, EncodedQuad};
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashSet;
use std::sync::Arc;

/// From this number of quads on, a transaction writes them directly to a run, which is then faster than adding them
/// to a delta. Unit tests use bulk changes more often.
pub(crate) const BULK: usize = if cfg!(test) { 1 << 8 } else { 1 << 16 };

/// The quads of a load.
#[derive(Debug)]
pub(crate) struct Batches<'a> {
    core: &'a Core,
    /// The number of quads at which a thread moves its quads to the disk.
    most_in_memory: usize,
    gathered: Mutex<Gathered>,
    /// No term of the quads goes.
    _terms: Arc<Epoch>,
}

#[derive(Debug)]
struct Gathered {
    runs: Vec<Run>,
    /// The number of quads, including repeated ones.
    quads: u64,
    /// No checkpoint deletes the pages of the runs.
    _hold: Option<Hold>,
}

impl Core {
    /// A load without quads.
    pub(crate) fn batches(&self) -> Batches<'_> {
        let gathered = Gathered { runs: Vec::new(), quads: 0, _hold: Some(self.latest().base.hold()) };
        let most_in_memory = self.batch / parallel::threads();
        Batches { core: self, most_in_memory, gathered: Mutex::new(gathered), _terms: self.hold_terms() }
    }

    /// Moves quads to the disk, as a run of their own.
    pub(crate) fn moved_to_disk(&self, quads: &mut Vec<EncodedQuad>) -> Result<Run> {
        let mut quads = std::mem::take(quads);
        sort(&mut quads);
        quads.dedup();
        self.latest().base.emptied().merged(quads, Vec::new(), self.block_keys)
    }

    /// Changes whole graphs, as one transaction. If it fails, no quad changes.
    pub(crate) fn change_graphs(&self, change: GraphChange, conditions: &Conditions<'_>) -> Result<Outcome> {
        self.journal.check_writable()?;
        let gathered = std::mem::replace(&mut *self.batches().gathered.lock(), Gathered::none());
        let publish = |prepared: Prepared<'_>| {
            if (conditions.is_cancelled)() { Err(Error::Cancelled) } else { prepared.publish(conditions) }
        };
        let outcome = self.prepare(gathered, change, conditions).and_then(publish);
        if outcome.is_err() {
            // If the pages can't be deleted now, the next checkpoint deletes them.
            _ = self.sweep();
        }
        outcome
    }

    /// Makes the next run. Writers and readers keep working.
    fn prepare(
        &self,
        mut gathered: Gathered,
        change: GraphChange,
        conditions: &Conditions<'_>,
    ) -> Result<Prepared<'_>> {
        let mut manifest = self.manifest.lock();
        let recent = self.latest().layers.iter().map(|layer| layer.delta.entries()).sum::<usize>();
        if self.latest().layers.len() > 1 || recent >= BULK {
            self.checkpoint_under(&mut manifest)?;
        }
        if self.dictionary.has_spilled() {
            // The merge needs the memory.
            self.spill_all_terms()?;
        }
        let view = Arc::clone(&self.latest());
        if let Some(copy) = change.copied {
            gathered.runs = self.copies(&view.base, copy, conditions)?;
        }
        let next = view.base.rewritten(&gathered.runs, &change.removed, self.steps())?;
        let conflicts = Conflicts { gathered, change, seen: HashSet::default(), changes: Vec::new() };
        let mut prepared = Prepared { core: self, manifest, view, next, conflicts, terms: None };
        // Nearly all of the delta is compared before the stripes are taken.
        prepared.settle()?;
        if self.journal.is_kept() {
            prepared.terms = Some(self.next_terms(&prepared.conflicts.gathered.runs)?);
            self.flush()?;
        }
        Ok(prepared)
    }

    pub(crate) fn steps(&self) -> Steps {
        Steps::new(self.batch, self.block_keys)
    }

    /// The next archives of terms, with those of the batches.
    fn next_terms(&self, batches: &[Run]) -> Result<Next> {
        let live = self.dictionary.undurable();
        let forgets = planted::has(Bug::ForgetLoaded);
        let mark = |quad: EncodedQuad| {
            quad.terms().into_iter().for_each(|id| live.mark(id));
            if !forgets {
                self.dictionary.keep(quad.terms());
            }
        };
        batches.iter().try_for_each(|batch| batch.for_each(mark))?;
        self.dictionary.next_archives(&live)
    }

    /// Moves the terms in memory to the disk if they take too much memory. They are not durable before a quad of them is.
    fn spill_terms(&self) -> Result<()> {
        if self.dictionary.memory() < self.most_terms || !self.journal.is_kept() {
            return Ok(());
        }
        let _one_at_a_time = self.manifest.lock();
        if self.dictionary.memory() >= self.most_terms {
            self.spill_all_terms()?;
        }
        Ok(())
    }

    /// The caller has locked the manifest.
    fn spill_all_terms(&self) -> Result<()> {
        self.dictionary.spill()?;
        self.journal.delete_pages(&self.dictionary.replaced_pages())?;
        allocator::trim();
        Ok(())
    }

    /// Deletes pages to which nothing refers.
    fn sweep(&self) -> Result<()> {
        let manifest = self.manifest.lock();
        self.clean(*manifest)
    }
}

impl Batches<'_> {
    /// Moves to the disk what takes too much memory: quads, and the terms of all quads.
    pub(crate) fn make_room(&self, quads: &mut Vec<EncodedQuad>) -> Result<()> {
        self.core.spill_terms()?;
        if quads.len() < self.most_in_memory { Ok(()) } else { self.add(quads) }
    }

    /// Moves the last quads of a thread to the disk, if there are others.
    pub(crate) fn end(&self, quads: &mut Vec<EncodedQuad>) -> Result<()> {
        if self.quads() == 0 { Ok(()) } else { self.add(quads) }
    }

    /// Moves quads to the disk.
    pub(crate) fn add(&self, quads: &mut Vec<EncodedQuad>) -> Result<()> {
        self.core.journal.check_writable()?;
        if quads.is_empty() {
            return Ok(());
        }
        let count = quads.len() as u64;
        let run = self.core.moved_to_disk(quads)?;
        allocator::trim();
        let mut gathered = self.gathered.lock();
        gathered.quads += count;
        gathered.runs.push(run);
        Ok(())
    }

    /// The number of quads, including repeated ones.
    pub(crate) fn quads(&self) -> u64 {
        self.gathered.lock().quads
    }

    /// Adds the quads to the store, after it removes those that match `removed` and are not among them.
    pub(crate) fn publish(self, removed: Option<&Pattern>) -> Result<Outcome> {
        self.core.journal.check_writable()?;
        let gathered = std::mem::replace(&mut *self.gathered.lock(), Gathered::none());
        let change = GraphChange { removed: removed.into_iter().copied().collect(), copied: None };
        let conditions = Conditions::default();
        self.core.prepare(gathered, change, &conditions)?.publish(&conditions)
    }
}

impl Gathered {
    fn none() -> Self {
        Self { runs: Vec::new(), quads: 0, _hold: None }
    }
}

impl Drop for Batches<'_> {
    fn drop(&mut self) {
        let gathered = std::mem::replace(self.gathered.get_mut(), Gathered::none());
        let (is_refused, quads) = (!gathered.runs.is_empty(), gathered.quads);
        drop(gathered);
        if is_refused {
            // Its terms may be in the archive.
            self.core.count_gone(quads);
            // If the pages can't be deleted now, the next checkpoint deletes them.
            _ = self.core.sweep();
        }
    }
}

/// A next run that is on the disk and that nobody sees yet.
struct Prepared<'a> {
    core: &'a Core,
    manifest: MutexGuard<'a, Manifest>,
    /// The state before, with one delta.
    view: Arc<View>,
    next: Rewritten,
    conflicts: Conflicts,
    /// The next archives of terms.
    terms: Option<Next>,
}

impl Prepared<'_> {
    fn settle(&mut self) -> Result<()> {
        self.conflicts.settle(&self.view, &mut self.next, self.core.block_keys)
    }

    fn publish(mut self, conditions: &Conditions<'_>) -> Result<Outcome> {
        let core = self.core;
        let held = core.stripes.lock_all();
        self.settle()?;
        let mut changes = self.conflicts.changes(&self.view.layers[0].delta);
        changes.sort_unstable_by_key(|change| change.quad);
        self.view.keep_effective(&mut changes)?;
        let Rewritten { run, added, removed } = self.next;
        let in_delta = changes.iter().filter(|change| change.adds).count() as u64;
        let outcome = Outcome { added: added + in_delta, removed: removed + changes.len() as u64 - in_delta };
        (conditions.may_commit)(&self.view, outcome)?;
        if outcome == Outcome::default() {
            // The commit that made these changes unnecessary may not be durable yet.
            let seq = core.commits.last_begun();
            drop(held);
            core.commits.wait(seq)?;
            return Ok(outcome);
        }
        let record = core.record(&changes)?;
        let begun = core.commits.begin()?;
        let (seq, run) = (begun.seq, Arc::new(run));
        self.view.layers[0].delta.apply(seq, &changes);
        if let Some(terms) = &self.terms {
            let next = Manifest { last: self.manifest.last, next_term: core.dictionary.next() };
            let written = core.journal.checkpoint(next, &run, &terms.durable, Some((seq, &record.bytes)));
            written.inspect_err(|error| core.commits.fail(error))?;
            *self.manifest = next;
        }
        // A reader of the run sees all its quads, so every commit before this one must be published first.
        core.commits.wait(seq - 1)?;
        let next = View { base: run, rewritten: seq, ..View::clone(&self.view) };
        core.publish_view(next, begun, outcome.added.cast_signed() - outcome.removed.cast_signed());
        drop((held, self.view, self.conflicts));
        if let Some(terms) = self.terms {
            core.dictionary.adopt(terms);
        }
        core.clean(*self.manifest)?;
        core.count_gone(outcome.removed);
        core.sweep_or_wake(&mut self.manifest);
        Ok(outcome)
    }
}

/// The quads about which a new run must say what the run before says: those of the delta, and the copies of those.
struct Conflicts {
    gathered: Gathered,
    change: GraphChange,
    seen: HashSet<EncodedQuad, ahash::RandomState>,
    /// Each of these quads, and whether a batch has it.
    changes: Vec<Change>,
}

impl Conflicts {
    /// Adapts the next run to the quads of the delta that were not there at the last call.
    fn settle(&mut self, view: &View, next: &mut Rewritten, block_keys: usize) -> Result<()> {
        if planted::has(Bug::ForgetDelta) {
            return Ok(());
        }
        let mut unseen = view.layers[0].delta.quads(|quad| !self.seen.contains(quad));
        self.seen.extend(unseen.iter().map(|(quad, _)| *quad));
        for at in 0..unseen.len() {
            if let Some(copy) = self.change.copy_of(unseen[at].0)
                && self.seen.insert(copy)
            {
                unseen.push((copy, view.base.contains(copy)?));
            }
        }
        let (mut missing, mut surplus) = (Vec::new(), Vec::new());
        for (quad, is_in_run) in unseen {
            let mut comes = false;
            for batch in &self.gathered.runs {
                comes |= batch.contains(quad)?;
            }
            if comes && !is_in_run {
                surplus.push(quad);
            }
            if !comes && is_in_run && self.change.removes(quad) {
                missing.push(quad);
            }
            self.changes.push(Change { quad, adds: comes });
        }
        if !missing.is_empty() || !surplus.is_empty() {
            next.added -= surplus.len() as u64;
            next.removed -= missing.len() as u64;
            missing.sort_unstable();
            surplus.sort_unstable();
            next.run = next.run.merged(missing, surplus, block_keys)?;
        }
        Ok(())
    }

    /// What has to change about these quads, if it is not so already. The caller holds all stripes.
    fn changes(&mut self, delta: &Delta) -> Vec<Change> {
        let mut changes = std::mem::take(&mut self.changes);
        changes.retain_mut(|Change { quad, adds }| {
            // The batches have copies of the quads of the run, and the delta is newer.
            if let Some(shown) = self.change.original_of(*quad).and_then(|quad| delta.shows(quad, LATEST)) {
                *adds = shown;
            }
            *adds || self.change.removes(*quad)
        });
        changes
    }
}

#[cfg(test)]
pub(crate) mod tests;
