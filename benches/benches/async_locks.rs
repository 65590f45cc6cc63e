//! The async locks against those of other crates, striped by hand with the same hasher, in interleaved rounds.
//!
//! `cargo bench -p benches --bench async_locks [-- SUITE...]`, with suites `one`, `many`, `two`, `hot`, `read` and `dense`.
//! Every table gives the median of the rounds and, for each contender, the median of its ratios to ours.

use std::{
    future::ready,
    hint::black_box,
    iter,
    pin::pin,
    sync::{
        Arc, Barrier,
        atomic::{
            AtomicU8,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use benches::harness::{Case, Comparison, Plan};
use crossbeam_utils::CachePadded;
use stripe_lock::{AsyncStripedMutex, AsyncStripedRwLock, DefaultHasher, Striped};

const STRIPES: usize = 64;
const PLAN: Plan = Plan { rounds: 15, sample: Duration::from_millis(8) };
const OURS: &str = "stripe-lock";

/// Stripes of somebody else's lock, as one would write them: each on its own cache line, by our hasher.
type ByHand<L> = Striped<u64, CachePadded<L>, DefaultHasher>;

/// An async mutex by key.
trait Contender: Send + Sync + 'static {
    const NAME: &'static str;
    fn new() -> Self;
    fn with<F: Future<Output: Send> + Send>(
        &self,
        key: u64,
        section: F,
    ) -> impl Future<Output = F::Output> + Send;
    /// Locks and unlocks, polling the lock's own future once.
    fn once(&self, key: u64);
    /// Holds the locks of all keys, taken in ascending order of stripes.
    fn with_many(&self, keys: &[u64]) -> impl Future<Output = ()> + Send;
}

fn by_hand<L: Default>() -> ByHand<L> {
    Striped::from_fn(STRIPES, DefaultHasher::default(), |_| CachePadded::default())
}

/// The stripes of some keys, ascending, as one would collect them for locks without a set of their own.
fn in_order<L>(locks: &ByHand<L>, keys: &[u64]) -> Vec<usize> {
    let mut stripes: Vec<_> = keys.iter().map(|key| locks.stripe_of(key)).collect();
    stripes.sort_unstable();
    stripes.dedup();
    stripes
}

impl Contender for AsyncStripedMutex<u64> {
    const NAME: &'static str = OURS;
    fn new() -> Self {
        Self::new(STRIPES)
    }
    #[inline]
    async fn with<F: Future<Output: Send> + Send>(&self, key: u64, section: F) -> F::Output {
        let _guard = self.lock(&key).await;
        section.await
    }
    #[inline]
    fn once(&self, key: u64) {
        drop(now(self.lock(&key)));
    }
    #[inline]
    async fn with_many(&self, keys: &[u64]) {
        black_box(&self.lock_many(keys).await);
    }
}

/// A mutex with guards by reference.
macro_rules! guarded {
    ($lock:ty, $name:literal) => {
        impl Contender for ByHand<$lock> {
            const NAME: &'static str = $name;
            fn new() -> Self {
                by_hand()
            }
            #[inline]
            async fn with<F: Future<Output: Send> + Send>(&self, key: u64, section: F) -> F::Output {
                let _guard = self.get(&key).lock().await;
                section.await
            }
            #[inline]
            fn once(&self, key: u64) {
                drop(now(self.get(&key).lock()));
            }
            #[inline]
            async fn with_many(&self, keys: &[u64]) {
                let stripes = in_order(self, keys);
                let mut guards = Vec::with_capacity(stripes.len());
                for stripe in stripes {
                    guards.push(self.stripe(stripe).lock().await);
                }
                black_box(&guards);
            }
        }
    };
}

guarded!(tokio::sync::Mutex<()>, "tokio");
guarded!(async_lock::Mutex<()>, "async-lock");
guarded!(futures_util::lock::Mutex<()>, "futures");

impl Contender for ByHand<saa::Lock> {
    const NAME: &'static str = "saa";
    fn new() -> Self {
        by_hand()
    }
    #[inline]
    async fn with<F: Future<Output: Send> + Send>(&self, key: u64, section: F) -> F::Output {
        let lock = self.get(&key);
        lock.lock_async().await;
        let output = section.await;
        lock.release_lock();
        output
    }
    #[inline]
    fn once(&self, key: u64) {
        let lock = self.get(&key);
        now(lock.lock_async());
        lock.release_lock();
    }
    #[inline]
    async fn with_many(&self, keys: &[u64]) {
        let stripes = in_order(self, keys);
        for &stripe in &stripes {
            self.stripe(stripe).lock_async().await;
        }
        for &stripe in stripes.iter().rev() {
            self.stripe(stripe).release_lock();
        }
    }
}

/// `lockable`'s pool, which has a lock for every key that is in use.
struct Lockable(lockable::LockPool<u64>);

impl Contender for Lockable {
    const NAME: &'static str = "lockable";
    fn new() -> Self {
        Self(lockable::LockPool::new())
    }
    async fn with<F: Future<Output: Send> + Send>(&self, key: u64, section: F) -> F::Output {
        let _guard = self.0.async_lock(key).await;
        section.await
    }
    fn once(&self, key: u64) {
        drop(now(self.0.async_lock(key)));
    }
    async fn with_many(&self, keys: &[u64]) {
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        keys.dedup();
        let mut guards = Vec::new();
        for key in keys {
            guards.push(self.0.async_lock(key).await);
        }
    }
}

/// `striped-lock`, which has no lock of several keys.
struct StripedLock(striped_lock::tokio::StripedLock<u64, DefaultHasher>);

impl Contender for StripedLock {
    const NAME: &'static str = "striped-lock";
    fn new() -> Self {
        let stripes = STRIPES.try_into().expect("more than none");
        Self(striped_lock::tokio::StripedLock::with_hasher(DefaultHasher::default(), stripes))
    }
    async fn with<F: Future<Output: Send> + Send>(&self, key: u64, section: F) -> F::Output {
        let _guard = self.0.lock(key).await;
        section.await
    }
    fn once(&self, key: u64) {
        drop(now(self.0.lock(key)));
    }
    async fn with_many(&self, _keys: &[u64]) {
        unreachable!("it has none");
    }
}

/// Polls a future that does not wait.
#[inline]
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("nobody else holds anything"),
    }
}

