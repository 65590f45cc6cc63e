//! The modes in which a multi-guard holds its stripes: all in one mode, or some for reading and some for writing.

use alloc::vec::Vec;
use core::mem::{self, MaybeUninit};
use core::ptr::NonNull;

use crate::blocking::growth::Counting;
use crate::blocking::raw::{Access, Exclusive, Mode, RawAcquire, RawAcquireFair, Shared, Way};
use crate::blocking::sealed::Sealed;
use crate::blocking::stripe::Stripe;
use crate::shared::stripe_set::StripeSet;

/// The acquisition states of a [`MultiGuard`](crate::blocking::MultiGuard). They are a stack in the order of the
/// stripes, because stripes are released in descending order. Sealed.
///
/// # Safety
///
/// [`access`](Self::access) is that of the mode in which the stripe is held.
pub unsafe trait Holding<L>: Sealed + Sized {
    /// Moves the states out. Then it holds nothing.
    #[must_use = "a holding that is dropped leaves its stripes locked"]
    fn take(&mut self) -> Self;

    /// How the stripe with this index is held, if it is held.
    fn access(&self, index: usize) -> Access;

    /// Whether the stripe with this index is held exclusively, if it is held.
    #[inline]
    fn exclusive(&self, index: usize) -> bool {
        self.access(index) == Access::Exclusive
    }

    /// The stripes that are held exclusively, if other stripes are held shared.
    #[inline]
    fn writes(&self) -> Option<&StripeSet> {
        None
    }

    /// As [`writes`](Self::writes), mutable. Only stripes that are not held may be added or removed.
    #[inline]
    fn writes_mut(&mut self) -> Option<&mut StripeSet> {
        None
    }

    /// Releases the highest stripe.
    ///
    /// # Safety
    ///
    /// At least one stripe is held, `stripe` is the highest of those, its index is `index`, and no reference to its
    /// data is used after this call.
    unsafe fn pop<T>(&mut self, stripe: &Stripe<L, T>, index: usize);

    /// Releases one stripe. `held` are the other stripes that are held.
    ///
    /// # Safety
    ///
    /// `stripe` is held, its index is `index`, and no reference to its data is used after this call.
    unsafe fn remove<T>(&mut self, stripe: &Stripe<L, T>, index: usize, held: &StripeSet);
}

/// How many of `held` are below `index`.
fn rank(held: &StripeSet, index: usize) -> usize {
    held.iter().take_while(|&other| other < index).count()
}

/// A [`Holding`] that can hand its stripes over when it releases them. Sealed.
pub trait HoldingFair<L>: Holding<L> {
    /// Releases the highest stripe to the waiter that has waited longest.
    ///
    /// # Safety
    ///
    /// As for [`Holding::pop`].
    unsafe fn pop_fair<T>(&mut self, stripe: &Stripe<L, T>, index: usize);
}

/// A [`Holding`] that can take stripes in way `W`.
pub(crate) trait Take<L, W>: Holding<L> {
    /// Takes a stripe above all held stripes. Returns whether it got it.
    fn push<T>(&mut self, stripe: &Stripe<L, T>, index: usize, way: &W) -> bool;

    /// As [`push`](Self::push) for a place, with false waits counted.
    fn push_counting<T, F, P: Fn() -> Option<usize>>(
        &mut self,
        stripe: &Stripe<L, T>,
        index: usize,
        way: &Counting<'_, W, F, P>,
    ) -> bool;
}

/// All stripes in mode `M`. It needs no heap memory if the raw lock keeps no state for an acquisition.
pub struct Uniform<L: RawAcquire<M>, M: Mode>(Stack<L::State>);

/// A stack of acquisition states. The states of most raw locks have size 0. Then the stack has no value: a locked instruction waits until
/// everything that was written before it is in the cache, also the fields of an empty `Vec` and its length.
struct Stack<S>(MaybeUninit<Vec<S>>);

impl<S> Stack<S> {
    const SIZELESS: bool = size_of::<S>() == 0;

    #[inline]
    const fn new() -> Self {
        Self(if Self::SIZELESS { MaybeUninit::uninit() } else { MaybeUninit::new(Vec::new()) })
    }

