//! What a list holds: the guards of one thread.

use std::collections::BTreeMap;
use std::panic::Location;
use std::vec::Vec;

use super::place::{Noted, highest};
use crate::blocking::raw::Access;
use crate::shared::stripe_set::{Bits, StripeSet};

/// The place of a guard in a list: by set, then by the highest stripe that the guard holds, if any. That stripe decides
/// whether a wait is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) set: u64,
    pub(super) highest: Option<u32>,
    pub(super) id: u64,
}

/// Stripes, and the mode in which they are held or wanted.
#[derive(Debug)]
pub(super) struct Several {
    pub(super) stripes: StripeSet,
    pub(super) accesses: Accesses,
}

#[derive(Clone, Debug)]
pub(super) enum Accesses {
    All(Access),
    /// These stripes exclusively, the others shared.
    Writes(StripeSet),
}

impl Accesses {
    pub(super) fn to(&self, stripe: usize) -> Access {
        match self {
            Self::All(access) => *access,
            Self::Writes(writes) if writes.contains(stripe) => Access::Exclusive,
            Self::Writes(_) => Access::Shared,
        }
    }
}

impl Several {
    /// One stripe of a set of `of` stripes.
    pub(super) fn one(stripe: usize, of: usize, access: Access) -> Self {
        let mut stripes = StripeSet::empty(of);
        stripes.insert(stripe);
        Self { stripes, accesses: Accesses::All(access) }
    }
}

/// One guard. It holds the stripe that the key names, or several stripes.
///
/// Its fields are written one by one at their final place. Moving an entry as a whole right after it was written costs more
/// than the rest of the record, because a load that spans several stores waits for them.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    /// How many stripes the set has.
    of: u32,
    /// The stripes, if the set has at most 64: bit `i` stands for stripe `i`.
    word: u64,
    access: Access,
    /// The stripes, if there are several in a set of more than 64, or if they are held in two modes.
    several: Option<Several>,
    pub(super) at: &'static Location<'static>,
}

impl Entry {
    /// The mode in which this stripe is held, if it is.
    pub(super) fn access(&self, stripe: usize) -> Option<Access> {
        match &self.several {
            None if self.of <= u64::BITS => (self.word >> stripe & 1 == 1).then_some(self.access),
            None => (self.key.highest == Some(stripe as u32)).then_some(self.access),
            Some(several) => several.stripes.contains(stripe).then(|| several.accesses.to(stripe)),
        }
    }

    pub(super) fn to_several(&self) -> Several {
        match (&self.several, self.key.highest) {
            (Some(several), _) => {
                Several { stripes: several.stripes.clone(), accesses: several.accesses.clone() }
            }
            (None, _) if self.of <= u64::BITS => {
                Several { stripes: Bits(self.word).into(), accesses: Accesses::All(self.access) }
            }
            (None, Some(stripe)) => Several::one(stripe as usize, self.of as usize, self.access),
            (None, None) => unreachable!("an entry of one stripe names it"),
        }
    }

    /// Sets the mode in which the stripes are held.
    pub(super) fn set_access(&mut self, access: Access) {
        self.access = access;
        if let Some(several) = &mut self.several {
            several.accesses = Accesses::All(access);
        }
    }

    pub(super) fn set_several(&mut self, several: Several) {
        self.key.highest = several.stripes.last().map(|stripe| stripe as u32);
        self.several = Some(several);
    }
}

/// Up to this many guards are searched one by one.
const FEW: usize = 8;

/// The guards of a thread. The first few are in an array, and the others in a search tree, so that adding a guard
/// takes O(log n).
#[derive(Debug)]
pub(super) struct Entries {
    few: Vec<Entry>,
    many: BTreeMap<Key, Entry>,
    /// The keys of `many`.
    keys: BTreeMap<u64, Key>,
}

impl Entries {
    pub(super) const EMPTY: Self = Self { few: Vec::new(), many: BTreeMap::new(), keys: BTreeMap::new() };

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.few.len() + self.many.len()
    }

    /// Adds a guard that was noted, or could have been.
    #[inline]
    pub(super) fn add_noted(&mut self, id: u64, guard: Noted) {
        let Noted { set, of, stripes, access, at } = guard;
        let key = Key { set, highest: highest(of, stripes), id };
        self.insert(Entry { key, of, word: stripes, access, several: None, at });
    }

    /// Adds a guard of any stripes, held in any modes.
    pub(super) fn add_several(
        &mut self,
        id: u64,
        set: u64,
        several: Several,
        at: &'static Location<'static>,
    ) {
        let key = Key { set, highest: None, id };
        let mut entry = Entry { key, of: 0, word: 0, access: Access::Shared, several: None, at };
        entry.set_several(several);
        self.insert(entry);
    }

    #[inline]
    pub(super) fn insert(&mut self, entry: Entry) {
        if self.few.len() < FEW {
            self.few.push(entry);
        } else {
            self.keys.insert(entry.key.id, entry.key);
            self.many.insert(entry.key, entry);
        }
    }

    /// Removes an entry.
    #[inline]
    pub(super) fn end(&mut self, id: u64) {
        if self.few.last().is_some_and(|entry| entry.key.id == id) {
            self.few.truncate(self.few.len() - 1);
        } else {
            drop(self.remove(id));
        }
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Entry> {
        if let Some(place) = self.few.iter().rposition(|entry| entry.key.id == id) {
            return Some(self.few.swap_remove(place));
        }
        self.many.remove(&self.keys.remove(&id)?)
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Entry> {
        if let Some(place) = self.few.iter().rposition(|entry| entry.key.id == id) {
            return Some(&mut self.few[place]);
        }
        self.many.get_mut(self.keys.get(&id)?)
    }

    pub(super) fn get(&self, id: u64) -> Option<&Entry> {
        self.few.iter().find(|entry| entry.key.id == id).or_else(|| self.many.get(self.keys.get(&id)?))
    }

    /// The guards of a set that hold this stripe or a higher one.
    #[inline]
    pub(super) fn reaching(&self, set: u64, stripe: usize) -> impl Iterator<Item = &Entry> {
        let highest = Some(stripe as u32);
        let few = self.few.iter().filter(move |entry| entry.key.set == set && entry.key.highest >= highest);
        let (from, to) = (Key { set, highest, id: 0 }, Key { set: set + 1, highest: None, id: 0 });
        let many = (!self.many.is_empty()).then(|| self.many.range(from..to).map(|(_, entry)| entry));
        few.chain(many.into_iter().flatten())
    }
}