/// Keys without order: multiples of an odd constant.
fn keys() -> Vec<u64> {
    (1..=4096_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect()
}

fn time(run: impl FnOnce()) -> Duration {
    let since = Instant::now();
    run();
    since.elapsed()
}

/// Measures, and prints a table in which every contender is compared with `base`.
fn compare(title: &str, base: &str, mut cases: Vec<Case<'_>>) {
    let result = Comparison::measure(&mut cases, PLAN, |_| ());
    println!("\n{title}");
    for samples in result.samples() {
        let ratio = samples.times_slower_than(result.of(base));
        println!(
            "  {:24} {:9.1} ns   {:6.2} x {base}  [{:.2}..{:.2}]",
            samples.label,
            samples.time().median * 1e9,
            ratio.median,
            ratio.low,
            ratio.high
        );
    }
}

/// The hand-written limit: a hash, an exchange to lock, an exchange to unlock.
fn cas_pair(locks: &Striped<u64, CachePadded<AtomicU8>, DefaultHasher>, stripe: usize) -> &AtomicU8 {
    let lock = locks.stripe(stripe);
    while lock.compare_exchange_weak(0, 1, Acquire, Relaxed).is_err() {
        thread::yield_now();
    }
    lock
}

fn one() {
    fn case<C: Contender>() -> Case<'static> {
        let (locks, keys) = (C::new(), keys());
        Case::new(C::NAME, move |n| {
            time(|| keys.iter().cycle().take(n as usize).for_each(|&key| locks.once(key)))
        })
    }
    let (locks, all) = (by_hand::<AtomicU8>(), keys());
    let pair = Case::new("CAS pair", |n| {
        time(|| {
            for key in all.iter().cycle().take(n as usize) {
                let lock = cas_pair(&locks, locks.stripe_of(key));
                let _ = lock.compare_exchange(1, 0, Release, Relaxed);
            }
        })
    });
    let cases = vec![
        pair,
        case::<AsyncStripedMutex<u64>>(),
        case::<ByHand<tokio::sync::Mutex<()>>>(),
        case::<ByHand<async_lock::Mutex<()>>>(),
        case::<ByHand<saa::Lock>>(),
        case::<ByHand<futures_util::lock::Mutex<()>>>(),
        case::<Lockable>(),
        case::<StripedLock>(),
    ];
    compare("one u64 key, uncontended: lock, poll once, unlock", OURS, cases);
}

