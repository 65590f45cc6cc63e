//! One stripe: a raw lock, the data under it and, with the feature `stats`, its counters.

use core::cell::UnsafeCell;

use crate::blocking::raw::{Guards, Mode, RawAcquire, RawAcquireFair, RawLock, Way};
#[cfg(feature = "stats")]
use crate::blocking::stats::Counters;

/// One stripe of a blocking striped lock. Only guards access it.
pub struct Stripe<L, T> {
    raw: L,
    #[cfg(feature = "stats")]
    counters: Counters,
    data: UnsafeCell<T>,
}

// SAFETY: `Guards<T>` says that `L` makes it sound for several threads to access `T`.
unsafe impl<L: Guards<T> + Sync, T> Sync for Stripe<L, T> {}

impl<L, T> Stripe<L, T> {
    pub(crate) fn new(data: T) -> Self
    where
        L: RawLock,
    {
        let raw = L::UNLOCKED;
        // The parts that the model checker has to see are made on first use. This call makes them before threads
        // share the stripe.
        #[cfg(loom)]
        raw.is_locked();
        Self {
            raw,
            #[cfg(feature = "stats")]
            counters: Counters::default(),
            data: UnsafeCell::new(data),
        }
    }

    /// Takes the stripe, which has this index, in mode `M`. The state has to be passed to [`release`](Self::release).
    #[inline]
    #[cfg(not(feature = "stats"))]
    pub(crate) fn take<M: Mode>(&self, way: &impl Way<L, M>, index: usize) -> Option<L::State>
    where
        L: RawAcquire<M>,
    {
        way.take(&self.raw, index)
    }

    /// Takes the stripe, which has this index, in mode `M`. The state has to be passed to [`release`](Self::release).
    #[inline]
    #[cfg(feature = "stats")]
    pub(crate) fn take<M: Mode>(&self, way: &impl Way<L, M>, index: usize) -> Option<L::State>
    where
        L: RawAcquire<M>,
    {
        if let Some(state) = self.raw.try_acquire() {
            self.counters.acquired::<M>();
            return Some(state);
        }
        let since = std::time::Instant::now();
        let state = way.take(&self.raw, index)?;
        self.counters.acquired::<M>();
        self.counters.waited::<M>(since.elapsed());
        Some(state)
    }

    /// # Safety
    ///
    /// `state` comes from [`take`](Self::take) on this stripe, in the same mode, and no reference to the data is used
    /// after this call.
    #[inline]
    pub(crate) unsafe fn release<M: Mode>(&self, state: L::State)
    where
        L: RawAcquire<M>,
    {
        // SAFETY: the caller has it from `take`, which has it from this raw lock.
        unsafe { self.raw.release(state) }
    }

    /// # Safety
    ///
    /// As for [`release`](Self::release).
    #[inline]
    pub(crate) unsafe fn release_fair<M: Mode>(&self, state: L::State)
    where
        L: RawAcquireFair<M>,
    {
        // SAFETY: the caller has it from `take`, which has it from this raw lock.
        unsafe { self.raw.release_fair(state) }
    }

    #[inline]
    pub(crate) fn raw(&self) -> &L {
        &self.raw
    }

    /// The data. It may be dereferenced only while the stripe is held.
    #[inline]
    pub(crate) fn data(&self) -> *mut T {
        self.data.get()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }

    pub(crate) fn into_inner(self) -> T {
        self.data.into_inner()
    }

    #[cfg(feature = "stats")]
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }
}
