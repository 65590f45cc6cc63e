//! Which stripes an operation needs, in the one order in which they may be taken.
//!
//! Every operation of this crate that holds more than one stripe gets them from a [`StripeSet`], and a `StripeSet`
//! yields them in ascending order. So these operations can't deadlock with each other. No other module sorts stripes.

use alloc::boxed::Box;
use alloc::vec;
use core::fmt;

use crate::shared::striped::MAX_STRIPES;

mod iter;

pub(crate) use iter::Bits;
pub use iter::Iter;
use iter::{Source, Words, lowest};

/// How many stripes a set holds without a heap allocation if there are more than 64 to choose from.
const INLINE: usize = 16;

const WORD: usize = u64::BITS as usize;

/// A set of stripes, iterated in ascending order, whatever the order in which they were inserted.
///
/// With at most 64 stripes to choose from, it is one machine word. With more, it takes no heap memory while it holds at most 16
/// stripes; beyond that it is a bit map with one bit for each stripe.
///
/// # Examples
///
/// ```
/// use stripe_lock::StripeSet;
///
/// let mut set = StripeSet::empty(1024);
/// for stripe in [700, 3, 700, 41] {
///     set.insert(stripe);
/// }
/// assert!(set.iter().eq([3, 41, 700]));
/// ```
#[derive(Clone)]
pub struct StripeSet {
    stripes: u32,
    repr: Repr,
}

#[derive(Clone)]
enum Repr {
    /// At most 64 stripes to choose from: bit `i` stands for stripe `i`.
    Word(u64),
    /// At most 16 of many: the first `len` are ascending, without duplicates.
    Few { len: u8, sorted: [u32; INLINE] },
    /// More than 16 of many: bit `i % 64` of word `i / 64` stands for stripe `i`.
    Map(Box<[u64]>),
}

impl StripeSet {
    /// An empty set of stripes with indices below `stripes`.
    ///
    /// # Panics
    ///
    /// If `stripes` is more than [`MAX_STRIPES`](crate::MAX_STRIPES).
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(stripe_lock::StripeSet::empty(64).is_empty());
    /// ```
    #[inline]
    pub fn empty(stripes: usize) -> Self {
        let repr = if stripes <= WORD {
            Repr::Word(0)
        } else {
            check_count(stripes);
            Repr::Few { len: 0, sorted: [0; INLINE] }
        };
        Self { stripes: stripes as u32, repr }
    }

    /// The set of all indices below `stripes`.
    ///
    /// # Panics
    ///
    /// If `stripes` is more than [`MAX_STRIPES`](crate::MAX_STRIPES).
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(stripe_lock::StripeSet::all(4).iter().eq(0..4));
    /// ```
    pub fn all(stripes: usize) -> Self {
        let ones = |bits: usize| if bits == 0 { 0 } else { u64::MAX >> (WORD - bits) };
        let repr = if stripes <= WORD {
            Repr::Word(ones(stripes))
        } else {
            check_count(stripes);
            let mut words = vec![u64::MAX; stripes.div_ceil(WORD)];
            if let Some(last) = words.last_mut() {
                *last = ones(stripes - (stripes - 1) / WORD * WORD);
            }
            Repr::Map(words.into_boxed_slice())
        };
        Self { stripes: stripes as u32, repr }
    }

    /// The set of `indices`, in whatever order they come.
    #[inline]
    pub(crate) fn collect(stripes: usize, indices: impl Iterator<Item = usize>) -> Self {
        if stripes <= WORD {
            let word = indices.fold(0, |word, index| word | 1_u64 << index);
            Self { stripes: stripes as u32, repr: Repr::Word(word) }
        } else {
            let mut set = Self::empty(stripes);
            set.insert_each(indices);
            set
        }
    }

