//! Iterators over the stripes of a set, from either end.

use core::iter::FusedIterator;

use super::WORD;

/// The lowest bit that is set.
#[inline]
pub(super) fn lowest(word: u64) -> Option<usize> {
    (word != 0).then(|| word.trailing_zeros() as usize)
}

/// The stripes of a [`StripeSet`](crate::StripeSet), ascending. Made by [`iter`](crate::StripeSet::iter).
///
/// # Examples
///
/// ```
/// let set = stripe_lock::StripeSet::all(3);
/// assert_eq!(set.iter().sum::<usize>(), 3);
/// ```
#[derive(Clone, Debug)]
pub struct Iter<'a>(pub(super) Source<'a>);

/// The bits of a word, ascending.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bits(pub(crate) u64);

impl Iterator for Bits {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let bit = lowest(self.0)?;
        self.0 &= self.0 - 1;
        Some(bit)
    }
}

impl DoubleEndedIterator for Bits {
    #[inline]
    fn next_back(&mut self) -> Option<usize> {
        let bit = self.0.checked_ilog2()?;
        self.0 &= !(1 << bit);
        Some(bit as usize)
    }
}

#[derive(Clone, Debug)]
pub(super) enum Source<'a> {
    Word(Bits),
    Few(core::slice::Iter<'a, u32>),
    Map(Words<'a>),
}

/// An iteration over a bit map from both ends. Three parts are left to visit, in this order: `front` (bits of the
/// word before `between`), the words `between`, and `back` (bits of the word after them). `base` is the index of the
/// first word of `between`.
#[derive(Clone, Debug)]
pub(super) struct Words<'a> {
    between: &'a [u64],
    base: usize,
    front: Bits,
    back: Bits,
}

impl<'a> Words<'a> {
    pub(super) fn new(words: &'a [u64]) -> Self {
        Self { between: words, base: 0, front: Bits(0), back: Bits(0) }
    }
}

impl Words<'_> {
    fn next(&mut self) -> Option<usize> {
        loop {
            if let Some(bit) = self.front.next() {
                return Some((self.base - 1) * WORD + bit);
            }
            let Some((&first, rest)) = self.between.split_first() else {
                return self.back.next().map(|bit| self.base * WORD + bit);
            };
            (self.front, self.between, self.base) = (Bits(first), rest, self.base + 1);
        }
    }

    fn next_back(&mut self) -> Option<usize> {
        loop {
            if let Some(bit) = self.back.next_back() {
                return Some((self.base + self.between.len()) * WORD + bit);
            }
            let Some((&last, rest)) = self.between.split_last() else {
                return self.front.next_back().map(|bit| (self.base - 1) * WORD + bit);
            };
            (self.back, self.between) = (Bits(last), rest);
        }
    }
}

impl Iterator for Iter<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        match &mut self.0 {
            Source::Word(bits) => bits.next(),
            Source::Few(sorted) => sorted.next().map(|&stripe| stripe as usize),
            Source::Map(words) => words.next(),
        }
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<usize> {
        match &mut self.0 {
            Source::Word(bits) => bits.next_back(),
            Source::Few(sorted) => sorted.next_back().map(|&stripe| stripe as usize),
            Source::Map(words) => words.next_back(),
        }
    }
}

impl FusedIterator for Iter<'_> {}
