//! In which archive a term is, and how it moves there.
//!
//! | a term is | in memory | in the archive | in the durable archive | a record with it contains its text |
//! |---|---|---|---|---|
//! | recent | yes | no | no | unless a durable record does: then the term is `persisted` |
//! | spilled | no | yes | no | unless a durable record does: then the term is `claimed` |
//! | durable | no | yes | yes | no |
//!
//! | event | moves |
//! |---|---|
//! | the terms take too much memory during a load: [`spill`](Dictionary::spill) | every recent term to spilled |
//! | a checkpoint: [`next_archives`](Dictionary::next_archives), the manifest, [`adopt`](Dictionary::adopt) | the recent and spilled terms that a durable record contains, or a quad of the bulk change that is published, and their parts, to durable |
//! | a [sweep](super::sweep) | the terms to which nothing refers are gone, and the spilled ones that stay are durable |
//! | the store is opened | terms that are not durable are gone, but for those in records |
//!
//! Only the thread with the lock of the manifest moves terms. The durable archive is the archive itself, unless there are
//! spilled terms.

use super::archive::{Archive, indexed};
use super::block::NUMBERS;
use super::entries::memory;
use super::filter::Filter;
use super::hints::Hashes;
use super::{Bytes, Dictionary, unknown};
use crate::error::Result;
use crate::storage::live::Live;
use crate::storage::planted::{self, Bug};
use crate::terms::stored_term::parts;
use crate::terms::term::TermId;
use hashbrown::HashTable;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The terms that are added to the durable archive at once, if not all spilled terms become durable.
const TERMS_AT_ONCE: usize = if cfg!(test) { 1 << 6 } else { 1 << 20 };

/// The archives after a checkpoint. Their pages are stored.
#[derive(Debug)]
pub(crate) struct Next {
    archive: Arc<Archive>,
    pub(crate) durable: Arc<Archive>,
    /// The terms that leave memory.
    recent: Vec<TermId>,
    /// The spilled terms that become durable because a record contains them.
    claimed: Vec<TermId>,
}

impl Dictionary {
    /// About how many bytes the terms in memory take.
    pub(crate) fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// Whether terms are spilled.
    pub(crate) fn has_spilled(&self) -> bool {
        !Arc::ptr_eq(&self.archive.load(), &self.durable.load())
    }

    /// The archive of all terms that are not in memory.
    pub(crate) fn archive(&self) -> Arc<Archive> {
        self.archive.load_full()
    }

    /// The archive of the last checkpoint.
    pub(crate) fn durable(&self) -> Arc<Archive> {
        self.durable.load_full()
    }

    /// The archives that a thread may read, and that of the last checkpoint.
    pub(crate) fn archives(&self) -> Vec<Arc<Archive>> {
        let mut earlier = self.earlier.lock();
        earlier.retain(|(archive, _)| archive.strong_count() > 0);
        let earlier = earlier.iter().filter_map(|(archive, _)| archive.upgrade());
        earlier.chain([self.archive(), self.durable()]).collect()
    }

    /// The pages of spilled terms that a later spill has replaced, and that nobody reads any more. Each is returned once.
    pub(crate) fn replaced_pages(&self) -> Vec<u64> {
        let mut earlier = self.earlier.lock();
        // An archive may share the pages with those before it.
        let unread = earlier.iter().take_while(|(archive, _)| archive.strong_count() == 0).count();
        earlier.drain(..unread).flat_map(|(_, pages)| pages).collect()
    }

    /// Calls `write` with each term that a record has to contain so that `id` can be read after a crash: the term, and
    /// before it its parts, except those that a durable record or a checkpoint contains already.
    pub(crate) fn unpersisted(&self, id: TermId, write: &mut impl FnMut(TermId, &[u8])) -> Result<()> {
        let bytes = match self.recent_entry(id) {
            Some(entry) if entry.persisted.load(Ordering::Acquire) => return Ok(()),
            Some(entry) => Bytes::Recent(entry),
            None if planted::has(Bug::OmitSpilled) => return Ok(()),
            None if self.is_durable(id)? || self.claimed.lock().contains(&id) => return Ok(()),
            None => self.known_bytes(id)?,
        };
        for part in parts(id, &bytes) {
            self.unpersisted(part, write)?;
        }
        write(id, &bytes);
        Ok(())
    }

