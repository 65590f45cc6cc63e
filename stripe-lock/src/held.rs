//! Debug builds: a record of what each thread holds, so that a deadlock becomes a panic that names both places.
//!
//! A thread that waits for a stripe must not hold that stripe, nor a higher one of the same set. Both happen by accident,
//! because two keys may share a stripe, and because the keys do not show the order of their stripes. An upgrade waits for
//! readers, so its stripe has to be the highest. Only waiting is checked: what a `try_` method takes is recorded, but trying
//! can't deadlock. Reentrant locks are exempt.
//!
//! A guard counts for the thread that took it until it is dropped, wherever that happens, or handed over.
//!
//! The record is a search tree of guards by their highest stripes, since that stripe decides whether a wait is an error.
//! The cost of a guard grows with the logarithm of the number of guards that its thread holds.
//!
//! In release builds, without `std`, and under a model checker (whose threads share the thread-local record) all of
//! this is empty types and empty functions.

#[cfg(all(debug_assertions, feature = "std", not(stripe_lock_loom)))]
pub(crate) use on::{Held, SetId, Suspended};

#[cfg(not(all(debug_assertions, feature = "std", not(stripe_lock_loom))))]
pub(crate) use off::{Held, SetId, Suspended};

#[cfg(all(debug_assertions, feature = "std", not(stripe_lock_loom)))]
mod on {
    use std::collections::BTreeMap;
    use std::format;
    use std::panic::Location;
    use std::string::String;
    #[cfg(feature = "tracing")]
    use std::sync::Weak;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
    #[cfg(feature = "tracing")]
    use std::vec::Vec;

    use crate::StripeSet;
    use crate::holding::Holding;
    use crate::raw::{Access, RawLock};

    static NEXT: AtomicU64 = AtomicU64::new(0);

    /// What a thread holds. Shared, because a guard may be dropped on another thread than the one that took it.
    type List = Arc<Mutex<Entries>>;

    thread_local! {
        static MINE: List = new_list();
    }

    /// The lists of all threads, to find the holder of a stripe.
    #[cfg(feature = "tracing")]
    static LISTS: Mutex<Vec<Weak<Mutex<Entries>>>> = Mutex::new(Vec::new());

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

