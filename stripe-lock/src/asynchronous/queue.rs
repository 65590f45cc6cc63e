//! The queues of a set: the nodes of waiters, linked from within their pinned futures.
//!
//! Each stripe with waiters has a *head*, which points to the first and the last node of its queue. So joining, being
//! served and leaving take a constant number of steps, however many waiters there are. Neighbouring stripes share a
//! *bucket*, which is a mutex over their heads.
//!
//! A node is in one of six states: see their table in [`node`].

mod node;

use std::ptr::NonNull;

use crossbeam_utils::CachePadded;

use super::instrument::{Moment, Monitor, Tally};
use super::sync::{FEWEST_SLOTS, Mutex, MutexGuard, SPINNING, buckets};
use super::word::Mode;
use crate::shared::spin::Patience;

use node::Link;
pub(super) use node::{Fields, Node, State};

/// The queue of one stripe.
#[derive(Default)]
pub(super) struct Head {
    first: Link,
    last: Link,
    len: u32,
    /// How many waiters of the queue, from the first on, are handed the stripe without competing for it.
    pub(super) hand_overs: u32,
    /// The index of the stripe plus 1, or 0 in a vacant slot.
    stripe: u32,
    /// How many permits were added to the stripe of a semaphore, less those taken away for good.
    pub(super) permits_added: i32,
    pub(super) tally: Tally,
}

/// The memory of a stripe with waiters. The feature `stats` needs more room.
#[cfg(not(any(loom, feature = "stats")))]
const _: () = assert!(size_of::<Head>() <= 32);

/// In all unsafe methods, `node` and every node linked in this queue are alive, pinned and open, and the caller holds
/// the lock of the bucket. [`Waiter`](super::waiter::Waiter) guarantees that.
impl Head {
    fn name(stripe: usize) -> u32 {
        stripe as u32 + 1
    }

    pub(super) fn first(&self) -> Link {
        self.first
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// The node behind `node`.
    #[inline]
    pub(super) unsafe fn behind(node: NonNull<Node>) -> Link {
        // SAFETY: a linked node of this queue, whose bucket is locked.
        unsafe { node.as_ref().with(|fields| fields.next) }
    }

    /// Links `node`, which asks for `mode` of the stripe with this word: as the first node if it upgrades, otherwise
    /// as the last.
    #[inline]
    pub(super) unsafe fn join(&mut self, node: NonNull<Node>, stripe: usize, mode: Mode, word: u32) {
        let (prev, next) = if mode == Mode::Upgrade { (None, self.first) } else { (self.last, None) };
        // SAFETY: `node` is not linked and the caller's; the others are linked in this queue, whose bucket is locked.
        unsafe {
            node.as_ref().with(|fields| {
                (fields.prev, fields.next, fields.mode) = (prev, next, mode.pack());
                fields.note.since = Moment::now();
                self.tally.joins(word, fields.key);
            });
            match prev {
                Some(prev) => prev.as_ref().with(|fields| fields.next = Some(node)),
                None => self.first = Some(node),
            }
            match next {
                Some(next) => {
                    next.as_ref().with(|fields| fields.prev = Some(node));
                    // It may have been woken to compete. It is not the first any more, so it waits again.
                    next.as_ref().set_state(State::Waiting(stripe));
                }
                None => self.last = Some(node),
            }
            node.as_ref().set_state(State::Waiting(stripe));
        }
        self.len += 1;
    }

    /// Unlinks `node`. Returns whether it was the first.
    ///
    /// Its state is still that of a queued node. Until the caller has changed that, the lock of the bucket protects it.
    #[inline]
    pub(super) unsafe fn quit(&mut self, node: NonNull<Node>, served: bool) -> bool {
        // SAFETY: linked nodes of this queue, whose bucket is locked.
        unsafe {
            let (prev, next) = node.as_ref().with(|fields| {
                self.tally.leaves(fields.note.since, served);
                (fields.prev.take(), fields.next.take())
            });
            match prev {
                Some(prev) => prev.as_ref().with(|fields| fields.next = next),
                None => self.first = next,
            }
            match next {
                Some(next) => next.as_ref().with(|fields| fields.prev = prev),
                None => self.last = prev,
            }
            self.len = self.len.checked_sub(1).expect("the node is queued at this stripe");
            prev.is_none()
        }
    }

    /// Calls `see` with every node, from the first on.
    #[cfg(feature = "diagnose")]
    pub(super) unsafe fn each(&self, mut see: impl FnMut(&Node, &mut Fields)) {
        let mut at = self.first;
        while let Some(node) = at {
            // SAFETY: linked nodes of this queue, whose bucket is locked.
            unsafe {
                node.as_ref().with(|fields| see(node.as_ref(), fields));
                at = Self::behind(node);
            }
        }
    }
}

const _: () = assert!(FEWEST_SLOTS >= 2, "one slot that is taken leaves none vacant");

/// The heads of those neighbouring stripes that have waiters: a hash table with linear probing. It takes 4 slots when
/// a stripe is first waited for, and doubles while it is more than three quarters full, up to a slot for each stripe
/// of the bucket. So every operation takes a bounded number of steps, and the memory follows the number of queues.
#[derive(Default)]
pub(super) struct Bucket {
    /// The home of a stripe is the slot of its number, modulo the number of slots. While there are fewer slots than
    /// stripes, at least one slot is vacant, and a search ends there. Once there are as many slots as stripes, every
    /// head is at home.
    slots: Box<[Head]>,
    used: usize,
}

impl Bucket {
    /// The slot of the stripe's head; or, as the error, the slot that it would get.
    #[inline]
    fn search(&self, stripe: usize) -> Result<usize, usize> {
        let mask = self.slots.len() - 1;
        let mut at = stripe & mask;
        loop {
            match self.slots[at].stripe {
                0 => return Err(at),
                name if name == Head::name(stripe) => return Ok(at),
                _ => at = (at + 1) & mask,
            }
        }
    }

