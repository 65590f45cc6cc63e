//! Salvage: a new store gets what can be read of a damaged one. The terms get new numbers.

use crate::engine::core::Core;
use crate::error::Result;
use crate::storage::journal::Remains;
use crate::storage::run::{Run, Sorted};
use crate::terms::quad::{EncodedQuad, Key};

impl Core {
    /// Adds what can be read of a store to this one, which is empty, as one transaction. Calls `lost` with a sentence for each
    /// loss. Returns how many quads were added, and how many are known to be lost.
    pub(crate) fn salvage(&self, remains: &Remains, lost: &mut impl FnMut(String)) -> Result<(u64, u64)> {
        // Keeps the pages of a run that nothing refers to.
        let batches = self.batches();
        let collected: Run;
        let run = if remains.run.has_whole_orders() {
            &remains.run
        } else {
            collected = self.readable(&remains.run)?;
            &collected
        };
        let mut lost_quads = remains.run.len().saturating_sub(run.len());
        if lost_quads > 0 {
            lost(format!("{lost_quads} quads, which can be read in no order"));
        }
        let mut quads = Vec::new();
        let mut add = |quad: EncodedQuad| {
            if let Ok(quad) = remains.dictionary.resolve_quad(quad) {
                quads.push(self.dictionary.intern_quad(quad.as_ref())?);
            } else {
                lost_quads += 1;
                lost(format!("the quad {}", remains.readable_terms(quad)));
            }
            batches.make_room(&mut quads)
        };
        let mut add_old = |quad| if remains.recent.contains_key(&quad) { Ok(()) } else { add(quad) };
        run.triples.for_each_of_whole_order(&mut add_old)?;
        run.named.for_each_of_whole_order(&mut add_old)?;
        remains.recent.iter().filter(|(_, is_there)| **is_there).try_for_each(|(quad, _)| add(*quad))?;
        batches.add(&mut quads)?;
        Ok((batches.publish(None)?.added, lost_quads))
    }
}

impl Remains {
    /// A quad as text, with `?` for each term that can't be read.
    fn readable_terms(&self, quad: EncodedQuad) -> String {
        let unknown = || "?".to_owned();
        let term = |id| self.dictionary.resolve(id).map_or_else(|_| unknown(), |term| term.to_string());
        let graph =
            self.dictionary.resolve_graph(quad.graph).map_or_else(|_| unknown(), |graph| graph.to_string());
        let terms = [term(quad.subject), term(quad.predicate), term(quad.object), graph];
        terms.join(" ")
    }
}

impl Run {
    fn has_whole_orders(&self) -> bool {
        self.triples.whole_order().is_some() && self.named.whole_order().is_some()
    }
}

impl<K: Key> Sorted<K> {
    /// Calls `each` with every quad, once.
    fn for_each_of_whole_order(&self, each: &mut impl FnMut(EncodedQuad) -> Result<()>) -> Result<()> {
        let number = self.whole_order().unwrap_or(0);
        let order = &self.orders[number];
        for chunk in 0..order.slots.len() {
            order.chunk(chunk)?.keys().try_for_each(|key| each(key.restore(number).to_quad()))?;
        }
        Ok(())
    }
}
