//! Wakers run the user's code: it may use the set that it is called from, and it may panic.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use crate::hostile::{Bomb, CLONE, DROP, Hook, WAKE, panic_of};
use crate::task::Task;
use stripe_lock::asynchronous::{
    Acquire, AcquireError, AsyncGuard, AsyncUpgradableGuard, OwnedAsyncPermit, Write, within,
};
use stripe_lock::{AsyncStripedMutex, AsyncStripedRwLock, AsyncStripedSemaphore};

type Locks = AsyncStripedMutex<u64>;

/// Joins every queue of the set and gives up again, when it is woken and when it is dropped.
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

/// A waker that owns a permit releases it when it is dropped: when another waker replaces it, with its future, or by a
/// close.
#[test]
fn a_waker_may_own_the_permit_that_is_waited_for() {
    struct Owner(#[expect(dead_code, reason = "only to be dropped")] OwnedAsyncPermit<u64>);
    impl Wake for Owner {
        fn wake(self: Arc<Self>) {}
    }
    let limits = Arc::new(AsyncStripedSemaphore::<u64>::new(1, 1));
    let waiting = || {
        let mut waits = Box::pin(limits.acquire(&1).checked());
        let waker = Waker::from(Arc::new(Owner(limits.try_acquire_owned(&1).unwrap())));
        assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        waits
    };
    let cx = &mut Context::from_waker(Waker::noop());
    let mut replaced = waiting();
    assert!((0..2).any(|_| replaced.as_mut().poll(cx).is_ready()), "granted by the first poll");
    drop(waiting());
    assert_eq!(limits.available(&1), 1);
    let mut closed = waiting();
    limits.close();
    assert!(matches!(closed.as_mut().poll(cx), Poll::Ready(Err(AcquireError::Closed))));
    assert_eq!(limits.available(&1), 1);
}

#[test]
fn a_waker_may_use_the_set_that_is_being_closed() {
    let limits = Arc::new(AsyncStripedSemaphore::<u64>::new(1, 1));
    let held = limits.try_acquire(&1).unwrap();
    let (hook, waker) = Hook::new();
    let mut waits = Box::pin(limits.acquire(&1).checked());
    assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let set = limits.clone();
    hook.then(move || {
        set.add_permits(&1, 1);
        assert!(set.try_acquire(&1).is_none() && set.waiters(&1) == 0);
    });
    limits.close();
    assert!(hook.is_done());
    drop(held);
    assert_eq!(limits.available(&1), 2);
}

const STRIPES: usize = 64;

/// The highest stripe.
const TOP: usize = STRIPES - 1;

/// More stripes than a release takes for one waiter, so that some waits end in the middle.
struct Sets {
    mutex: Locks,
    rwlock: AsyncStripedRwLock<u64>,
    semaphore: AsyncStripedSemaphore<u64>,
    /// One key for each stripe, of the three sets.
    keys: [Vec<u64>; 3],
}

type Waiting<'s> = Pin<Box<dyn Future<Output = ()> + 's>>;
type Held<'s> = Box<dyn Kept + 's>;

/// A value that is only dropped.
trait Kept {}

impl<T> Kept for T {}

type Make<'s> = Box<dyn Fn() -> (Held<'s>, Waiting<'s>) + 's>;

impl Sets {
    fn new(strict: bool) -> Self {
        let keys = |stripe_of: &dyn Fn(&u64) -> usize| {
            let key_on = |stripe| (0..1 << 20).find(|key| stripe_of(key) == stripe).unwrap();
            (0..STRIPES).map(key_on).collect()
        };
        let (mutex, rwlock) = (Locks::new(STRIPES), AsyncStripedRwLock::new(STRIPES));
        let semaphore = AsyncStripedSemaphore::new(STRIPES, 2);
        let keys = [
            keys(&|key| mutex.stripe_of(key)),
            keys(&|key| rwlock.stripe_of(key)),
            keys(&|key| semaphore.stripe_of(key)),
        ];
        if strict {
            let (mutex, rwlock) = (mutex.strict_fifo(), rwlock.strict_fifo());
            Self { mutex, rwlock, semaphore: semaphore.strict_fifo(), keys }
        } else {
            Self { mutex, rwlock, semaphore, keys }
        }
    }

    /// Every way to wait, each with the guards that make it wait.
    fn ways(&self) -> Vec<(&'static str, Make<'_>)> {
        let Self { mutex, rwlock, semaphore, keys: [m, r, s] } = self;
        macro_rules! ways {
            ($($held:expr => $wait:expr;)*) => {
                vec![$((
                    stringify!($wait),
                    Box::new(move || {
                        (Box::new($held) as Held<'_>, Box::pin(async move { _ = $wait.await }) as Waiting<'_>)
                    }) as Make<'_>,
                )),*]
            };
        }
        ways! {
            mutex.try_lock(&m[3]) => mutex.lock(&m[3]);
            mutex.try_lock(&m[TOP]) => mutex.lock_many(m);
            mutex.try_lock_all() => mutex.lock_all();
            mutex.try_lock(&m[3]) => mutex.lock_timeout(&m[3], std::future::pending::<()>());
            mutex.try_lock(&m[3]) => within(mutex.lock(&m[3]), std::future::pending::<()>());
            mutex.try_lock(&m[3]) => mutex.lock(&m[3]).checked();
            mutex.try_lock(&m[TOP]) => async {
                let mut guard = mutex.lock_many([&m[1], &m[2]]).await;
                guard.extend(&m[TOP]).await
            };
            mutex.try_lock_many([&m[0], &m[TOP]]) => async {
                let mut guard = mutex.lock_many([&m[1], &m[2]]).await;
                guard.extend_or_restart([&m[0], &m[TOP]]).await
            };
            rwlock.try_write(&r[3]) => rwlock.read(&r[3]);
            rwlock.try_read(&r[3]) => rwlock.write(&r[3]);
            rwlock.try_upgradable_read(&r[3]) => rwlock.upgradable_read(&r[3]);
            rwlock.try_write_all() => rwlock.read_all();
            rwlock.try_read_many([&r[5], &r[TOP]]) => rwlock.write_many(r);
            rwlock.try_write(&r[TOP]) => rwlock.batch().read(&r[1]).write(&r[2]).read(&r[TOP]).lock();
            rwlock.try_read(&r[3]) => async {
                let guard = rwlock.upgradable_read(&r[3]).await;
                AsyncUpgradableGuard::upgrade(guard).await
            };
            semaphore.try_acquire_many(&s[3], 2) => semaphore.acquire(&s[3]);
            semaphore.try_acquire(&s[3]) => semaphore.acquire_many(&s[3], 2);
            semaphore.try_acquire_many(&s[TOP], 2) => semaphore.acquire_keys(s);
        }
    }

    /// Waits for everything, behind all others.
    async fn everything(&self) {
        drop(self.mutex.lock_all().await);
        drop(self.rwlock.write_all().await);
        for stripe in 0..self.semaphore.stripes() {
            drop(self.semaphore.acquire_stripe(stripe).await);
        }
    }

    fn assert_free(&self, way: &str) {
        assert!(self.mutex.try_lock_all().is_some(), "{way}: a mutex stays held");
        assert!(self.rwlock.try_write_all().is_some(), "{way}: a read-write lock stays held");
        let free = |key| self.semaphore.available(key) == 2 && self.semaphore.waiters(key) == 0;
        assert!(self.keys[2].iter().all(free), "{way}: a permit stays taken");
    }
}

/// Runs `scenario` for every way to wait: with the held guards, a future that waits for them with a bomb as its
/// waker, and another waiter behind it. Afterwards nothing is held, and no waker is left.
fn for_every_way(scenario: impl Fn(&str, Held<'_>, &mut Option<Waiting<'_>>, &'static Bomb, &Waker)) {
    for strict in [false, true] {
        let sets = Sets::new(strict);
        for (at, (way, make)) in sets.ways().into_iter().enumerate() {
            let (held, future) = make();
            let (bomb, waker) = Bomb::new(at);
            let mut future = Some(future);
            assert!(poll(&mut future, &waker).is_pending(), "{way}");
            let mut behind = Task::new(sets.everything());
            assert!(behind.poll().is_pending(), "{way}");
            scenario(way, held, &mut future, bomb, &waker);
            bomb.arm(0);
            drop((future, waker));
            assert_eq!(bomb.alive(), 0, "{way}: a waker is left");
            for polls in 0.. {
                assert!(behind.woken() >= polls.min(1), "{way}: the waiter behind is not woken");
                if behind.poll().is_ready() {
                    break;
                }
                assert!(polls < 100, "{way}: the waiter behind gets nothing");
            }
            drop(behind);
            sets.assert_free(way);
        }
    }
}

fn poll(future: &mut Option<Waiting<'_>>, waker: &Waker) -> Poll<()> {
    future.as_mut().unwrap().as_mut().poll(&mut Context::from_waker(waker))
}

#[test]
fn every_wait_ends_with_the_release() {
    for_every_way(|way, held, future, bomb, waker| {
        assert_eq!(bomb.wakes(), 0, "{way}");
        drop(held);
        // A wait for several stripes may continue in several steps, with a wake for each.
        for wakes in 1.. {
            assert!(bomb.wakes() >= wakes, "{way}: it was not woken");
            if poll(future, waker).is_ready() {
                break;
            }
        }
    });
}

#[test]
fn a_wake_that_panics() {
    for_every_way(|way, held, _, bomb, _| {
        bomb.arm(WAKE);
        let panic = panic_of(|| drop(held)).unwrap_or_else(|| panic!("{way}: no waiter was woken"));
        assert!(panic.ends_with("in wake"), "{way}: {panic}");
    });
}

#[test]
fn a_wake_that_panics_while_the_thread_unwinds() {
    for_every_way(|way, held, _, bomb, _| {
        bomb.arm(WAKE | DROP);
        let panic = panic_of(move || {
            let _held = held;
            panic!("the first");
        });
        assert_eq!((panic.as_deref(), bomb.wakes()), (Some("the first"), 1), "{way}");
    });
}

#[test]
fn a_drop_that_panics_when_the_wait_is_given_up() {
    for_every_way(|way, held, future, bomb, _| {
        bomb.arm(DROP);
        assert!(panic_of(|| *future = None).is_some_and(|panic| panic.ends_with("in drop")), "{way}");
        bomb.arm(0);
        drop(held);
    });
}

#[test]
fn a_drop_that_panics_when_a_granted_wait_is_given_up_while_the_thread_unwinds() {
    for_every_way(|way, held, future, bomb, _| {
        drop(held);
        let waiting = future.take();
        bomb.arm(DROP | WAKE);
        let panic = panic_of(move || {
            let _waiting = waiting;
            panic!("the first");
        });
        assert_eq!(panic.as_deref(), Some("the first"), "{way}");
    });
}

#[test]
fn a_drop_that_panics_when_another_task_goes_on_with_the_wait() {
    for_every_way(|way, held, future, bomb, _| {
        bomb.arm(DROP);
        assert!(panic_of(|| _ = poll(future, Waker::noop())).is_some(), "{way}");
        bomb.arm(0);
        // The panic ends an `async` block. A future of this crate could be polled again.
        *future = None;
        drop(held);
    });
}

#[test]
fn a_clone_that_panics_when_another_task_goes_on_with_the_wait() {
    for_every_way(|way, held, future, _, _| {
        let (other, waker) = Bomb::new(usize::MAX);
        other.arm(CLONE);
        assert!(
            panic_of(|| _ = poll(future, &waker)).is_some_and(|panic| panic.ends_with("in clone")),
            "{way}"
        );
        drop(held);
        *future = None;
        drop(waker);
        assert_eq!(other.alive(), 0, "{way}");
    });
}

/// The first poll has entered the free stripes, and clones the waker before it joins a queue.
#[test]
fn a_clone_that_panics_when_the_wait_begins() {
    for strict in [false, true] {
        let sets = Sets::new(strict);
        for (at, (way, make)) in sets.ways().into_iter().enumerate() {
            let (held, mut future) = make();
            let (bomb, waker) = Bomb::new(at);
            bomb.arm(CLONE);
            let polled = panic_of(|| _ = future.as_mut().poll(&mut Context::from_waker(&waker)));
            assert!(polled.is_some_and(|panic| panic.ends_with("in clone")), "{way}");
            drop(future);
            drop(held);
            sets.assert_free(way);
            drop(waker);
            assert_eq!(bomb.alive(), 0, "{way}");
        }
    }
}

/// A future with a limit of waiters whose first poll panicked has not waited yet, so its limit still applies.
#[test]
fn a_clone_that_panics_lets_no_waiter_pass_a_limit() {
    let locks = Locks::new(STRIPES);
    let guard = locks.try_lock_stripe(1).unwrap();
    let mut before = Box::pin(locks.lock_stripe(1));
    assert!(before.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let (bomb, waker) = Bomb::new(0);
    let mut one = Box::pin(locks.lock_stripe(1).unless_crowded(1));
    let mut all = Box::pin(locks.lock_all().unless_crowded(1));
    bomb.arm(CLONE);
    assert!(panic_of(|| _ = one.as_mut().poll(&mut Context::from_waker(&waker))).is_some());
    assert!(panic_of(|| _ = all.as_mut().poll(&mut Context::from_waker(&waker))).is_some());
    bomb.arm(0);
    let cx = &mut Context::from_waker(&waker);
    assert!(matches!(one.as_mut().poll(cx), Poll::Ready(Err(AcquireError::Crowded))));
    assert!(matches!(all.as_mut().poll(cx), Poll::Ready(Err(AcquireError::Crowded))));
    drop((guard, before));
    assert!(locks.try_lock_all().is_some());
}

/// There are more stripes than a release takes, so the task continues itself. The waker that woke it is stale once it
/// has all stripes.
#[test]
fn a_stale_waker_that_panics_when_the_wait_is_over() {
    let locks = Locks::new(STRIPES);
    let (bomb, waker) = Bomb::new(0);
    let held = locks.try_lock_stripe(0);
    let mut future = Box::pin(locks.lock_all());
    assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(held);
    assert_eq!(bomb.wakes(), 1, "to take the rest itself");
    bomb.arm(DROP);
    let polled = panic_of(|| _ = future.as_mut().poll(&mut Context::from_waker(&waker)));
    assert_eq!(polled.as_deref(), Some("bomb 0 in drop"));
    assert!(locks.try_lock_all().is_some(), "the guard existed by then and released them");
    bomb.arm(0);
    drop((future, waker));
    assert_eq!(bomb.alive(), 0);
}

#[test]
fn a_close_wakes_every_waiter_before_the_first_panic_goes_on() {
    let locks = Locks::new(2);
    let held = locks.try_lock_all();
    let waiting: Vec<_> = (0..40)
        .map(|at| {
            let (bomb, waker) = Bomb::new(at);
            bomb.arm(if at % 3 == 1 { WAKE } else { 0 });
            let mut future = Box::pin(locks.lock_stripe(at / 20).checked());
            assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            (bomb, waker, future)
        })
        .collect();
    assert_eq!(panic_of(|| locks.close()).as_deref(), Some("bomb 1 in wake"));
    assert!(locks.is_closed());
    for (bomb, waker, mut future) in waiting {
        assert_eq!(bomb.wakes(), 1);
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(matches!(polled, Poll::Ready(Err(_))));
    }
    drop(held);
}

/// More readers than one lock of a bucket serves.
#[test]
fn every_reader_of_a_large_group_is_woken_before_the_first_panic_goes_on() {
    for bombs in [0..40, 3..4, 7..9, 39..40, 15..33] {
        let locks = AsyncStripedRwLock::<u64>::new(1);
        let held = locks.try_write(&1);
        let mut readers: Vec<_> = (0..40)
            .map(|at| {
                let (bomb, waker) = Bomb::new(at);
                bomb.arm(if bombs.contains(&at) { WAKE } else { 0 });
                let mut future = Box::pin(locks.read(&1));
                assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                (bomb, waker, future)
            })
            .collect();
        let panic = panic_of(|| drop(held));
        assert_eq!(panic, Some(format!("bomb {} in wake", bombs.start)));
        assert!(readers.iter().all(|(bomb, ..)| bomb.wakes() == 1));
        let poll = |(_, waker, future): &mut (_, Waker, Pin<Box<Acquire<_, _>>>)| {
            future.as_mut().poll(&mut Context::from_waker(waker)).is_ready()
        };
        assert!(readers.iter_mut().all(poll), "all of them are in");
        drop(readers);
        assert!(locks.try_write(&1).is_some());
    }
}

/// A guard of several stripes. The release of each stripe calls a waker that panics.
#[test]
fn all_stripes_of_a_guard_are_released_before_the_first_panic_goes_on() {
    let locks = Locks::new(8);
    let all = locks.try_lock_all();
    let mut waiting: Vec<_> = (0..8)
        .map(|stripe| {
            let (bomb, waker) = Bomb::new(stripe);
            bomb.arm(WAKE);
            let mut future = Box::pin(locks.lock_stripe(stripe));
            assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            (bomb, waker, future)
        })
        .collect();
    // The highest stripe is released first.
    assert_eq!(panic_of(|| drop(all)).as_deref(), Some("bomb 7 in wake"));
    for (bomb, waker, future) in &mut waiting {
        assert_eq!(bomb.wakes(), 1);
        assert!(future.as_mut().poll(&mut Context::from_waker(waker)).is_ready());
    }
    drop(waiting);
    assert!(locks.try_lock_all().is_some());
}

/// Calls other than drops that release or serve. The guard that such a call returns or took is not lost by the panic.
#[test]
fn calls_that_serve_a_queue_leave_nothing_held() {
    let rw = AsyncStripedRwLock::<u64>::new(2);
    let permits = AsyncStripedSemaphore::<u64>::new(1, 1);
    macro_rules! panics {
        ($($held:expr => $wait:expr, |$guard:ident| $call:expr;)*) => {
            $({
                let $guard = $held;
                let (bomb, waker) = Bomb::new(0);
                bomb.arm(WAKE);
                let mut future = Box::pin($wait);
                assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                let panic = panic_of(|| _ = $call);
                assert_eq!(panic.as_deref(), Some("bomb 0 in wake"), "{}", stringify!($call));
                bomb.arm(0);
                // It blocks no other future, whether it was served or not.
                drop(future);
                assert!(rw.try_write_all().is_some(), "{}", stringify!($call));
            })*
        };
    }
    panics! {
        rw.try_write(&1).unwrap() => rw.read(&1), |guard| AsyncGuard::<_, Write>::downgrade(guard);
        rw.try_write(&1).unwrap() => rw.read(&1), |guard| AsyncGuard::<_, Write>::downgrade_to_upgradable(guard);
        rw.try_upgradable_read(&1).unwrap() => rw.upgradable_read(&1), |guard| AsyncUpgradableGuard::downgrade(guard);
        rw.try_write(&1).unwrap() => rw.write(&1), |guard| AsyncGuard::unlock_fair(guard);
        rw.try_write(&1).unwrap() => rw.write(&1), |guard| AsyncGuard::bump(guard);
        rw.try_write_all().unwrap() => rw.write(&1), |guard| { let mut guard = guard; guard.release(&1) };
        rw.try_write_stripe(0) => rw.write_all(), |guard| { let _guard = guard; rw.try_write_stripe(1) };
        permits.try_acquire(&1).unwrap() => permits.acquire(&1), |guard| { let _guard = guard; permits.add_permits(&1, 1) };
    }
    assert_eq!(permits.available(&1), 2);
}

type Shared = Arc<Mutex<Option<Pin<Box<Acquire<Arc<Locks>, Write>>>>>>;

/// A waker may poll or drop its own future and the next one, as the owner may.
#[test]
fn a_waker_may_poll_or_drop_any_future() {
    for (strict, polls, own) in (0..8).map(|case| (case & 1 == 0, case & 2 == 0, case & 4 == 0)) {
        let locks = if strict { Locks::new(1).strict_fifo() } else { Locks::new(1) };
        let locks = Arc::new(locks);
        let held = locks.try_lock(&1);
        let (hook, waker) = Hook::new();
        let futures: [Shared; 2] =
            std::array::from_fn(|_| Arc::new(Mutex::new(Some(Box::pin(locks.lock_owned(&1))))));
        for future in &futures {
            let mut future = future.lock().unwrap();
            let polled = future.as_mut().unwrap().as_mut().poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
        }
        let target = futures[usize::from(!own)].clone();
        hook.then(move || {
            let mut future = target.lock().unwrap().take().unwrap();
            if polls && future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                *target.lock().unwrap() = Some(future);
            }
        });
        drop(held);
        assert!(hook.is_done());
        for future in futures {
            let Some(mut future) = future.lock().unwrap().take() else { continue };
            let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_ready(), "strict {strict}, polls {polls}, own {own}");
        }
        assert!(locks.try_lock(&1).is_some());
    }
}

/// A waker takes the stripes that the release has just freed without waiting, and waits for the rest as a thread.
#[test]
fn a_waker_may_lock_as_a_thread() {
    let locks = Arc::new(Locks::new(8));
    let held = locks.try_lock_stripe(0);
    let (hook, waker) = Hook::new();
    let mut future = Box::pin(locks.lock_stripe(0));
    assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let others = locks.clone();
    let took = Arc::new(AtomicUsize::new(0));
    let count = took.clone();
    hook.then(move || {
        let keys = (0..1 << 10).filter(|key| others.stripe_of(key) != 0).collect::<Vec<u64>>();
        count.store(others.blocking_lock_many(&keys).len(), SeqCst);
    });
    drop(held);
    assert_eq!(took.load(SeqCst), 7);
    assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    drop(future);
    assert!(locks.try_lock_all().is_some());
}

/// A task is dropped by the waker of another one, while that one is being served.
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
