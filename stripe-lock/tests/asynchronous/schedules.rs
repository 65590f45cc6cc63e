//! Random schedules of eight tasks that use all async methods, except those that block the thread. The tests check that
//! exclusion holds, that no waiter is forgotten, and that nothing stays held.
//!
//! One thread is the executor. It polls the woken tasks in a random order, sometimes one that was not woken, and drops
//! some before they end. So a seed reproduces a run. A run that fails prints its seed. `STRIPE_LOCK_SEED` sets the
//! first seed, and `STRIPE_LOCK_SCHEDULES` the number of runs.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

use stripe_lock::asynchronous::{AsyncBatch, AsyncGuard, within};
use stripe_lock::{AsyncStripedMutex, AsyncStripedRwLock, AsyncStripedSemaphore, DefaultHasher, StripeSet};

const TASKS: usize = 8;
const STRIPES: usize = 4;
const KEYS: u64 = 12;
const PERMITS: u32 = 2;

/// Xorshift64*, by Marsaglia and Vigna.
#[derive(Clone)]
struct Random(Rc<Cell<u64>>);

impl Random {
    fn new(seed: u64) -> Self {
        Self(Rc::new(Cell::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)))
    }

    fn below(&self, limit: u64) -> u64 {
        let mut state = self.0.get();
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.0.set(state);
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    fn keys(&self) -> Vec<u64> {
        (0..self.below(5)).map(|_| self.below(KEYS)).collect()
    }
}

