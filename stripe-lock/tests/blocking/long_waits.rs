//! The events about long waits (feature `tracing`).

#![cfg(feature = "tracing")]

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use stripe_lock::{DefaultHasher, StripedMutex, StripedRwLock, lock_api};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// An event: its fields by name, as text.
type Told = BTreeMap<&'static str, String>;

/// A subscriber that stores its events.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<Told>>>);

struct Fields(Told);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl<S: Subscriber> Layer<S> for Ear {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        assert_eq!(
            (*event.metadata().level(), event.metadata().target()),
            (Level::WARN, "stripe_lock"),
            "there are no other events here"
        );
        let mut fields = Fields(Told::new());
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }
}

/// The events of this thread during `run`.
fn told(run: impl FnOnce()) -> Vec<Told> {
    let ear = Ear::default();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(ear.clone()), run);
    ear.0.lock().unwrap().clone()
}

/// A subscriber that panics at an event.
struct Panics;

impl<S: Subscriber> Layer<S> for Panics {
    fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
        panic!("a subscriber that panics");
    }
}

fn with_a_panicking_subscriber(run: impl FnOnce()) {
    let subscriber = tracing_subscriber::registry().with(Panics);
    tracing::subscriber::with_default(subscriber, || {
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err(), "the subscriber was not told");
    });
}

/// Whether a thread is about to wait for a mutex, by the number of its test.
static WAITING: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];

/// A raw mutex that shows when a thread is about to wait.
struct Shows<const TEST: usize>(parking_lot::RawMutex);

// SAFETY: all calls are passed on to a raw mutex.
unsafe impl<const TEST: usize> lock_api::RawMutex for Shows<TEST> {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait requires it")]
    const INIT: Self = Self(<parking_lot::RawMutex as lock_api::RawMutex>::INIT);
    type Guard = lock_api::GuardNoSend;

    fn lock(&self) -> Self::Guard {
        WAITING[TEST].store(true, Relaxed);
        self.0.lock()
    }

    fn try_lock(&self) -> Option<Self::Guard> {
        self.0.try_lock()
    }

    fn is_locked(&self) -> bool {
        self.0.is_locked()
    }

    unsafe fn unlock(&self, guard: Self::Guard) {
        // SAFETY: the caller's promise.
        unsafe { self.0.unlock(guard) }
    }
}

/// Releases the lock once a thread has waited for longer than [`PATIENCE`].
fn release_late<G>(test: usize, guard: G) {
    while !WAITING[test].load(Relaxed) {
        thread::yield_now();
    }
    thread::sleep(2 * PATIENCE);
    drop(guard);
}

const PATIENCE: Duration = Duration::from_millis(2);

/// The events of a wait that ends by its timeout. On a busy machine the time can pass before the wait begins, so the
/// wait is repeated with more time until there is an event.
fn told_of_a_timeout(mut wait: impl FnMut(Duration)) -> Vec<Told> {
    let mut time = 2 * PATIENCE;
    loop {
        let events = told(|| wait(time));
        if !events.is_empty() || time > Duration::from_secs(10) {
            return events;
        }
        time *= 2;
    }
}

#[test]
fn a_long_wait_is_reported_with_key_stripe_and_both_places() {
    let locks =
        StripedMutex::<u64, (), Shows<0>, _>::with_hasher(64, DefaultHasher::default()).warn_after(PATIENCE);
    let guard = locks.lock(&7);
    let taken = format!("{}:{}:", file!(), line!() - 1);
    let (events, asked) = thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let mut asked = 0;
            let events = told(|| {
                asked = line!() + 1;
                drop(locks.lock(&7));
            });
            (events, format!("{}:{asked}:", file!()))
        });
        release_late(0, guard);
        waiter.join().unwrap()
    });
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(event["stripe"], locks.stripe_of(&7).to_string());
    assert_eq!(event["key_hash"], locks.hasher().hash_one(7_u64).to_string());
    assert_eq!(event["acquired"], "true");
    assert!(event["waited_us"].parse::<u128>().unwrap() >= PATIENCE.as_micros(), "{event:?}");
    assert!(event["at"].starts_with(&asked), "{event:?}");
    // In debug builds, holders are recorded.
    match event.get("holder") {
        Some(holder) => assert!(holder.starts_with(&taken), "{event:?}"),
        None if cfg!(any(debug_assertions, feature = "check")) => panic!("no holder: {event:?}"),
        None => {}
    }
}

#[test]
fn a_wait_that_ends_by_its_timeout_is_reported() {
    let locks = StripedRwLock::<u64>::new(64).warn_after(PATIENCE);
    let reader = locks.read(&7);
    thread::scope(|scope| {
        scope.spawn(|| {
            let events = told_of_a_timeout(|time| assert!(locks.try_write_for(&7, time).is_none()));
            assert_eq!((events.len(), &*events[0]["acquired"]), (1, "false"), "{events:?}");
            // Readers don't wait for a reader, and `try_` methods don't wait.
            let quiet = told(|| {
                drop(locks.read(&7));
                assert!(locks.try_write(&7).is_none());
            });
            assert!(quiet.is_empty(), "{quiet:?}");
        });
    });
    drop(reader);
}

