//! Taking one stripe: blocking, trying, or with a time limit.

use alloc::sync::Arc;
use core::ops::Deref;

use crate::blocking::growth::Counting;
use crate::blocking::guard::{ArcStripe, Guard};
use crate::blocking::lock::{GrowthOf, StripedLock};
use crate::blocking::raw::{Mode, RawAcquire, Wait, Way};
use crate::blocking::stripe::Stripe;
use crate::blocking::watch::watch;
use crate::shared::hash::Located;

/// The message for a case that can't happen: a wait without a limit fails.
const WAITED: &str = "a wait without a limit gets the stripe";

/// A guard that keeps the whole set alive.
type ArcGuard<K, T, L, S, M> = Guard<ArcStripe<K, T, L, S>, L, T, M>;

impl<K: ?Sized, T, L, S> StripedLock<K, T, L, S> {
    /// Takes a stripe in mode `M`. `None` if `way` fails. `reach` maps an index to the stripe.
    #[inline]
    #[track_caller]
    fn take<P, M: Mode>(
        &self,
        at: Located,
        way: impl Way<L, M>,
        reach: impl Fn(usize) -> P,
    ) -> Option<Guard<P, L, T, M>>
    where
        P: Deref<Target = Stripe<L, T>>,
        L: RawAcquire<M>,
    {
        let way = &watch(way, self.patience, self.id, at.hash);
        let (stripe, guard) = match &self.growth {
            None => (at.stripe, Guard::take(reach(at.stripe), at.stripe, way)?),
            Some(growth) => self.take_for_place(growth, at.stripe, way, reach)?,
        };
        let held = self.id.record_one(stripe, self.stripes(), M::ACCESS);
        Some(guard.recorded(held))
    }

    /// Takes the stripe that owns a place, and splits it if that is due. If the place gets another owner while it
    /// waits, a timeout starts again.
    #[inline(never)]
    fn take_for_place<P, M: Mode>(
        &self,
        growth: &GrowthOf<K, T, L, S>,
        place: usize,
        way: &impl Way<L, M>,
        reach: impl Fn(usize) -> P,
    ) -> Option<(usize, Guard<P, L, T, M>)>
    where
        P: Deref<Target = Stripe<L, T>>,
        L: RawAcquire<M>,
    {
        let place_if_single = || Some(place);
        let counting = Counting { way: Some(way), growth, place: place_if_single };
        loop {
            let stripe = self.striped.owner(place);
            let taken = Guard::take(reach(stripe), stripe, &counting);
            // The place may have another owner by now.
            if self.striped.owner(place) != stripe {
                continue;
            }
            let guard = taken?;
            // SAFETY: the guard holds the stripe in mode `M`, and no other code has seen it.
            let split = unsafe { self.count_and_split(growth, stripe, place_if_single, M::EXCLUSIVE) };
            if !split || self.striped.owner(place) == stripe {
                return Some((stripe, guard));
            }
        }
    }

    /// Waits for a stripe in mode `M`.
    #[inline]
    #[track_caller]
    pub(crate) fn wait<M: Mode>(&self, at: Located) -> Guard<&Stripe<L, T>, L, T, M>
    where
        L: RawAcquire<M>,
    {
        let reach = |stripe| self.striped.stripe(stripe);
        // This panics if the index is too high, before the record checks it.
        reach(at.stripe);
        self.id.check_one(|| self.striped.owner(at.stripe), self.stripes(), M::ACCESS);
        self.take(at, Wait, reach).expect(WAITED)
    }

    /// Takes a stripe in mode `M`. `None` if `way` fails.
    #[inline]
    #[track_caller]
    pub(crate) fn attempt<M: Mode>(
        &self,
        at: Located,
        way: impl Way<L, M>,
    ) -> Option<Guard<&Stripe<L, T>, L, T, M>>
    where
        L: RawAcquire<M>,
    {
        self.take(at, way, |stripe| self.striped.stripe(stripe))
    }

    /// As [`wait`](Self::wait), with a guard that keeps the set alive.
    #[track_caller]
    pub(crate) fn wait_arc<M: Mode>(self: &Arc<Self>, at: Located) -> ArcGuard<K, T, L, S, M>
    where
        L: RawAcquire<M>,
    {
        self.id.check_one(|| self.striped.owner(at.stripe), self.stripes(), M::ACCESS);
        self.take(at, Wait, |stripe| ArcStripe::new(self.clone(), stripe)).expect(WAITED)
    }

    /// As [`attempt`](Self::attempt), with a guard that keeps the set alive.
    #[track_caller]
    pub(crate) fn attempt_arc<M: Mode>(
        self: &Arc<Self>,
        at: Located,
        way: impl Way<L, M>,
    ) -> Option<ArcGuard<K, T, L, S, M>>
    where
        L: RawAcquire<M>,
    {
        self.take(at, way, |stripe| ArcStripe::new(self.clone(), stripe))
    }
}
