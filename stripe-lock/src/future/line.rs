//! The lines of waiters: nodes inside pinned futures, strung into rings, a few stripes' rings to a bucket.
//!
//! A bucket keeps one ring for each of its stripes that somebody waits for, first in line at the ring's head, and finds
//! it by walking the heads; and one ring, `granted`, of those who were given all they asked for and have not yet come to
//! take it. Nothing here is atomic but the number that says which bucket a node is in.
//!
//! The rule that makes it sound: **a linked node is touched by whoever holds the lock of the bucket that its `home`
//! names, and by nobody else**. It changes its home only while the locks of the old bucket and of the new one are held.
//! An unlinked node is touched by the future that it is a part of.

use std::marker::PhantomPinned;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;

use super::place::{Place, Print};
use super::plan::AnyPlan;
use super::sync::{AtomicU32, Cell};
use super::tally::Tally;
use super::trace::{Moment, Site};
use super::word::Mode;

pub(super) type Link = Option<NonNull<Node>>;

const QUEUED: u32 = 1 << 31;

/// Where a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// In the line of its home stripe.
    Waiting,
    /// The same, first in line, and woken since it last looked.
    Notified,
    /// In the ring of those who hold all that they asked for.
    Granted,
    /// In no ring any more: another future of the same task took what it was given.
    Passed,
}

/// One waiter. Lies in the future that waits.
pub(crate) struct Node {
    /// The stripe in whose bucket the node is linked.
    home: AtomicU32,
    /// Written by [`open`](Self::open), when the future first has to wait.
    fields: Cell<MaybeUninit<Fields>>,
    /// For the future that the node is a part of, and for nobody else: the place that it was made for and, in the top
    /// bit, whether the node is open. It lies here because here it takes no room.
    own: std::cell::Cell<u32>,
    _pinned: PhantomPinned,
}

/// What the lock of the bucket protects.
pub(super) struct Fields {
    prev: Link,
    next: Link,
    /// Of the first in line: the first in the bucket's next line.
    sibling: Link,
    /// Whom to wake. Once `called`, only good to be compared with.
    waker: ManuallyDrop<Waker>,
    /// `waker` was moved out.
    called: bool,
    pub(super) mode: Mode,
    pub(super) phase: Phase,
    /// So many turns of the line are hand-overs, beginning with that of this node. Counts once it is first.
    pub(super) turns: u8,
    /// Of the key that it asks for.
    pub(super) print: Print,
    /// When it joined the line.
    pub(super) since: Moment,
    /// Where it was asked for.
    #[cfg_attr(not(feature = "diagnose"), expect(dead_code, reason = "empty, and nobody asks"))]
    pub(super) site: Site,
    /// The other stripes that are wanted, where there are some.
    pub(super) plan: Option<NonNull<AnyPlan>>,
}

// SAFETY: the fields are reached under the lock of the bucket, or by the one owner while the node is unlinked.
unsafe impl Send for Node {}
// SAFETY: as above; `home` is atomic, and `own` is for the owner alone.
unsafe impl Sync for Node {}

impl Fields {
    pub(super) fn new(waker: Waker, plan: Option<NonNull<AnyPlan>>, mode: Mode, site: Site) -> Self {
        Self {
            prev: None,
            next: None,
            sibling: None,
            waker: ManuallyDrop::new(waker),
            called: false,
            mode,
            phase: Phase::Waiting,
            turns: 0,
            print: Print::UNKNOWN,
            since: Moment::now(),
            site,
            plan,
        }
    }

    /// Whether `waker` belongs to the task that this was polled by last.
    ///
    /// Compares what the wakers point to, even after this one was moved out, and follows neither pointer. Not their
    /// tables of functions, of which a program may have several that are equal: `will_wake` misses some siblings
    /// for that reason, whereas to take a stranger for a sibling costs that one no more than its turn.
    pub(super) fn same_task(&self, waker: &Waker) -> bool {
        self.waker.data() == waker.data()
    }

    /// The task that this was polled by last.
    #[cfg(feature = "diagnose")]
    pub(super) fn task(&self) -> super::record::Task {
        super::record::Task::of(&self.waker)
    }

    /// Whether a wake would reach the task of `waker`, and can still be sent.
    pub(super) fn would_wake(&self, waker: &Waker) -> bool {
        !self.called && self.waker.will_wake(waker)
    }

    /// The waker, if it has not been taken since it was set.
    pub(super) fn take_waker(&mut self) -> Option<Waker> {
        if self.called {
            return None;
        }
        self.called = true;
        // SAFETY: `called` was false, so the waker is still here, and from now on it never moves out again.
        Some(unsafe { ManuallyDrop::take(&mut self.waker) })
    }

