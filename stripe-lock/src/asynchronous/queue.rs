//! The queues of a set: the nodes of waiters, linked from within their pinned futures.
//!
//! Each stripe with waiters has a *head*, which points to the first and the last node of its queue. So joining, being
//! served and leaving take a constant number of steps, however many waiters there are. Neighbouring stripes share a
//! *bucket*, which is a mutex over their heads.
//!
//! The `state` of a node:
//!
//! | state | in a queue | what may access the rest of the node | becomes |
//! |---|---|---|---|
//! | `Idle` | no | its future | `Resume`, when the future has to wait |
//! | `Resume(stripe)`: holds what it wants below `stripe`, and its future has to continue from there | no | its future | `Waiting`; `Granted` |
//! | `Waiting(stripe)` | yes | the holder of the lock of the stripe's bucket | `Notified`; and, unlinked, any of the others |
//! | `Notified(stripe)`: first in the queue and woken, to compete with newcomers | yes | the same | `Waiting`, where a newcomer was faster; and, unlinked, any of the others |
//! | `Granted`: has all that it wants | no | its future | `Idle` |
//! | `Closed(stripe)`: holds what it wants below `stripe`, and the set was closed | no | its future | `Idle` |
//!
//! When a node is unlinked, the last write to it changes the state, with Release. Its future loads the state with
//! Acquire, so it sees everything that was written before, and claims what it was granted without a lock. A node
//! moves from one queue to another only while the locks of both buckets are held, the lower one taken first.

use std::marker::PhantomPinned;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::task::Waker;

use crossbeam_utils::CachePadded;

use super::instrument::{Fingerprint, Moment, Monitor, Tally, WaiterNote};
use super::plan::AnyPlan;
use super::spin::Patience;
use super::sync::{AtomicU32, Cell, FEWEST_SLOTS, Mutex, MutexGuard, buckets};
use super::word::Mode;

pub(super) type Link = Option<NonNull<Node>>;

/// The state of a node: see the table in [the module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Idle,
    Resume(usize),
    Waiting(usize),
    Notified(usize),
    Granted,
    Closed(usize),
}

/// The state is one number: the stripe in the bits below this one, the kind in the bits from it on.
const KIND: u32 = 24;

impl State {
    /// Not zero, because the compiler would then fill the whole of a new node with zeros, even its uninitialised
    /// fields.
    const IDLE: u32 = 5 << KIND;

    #[inline]
    fn to_bits(self) -> u32 {
        let (kind, stripe) = match self {
            Self::Idle => (Self::IDLE >> KIND, 0),
            Self::Resume(stripe) => (0, stripe),
            Self::Waiting(stripe) => (1, stripe),
            Self::Notified(stripe) => (2, stripe),
            Self::Granted => (3, 0),
            Self::Closed(stripe) => (4, stripe),
        };
        kind << KIND | stripe as u32
    }

    #[inline]
    fn from_bits(bits: u32) -> Self {
        let stripe = (bits & ((1 << KIND) - 1)) as usize;
        match bits >> KIND {
            0 => Self::Resume(stripe),
            1 => Self::Waiting(stripe),
            2 => Self::Notified(stripe),
            3 => Self::Granted,
            4 => Self::Closed(stripe),
            _ => Self::Idle,
        }
    }

    /// The stripe in whose queue the node is.
    #[inline]
    pub(super) fn queued_at(self) -> Option<usize> {
        match self {
            Self::Waiting(stripe) | Self::Notified(stripe) => Some(stripe),
            _ => None,
        }
    }
}

/// One waiter. It is a part of the future that waits.
pub(super) struct Node {
    state: AtomicU32,
    /// Whether the state is `Idle`. It saves the node's own future a load of the state.
    idle: std::cell::Cell<bool>,
    /// Whether it was in a queue since it was opened. For the node's own future.
    has_queued: std::cell::Cell<bool>,
    /// Written by [`open`](Self::open), when the future first has to wait.
    fields: Cell<MaybeUninit<Fields>>,
    _pinned: PhantomPinned,
}

/// The rest of a node.
pub(super) struct Fields {
    prev: Link,
    next: Link,
    waker: MaybeUninit<Waker>,
    /// Whether the waker is there.
    has_waker: bool,
    /// How it asks for the stripe that it waits for, [packed](Mode::pack).
    mode: u32,
    /// The fingerprint of the key that it asks for.
    pub(super) key: Fingerprint,
    /// The stripes that are wanted, if there are several.
    pub(super) plan: Option<NonNull<AnyPlan>>,
    pub(super) note: WaiterNote,
}

// SAFETY: the fields are reached by one thread at a time: under the lock of a bucket, or by the future of an unlinked node.
unsafe impl Send for Node {}
// SAFETY: as above; the state is atomic, and the two flags are for the future alone.
unsafe impl Sync for Node {}

impl Fields {
    #[inline]
    pub(super) fn new(plan: Option<NonNull<AnyPlan>>, note: WaiterNote) -> Self {
        Self {
            prev: None,
            next: None,
            waker: MaybeUninit::uninit(),
            has_waker: false,
            mode: 0,
            key: Fingerprint::UNKNOWN,
            plan,
            note,
        }
    }

    #[inline]
    pub(super) fn mode(&self) -> Mode {
        Mode::unpack(self.mode)
    }