    #[inline]
    fn find(&self, stripe: usize) -> Option<usize> {
        if self.slots.is_empty() { None } else { self.search(stripe).ok() }
    }

    /// Inserts a head for a stripe that has none. Grows the table first, if it has to.
    fn insert(&mut self, stripe: usize, stripes: usize) -> usize {
        if 4 * (self.used + 1) > 3 * self.slots.len() && self.slots.len() < stripes {
            let more = (2 * self.slots.len()).max(FEWEST_SLOTS).min(stripes);
            let slots = std::iter::repeat_with(Head::default).take(more).collect();
            for head in std::mem::replace(&mut self.slots, slots) {
                if head.stripe != 0 {
                    let (Ok(at) | Err(at)) = self.search(head.stripe as usize - 1);
                    self.slots[at] = head;
                }
            }
        }
        let (Ok(at) | Err(at)) = self.search(stripe);
        self.slots[at].stripe = Head::name(stripe);
        self.used += 1;
        at
    }

    /// Makes a slot vacant, and moves later heads that are not at home towards their homes.
    fn remove(&mut self, mut vacant: usize, stripes: usize) {
        self.slots[vacant] = Head::default();
        self.used -= 1;
        if self.slots.len() == stripes {
            return;
        }
        let mask = self.slots.len() - 1;
        let mut at = vacant;
        loop {
            at = (at + 1) & mask;
            let name = self.slots[at].stripe;
            if name == 0 {
                return;
            }
            let from_home = at.wrapping_sub(name as usize - 1) & mask;
            if from_home >= at.wrapping_sub(vacant) & mask {
                self.slots.swap(at, vacant);
                vacant = at;
            }
        }
    }
}

// SAFETY: the nodes that the heads lead to are touched under the lock of the bucket, by whichever thread holds it.
unsafe impl Send for Bucket {}

// Code of the caller's, which may panic, runs while no bucket is locked.
impl std::panic::UnwindSafe for Bucket {}

/// A bucket and, outside its lock, how long waiters for its stripes spin.
struct Shard {
    bucket: Mutex<Bucket>,
    patience: Patience,
}

/// The queues of all stripes of a set.
pub struct Queue {
    /// One shard for each range of neighbouring stripes.
    shards: Box<[CachePadded<Shard>]>,
    /// The shard of stripe `i` is `i >> shift`.
    shift: u32,
    /// Whether every stripe is handed to the first waiter, so that no newcomer overtakes.
    pub(super) strict: bool,
    /// How many permits each stripe of a semaphore had at first.
    pub(super) permits: u32,
    pub(super) monitor: Monitor,
}

impl Queue {
    pub(super) fn new(stripes: usize) -> Self {
        let shards = buckets(stripes).min(stripes);
        let shard = || Shard { bucket: Mutex::new(Bucket::default()), patience: Patience::new(SPINNING) };
        Self {
            shards: (0..shards).map(|_| CachePadded::new(shard())).collect(),
            shift: (stripes / shards).ilog2(),
            strict: false,
            permits: 0,
            monitor: Monitor::new(stripes),
        }
    }

    #[inline]
    fn shard_of(&self, stripe: usize) -> usize {
        stripe >> self.shift
    }

    #[inline]
    fn stripes_per_bucket(&self) -> usize {
        1 << self.shift
    }

    #[inline]
    pub(super) fn patience(&self, stripe: usize) -> &Patience {
        &self.shards[self.shard_of(stripe)].patience
    }

