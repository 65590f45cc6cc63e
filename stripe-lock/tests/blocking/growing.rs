//! Sets whose stripes are split and merged while they are in use.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

use stripe_lock::blocking::{Split, StripedLock};
use stripe_lock::lock_api::{GuardNoSend, RawMutex};
use stripe_lock::{DefaultHasher, StripedMutex, StripedRwLock, raw};

/// A raw mutex that reports when a thread waits for it. Each test that uses it has a number of its own.
struct Announced<const TEST: usize>(parking_lot::RawMutex);

static WAITING: [AtomicUsize; 6] = [const { AtomicUsize::new(0) }; 6];

// SAFETY: the inner mutex implements it.
unsafe impl<const TEST: usize> RawMutex for Announced<TEST> {
    #[allow(clippy::declare_interior_mutable_const, reason = "required by the trait")]
    const INIT: Self = Self(<parking_lot::RawMutex as RawMutex>::INIT);
    type Guard = GuardNoSend;

    fn lock(&self) -> GuardNoSend {
        WAITING[TEST].fetch_add(1, SeqCst);
        let guard = self.0.lock();
        WAITING[TEST].fetch_sub(1, SeqCst);
        guard
    }

    fn try_lock(&self) -> Option<GuardNoSend> {
        self.0.try_lock()
    }

    unsafe fn unlock(&self, guard: GuardNoSend) {
        // SAFETY: the caller holds the inner mutex.
        unsafe { self.0.unlock(guard) }
    }

    fn is_locked(&self) -> bool {
        self.0.is_locked()
    }
}

type Announcing<const TEST: usize> = StripedMutex<u64, (), Announced<TEST>, DefaultHasher>;

/// Two keys whose stripes differ when the set is fully grown.
fn two_keys<T, L, S: std::hash::BuildHasher>(locks: &StripedLock<u64, T, L, S>) -> (u64, u64)
where
    T: Split<u64>,
    L: raw::RawAcquire<raw::Exclusive>,
{
    let before = locks.active_stripes().len();
    assert!(locks.resize(locks.stripes()));
    let other = (1..1_000).find(|key| locks.stripe_of(key) != locks.stripe_of(&0)).unwrap();
    assert!(locks.resize(before));
    (0, other)
}

/// Makes another thread wait for `waits` while this one holds `holds`.
fn meet<const TEST: usize>(locks: &Announcing<TEST>, holds: u64, waits: u64) {
    let guard = locks.lock(&holds);
    thread::scope(|scope| {
        scope.spawn(|| drop(locks.lock(&waits)));
        while WAITING[TEST].load(SeqCst) == 0 {
            thread::yield_now();
        }
        drop(guard);
    });
}

#[test]
fn false_contention_splits_up_to_the_maximum() {
    let locks = Announcing::<0>::growing_with_hasher(1..=2, DefaultHasher::default());
    let (one, other) = two_keys(&locks);
    for _ in 0..3 {
        meet(&locks, one, other);
        assert_eq!(locks.active_stripes().len(), 1);
    }
    meet(&locks, one, other);
    assert!(locks.active_stripes().iter().eq([0, 1]));
    let _one = locks.lock(&one);
    assert!(locks.try_lock(&other).is_some(), "they share no stripe any more");
}

#[test]
fn true_contention_splits_nothing() {
    let locks = Announcing::<1>::growing_with_hasher(1..=64, DefaultHasher::default());
    for _ in 0..100 {
        meet(&locks, 7, 7);
    }
    assert_eq!(locks.active_stripes().len(), 1);
}

#[test]
fn operations_on_several_keys_count_and_split() {
    let locks = Announcing::<2>::growing_with_hasher(1..=64, DefaultHasher::default());
    let (one, other) = two_keys(&locks);
    for _ in 0..4 {
        let guard = locks.lock_many(&[one]);
        thread::scope(|scope| {
            scope.spawn(|| drop(locks.lock_many(&[other])));
            while WAITING[2].load(SeqCst) == 0 {
                thread::yield_now();
            }
            drop(guard);
        });
    }
    assert_eq!(locks.active_stripes().len(), 2);
}

#[test]
fn locking_all_is_no_false_contention() {
    let locks = Announcing::<3>::growing_with_hasher(1..=64, DefaultHasher::default());
    for _ in 0..20 {
        let guard = locks.lock(&7);
        thread::scope(|scope| {
            scope.spawn(|| drop(locks.lock_all()));
            while WAITING[3].load(SeqCst) == 0 {
                thread::yield_now();
            }
            drop(guard);
        });
    }
    assert_eq!(locks.active_stripes().len(), 1);
}