fn many() {
    fn case<C: Contender>(count: usize) -> Case<'static> {
        let (locks, keys) = (C::new(), keys());
        Case::new(C::NAME, move |n| {
            time(|| {
                keys.chunks_exact(count).cycle().take(n as usize).for_each(|keys| now(locks.with_many(keys)));
            })
        })
    }
    for count in [2, 4, 8, 16, 64] {
        let (locks, all) = (by_hand::<AtomicU8>(), keys());
        let bitmap = Case::new("bit map by hand", |n| {
            time(|| {
                for keys in all.chunks_exact(count).cycle().take(n as usize) {
                    let wanted = keys.iter().fold(0_u64, |bits, key| bits | 1 << locks.stripe_of(key));
                    let bits = |mut left: u64| {
                        iter::from_fn(move || {
                            let bit = (left != 0).then(|| left.trailing_zeros())?;
                            left &= left - 1;
                            Some(bit as usize)
                        })
                    };
                    for stripe in bits(wanted) {
                        cas_pair(&locks, stripe);
                    }
                    for stripe in bits(wanted) {
                        let _ = locks.stripe(stripe).compare_exchange(1, 0, Release, Relaxed);
                    }
                }
            })
        });
        let cases = vec![
            bitmap,
            case::<AsyncStripedMutex<u64>>(count),
            case::<ByHand<tokio::sync::Mutex<()>>>(count),
            case::<ByHand<async_lock::Mutex<()>>>(count),
            case::<ByHand<saa::Lock>>(count),
            case::<Lockable>(count),
        ];
        compare(&format!("{count} u64 keys, uncontended"), OURS, cases);
    }
}

/// Runs `work(thread)` in so many threads at once.
fn in_threads(threads: usize, work: impl Fn(usize) + Sync) -> Duration {
    let barrier = Barrier::new(threads + 1);
    thread::scope(|scope| {
        for thread in 0..threads {
            let (barrier, work) = (&barrier, &work);
            scope.spawn(move || {
                barrier.wait();
                work(thread);
                barrier.wait();
            });
        }
        barrier.wait();
        time(|| {
            barrier.wait();
        })
    })
}

fn two() {
    fn case<C: Contender>(label: String, threads: usize, disjoint: bool) -> Case<'static> {
        let (locks, all) = (C::new(), keys());
        let set = by_hand::<()>();
        let keys: Vec<Vec<u64>> = (0..threads)
            .map(|thread| {
                let ours = |key: &&u64| !disjoint || set.stripe_of(*key) % 2 == thread;
                let mut keys: Vec<u64> = all.iter().filter(ours).copied().collect();
                let turn = keys.len() / 2 * thread;
                keys.rotate_left(turn);
                keys
            })
            .collect();
        // So many operations in every thread: half the time an operation means twice the throughput.
        Case::new(label, move |n| {
            in_threads(threads, |thread| {
                for &key in keys[thread].iter().cycle().take(n as usize) {
                    block_on(locks.with(key, ready(())));
                }
            }) / threads as u32
        })
    }
    fn pair<C: Contender>(cases: &mut Vec<Case<'static>>) {
        cases.push(case::<C>(format!("{}, 1 thread", C::NAME), 1, true));
        cases.push(case::<C>(format!("{}, 2 disjoint", C::NAME), 2, true));
        cases.push(case::<C>(format!("{}, 2 random", C::NAME), 2, false));
    }
    let mut cases = Vec::new();
    pair::<AsyncStripedMutex<u64>>(&mut cases);
    pair::<ByHand<tokio::sync::Mutex<()>>>(&mut cases);
    pair::<ByHand<async_lock::Mutex<()>>>(&mut cases);
    pair::<ByHand<saa::Lock>>(&mut cases);
    compare("two threads, wall time an operation of either", "stripe-lock, 2 random", cases);
}

fn block_on<F: Future>(future: F) -> F::Output {
    futures_lite::future::block_on(future)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime")
}

const TASKS: usize = 8;