    /// Marks the term as contained in a durable record. Pairs with the load in [`unpersisted`](Self::unpersisted).
    pub(crate) fn mark_persisted(&self, id: TermId) {
        if let Some(entry) = self.recent_entry(id) {
            entry.persisted.swap(true, Ordering::SeqCst);
            // Either this thread sees that the term was moved, or the one that moves it sees that it is persisted.
            if !entry.archived.load(Ordering::SeqCst) {
                return;
            }
        }
        // If it can't be read whether it is durable, the next checkpoint looks again.
        if !self.is_durable(id).unwrap_or(false) {
            self.claimed.lock().insert(id);
        }
    }

    /// Whether a term that is not in memory is in the durable archive.
    fn is_durable(&self, id: TermId) -> Result<bool> {
        let Some(number) = id.dictionary_index() else { return Ok(true) };
        // Terms get into the archive first. So if both are the same one, the term was in it.
        let (durable, archive) = (self.durable.load(), self.archive.load());
        Ok(Arc::ptr_eq(&durable, &archive) || durable.shares_block(&archive, number) || durable.has(id)?)
    }

    /// A set for the terms that are not durable.
    pub(crate) fn undurable(&self) -> Live {
        let next = self.next();
        let recent = self.recent().first().map(|id| id.payload());
        let spilled = self.archive.load().blocks_beyond(&self.durable.load()).next().map(|slot| slot.first);
        let first = [recent, spilled.map(|block| block * NUMBERS)].into_iter().flatten().min();
        Live::new(first.unwrap_or(next)..next)
    }

    /// Moves all terms in memory to the archive, and none to the durable one.
    pub(crate) fn spill(&self) -> Result<()> {
        let (archive, durable, terms) = (self.archive(), self.durable(), self.recent());
        let next = archive.with(&terms, |id| self.known_bytes(id))?;
        let replaced = archive.numbers_beyond(&[&next, &durable]);
        drop((archive, durable));
        if !self.filter.load().as_ref().is_some_and(|filter| filter.has_room(next.len())) {
            let filter = Filter::new(next.len() + next.len() / 2);
            next.hashes(|hash| filter.add(hash))?;
            self.filter.store(Some(Arc::new(filter)));
        }
        self.replace(Arc::new(next), None, replaced, &terms);
        Ok(())
    }

    /// The archives after a checkpoint, with all terms that a durable record contains, the terms in `live`, and their parts. A
    /// term that only refused documents or lookups have is not durable, and is gone when the store is opened again.
    pub(crate) fn next_archives(&self, live: &Live) -> Result<Next> {
        let (archive, durable) = (self.archive(), self.durable());
        let claimed: Vec<_> = self.claimed.lock().iter().copied().collect();
        for id in &claimed {
            live.mark(*id);
        }
        let mut recent = self.recent();
        for id in recent.iter().rev() {
            let Some(entry) = self.recent_entry(*id) else { continue };
            if entry.persisted.load(Ordering::Acquire) || planted::has(Bug::KeepRefused) {
                live.mark(*id);
            }
            if live.has(*id) {
                parts(*id, &entry.bytes).for_each(|part| live.mark(part));
            }
        }
        recent.retain(|id| live.has(*id));
        let bytes = |id| self.known_bytes(id);
        let next = Arc::new(archive.with(&recent, bytes)?);
        let durable = if Arc::ptr_eq(&archive, &durable) || planted::has(Bug::KeepRefused) {
            Arc::clone(&next)
        } else if planted::has(Bug::LoseSpilled) {
            Arc::new(durable.with(&recent, bytes)?)
        } else {
            Self::next_durable(&durable, &next, live)?
        };
        Ok(Next { archive: next, durable, recent, claimed })
    }

