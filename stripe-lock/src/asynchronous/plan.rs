//! Plans: the stripes that one acquisition takes, each with its mode.

use super::instrument::Place;
use super::kind::Access;
use super::sealed::{AccessParts, PlainAccess};
use super::word::Mode;
use crate::shared::stripe_set::StripeSet;

/// Several stripes, each with the mode in which it is asked for. Private, as is everything in
/// [`sealed`](super::sealed).
pub trait Plan: Send + Sync + 'static {
    /// The stripes.
    fn stripes(&self) -> &StripeSet;

    /// The mode in which one of them is taken.
    fn mode(&self, stripe: usize) -> Mode;

    /// Moves the plan out. It is not used after that.
    #[must_use = "the plan is moved out of `self`"]
    fn take(&mut self) -> Self
    where
        Self: Sized;
}

/// A plan of any type.
pub(super) type AnyPlan = dyn Plan;

/// The lowest stripe of a plan that is `stripe` or above.
#[inline]
pub(super) fn next_from(plan: &(impl Plan + ?Sized), stripe: usize) -> Option<(Place, Mode)> {
    let stripe = plan.stripes().next_from(stripe)?;
    Some((Place::of_stripe(stripe), plan.mode(stripe)))
}

/// The plan that takes all its stripes in the same mode.
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedMutex;
/// use stripe_lock::asynchronous::{AsyncMultiGuard, UniformPlan, Write};
///
/// let locks = AsyncStripedMutex::<u64>::new(4);
/// let _all: AsyncMultiGuard<&AsyncStripedMutex<u64>, UniformPlan<Write>> = locks.blocking_lock_all();
/// ```
#[derive(Debug)]
pub struct UniformPlan<A> {
    pub(super) stripes: StripeSet,
    access: A,
}

impl<A: PlainAccess> UniformPlan<A> {
    pub(super) fn new(stripes: StripeSet) -> Self {
        Self { stripes, access: A::ACCESS }
    }
}

impl<A: Access + AccessParts> Plan for UniformPlan<A> {
    #[inline]
    fn stripes(&self) -> &StripeSet {
        &self.stripes
    }

    #[inline(always)]
    fn mode(&self, _stripe: usize) -> Mode {
        self.access.mode()
    }

    #[inline]
    fn take(&mut self) -> Self {
        Self { stripes: self.stripes.take(), access: self.access }
    }
}

/// The plan that reads some of its stripes and writes the others.
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedRwLock;
/// use stripe_lock::asynchronous::{AsyncMultiGuard, MixedPlan};
///
/// let locks = AsyncStripedRwLock::<u64>::new(4);
/// let _batch: AsyncMultiGuard<&AsyncStripedRwLock<u64>, MixedPlan> = locks.batch().read(&1).blocking_lock();
/// ```
#[derive(Debug)]
pub struct MixedPlan {
    stripes: StripeSet,
    writes: Writes,
}

/// Which stripes of a plan are written.
#[derive(Debug)]
enum Writes {
    /// One bit for each stripe, at the stripe's position in the set.
    Places(u64),
    /// The written stripes, if the set is too large for positions.
    Many(Box<StripeSet>),
}

impl MixedPlan {
    /// `writes` are some of `stripes`.
    pub(super) fn new(stripes: StripeSet, writes: StripeSet) -> Self {
        let places =
            writes.iter().try_fold(0, |places, stripe| Some(places | 1_u64 << stripes.position(stripe)?));
        let writes = places.map_or_else(|| Writes::Many(Box::new(writes)), Writes::Places);
        Self { stripes, writes }
    }
}

impl Plan for MixedPlan {
    #[inline]
    fn stripes(&self) -> &StripeSet {
        &self.stripes
    }

    #[inline]
    fn mode(&self, stripe: usize) -> Mode {
        let written = match &self.writes {
            Writes::Places(places) => {
                self.stripes.position(stripe).is_some_and(|place| places >> place & 1 == 1)
            }
            Writes::Many(writes) => writes.contains(stripe),
        };
        if written { Mode::Exclusive } else { Mode::Shared(1) }
    }

    #[inline]
    fn take(&mut self) -> Self {
        let writes = std::mem::replace(&mut self.writes, Writes::Places(0));
        Self { stripes: self.stripes.take(), writes }
    }
}
