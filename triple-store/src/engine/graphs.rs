//! Changes of whole graphs: what is removed, and which graph is copied. Neither takes a list of the quads in memory.
//!
//! The copies are batches of a [bulk change](crate::engine::bulk). They are made from the quads of the run, and writers keep
//! working. The quads of the delta are copied when the change is published, as they are then.

use crate::engine::bulk::BULK;
use crate::engine::core::{Core, Outcome};
use crate::engine::view::View;
use crate::error::{Error, Result};
use crate::storage::planted::{self, Bug};
use crate::storage::run::Run;
use crate::terms::pattern::{Graphs, Pattern};
use crate::terms::quad::EncodedQuad;
use crate::terms::term::TermId;
use std::sync::Arc;

/// A change of whole graphs. The quads that match `removed` go, except copies.
#[derive(Clone, Debug, Default)]
pub(crate) struct GraphChange {
    pub(crate) removed: Vec<Pattern>,
    pub(crate) copied: Option<Copied>,
}

/// Two different graphs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copied {
    pub(crate) from: TermId,
    pub(crate) to: TermId,
}

impl GraphChange {
    pub(crate) fn removes(&self, quad: EncodedQuad) -> bool {
        self.removed.iter().any(|pattern| pattern.matches(quad))
    }

    /// What comes if this quad is there.
    pub(crate) fn copy_of(&self, quad: EncodedQuad) -> Option<EncodedQuad> {
        let Copied { from, to } = self.copied.filter(|_| !planted::has(Bug::ForgetCopies))?;
        (quad.graph == from).then_some(EncodedQuad { graph: to, ..quad })
    }

    /// The quad of which this one is a copy.
    pub(crate) fn original_of(&self, quad: EncodedQuad) -> Option<EncodedQuad> {
        let Copied { from, to } = self.copied.filter(|_| !planted::has(Bug::TrustCopies))?;
        (quad.graph == to).then_some(EncodedQuad { graph: from, ..quad })
    }
}

/// What ends a change of graphs before its commit.
pub(crate) struct Conditions<'a> {
    /// Is called again and again, and ends the change with [`Error::Cancelled`].
    pub(crate) is_cancelled: &'a dyn Fn() -> bool,
    /// Is called under all stripes with the state before and with what would change.
    pub(crate) may_commit: &'a dyn Fn(&Arc<View>, Outcome) -> Result<()>,
}

impl Default for Conditions<'_> {
    /// Nothing ends it.
    fn default() -> Self {
        Self { is_cancelled: &|| false, may_commit: &|_, _| Ok(()) }
    }
}

impl Core {
    /// The quads of a graph in a run, as quads of another graph.
    pub(crate) fn copies(
        &self,
        base: &Arc<Run>,
        Copied { from, to }: Copied,
        conditions: &Conditions<'_>,
    ) -> Result<Vec<Run>> {
        let run = Arc::new(View {
            layers: Vec::new(),
            base: Arc::clone(base),
            rewritten: 0,
            epoch: self.hold_terms(),
        });
        let (mut runs, mut quads) = (Vec::new(), Vec::new());
        for quad in run.scan(&Pattern { graphs: Graphs::One(from), ..Pattern::ALL })? {
            quads.push(EncodedQuad { graph: to, ..quad? });
            if quads.len() % BULK == 0 && (conditions.is_cancelled)() {
                return Err(Error::Cancelled);
            }
            if quads.len() >= self.batch {
                runs.push(self.moved_to_disk(&mut quads)?);
            }
        }
        if !quads.is_empty() {
            runs.push(self.moved_to_disk(&mut quads)?);
        }
        Ok(runs)
    }
}
