//! The checkpoint: what is in the deltas moves into a new run, and the journal begins anew.
//!
//! A checkpoint freezes the newest delta by laying an empty one on top of it, for which it holds all stripes for a
//! moment. From then on writers write above, readers read both, and the frozen ones are merged with the run at
//! leisure. A reader keeps the view it began with. Only one checkpoint runs at a time.

use crate::delta::{Change, Delta, LATEST};
use crate::engine::{Engine, net};
use crate::error::Result;
use crate::journal::Manifest;
use crate::quad::EncodedQuad;
use crate::run::Run;
use crate::view::{Layer, View};
use std::sync::Arc;

impl Engine {
    /// Merges everything committed before into a new run. Writers and readers go on meanwhile.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        let mut manifest = self.manifest.lock();
        self.checkpoint_under(&mut manifest)
    }

    /// Merges if the newest delta has outgrown its bound, unless a merge is under way. A failure is one of the disk,
    /// and fails the writes that come after it, not the one before, which is durable.
    pub(crate) fn checkpoint_if_due(&self) {
        // A merge rewrites the whole run, so a large run waits for more: each quad is rewritten about eight times.
        let view = self.latest();
        let bound = self.checkpoint_after.max(view.base.len() as usize / 8);
        if view.layers[0].delta.entries() < bound {
            return;
        }
        if let Some(mut manifest) = self.manifest.try_lock()
            && let Err(error) = self.checkpoint_under(&mut manifest)
        {
            self.commits.fail(&error);
        }
    }

    fn checkpoint_under(&self, manifest: &mut Manifest) -> Result<()> {
        let held = self.stripes.lock_all();
        let last = self.commits.last_begun();
        let mut frozen = View::clone(&self.latest());
        if frozen.layers.iter().all(|layer| layer.delta.entries() == 0) {
            return Ok(());
        }
        let mut view = frozen.clone();
        view.layers.insert(0, self.empty_layer());
        self.replace_view(view);
        drop(held);

        // What a run holds is seen by every reader of it, so all of it must be published first.
        self.commits.wait(last)?;
        let run = Arc::new(flatten(&frozen));
        let merged = frozen.layers.len();
        frozen.layers.clear();
        let next = manifest.next(last, &run);
        self.write_checkpoint(next, &run)?;
        *manifest = next;
        let mut view = View::clone(&self.latest());
        view.layers.truncate(view.layers.len() - merged);
        view.base = run;
        self.replace_view(view);
        self.journal.clean(next)
    }

    /// Adds very many quads as one transaction, straight into a new run. Holds all stripes throughout: a store that
    /// takes so many at once has no better use for its cores.
    pub(crate) fn add_to_run(&self, quads: Vec<EncodedQuad>) -> Result<u64> {
        let mut manifest = self.manifest.lock();
        let held = self.stripes.lock_all();
        self.commits.wait(self.commits.last_begun())?;
        let view = self.latest();
        let changes = quads.into_iter().filter(|quad| !view.contains(*quad));
        let changes: Vec<_> = changes.map(|quad| Change { quad, adds: true }).collect();
        if changes.is_empty() {
            return Ok(0);
        }
        let run = Arc::new(flatten(&view).merged(&changes));
        let seq = self.commits.begin()?;
        let next = manifest.next(seq, &run);
        self.write_checkpoint(next, &run).inspect_err(|error| self.commits.fail(error))?;
        *manifest = next;
        let view = View { layers: vec![self.empty_layer()], base: run };
        self.publish_view(view, seq, net(&changes));
        drop(held);
        self.journal.clean(next)?;
        Ok(changes.len() as u64)
    }

    fn empty_layer(&self) -> Layer {
        let delta = Delta::new(self.stripes.stripes(), self.stripes.hasher().clone());
        Layer { delta: Arc::new(delta), seq: LATEST }
    }

    fn write_checkpoint(&self, manifest: Manifest, run: &Run) -> Result<()> {
        let terms = self.dictionary.unarchived();
        self.journal.checkpoint(manifest, run, &terms, &self.dictionary)?;
        for id in terms {
            self.dictionary.mark_archived(id);
        }
        Ok(())
    }
}

/// The run that holds all that a view shows.
fn flatten(view: &View) -> Run {
    let mut layers = view.layers.iter().rev().map(|layer| layer.delta.changes());
    let first = view.base.merged(&layers.next().unwrap_or_default());
    layers.fold(first, |run, changes| run.merged(&changes))
}
