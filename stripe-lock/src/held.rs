//! Debug builds: a record of what each thread holds, so that a deadlock becomes a panic that names both places.
//!
//! A thread that waits for a stripe must not hold that stripe, nor a higher one of the same set. Both happen without
//! anybody meaning to, since two keys may share a stripe, and since nobody sees the order of stripes from the keys.
//! Only waiting is checked: what a `try_` method takes is recorded, but trying can't deadlock.
//!
//! In release builds, without `std`, and under a model checker (whose threads share the thread-local record) all of
//! this is empty types and empty functions.

#[cfg(all(debug_assertions, feature = "std", not(stripe_lock_loom)))]
pub(crate) use on::{Held, SetId};

#[cfg(not(all(debug_assertions, feature = "std", not(stripe_lock_loom))))]
pub(crate) use off::{Held, SetId};

#[cfg(all(debug_assertions, feature = "std", not(stripe_lock_loom)))]
mod on {
    use std::panic::Location;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::sync::{Arc, Mutex, PoisonError};

    use crate::StripeSet;

    static NEXT: AtomicU64 = AtomicU64::new(0);

    /// What a thread holds. Shared, because a guard may be dropped on another thread than the one that took it.
    type List = Arc<Mutex<Vec<Entry>>>;

    thread_local! {
        static MINE: List = List::default();
    }

    #[derive(Debug)]
    struct Entry {
        id: u64,
        set: u64,
        stripes: StripeSet,
        at: &'static Location<'static>,
    }

    /// The identity of a striped lock.
    #[derive(Debug)]
    pub(crate) struct SetId(u64);

    impl SetId {
        pub(crate) fn new() -> Self {
            Self(NEXT.fetch_add(1, Relaxed))
        }

        /// Panics if waiting for `wanted` could be waiting for oneself.
        #[track_caller]
        pub(crate) fn check(&self, wanted: &StripeSet) {
            let Some(first) = wanted.first() else { return };
            let complaint = MINE.try_with(|mine| {
                let mine = mine.lock().unwrap_or_else(PoisonError::into_inner);
                mine.iter().filter(|entry| entry.set == self.0).find_map(|entry| {
                    let highest = entry.stripes.last().filter(|&highest| first <= highest)?;
                    let at = entry.at;
                    Some(match wanted.iter().find(|&stripe| entry.stripes.contains(stripe)) {
                        Some(stripe) => format!(
                            "this thread already holds stripe {stripe}, taken at {at}, and would wait for itself: keys \
                             that are needed together have to be taken together, or with try_extend"
                        ),
                        None => format!(
                            "this thread holds stripe {highest}, taken at {at}, and would wait for stripe {first} \
                             below it, against the order: keys that are needed together have to be taken together, or \
                             with try_extend"
                        ),
                    })
                })
            });
            if let Ok(Some(complaint)) = complaint {
                panic!("{complaint}");
            }
        }

        #[track_caller]
        pub(crate) fn check_one(&self, stripe: usize, stripes: usize) {
            self.check(&one(stripe, stripes));
        }

        /// Notes that this thread holds `stripes`, until the record is dropped.
        #[track_caller]
        pub(crate) fn record(&self, stripes: &StripeSet) -> Held {
            let id = NEXT.fetch_add(1, Relaxed);
            let entry = Entry { id, set: self.0, stripes: stripes.clone(), at: Location::caller() };
            // Without thread-local storage (the thread is ending) nothing is noted, and nothing is checked either.
            let list = MINE.try_with(|mine| {
                mine.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
                mine.clone()
            });
            Held { id, list: list.unwrap_or_default() }
        }

        #[track_caller]
        pub(crate) fn record_one(&self, stripe: usize, stripes: usize) -> Held {
            self.record(&one(stripe, stripes))
        }
    }

    fn one(stripe: usize, stripes: usize) -> StripeSet {
        let mut set = StripeSet::empty(stripes);
        set.insert(stripe);
        set
    }

    /// Holds one entry of the record.
    #[derive(Debug, Default)]
    pub(crate) struct Held {
        id: u64,
        list: List,
    }

    impl Held {
        pub(crate) fn add(&self, stripe: usize) {
            let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(entry) = list.iter_mut().find(|entry| entry.id == self.id) {
                entry.stripes.insert(stripe);
            }
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            self.list.lock().unwrap_or_else(PoisonError::into_inner).retain(|entry| entry.id != self.id);
        }
    }
}

#[cfg(not(all(debug_assertions, feature = "std", not(stripe_lock_loom))))]
#[allow(clippy::unused_self, reason = "the same face as `on`")]
mod off {
    use crate::StripeSet;

    #[derive(Debug)]
    pub(crate) struct SetId;

    impl SetId {
        #[inline]
        pub(crate) fn new() -> Self {
            Self
        }

        #[inline]
        pub(crate) fn check(&self, _: &StripeSet) {}

        #[inline]
        pub(crate) fn check_one(&self, _: usize, _: usize) {}

        #[inline]
        pub(crate) fn record(&self, _: &StripeSet) -> Held {
            Held(())
        }

        #[inline]
        pub(crate) fn record_one(&self, _: usize, _: usize) -> Held {
            Held(())
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct Held(());

    impl Held {
        #[inline]
        pub(crate) fn add(&self, _: usize) {}
    }
}
