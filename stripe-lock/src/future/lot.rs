//! The lines of a set of stripes, and the wakes that come of looking after them.

use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;

use crossbeam_utils::CachePadded;

use super::line::{Bucket, Node};
use super::record::Registry;
use super::sync::{AtomicUsize, Mutex, MutexGuard, most_buckets};
use super::word::Word;

/// The home of those who were given several stripes and have not claimed them yet.
pub(super) const LOBBY: usize = u32::MAX as usize;

/// So many wakes are sent for one lock of a bucket.
pub(super) const BATCH: usize = 8;

/// A set of stripes, as far as waiting is concerned.
///
/// # Examples
///
/// ```
/// fn lot<L: stripe_lock::future::Lot>(_: &L) {}
/// lot(&stripe_lock::AsyncStripedMutex::<u64>::new(4));
/// ```
pub trait Lot: Sized {
    #[doc(hidden)]
    type Word: Word;
    #[doc(hidden)]
    fn word(&self, stripe: usize) -> &Self::Word;
    /// The data of the stripes.
    #[doc(hidden)]
    type Value;
    /// To be dereferenced by who holds the stripe.
    #[doc(hidden)]
    fn value(&self, stripe: usize) -> *mut Self::Value;
    #[doc(hidden)]
    fn queue(&self) -> &Queue;
}

/// The lines of a set of stripes.
pub struct Queue {
    /// Each for a range of neighbouring stripes; the last is the lobby.
    buckets: Box<[CachePadded<Mutex<Bucket>>]>,
    /// A stripe's bucket is the stripe divided by two to this power.
    shift: u32,
    /// Every stripe goes to the first in line: nobody overtakes.
    pub(super) strict: bool,
    /// How long a wait may last before it is told of.
    #[cfg(feature = "tracing")]
    pub(super) patience: crate::waits::Patience,
    /// How many are in the lobby, so that hardly anybody has to look.
    in_lobby: AtomicUsize,
    /// The guards.
    pub(super) registry: Registry,
}

impl Queue {
    pub(super) fn new(stripes: usize) -> Self {
        let buckets = most_buckets().min(stripes);
        let shift = (stripes / buckets).ilog2();
        let buckets = (0..=buckets).map(|_| CachePadded::new(Mutex::new(Bucket::default()))).collect();
        Self {
            buckets,
            shift,
            strict: false,
            #[cfg(feature = "tracing")]
            patience: crate::waits::Patience::ENDLESS,
            in_lobby: AtomicUsize::new(0),
            registry: Registry::new(),
        }
    }

    pub(super) fn make_strict(&mut self) {
        self.strict = true;
    }

    #[inline]
    pub(super) fn bucket_of(&self, home: usize) -> usize {
        if home == LOBBY { self.buckets.len() - 1 } else { home >> self.shift }
    }

    pub(super) fn lock(&self, home: usize) -> MutexGuard<'_, Bucket> {
        self.buckets[self.bucket_of(home)].lock()
    }

    /// Whether the lobby is worth locking. A grant to a future is made before its task is woken, so that task sees it.
    pub(super) fn lobby_is_empty(&self) -> bool {
        self.in_lobby.load(Relaxed) == 0
    }

    /// Puts a node among the granted ones of the bucket of `home`, which is the one given.
    ///
    /// # Safety
    ///
    /// That bucket is locked, and so is the node's home; the node is open and not linked.
    pub(super) unsafe fn grant(&self, bucket: &mut Bucket, node: NonNull<Node>, home: usize) {
        // SAFETY: the caller's promise.
        unsafe { bucket.grant(node, home) };
        if home == LOBBY {
            self.in_lobby.fetch_add(1, Relaxed);
        }
    }

    /// Takes a node out again.
    ///
    /// # Safety
    ///
    /// The bucket is that of `home`, where the node was granted, and locked.
    pub(super) unsafe fn claim(&self, bucket: &mut Bucket, node: NonNull<Node>, home: usize) {
        // SAFETY: the caller's promise.
        unsafe { bucket.claim(node) };
        if home == LOBBY {
            self.in_lobby.fetch_sub(1, Relaxed);
        }
    }

    /// What was counted in every bucket, by ascending stripes.
    #[cfg(feature = "stats")]
    pub(super) fn tallies(&self) -> Vec<super::stats::WaitStats> {
        let (_lobby, buckets) = self.buckets.split_last().expect("there is a lobby");
        buckets.iter().map(|bucket| bucket.lock().tally.snapshot()).collect()
    }

    /// Locks everything, in the order in which buckets are locked.
    #[cfg(feature = "diagnose")]
    pub(super) fn lock_all(&self) -> Vec<MutexGuard<'_, Bucket>> {
        self.buckets.iter().map(|bucket| bucket.lock()).collect()
    }

    /// Locks the bucket that a node is in, or was in last.
    pub(super) fn lock_home(&self, node: &Node) -> (MutexGuard<'_, Bucket>, usize) {
        loop {
            let home = node.home();
            let bucket = self.lock(home);
            // It may have been walked on before the lock was ours; now it can't be any more.
            let now = node.home();
            if self.bucket_of(now) == self.bucket_of(home) {
                return (bucket, now);
            }
        }
    }
}

/// Wakers taken under a lock, woken when this is dropped, which is after the lock.
#[derive(Default)]
pub(super) struct Wakes {
    wakers: [Option<Waker>; BATCH],
    len: usize,
}

impl Wakes {
    pub(super) fn push(&mut self, waker: Option<Waker>) {
        if waker.is_some() {
            self.wakers[self.len] = waker;
            self.len += 1;
        }
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        self.wakers.iter_mut().map_while(Option::take).for_each(Waker::wake);
    }
}