    /// Sets the waker; the one before is returned, for it must not be dropped under the lock.
    pub(super) fn set_waker(&mut self, waker: Waker) -> Option<Waker> {
        let before = self.take_waker();
        self.waker = ManuallyDrop::new(waker);
        self.called = false;
        before
    }
}

impl Node {
    #[inline(always)]
    pub(super) fn new(place: Place) -> Self {
        Self {
            home: AtomicU32::new(0),
            fields: Cell::new(MaybeUninit::uninit()),
            own: std::cell::Cell::new(place.to_bits()),
            _pinned: PhantomPinned,
        }
    }

    /// The place that the node was made for.
    #[inline(always)]
    pub(super) fn place(&self) -> Place {
        Place::from_bits(self.own.get() & !QUEUED)
    }

    /// Whether the future last left the node open, and perhaps linked.
    #[inline(always)]
    pub(super) fn is_queued(&self) -> bool {
        self.own.get() & QUEUED != 0
    }

    pub(super) fn set_queued(&self, queued: bool) {
        self.own.set(self.own.get() & !QUEUED | if queued { QUEUED } else { 0 });
    }

    pub(super) fn home(&self) -> usize {
        self.home.load(Relaxed) as usize
    }

    /// Makes the node ready to be linked.
    ///
    /// # Safety
    ///
    /// The node is not linked, the caller owns it, and every `open` is followed by a [`close`](Self::close).
    pub(super) unsafe fn open(&self, fields: Fields) {
        // SAFETY: an unlinked node is touched by its owner alone, who is the caller.
        self.fields.with_mut(|slot| unsafe { (*slot).write(fields) });
    }

    /// Ends what [`open`](Self::open) began. The waker is returned, for dropping it runs the user's code.
    ///
    /// # Safety
    ///
    /// The node was opened and is not linked, and the caller owns it.
    pub(super) unsafe fn close(&self) -> Option<Waker> {
        // SAFETY: an unlinked node is touched by its owner alone, who is the caller, and it was written by `open`.
        self.fields.with_mut(|slot| unsafe { (*slot).assume_init_mut().take_waker() })
    }

    /// Reaches the fields.
    ///
    /// # Safety
    ///
    /// The node was opened, and the caller holds the lock of its home bucket, or owns the node while it is not linked.
    /// `access` reaches no other node's fields by way of this one.
    pub(super) unsafe fn with<R>(&self, access: impl FnOnce(&mut Fields) -> R) -> R {
        // SAFETY: the caller's promise makes this the only access, and `open` has written the fields.
        self.fields.with_mut(|slot| access(unsafe { (*slot).assume_init_mut() }))
    }
}

/// The waiters of a few neighbouring stripes.
#[derive(Default)]
pub(super) struct Bucket {
    /// The first in line of every stripe that has a line, linked by `sibling`.
    lines: Link,
    /// A ring.
    granted: Link,
    pub(super) tally: Tally,
}

// SAFETY: the nodes that a bucket leads to are touched under its lock, by whichever thread holds it.
unsafe impl Send for Bucket {}

/// All of these: `node` and every node linked in this bucket are alive, pinned and open, and the caller holds the lock
/// of the bucket. Which is what [`Waiter`](super::waiter::Waiter) makes sure of, and the only thing it has to.
impl Bucket {
    /// The first in line of a stripe.
    pub(super) unsafe fn first(&self, stripe: usize) -> Link {
        // SAFETY: passed on.
        unsafe { self.find(stripe).1 }
    }

    /// The node behind `node` in the line that `first` leads.
    pub(super) unsafe fn behind(node: NonNull<Node>, first: NonNull<Node>) -> Link {
        // SAFETY: linked nodes of this bucket, whose lock is held.
        unsafe { node.as_ref().with(|fields| fields.next).filter(|&next| next != first) }
    }

    /// Puts `node` at the end of the line of its new home `stripe`, of which it asks for `mode`, and whose word is `word`.
    pub(super) unsafe fn join(&mut self, node: NonNull<Node>, stripe: usize, mode: Mode, word: u32) {
        // SAFETY: linked nodes of this bucket, whose lock is held, and one that is not linked and handed in.
        unsafe {
            node.as_ref().home.store(stripe as u32, Relaxed);
            node.as_ref().with(|fields| {
                (fields.mode, fields.phase, fields.since) = (mode, Phase::Waiting, Moment::now());
                self.tally.joins(word, fields.print);
            });
            let mut first = self.first(stripe);
            let new_line = first.is_none();
            push(&mut first, node);
            if new_line {
                let sibling = self.lines.replace(node);
                node.as_ref().with(|fields| fields.sibling = sibling);
            }
        }
    }

