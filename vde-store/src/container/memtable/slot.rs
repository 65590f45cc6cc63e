//! The order of a memtable: by key, then from the newest to the oldest.

use std::borrow::Borrow;
use std::cmp::Ordering;

/// A key with a sequence number; newer ones sort first.
pub(super) struct Slot {
    /// The first bytes of the key as a number. They decide most comparisons, so that the key, which is elsewhere in
    /// memory, is rarely read.
    start: u64,
    pub(super) key: Box<[u8]>,
    pub(super) seq: u64,
}

impl Slot {
    pub(super) fn new(key: Box<[u8]>, seq: u64) -> Self {
        Self { start: start(&key), key, seq }
    }
}

/// Where the slot of `key` with this sequence number would be.
pub(super) fn slot(key: &[u8], seq: u64) -> (u64, &[u8], u64) {
    (start(key), key, seq)
}

/// The first bytes of a key as a number. Different numbers sort as their keys do.
fn start(key: &[u8]) -> u64 {
    let len = key.len().min(8);
    let mut first = [0; 8];
    first[..len].copy_from_slice(&key[..len]);
    u64::from_be_bytes(first)
}

/// Lets the map be searched by a borrowed key.
pub(super) trait AsSlot {
    fn parts(&self) -> (u64, &[u8], u64);
}

impl AsSlot for Slot {
    fn parts(&self) -> (u64, &[u8], u64) {
        (self.start, &self.key, self.seq)
    }
}

impl AsSlot for (u64, &[u8], u64) {
    fn parts(&self) -> (u64, &[u8], u64) {
        *self
    }
}

impl<'a> Borrow<dyn AsSlot + 'a> for Slot {
    fn borrow(&self) -> &(dyn AsSlot + 'a) {
        self
    }
}

#[cfg(test)]
thread_local! {
    static COMPARISONS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// How many slots this thread has compared.
#[cfg(test)]
pub(super) fn comparisons() -> u64 {
    COMPARISONS.get()
}

impl Ord for dyn AsSlot + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        #[cfg(test)]
        COMPARISONS.set(COMPARISONS.get() + 1);
        let ((start, key, seq), (other_start, other_key, other_seq)) = (self.parts(), other.parts());
        start.cmp(&other_start).then_with(|| key.cmp(other_key)).then(other_seq.cmp(&seq))
    }
}

impl PartialOrd for dyn AsSlot + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn AsSlot + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for dyn AsSlot + '_ {}

impl Ord for Slot {
    fn cmp(&self, other: &Self) -> Ordering {
        (self as &dyn AsSlot).cmp(other)
    }
}

impl PartialOrd for Slot {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Slot {}
