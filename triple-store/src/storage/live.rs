//! Which terms are needed.

use crate::terms::term::TermId;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// A set of terms of the dictionary, by their numbers.
#[derive(Debug)]
pub(crate) struct Live {
    /// A multiple of 64.
    first: u64,
    words: Vec<AtomicU64>,
    /// Whether the set has all numbers behind the last word.
    has_later: bool,
}

impl Live {
    /// An empty set of terms with these numbers, and perhaps a few around them.
    pub(crate) fn new(numbers: Range<u64>) -> Self {
        let first = numbers.start / 64 * 64;
        let words = numbers.end.saturating_sub(first).div_ceil(64);
        Self { first, words: (0..words).map(|_| AtomicU64::new(0)).collect(), has_later: false }
    }

    /// A set that has all terms with the number `next` or a later one, and no other.
    pub(crate) fn all_from(next: u64) -> Self {
        let mut live = Self::new(0..next);
        if let Some(last) = live.words.last_mut()
            && !next.is_multiple_of(64)
        {
            *last.get_mut() = u64::MAX << (next % 64);
        }
        Self { has_later: true, ..live }
    }

    /// The word and the bit of a number.
    fn place(&self, number: u64) -> Option<(&AtomicU64, u64)> {
        let number = number.checked_sub(self.first)?;
        Some((self.words.get((number / 64) as usize)?, 1 << (number % 64)))
    }

    /// Adds the term with this id, if it is one of the dictionary, and its number is one of the set's.
    pub(crate) fn mark(&self, id: TermId) {
        self.add(id);
    }

    /// [`mark`](Self::mark). Returns whether the set did not have the term.
    pub(crate) fn add(&self, id: TermId) -> bool {
        let place = id.dictionary_index().and_then(|number| self.place(number));
        place.is_some_and(|(word, bit)| {
            word.load(Ordering::Relaxed) & bit == 0 && word.fetch_or(bit, Ordering::Relaxed) & bit == 0
        })
    }

    pub(crate) fn has(&self, id: TermId) -> bool {
        let place = self.place(id.payload());
        place.map_or(self.has_later, |(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }

    /// How many of these numbers it has, the first of which is a multiple of 64.
    pub(crate) fn count_of(&self, numbers: Range<u64>) -> u64 {
        let later = if self.has_later { 64 } else { 0 };
        let count = |number| {
            self.place(number).map_or(later, |(word, _)| u64::from(word.load(Ordering::Relaxed).count_ones()))
        };
        numbers.step_by(64).map(count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terms::term::Kind;

    #[test]
    fn a_set_with_all_later_terms_has_those_and_the_marked_ones() {
        let id = |number| TermId::new(Kind::NamedNode, number);
        for next in [0, 1, 63, 64, 65, 300] {
            let live = Live::all_from(next);
            assert!((0..next).all(|number| !live.has(id(number))));
            assert!((next..next + 200).all(|number| live.has(id(number)) && !live.add(id(number))));
            assert!((0..next).step_by(7).all(|number| live.add(id(number)) && !live.add(id(number))));
            assert!((0..next).all(|number| live.has(id(number)) == number.is_multiple_of(7)));
            let has = |numbers: Range<u64>| numbers.filter(|number| live.has(id(*number))).count() as u64;
            assert_eq!(live.count_of(0..640), has(0..640));
        }
    }
}
