//! The write path. Every change, of one quad or of a million, becomes visible in this way:
//!
//! 1. Encode the terms, the changes and their journal record. No stripe is held.
//! 2. Take the stripes of the subjects in ascending order, or all stripes if the subjects are not known.
//! 3. Drop changes that have no effect, take the next commit number, append the record to the journal and apply the
//!    changes to the delta. Conflicting commits hold a common stripe, so they are numbered, logged and applied in the
//!    same order.
//! 4. Release the stripes, then wait for the disk. One sync serves all waiting writers.
//! 5. Publish: the watermark moves past the commit, and readers see all of it.

use crate::engine::bulk::BULK;
use crate::engine::commit::{Begun, Commits};
use crate::engine::dead_terms::DeadTerms;
use crate::engine::delta::{Delta, LATEST};
use crate::engine::merge::Merger;
use crate::engine::options::TripleStoreOptions;
use crate::engine::view::{Layer, View};
use crate::error::{Error, Result};
use crate::storage::dictionary::Dictionary;
use crate::storage::journal::{self, Journal, Manifest};
use crate::storage::planted::{self, Bug};
use crate::storage::record::{self, Record};
use crate::storage::run::Run;
use crate::terms::pattern::{Graphs, Pattern};
use crate::terms::quad::Change;
use crate::terms::quad::EncodedQuad;
use arc_swap::{ArcSwap, Guard};
use parking_lot::{Mutex, RawMutex, RwLock};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::panic::resume_unwind;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use stripe_lock::StripedMutex;
use vde_store::{ReadView, StripeHasher};

/// An open store: its core and the thread that merges. Dropping it waits for that thread.
#[derive(Debug)]
pub(crate) struct Engine {
    core: Arc<Core>,
    merging: Option<JoinHandle<()>>,
}

impl Deref for Engine {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.merger.close();
        if let Some(Err(panic)) = self.merging.take().map(JoinHandle::join) {
            // A second panic during a panic would abort.
            if !thread::panicking() {
                resume_unwind(panic);
            }
        }
    }
}

/// The parts of a store.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) dictionary: Dictionary,
    /// A writer holds the stripe of its subject. Readers take none.
    pub(crate) stripes: StripedMutex<u64, (), RawMutex, StripeHasher>,
    /// The newest state, for a writer that holds its stripes. Only a writer that holds all stripes adds a layer.
    /// Every commit reads this, so reading must not write to shared memory.
    latest: ArcSwap<View>,
    /// Held exclusively while the newest view is replaced, and shared while a snapshot is taken.
    replacing: RwLock<()>,
    pub(crate) commits: Commits,
    pub(crate) journal: Journal,
    /// The last checkpoint. It is locked while the next one is made.
    pub(crate) manifest: Mutex<Manifest>,
    /// Whether the long terms are deleted of loads that failed before the store was opened, and of sweeps.
    pub(crate) is_clean: AtomicBool,
    /// The runs whose chunks are on disk: that of the last checkpoint, and those that readers may still read.
    pub(crate) runs: Mutex<Vec<Weak<Run>>>,
    /// The IRIs of prefixes.
    pub(crate) namespaces: Mutex<BTreeMap<String, String>>,
    /// The number of quads in a delta at which it is merged.
    pub(crate) checkpoint_after: usize,
    /// The most quads in a delta that waits for the size of a large run.
    pub(crate) most_recent: usize,
    /// The number of keys in a block of the run.
    pub(crate) block_keys: usize,
    pub(crate) merger: Merger,
    pub(crate) dead_terms: DeadTerms,
    /// Whether a thread merges; otherwise writers do.
    pub(crate) background: bool,
    /// The most quads of a load in memory.
    pub(crate) batch: usize,
    /// The bytes of terms in memory at which a load moves them to the disk.
    pub(crate) most_terms: u64,
}

/// The result of a commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) added: u64,
    pub(crate) removed: u64,
}

impl Engine {
    pub(crate) fn new(options: &TripleStoreOptions, journal: Journal) -> Result<Self> {
        let core = Arc::new(Core::new(options, journal)?);
        let merging = (options.background && !options.read_only).then(|| {
            let core = Arc::clone(&core);
            thread::spawn(move || core.merger.run(&core))
        });
        Ok(Self { core, merging })
    }
}