    /// The place of a guard in the tree: by set, and there by the highest stripe, if it holds any.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    struct Key {
        set: u64,
        highest: Option<usize>,
        id: u64,
    }

    /// One guard.
    #[derive(Debug)]
    struct Entry {
        stripes: StripeSet,
        accesses: Accesses,
        at: &'static Location<'static>,
    }

    /// How the stripes of a guard are held, or wanted.
    #[derive(Clone, Debug)]
    enum Accesses {
        All(Access),
        /// These exclusively, the others shared.
        Writes(StripeSet),
    }

    impl Accesses {
        fn of<L>(holding: &impl Holding<L>) -> Self {
            holding
                .writes()
                .map_or_else(|| Self::All(holding.access(0)), |writes| Self::Writes(writes.clone()))
        }

        fn to(&self, stripe: usize) -> Access {
            match self {
                Self::All(access) => *access,
                Self::Writes(writes) if writes.contains(stripe) => Access::Exclusive,
                Self::Writes(_) => Access::Shared,
            }
        }
    }

    /// Whether holders with these accesses exclude each other.
    fn exclude(one: Access, other: Access) -> bool {
        one != Access::Shared && other != Access::Shared || [one, other].contains(&Access::Exclusive)
    }

    #[derive(Debug, Default)]
    struct Entries(BTreeMap<Key, Entry>);

    impl Entries {
        fn insert(&mut self, set: u64, id: u64, entry: Entry) -> Key {
            let key = Key { set, highest: entry.stripes.last(), id };
            self.0.insert(key, entry);
            key
        }

        /// Why a thread that holds all this must not wait for `wanted` of `set`, if that is so: for nothing of it but
        /// the guard `own`.
        #[track_caller]
        fn complaint(
            &self,
            set: u64,
            wanted: &StripeSet,
            accesses: &Accesses,
            own: Option<Key>,
        ) -> Option<String> {
            let first = wanted.first()?;
            let from = Key { set, highest: Some(first), id: 0 };
            let to = Key { set: set + 1, highest: None, id: 0 };
            let reaching = self.0.range(from..to).rev().filter(|(key, _)| Some(**key) != own);
            // One that comes so far is one too many; the others are asked for the better complaint alone.
            let (highest, last) = reaching.clone().next()?;
            let here = Location::caller();
            let advice = "keys that are needed together have to be taken together (lock_many), or added to the guard of \
                          several keys (extend)";
            let both = |entry: &Entry| wanted.iter().find(|&stripe| entry.stripes.contains(stripe));
            if let Some((stripe, entry)) = reaching.clone().find_map(|(_, entry)| Some((both(entry)?, entry)))
            {
                let at = entry.at;
                return Some(if exclude(accesses.to(stripe), entry.accesses.to(stripe)) {
                    format!(
                        "waiting for stripe {stripe} at {here} would never end, since this thread took it at {at}: \
                         {advice}"
                    )
                } else {
                    format!(
                        "reading stripe {stripe} once more at {here} may never end, since this thread reads it already, \
                         taken at {at}, and a writer who waits for that may go before the second reader: {advice}"
                    )
                });
            }
            let (highest, at) = (highest.highest?, last.at);
            Some(format!(
                "waiting for stripe {first} at {here} would break the order, since this thread took stripe {highest} at \
                 {at}: {advice}"
            ))
        }
    }

    fn entries(list: &List) -> MutexGuard<'_, Entries> {
        list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[track_caller]
    fn panic_with(complaint: Option<String>) {
        if let Some(complaint) = complaint {
            panic!("{complaint}");
        }
    }

    /// The identity of a striped lock; none if it is exempt.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct SetId(Option<u64>);

    impl SetId {
        pub(crate) fn new<L: RawLock>() -> Self {
            Self((!L::REENTRANT).then(|| NEXT.fetch_add(1, Relaxed)))
        }

        #[track_caller]
        fn check_access(self, wanted: &StripeSet, accesses: &Accesses, own: Option<Key>) {
            let Some(set) = self.0 else { return };
            // Without thread-local storage (the thread is ending) nothing is checked, and nothing was noted either.
            let Ok(mine) = MINE.try_with(Clone::clone) else { return };
            let complaint = entries(&mine).complaint(set, wanted, accesses, own);
            panic_with(complaint);
        }

        /// Panics if waiting for `wanted` could be waiting for oneself.
        #[track_caller]
        pub(crate) fn check<L>(self, wanted: &StripeSet, holding: &impl Holding<L>) {
            self.check_access(wanted, &Accesses::of(holding), None);
        }

        /// As [`check`](Self::check), after the release of what `released` stands for.
        #[track_caller]
        pub(crate) fn check_anew<L>(self, wanted: &StripeSet, holding: &impl Holding<L>, released: &Held) {
            self.check_access(wanted, &Accesses::of(holding), released.0.as_ref().map(|(key, _)| *key));
        }

        #[track_caller]
        pub(crate) fn check_one(self, stripe: usize, stripes: usize, access: Access) {
            self.check_access(&one(stripe, stripes), &Accesses::All(access), None);
        }

        /// Where a holder of this stripe has taken it.
        #[cfg(feature = "tracing")]
        pub(crate) fn holder_of(self, stripe: usize) -> Option<&'static Location<'static>> {
            let set = self.0?;
            let lists = LISTS.lock().unwrap_or_else(PoisonError::into_inner);
            let (from, to) =
                (Key { set, highest: Some(stripe), id: 0 }, Key { set: set + 1, highest: None, id: 0 });
            lists.iter().filter_map(Weak::upgrade).find_map(|list| {
                let entries = entries(&list);
                let holder = entries.0.range(from..to).find(|(_, entry)| entry.stripes.contains(stripe));
                holder.map(|(_, entry)| entry.at)
            })
        }

        #[track_caller]
        fn record_access(self, stripes: StripeSet, accesses: Accesses) -> Held {
            let (Some(set), Ok(list)) = (self.0, MINE.try_with(Clone::clone)) else { return Held::none() };
            let id = NEXT.fetch_add(1, Relaxed);
            let key = entries(&list).insert(set, id, Entry { stripes, accesses, at: Location::caller() });
            Held(Some((key, list)))
        }

        /// Notes that this thread holds `stripes`, until the record is dropped.
        #[track_caller]
        pub(crate) fn record<L>(self, stripes: &StripeSet, holding: &impl Holding<L>) -> Held {
            self.record_access(stripes.clone(), Accesses::of(holding))
        }

        #[track_caller]
        pub(crate) fn record_one(self, stripe: usize, stripes: usize, access: Access) -> Held {
            self.record_access(one(stripe, stripes), Accesses::All(access))
        }
    }

    fn one(stripe: usize, stripes: usize) -> StripeSet {
        let mut set = StripeSet::empty(stripes);
        set.insert(stripe);
        set
    }

    /// Stands for one guard in a list.
    #[derive(Debug)]
    pub(crate) struct Held(Option<(Key, List)>);

    impl Held {
        /// Stands for nothing.
        pub(crate) fn none() -> Self {
            Self(None)
        }

        fn change(&mut self, change: impl FnOnce(&mut Entry)) {
            let Some((key, list)) = &mut self.0 else { return };
            let mut entries = entries(list);
            if let Some(mut entry) = entries.0.remove(key) {
                change(&mut entry);
                *key = entries.insert(key.set, key.id, entry);
            }
        }

        /// Notes one more stripe.
        pub(crate) fn add(&mut self, stripe: usize) {
            self.change(|entry| _ = entry.stripes.insert(stripe));
        }

        /// Notes one stripe less. To be called before the release, as [`end`](Self::end).
        pub(crate) fn remove(&mut self, stripe: usize) {
            self.change(|entry| _ = entry.stripes.remove(stripe));
        }

        /// Notes that the stripes are held in another way from now on.
        pub(crate) fn held_as(mut self, access: Access) -> Self {
            self.change(|entry| entry.accesses = Accesses::All(access));
            self
        }

        /// Panics if waiting for what this stands for, in this way, could be waiting for oneself.
        #[track_caller]
        pub(crate) fn check_again(&self, access: Access) {
            let Some((key, list)) = &self.0 else { return };
            let entries = entries(list);
            let Some(own) = entries.0.get(key) else { return };
            let complaint = entries.complaint(key.set, &own.stripes, &Accesses::All(access), Some(*key));
            drop(entries);
            panic_with(complaint);
        }

        /// Takes the guard off the record while its stripes are released; to be put back by [`resume`](Self::resume).
        pub(crate) fn suspend(&mut self) -> Suspended {
            Suspended(self.0.take().and_then(|(key, list)| {
                let entry = entries(&list).0.remove(&key)?;
                Some((key, entry, list))
            }))
        }

        /// Puts the guard back on the record, once its stripes are held again.
        pub(crate) fn resume(&mut self, Suspended(held): Suspended) {
            self.0 = held.map(|(key, entry, list)| {
                entries(&list).0.insert(key, entry);
                (key, list)
            });
        }

        /// Ends the entry. To be called before the release: as soon as others can take the stripe, the thread that
        /// held it may want it again.
        pub(crate) fn end(&mut self) {
            if let Some((key, list)) = self.0.take() {
                entries(&list).0.remove(&key);
            }
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            self.end();
        }
    }

    /// A guard that was taken off its list for a while.
    #[derive(Debug)]
    pub(crate) struct Suspended(Option<(Key, Entry, List)>);

    impl Suspended {
        /// Panics if waiting for the stripes again could be waiting for oneself.
        #[track_caller]
        pub(crate) fn check(&self) {
            let Some((key, entry, list)) = &self.0 else { return };
            let complaint = entries(list).complaint(key.set, &entry.stripes, &entry.accesses, None);
            panic_with(complaint);
        }
    }
}

#[cfg(not(all(debug_assertions, feature = "std", not(stripe_lock_loom))))]
#[allow(clippy::unused_self, clippy::extra_unused_type_parameters, reason = "the same face as `on`")]
mod off {
    use crate::StripeSet;
    use crate::holding::Holding;
    use crate::raw::{Access, RawLock};

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct SetId;

    impl SetId {
        #[inline]
        pub(crate) fn new<L: RawLock>() -> Self {
            Self
        }

        #[inline]
        pub(crate) fn check<L>(self, _: &StripeSet, _: &impl Holding<L>) {}

        #[inline]
        pub(crate) fn check_anew<L>(self, _: &StripeSet, _: &impl Holding<L>, _: &Held) {}

        #[inline]
        pub(crate) fn check_one(self, _: usize, _: usize, _: Access) {}

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