    /// Fills the set in place, because a set that was just written piece by piece is slow to copy.
    #[inline(never)]
    fn insert_each(&mut self, indices: impl Iterator<Item = usize>) {
        if indices.size_hint().0 > INLINE {
            self.repr = Repr::Map(spread(&[], self.stripes as usize));
        }
        for index in indices {
            self.insert(index);
        }
    }

    /// The stripes as bits of one word, if there are at most 64 to choose from. The fast paths are for this case.
    #[inline]
    pub(crate) fn bits(&self) -> Option<Bits> {
        if let Repr::Word(word) = self.repr { Some(Bits(word)) } else { None }
    }

    /// The position of a stripe among the stripes of the set, below 64, if the set takes no heap memory. It changes
    /// when stripes are added.
    #[cfg(feature = "async")]
    #[inline]
    pub(crate) fn position(&self, stripe: usize) -> Option<usize> {
        match &self.repr {
            Repr::Word(_) => Some(stripe),
            Repr::Few { len, sorted } => {
                sorted[..usize::from(*len)].iter().position(|&held| held as usize == stripe)
            }
            Repr::Map(_) => None,
        }
    }

    /// Moves the set out, and leaves an empty set or the same one. A set of one word is copied as one word. Moving
    /// the whole value just after a part was written would copy all of its memory, and wait for that write.
    #[cfg(feature = "async")]
    #[inline]
    pub(crate) fn take(&mut self) -> Self {
        match self.bits() {
            Some(bits) => bits.into(),
            None => core::mem::replace(self, Self { stripes: self.stripes, repr: Repr::Word(0) }),
        }
    }

    /// Adds a stripe, and returns whether it was new.
    ///
    /// # Panics
    ///
    /// If `stripe` is not below the number of stripes that the set was made for.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut set = stripe_lock::StripeSet::empty(64);
    /// assert!(set.insert(5));
    /// assert!(!set.insert(5));
    /// ```
    #[inline]
    pub fn insert(&mut self, stripe: usize) -> bool {
        assert!(stripe < self.stripes as usize, "stripe {stripe} of {}", self.stripes);
        match &mut self.repr {
            Repr::Word(word) => set_bit(word, stripe),
            Repr::Few { len, sorted } => {
                let (stripe, held) = (stripe as u32, usize::from(*len));
                if sorted[..held].contains(&stripe) {
                    return false;
                }
                if held == INLINE {
                    let mut words = spread(sorted, self.stripes as usize);
                    set_bit(&mut words[stripe as usize / WORD], stripe as usize % WORD);
                    self.repr = Repr::Map(words);
                    return true;
                }
                let mut at = held;
                while at > 0 && sorted[at - 1] > stripe {
                    sorted[at] = sorted[at - 1];
                    at -= 1;
                }
                sorted[at] = stripe;
                *len += 1;
                true
            }
            Repr::Map(words) => set_bit(&mut words[stripe / WORD], stripe % WORD),
        }
    }

    /// Removes a stripe, and returns whether it was in the set.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut set = stripe_lock::StripeSet::all(4);
    /// assert!(set.remove(2));
    /// assert!(!set.remove(2) && set.iter().eq([0, 1, 3]));
    /// ```
    pub fn remove(&mut self, stripe: usize) -> bool {
        let held = self.contains(stripe);
        match &mut self.repr {
            _ if !held => (),
            Repr::Word(word) => *word &= !(1 << stripe),
            Repr::Few { len, sorted } => {
                let rank = sorted[..usize::from(*len)].partition_point(|&other| (other as usize) < stripe);
                sorted.copy_within(rank + 1..usize::from(*len), rank);
                *len -= 1;
            }
            Repr::Map(words) => words[stripe / WORD] &= !(1 << (stripe % WORD)),
        }
        held
    }

    /// Whether a stripe is in the set.
    ///
    /// # Examples
    ///
    /// ```
    /// let set = stripe_lock::StripeSet::all(4);
    /// assert!(set.contains(3) && !set.contains(4));
    /// ```
    #[inline]
    pub fn contains(&self, stripe: usize) -> bool {
        self.next_from(stripe) == Some(stripe)
    }

