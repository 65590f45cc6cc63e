//! Compaction: the terms that no quad mentions go, and the file system gets the free space.

use crate::engine::core::{Core, Engine};
use crate::error::Result;
use crate::storage::journal::Manifest;
use crate::storage::live::Live;
use std::sync::atomic::Ordering;

impl Engine {
    /// Drops the terms that no quad mentions. Returns how many these were, and how many bytes the file system got. Nobody
    /// else uses the store, so no snapshot and no transaction has the id of such a term.
    pub(crate) fn compact(&mut self) -> Result<(u64, u64)> {
        let core: &Core = self;
        core.journal.check_writable()?;
        let mut manifest = core.manifest.lock();
        core.checkpoint_under(&mut manifest)?;
        if !core.journal.is_kept() {
            return Ok((0, 0));
        }
        let (before, run) = (core.dictionary.len(), &core.latest().base);
        let live = Live::new(0..core.dictionary.next());
        run.for_each(|quad| quad.terms().into_iter().for_each(|id| live.mark(id)))?;
        let archive = core.dictionary.durable().without(&live)?;
        *manifest = Manifest { last: core.commits.last_begun(), next_term: core.dictionary.next() };
        core.journal.checkpoint(*manifest, run, &archive, None)?;
        core.dictionary.forget(archive);
        core.reset_sweeps();
        core.is_clean.store(false, Ordering::Relaxed);
        core.clean(*manifest)?;
        Ok((before - core.dictionary.len(), core.journal.give_back()?))
    }
}
