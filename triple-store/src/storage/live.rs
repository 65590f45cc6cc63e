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
}

impl Live {
    /// An empty set of terms with these numbers, and perhaps a few around them.
    pub(crate) fn new(numbers: Range<u64>) -> Self {
        let first = numbers.start / 64 * 64;
        let words = numbers.end.saturating_sub(first).div_ceil(64);
        Self { first, words: (0..words).map(|_| AtomicU64::new(0)).collect() }
    }

    /// The word and the bit of a number.
    fn place(&self, number: u64) -> Option<(&AtomicU64, u64)> {
        let number = number.checked_sub(self.first)?;
        Some((self.words.get((number / 64) as usize)?, 1 << (number % 64)))
    }

    /// Adds the term with this id, if it is one of the dictionary, and its number is one of the set's.
    pub(crate) fn mark(&self, id: TermId) {
        let place = id.dictionary_index().and_then(|number| self.place(number));
        if let Some((word, bit)) = place.filter(|(word, bit)| word.load(Ordering::Relaxed) & bit == 0) {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    pub(crate) fn has(&self, id: TermId) -> bool {
        self.place(id.payload()).is_some_and(|(word, bit)| word.load(Ordering::Relaxed) & bit != 0)
    }

    /// How many of these numbers it has, the first of which is a multiple of 64.
    pub(crate) fn count_of(&self, numbers: Range<u64>) -> u64 {
        let count = |number| {
            self.place(number).map_or(0, |(word, _)| u64::from(word.load(Ordering::Relaxed).count_ones()))
        };
        numbers.step_by(64).map(count).sum()
    }
}
