//! Code of the caller that runs inside an async acquisition: hashes that change, keys that panic or lock, guards and
//! futures that are forgotten, futures that are polled too often, locks in the destructors of a thread.

use std::cell::Cell;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use crate::common::{elsewhere, keys, watched};
use crate::fickle::{Explosive, Fickle};
use crate::hostile::panic_of;
use crate::now::{now, poll};
use stripe_lock::asynchronous::{
    AsyncGuard, AsyncMutexGuard, AsyncReadGuard, AsyncUpgradableGuard, AsyncWriteGuard, within,
};
use stripe_lock::{AsyncStripedMutex, AsyncStripedRwLock, AsyncStripedSemaphore, Extended};

#[test]
fn a_hash_that_changes_leaves_nothing_held() {
    let locks = AsyncStripedMutex::<Fickle, u64>::new(64);
    let rw = AsyncStripedRwLock::<Fickle>::new(64);
    let limits = AsyncStripedSemaphore::<Fickle>::new(64, 1);
    for _ in 0..1_000 {
        let mut guard = now(locks.lock_many([&Fickle, &Fickle]));
        let held = guard.len();
        assert!(now(guard.extend(&Fickle)).is_ok() && guard.try_extend(&Fickle).is_ok());
        assert_eq!(now(guard.extend_or_restart([&Fickle, &Fickle])), Ok(Extended::Kept));
        assert!(guard.len() >= held);
        _ = (guard.get(&Fickle).is_some(), guard.get_mut(&Fickle).is_some());
        _ = guard.get_pair_mut(&Fickle, &Fickle).is_some();
        let before = guard.len();
        let released = guard.release(&Fickle);
        assert_eq!(guard.len() + usize::from(released), before);
        drop(guard);
        *now(locks.lock(&Fickle)) += 1;
        drop(now(rw.batch().read(&Fickle).write(&Fickle).lock()));
        drop(AsyncWriteGuard::downgrade(now(rw.write(&Fickle))));
        drop(now(AsyncUpgradableGuard::upgrade(now(rw.upgradable_read(&Fickle)))));
        drop(now(limits.acquire_keys([&Fickle, &Fickle])));
    }
    assert!(locks.try_lock_all().is_some() && rw.try_write_all().is_some());
    assert!((0..64).all(|stripe| limits.try_acquire_stripe(stripe).is_some()));
    assert_eq!(locks.into_inner().into_iter().sum::<u64>(), 1_000);
}

/// A guard is extended by a key whose hash selects another stripe at each call. Another guard holds the stripes.
#[test]
fn a_hash_that_changes_while_it_waits_takes_one_stripe() {
    let locks = AsyncStripedMutex::<Fickle>::new(64);
    for _ in 0..200 {
        let mut guard = AsyncMutexGuard::extendable(locks.try_lock_stripe(0).unwrap());
        let held: Vec<_> = (1..64).map(|stripe| locks.try_lock_stripe(stripe)).collect();
        let mut extends = Box::pin(guard.extend(&Fickle));
        let waits = poll(extends.as_mut()).is_pending();
        drop(held);
        assert!(!waits || poll(extends.as_mut()) == Poll::Ready(Ok(())));
        drop(extends);
        assert_eq!(guard.len(), 1 + usize::from(waits));
        drop(guard);
        assert!(locks.try_lock_all().is_some());
    }
}