#[test]
fn the_event_names_the_one_of_several_stripes_that_was_waited_for() {
    let locks = StripedMutex::<u64>::new(64).warn_after(PATIENCE);
    let guard = locks.lock(&7);
    thread::scope(|scope| {
        scope.spawn(|| {
            let events = told_of_a_timeout(|time| {
                assert!(locks.try_lock_many_until(&[1, 7, 300], Instant::now() + time).is_none());
            });
            let [event] = &events[..] else { panic!("{events:?}") };
            assert_eq!(event["stripe"], locks.stripe_of(&7).to_string());
            assert!(!event.contains_key("key_hash"), "several keys have no single hash: {event:?}");
        });
    });
    drop(guard);
}

#[test]
fn short_waits_and_failed_attempts_send_no_event() {
    let hasty = StripedMutex::<u64>::new(64).warn_after(Duration::ZERO);
    let patient = StripedMutex::<u64>::new(64).warn_after(Duration::from_secs(3_600));
    let never = StripedMutex::<u64>::new(64);
    let held = (patient.lock(&1), never.lock(&1));
    thread::scope(|scope| {
        scope.spawn(|| {
            let events = told(|| {
                drop(hasty.lock(&1));
                drop(hasty.lock_all());
                assert!(patient.try_lock_for(&1, PATIENCE).is_none());
                assert!(never.try_lock_for(&1, PATIENCE).is_none());
            });
            assert!(events.is_empty(), "{events:?}");
        });
    });
    drop(held);
}

#[test]
fn a_subscriber_that_panics_leaves_nothing_held() {
    let locks = Arc::new(
        StripedMutex::<u64, (), Shows<1>, _>::with_hasher(1, DefaultHasher::default())
            .warn_after(Duration::ZERO),
    );
    let guard = locks.lock(&7);
    let waiter = thread::spawn({
        let locks = locks.clone();
        move || with_a_panicking_subscriber(|| drop(locks.lock(&7)))
    });
    release_late(1, guard);
    waiter.join().unwrap();
    assert!(locks.try_lock(&7).is_some());
}

#[cfg(feature = "async")]
mod of_futures {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use stripe_lock::AsyncStripedMutex;

    use super::*;

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_long_wait_is_reported_when_it_ends() {
        let locks = AsyncStripedMutex::<u64>::new(64).warn_after(Duration::ZERO);
        let guard = locks.try_lock(&7).unwrap();
        let events = told(|| {
            let mut future = pin!(locks.lock(&7));
            assert!(poll(future.as_mut()).is_pending());
            drop(guard);
            assert!(poll(future).is_ready());
        });
        let [event] = &events[..] else { panic!("{events:?}") };
        assert_eq!(event["stripe"], locks.stripe_of(&7).to_string());
        assert_eq!(event["key_hash"], locks.hasher().hash_one(7_u64).to_string());
        assert_eq!(event["acquired"], "true");
        for place in ["at", "holder"] {
            let here = event.get(place).is_some_and(|at| at.starts_with(file!()));
            assert_eq!(here, cfg!(feature = "diagnose"), "{place}: {event:?}");
        }
    }

    #[test]
    fn a_wait_that_is_given_up_is_reported() {
        let locks = AsyncStripedMutex::<u64>::new(64).warn_after(Duration::ZERO);
        let guard = locks.try_lock(&7).unwrap();
        let events = told(|| {
            assert!(poll(pin!(locks.lock(&7))).is_pending());
            assert!(poll(pin!(locks.lock_many(&[7, 8]))).is_pending());
        });
        let acquired: Vec<_> = events.iter().map(|event| &*event["acquired"]).collect();
        assert_eq!(acquired, ["false", "false"], "{events:?}");
        assert!(events[0].contains_key("key_hash") && !events[1].contains_key("key_hash"), "{events:?}");
        drop(guard);
    }

    #[test]
    fn short_waits_and_failed_attempts_send_no_event() {
        let hasty = AsyncStripedMutex::<u64>::new(64).warn_after(Duration::ZERO);
        let patient = AsyncStripedMutex::<u64>::new(64).warn_after(Duration::from_secs(3_600));
        let held = patient.try_lock(&1).unwrap();
        let events = told(|| {
            assert!(poll(pin!(hasty.lock(&1))).is_ready());
            assert!(poll(pin!(hasty.lock_all())).is_ready());
            assert!(poll(pin!(patient.lock(&1))).is_pending());
            // A future that was never polled has not waited.
            drop(hasty.lock(&1));
        });
        assert!(events.is_empty(), "{events:?}");
        drop(held);
    }

    #[test]
    fn a_subscriber_that_panics_leaves_nothing_held() {
        let locks = AsyncStripedMutex::<u64>::new(64).warn_after(Duration::ZERO);
        let guard = locks.try_lock(&7).unwrap();
        with_a_panicking_subscriber(|| {
            let mut future = pin!(locks.lock(&7));
            assert!(poll(future.as_mut()).is_pending());
            drop(guard);
            let _ = poll(future);
        });
        assert!(locks.try_lock_all().is_some());
    }
}