    /// How many stripes are in the set.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(stripe_lock::StripeSet::all(128).len(), 128);
    /// ```
    #[inline]
    pub fn len(&self) -> usize {
        match &self.repr {
            Repr::Word(word) => word.count_ones() as usize,
            Repr::Few { len, .. } => usize::from(*len),
            Repr::Map(words) => words.iter().map(|word| word.count_ones() as usize).sum(),
        }
    }

    /// Whether no stripe is in the set.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(!stripe_lock::StripeSet::all(1).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.first().is_none()
    }

    /// The lowest stripe.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(stripe_lock::StripeSet::all(8).first(), Some(0));
    /// ```
    #[inline]
    pub fn first(&self) -> Option<usize> {
        self.next_from(0)
    }

    /// The highest stripe.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(stripe_lock::StripeSet::all(8).last(), Some(7));
    /// ```
    #[inline]
    pub fn last(&self) -> Option<usize> {
        self.iter().next_back()
    }

    /// The lowest stripe that is `stripe` or above: one step of an iteration that can be interrupted.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut set = stripe_lock::StripeSet::empty(128);
    /// set.insert(9);
    /// assert_eq!(set.next_from(9), Some(9));
    /// assert_eq!(set.next_from(10), None);
    /// ```
    #[inline]
    pub fn next_from(&self, stripe: usize) -> Option<usize> {
        match &self.repr {
            Repr::Word(_) if stripe >= WORD => None,
            Repr::Word(word) => lowest(word >> stripe).map(|bit| bit + stripe),
            Repr::Few { len, sorted } => {
                let held = &sorted[..usize::from(*len)];
                held.iter().map(|&held| held as usize).find(|&held| held >= stripe)
            }
            Repr::Map(words) => {
                let word = words.get(stripe / WORD)?;
                if let Some(bit) = lowest(word >> (stripe % WORD)) {
                    return Some(stripe + bit);
                }
                let at = stripe / WORD + 1;
                words[at..].iter().zip(at..).find_map(|(&word, at)| lowest(word).map(|bit| at * WORD + bit))
            }
        }
    }

    /// The stripes in ascending order; reversed, in descending order.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(stripe_lock::StripeSet::all(3).iter().rev().eq([2, 1, 0]));
    /// ```
    #[inline]
    pub fn iter(&self) -> Iter<'_> {
        Iter(match &self.repr {
            Repr::Word(word) => Source::Word(Bits(*word)),
            Repr::Few { len, sorted } => Source::Few(sorted[..usize::from(*len)].iter()),
            Repr::Map(words) => Source::Map(Words::new(words)),
        })
    }
}

/// Panics on more stripes than the 32 bits of an index admit.
fn check_count(stripes: usize) {
    assert!(stripes <= MAX_STRIPES, "a set has at most {MAX_STRIPES} stripes, got {stripes}");
}

/// Sets a bit, and returns whether it was clear.
#[inline]
fn set_bit(word: &mut u64, bit: usize) -> bool {
    let before = *word;
    *word |= 1 << bit;
    *word != before
}

fn spread(sorted: &[u32], stripes: usize) -> Box<[u64]> {
    let mut words = vec![0; stripes.div_ceil(WORD)].into_boxed_slice();
    for &stripe in sorted {
        set_bit(&mut words[stripe as usize / WORD], stripe as usize % WORD);
    }
    words
}

impl From<Bits> for StripeSet {
    #[inline]
    fn from(Bits(word): Bits) -> Self {
        Self { stripes: u64::BITS, repr: Repr::Word(word) }
    }
}

impl fmt::Debug for StripeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl PartialEq for StripeSet {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for StripeSet {}

impl<'a> IntoIterator for &'a StripeSet {
    type Item = usize;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

#[cfg(test)]
mod tests;
