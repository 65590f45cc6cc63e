//! Taking one stripe: by waiting, by trying, for a time.

use alloc::sync::Arc;
use core::ops::Deref;

use crate::blocking::guard::{ArcStripe, Guard};
use crate::blocking::lock::StripedLock;
use crate::blocking::raw::{Mode, RawAcquire, Wait, Way};
use crate::blocking::stripe::Stripe;
use crate::blocking::watch::watch;
use crate::shared::hash::Located;

/// Why a wait without a limit always ends with the lock.
const WAITED: &str = "waiting ends with the stripe";

/// A guard that keeps the whole set alive.
type ArcGuard<K, T, L, S, M> = Guard<ArcStripe<K, T, L, S>, L, T, M>;

impl<K: ?Sized, T, L, S> StripedLock<K, T, L, S> {
    /// Takes a stripe in mode `M`, if `way` ends with it.
    #[inline]
    #[track_caller]
    fn take<P, M: Mode>(&self, stripe: P, at: Located, way: impl Way<L, M>) -> Option<Guard<P, L, T, M>>
    where
        P: Deref<Target = Stripe<L, T>>,
        L: RawAcquire<M>,
    {
        let guard = Guard::take(stripe, at.stripe, &watch(way, self.patience, self.id, at.hash))?;
        let held = self.id.record_one(at.stripe, self.stripes(), M::ACCESS);
        Some(guard.recorded(held))
    }

    /// Waits for a stripe in mode `M`.
    #[inline]
    #[track_caller]
    pub(crate) fn wait<M: Mode>(&self, at: Located) -> Guard<&Stripe<L, T>, L, T, M>
    where
        L: RawAcquire<M>,
    {
        let stripe = self.striped.stripe(at.stripe);
        self.id.check_one(at.stripe, self.stripes(), M::ACCESS);
        self.take(stripe, at, Wait).expect(WAITED)
    }

    /// Takes a stripe in mode `M` if `way` ends with it.
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
        self.take(self.striped.stripe(at.stripe), at, way)
    }

    /// As [`wait`](Self::wait), with a guard that keeps the set alive.
    #[track_caller]
    pub(crate) fn wait_arc<M: Mode>(self: &Arc<Self>, at: Located) -> ArcGuard<K, T, L, S, M>
    where
        L: RawAcquire<M>,
    {
        self.id.check_one(at.stripe, self.stripes(), M::ACCESS);
        self.take(ArcStripe::new(self.clone(), at.stripe), at, Wait).expect(WAITED)
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
        self.take(ArcStripe::new(self.clone(), at.stripe), at, way)
    }
}
