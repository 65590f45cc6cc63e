//! How terms go to which nothing refers, while the store is in use.
//!
//! A *sweep* collects the terms that stay, and then replaces the archive by one that has only these. An *operation* is what
//! uses ids: a write, or a reader with its snapshot. [`dead_terms`](crate::engine::dead_terms) says what an operation is, and
//! knows when those have ended that began before the sweep.
//!
//! | step | the sweep | a search that finds a term |
//! |---|---|---|
//! | none | | trusts what it finds, unless the archive has been replaced |
//! | [`begin_sweep`](Dictionary::begin_sweep) | has a set `live` with the terms that are made from now on | adds the term to `live`, and to `late` if it is new there |
//! | [`keep`](Dictionary::keep) | adds the terms of the run, and of every run that replaces it | the same |
//! | the operations from before have ended | what others use is in the run, in commits after the last checkpoint, or in `live` | the same |
//! | [`swept`](Dictionary::swept) | makes the next archive of `live` and the parts of all its terms | the same |
//! | [`adopt_swept`](Dictionary::adopt_swept) | adds the `late` terms to the next archive. If there are others then, again. Otherwise it writes the manifest and replaces the archive, under the lock of `late` | takes the lock of `late` for a term that is not in `live`. If the archive has been replaced, it searches again |
//! | [`end_sweep`](Dictionary::end_sweep) | drops both sets | trusts what it finds, unless the archive has been replaced |
//!
//! A sweep can end after any step, and nothing has changed then but the archive in the last one. All steps are made under the
//! lock of the manifest, so no term moves during a step. Between steps, terms may move.
//!
//! A search records its term before it looks whether the archive is still the one in which it has found the term. So either the
//! sweep sees the term in `late`, or the search sees the next archive.

use super::archive::Archive;
use super::{Dictionary, unknown};
use crate::error::Result;
use crate::storage::live::Live;
use crate::storage::planted::{self, Bug};
use crate::terms::stored_term::parts;
use crate::terms::term::TermId;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How often terms are added to the next archive. Each time takes less than the one before, so fewer terms come meanwhile.
const ROUNDS: usize = 4;

/// What a sweep has collected.
pub(super) struct Sweep {
    /// The terms that stay.
    live: Live,
    /// Terms that were found after they were collected.
    late: Mutex<Vec<TermId>>,
}

impl Sweep {
    fn found(&self, id: TermId) {
        if !self.live.has(id) && !planted::has(Bug::ForgetFound) {
            let mut late = self.late.lock();
            if self.live.add(id) {
                late.push(id);
            }
        }
    }
}

impl Dictionary {
    /// Begins to collect terms. The caller lets operations begin anew after this, which sees that terms are collected.
    pub(crate) fn begin_sweep(&self) {
        let sweep = Sweep { live: Live::all_from(self.next()), late: Mutex::default() };
        self.sweep.store(Some(Arc::new(sweep)));
        self.sweeps.store(true, Ordering::Release);
    }

    pub(crate) fn end_sweep(&self) {
        self.sweeps.store(false, Ordering::Release);
        self.sweep.store(None);
    }

    /// Whether terms are collected.
    pub(crate) fn sweeps(&self) -> bool {
        self.sweeps.load(Ordering::Acquire)
    }

    /// Calls `work` with the sweep, if there is one.
    fn during_sweep(&self, work: impl FnOnce(&Sweep)) {
        if self.sweeps()
            && let Some(sweep) = &*self.sweep.load()
        {
            work(sweep);
        }
    }

    /// If there is a sweep, these terms stay.
    pub(crate) fn keep(&self, ids: impl IntoIterator<Item = TermId>) {
        self.during_sweep(|sweep| ids.into_iter().for_each(|id| sweep.live.mark(id)));
    }

    /// Records that a term was found in memory. The caller holds the lock of its stripe, so the term is still there.
    pub(super) fn found_in_memory(&self, id: TermId) {
        self.during_sweep(|sweep| sweep.found(id));
    }

    /// Records that a term was found in an archive. Returns whether this still is the archive. Otherwise the term may be gone.
    pub(super) fn found_in(&self, archive: &Arc<Archive>, id: TermId) -> bool {
        planted::meanwhile();
        self.during_sweep(|sweep| sweep.found(id));
        Arc::ptr_eq(archive, &self.archive.load()) || planted::has(Bug::TrustFound)
    }

    /// The archive without the terms that were not collected. Its new pages are stored. `None` without a sweep.
    pub(crate) fn swept(&self) -> Result<Option<Archive>> {
        let Some(sweep) = self.sweep.load_full() else { return Ok(None) };
        self.keep(self.claimed.lock().iter().copied());
        for entry in self.recent().into_iter().filter_map(|id| Some((id, self.recent_entry(id)?))) {
            if !planted::has(Bug::ForgetParts) {
                self.keep(parts(entry.0, &entry.1.bytes));
            }
        }
        self.archive().without(&sweep.live).map(Some)
    }

    /// Replaces the archive by the result of [`swept`](Self::swept), with the terms that were found since. `write` makes the next
    /// archive durable. Returns false if terms come faster than they can be added, and nothing has changed then.
    pub(crate) fn adopt_swept(
        &self,
        mut next: Archive,
        write: impl FnOnce(&Archive) -> Result<()>,
    ) -> Result<bool> {
        let Some(sweep) = self.sweep.load_full() else { return Ok(false) };
        let old = self.archive();
        let bytes = |id| old.bytes(id)?.ok_or_else(|| unknown(id));
        for _ in 0..ROUNDS {
            let mut late = Vec::new();
            for id in std::mem::take(&mut *sweep.late.lock()) {
                if old.has(id)? && !next.has(id)? {
                    late.push(id);
                }
            }
            late.sort_unstable_by_key(|id| id.payload());
            if !late.is_empty() {
                next = next.with(&late, bytes)?;
            }
            let late = sweep.late.lock();
            if !late.is_empty() {
                continue;
            }
            write(&next)?;
            self.terms.fetch_sub(old.len() - next.len(), Ordering::Relaxed);
            let next = Arc::new(next);
            let earlier = [self.archive.swap(Arc::clone(&next)), self.durable.swap(next)];
            self.earlier.lock().extend(earlier.map(|archive| (Arc::downgrade(&archive), Vec::new())));
            self.claimed.lock().clear();
            self.filter.store(None);
            drop(late);
            return Ok(true);
        }
        Ok(false)
    }
}
