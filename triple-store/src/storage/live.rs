//! Which terms are needed.

use crate::terms::term::TermId;

/// A set of terms of the dictionary, by their numbers.
#[derive(Debug)]
pub(crate) struct Live(Vec<u64>);

impl Live {
    /// An empty set of terms with numbers below `end`.
    pub(crate) fn new(end: u64) -> Self {
        Self(vec![0; end.div_ceil(64) as usize])
    }

    /// Adds the term with this id, if it is one of the dictionary.
    pub(crate) fn mark(&mut self, id: u64) {
        let number = TermId(id).dictionary_index();
        if let Some(number) = number
            && let Some(word) = self.0.get_mut((number / 64) as usize)
        {
            *word |= 1 << (number % 64);
        }
    }

    pub(crate) fn has(&self, id: TermId) -> bool {
        let number = id.payload();
        self.0.get((number / 64) as usize).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }
}
