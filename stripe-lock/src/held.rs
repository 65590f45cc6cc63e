//! Debug builds: a record of what each thread holds, so that a deadlock becomes a panic that names both places.
//!
//! A thread that waits for a stripe must not hold that stripe, nor a higher one of the same set. Both happen without
//! anybody meaning to, since two keys may share a stripe, and since nobody sees the order of stripes from the keys.
//! An upgrade waits too, for readers, and so has to be the highest. Only waiting is checked: what a `try_` method takes
//! is recorded, but trying can't deadlock. Reentrant locks are exempt.
//!
//! A guard counts for the thread that took it until it is dropped, wherever that happens, or handed over.
//!
//! In release builds, without `std`, and under a model checker (whose threads share the thread-local record) all of
//! this is empty types and empty functions.

#[cfg(all(debug_assertions, feature = "std", not(stripe_lock_loom)))]
pub(crate) use on::{Held, SetId};

#[cfg(not(all(debug_assertions, feature = "std", not(stripe_lock_loom))))]
pub(crate) use off::{Held, SetId};

#[cfg(all(debug_assertions, feature = "std", not(stripe_lock_loom)))]
mod on {
    use std::format;
    use std::panic::Location;
    use std::string::String;
    #[cfg(feature = "tracing")]
    use std::sync::Weak;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
    use std::vec::Vec;

    use crate::StripeSet;
    use crate::raw::RawLock;

    static NEXT: AtomicU64 = AtomicU64::new(0);

    /// What a thread holds. Shared, because a guard may be dropped on another thread than the one that took it.
    type List = Arc<Mutex<Vec<Entry>>>;

    thread_local! {
        static MINE: List = new_list();
    }

    /// The lists of all threads, for who wants to know who holds a stripe.
    #[cfg(feature = "tracing")]
    static LISTS: Mutex<Vec<Weak<Mutex<Vec<Entry>>>>> = Mutex::new(Vec::new());

    fn new_list() -> List {
        let list = List::default();
        #[cfg(feature = "tracing")]
        {
            let mut lists = LISTS.lock().unwrap_or_else(PoisonError::into_inner);
            lists.retain(|list| list.strong_count() > 0);
            lists.push(Arc::downgrade(&list));
        }
        list
    }

    #[derive(Debug)]
    struct Entry {
        id: u64,
        set: u64,
        stripes: StripeSet,
        at: &'static Location<'static>,
    }

