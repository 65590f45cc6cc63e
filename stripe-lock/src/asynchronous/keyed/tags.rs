//! The tags of the keys of a guard or a future.

use super::bucket::Bucket;
use super::set::Buckets;

/// Identifies a key by 63 bits of its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub(super) u64);

impl Tag {
    /// Belongs to no key. It stands for every key of a bucket.
    pub(super) const EVERY: Self = Self(0);

    /// Neither `FREE` nor `IN_TABLE`, so a tag has 63 bits of the hash.
    #[inline(always)]
    pub(super) fn new(hash: u64) -> Self {
        Self(hash | 2)
    }

    #[inline(always)]
    pub(super) fn to_bits(self) -> u64 {
        self.0
    }
}

/// Some tags: each once, in ascending order. Private, for guards and futures alone.
pub trait Tags: Clone + Send + Sync + Unpin + 'static {
    /// Whether they stand for every possible key.
    const EVERY: bool = false;

    /// All tags.
    fn all(&self) -> &[Tag];

    /// How many acquisitions they take, each in one bucket.
    #[inline(always)]
    fn count(&self, _: &Buckets) -> usize {
        self.all().len()
    }

    /// The acquisition at this place in the order.
    #[inline(always)]
    fn at<'b>(&self, place: usize, buckets: &'b Buckets) -> (&'b Bucket, Tag) {
        let tag = self.all()[place];
        (buckets.of(tag), tag)
    }
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct One([Tag; 1]);

impl One {
    #[inline(always)]
    pub(super) fn of(tag: Tag) -> Self {
        Self([tag])
    }
}

impl Tags for One {
    #[inline(always)]
    fn all(&self) -> &[Tag] {
        &self.0
    }
}

/// Every key: in each bucket, all possible keys.
#[derive(Clone, Copy, Debug)]
pub struct Every;

impl Tags for Every {
    const EVERY: bool = true;

    fn all(&self) -> &[Tag] {
        &[Tag::EVERY]
    }

    fn count(&self, buckets: &Buckets) -> usize {
        buckets.count()
    }

    fn at<'b>(&self, place: usize, buckets: &'b Buckets) -> (&'b Bucket, Tag) {
        (buckets.nth(place), Tag::EVERY)
    }
}

/// How many tags are stored without an allocation. With more, a guard has more than 128 bytes, and the compiler moves it by
/// a call of `memcpy`, which takes longer than an allocation takes for a few keys more.
const FEW: usize = 12;

/// Several keys.
#[derive(Clone, Debug)]
pub struct Many {
    /// How many of the slots have a tag that counts.
    len: usize,
    slots: Slots,
}

#[derive(Clone, Debug)]
enum Slots {
    Few([Tag; FEW]),
    More(Vec<Tag>),
}

impl Many {
    /// No keys.
    #[inline(always)]
    pub(super) fn none() -> Self {
        Self { len: 0, slots: Slots::Few([Tag(0); FEW]) }
    }

    #[inline]
    pub(super) fn of(tags: impl Iterator<Item = Tag>) -> Self {
        let mut many = Self::none();
        many.len = many.gather(tags);
        many
    }

    /// Puts these tags into the slots of no keys, each once and in ascending order, and returns how many there are. They
    /// do not count yet.
    #[inline(always)]
    pub(super) fn gather(&mut self, mut tags: impl Iterator<Item = Tag>) -> usize {
        let Slots::Few(few) = &mut self.slots else { unreachable!("no keys need no heap") };
        let mut len = 0;
        while let Some(tag) = tags.next() {
            if len == FEW {
                let more = Self::sorted(few.iter().copied().chain([tag]).chain(tags).collect());
                len = more.len();
                self.slots = Slots::More(more);
                return len;
            }
            // No `copy_within`: a call takes longer than the few steps.
            let mut at = len;
            few[at] = tag;
            while at > 0 && few[at - 1] > tag {
                few.swap(at - 1, at);
                at -= 1;
            }
            len += 1;
            if at > 0 && few[at - 1] == tag {
                few.copy_within(at + 1..len, at);
                len -= 1;
            }
        }
        len
    }

    /// The tags in the first slots, whether they count or not.
    #[inline(always)]
    pub(super) fn first(&self, len: usize) -> &[Tag] {
        match &self.slots {
            Slots::Few(tags) => &tags[..len],
            Slots::More(tags) => &tags[..len],
        }
    }

    /// Lets the tags in the first slots count.
    #[inline(always)]
    pub(super) fn count_first(&mut self, len: usize) {
        self.len = len;
    }

    pub(super) fn insert(&mut self, tag: Tag) {
        *self = Self::of(self.all().iter().copied().chain([tag]));
    }

    /// Returns whether the tag was there.
    pub(super) fn remove(&mut self, tag: Tag) -> bool {
        let Ok(at) = self.all().binary_search(&tag) else { return false };
        let slots: &mut [Tag] = match &mut self.slots {
            Slots::Few(tags) => tags,
            Slots::More(tags) => tags,
        };
        slots.copy_within(at + 1..self.len, at);
        self.len -= 1;
        true
    }

    #[cold]
    fn sorted(mut tags: Vec<Tag>) -> Vec<Tag> {
        tags.sort_unstable();
        tags.dedup();
        tags
    }
}

impl Tags for Many {
    #[inline]
    fn all(&self) -> &[Tag] {
        self.first(self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tag_once_and_in_order() {
        for count in [0_u64, 1, 2, 15, 16, 17, 18, 100] {
            let hashes = || (0..count).map(|n| (n * 7 % count.max(1)) << 2);
            let once = Many::of(hashes().map(Tag::new));
            let twice = Many::of(hashes().chain(hashes()).map(Tag::new));
            let sorted: Vec<_> = (0..count).map(|n| Tag::new(n << 2)).collect();

            assert_eq!(once.all(), sorted, "{count}");
            assert_eq!(twice.all(), sorted, "{count}");

            let mut some = Many::of(std::iter::empty());
            sorted.iter().rev().for_each(|&tag| some.insert(tag));
            assert_eq!(some.all(), sorted, "{count}");
            let (odd, even): (Vec<_>, Vec<_>) = sorted.iter().partition(|tag| tag.to_bits() & 4 != 0);
            assert!(odd.iter().all(|&tag| some.remove(tag)) && !odd.iter().any(|&tag| some.remove(tag)));
            assert_eq!(some.all(), even, "{count}");
        }
    }
}