#[test]
fn resizing_goes_both_ways() {
    let locks = StripedMutex::<u64>::growing(4..=64);
    assert_eq!((locks.stripes(), locks.active_stripes().len()), (64, 4));
    for stripes in [64, 1, 16, 17, 2, 32] {
        assert!(locks.resize(stripes));
        let active = locks.active_stripes();
        assert_eq!(active.len(), usize::next_power_of_two(stripes));
        assert!(active.iter().eq((0..64).step_by(64 / active.len())));
        assert_eq!(locks.lock_all().stripes(), &active);
        assert!((0..1_000).all(|key| active.contains(locks.stripe_of(&key))));
    }
}

#[test]
fn a_set_that_does_not_grow_has_all_its_stripes() {
    assert_eq!(StripedMutex::<u64>::new(128).active_stripes().len(), 128);
}

fn follows_its_keys<T: Split<u64>>(insert: impl Fn(&mut T, u64), take: impl Fn(&mut T, u64) -> bool) {
    let locks = StripedMutex::<u64, T>::growing(2..=64);
    for key in 0..500 {
        insert(&mut locks.lock(&key), key);
    }
    for stripes in [64, 4, 1, 16] {
        locks.resize(stripes);
        for key in 0..500 {
            assert!(take(&mut locks.lock(&key), key), "{key} of {stripes}");
            insert(&mut locks.lock(&key), key);
        }
    }
}

#[test]
fn data_follows_its_keys() {
    follows_its_keys::<HashMap<u64, u64>>(
        |map, key| assert!(map.insert(key, key).is_none()),
        |map, key| map.remove(&key) == Some(key),
    );
    follows_its_keys::<BTreeMap<u64, u64>>(
        |map, key| assert!(map.insert(key, key).is_none()),
        |map, key| map.remove(&key) == Some(key),
    );
    follows_its_keys::<HashSet<u64>>(|set, key| assert!(set.insert(key)), |set, key| set.remove(&key));
    follows_its_keys::<BTreeSet<u64>>(|set, key| assert!(set.insert(key)), |set, key| set.remove(&key));
}

#[test]
fn borrowed_keys_follow_too() {
    let locks = StripedRwLock::<str, HashMap<String, usize>>::growing(1..=16);
    let names: Vec<_> = (0..100).map(|n| format!("name {n}")).collect();
    for (n, name) in names.iter().enumerate() {
        locks.write(name).insert(name.clone(), n);
    }
    locks.resize(16);
    assert!(names.iter().enumerate().all(|(n, name)| locks.read(name.as_str())[name] == n));
    assert!(locks.into_inner().iter().all(|map| map.len() < 100));
}

#[test]
fn a_split_that_panics_holds_nothing() {
    #[derive(Default)]
    struct Unsplit;
    impl Split<u64> for Unsplit {
        fn split(&mut self, _: &mut Self, _: impl FnMut(&u64) -> bool) {
            panic!("no");
        }
        fn merge(&mut self, _: &mut Self) {}
    }
    let locks = StripedMutex::<u64, Unsplit>::growing(1..=4);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| locks.resize(4)));
    assert!(outcome.is_err());
    assert!(locks.try_lock_all().is_some_and(|all| all.len() == 1));
    assert!((0..4).all(|index| locks.try_lock_stripe(index).is_some()));
}

#[test]
fn a_merge_that_panics_loses_nothing() {
    static PANICS: AtomicBool = AtomicBool::new(true);

    #[derive(Default)]
    struct Keys(HashSet<u64>);
    impl Split<u64> for Keys {
        fn split(&mut self, upper: &mut Self, moves: impl FnMut(&u64) -> bool) {
            self.0.split(&mut upper.0, moves);
        }
        fn merge(&mut self, upper: &mut Self) {
            assert!(!PANICS.load(SeqCst) || self.0.len() < 60, "enough");
            Split::<u64>::merge(&mut self.0, &mut upper.0);
        }
    }
    let locks = StripedMutex::<u64, Keys>::growing(4..=4);
    for key in 0..100 {
        locks.lock(&key).0.insert(key);
    }
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| locks.resize(1)));
    assert!(outcome.is_err());
    assert!(locks.try_lock_all().is_some_and(|all| all.len() == 4));
    PANICS.store(false, SeqCst);
    assert!(locks.resize(1));
    assert_eq!(locks.lock(&0).0.len(), 100);
    assert!(locks.resize(4));
    assert!((0..100).all(|key| locks.lock(&key).0.contains(&key)));
}

