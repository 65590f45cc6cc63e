//! A record of what each thread holds, in debug builds and with the feature `check`. With it, a deadlock becomes a panic
//! that names both places.
//!
//! A thread that waits for a stripe must not hold that stripe, nor a higher one of the same set. Both happen by accident,
//! because two keys may share a stripe, and because the keys do not show the order of their stripes. An upgrade waits for
//! readers, so its stripe has to be the highest. Only waiting is checked: what a `try_` method takes is recorded, but trying
//! can't deadlock. A thread may wait for a stripe of a reentrant lock that it holds; the order of the others is checked.
//!
//! A guard counts for the thread that took it until it is dropped (on any thread) or handed over.
//!
//! In other builds, and without `std`, all types and functions of this module are empty. The locks of a model keep no record
//! either: its models use the record alone, by `model`.

#[cfg(all(any(debug_assertions, feature = "check", loom), feature = "std"))]
mod entries;
#[cfg(all(any(debug_assertions, feature = "check", loom), feature = "std"))]
mod list;
#[cfg(all(loom, feature = "std"))]
pub mod model;
#[cfg(all(any(debug_assertions, feature = "check", loom), feature = "std"))]
#[cfg_attr(loom, allow(dead_code, reason = "models use a part"))]
mod on;
#[cfg(all(any(debug_assertions, feature = "check", loom), feature = "std"))]
mod place;

#[cfg(all(any(debug_assertions, feature = "check"), feature = "std", not(loom)))]
pub(crate) use on::{Held, SetId, Suspended};

#[cfg(not(all(any(debug_assertions, feature = "check"), feature = "std", not(loom))))]
pub(crate) use off::{Held, SetId, Suspended};

#[cfg(not(all(any(debug_assertions, feature = "check"), feature = "std", not(loom))))]
#[allow(clippy::unused_self, clippy::extra_unused_type_parameters, reason = "the same interface as `on`")]
mod off {
    use crate::blocking::holding::Holding;
    use crate::blocking::raw::{Access, RawLock};
    use crate::shared::stripe_set::StripeSet;

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct SetId;

    impl SetId {
        pub(crate) const CHECKS: bool = false;

        #[inline]
        pub(crate) fn new<L: RawLock>() -> Self {
            Self
        }

        #[inline]
        pub(crate) fn check<L>(self, _: &StripeSet, _: &impl Holding<L>) {}

        #[inline]
        pub(crate) fn check_anew<L>(self, _: &StripeSet, _: &impl Holding<L>, _: &Held) {}

        #[inline]
        pub(crate) fn check_one(self, _: impl FnOnce() -> usize, _: usize, _: Access) {}

        #[cfg(feature = "tracing")]
        pub(crate) fn holder_of(self, _: usize) -> Option<&'static core::panic::Location<'static>> {
            None
        }

        #[inline]
        pub(crate) fn record<L>(self, _: &StripeSet, _: &impl Holding<L>) -> Held {
            Held
        }

        #[inline]
        pub(crate) fn record_one(self, _: usize, _: usize, _: Access) -> Held {
            Held
        }
    }

    #[derive(Debug)]
    pub(crate) struct Held;

    impl Held {
        #[inline]
        pub(crate) fn none() -> Self {
            Self
        }

        #[inline]
        pub(crate) fn add(&mut self, _: usize) {}

        #[inline]
        pub(crate) fn remove(&mut self, _: usize) {}

        #[inline]
        pub(crate) fn held_as(self, _: Access) -> Self {
            self
        }

        #[inline]
        pub(crate) fn check_again(&self, _: Access) {}

        #[inline]
        pub(crate) fn suspend(&mut self) -> Suspended {
            Suspended
        }

        #[inline]
        pub(crate) fn resume(&mut self, _: Suspended) {}

        #[inline]
        pub(crate) fn end(&mut self) {}
    }

    #[derive(Debug)]
    pub(crate) struct Suspended;

    impl Suspended {
        #[inline]
        pub(crate) fn check(&self) {}
    }
}
