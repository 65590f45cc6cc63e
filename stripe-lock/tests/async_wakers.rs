//! Wakers run the user's code: it may use the set that it is called from, and it may panic.
#![cfg(feature = "async")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Wake, Waker};

use stripe_lock::AsyncStripedMutex;

type Locks = AsyncStripedMutex<u64>;

/// Stands in every line of the set, and gives up again, when it is woken and when it is dropped.
struct Nosy(Arc<Locks>, Arc<AtomicUsize>);

impl Nosy {
    fn waker(locks: &Arc<Locks>, calls: &Arc<AtomicUsize>) -> Waker {
        Arc::new(Self(locks.clone(), calls.clone())).into()
    }

    fn look(&self) {
        let cx = &mut Context::from_waker(Waker::noop());
        for key in 0..32 {
            let _ = pin!(self.0.lock(&key)).poll(cx);
        }
        let _ = pin!(self.0.lock_all()).poll(cx);
        self.1.fetch_add(1, SeqCst);
    }
}

impl Wake for Nosy {
    fn wake(self: Arc<Self>) {
        self.look();
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        self.look();
    }
}

/// If a waker were called, cloned or dropped under the lock of a bucket, this would hang.
#[test]
fn a_waker_may_use_the_set() {
    let locks = Arc::new(Locks::new(2));
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = || calls.swap(0, SeqCst);
    let held = locks.try_lock_all();
    let mut single = Box::pin(locks.lock(&1));
    let mut multi = Box::pin(locks.lock_all());
    for _ in 0..2 {
        let waker = Nosy::waker(&locks, &calls);
        let cx = &mut Context::from_waker(&waker);
        assert!(single.as_mut().poll(cx).is_pending() && multi.as_mut().poll(cx).is_pending());
    }
    assert_eq!(seen(), 1, "the waker that was replaced is dropped");
    drop(held);
    assert!(seen() >= 1, "woken");
    let waker = Nosy::waker(&locks, &calls);
    drop(single.as_mut().poll(&mut Context::from_waker(&waker)));
    drop(multi.as_mut().poll(&mut Context::from_waker(&waker)));
    drop((single, multi));
    drop(waker);
    assert!(seen() >= 1, "dropped with the futures");
    assert!(locks.try_lock_all().is_some());
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("in a waker");
    }
}

#[test]
fn a_waker_that_panics_leaves_nothing_held() {
    let locks = Locks::new(8);
    let keys: Vec<u64> =
        (0..8).map(|stripe| (0..1 << 20).find(|key| locks.stripe_of(key) == stripe).unwrap()).collect();
    let waker = Waker::from(Arc::new(Panics));
    for first in &keys {
        let all = locks.try_lock_all().unwrap();
        let mut waiting = Box::pin(locks.lock(first));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(catch_unwind(AssertUnwindSafe(|| drop(all))).is_err(), "it was woken");
        let others = keys.iter().filter(|key| *key != first);
        assert!(others.clone().all(|key| locks.try_lock(key).is_some()), "the others are released");
        drop(waiting);
        assert!(locks.try_lock_all().is_some());
    }
}

/// As when a task is dropped by another one's waker, while that one is being served.
#[test]
fn a_waker_may_drop_the_next_in_line() {
    struct Dropper(std::sync::Mutex<Option<Box<dyn Send>>>);
    impl Wake for Dropper {
        fn wake(self: Arc<Self>) {
            let next = self.0.lock().unwrap().take();
            drop(next);
        }
    }
    let locks = Arc::new(Locks::new(1).strict_fifo());
    let dropper = Arc::new(Dropper(std::sync::Mutex::new(None)));
    let waker = Waker::from(dropper.clone());
    let held = locks.try_lock(&1).unwrap();
    let mut first = Box::pin(locks.lock_owned(&1));
    let mut next = Box::pin(locks.lock_owned(&1));
    assert!(first.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let other = Waker::from(Arc::new(Dropper(std::sync::Mutex::new(None))));
    assert!(next.as_mut().poll(&mut Context::from_waker(&other)).is_pending());
    *dropper.0.lock().unwrap() = Some(Box::new(next));
    drop(held);
    assert!(dropper.0.lock().unwrap().is_none(), "woken");
    assert!(first.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    assert!(locks.try_lock(&1).is_some());
}