#[test]
#[should_panic(expected = "can't have 65")]
fn a_resize_above_the_maximum_panics() {
    StripedMutex::<u64>::growing(8..=64).resize(65);
}

#[test]
#[should_panic(expected = "can't grow from 8 stripes to 4")]
fn a_range_that_goes_down_panics() {
    let (from, to) = (8, 4);
    drop(StripedMutex::<u64>::growing(from..=to));
}

#[test]
#[should_panic(expected = "not a growing one")]
fn a_fixed_set_can_not_be_resized() {
    StripedMutex::<u64>::new(8).resize(4);
}

#[cfg(debug_assertions)]
#[test]
#[should_panic(expected = "growing.rs")]
fn resizing_under_a_guard_panics_instead_of_hanging() {
    let locks = StripedMutex::<u64>::growing(1..=4);
    let _guard = locks.lock(&1);
    locks.resize(4);
}

#[cfg(feature = "stats")]
#[test]
fn stats_say_how_many_are_in_use() {
    let locks = StripedMutex::<u64>::growing(2..=8);
    locks.resize(4);
    let stats = locks.stats();
    assert_eq!((stats.active_stripes(), stats.stripes().len()), (4, 8));
}

#[cfg(feature = "tracing")]
mod events {
    use std::collections::BTreeMap;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Mutex;

    use tracing::field::{Field, Visit};
    use tracing::{Event, Level, Subscriber, subscriber};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

    use super::{Announcing, AtomicUsize, DefaultHasher, SeqCst, WAITING, thread, two_keys};

    /// The fields of an event by name, as they are shown.
    #[derive(Default)]
    struct Fields(BTreeMap<&'static str, String>);

    impl Visit for Fields {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            self.0.insert(field.name(), format!("{value:?}"));
        }
    }

    /// A subscriber that passes each event on.
    struct On<F>(F);

    impl<S: Subscriber, F: Fn(Fields) + 'static> Layer<S> for On<F> {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let metadata = event.metadata();
            assert_eq!((*metadata.level(), metadata.target()), (Level::INFO, "stripe_lock"));
            let mut fields = Fields::default();
            event.record(&mut fields);
            (self.0)(fields);
        }
    }

    /// Has threads wait falsely by `take` until the only stripe is split, and passes its events to `heard`.
    fn split_by<const TEST: usize>(
        locks: &Announcing<TEST>,
        take: impl Fn(u64) + Sync,
        heard: impl Fn(Fields) + Clone + Send + Sync + 'static,
    ) {
        let (one, other) = two_keys(locks);
        for _ in 0..4 {
            let guard = locks.lock(&one);
            thread::scope(|scope| {
                scope.spawn(|| {
                    let registry = tracing_subscriber::registry().with(On(heard.clone()));
                    subscriber::with_default(registry, || take(other));
                });
                while WAITING[TEST].load(SeqCst) == 0 {
                    thread::yield_now();
                }
                drop(guard);
            });
        }
        assert_eq!(locks.active_stripes().len(), 2);
    }

    #[test]
    fn a_split_sends_an_event() {
        static EVENTS: Mutex<Vec<BTreeMap<&'static str, String>>> = Mutex::new(Vec::new());

        let locks = Announcing::<4>::growing_with_hasher(1..=2, DefaultHasher::default());
        split_by(&locks, |key| drop(locks.lock(&key)), |fields| EVENTS.lock().unwrap().push(fields.0));
        let events = EVENTS.lock().unwrap();
        assert_eq!(events.len(), 1, "{events:?}");
        let of = |field| events[0][field].as_str();
        assert_eq!((of("stripe"), of("active_stripes"), of("stripes")), ("0", "2", "2"));
    }

    #[test]
    fn a_subscriber_that_panics_leaves_nothing_locked() {
        type Locks = Announcing<5>;
        let takes: [fn(&Locks, u64); 2] =
            [|locks, key| drop(locks.lock(&key)), |locks, key| drop(locks.lock_many(&[key]))];
        for take in takes {
            let locks = Locks::growing_with_hasher(1..=2, DefaultHasher::default());
            let panics = AtomicUsize::new(0);
            let take = |key| {
                if catch_unwind(AssertUnwindSafe(|| take(&locks, key))).is_err() {
                    panics.fetch_add(1, SeqCst);
                }
            };
            split_by(&locks, take, |_| panic!("a subscriber that panics"));
            assert_eq!(panics.load(SeqCst), 1);
            assert!(locks.try_lock_all().is_some());
        }
    }
}
