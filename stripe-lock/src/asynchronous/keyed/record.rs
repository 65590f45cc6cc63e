//! Debug builds, and the feature `check`: a record of the keys that each thread holds, so that a thread panics
//! instead of waiting for itself.
//!
//! The caller chooses the order in which single keys are locked: any order on which all threads agree is right. So
//! the record can detect one error only: a thread that waits for a key that it holds.

use super::tags::Tag;

#[cfg(not(all(any(debug_assertions, feature = "check"), not(loom))))]
pub(super) use off::{SetId, ThreadRecord};
#[cfg(all(any(debug_assertions, feature = "check"), not(loom)))]
pub(super) use on::{SetId, ThreadRecord};

/// What a guard leaves on record until it is dropped.
pub trait Recording: Default {
    /// Panics if this thread holds one of these keys.
    #[track_caller]
    fn check(_: SetId, _: &[Tag]) {}

    /// Notes that this thread holds these keys.
    #[track_caller]
    fn of(_: SetId, _: &[Tag]) -> Self {
        Self::default()
    }

    /// Notes that the guard holds this key, too.
    #[track_caller]
    fn add(&mut self, _: SetId, _: Tag) {}

    /// Notes that the guard holds this key no longer.
    fn remove(&mut self, _: Tag) {}
}

/// No record for tasks, whose guards move between threads.
impl Recording for () {}

#[cfg(all(any(debug_assertions, feature = "check"), not(loom)))]
mod on {
    use std::cell::{Cell, RefCell};
    use std::marker::PhantomData;
    use std::num::NonZeroU64;
    use std::panic::Location;
    use std::sync::MutexGuard;
    use std::sync::atomic::Ordering::Relaxed;

    use crate::shared::atomic::AtomicU64;

    use super::super::tags::Tag;
    use super::Recording;

    static NEXT: AtomicU64 = AtomicU64::new(1);

    /// One key that is held.
    struct Entry {
        /// The guard that holds the key.
        guard: NonZeroU64,
        set: SetId,
        tag: Tag,
        at: &'static Location<'static>,
    }

    thread_local! {
        static HELD: RefCell<Vec<Entry>> = const { RefCell::new(Vec::new()) };

        /// The guards that this thread has had.
        static GUARDS: Cell<u64> = const { Cell::new(0) };
    }

    /// Whether the holder of `held` has to release it before another guard can get `tags`.
    fn excludes(held: Tag, tags: &[Tag]) -> bool {
        held == Tag::EVERY || tags.contains(&Tag::EVERY) || tags.contains(&held)
    }

    /// Identifies a set, even if its memory is reused for another set.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SetId(u64);

    impl SetId {
        pub(in crate::asynchronous::keyed) fn new() -> Self {
            Self(NEXT.fetch_add(1, Relaxed))
        }
    }

    /// Identifies a guard in the record of its thread.
    #[derive(Debug, Default)]
    pub struct ThreadRecord(Option<NonZeroU64>, PhantomData<MutexGuard<'static, ()>>);

    impl Recording for ThreadRecord {
        #[track_caller]
        fn check(set: SetId, tags: &[Tag]) {
            let held = HELD.try_with(|held| {
                let held = held.borrow();
                let entry = held.iter().find(|entry| entry.set == set && excludes(entry.tag, tags))?;
                Some(entry.at)
            });
            if let Ok(Some(at)) = held {
                panic!(
                    "this thread would wait for itself: at {} it waits for a key that it has held since {at}",
                    Location::caller()
                );
            }
        }

        #[track_caller]
        fn of(set: SetId, tags: &[Tag]) -> Self {
            let mut record = Self::default();
            for &tag in tags {
                record.add(set, tag);
            }
            record
        }

        #[track_caller]
        fn add(&mut self, set: SetId, tag: Tag) {
            let at = Location::caller();
            let guard = *self.0.get_or_insert_with(|| {
                GUARDS.with(|guards| {
                    guards.set(guards.get() + 1);
                    NonZeroU64::new(guards.get()).expect("no thread has had so many guards")
                })
            });
            let _ = HELD.try_with(|held| held.borrow_mut().push(Entry { guard, set, tag, at }));
        }

        fn remove(&mut self, tag: Tag) {
            let guard = self.0;
            let _ = HELD.try_with(|held| {
                held.borrow_mut().retain(|entry| Some(entry.guard) != guard || entry.tag != tag);
            });
        }
    }

    impl Drop for ThreadRecord {
        fn drop(&mut self) {
            if let Some(guard) = self.0 {
                let _ = HELD.try_with(|held| {
                    let mut held = held.borrow_mut();
                    if held.last().is_some_and(|entry| entry.guard == guard) {
                        held.pop();
                    }
                    if held.iter().any(|entry| entry.guard == guard) {
                        held.retain(|entry| entry.guard != guard);
                    }
                });
            }
        }
    }
}

#[cfg(not(all(any(debug_assertions, feature = "check"), not(loom))))]
mod off {
    use std::marker::PhantomData;
    use std::sync::MutexGuard;

    use super::Recording;

    /// The empty identity of builds without a record.
    #[derive(Clone, Copy, Debug)]
    pub struct SetId;

    impl SetId {
        pub(in crate::asynchronous::keyed) fn new() -> Self {
            Self
        }
    }

    /// The empty record. It only makes a guard `!Send`.
    #[derive(Debug, Default)]
    pub struct ThreadRecord(PhantomData<MutexGuard<'static, ()>>);

    impl Recording for ThreadRecord {}
}
