//! Compaction: the terms that no quad mentions go, and the file system gets the free space.

use crate::engine::core::{Core, Engine};
use crate::error::Result;
use crate::storage::journal::Manifest;
use crate::storage::live::Live;
use crate::storage::order::Order;
use crate::terms::quad::Columns;
use crate::terms::term::TermId;

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
        mark(&run.triples.orders[0], &live)?;
        mark(&run.named.orders[0], &live)?;
        let archive = core.dictionary.durable().without(&live)?;
        *manifest = Manifest { last: core.commits.last_begun(), next_term: core.dictionary.next() };
        core.journal.checkpoint(*manifest, run, &archive, None)?;
        core.dictionary.forget(archive);
        core.delete_unused_long_terms()?;
        core.clean(*manifest)?;
        Ok((before - core.dictionary.len(), core.journal.give_back()?))
    }
}

fn mark<K: Columns>(order: &Order<K>, live: &Live) -> Result<()> {
    for chunk in 0..order.slots.len() {
        for key in order.chunk(chunk)?.keys() {
            key.columns().iter().for_each(|column| live.mark(TermId(*column)));
        }
    }
    Ok(())
}