#[test]
fn a_hash_that_panics_changes_nothing() {
    let locks = AsyncStripedMutex::<Explosive, u64>::new(8);
    let shared = Arc::new(AsyncStripedMutex::<Explosive, u64>::new(8));
    let mut guard = AsyncMutexGuard::extendable(now(locks.lock_stripe(3)));
    macro_rules! panics {
        ($($call:expr),* $(,)?) => {
            $(assert_eq!(panic_of(|| _ = $call).as_deref(), Some("no hash"), stringify!($call));)*
        };
    }
    panics!(
        locks.lock(&Explosive),
        locks.try_lock(&Explosive),
        locks.blocking_lock(&Explosive),
        locks.lock_many([&Explosive]),
        locks.with(&Explosive, async |_| ()),
        shared.enqueue_owned(&Explosive),
        guard.extend(&Explosive),
        guard.release(&Explosive),
        guard.extend_or_restart([&Explosive]),
        guard.get_mut(&Explosive),
        locks.waiters(&Explosive),
    );
    assert!(guard.stripes().iter().eq([3]));
    drop(guard);
    assert!(locks.try_lock_all().is_some() && shared.try_lock_all().is_some());
}

#[test]
fn keys_that_panic_or_lock_come_before_the_first_stripe() {
    watched(|| {
        let locks = AsyncStripedMutex::<u64, u64>::new(8);
        let keys = keys(8, |key| locks.stripe_of(key));
        let until = |panics: usize| {
            keys.iter().enumerate().map(move |(i, key)| if i == panics { panic!("no key") } else { key })
        };
        let mut guard = now(locks.lock_many(&keys[..2]));
        for panics in 0..8 {
            assert!(panic_of(|| drop(locks.lock_many(until(panics)))).is_some());
            assert!(panic_of(|| drop(locks.try_lock_many(until(panics)))).is_some());
            assert!(panic_of(|| drop(locks.blocking_lock_many(until(panics)))).is_some());
            assert!(panic_of(|| _ = guard.extend_or_restart(until(panics))).is_some());
            assert_eq!(guard.len(), 2);
        }
        drop(guard);
        // For each key, the iterator locks and releases all keys.
        let locking = || keys.iter().inspect(|_| keys.iter().for_each(|key| *locks.blocking_lock(key) += 1));
        assert_eq!(now(locks.lock_many(locking())).len(), 8);
        let mut nothing = now(locks.lock_many(&[]));
        assert_eq!(now(nothing.extend_or_restart(locking())), Ok(Extended::Kept));
        drop(nothing);
        assert!(locks.try_lock_all().is_some());
        assert_eq!(locks.into_inner(), [16; 8]);
    });
}

#[test]
fn a_forgotten_guard_keeps_its_stripe_and_no_other() {
    let locks = AsyncStripedMutex::<u64, u64>::new(8);
    let keys = keys(8, |key| locks.stripe_of(key));
    mem::forget(now(locks.lock(&keys[0])));
    mem::forget(AsyncMutexGuard::map(now(locks.lock(&keys[1])), |data| data));
    mem::forget(now(locks.lock_many(&keys[2..4])));
    let mut guard = now(locks.lock_many(&keys[4..6]));
    assert!(guard.release(&keys[4]));
    mem::forget(guard);
    mem::forget(AsyncMutexGuard::extendable(now(locks.lock(&keys[6]))));
    for (stripe, key) in keys.iter().enumerate() {
        assert_eq!(locks.try_lock(key).is_some(), [4, 7].contains(&stripe), "stripe {stripe}");
    }
    let rw = AsyncStripedRwLock::<u64>::new(8);
    mem::forget((now(rw.read_stripe(0)), now(rw.write_stripe(1)), now(rw.upgradable_read_stripe(2))));
    mem::forget(AsyncReadGuard::map(now(rw.read_stripe(4)), |data| data));
    mem::forget(now(rw.batch().lock()));
    assert!(rw.try_read_stripe(0).is_some() && rw.try_write_stripe(0).is_none());
    assert!(rw.try_read_stripe(1).is_none() && rw.try_read_stripe(2).is_some());
    assert!(rw.try_upgradable_read_stripe(2).is_none() && rw.try_write_stripe(3).is_some());
    assert!(rw.try_write_stripe(4).is_none());
    // The set is dropped as usual, with its data.
    assert_eq!(locks.into_inner().len() + rw.into_inner().len(), 16);
}