    /// The states, unless they have size 0.
    #[inline]
    fn states(&mut self) -> Option<&mut Vec<S>> {
        // SAFETY: `new` initialises the vector of states that have a size.
        (!Self::SIZELESS).then(|| unsafe { self.0.assume_init_mut() })
    }

    /// `rank` is the number of states below this one. It is not called if states have size 0.
    #[inline]
    fn insert(&mut self, rank: impl FnOnce() -> usize, state: S) {
        match self.states() {
            Some(states) => states.insert(rank(), state),
            None => mem::forget(state),
        }
    }

    /// Removes the state that has `rank` others below it.
    ///
    /// # Safety
    ///
    /// As for [`pop`](Self::pop).
    #[inline]
    unsafe fn remove(&mut self, rank: impl FnOnce() -> usize) -> S {
        match self.states() {
            Some(states) => states.remove(rank()),
            // SAFETY: as in `pop`.
            None => unsafe { self.pop() },
        }
    }

    #[inline]
    fn push(&mut self, state: S) {
        match self.states() {
            Some(states) => states.push(state),
            None => mem::forget(state),
        }
    }

    /// # Safety
    ///
    /// There have been more calls to `push` and `insert` than to `pop` and `remove`.
    #[inline]
    unsafe fn pop(&mut self) -> S {
        match self.states() {
            // SAFETY: the caller promises that there is one.
            Some(states) => unsafe { states.pop().unwrap_unchecked() },
            // SAFETY: a value of size 0 can be read from any aligned address, and the caller promises that one was
            // forgotten before.
            None => unsafe { NonNull::dangling().read() },
        }
    }
}

impl<S> Drop for Stack<S> {
    #[inline]
    fn drop(&mut self) {
        if let Some(states) = self.states() {
            drop(mem::take(states));
        }
    }
}

impl<L: RawAcquire<M>, M: Mode> Sealed for Uniform<L, M> {}

impl<L: RawAcquire<M>, M: Mode> Uniform<L, M> {
    #[inline]
    pub(crate) const fn new() -> Self {
        Self(Stack::new())
    }

    /// Holds one stripe, by this acquisition.
    pub(crate) fn of_one(state: L::State) -> Self {
        let mut holding = Self::new();
        holding.0.push(state);
        holding
    }

    /// Takes a stripe at any position among `held`, which are all held stripes. Returns whether it got it.
    pub(crate) fn insert<T>(
        &mut self,
        stripe: &Stripe<L, T>,
        index: usize,
        held: &StripeSet,
        way: &impl Way<L, M>,
    ) -> bool {
        stripe.take(way, index).map(|state| self.0.insert(|| rank(held, index), state)).is_some()
    }
}

// SAFETY: every stripe is held in mode `M`.
unsafe impl<L: RawAcquire<M>, M: Mode> Holding<L> for Uniform<L, M> {
    #[inline]
    fn take(&mut self) -> Self {
        mem::replace(self, Self::new())
    }

    #[inline]
    fn access(&self, _: usize) -> Access {
        M::ACCESS
    }

    #[inline]
    unsafe fn pop<T>(&mut self, stripe: &Stripe<L, T>, _: usize) {
        // SAFETY: the caller names the highest stripe, whose state is the last one here.
        unsafe { stripe.release(self.0.pop()) }
    }

    unsafe fn remove<T>(&mut self, stripe: &Stripe<L, T>, index: usize, held: &StripeSet) {
        // SAFETY: the states are in the order of the stripes, so this is the one of the stripe that the caller names.
        unsafe { stripe.release(self.0.remove(|| rank(held, index))) }
    }
}

impl<L: RawAcquireFair<M>, M: Mode> HoldingFair<L> for Uniform<L, M> {
    #[inline]
    unsafe fn pop_fair<T>(&mut self, stripe: &Stripe<L, T>, _: usize) {
        // SAFETY: the caller names the highest stripe, whose state is the last one here.
        unsafe { stripe.release_fair(self.0.pop()) }
    }
}

impl<L: RawAcquire<M>, M: Mode, W: Way<L, M>> Take<L, W> for Uniform<L, M> {
    #[inline]
    fn push<T>(&mut self, stripe: &Stripe<L, T>, index: usize, way: &W) -> bool {
        stripe.take(way, index).map(|state| self.0.push(state)).is_some()
    }