impl Core {
    /// Restores the store from the journal.
    fn new(options: &TripleStoreOptions, journal: Journal) -> Result<Self> {
        let hasher = options.hasher.clone();
        let stripes = StripedMutex::with_hasher(options.stripes, hasher.clone());
        let (manifest, run, archive) = journal.restore()?;
        let dictionary = Dictionary::new(archive, manifest.next_term);
        let delta = Arc::new(Delta::new(stripes.stripes(), hasher));
        let (mut last, mut quads) = (manifest.last, run.len().cast_signed());
        let run = Arc::new(run);
        let runs = Mutex::new(vec![Arc::downgrade(&run)]);
        let layers = vec![Layer { delta: Arc::clone(&delta), seq: LATEST }];
        let view = View { layers, base: run, rewritten: last, epoch: Arc::default() };
        let mut names = BTreeMap::new();
        if let Some(stored) = journal.view() {
            journal::replay(&stored, manifest.last, |seq, bytes| {
                let mut changes = record::decode(&dictionary, bytes)?;
                view.keep_effective(&mut changes)?;
                quads += net(&changes);
                delta.apply(seq, &changes);
                last = seq;
                Ok(())
            })?;
            names = journal::namespaces(&stored)?;
        }
        Ok(Self {
            dictionary,
            stripes,
            latest: ArcSwap::from_pointee(view),
            replacing: RwLock::new(()),
            namespaces: Mutex::new(names),
            commits: Commits::new(last, quads.max(0).cast_unsigned()),
            manifest: Mutex::new(manifest),
            is_clean: AtomicBool::new(false),
            runs,
            checkpoint_after: options.checkpoint_after,
            most_recent: if journal.is_kept() { options.most_recent() } else { usize::MAX },
            journal,
            block_keys: options.run_block,
            merger: Merger::default(),
            dead_terms: DeadTerms::default(),
            background: options.background,
            batch: options.batch(),
            most_terms: options.most_terms(),
        })
    }

    /// Applies the commits that a later view of the vde-store has. Returns whether it could: only if this is the store
    /// of a view, and no checkpoint was made in between.
    pub(crate) fn advance(&self, later: &ReadView) -> Result<bool> {
        let _one_at_a_time = self.manifest.lock();
        if !self.journal.is_continued_by(later)? {
            return Ok(false);
        }
        let latest = self.latest();
        journal::replay(later, self.commits.watermark(), |seq, bytes| {
            let mut changes = record::decode(&self.dictionary, bytes)?;
            latest.keep_effective(&mut changes)?;
            let begun = self.commits.begin()?;
            if begun.seq != seq {
                return Err(Error::Corrupt(format!("commit {} is missing", begun.seq)));
            }
            latest.layers[0].delta.apply(seq, &changes);
            begun.publish(net(&changes));
            Ok(())
        })?;
        *self.namespaces.lock() = journal::namespaces(later)?;
        Ok(true)
    }

    /// Replaces the newest view by another view of the same quads.
    pub(crate) fn replace_view(&self, view: View) {
        let _replacing = self.replacing.write();
        self.latest.store(Arc::new(view));
    }

    /// Replaces the newest view by one that differs by a commit, and publishes that commit. No snapshot is taken in
    /// between.
    pub(crate) fn publish_view(&self, view: View, begun: Begun<'_>, added: i64) {
        let _replacing = self.replacing.write();
        self.latest.store(Arc::new(view));
        begun.publish(added);
    }

    /// The published state, and its number of quads.
    pub(crate) fn snapshot(&self) -> (View, u64) {
        // The lock is held over both reads. Until it is released, no checkpoint adds a layer on top of this view, so
        // every commit up to the watermark is in it.
        let _taking = self.replacing.read();
        let latest = self.latest();
        let (seq, quads) = self.commits.now();
        let layers =
            latest.layers.iter().map(|layer| Layer { delta: Arc::clone(&layer.delta), seq }).collect();
        (View { layers, ..View::clone(&latest) }, quads)
    }

    /// Applies changes as one atomic transaction. Each quad occurs once. Sorted changes take less space.
    pub(crate) fn commit(&self, changes: Vec<Change>) -> Result<Outcome> {
        let record = self.record(&changes)?;
        if let [change] = *changes {
            let held = self.stripes.lock(&change.quad.subject.0);
            return self.commit_held(held, changes, &record);
        }
        let held = self.stripes.lock_many(changes.iter().map(|change| &change.quad.subject.0));
        self.commit_held(held, changes, &record)
    }

    /// Adds quads as one transaction. Returns how many are new.
    pub(crate) fn add_all(&self, mut quads: Vec<EncodedQuad>) -> Result<u64> {
        quads.sort_unstable();
        quads.dedup();
        if quads.len() >= BULK {
            let batches = self.batches();
            batches.add(&mut quads)?;
            return Ok(batches.publish(None)?.added);
        }
        Ok(self.commit(quads.into_iter().map(|quad| Change { quad, adds: true }).collect())?.added)
    }

    /// Removes every quad that matches, as one transaction.
    pub(crate) fn remove_matching(&self, pattern: &Pattern) -> Result<Outcome> {
        if let Some(subject) = pattern.subject {
            let held = self.stripes.lock(&subject.0);
            let changes = self.removals(pattern, usize::MAX, |_| true)?.unwrap_or_default();
            return self.commit_encoded(held, changes);
        }
        let held = self.stripes.lock_all();
        if let Some(changes) = self.removals(pattern, BULK, |_| true)? {
            return self.commit_encoded(held, changes);
        }
        drop(held);
        self.batches().publish(Some(pattern))
    }