/// A future is forgotten in every state: before the first poll, in the queue, woken to compete, granted, granted in
/// part, closed, ready. The stripes that it holds stay held, and the stripe that it waits for is never free again. All
/// other stripes can be locked.
#[test]
fn a_forgotten_future_keeps_what_it_has_and_no_more() {
    fn forget<F: Future + 'static>(future: F, polls: usize) {
        let mut kept = Box::pin(future);
        for _ in 0..polls {
            assert!(poll(kept.as_mut()).is_pending());
        }
        mem::forget(kept);
    }
    for strict in [false, true] {
        let locks = AsyncStripedMutex::<u64>::new(64);
        let locks = Arc::new(if strict { locks.strict_fifo() } else { locks });
        let keys = keys(64, |key| locks.stripe_of(key));
        forget(locks.lock_owned(&keys[0]), 0);
        assert!(locks.try_lock(&keys[0]).is_some(), "it was never polled");
        let held = [1, 2, 3, 4, 60].map(|stripe| locks.try_lock_stripe(stripe).unwrap());
        forget(locks.lock_owned(&keys[1]), 1);
        forget(locks.lock_many_owned([&keys[1], &keys[10]]), 1);
        forget(locks.lock_many_owned([&keys[5], &keys[60]]), 2);
        forget(locks.lock_owned(&keys[1]), 1);
        let enqueued = locks.enqueue_owned(&keys[2]);
        mem::forget(enqueued);
        let mut extended = locks.clone().try_lock_many_owned([&keys[6]]).unwrap();
        let key = keys[60];
        let extends = Box::pin(async move { _ = extended.extend(&key).await });
        forget(extends, 1);
        drop(held);
        // The leaked first waiter was handed the stripe if the queue is strict; otherwise it was woken, and newcomers
        // overtake it.
        let newcomers = (0..20).filter(|_| locks.try_lock_stripe(1).is_some()).count();
        assert_eq!(newcomers, if strict { 0 } else { 12 });
        assert!(locks.try_lock_stripe(5).is_none(), "held below what it waited for");
        assert!(locks.try_lock_stripe(6).is_none() && locks.try_lock_stripe(60).is_none());
        assert!(locks.try_lock_many(&keys[7..60]).is_some());
        locks.close();
        forget(locks.lock_owned(&keys[3]).checked(), 0);
        drop(locks);
    }
}

#[test]
fn a_future_that_is_polled_too_often_says_so() {
    const MESSAGE: &str = "the future was polled after it was ready";
    let set = Arc::new(AsyncStripedMutex::<u64>::new(8));
    let rw = Arc::new(AsyncStripedRwLock::<u64>::new(8));
    let limits = Arc::new(AsyncStripedSemaphore::<u64>::new(8, 4));
    let closed = AsyncStripedMutex::<u64>::new(8);
    closed.close();
    macro_rules! once {
        ($($future:expr;)*) => {
            $({
                let mut future = Box::pin($future);
                drop(poll(future.as_mut()));
                // It was ready, and panics from now on, whether the stripes are held or free.
                for held in [None, Some((set.try_lock_all(), rw.try_write_all()))] {
                    let panic = panic_of(|| drop(poll(future.as_mut())));
                    assert_eq!(panic.as_deref(), Some(MESSAGE), "{}", stringify!($future));
                    drop(held);
                }
                drop(future);
            })*
        };
    }
    once! {
        set.lock(&1);
        set.lock_owned(&1);
        set.lock_stripe(1);
        set.lock(&1).checked();
        set.lock_many([&1, &2]);
        set.lock_many([&1, &2]).checked();
        set.lock_many_owned([&1, &2]);
        set.lock_all();
        set.lock_timeout(&1, std::future::pending::<()>());
        set.lock_unless_crowded(&1, 4);
        set.enqueue_owned(&1);
        closed.lock(&1).checked();
        closed.lock_many([&1, &2]).checked();
        closed.lock_timeout(&1, std::future::pending::<()>());
        rw.read(&1);
        rw.write(&1);
        rw.upgradable_read_owned(&1);
        rw.batch().read(&1).write(&2).lock();
        AsyncUpgradableGuard::upgrade(rw.try_upgradable_read(&1).unwrap());
        AsyncUpgradableGuard::upgrade(rw.try_upgradable_read(&1).unwrap()).checked();
        AsyncGuard::bump(rw.try_write(&1).unwrap());
        limits.acquire(&1);
        limits.acquire_many(&1, 2);
        limits.acquire_keys([&1, &2]);
        limits.acquire_many_owned(&1, 2);
    }
    let held = set.try_lock(&1);
    once! {
        set.lock_timeout(&1, std::future::ready(()));
        set.lock_unless_crowded(&1, 0);
        set.lock_many([&1]).unless_crowded(0);
    }
    // `async` blocks panic with the message of the compiler.
    let mut future = Box::pin(within(set.lock(&1), std::future::ready(())));
    assert!(poll(future.as_mut()).is_ready() && panic_of(|| drop(poll(future.as_mut()))).is_some());
    drop(held);
    assert!(set.try_lock_all().is_some() && rw.try_write_all().is_some());
    assert_eq!((limits.available(&1), limits.available(&2)), (4, 4));
}