    /// Takes `node` out of the line of `stripe`. Says whether it was first.
    pub(super) unsafe fn quit(&mut self, node: NonNull<Node>, stripe: usize) -> bool {
        // SAFETY: linked nodes of this bucket, whose lock is held.
        unsafe {
            self.tally.leaves(node.as_ref().with(|fields| fields.since));
            let (before, first) = self.find(stripe);
            let mut successor = first;
            unlink(&mut successor, node);
            if successor == first {
                return false;
            }
            let sibling = node.as_ref().with(|fields| fields.sibling);
            if let Some(successor) = successor {
                successor.as_ref().with(|fields| fields.sibling = sibling);
            }
            let link = successor.or(sibling);
            match before {
                Some(before) => before.as_ref().with(|fields| fields.sibling = link),
                None => self.lines = link,
            }
            true
        }
    }

    /// Adds `node` to those who were given all they asked for.
    pub(super) unsafe fn grant(&mut self, node: NonNull<Node>, home: usize) {
        // SAFETY: linked nodes of this bucket, whose lock is held, and one that is not linked and handed in.
        unsafe {
            node.as_ref().home.store(home as u32, Relaxed);
            push(&mut self.granted, node);
        }
    }

    /// Takes `node` out of those.
    pub(super) unsafe fn claim(&mut self, node: NonNull<Node>) {
        // SAFETY: linked nodes of this bucket, whose lock is held.
        unsafe { unlink(&mut self.granted, node) }
    }

    /// One of those for which `wanted` holds.
    pub(super) unsafe fn find_granted(&self, mut wanted: impl FnMut(&Node, &mut Fields) -> bool) -> Link {
        let first = self.granted?;
        let mut at = first;
        loop {
            // SAFETY: linked nodes of this bucket, whose lock is held.
            unsafe {
                let node = at.as_ref();
                if node.with(|fields| wanted(node, fields)) {
                    return Some(at);
                }
                at = Self::behind(at, first)?;
            }
        }
    }

    /// Shows every node of this bucket: line by line, each from its first on, then those who were given all.
    #[cfg(feature = "diagnose")]
    pub(super) unsafe fn each(&self, mut see: impl FnMut(&Node, &mut Fields)) {
        let mut line = self.lines;
        while let Some(first) = line {
            let mut at = Some(first);
            while let Some(node) = at {
                // SAFETY: linked nodes of this bucket, whose lock is held.
                unsafe {
                    node.as_ref().with(|fields| see(node.as_ref(), fields));
                    at = Self::behind(node, first);
                }
            }
            // SAFETY: as above.
            line = unsafe { first.as_ref().with(|fields| fields.sibling) };
        }
        // SAFETY: the caller's promise.
        unsafe {
            self.find_granted(|node, fields| {
                see(node, fields);
                false
            });
        }
    }

    /// The first in the line of `stripe`, and the first in the line listed before that.
    unsafe fn find(&self, stripe: usize) -> (Link, Link) {
        let (mut before, mut at) = (None, self.lines);
        while let Some(node) = at {
            // SAFETY: linked nodes of this bucket, whose lock is held.
            unsafe {
                if node.as_ref().home() == stripe {
                    break;
                }
                (before, at) = (at, node.as_ref().with(|fields| fields.sibling));
            }
        }
        (before, at)
    }
}

/// Links `node` as the last of a ring.
///
/// # Safety
///
/// The caller may reach the fields of the nodes of the ring and of `node`.
unsafe fn push(first: &mut Link, node: NonNull<Node>) {
    // SAFETY: the caller's promise.
    unsafe {
        let Some(head) = *first else {
            node.as_ref().with(|fields| (fields.prev, fields.next) = (Some(node), Some(node)));
            *first = Some(node);
            return;
        };
        let last = head.as_ref().with(|fields| fields.prev.replace(node));
        node.as_ref().with(|fields| (fields.prev, fields.next) = (last, Some(head)));
        if let Some(last) = last {
            last.as_ref().with(|fields| fields.next = Some(node));
        }
    }
}

/// Unlinks `node` from the ring; its successor follows where it was the first.
///
/// # Safety
///
/// The caller may reach the fields of the nodes of the ring, `node` being one of them.
unsafe fn unlink(first: &mut Link, node: NonNull<Node>) {
    // SAFETY: the caller's promise.
    unsafe {
        let (prev, next) = node.as_ref().with(|fields| (fields.prev.take(), fields.next.take()));
        if next == Some(node) {
            *first = None;
            return;
        }
        if let (Some(before), Some(behind)) = (prev, next) {
            before.as_ref().with(|fields| fields.next = next);
            behind.as_ref().with(|fields| fields.prev = prev);
        }
        if *first == Some(node) {
            *first = next;
        }
    }
}