/// Returns `Pending` a given number of times, and wakes itself.
fn pause(mut times: u64) -> impl Future<Output = ()> {
    std::future::poll_fn(move |cx| {
        if times == 0 {
            return Poll::Ready(());
        }
        times -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

/// Counts the tasks that are inside a section. Each task counts itself.
#[derive(Default)]
struct Inside {
    mutex: [Cell<u32>; STRIPES],
    readers: [Cell<u32>; STRIPES],
    writers: [Cell<u32>; STRIPES],
    permits: [Cell<u32>; STRIPES],
}

/// One more task is inside, until this is dropped.
struct Mark<'a>(&'a Cell<u32>);

impl<'a> Mark<'a> {
    fn new(cell: &'a Cell<u32>, most: u32) -> Self {
        cell.set(cell.get() + 1);
        assert!(cell.get() <= most, "{} inside of at most {most}", cell.get());
        Self(cell)
    }
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

struct World {
    mutex: Arc<AsyncStripedMutex<u64>>,
    rwlock: Arc<AsyncStripedRwLock<u64>>,
    semaphore: Arc<AsyncStripedSemaphore<u64>>,
    inside: Inside,
    random: Random,
}

impl World {
    fn new(random: &Random) -> Self {
        let mutex = AsyncStripedMutex::from_fn(STRIPES, DefaultHasher::default(), |_| ());
        let rwlock = AsyncStripedRwLock::from_fn(STRIPES, DefaultHasher::default(), |_| ());
        let strict = random.below(3) == 0;
        Self {
            mutex: Arc::new(if strict { mutex.strict_fifo() } else { mutex }),
            rwlock: Arc::new(if strict { rwlock.strict_fifo() } else { rwlock }),
            semaphore: Arc::new(AsyncStripedSemaphore::new(STRIPES, PERMITS)),
            inside: Inside::default(),
            random: random.clone(),
        }
    }

    /// Something to do while holding a lock.
    async fn section(&self) {
        pause(self.random.below(3)).await;
    }

    fn writes(&self, stripe: usize) -> Mark<'_> {
        assert_eq!(self.inside.readers[stripe].get(), 0, "a writer beside readers");
        Mark::new(&self.inside.writers[stripe], 1)
    }

    fn reads(&self, stripe: usize) -> Mark<'_> {
        assert_eq!(self.inside.writers[stripe].get(), 0, "a reader beside a writer");
        Mark::new(&self.inside.readers[stripe], u32::MAX)
    }

    /// Which form of the same method to call.
    fn way(&self) -> u64 {
        self.random.below(4)
    }

    fn patience(&self) -> impl Future<Output = ()> + use<> {
        pause(self.random.below(4))
    }

    fn single(&self, stripe: usize) -> Mark<'_> {
        Mark::new(&self.inside.mutex[stripe], 1)
    }

    fn singles(&self, stripes: &StripeSet) -> Vec<Mark<'_>> {
        stripes.iter().map(|stripe| self.single(stripe)).collect()
    }

    /// Is inside alone for some polls.
    async fn alone(&self, stripe: usize) {
        let _mark = self.single(stripe);
        self.section().await;
    }

    async fn mutex_step(&self, what: u64) {
        let (locks, random) = (&self.mutex, &self.random);
        let (key, keys) = (random.below(KEYS), random.keys());
        let stripe = locks.stripe_of(&key);
        match (what, self.way()) {
            (0, 0) => {
                let _guard = locks.lock_owned(&key).await;
                self.alone(stripe).await;
            }
            (0, 1) => locks.with(&key, async |()| self.alone(stripe).await).await,
            (0, 2) => {
                if let Some(_guard) = locks.try_lock(&key) {
                    self.alone(stripe).await;
                }
            }
            (0, _) => {
                if let Ok(_guard) = locks.lock_timeout(&key, self.patience()).await {
                    self.alone(stripe).await;
                }
            }
            (1, _) => {
                let _guard = locks.lock(&key).await;
                self.alone(stripe).await;
            }
            (2 | 3, way) => {
                let many =
                    async { if way == 0 { locks.lock_all().await } else { locks.lock_many(&keys).await } };
                let mut guard = many.await;
                let mut marks = self.singles(guard.stripes());
                self.section().await;
                let extended = if guard.holds(&key) {
                    false
                } else if random.below(2) == 0 {
                    guard.try_extend(&key).is_ok()
                } else {
                    guard.extend(&key).await.is_ok()
                };
                if extended {
                    marks.push(self.single(stripe));
                }
                self.section().await;
            }
            (4, way) => {
                let guard = if way == 0 { locks.try_lock_all() } else { locks.try_lock_many(&keys) };
                if let Some(guard) = guard {
                    let _marks = self.singles(guard.stripes());
                    self.section().await;
                }
            }
            _ => {
                if let Ok(guard) = within(locks.lock_many_owned(&keys), self.patience()).await {
                    let _marks = self.singles(guard.stripes());
                    self.section().await;
                }
            }
        }
    }

    /// Two futures of one task that want one stripe; the first is polled a few times and then dropped.
    async fn forgetful_step(&self) {
        let (locks, random) = (&self.mutex, &self.random);
        let keys = random.keys();
        let mut forgotten = Box::pin(locks.lock_many(&keys));
        let patience = pause(random.below(3));
        if let Ok(guard) = within(forgotten.as_mut(), patience).await {
            let _marks = self.singles(guard.stripes());
            return self.section().await;
        }
        drop(forgotten);
        let polled = locks.lock(&keys[random.below(keys.len() as u64) as usize]).await;
        self.alone(AsyncGuard::stripe(&polled)).await;
    }

    /// Is inside as a reader of these stripes for some polls.
    async fn reading(&self, stripes: impl IntoIterator<Item = usize>) {
        let _marks: Vec<_> = stripes.into_iter().map(|stripe| self.reads(stripe)).collect();
        self.section().await;
    }

    /// Is inside as their writer for some polls.
    async fn writing(&self, stripes: impl IntoIterator<Item = usize>) {
        let _marks: Vec<_> = stripes.into_iter().map(|stripe| self.writes(stripe)).collect();
        self.section().await;
    }

    async fn read_step(&self, way: u64) {
        let (locks, random) = (&self.rwlock, &self.random);
        let (key, keys) = (random.below(KEYS), random.keys());
        let stripe = [locks.stripe_of(&key)];
        match way {
            0 => {
                let _guard = locks.read_owned(&key).await;
                self.reading(stripe).await;
            }
            1 => locks.with_read(&key, async |()| self.reading(stripe).await).await,
            2 => {
                if let Some(_guard) = locks.try_read(&key) {
                    self.reading(stripe).await;
                }
            }
            3 => {
                if let Ok(_guard) = locks.read_timeout(&key, self.patience()).await {
                    self.reading(stripe).await;
                }
            }
            4 => {
                let guard = locks.read_all().await;
                self.reading(guard.stripes()).await;
            }
            5 => {
                let guard =
                    if random.below(4) == 0 { locks.try_read_all() } else { locks.try_read_many(&keys) };
                if let Some(guard) = guard {
                    self.reading(guard.stripes()).await;
                }
            }
            6 | 7 => {
                let guard = locks.read_many(&keys).await;
                self.reading(guard.stripes()).await;
            }
            _ => {
                let _guard = locks.read(&key).await;
                self.reading(stripe).await;
            }
        }
    }

    async fn write_step(&self, way: u64) {
        let (locks, random) = (&self.rwlock, &self.random);
        let (key, keys) = (random.below(KEYS), random.keys());
        let stripe = [locks.stripe_of(&key)];
        match way {
            0 => {
                let _guard = locks.write_owned(&key).await;
                self.writing(stripe).await;
            }
            1 => locks.with(&key, async |()| self.writing(stripe).await).await,
            2 => {
                if let Some(_guard) = locks.try_write(&key) {
                    self.writing(stripe).await;
                }
            }
            3 => {
                if let Ok(_guard) = locks.write_timeout(&key, self.patience()).await {
                    self.writing(stripe).await;
                }
            }
            4 => {
                let guard = locks.write_all().await;
                self.writing(guard.stripes()).await;
            }
            5 => {
                let guard =
                    if random.below(4) == 0 { locks.try_write_all() } else { locks.try_write_many(&keys) };
                if let Some(guard) = guard {
                    self.writing(guard.stripes()).await;
                }
            }
            6 | 7 => {
                let guard = locks.write_many(&keys).await;
                self.writing(guard.stripes()).await;
            }
            _ => {
                let _guard = locks.write(&key).await;
                self.writing(stripe).await;
            }
        }
    }

    async fn batch_step(&self) {
        let (reads, writes) = (self.random.keys(), self.random.keys());
        let batch =
            writes.iter().fold(reads.iter().fold(self.rwlock.batch(), AsyncBatch::read), AsyncBatch::write);
        let guard = if self.way() == 0 { batch.try_lock() } else { Some(batch.lock().await) };
        let Some(mut guard) = guard else { return };
        let written: Vec<_> = guard.iter_mut().map(|(stripe, ())| stripe).collect();
        let _writing: Vec<_> = written.iter().map(|&stripe| self.writes(stripe)).collect();
        self.reading(guard.stripes().iter().filter(|stripe| !written.contains(stripe))).await;
    }

    async fn semaphore_step(&self, what: u64) {
        let (limits, random) = (&self.semaphore, &self.random);
        let (key, keys) = (random.below(KEYS), random.keys());
        let mark = |stripe: usize| Mark::new(&self.inside.permits[stripe], PERMITS);
        let stripe = limits.stripe_of(&key);
        match (what, self.way()) {
            (0, 0) => {
                if let Some(permits) = limits.try_acquire_keys(&keys) {
                    let _marks: Vec<_> = permits.stripes().iter().map(mark).collect();
                    self.section().await;
                }
            }
            (0, _) => {
                let permits = limits.acquire_keys(&keys).await;
                let _marks: Vec<_> = permits.stripes().iter().map(mark).collect();
                self.section().await;
            }
            (_, 0) => {
                let _permit = limits.acquire_owned(&key).await;
                let _mark = mark(stripe);
                self.section().await;
            }
            (_, 1) => {
                if let Some(_permit) = limits.try_acquire(&key) {
                    let _mark = mark(stripe);
                    self.section().await;
                }
            }
            (_, 2) => {
                if let Ok(_permit) = limits.acquire_timeout(&key, self.patience()).await {
                    let _mark = mark(stripe);
                    self.section().await;
                }
            }
            _ => {
                let _permit = limits.acquire(&key).await;
                let _mark = mark(stripe);
                self.section().await;
            }
        }
    }

    async fn task(&self) {
        for _ in 0..=self.random.below(3) {
            match self.random.below(16) {
                what @ 0..6 => self.mutex_step(what).await,
                6 => self.forgetful_step().await,
                7 | 8 => self.read_step(self.random.below(10)).await,
                9 | 10 => self.write_step(self.random.below(10)).await,
                11 => self.batch_step().await,
                what => self.semaphore_step(what % 2).await,
            }
        }
    }

    fn assert_all_free(&self) {
        assert!(self.mutex.try_lock_all().is_some(), "a mutex stays held");
        assert!(self.rwlock.try_write_all().is_some(), "a read-write lock stays held");
        assert!((0..KEYS).all(|key| self.semaphore.available(&key) == PERMITS), "a permit stays taken");
    }
}

struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Relaxed);
    }
}

/// A task, until it is done or given up, and whether it was woken.
type Running<'a> = (Option<Pin<Box<dyn Future<Output = ()> + 'a>>>, Arc<Bell>, Waker);

fn run(seed: u64) {
    let random = Random::new(seed);
    let world = World::new(&random);
    let tasks: RefCell<Vec<Running<'_>>> = RefCell::default();
    for _ in 0..TASKS {
        let bell = Arc::new(Bell(AtomicBool::new(true)));
        tasks.borrow_mut().push((Some(Box::pin(world.task())), bell.clone(), bell.into()));
    }
    let mut tasks = tasks.into_inner();
    while tasks.iter().any(|(task, ..)| task.is_some()) {
        let unwoken = random.below(16) == 0;
        let ready = |(task, bell, _): &Running<'_>| task.is_some() && (unwoken || bell.0.load(Relaxed));
        let ready: Vec<_> = (0..TASKS).filter(|&task| ready(&tasks[task])).collect();
        assert!(unwoken || !ready.is_empty(), "no task is awake, and not all are done");
        let Some(&chosen) = ready.get(random.below(ready.len().max(1) as u64) as usize) else { continue };
        let (task, bell, waker) = &mut tasks[chosen];
        bell.0.store(false, Relaxed);
        let polled = task.as_mut().map(|task| task.as_mut().poll(&mut Context::from_waker(waker)));
        if polled.is_some_and(|polled| polled.is_ready()) || random.below(64) == 0 {
            *task = None;
        }
    }
    drop(tasks);
    world.assert_all_free();
}

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().expect("a number"))
}

#[test]
fn random_schedules() {
    struct Seed(u64);
    impl Drop for Seed {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("the seed was {}", self.0);
            }
        }
    }
    let first = setting("STRIPE_LOCK_SEED", 0);
    for seed in first..first + setting("STRIPE_LOCK_SCHEDULES", 100_000) {
        let _shown = Seed(seed);
        run(seed);
    }
}
