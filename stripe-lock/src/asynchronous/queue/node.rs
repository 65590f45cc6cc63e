//! One waiter: a node of a queue, linked from within its pinned future.
//!
//! The `state` of a node:
//!
//! | state | in a queue | what may access the rest of the node | becomes |
//! |---|---|---|---|
//! | `Idle` | no | its future | `Resume`, when the future has to wait |
//! | `Resume(stripe)`: holds the wanted stripes below `stripe`, and its future has to continue from there | no | its future | `Waiting`; `Granted` |
//! | `Waiting(stripe)` | yes | the holder of the lock of the stripe's bucket | `Notified`; and, unlinked, any of the others |
//! | `Notified(stripe)`: first in the queue and woken, to compete with newcomers | yes | the same | `Waiting`, if a newcomer was faster; and, unlinked, any of the others |
//! | `Granted`: holds all wanted stripes | no | its future | `Idle` |
//! | `Closed(stripe)`: holds the wanted stripes below `stripe`, and the set was closed | no | its future | `Idle` |
//!
//! When a node is unlinked, the last write to it changes the state, with Release. Its future loads the state with
//! Acquire, so it sees everything that was written before, and claims what it was granted without a lock. A node
//! moves from one queue to another only while the locks of both buckets are held, the lower one taken first.

use std::marker::PhantomPinned;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::task::Waker;

use super::super::instrument::{Fingerprint, WaiterNote};
use super::super::plan::AnyPlan;
use super::super::sync::{AtomicU32, Cell};
use super::super::word::Mode;

pub(super) type Link = Option<NonNull<Node>>;

/// The state of a node: see the table in [the module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::asynchronous) enum State {
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
    pub(in crate::asynchronous) fn queued_at(self) -> Option<usize> {
        match self {
            Self::Waiting(stripe) | Self::Notified(stripe) => Some(stripe),
            _ => None,
        }
    }
}

/// One waiter. It is a part of the future that waits.
pub(in crate::asynchronous) struct Node {
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
pub(in crate::asynchronous) struct Fields {
    pub(super) prev: Link,
    pub(super) next: Link,
    waker: MaybeUninit<Waker>,
    /// Whether the waker is there.
    has_waker: bool,
    /// How it asks for the stripe that it waits for, [packed](Mode::pack).
    pub(super) mode: u32,
    /// The fingerprint of the key that it asks for.
    pub(in crate::asynchronous) key: Fingerprint,
    /// The stripes that are wanted, if there are several.
    pub(in crate::asynchronous) plan: Option<NonNull<AnyPlan>>,
    pub(in crate::asynchronous) note: WaiterNote,
}

// SAFETY: the fields are reached by one thread at a time: under the lock of a bucket, or by the future of an unlinked
// node.
unsafe impl Send for Node {}
// SAFETY: as above; the state is atomic, and the two flags are for the future alone.
unsafe impl Sync for Node {}

impl Fields {
    #[inline]
    pub(in crate::asynchronous) fn new(plan: Option<NonNull<AnyPlan>>, note: WaiterNote) -> Self {
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
    pub(in crate::asynchronous) fn mode(&self) -> Mode {
        Mode::unpack(self.mode)
    }

    /// Whether a wake would reach the task of `waker`, and can still be sent.
    #[inline]
    pub(in crate::asynchronous) fn would_wake(&self, waker: &Waker) -> bool {
        // SAFETY: `has_waker` says that it is there.
        self.has_waker && unsafe { self.waker.assume_init_ref() }.will_wake(waker)
    }

    /// Takes the waker out, if there is one.
    #[inline]
    pub(in crate::asynchronous) fn take_waker(&mut self) -> Option<Waker> {
        // SAFETY: `has_waker` says that it is there, and from now on says that it isn't.
        std::mem::take(&mut self.has_waker).then(|| unsafe { self.waker.assume_init_read() })
    }

    /// Sets the waker. Returns the previous one, because dropping a waker runs code of the caller.
    #[inline]
    pub(in crate::asynchronous) fn set_waker(&mut self, waker: Waker) -> Option<Waker> {
        let before = self.take_waker();
        self.waker.write(waker);
        self.has_waker = true;
        before
    }
}

impl Node {
    #[inline(always)]
    pub(in crate::asynchronous) fn new() -> Self {
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
    pub(in crate::asynchronous) fn is_idle(&self) -> bool {
        self.idle.get()
    }

    /// Whether it has been in a queue since it was [opened](Self::open). For the node's own future.
    #[inline]
    pub(in crate::asynchronous) fn has_queued(&self) -> bool {
        self.has_queued.get()
    }

    /// Records that it is in a queue, or was. For the node's own future.
    #[inline]
    pub(in crate::asynchronous) fn note_queued(&self) {
        self.has_queued.set(true);
    }

    /// The state of the node. Unless it is queued, its future owns it and sees everything that was written to it.
    #[inline]
    pub(in crate::asynchronous) fn state(&self) -> State {
        State::from_bits(self.state.load(Acquire))
    }

    /// Sets the state. If that unlinks the node, only the node's future may touch it from then on.
    #[inline]
    pub(in crate::asynchronous) fn set_state(&self, state: State) {
        self.state.store(state.to_bits(), Release);
    }

    /// Makes the node ready to be linked: it waits for `stripe`.
    ///
    /// # Safety
    ///
    /// The node is idle, and the caller is its future.
    #[inline]
    pub(in crate::asynchronous) unsafe fn open(&self, fields: Fields, stripe: usize) {
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
    pub(in crate::asynchronous) unsafe fn close(&self) {
        self.set_state(State::Idle);
        self.idle.set(true);
    }

    /// Reaches the fields.
    ///
    /// # Safety
    ///
    /// The node was opened, and the caller holds the lock of the bucket of its queue. If the node is in no queue, the
    /// caller is its future. `access` reaches no other node's fields by way of this one.
    pub(in crate::asynchronous) unsafe fn with<R>(&self, access: impl FnOnce(&mut Fields) -> R) -> R {
        // SAFETY: the caller's promise makes this the only access, and `open` has written the fields.
        self.fields.with_mut(|slot| access(unsafe { (*slot).assume_init_mut() }))
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
}
