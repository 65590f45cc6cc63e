//! The raw mutex of two bytes: tests that do not apply to every raw mutex.

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{LONG, SHORT, elsewhere, watched};
use stripe_lock::lock_api::{Mutex, RawMutex};
use stripe_lock::raw::ByteMutex;

type Byte<T> = Mutex<ByteMutex, T>;

#[test]
fn it_is_two_bytes() {
    assert_eq!((size_of::<ByteMutex>(), align_of::<ByteMutex>()), (2, 2));
}

#[test]
fn it_says_whether_it_is_locked() {
    let mutex = Byte::new(());
    // SAFETY: the raw mutex is only inspected.
    let raw = unsafe { mutex.raw() };
    assert_eq!(format!("{raw:?}"), "ByteMutex { locked: false, .. }");
    let guard = mutex.lock();
    assert!(raw.is_locked());
    assert_eq!(format!("{raw:?}"), "ByteMutex { locked: true, .. }");
    drop(guard);
    assert!(!raw.is_locked());
}

#[test]
fn a_time_beyond_all_clocks_is_no_limit() {
    watched(|| {
        let mutex = Arc::new(Byte::new(0));
        let guard = mutex.lock();
        let waiter = thread::spawn({
            let mutex = mutex.clone();
            move || *mutex.try_lock_for(Duration::MAX).expect("there is no limit") += 1
        });
        thread::sleep(SHORT);
        drop(guard);
        waiter.join().unwrap();
        assert_eq!(*mutex.lock(), 1);
    });
}

#[test]
fn a_waiter_is_handed_the_lock_under_constant_contention() {
    watched(|| {
        let (mutex, stop) = (Byte::new(()), AtomicBool::new(false));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(Relaxed) {
                        let _guard = mutex.lock();
                        let since = Instant::now();
                        while since.elapsed() < Duration::from_micros(200) {}
                    }
                });
            }
            // If it depended on chance, this would not end before the watchdog.
            (0..100).for_each(|_| drop(mutex.lock()));
            stop.store(true, Relaxed);
        });
    });
}

#[test]
fn a_fair_release_lets_no_newcomer_overtake() {
    watched(|| {
        let mutex = Arc::new(Byte::new(Vec::new()));
        let guard = mutex.lock();
        let waiter = thread::spawn({
            let mutex = mutex.clone();
            move || mutex.lock().push("waiter")
        });
        thread::sleep(SHORT);
        stripe_lock::lock_api::MutexGuard::unlock_fair(guard);
        mutex.lock().push("releaser");
        waiter.join().unwrap();
        let order = mem::take(&mut *mutex.lock());
        assert_eq!(order.len(), 2);
    });
}

#[test]
fn waiters_that_give_up_pass_the_turn_on() {
    watched(|| {
        let (mutex, entered) = (Byte::new(()), AtomicUsize::new(0));
        thread::scope(|scope| {
            for patient in [true, false, true, false, true, false] {
                let (mutex, entered) = (&mutex, &entered);
                scope.spawn(move || {
                    for turn in 0..1_000_u64 {
                        let limit = if patient { LONG } else { Duration::from_micros(turn % 50) };
                        if let Some(_guard) = mutex.try_lock_for(limit) {
                            entered.fetch_add(1, Relaxed);
                            if turn % 16 == 0 {
                                thread::yield_now();
                            }
                        }
                    }
                });
            }
        });
        assert!(entered.into_inner() >= 3_000, "a waiter with enough time gets the lock");
        assert!(mutex.try_lock().is_some());
    });
}

#[test]
fn an_unpark_by_the_caller_is_not_lost_during_a_wait() {
    watched(|| {
        let (mutex, waits, about_to) = (Byte::new(()), AtomicBool::new(false), Barrier::new(2));
        thread::scope(|scope| {
            let guard = mutex.lock();
            let waiter = scope.spawn(|| {
                about_to.wait();
                drop(mutex.lock());
                waits.store(true, Relaxed);
                // This returns because of the wake-up that came during the wait above.
                thread::park();
            });
            about_to.wait();
            thread::sleep(SHORT);
            waiter.thread().unpark();
            thread::sleep(SHORT);
            assert!(!waits.load(Relaxed), "the lock is held");
            drop(guard);
        });
    });
}

#[test]
fn a_lock_in_the_destructor_of_a_thread_local_works() {
    struct Last(Arc<Byte<u32>>);

    impl Drop for Last {
        fn drop(&mut self) {
            *self.0.lock() += 1;
        }
    }

    thread_local! {
        static LAST: std::cell::RefCell<Option<Last>> = const { std::cell::RefCell::new(None) };
    }

    watched(|| {
        let mutex = Arc::new(Byte::new(0));
        let guard = mutex.lock();
        let waiter = thread::spawn({
            let mutex = mutex.clone();
            move || LAST.with(|last| *last.borrow_mut() = Some(Last(mutex)))
        });
        thread::sleep(SHORT);
        drop(guard);
        waiter.join().unwrap();
        assert_eq!(*mutex.lock(), 1);
    });
}

#[test]
fn try_lock_is_possible_while_the_lock_is_held() {
    let mutex = Byte::new(1);
    let guard = mutex.lock();
    assert!(elsewhere(|| mutex.try_lock().is_none() && mutex.try_lock_for(SHORT).is_none()));
    drop(guard);
    assert_eq!(elsewhere(|| *mutex.try_lock().expect("free")), 1);
}