    /// Replaces the content of these graphs by quads, as one transaction.
    pub(crate) fn replace(&self, graphs: Graphs, mut quads: Vec<EncodedQuad>) -> Result<Outcome> {
        let pattern = Pattern { graphs, ..Pattern::ALL };
        quads.sort_unstable();
        quads.dedup();
        if quads.len() < BULK {
            let held = self.stripes.lock_all();
            if let Some(mut changes) =
                self.removals(&pattern, BULK, |quad| quads.binary_search(quad).is_err())?
            {
                changes.extend(quads.into_iter().map(|quad| Change { quad, adds: true }));
                changes.sort_unstable_by_key(|change| change.quad);
                return self.commit_encoded(held, changes);
            }
        }
        let batches = self.batches();
        batches.add(&mut quads)?;
        batches.publish(Some(&pattern))
    }

    /// The removals of the quads that match and go, sorted. `None` if they are more than `most`.
    fn removals(
        &self,
        pattern: &Pattern,
        most: usize,
        goes: impl Fn(&EncodedQuad) -> bool,
    ) -> Result<Option<Vec<Change>>> {
        let mut changes = Vec::new();
        for quad in self.latest().scan(pattern)? {
            let quad = quad?;
            if goes(&quad) {
                changes.push(Change { quad, adds: false });
            }
            if changes.len() > most {
                return Ok(None);
            }
        }
        changes.sort_unstable_by_key(|change| change.quad);
        Ok(Some(changes))
    }

    /// The newest state, for a caller that holds the stripes of what it reads.
    pub(crate) fn latest(&self) -> Guard<Arc<View>> {
        self.latest.load()
    }

    /// Whether a commit after this view changed any quad that matches the patterns. The caller holds the stripes of
    /// their subjects.
    pub(crate) fn changed_since(&self, view: &View, patterns: &[Pattern]) -> bool {
        let [begun, ..] = &*view.layers else { return true };
        let latest = self.latest();
        if latest.rewritten > begun.seq && !planted::has(Bug::ForgetRewrite) {
            return true;
        }
        let Some(depth) = latest.layers.iter().position(|layer| Arc::ptr_eq(&layer.delta, &begun.delta))
        else {
            // The delta of the view was merged since, so the changes after the view are unknown.
            return true;
        };
        latest.layers[..=depth].iter().any(|layer| {
            patterns.iter().any(|pattern| {
                pattern.triples().is_some_and(|range| layer.delta.changed_since(&range, begun.seq))
                    || pattern.quads().is_some_and(|range| layer.delta.changed_since(&range, begun.seq))
            })
        })
    }

    /// [`commit_held`](Self::commit_held) for changes that the caller computed while it held the stripes.
    pub(crate) fn commit_encoded<G>(&self, held: G, changes: Vec<Change>) -> Result<Outcome> {
        let record = self.record(&changes)?;
        self.commit_held(held, changes, &record)
    }

    /// The record of changes for the journal. It is empty if the journal stores nothing.
    pub(crate) fn record(&self, changes: &[Change]) -> Result<Record> {
        if self.journal.is_kept() { record::encode(&self.dictionary, changes) } else { Ok(Record::default()) }
    }

    /// Commits under the stripes in `held`, which include those of the changes' subjects, and releases them before it
    /// waits.
    fn commit_held<G>(&self, held: G, mut changes: Vec<Change>, record: &Record) -> Result<Outcome> {
        self.journal.check_writable()?;
        let view = self.latest();
        view.keep_effective(&mut changes)?;
        if changes.is_empty() {
            // The commit that made these changes unnecessary may not be durable yet. If they were acknowledged before
            // it is, a crash could undo them.
            let seq = self.commits.last_begun();
            drop(held);
            self.commits.wait(seq)?;
            return Ok(Outcome::default());
        }
        if let [change] = *changes {
            view.layers[0].delta.make_room(change.quad.subject.0);
        }
        let begun = self.commits.begin()?;
        let seq = begun.seq;
        self.journal.append(seq, &record.bytes).inspect_err(|error| self.commits.fail(error))?;
        view.layers[0].delta.apply(seq, &changes);
        drop(held);

        self.journal.wait_for_durability().inspect_err(|error| self.commits.fail(error))?;
        record.terms.iter().for_each(|id| self.dictionary.mark_persisted(*id));
        begun.publish(net(&changes));
        self.commits.wait(seq)?;
        self.merge_if_due(&view);
        let added = changes.iter().filter(|change| change.adds).count() as u64;
        Ok(Outcome { added, removed: changes.len() as u64 - added })
    }

    fn merge_if_due(&self, view: &View) {
        let (recent, bound) = self.recent(view);
        if recent >= bound {
            if self.background && recent / 2 < bound {
                self.merger.wake();
            } else {
                self.checkpoint_if_due();
            }
        }
    }

    pub(crate) fn flush(&self) -> Result<()> {
        self.commits.check()?;
        self.journal.flush().inspect_err(|error| self.commits.fail(error))
    }
}

pub(crate) fn net(changes: &[Change]) -> i64 {
    changes.iter().map(|change| if change.adds { 1 } else { -1 }).sum()
}