    /// Locks the bucket of a stripe.
    #[inline]
    pub(super) fn lock(&self, stripe: usize) -> Locked<'_> {
        let shard = self.shard_of(stripe);
        Locked { queue: self, shard, bucket: self.shards[shard].bucket.lock() }
    }

    /// Locks the bucket in which a node is queued, and returns the stripe too. `None` if the node has left its queue.
    #[inline]
    pub(super) fn lock_node(&self, node: &Node) -> Option<(Locked<'_>, usize)> {
        loop {
            let locked = self.lock(node.state().queued_at()?);
            // A release may have moved the node to another queue before the lock was taken. From here on, no release
            // can move it.
            let stripe = node.state().queued_at()?;
            if locked.holds(stripe) {
                return Some((locked, stripe));
            }
        }
    }
}

/// A locked bucket.
pub(super) struct Locked<'q> {
    queue: &'q Queue,
    shard: usize,
    bucket: MutexGuard<'q, Bucket>,
}

impl Locked<'_> {
    /// Whether it is the bucket of this stripe.
    #[inline]
    pub(super) fn holds(&self, stripe: usize) -> bool {
        self.queue.shard_of(stripe) == self.shard
    }

    /// The head of a stripe of the bucket.
    #[inline]
    pub(super) fn head(&mut self, stripe: usize) -> &mut Head {
        let at = match self.bucket.find(stripe) {
            Some(at) => at,
            None => self.bucket.insert(stripe, self.queue.stripes_per_bucket()),
        };
        &mut self.bucket.slots[at]
    }

    /// The head of a stripe of the bucket, if the stripe has one.
    pub(super) fn known_head(&self, stripe: usize) -> Option<&Head> {
        self.bucket.find(stripe).map(|at| &self.bucket.slots[at])
    }

    /// Removes the head of a stripe if it has no waiters, no added permits and no counts.
    #[inline]
    pub(super) fn tidy(&mut self, stripe: usize) {
        let Some(at) = self.bucket.find(stripe) else { return };
        let head = &self.bucket.slots[at];
        if head.len == 0 && head.permits_added == 0 && head.tally.is_empty() {
            self.bucket.remove(at, self.queue.stripes_per_bucket());
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_stripe_has_one_head() {
        for stripes in [1, 2, 64, 4096, 1 << 18] {
            let queue = Queue::new(stripes);
            // The steps give neighbours, stripes with the same home, all stripes of a bucket, and none. They are
            // removed in another order.
            for step in [1, 4, 32, 128, 4097] {
                let some = || (0..stripes).step_by(step).take(1000).zip(1..);
                for (stripe, mark) in some() {
                    assert!(queue.lock(stripe).known_head(stripe).is_none());
                    queue.lock(stripe).head(stripe).permits_added = mark;
                }
                for third in [2, 0, 1] {
                    for (stripe, mark) in some().skip(third).step_by(3) {
                        let mut locked = queue.lock(stripe);
                        locked.tidy(stripe);
                        assert_eq!(locked.known_head(stripe).unwrap().permits_added, mark);
                        locked.head(stripe).permits_added = 0;
                        locked.tidy(stripe);
                        assert!(locked.known_head(stripe).is_none());
                    }
                }
            }
            let mut slots: Vec<usize> = Vec::new();
            for shard in &queue.shards {
                let bucket = shard.bucket.lock();
                assert_eq!(
                    (bucket.used, bucket.slots.iter().filter(|head| head.stripe != 0).count()),
                    (0, 0)
                );
                slots.push(bucket.slots.len());
            }
            assert!(slots.iter().all(|&slots| slots <= stripes / queue.shards.len()), "{slots:?}");
        }
    }

    /// Heads come and go at random, and the table is compared with a map.
    #[test]
    fn a_bucket_is_a_map() {
        const STRIPES: usize = 64;
        let (mut bucket, mut map) = (Bucket::default(), std::collections::HashMap::new());
        let mut random = 1u64;
        for step in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Few for a while, then many.
            let stripe = ((random >> 33) as usize % STRIPES) & !(if step % 4_000 < 2_000 { 7 } else { 0 });
            assert_eq!(
                bucket.find(stripe).map(|at| bucket.slots[at].permits_added),
                map.get(&stripe).copied()
            );
            if let Some(at) = bucket.find(stripe) {
                bucket.remove(at, STRIPES);
                map.remove(&stripe);
            } else {
                let at = bucket.insert(stripe, STRIPES);
                bucket.slots[at].permits_added = step;
                map.insert(stripe, step);
            }
            assert_eq!(bucket.used, map.len());
        }
        for (&stripe, &mark) in &map {
            assert_eq!(bucket.slots[bucket.find(stripe).unwrap()].permits_added, mark);
        }
    }
}