    #[inline]
    fn push_counting<T, F, P: Fn() -> Option<usize>>(
        &mut self,
        stripe: &Stripe<L, T>,
        index: usize,
        way: &Counting<'_, W, F, P>,
    ) -> bool {
        self.push(stripe, index, way)
    }
}

/// The stripes in `writes` exclusively, all others shared. It has two stacks, and so needs no heap memory if the raw
/// lock keeps no state for an acquisition.
pub struct Mixed<L: RawAcquire<Shared> + RawAcquire<Exclusive>> {
    writes: StripeSet,
    shared: Uniform<L, Shared>,
    exclusive: Uniform<L, Exclusive>,
}

impl<L: RawAcquire<Shared> + RawAcquire<Exclusive>> Sealed for Mixed<L> {}

impl<L: RawAcquire<Shared> + RawAcquire<Exclusive>> Mixed<L> {
    pub(crate) const fn new(writes: StripeSet) -> Self {
        Self { writes, shared: Uniform::new(), exclusive: Uniform::new() }
    }
}

// SAFETY: held stripes that are in `writes` are held in mode `Exclusive`, and no stripe is added or removed while it is
// held.
unsafe impl<L: RawAcquire<Shared> + RawAcquire<Exclusive>> Holding<L> for Mixed<L> {
    fn take(&mut self) -> Self {
        mem::replace(self, Self::new(StripeSet::empty(0)))
    }

    fn access(&self, index: usize) -> Access {
        if self.writes.contains(index) { Access::Exclusive } else { Access::Shared }
    }

    fn writes(&self) -> Option<&StripeSet> {
        Some(&self.writes)
    }

    fn writes_mut(&mut self) -> Option<&mut StripeSet> {
        Some(&mut self.writes)
    }

    unsafe fn pop<T>(&mut self, stripe: &Stripe<L, T>, index: usize) {
        // SAFETY: the highest stripe of all is the highest one of its own mode too.
        unsafe {
            if self.exclusive(index) {
                self.exclusive.pop(stripe, index);
            } else {
                self.shared.pop(stripe, index);
            }
        }
    }

    unsafe fn remove<T>(&mut self, stripe: &Stripe<L, T>, index: usize, held: &StripeSet) {
        let exclusive = self.exclusive(index);
        let alike =
            || held.iter().filter(|&other| other < index && self.writes.contains(other) == exclusive).count();
        // SAFETY: each stack is in the order of the stripes held in its mode, so this is the state of the stripe that
        // the caller names.
        unsafe {
            if exclusive {
                stripe.release::<Exclusive>(self.exclusive.0.remove(alike));
            } else {
                stripe.release::<Shared>(self.shared.0.remove(alike));
            }
        }
    }
}

impl<L: RawAcquireFair<Shared> + RawAcquireFair<Exclusive>> HoldingFair<L> for Mixed<L> {
    unsafe fn pop_fair<T>(&mut self, stripe: &Stripe<L, T>, index: usize) {
        // SAFETY: the highest stripe of all is the highest one of its own mode too.
        unsafe {
            if self.exclusive(index) {
                self.exclusive.pop_fair(stripe, index);
            } else {
                self.shared.pop_fair(stripe, index);
            }
        }
    }
}

impl<L: RawAcquire<Shared> + RawAcquire<Exclusive>, W: Way<L, Shared> + Way<L, Exclusive>> Take<L, W>
    for Mixed<L>
{
    fn push<T>(&mut self, stripe: &Stripe<L, T>, index: usize, way: &W) -> bool {
        if self.exclusive(index) {
            self.exclusive.push(stripe, index, way)
        } else {
            self.shared.push(stripe, index, way)
        }
    }

    #[inline]
    fn push_counting<T, F, P: Fn() -> Option<usize>>(
        &mut self,
        stripe: &Stripe<L, T>,
        index: usize,
        way: &Counting<'_, W, F, P>,
    ) -> bool {
        if self.exclusive(index) {
            self.exclusive.push_counting(stripe, index, way)
        } else {
            self.shared.push_counting(stripe, index, way)
        }
    }
}
