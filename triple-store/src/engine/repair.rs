//! Repair: what can't be read is written again from what can. Every quad is in each order of its width, and every term is in
//! the index of terms and in a block.

use crate::engine::core::Core;
use crate::engine::view::View;
use crate::error::{Error, Result};
use crate::storage::journal::Manifest;
use crate::storage::order::Order;
use crate::storage::run::{Run, Sorted};
use crate::terms::quad::{Columns, EncodedQuad, Key};
use std::sync::Arc;

impl Core {
    /// Writes the run again if a chunk of it can't be read, and the index of terms if a chunk of that can't. Returns whether
    /// there was such damage.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if a quad can be read in no order, or a term in no block: nothing is changed then.
    pub(crate) fn repair(&self) -> Result<bool> {
        self.journal.check_writable()?;
        let mut manifest = self.manifest.lock();
        let mut base = Arc::clone(&self.latest().base);
        let has_run = base.triples.is_readable() && base.named.is_readable();
        let archives = [self.dictionary.archive(), self.dictionary.durable()];
        let has_index = archives.iter().all(|archive| is_readable(&archive.index));
        if has_run && has_index {
            return Ok(false);
        }
        if !has_run {
            let run = self.readable(&base)?;
            if run.len() != base.len() {
                let lost = base.len().saturating_sub(run.len());
                return Err(Error::Corrupt(format!("{lost} quads can be read in no order")));
            }
            base = Arc::new(run);
        }
        let terms = if has_index { None } else { Some(self.dictionary.indexed_again()?) };
        let durable =
            terms.as_ref().map_or_else(|| self.dictionary.durable(), |terms| Arc::clone(&terms.durable));
        let next = Manifest { last: manifest.last, next_term: self.dictionary.next() };
        self.journal.checkpoint(next, &base, &durable, None)?;
        *manifest = next;
        if let Some(terms) = terms {
            self.dictionary.adopt(terms);
        }
        self.replace_view(View { base, ..View::clone(&self.latest()) });
        self.clean(next)?;
        Ok(true)
    }

    /// The quads of a run that can be read in any order, as a new run.
    pub(crate) fn readable(&self, run: &Run) -> Result<Run> {
        let (mut batches, mut quads) = (Vec::new(), Vec::new());
        let mut add = |quad: EncodedQuad| {
            quads.push(quad);
            if quads.len() >= self.batch {
                batches.push(self.moved_to_disk(&mut quads)?);
            }
            Ok(())
        };
        run.triples.for_each_readable(&mut add)?;
        run.named.for_each_readable(&mut add)?;
        batches.push(self.moved_to_disk(&mut quads)?);
        Ok(self.latest().base.emptied().rewritten(&batches, &[], self.steps())?.run)
    }
}

/// Whether every chunk can be read.
fn is_readable<K: Columns>(order: &Order<K>) -> bool {
    (0..order.slots.len()).all(|number| order.chunk(number).is_ok())
}

impl<K: Key> Sorted<K> {
    fn is_readable(&self) -> bool {
        self.orders.iter().all(is_readable)
    }

    /// An order of which every chunk can be read.
    pub(crate) fn whole_order(&self) -> Option<usize> {
        self.orders.iter().position(is_readable)
    }

    /// Calls `each` with every quad that can be read in any order, perhaps more than once.
    fn for_each_readable(&self, each: &mut impl FnMut(EncodedQuad) -> Result<()>) -> Result<()> {
        for (number, order) in self.orders.iter().enumerate() {
            let mut is_whole = true;
            for chunk in 0..order.slots.len() {
                match order.chunk(chunk) {
                    Ok(chunk) => chunk.keys().try_for_each(|key| each(key.restore(number).to_quad()))?,
                    Err(_) => is_whole = false,
                }
            }
            if is_whole {
                break;
            }
        }
        Ok(())
    }
}