    fn entries(list: &List) -> MutexGuard<'_, Vec<Entry>> {
        list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why a thread that holds `held` must not wait for `wanted`, if that is so.
    #[track_caller]
    fn complaint<'e>(held: impl Iterator<Item = &'e Entry> + Clone, wanted: &StripeSet) -> Option<String> {
        let here = Location::caller();
        let advice = "keys that are needed together have to be taken together (lock_many), or added to the guard of \
                      several keys (extend)";
        let first = wanted.first()?;
        let twice = |entry: &'e Entry| wanted.iter().find(|&stripe| entry.stripes.contains(stripe));
        if let Some((stripe, at)) = held.clone().find_map(|entry| Some((twice(entry)?, entry.at))) {
            return Some(format!(
                "waiting for stripe {stripe} at {here} would never end, since this thread took it at {at}: {advice}"
            ));
        }
        let above = held.filter_map(|entry| Some((entry.stripes.last()?, entry.at)));
        let (highest, at) =
            above.max_by_key(|&(highest, _)| highest).filter(|&(highest, _)| first < highest)?;
        Some(format!(
            "waiting for stripe {first} at {here} would break the order, since this thread took stripe {highest} at \
             {at}: {advice}"
        ))
    }

    /// The identity of a striped lock; none if it is exempt.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct SetId(Option<u64>);

    impl SetId {
        pub(crate) fn new<L: RawLock>() -> Self {
            Self((!L::REENTRANT).then(|| NEXT.fetch_add(1, Relaxed)))
        }

        /// Panics if waiting for `wanted` could be waiting for oneself.
        #[track_caller]
        pub(crate) fn check(self, wanted: &StripeSet) {
            let Some(set) = self.0 else { return };
            // Without thread-local storage (the thread is ending) nothing is checked, and nothing was noted either.
            let Ok(mine) = MINE.try_with(Clone::clone) else { return };
            let complaint = complaint(entries(&mine).iter().filter(|entry| entry.set == set), wanted);
            if let Some(complaint) = complaint {
                panic!("{complaint}");
            }
        }

        #[track_caller]
        pub(crate) fn check_one(self, stripe: usize, stripes: usize) {
            self.check(&one(stripe, stripes));
        }

        /// Where somebody who holds this stripe has taken it.
        #[cfg(feature = "tracing")]
        pub(crate) fn holder_of(self, stripe: usize) -> Option<&'static Location<'static>> {
            let set = self.0?;
            let lists = LISTS.lock().unwrap_or_else(PoisonError::into_inner);
            lists.iter().filter_map(Weak::upgrade).find_map(|list| {
                let entries = entries(&list);
                let holds = |entry: &&Entry| entry.set == set && entry.stripes.contains(stripe);
                entries.iter().find(holds).map(|entry| entry.at)
            })
        }

        /// Notes that this thread holds `stripes`, until the record is dropped.
        #[track_caller]
        pub(crate) fn record(self, stripes: &StripeSet) -> Held {
            let (Some(set), Ok(list)) = (self.0, MINE.try_with(Clone::clone)) else { return Held::none() };
            let id = NEXT.fetch_add(1, Relaxed);
            entries(&list).push(Entry { id, set, stripes: stripes.clone(), at: Location::caller() });
            Held(Some((id, list)))
        }

        #[track_caller]
        pub(crate) fn record_one(self, stripe: usize, stripes: usize) -> Held {
            self.record(&one(stripe, stripes))
        }
    }

    fn one(stripe: usize, stripes: usize) -> StripeSet {
        let mut set = StripeSet::empty(stripes);
        set.insert(stripe);
        set
    }

    /// Stands for one entry of a list, by its id.
    #[derive(Debug)]
    pub(crate) struct Held(Option<(u64, List)>);

    impl Held {
        /// Stands for nothing.
        pub(crate) fn none() -> Self {
            Self(None)
        }

        /// Notes one more stripe.
        pub(crate) fn add(&self, stripe: usize) {
            let Some((id, list)) = &self.0 else { return };
            if let Some(entry) = entries(list).iter_mut().find(|entry| entry.id == *id) {
                entry.stripes.insert(stripe);
            }
        }

        /// Panics if waiting for the readers of what this stands for could be waiting for oneself.
        #[track_caller]
        pub(crate) fn check_upgrade(&self) {
            let Some((id, list)) = &self.0 else { return };
            let entries = entries(list);
            let Some(own) = entries.iter().find(|entry| entry.id == *id) else { return };
            let others = entries.iter().filter(|entry| entry.set == own.set && entry.id != own.id);
            let complaint = complaint(others, &own.stripes);
            drop(entries);
            if let Some(complaint) = complaint {
                panic!("{complaint}");
            }
        }

        /// Ends the entry. To be called before the release: as soon as others can take the stripe, the thread that
        /// held it may want it again.
        pub(crate) fn end(&mut self) {
            if let Some((id, list)) = self.0.take() {
                entries(&list).retain(|entry| entry.id != id);
            }
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            self.end();
        }
    }
}

#[cfg(not(all(debug_assertions, feature = "std", not(stripe_lock_loom))))]
#[allow(clippy::unused_self, clippy::extra_unused_type_parameters, reason = "the same face as `on`")]
mod off {
    use crate::StripeSet;
    use crate::raw::RawLock;

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct SetId;

    impl SetId {
        #[inline]
        pub(crate) fn new<L: RawLock>() -> Self {
            Self
        }

        #[inline]
        pub(crate) fn check(self, _: &StripeSet) {}

        #[inline]
        pub(crate) fn check_one(self, _: usize, _: usize) {}

        #[cfg(feature = "tracing")]
        pub(crate) fn holder_of(self, _: usize) -> Option<&'static core::panic::Location<'static>> {
            None
        }

        #[inline]
        pub(crate) fn record(self, _: &StripeSet) -> Held {
            Held
        }

        #[inline]
        pub(crate) fn record_one(self, _: usize, _: usize) -> Held {
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
        pub(crate) fn add(&self, _: usize) {}

        #[inline]
        pub(crate) fn check_upgrade(&self) {}

        #[inline]
        pub(crate) fn end(&mut self) {}
    }
}
