//! Random schedules of hostile tasks: several futures in one task (`join!`, `select!`, `join_all`, `FuturesUnordered`),
//! futures that are put aside and polled or dropped by another task, guards that move to another task, wakers that
//! panic or use the set that wakes them, and sets that are closed in between.
//!
//! As in `async_schedules`, one thread is the executor, so a seed reproduces a run. A run that fails prints its seed.
//! `STRIPE_LOCK_SEED` sets the first seed, and `STRIPE_LOCK_SCHEDULES` the number of runs.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::StreamExt;
use futures_util::future::{Either, join, join_all, select};
use futures_util::stream::FuturesUnordered;
use stripe_lock::asynchronous::{
    AsyncGuard, AsyncMutexGuard, AsyncPermits, AsyncUpgradableGuard, AsyncWriteGuard,
    OwnedAsyncUpgradableGuard, within,
};
use stripe_lock::{AsyncStripedMutex, AsyncStripedRwLock, AsyncStripedSemaphore, DefaultHasher};

const TASKS: usize = 6;
const STRIPES: usize = 4;
const KEYS: u64 = 12;
const PERMITS: u32 = 3;

thread_local! {
    static RANDOM: Cell<u64> = const { Cell::new(1) };
    static ALONE: [Cell<u32>; 2 * STRIPES] = const { [const { Cell::new(0) }; 2 * STRIPES] };
    static SHARED: [Cell<u32>; 2 * STRIPES] = const { [const { Cell::new(0) }; 2 * STRIPES] };
    static ASIDE: RefCell<Vec<Aside>> = const { RefCell::new(Vec::new()) };
    static GUARDS: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// A future that was put aside. Its output is a guard with its mark.
type Aside = Pin<Box<dyn Future<Output = Box<dyn Any>>>>;

/// The payload of a waker's panic.
struct Planted;

/// Xorshift64*, by Marsaglia and Vigna.
fn below(limit: u64) -> u64 {
    let mut state = RANDOM.get();
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    RANDOM.set(state);
    (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
}

fn key() -> u64 {
    below(KEYS)
}

fn keys() -> Vec<u64> {
    (0..below(5)).map(|_| key()).collect()
}

/// Returns `Pending` up to three times, and wakes itself.
async fn pause() {
    let mut times = below(4);
    std::future::poll_fn(|cx| {
        if times == 0 {
            return Poll::Ready(());
        }
        times -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Marks a task as inside a section until this is dropped, alone or with others. In both arrays, the stripes of the
/// mutex come first, and then those of the read-write lock. The semaphore uses the counters of the mutex in the shared
/// array.
struct Mark(&'static std::thread::LocalKey<[Cell<u32>; 2 * STRIPES]>, usize, u32);

impl Mark {
    fn alone(at: usize) -> Self {
        let before = ALONE.with(|alone| alone[at].replace(1));
        assert_eq!(before, 0, "two are inside");
        assert!(at < STRIPES || SHARED.with(|shared| shared[at].get()) == 0, "a writer beside readers");
        Self(&ALONE, at, 1)
    }

    fn shared(at: usize, shares: u32, most: u32) -> Self {
        let now = SHARED.with(|shared| shared[at].get()) + shares;
        assert!(now <= most, "{now} inside, of {most}");
        assert!(at < STRIPES || ALONE.with(|alone| alone[at].get()) == 0, "a reader beside a writer");
        SHARED.with(|shared| shared[at].set(now));
        Self(&SHARED, at, shares)
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.0.with(|marks| marks[self.1].set(marks[self.1].get() - self.2));
    }
}

struct World {
    mutex: Arc<AsyncStripedMutex<u64>>,
    rwlock: Arc<AsyncStripedRwLock<u64>>,
    semaphore: Arc<AsyncStripedSemaphore<u64>>,
}

impl World {
    fn new() -> Self {
        let mutex = AsyncStripedMutex::from_fn(STRIPES, DefaultHasher::default(), |_| ());
        let rwlock = AsyncStripedRwLock::from_fn(STRIPES, DefaultHasher::default(), |_| ());
        let semaphore = AsyncStripedSemaphore::new(STRIPES, PERMITS);
        let strict = below(3) == 0;
        Self {
            mutex: Arc::new(if strict { mutex.strict_fifo() } else { mutex }),
            rwlock: Arc::new(if strict { rwlock.strict_fifo() } else { rwlock }),
            semaphore: Arc::new(if strict { semaphore.strict_fifo() } else { semaphore }),
        }
    }

    /// A future that may be put aside for ever.
    fn aside(&self) -> Aside {
        let (key, keys) = (key(), keys());
        match below(5) {
            0 => {
                let lock = self.mutex.lock_owned(&key);
                Box::pin(async {
                    let guard = lock.await;
                    let mark = Mark::alone(AsyncGuard::stripe(&guard));
                    Box::new((mark, guard)) as Box<dyn Any>
                })
            }
            1 => {
                let lock = self.mutex.enqueue_owned(&key);
                Box::pin(async {
                    let guard = lock.await;
                    let mark = Mark::alone(AsyncGuard::stripe(&guard));
                    Box::new((mark, guard)) as Box<dyn Any>
                })
            }
            2 => {
                let lock = self.mutex.lock_many_owned(&keys);
                Box::pin(async {
                    let guard = lock.await;
                    let marks: Vec<_> = guard.stripes().iter().map(Mark::alone).collect();
                    Box::new((marks, guard)) as Box<dyn Any>
                })
            }
            3 => {
                let lock = self.rwlock.upgradable_read_owned(&key);
                Box::pin(async {
                    let guard = OwnedAsyncUpgradableGuard::upgrade(lock.await).await;
                    let mark = Mark::alone(STRIPES + AsyncGuard::stripe(&guard));
                    Box::new((mark, guard)) as Box<dyn Any>
                })
            }
            _ => {
                let lock = self.semaphore.acquire_many_owned(&key, 2);
                Box::pin(async {
                    let guard = lock.await;
                    let mark = Mark::shared(AsyncGuard::stripe(&guard), 2, PERMITS);
                    Box::new((mark, guard)) as Box<dyn Any>
                })
            }
        }
    }

    async fn lock_one(&self) {
        let key = key();
        let at = self.mutex.stripe_of(&key);
        let guard = match below(5) {
            0 => self.mutex.lock_timeout(&key, pause()).await.ok(),
            1 => self.mutex.lock_unless_crowded(&key, below(3) as u32).await.ok(),
            2 => self.mutex.try_lock(&key),
            _ => Some(self.mutex.lock(&key).await),
        };
        let Some(mut guard) = guard else { return };
        let mark = Mark::alone(at);
        pause().await;
        drop(mark);
        match below(6) {
            0 => guard = AsyncMutexGuard::bump(guard).await,
            1 => guard = AsyncMutexGuard::unlocked(guard, pause()).await.0,
            2 => return AsyncMutexGuard::unlock_fair(guard),
            _ => return,
        }
        let _mark = Mark::alone(AsyncGuard::stripe(&guard));
        pause().await;
    }

    async fn lock_several(&self) {
        let (more, keys) = (key(), keys());
        let lock = self.mutex.lock_many(&keys);
        let guard = match below(4) {
            0 => within(lock, pause()).await.ok(),
            1 => lock.unless_crowded(1).await.ok(),
            2 => lock.checked().await.ok(),
            _ => Some(lock.await),
        };
        let Some(mut guard) = guard else { return };
        let marks: Vec<_> = guard.stripes().iter().map(Mark::alone).collect();
        pause().await;
        drop(marks);
        match below(4) {
            0 => _ = guard.extend(&more).await,
            1 => _ = guard.extend_or_restart([&more, &key()]).await,
            2 => _ = guard.release(&more),
            _ => _ = guard.try_extend(&more),
        }
        let _marks: Vec<_> = guard.stripes().iter().map(Mark::alone).collect();
        pause().await;
    }

    async fn read_or_write(&self) {
        let (key, keys) = (key(), keys());
        let at = STRIPES + self.rwlock.stripe_of(&key);
        match below(5) {
            0 => {
                let _guard = self.rwlock.read(&key).await;
                let _mark = Mark::shared(at, 1, u32::MAX);
                pause().await;
            }
            1 => {
                let guard = self.rwlock.write(&key).await;
                let mark = Mark::alone(at);
                pause().await;
                drop(mark);
                if below(2) == 0 {
                    let _guard = AsyncWriteGuard::downgrade(guard);
                    let _mark = Mark::shared(at, 1, u32::MAX);
                    pause().await;
                } else {
                    let _guard = AsyncWriteGuard::downgrade_to_upgradable(guard);
                    let _mark = Mark::shared(at, 1, u32::MAX);
                    pause().await;
                }
            }
            2 => {
                let guard = self.rwlock.upgradable_read(&key).await;
                let mark = Mark::shared(at, 1, u32::MAX);
                pause().await;
                drop(mark);
                match below(3) {
                    0 => drop(AsyncUpgradableGuard::downgrade(guard)),
                    1 => {
                        let upgrade = AsyncUpgradableGuard::upgrade(guard);
                        if let Ok(_guard) = within(upgrade, pause()).await {
                            let _mark = Mark::alone(at);
                            pause().await;
                        }
                    }
                    _ => {
                        let _guard = AsyncUpgradableGuard::upgrade(guard).await;
                        let _mark = Mark::alone(at);
                        pause().await;
                    }
                }
            }
            3 => {
                let guard = self.rwlock.read_many(&keys).await;
                let mark = |stripe| Mark::shared(STRIPES + stripe, 1, u32::MAX);
                let _marks: Vec<_> = guard.stripes().iter().map(mark).collect();
                pause().await;
            }
            _ => {
                let guard = self.rwlock.write_many(&keys).await;
                let _marks: Vec<_> =
                    guard.stripes().iter().map(|stripe| Mark::alone(STRIPES + stripe)).collect();
                pause().await;
            }
        }
    }

    async fn take_permits(&self) {
        let (key, keys) = (key(), keys());
        let at = self.semaphore.stripe_of(&key);
        match below(3) {
            0 => {
                let many = below(1 + u64::from(PERMITS)) as u32;
                let guard = self.semaphore.acquire_many(&key, many).await;
                let mark = Mark::shared(at, many, PERMITS);
                pause().await;
                drop(mark);
                if below(2) == 0 {
                    AsyncPermits::forget(guard);
                    self.semaphore.add_permits(&key, many);
                }
            }
            1 => {
                let guard = self.semaphore.acquire_keys(&keys).await;
                let mark = |stripe| Mark::shared(stripe, 1, PERMITS);
                let _marks: Vec<_> = guard.stripes().iter().map(mark).collect();
                pause().await;
            }
            _ => {
                if let Ok(_guard) = self.semaphore.acquire_timeout(&key, pause()).await {
                    let _mark = Mark::shared(at, 1, PERMITS);
                    pause().await;
                }
            }
        }
    }

    async fn anything(&self) {
        match below(6) {
            0 | 1 => self.lock_one().await,
            2 => self.lock_several().await,
            3 => self.read_or_write().await,
            4 => self.take_permits().await,
            _ => pause().await,
        }
    }

    /// Starts a future and does not poll it for some time. Then polls it, or moves it to another task.
    async fn put_aside(&self) {
        let (ready, aside) = match select(self.aside(), Box::pin(pause())).await {
            Either::Left((guard, _)) => (Some(guard), None),
            Either::Right(((), aside)) => (None, Some(aside)),
        };
        pause().await;
        let guard = match (ready, aside) {
            (None, Some(aside)) => match below(3) {
                0 => return drop(aside),
                1 => return ASIDE.with_borrow_mut(|all| all.push(aside)),
                _ => aside.await,
            },
            (Some(guard), _) => guard,
            (None, None) => return,
        };
        if below(2) == 0 {
            return GUARDS.with_borrow_mut(|all| all.push(guard));
        }
        pause().await;
        drop(guard);
    }

    async fn task(self: Rc<Self>) {
        for _ in 0..=below(3) {
            match below(8) {
                0 => _ = join(self.anything(), self.anything()).await,
                1 => _ = join_all((0..3).map(|_| self.anything())).await,
                2 => {
                    let one = |_| Quiet(Some(Box::pin(self.anything())));
                    let mut all: FuturesUnordered<_> = (0..3).map(one).collect();
                    while all.next().await.is_some() {}
                }
                3 => {
                    let (one, other) = (Box::pin(self.anything()), Box::pin(self.anything()));
                    // The slower future is dropped.
                    drop(select(one, other).await);
                }
                4 | 5 => self.put_aside().await,
                6 => {
                    let guard = GUARDS.with_borrow_mut(Vec::pop);
                    pause().await;
                    drop(guard);
                }
                _ => self.anything().await,
            }
        }
    }

    fn close_one(&self) {
        match below(3) {
            0 => self.mutex.close(),
            1 => self.rwlock.close(),
            _ => self.semaphore.close(),
        }
    }

    fn assert_all_free(&self) {
        let Self { mutex, rwlock, semaphore } = self;
        for key in 0..KEYS {
            assert!(!mutex.is_locked(&key), "a mutex stays held");
            assert!(!rwlock.is_locked(&key), "a read-write lock stays held");
            assert_eq!(semaphore.available(&key), PERMITS, "a permit stays taken");
            assert_eq!(mutex.waiters(&key) + rwlock.waiters(&key) + semaphore.waiters(&key), 0);
        }
        assert!(mutex.is_closed() || mutex.try_lock_all().is_some());
        assert!(rwlock.is_closed() || rwlock.try_write_all().is_some());
    }
}

/// Polls a future that was put aside, with a waker that does nothing, or drops it.
fn meddle() {
    let found = ASIDE.with_borrow_mut(|all| {
        let at = below(1 + all.len() as u64) as usize;
        (at < all.len()).then(|| all.swap_remove(at))
    });
    let Some(mut aside) = found else { return drop(GUARDS.with_borrow_mut(Vec::pop)) };
    if below(2) == 0 {
        return;
    }
    match aside.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(guard) => GUARDS.with_borrow_mut(|all| all.push(guard)),
        Poll::Pending => ASIDE.with_borrow_mut(|all| all.push(aside)),
    }
}

/// Wakes its task, and then sometimes meddles or panics.
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
        match below(24) {
            0 => resume_unwind(Box::new(Planted)),
            1 | 2 => meddle(),
            _ => {}
        }
    }
}

/// Runs code in which wakers may panic and sets may be closed. Any other panic is propagated.
fn guarded(code: impl FnOnce()) -> bool {
    let Err(panic) = catch_unwind(AssertUnwindSafe(code)) else { return true };
    let closed =
        panic.downcast_ref::<String>().is_some_and(|text| text.starts_with("the set of locks is closed"));
    if !closed && !panic.is::<Planted>() {
        resume_unwind(panic);
    }
    false
}

/// A future whose drop does not panic, because a `FuturesUnordered` leaks its other futures if one does.
struct Quiet<F>(Option<Pin<Box<F>>>);

impl<F: Future> Future for Quiet<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.0.as_mut().expect("it exists until it is dropped").as_mut().poll(cx)
    }
}

impl<F> Drop for Quiet<F> {
    fn drop(&mut self) {
        let future = self.0.take();
        guarded(|| drop(future));
    }
}

/// A task, until it is done, given up or ended by a panic, and whether it was woken.
type Running = (Option<Pin<Box<dyn Future<Output = ()>>>>, Arc<Bell>, Waker);

fn run(seed: u64) {
    RANDOM.set(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let world = Rc::new(World::new());
    let mut tasks: Vec<Running> = (0..TASKS)
        .map(|_| {
            let bell = Arc::new(Bell(AtomicBool::new(true)));
            (Some(Box::pin(world.clone().task()) as Pin<Box<_>>), bell.clone(), bell.into())
        })
        .collect();
    let closes = below(4) == 0;
    while tasks.iter().any(|(task, ..)| task.is_some()) {
        if closes && below(32) == 0 {
            guarded(|| world.close_one());
        }
        let unwoken = below(16) == 0;
        let ready: Vec<_> = (0..TASKS)
            .filter(|&task| tasks[task].0.is_some() && (unwoken || tasks[task].1.0.load(Relaxed)))
            .collect();
        if ready.is_empty() && !unwoken {
            let left = ASIDE.with_borrow(Vec::len) + GUARDS.with_borrow(Vec::len);
            assert!(left > 0, "no task is awake, and not all are done");
            guarded(|| drop(ASIDE.take()));
            guarded(|| drop(GUARDS.take()));
            continue;
        }
        let Some(&chosen) = ready.get(below(ready.len().max(1) as u64) as usize) else { continue };
        let (task, bell, waker) = &mut tasks[chosen];
        bell.0.store(false, Relaxed);
        let mut done = below(64) == 0;
        done |= !guarded(|| {
            if let Some(task) = task {
                done |= task.as_mut().poll(&mut Context::from_waker(waker)).is_ready();
            }
        });
        if done {
            let task = task.take();
            guarded(|| drop(task));
        }
    }
    while ASIDE.with_borrow(|all| !all.is_empty()) || GUARDS.with_borrow(|all| !all.is_empty()) {
        guarded(|| drop(ASIDE.take()));
        guarded(|| drop(GUARDS.take()));
    }
    world.assert_all_free();
}

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().expect("a number"))
}

#[test]
fn hostile_schedules() {
    struct Seed(u64);
    impl Drop for Seed {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("the seed was {}", self.0);
            }
        }
    }
    // Locking a closed set panics. This is expected here, so no message is printed.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let expected =
            panic.payload_as_str().is_some_and(|text| text.starts_with("the set of locks is closed"));
        if !expected {
            hook(panic);
        }
    }));
    let first = setting("STRIPE_LOCK_SEED", 0);
    for seed in first..first + setting("STRIPE_LOCK_SCHEDULES", 30_000) {
        let _shown = Seed(seed);
        run(seed);
    }
}