    /// The durable archive with the live terms of the archive, and their parts.
    fn next_durable(durable: &Archive, archive: &Arc<Archive>, live: &Live) -> Result<Arc<Archive>> {
        archive.mark_parts(archive.blocks_beyond(durable).rev(), live)?;
        let mut missing = archive.len() - durable.len();
        for slot in archive.blocks_beyond(durable) {
            missing = missing.saturating_sub(archive.count_missing(slot, durable, live)?);
        }
        if missing == 0 {
            return Ok(Arc::clone(archive));
        }
        let bytes = |id| archive.bytes(id)?.ok_or_else(|| unknown(id));
        let (mut next, mut terms) = (durable.clone(), Vec::new());
        for slot in archive.blocks_beyond(durable) {
            terms.append(&mut archive.missing(slot, durable, live)?);
            if terms.len() >= TERMS_AT_ONCE {
                next = next.with(&terms, bytes)?;
                terms.clear();
            }
        }
        Ok(Arc::new(next.with(&terms, bytes)?))
    }

    /// The archives, with indexes that are made from their blocks.
    pub(crate) fn indexed_again(&self) -> Result<Next> {
        let (old, durable) = (self.archive(), self.durable());
        let archive = Arc::new(old.indexed_again()?);
        let shared = Arc::ptr_eq(&old, &durable);
        let durable = if shared { Arc::clone(&archive) } else { Arc::new(durable.indexed_again()?) };
        Ok(Next { archive, durable, recent: Vec::new(), claimed: Vec::new() })
    }

    /// Reads the terms of a durable checkpoint from there, and drops those in memory that are new in it.
    pub(crate) fn adopt(&self, next: Next) {
        let Next { archive, durable, recent, claimed } = next;
        if Arc::ptr_eq(&archive, &durable) {
            self.filter.store(None);
        }
        self.replace(archive, Some(durable), Vec::new(), &recent);
        let mut all = self.claimed.lock();
        for id in &claimed {
            all.remove(id);
        }
    }

    /// Replaces the archive by one with more terms, which leave memory. Unless the next durable archive has them too, they are
    /// spilled.
    fn replace(
        &self,
        archive: Arc<Archive>,
        durable: Option<Arc<Archive>>,
        replaced: Vec<u64>,
        terms: &[TermId],
    ) {
        let spills = durable.is_none();
        if let Some(filter) = &*self.filter.load() {
            for id in terms {
                let Some(entry) = self.recent_entry(*id) else { continue };
                let hashes = Hashes(self.hash(*id, &entry.bytes), archive.hash(entry.kind, &entry.bytes));
                filter.add(indexed(hashes.1));
                archive.hints.offer(hashes, *id);
            }
        }
        let mut earlier = vec![(Arc::downgrade(&self.archive.swap(archive)), replaced)];
        earlier.extend(durable.map(|durable| (Arc::downgrade(&self.durable.swap(durable)), Vec::new())));
        self.earlier.lock().extend(earlier);
        for id in terms {
            let Some(entry) = self.recent_entry(*id) else { continue };
            if !spills {
                entry.persisted.store(true, Ordering::Release);
            }
            entry.archived.swap(true, Ordering::SeqCst);
            if spills && entry.persisted.load(Ordering::SeqCst) {
                self.claimed.lock().insert(*id);
            }
            self.memory.fetch_sub(memory(&entry.bytes), Ordering::Relaxed);
        }
        // First nothing refers to these terms any more, then they go.
        for stripe in self.numbers.iter() {
            let mut stripe = stripe.write();
            stripe.retain(|(_, id)| {
                self.recent_entry(*id).is_some_and(|entry| !entry.archived.load(Ordering::Acquire))
            });
            stripe.shrink_to_fit(|(hash, _)| *hash);
        }
        self.recent.drop_archived(self.floor.load(Ordering::Acquire), self.next());
    }

    /// Reads all terms from the durable archive, and drops all those in memory. Nobody else uses the dictionary.
    pub(crate) fn forget(&self, archive: Archive) {
        let archive = Arc::new(archive);
        self.terms.store(archive.len(), Ordering::Relaxed);
        self.archive.store(Arc::clone(&archive));
        self.durable.store(archive);
        self.claimed.lock().clear();
        self.filter.store(None);
        self.numbers.iter().for_each(|stripe| *stripe.write() = HashTable::new());
        self.recent.clear();
        self.memory.store(0, Ordering::Relaxed);
        self.floor.store(self.next(), Ordering::Release);
    }
}
