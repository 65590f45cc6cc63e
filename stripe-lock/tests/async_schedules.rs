//! Random schedules of eight tasks over the whole async face: exclusion holds, nobody is forgotten, nothing stays held.
//!
//! One thread plays the executor: it polls the woken tasks in a random order, now and then one that was not woken, and
//! drops some in the middle. So every run is repeated by its seed, which is printed where one fails. Set
//! `STRIPE_LOCK_SEED` to begin with it, `STRIPE_LOCK_SCHEDULES` to run more or fewer.
#![cfg(feature = "async")]

use std::cell::{Cell, RefCell};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

use stripe_lock::future::{AsyncBatch, within};
use stripe_lock::{AsyncStripedMutex, AsyncStripedRwLock, AsyncStripedSemaphore, DefaultHasher};

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

/// Is pending so many times, waking itself.
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

/// Who is in, by what the tasks themselves see.
#[derive(Default)]
struct Inside {
    mutex: [Cell<u32>; STRIPES],
    readers: [Cell<u32>; STRIPES],
    writers: [Cell<u32>; STRIPES],
    permits: [Cell<u32>; STRIPES],
}

/// One more is in, until this is dropped.
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
    mutex: AsyncStripedMutex<u64>,
    rwlock: AsyncStripedRwLock<u64>,
    semaphore: AsyncStripedSemaphore<u64>,
    inside: Inside,
    random: Random,
}

impl World {
    fn new(random: &Random) -> Self {
        let mutex = AsyncStripedMutex::from_fn(STRIPES, DefaultHasher::default(), |_| ());
        let rwlock = AsyncStripedRwLock::from_fn(STRIPES, DefaultHasher::default(), |_| ());
        let semaphore = AsyncStripedSemaphore::new(STRIPES, PERMITS);
        let strict = random.below(3) == 0;
        Self {
            mutex: if strict { mutex.strict_fifo() } else { mutex },
            rwlock: if strict { rwlock.strict_fifo() } else { rwlock },
            semaphore,
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

    async fn mutex_step(&self, what: u64) {
        let (locks, random) = (&self.mutex, &self.random);
        let single = |stripe: usize| Mark::new(&self.inside.mutex[stripe], 1);
        match what {
            0 | 1 => {
                let guard = locks.lock(&random.below(KEYS)).await;
                let _mark = single(guard.stripe());
                self.section().await;
            }
            2 | 3 => {
                let many = async {
                    if random.below(4) == 0 {
                        locks.lock_all().await
                    } else {
                        locks.lock_many(&random.keys()).await
                    }
                };
                let mut guard = many.await;
                let mut marks: Vec<_> = guard.stripes().iter().map(single).collect();
                self.section().await;
                let key = random.below(KEYS);
                let extended = if guard.holds(&key) {
                    false
                } else if random.below(2) == 0 {
                    guard.try_extend(&key).is_ok()
                } else {
                    guard.extend(&key).await.is_ok()
                };
                if extended {
                    marks.push(single(locks.stripe_of(&key)));
                }
                self.section().await;
            }
            4 => {
                if let Some(guard) = locks.try_lock_many(&random.keys()) {
                    let _marks: Vec<_> = guard.stripes().iter().map(single).collect();
                    self.section().await;
                }
            }
            _ => {
                let patience = pause(random.below(4));
                if let Ok(guard) = within(locks.lock_many(&random.keys()), patience).await {
                    let _marks: Vec<_> = guard.stripes().iter().map(single).collect();
                    self.section().await;
                }
            }
        }
    }

    /// Two futures of one task that want one stripe; the first is polled a few times and then forgotten, but kept.
    async fn forgetful_step(&self) {
        let (locks, random) = (&self.mutex, &self.random);
        let keys = random.keys();
        let mut forgotten = pin!(locks.lock_many(&keys));
        let patience = pause(random.below(3));
        if let Ok(guard) = within(forgotten.as_mut(), patience).await {
            let _marks: Vec<_> =
                guard.stripes().iter().map(|stripe| Mark::new(&self.inside.mutex[stripe], 1)).collect();
            return self.section().await;
        }
        let polled = locks.lock(&keys[random.below(keys.len() as u64) as usize]).await;
        let _mark = Mark::new(&self.inside.mutex[polled.stripe()], 1);
        self.section().await;
    }

    async fn rwlock_step(&self, what: u64) {
        let (locks, random) = (&self.rwlock, &self.random);
        match what {
            0 | 1 => {
                let guard = locks.read(&random.below(KEYS)).await;
                let _mark = self.reads(guard.stripe());
                self.section().await;
            }
            2 => {
                let guard = locks.write(&random.below(KEYS)).await;
                let _mark = self.writes(guard.stripe());
                self.section().await;
            }
            3 => {
                let guard = if random.below(4) == 0 {
                    locks.read_all().await
                } else {
                    locks.read_many(&random.keys()).await
                };
                let _marks: Vec<_> = guard.stripes().iter().map(|stripe| self.reads(stripe)).collect();
                self.section().await;
            }
            _ => {
                let (reads, writes) = (random.keys(), random.keys());
                let batch = reads.iter().fold(locks.batch(), AsyncBatch::read);
                let mut guard = writes.iter().fold(batch, AsyncBatch::write).lock().await;
                let written: Vec<_> = guard.iter_mut().map(|(stripe, ())| stripe).collect();
                let _marks: Vec<_> = guard
                    .stripes()
                    .iter()
                    .map(
                        |stripe| {
                            if written.contains(&stripe) { self.writes(stripe) } else { self.reads(stripe) }
                        },
                    )
                    .collect();
                self.section().await;
            }
        }
    }

    async fn semaphore_step(&self, what: u64) {
        let (limits, random) = (&self.semaphore, &self.random);
        let permits = if what == 0 {
            limits.acquire_many(&[random.below(KEYS)]).await
        } else {
            limits.acquire_many(&random.keys()).await
        };
        let mark = |stripe: usize| Mark::new(&self.inside.permits[stripe], PERMITS);
        let _marks: Vec<_> = permits.stripes().iter().map(mark).collect();
        self.section().await;
    }

    async fn task(&self) {
        for _ in 0..=self.random.below(3) {
            match self.random.below(16) {
                what @ 0..6 => self.mutex_step(what).await,
                6 => self.forgetful_step().await,
                what @ 7..12 => self.rwlock_step(what - 7).await,
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
        assert!(unwoken || !ready.is_empty(), "nobody is awake, and not all are done");
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
