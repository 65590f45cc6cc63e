//! Which stripes an acquisition of several takes, and how.

use std::marker::PhantomData;

use super::place::Place;
use super::word::Mode;
use crate::StripeSet;

/// Several stripes, each with the way in which it is asked for.
///
/// # Examples
///
/// ```
/// use stripe_lock::future::{Mixed, Plan, Uniform, Write};
///
/// fn plan<N: Plan>() {}
/// plan::<Uniform<Write>>();
/// plan::<Mixed>();
/// ```
pub trait Plan: Send + Sync + 'static {
    /// The stripes.
    #[doc(hidden)]
    fn stripes(&self) -> &StripeSet;

    /// How one of them is asked for.
    #[doc(hidden)]
    fn mode(&self, stripe: usize) -> Mode;

    /// Moves out what is there, for the last time.
    #[doc(hidden)]
    #[must_use = "what is there may be gone afterwards"]
    fn depart(&mut self) -> Self
    where
        Self: Sized;

    /// The lowest stripe of the plan that is `stripe` or above.
    #[doc(hidden)]
    #[inline]
    fn next_from(&self, stripe: usize) -> Option<(Place, Mode)> {
        let stripe = self.stripes().next_from(stripe)?;
        Some((Place::of_stripe(stripe), self.mode(stripe)))
    }
}

/// Whichever plan.
pub(super) type AnyPlan = dyn Plan;

/// A way of asking for a stripe, as a type: [`Read`] or [`Write`].
///
/// # Examples
///
/// ```
/// fn access<A: stripe_lock::future::Access>() {}
/// access::<stripe_lock::future::Read>();
/// ```
pub trait Access: Send + Sync + 'static {
    #[doc(hidden)]
    const MODE: Mode;
}

/// Shared access: many at a time may have it.
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedRwLock;
/// use stripe_lock::future::{AsyncGuard, Read};
///
/// let locks = AsyncStripedRwLock::<u64>::new(4);
/// let _guard: AsyncGuard<&AsyncStripedRwLock<u64>, Read> = locks.blocking_read(&1);
/// ```
#[derive(Debug)]
pub enum Read {}

/// Exclusive access: one at a time has it.
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedMutex;
/// use stripe_lock::future::{AsyncGuard, Write};
///
/// let locks = AsyncStripedMutex::<u64>::new(4);
/// let _guard: AsyncGuard<&AsyncStripedMutex<u64>, Write> = locks.blocking_lock(&1);
/// ```
#[derive(Debug)]
pub enum Write {}

impl Access for Read {
    const MODE: Mode = Mode::Shared;
}

impl Access for Write {
    const MODE: Mode = Mode::Exclusive;
}

/// The plan that asks for all its stripes in one way.
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedMutex;
/// use stripe_lock::future::{AsyncMultiGuard, Uniform, Write};
///
/// let locks = AsyncStripedMutex::<u64>::new(4);
/// let _all: AsyncMultiGuard<&AsyncStripedMutex<u64>, Uniform<Write>> = locks.blocking_lock_all();
/// ```
#[derive(Debug)]
pub struct Uniform<A> {
    pub(super) stripes: StripeSet,
    access: PhantomData<A>,
}

impl<A> Uniform<A> {
    pub(super) fn new(stripes: StripeSet) -> Self {
        Self { stripes, access: PhantomData }
    }
}

impl<A: Access> Plan for Uniform<A> {
    #[inline]
    fn stripes(&self) -> &StripeSet {
        &self.stripes
    }

    #[inline]
    fn mode(&self, _stripe: usize) -> Mode {
        A::MODE
    }

    #[inline]
    fn depart(&mut self) -> Self {
        Self::new(self.stripes.depart())
    }
}

/// The plan that reads some of its stripes and writes the others.
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedRwLock;
/// use stripe_lock::future::{AsyncMultiGuard, Mixed};
///
/// let locks = AsyncStripedRwLock::<u64>::new(4);
/// let _batch: AsyncMultiGuard<&AsyncStripedRwLock<u64>, Mixed> = locks.batch().read(&1).blocking_lock();
/// ```
#[derive(Debug)]
pub struct Mixed {
    stripes: StripeSet,
    writes: Writes,
}

/// Which stripes of a set are written.
#[derive(Debug)]
enum Writes {
    /// Those whose seat in the set has its bit set.
    Seats(u64),
    /// Of a set without seats.
    Many(Box<StripeSet>),
}

impl Mixed {
    /// `writes` are some of `stripes`.
    pub(super) fn new(stripes: StripeSet, writes: StripeSet) -> Self {
        let seats = writes.iter().try_fold(0, |seats, stripe| Some(seats | 1_u64 << stripes.seat(stripe)?));
        let writes = seats.map_or_else(|| Writes::Many(Box::new(writes)), Writes::Seats);
        Self { stripes, writes }
    }
}

impl Plan for Mixed {
    #[inline]
    fn stripes(&self) -> &StripeSet {
        &self.stripes
    }

    #[inline]
    fn mode(&self, stripe: usize) -> Mode {
        let written = match &self.writes {
            Writes::Seats(seats) => self.stripes.seat(stripe).is_some_and(|seat| seats >> seat & 1 == 1),
            Writes::Many(writes) => writes.contains(stripe),
        };
        if written { Mode::Exclusive } else { Mode::Shared }
    }

    #[inline]
    fn depart(&mut self) -> Self {
        let writes = std::mem::replace(&mut self.writes, Writes::Seats(0));
        Self { stripes: self.stripes.depart(), writes }
    }
}