    /// Whether a wake would reach the task of `waker`, and can still be sent.
    #[inline]
    pub(super) fn would_wake(&self, waker: &Waker) -> bool {
        // SAFETY: `has_waker` says that it is there.
        self.has_waker && unsafe { self.waker.assume_init_ref() }.will_wake(waker)
    }

    /// Takes the waker out, if there is one.
    #[inline]
    pub(super) fn take_waker(&mut self) -> Option<Waker> {
        // SAFETY: `has_waker` says that it is there, and from now on says that it isn't.
        std::mem::take(&mut self.has_waker).then(|| unsafe { self.waker.assume_init_read() })
    }

    /// Sets the waker. Returns the previous one, because dropping a waker runs code of the caller.
    #[inline]
    pub(super) fn set_waker(&mut self, waker: Waker) -> Option<Waker> {
        let before = self.take_waker();
        self.waker.write(waker);
        self.has_waker = true;
        before
    }
}

impl Node {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self {
            state: AtomicU32::new(State::IDLE),
            idle: std::cell::Cell::new(true),
            has_queued: std::cell::Cell::new(false),
            fields: Cell::new(MaybeUninit::uninit()),
            _pinned: PhantomPinned,
        }
    }

    /// Whether it neither waits nor has an unclaimed grant. For the node's own future.
    #[inline(always)]
    pub(super) fn is_idle(&self) -> bool {
        self.idle.get()
    }

    /// Whether it has been in a queue since it was [opened](Self::open). For the node's own future.
    #[inline]
    pub(super) fn has_queued(&self) -> bool {
        self.has_queued.get()
    }

    /// Records that it is in a queue, or was. For the node's own future.
    #[inline]
    pub(super) fn note_queued(&self) {
        self.has_queued.set(true);
    }

    /// The state of the node. Unless it is queued, its future owns it and sees everything that was written to it.
    #[inline]
    pub(super) fn state(&self) -> State {
        State::from_bits(self.state.load(Acquire))
    }

    /// Sets the state. If that unlinks the node, only the node's future may touch it from then on.
    #[inline]
    pub(super) fn set_state(&self, state: State) {
        self.state.store(state.to_bits(), Release);
    }

    /// Makes the node ready to be linked: it waits for `stripe`.
    ///
    /// # Safety
    ///
    /// The node is idle, and the caller is its future.
    #[inline]
    pub(super) unsafe fn open(&self, fields: Fields, stripe: usize) {
        // SAFETY: an idle node is touched by its future alone.
        self.fields.with_mut(|slot| unsafe { (*slot).write(fields) });
        self.idle.set(false);
        self.has_queued.set(false);
        self.set_state(State::Resume(stripe));
    }

    /// Makes the node idle again.
    ///
    /// # Safety
    ///
    /// The node was opened and is in no queue, and the caller is its future.
    #[inline]
    pub(super) unsafe fn close(&self) {
        self.set_state(State::Idle);
        self.idle.set(true);
    }

    /// Reaches the fields.
    ///
    /// # Safety
    ///
    /// The node was opened, and the caller holds the lock of the bucket of its queue. If the node is in no queue, the
    /// caller is its future. `access` reaches no other node's fields by way of this one.
    pub(super) unsafe fn with<R>(&self, access: impl FnOnce(&mut Fields) -> R) -> R {
        // SAFETY: the caller's promise makes this the only access, and `open` has written the fields.
        self.fields.with_mut(|slot| access(unsafe { (*slot).assume_init_mut() }))
    }
}

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

/// For all of these: `node` and every node linked in this queue are alive, pinned and open, and the caller holds the lock of
/// the bucket. [`Waiter`](super::waiter::Waiter) sees to that.
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
        // SAFETY: linked nodes of this queue, whose bucket is locked, and one that is not linked and handed in.
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

/// A bucket and, outside its lock, what waits at its stripes have shown about spinning.
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
        let shard = || Shard { bucket: Mutex::new(Bucket::default()), patience: Patience::new() };
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
            // A release may have moved the node to another queue before the lock was taken. From here on none can.
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

    /// The same, unless it has none.
    pub(super) fn known_head(&self, stripe: usize) -> Option<&Head> {
        self.bucket.find(stripe).map(|at| &self.bucket.slots[at])
    }

    /// Removes the head of a stripe if it has nothing to remember.
    #[inline]
    pub(super) fn tidy(&mut self, stripe: usize) {
        let Some(at) = self.bucket.find(stripe) else { return };
        let head = &self.bucket.slots[at];
        if head.len == 0 && head.permits_added == 0 && head.tally.is_empty() {
            self.bucket.remove(at, self.queue.stripes_per_bucket());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::striped::MAX_STRIPES;

    #[test]
    fn a_state_is_one_number() {
        for stripe in [0, 1, MAX_STRIPES] {
            let with_stripe = [State::Resume, State::Waiting, State::Notified, State::Closed];
            let states = with_stripe.map(|state| state(stripe));
            for state in states.into_iter().chain([State::Idle, State::Granted]) {
                assert_eq!(State::from_bits(state.to_bits()), state);
            }
        }
    }

    #[cfg(not(loom))]
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
    #[cfg(not(loom))]
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