fn hot() {
    fn case<C: Contender>(yields: bool) -> Case<'static> {
        let (locks, runtime) = (Arc::new(C::new()), runtime());
        Case::new(C::NAME, move |n| {
            let tasks: Vec<_> = (0..TASKS)
                .map(|_| {
                    let locks = locks.clone();
                    async move {
                        for _ in 0..n.div_ceil(TASKS as u64) {
                            let section = async {
                                black_box(());
                                if yields {
                                    tokio::task::yield_now().await;
                                }
                            };
                            locks.with(1, section).await;
                        }
                    }
                })
                .collect();
            run_all(&runtime, tasks)
        })
    }
    for yields in [false, true] {
        let mut cases = vec![
            case::<AsyncStripedMutex<u64>>(yields),
            case::<ByHand<tokio::sync::Mutex<()>>>(yields),
            case::<ByHand<async_lock::Mutex<()>>>(yields),
            case::<ByHand<saa::Lock>>(yields),
            case::<ByHand<futures_util::lock::Mutex<()>>>(yields),
        ];
        if yields {
            cases.push(token_ring());
        }
        let section = if yields { "one yield" } else { "a short section" };
        compare(&format!("{TASKS} tasks, 2 workers, 1 key, {section}"), OURS, cases);
    }
}

fn run_all<F: Future<Output = ()> + Send + 'static>(
    runtime: &tokio::runtime::Runtime,
    tasks: Vec<F>,
) -> Duration {
    time(|| {
        runtime.block_on(async {
            let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
            for task in tasks {
                task.await.expect("no panic");
            }
        });
    })
}

/// The least that handing something from task to task costs: each wakes the next, and yields once while it has the token.
fn token_ring() -> Case<'static> {
    let runtime = runtime();
    Case::new("token ring", move |n| {
        let bells: Arc<Vec<_>> = Arc::new((0..TASKS).map(|_| tokio::sync::Notify::new()).collect());
        let rounds = n.div_ceil(TASKS as u64);
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let bells = bells.clone();
                async move {
                    for _ in 0..rounds {
                        bells[task].notified().await;
                        tokio::task::yield_now().await;
                        bells[(task + 1) % TASKS].notify_one();
                    }
                }
            })
            .collect();
        bells[0].notify_one();
        run_all(&runtime, tasks)
    })
}

fn read() {
    fn case<L: Send + Sync + 'static>(label: &str, locks: L, read: fn(&L)) -> Case<'static> {
        Case::new(label, move |n| in_threads(2, |_| (0..n).for_each(|_| read(&locks))) / 2)
    }
    let cases = vec![
        case(OURS, AsyncStripedRwLock::<u64>::new(STRIPES), |locks| {
            black_box(&*block_on(locks.read(&1)));
        }),
        case("tokio", by_hand::<tokio::sync::RwLock<()>>(), |locks| {
            black_box(&*block_on(locks.get(&1).read()));
        }),
        case("async-lock", by_hand::<async_lock::RwLock<()>>(), |locks| {
            black_box(&*block_on(locks.get(&1).read()));
        }),
        case("saa", by_hand::<saa::Lock>(), |locks| {
            let lock = locks.get(&1);
            block_on(lock.share_async());
            lock.release_share();
        }),
    ];
    compare("2 threads read one stripe", OURS, cases);
}

/// One byte for each stripe, side by side or each on a line of its own: two threads, random keys, the limit of any lock.
fn dense() {
    fn case<L: Send + Sync + 'static>(
        label: String,
        stripes: usize,
        new: impl Fn() -> L,
        byte: fn(&L) -> &AtomicU8,
    ) -> Case<'static> {
        let locks: Vec<L> = iter::repeat_with(new).take(stripes).collect();
        Case::new(label, move |n| {
            in_threads(2, |thread| {
                let mut random = thread as u64 + 1;
                for _ in 0..n {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let lock = byte(&locks[(random >> 33) as usize & (stripes - 1)]);
                    while lock.compare_exchange_weak(0, 1, Acquire, Relaxed).is_err() {
                        thread::yield_now();
                    }
                    let _ = lock.compare_exchange(1, 0, Release, Relaxed);
                }
            }) / 2
        })
    }
    for stripes in (6..=16).step_by(2).map(|bits| 1 << bits) {
        let cases = vec![
            case("dense".into(), stripes, AtomicU8::default, |byte| byte),
            case("padded".into(), stripes, CachePadded::<AtomicU8>::default, |byte| byte),
            case("padded, 1/128".into(), (stripes / 128).max(1), CachePadded::<AtomicU8>::default, |byte| {
                byte
            }),
        ];
        compare(&format!("2 threads, {stripes} stripes"), "padded", cases);
    }
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let suites: [(&str, fn()); 6] =
        [("one", one), ("many", many), ("two", two), ("hot", hot), ("read", read), ("dense", dense)];
    for (name, suite) in suites {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            suite();
        }
    }
}
