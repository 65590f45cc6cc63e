//! The ids of terms that were found in an archive, so that a term that is found again and again is searched once.
//!
//! A search in an archive reads a chunk of its index and a block of terms. A hint knows a term by 92 bits of two keyed
//! hashes, of 64 bits each, and is found by more of them. So a lookup takes a hint for that of another term less often than
//! once in 2^92 times.

use super::entries::MOST_TERMS;
use crate::terms::term::{Kind, TermId};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The hints that a hash may have its own among. They take one cache line.
const WAYS: usize = 4;

/// The sets of hints that are allocated together, once one of them is needed. They take 16 KiB.
const TOGETHER: usize = 256;

/// The most bytes of hints, however large the cache is. A store may be opened with a cache without a limit.
const MOST: usize = 1 << 30;

/// The bits of the number of a term, and 4 for its kind. The other bits of the word are a part of the term's first hash.
const ID_BITS: u32 = MOST_TERMS.ilog2() + 4;

/// The id of a term, which begins with the upper bits of its first hash; and this word, changed by its second hash. If two
/// threads write a hint at the same time, one half of each may remain. That is no hint of any term, since the halves do not
/// fit.
#[derive(Default)]
struct Hint {
    id: AtomicU64,
    sum: AtomicU64,
}

#[derive(Default)]
#[repr(align(64))]
struct Set([Hint; WAYS]);

/// Two hashes of a term with different keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hashes(pub(crate) u64, pub(crate) u64);

/// Hints of terms.
pub(crate) struct Hints {
    sets: Box<[OnceLock<Box<[Set]>>]>,
}

impl Hints {
    /// No hints, of which there may be as many as fit into `bytes`, and at least a few.
    pub(crate) fn new(bytes: usize) -> Self {
        let groups = (bytes.min(MOST) / size_of::<Set>()).div_ceil(TOGETHER).max(1);
        Self { sets: (0..groups).map(|_| OnceLock::new()).collect() }
    }

    /// The id of a term of this kind.
    pub(crate) fn get(&self, kind: Kind, hashes: Hashes) -> Option<TermId> {
        self.set(hashes).0.iter().find_map(|hint| {
            let id = hint.id.load(Ordering::Relaxed);
            let is_it = hint.sum.load(Ordering::Relaxed) ^ id == hashes.1 && id >> ID_BITS == tag(hashes);
            let id = is_it.then(|| unpacked(id))?;
            (id.kind() == Some(kind)).then_some(id)
        })
    }

    /// Keeps the id of a term, instead of another hint if there is no free place.
    pub(crate) fn put(&self, hashes: Hashes, id: TermId) {
        if !self.offer(hashes, id) {
            let ways = &self.set(hashes).0;
            ways[(hashes.1 % WAYS as u64) as usize].write(hashes, id);
        }
    }

    /// Keeps the id of a term if there is a free place. Returns whether there was one.
    pub(crate) fn offer(&self, hashes: Hashes, id: TermId) -> bool {
        let free = |hint: &&Hint| hint.sum.load(Ordering::Relaxed) == 0;
        let free = self.set(hashes).0.iter().find(free);
        free.inspect(|hint| hint.write(hashes, id)).is_some()
    }

    fn set(&self, hashes: Hashes) -> &Set {
        // The upper bits are the tag.
        let group = hashes.0 as usize / TOGETHER % self.sets.len();
        let sets = self.sets[group].get_or_init(|| (0..TOGETHER).map(|_| Set::default()).collect());
        &sets[hashes.0 as usize % TOGETHER]
    }
}

impl Hint {
    fn write(&self, hashes: Hashes, id: TermId) {
        let packed = tag(hashes) << ID_BITS | packed(id);
        self.id.store(packed, Ordering::Relaxed);
        self.sum.store(packed ^ hashes.1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Hints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hints").finish_non_exhaustive()
    }
}

fn tag(hashes: Hashes) -> u64 {
    hashes.0 >> ID_BITS
}

/// The kind is in the upper bits of an id, and moves behind the number.
fn packed(id: TermId) -> u64 {
    id.0.rotate_left(4)
}

fn unpacked(word: u64) -> TermId {
    TermId((word & ((1 << ID_BITS) - 1)).rotate_right(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(n: u64) -> Hashes {
        Hashes(
            n.wrapping_mul(0x9e37_79b9_7f4a_7c15).swap_bytes(),
            (n + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9).swap_bytes(),
        )
    }

    fn id(n: u64) -> TermId {
        TermId::new([Kind::NamedNode, Kind::Literal][n as usize % 2], u64::from(u32::MAX) - n)
    }

    #[test]
    fn the_hint_of_a_term_has_its_id_and_there_is_none_for_others() {
        const TERMS: u64 = 1000;
        let hints = Hints::new(1 << 20);
        (0..TERMS).for_each(|n| hints.put(hashes(n), id(n)));
        for n in 0..TERMS {
            let kind = id(n).kind().unwrap();
            assert_eq!(hints.get(kind, hashes(n)), Some(id(n)));
            assert_eq!(hints.get(Kind::BlankNode, hashes(n)), None);
            let Hashes(first, second) = hashes(n);
            for bit in 0..64 {
                assert_eq!(hints.get(kind, Hashes(first, second ^ 1 << bit)), None);
                if bit >= ID_BITS {
                    assert_eq!(hints.get(kind, Hashes(first ^ 1 << bit, second)), None);
                }
            }
        }
    }

    #[test]
    fn a_cache_without_a_limit_has_hints() {
        let hints = Hints::new(usize::MAX);
        hints.put(hashes(7), id(7));
        assert_eq!(hints.get(id(7).kind().unwrap(), hashes(7)), Some(id(7)));
    }

    #[test]
    fn a_new_hint_replaces_another_one_and_an_offered_one_does_not() {
        const TERMS: u64 = 100_000;
        let hints = Hints::new(0);
        let known = |n: &u64| hints.get(id(*n).kind().unwrap(), hashes(*n)) == Some(id(*n));
        for n in 0..TERMS {
            hints.put(hashes(n), id(n));
            assert!(known(&n));
        }
        let kept = (0..TERMS).filter(known).count();
        assert!((TOGETHER..=TOGETHER * WAYS).contains(&kept), "{kept} hints");
        assert!((TERMS..2 * TERMS).all(|n| !hints.offer(hashes(n), id(n))));
        assert_eq!((0..TERMS).filter(known).count(), kept);
    }

    #[test]
    fn threads_that_write_the_same_hint_leave_none_that_is_wrong() {
        // All these terms have their hints in the same set.
        let same = |n: u64| Hashes(n << 60 | 7, hashes(n).1);
        let hints = Hints::new(0);
        let work = |thread: u64| {
            for n in (0..40_000).map(|n| (n * 7 + thread * 5) % 16) {
                if let Some(found) = hints.get(id(n).kind().unwrap(), same(n)) {
                    assert_eq!(found, id(n));
                }
                hints.put(same(n), id(n));
            }
        };
        let work = &work;
        std::thread::scope(|scope| (0..3).for_each(|thread| _ = scope.spawn(move || work(thread))));
    }
}