/// Locks in the destructor of a thread-local variable, after or before the destructors of this crate's own.
struct LocksAtTheEnd(Arc<AsyncStripedMutex<u64, u64>>);

impl Drop for LocksAtTheEnd {
    fn drop(&mut self) {
        *self.0.blocking_lock(&1) += 1;
        *self.0.blocking_lock_many(&[1, 2, 3]).get_mut(&1).unwrap() += 1;
        assert!(self.0.blocking_lock_timeout(&1, crate::common::LONG).is_ok());
    }
}

thread_local! {
    static AT_THE_END: Cell<Option<LocksAtTheEnd>> = const { Cell::new(None) };
}

#[test]
fn a_thread_may_lock_in_its_destructors() {
    watched(|| {
        for (contended, first) in [(false, false), (false, true), (true, false), (true, true)] {
            let locks = Arc::new(AsyncStripedMutex::<u64, u64>::new(8));
            let held = contended.then(|| locks.blocking_lock_owned(&1));
            let mine = LocksAtTheEnd(locks.clone());
            let ends = std::thread::spawn(move || {
                // The order in which the two are initialised decides in which order they are dropped.
                let wait = |mine: &LocksAtTheEnd| {
                    let held = mine.0.blocking_lock(&9);
                    assert!(mine.0.blocking_lock_timeout(&9, crate::common::SHORT).is_err());
                    drop(held);
                };
                if first {
                    wait(&mine);
                    AT_THE_END.set(Some(mine));
                } else {
                    AT_THE_END.set(None);
                    wait(&mine);
                    AT_THE_END.set(Some(mine));
                }
            });
            if held.is_some() {
                while locks.waiters(&1) == 0 {
                    std::thread::yield_now();
                }
            }
            drop(held);
            ends.join().unwrap();
            assert_eq!(*locks.blocking_lock(&1), 2);
        }
    });
}

/// A waiter in a thread-local is dropped when the thread ends.
#[test]
fn a_guard_and_a_waiter_may_end_with_their_thread() {
    type Kept = (AsyncMutexGuard<'static, u64>, Pin<Box<dyn Future<Output = ()>>>);
    thread_local! {
        static KEPT: Cell<Option<Kept>> = const { Cell::new(None) };
    }
    let locks: &AsyncStripedMutex<u64> = Box::leak(Box::new(AsyncStripedMutex::new(8)));
    elsewhere(|| {
        let guard = locks.blocking_lock(&7);
        let mut waits: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async { drop(locks.lock(&7).await) });
        assert!(poll(waits.as_mut()).is_pending());
        KEPT.set(Some((guard, waits)));
    });
    watched(|| drop(locks.blocking_lock_all()));
}
