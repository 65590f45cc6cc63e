//! Terms to which nothing refers any more go while the store is in use.
//!
//! A [sweep](crate::storage::dictionary::sweep) of the dictionary collects the terms that stay. It needs to know what refers to
//! terms. These do, until they end:
//!
//! | what | holds the [`Epoch`] | the terms to which it refers |
//! |---|---|---|
//! | the run, and a record that is replayed when the store is opened | | those of their quads |
//! | a view: of a snapshot, a query, a transaction | by the view | those of its run and its deltas, and those that it has looked up |
//! | a write, before its commit is in the delta or in the run | from before it looks up its first term | those that it has looked up, made or read in a view |
//!
//! A sweep begins a new epoch, and ends when nothing holds an earlier one. What holds the new one was begun during the sweep, so
//! all its terms were collected: the sweep collects the terms of the run, of each delta that a checkpoint merges into it, of each
//! bulk change, of the records after the last checkpoint, and each term that is looked up.
//!
//! | state | event | next state |
//! |---|---|---|
//! | idle | a checkpoint or a bulk change, after which many quads are gone | a new epoch begins, and the terms of the run are collected; then waiting |
//! | waiting | something holds an earlier epoch | waiting: the next checkpoint looks again, and the thread that merges does so each second |
//! | waiting | nothing does | the next archive is made, and the manifest written; then idle |
//! | waiting | terms are found faster than they can be added to the next archive | waiting |
//! | waiting | a read or a write of the disk fails | idle, until as many quads are gone again. If it was the manifest that could not be written, later commits fail |
//!
//! Only the thread with the lock of the manifest does any of this. Writers and readers keep working. While the manifest is written,
//! those wait who look up a term that is about to go.

use crate::engine::core::Core;
use crate::engine::view::View;
use crate::error::Result;
use crate::storage::journal::{self, Manifest};
use crate::storage::planted::{self, Bug};
use crate::storage::record;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A sweep is made once this number of quads is gone, or more in a large store. Unit tests make more sweeps.
const LEAST_GONE: u64 = if cfg!(test) { 64 } else { 10_000 };

/// A sweep reads every quad and writes up to every term. So it is made once a part of the quads is gone, and once there are as many
/// of these as a part of the terms.
const PART_OF_QUADS: u64 = 8;
const PART_OF_TERMS: u64 = 4;

/// How long the thread that merges waits for operations that have begun before.
const PATIENCE: Duration = Duration::from_millis(100);

/// What was begun since one sweep began, and before the next one. Whatever was begun in it holds it.
#[derive(Debug, Default)]
pub(crate) struct Epoch;

/// The state of the sweeps of one store.
#[derive(Debug, Default)]
pub(crate) struct DeadTerms {
    /// About how many quads are gone since the last sweep.
    gone: AtomicU64,
    /// The sweep that waits.
    waiting: Mutex<Option<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    /// The epoch before the sweep.
    before: Arc<Epoch>,
    /// The quads that were gone when the sweep began.
    gone: u64,
}

impl Waiting {
    /// Whether nothing is left that was begun before the sweep.
    fn is_over(&mut self) -> bool {
        Arc::get_mut(&mut self.before).is_some() || planted::has(Bug::SweepAtOnce)
    }
}

impl Core {
    /// Until the result is dropped, no term goes that is looked up, made or read in a view after this.
    pub(crate) fn hold_terms(&self) -> Arc<Epoch> {
        Arc::clone(&self.latest().epoch)
    }

    /// Counts quads that are gone.
    pub(crate) fn count_gone(&self, quads: u64) {
        self.dead_terms.gone.fetch_add(quads, Ordering::Relaxed);
    }

    /// Whether it is time to make a sweep, or one waits.
    pub(crate) fn wants_sweep(&self) -> bool {
        let gone = self.dead_terms.gone.load(Ordering::Relaxed);
        let is_due = || {
            let (terms, quads) = (self.dictionary.len(), self.commits.now().1);
            gone >= (terms / PART_OF_TERMS).max(quads / PART_OF_QUADS)
        };
        let is_kept = self.journal.is_kept() && self.journal.check_writable().is_ok();
        is_kept && (self.dictionary.sweeps() || gone >= LEAST_GONE && is_due())
    }

    /// What follows a checkpoint or a bulk change: a sweep, if it is time for one. If there is a thread that merges, it makes the
    /// sweep.
    pub(crate) fn sweep_or_wake(&self, manifest: &mut Manifest) {
        if !self.background {
            self.sweep_terms(manifest);
        } else if self.wants_sweep() {
            self.merger.wake();
        }
    }

    /// Begins or ends a sweep, if it is time for that.
    pub(crate) fn sweep_terms(&self, manifest: &mut Manifest) {
        if !self.wants_sweep() {
            return;
        }
        let mut waiting = self.dead_terms.waiting.lock();
        let begins = waiting.is_none();
        let sweep = waiting.get_or_insert_with(|| self.begin_sweep());
        // What can't be read or written now is tried again with the next sweep.
        let mut goes_on = !begins || self.keep_run().is_ok();
        let patience = if begins && self.background { PATIENCE } else { Duration::ZERO };
        let started = Instant::now();
        while goes_on && !sweep.is_over() {
            if started.elapsed() >= patience {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        goes_on = goes_on && self.finish_sweep(manifest).is_ok_and(|ended| !ended);
        if !goes_on {
            self.dead_terms.gone.fetch_sub(sweep.gone, Ordering::Relaxed);
            *waiting = None;
            self.dictionary.end_sweep();
        }
    }

    /// Forgets the quads that are gone, and the sweep that waits.
    pub(crate) fn reset_sweeps(&self) {
        *self.dead_terms.waiting.lock() = None;
        self.dead_terms.gone.store(0, Ordering::Relaxed);
        self.dictionary.end_sweep();
    }

    fn begin_sweep(&self) -> Waiting {
        let gone = self.dead_terms.gone.load(Ordering::Relaxed);
        self.dictionary.begin_sweep();
        let latest = View::clone(&self.latest());
        let before = Arc::clone(&latest.epoch);
        self.replace_view(View { epoch: Arc::default(), ..latest });
        Waiting { before, gone }
    }

    fn keep_run(&self) -> Result<()> {
        let base = Arc::clone(&self.latest().base);
        base.for_each(|quad| self.dictionary.keep(quad.terms()))
    }

    /// Makes the next archive, writes the manifest and deletes what is not needed any more. Returns whether it did.
    fn finish_sweep(&self, manifest: &mut Manifest) -> Result<bool> {
        self.commits.check()?;
        if let Some(stored) = self.journal.view().filter(|_| !planted::has(Bug::ForgetCommits)) {
            journal::replay(&stored, manifest.last, |_, record| {
                let (_, changes) = record::parse(record)?;
                self.dictionary.keep(changes.iter().flat_map(|change| change.quad.terms()));
                Ok(())
            })?;
        }
        let Some(next) = self.dictionary.swept()? else { return Ok(true) };
        // The manifest then waits for little.
        self.journal.flush()?;
        let base = Arc::clone(&self.latest().base);
        let replaced = self.dictionary.adopt_swept(next, |archive| {
            let next = Manifest { next_term: self.dictionary.next(), ..*manifest };
            let written = self.journal.checkpoint(next, &base, archive, None);
            written.inspect_err(|error| self.commits.fail(error))?;
            *manifest = next;
            Ok(())
        })?;
        if replaced {
            self.is_clean.store(false, Ordering::Relaxed);
            self.clean(*manifest)?;
        }
        Ok(replaced)
    }
}

#[cfg(test)]
mod tests;
