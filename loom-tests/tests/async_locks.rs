//! The async locks, from the futures down to the words of the stripes: the code itself, not a model of it.
//!
//! Under loom two newcomers may overtake instead of twelve, so that three threads reach every state of a word.
#![cfg(stripe_lock_loom)]

use std::future::poll_fn;
use std::hash::{BuildHasher, Hasher};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use loom::cell::UnsafeCell;
use loom::future::block_on;
use loom::sync::Arc;
use loom::thread;
use loom_tests::explore;
use stripe_lock::{AsyncStripedMutex, AsyncStripedRwLock, AsyncStripedSemaphore, Striped};

const EXHAUSTIVE: Option<usize> = None;

/// A hasher that lets a model name its stripes.
#[derive(Clone, Default)]
struct Identity(u64);

impl BuildHasher for Identity {
    type Hasher = Self;
    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are u64");
    }
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// The keys of the two stripes of a set of two.
fn two_keys() -> [u64; 2] {
    let set = Striped::<u64, (), Identity>::from_fn(2, Identity::default(), |_| ());
    [0, 1].map(|stripe| (0..64).find(|key| set.stripe_of(key) == stripe).unwrap())
}

/// A counter that loom watches: two at a time in it is a failure.
#[derive(Default)]
struct Data(UnsafeCell<usize>);

// SAFETY: loom reports every access that the lock does not order.
unsafe impl Sync for Data {}

impl Data {
    fn add(&self) {
        // SAFETY: loom checks it.
        self.0.with_mut(|count| unsafe { *count += 1 });
    }

    fn get(&self) -> usize {
        // SAFETY: loom checks it.
        self.0.with(|count| unsafe { *count })
    }
}

type Mutexes = AsyncStripedMutex<u64, Data, Identity>;
type RwLocks = AsyncStripedRwLock<u64, Data, Identity>;
type Semaphores = AsyncStripedSemaphore<u64, Identity>;

fn mutexes(stripes: usize) -> Arc<Mutexes> {
    Arc::new(Mutexes::with_hasher(stripes, Identity::default()))
}

fn strict(stripes: usize) -> Arc<Mutexes> {
    Arc::new(Mutexes::with_hasher(stripes, Identity::default()).strict_fifo())
}

fn rwlocks(stripes: usize) -> Arc<RwLocks> {
    Arc::new(RwLocks::with_hasher(stripes, Identity::default()))
}

/// Runs one closure in each of several threads, the last one in this.
fn all<L: Send + Sync + 'static>(locks: &Arc<L>, parts: Vec<fn(&L)>) {
    let mut parts = parts.into_iter();
    let here = parts.next().unwrap();
    let threads: Vec<_> = parts
        .map(|part| {
            let locks = locks.clone();
            thread::spawn(move || part(&locks))
        })
        .collect();
    here(locks);
    for thread in threads {
        thread.join().unwrap();
    }
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Asks for the stripe of key 0, and gives up.
fn give_up(locks: &Mutexes) {
    if let Poll::Ready(guard) = poll_once(pin!(locks.lock(&0))) {
        guard.add();
    }
}

/// Asks for the stripe of key 0, gets it, adds one.
fn single(locks: &Mutexes) {
    block_on(locks.lock(&0)).add();
}

/// The same as a thread.
fn blocking(locks: &Mutexes) {
    locks.blocking_lock(&0).add();
}

fn both(locks: &Mutexes) {
    block_on(locks.lock_many(&two_keys())).iter().for_each(|(_, data)| data.add());
}

fn both_turned(locks: &Mutexes) {
    let [low, high] = two_keys();
    block_on(locks.lock_many(&[high, low])).iter().for_each(|(_, data)| data.add());
}

fn low(locks: &Mutexes) {
    block_on(locks.lock(&two_keys()[0])).add();
}

fn high(locks: &Mutexes) {
    block_on(locks.lock(&two_keys()[1])).add();
}

/// Asks for both stripes, and gives up.
fn give_up_both(locks: &Mutexes) {
    if let Poll::Ready(guard) = poll_once(pin!(locks.lock_all())) {
        guard.iter().for_each(|(_, data)| data.add());
    }
}

fn sum(locks: Arc<Mutexes>) -> usize {
    let guard = locks.try_lock_all().expect("nothing stays held");
    guard.iter().map(|(_, data)| data.get()).sum()
}

#[test]
fn two_exclude_each_other() {
    explore("two_exclude_each_other", EXHAUSTIVE, || {
        let locks = mutexes(1);
        all(&locks, vec![single, single]);
        assert_eq!(sum(locks), 2);
    });
}

#[test]
fn two_twice() {
    fn twice(locks: &Mutexes) {
        single(locks);
        single(locks);
    }
    explore("two_twice", Some(3), || {
        let locks = mutexes(1);
        all(&locks, vec![twice, twice]);
        assert_eq!(sum(locks), 4);
    });
}

#[test]
fn three_exclude_each_other() {
    explore("three_exclude_each_other", Some(3), || {
        let locks = mutexes(1);
        all(&locks, vec![single, single, single]);
        assert_eq!(sum(locks), 3);
    });
}

#[test]
fn three_in_strict_order() {
    explore("three_in_strict_order", Some(3), || {
        let locks = strict(1);
        all(&locks, vec![single, single, single]);
        assert_eq!(sum(locks), 3);
    });
}

#[test]
fn threads_and_tasks() {
    explore("threads_and_tasks", Some(3), || {
        let locks = mutexes(1);
        all(&locks, vec![single, blocking, single]);
        assert_eq!(sum(locks), 3);
    });
}

/// One gives up while waiting, while woken or while handed the stripe: the other gets it all the same.
#[test]
fn giving_up_passes_the_turn_on() {
    explore("giving_up_passes_the_turn_on", Some(3), || {
        let locks = mutexes(1);
        all(&locks, vec![single, single, give_up]);
        assert!(sum(locks) >= 2);
    });
}

#[test]
fn giving_up_in_strict_order() {
    explore("giving_up_in_strict_order", Some(3), || {
        let locks = strict(1);
        all(&locks, vec![single, single, give_up]);
        assert!(sum(locks) >= 2);
    });
}

/// The holder leaves, a newcomer overtakes, the one that was woken finds the stripe taken: then it is handed over.
#[test]
fn overtaken() {
    fn overtake(locks: &Mutexes) {
        for _ in 0..3 {
            if let Some(data) = locks.try_lock(&0) {
                data.add();
            }
        }
    }
    explore("overtaken", Some(3), || {
        let locks = mutexes(1);
        all(&locks, vec![single, single, overtake]);
        assert!(sum(locks) >= 2);
    });
}

/// However the newcomers come, no more of them go before one who waits than may; and in some interleavings so many do.
#[test]
fn at_most_two_overtake() {
    static MOST: AtomicUsize = AtomicUsize::new(0);
    explore("at_most_two_overtake", Some(3), || {
        let locks = std::sync::Arc::new(Mutexes::with_hasher(1, Identity::default()));
        let held = locks.try_lock(&0).expect("it is new");
        let mut waiting = Box::pin(locks.lock_owned(&0));
        assert!(poll_once(waiting.as_mut()).is_pending());
        let waiter = thread::spawn(move || block_on(waiting).add());
        drop(held);
        let before = |data: &Data| usize::from(data.get() == 0);
        let overtaken: usize =
            (0..4).filter_map(|_| locks.try_lock(&0)).map(|newcomer| before(&newcomer)).sum();
        assert!(overtaken <= 2, "overtaken too often");
        MOST.fetch_max(overtaken, Ordering::Relaxed);
        waiter.join().expect("it is served");
    });
    assert_eq!(MOST.load(Ordering::Relaxed), 2);
}

#[test]
fn two_crossing_multis() {
    explore("two_crossing_multis", EXHAUSTIVE, || {
        let locks = mutexes(2);
        all(&locks, vec![both, both_turned]);
        assert_eq!(sum(locks), 4);
    });
}

#[test]
fn three_multis() {
    explore("three_multis", Some(3), || {
        let locks = mutexes(2);
        all(&locks, vec![both, both_turned, both]);
        assert_eq!(sum(locks), 6);
    });
}

#[test]
fn a_multi_against_singles() {
    explore("a_multi_against_singles", Some(3), || {
        let locks = mutexes(2);
        all(&locks, vec![both, low, high]);
        assert_eq!(sum(locks), 4);
    });
}

/// As above, with both stripes in one bucket.
#[test]
fn a_multi_within_one_bucket() {
    fn first_two(locks: &Mutexes) {
        block_on(locks.lock_many(&keys())).iter().for_each(|(_, data)| data.add());
    }
    fn first(locks: &Mutexes) {
        block_on(locks.lock(&keys()[0])).add();
    }
    fn second(locks: &Mutexes) {
        block_on(locks.lock(&keys()[1])).add();
    }
    fn keys() -> [u64; 2] {
        let set = Striped::<u64, (), Identity>::from_fn(4, Identity::default(), |_| ());
        [0, 1].map(|stripe| (0..64).find(|key| set.stripe_of(key) == stripe).unwrap())
    }
    explore("a_multi_within_one_bucket", Some(3), || {
        let locks = mutexes(4);
        all(&locks, vec![first_two, first, second]);
        assert_eq!(sum(locks), 4);
    });
}

#[test]
fn all_against_singles() {
    fn every(locks: &Mutexes) {
        locks.blocking_lock_all().iter().for_each(|(_, data)| data.add());
    }
    explore("all_against_singles", Some(3), || {
        let locks = mutexes(2);
        all(&locks, vec![every, low, high]);
        assert_eq!(sum(locks), 4);
    });
}

/// A multi gives up with nothing, with one stripe, or with all.
#[test]
fn a_multi_gives_up() {
    explore("a_multi_gives_up", Some(4), || {
        let locks = mutexes(2);
        all(&locks, vec![give_up_both, low, high]);
        assert!(sum(locks) >= 2);
    });
}

#[test]
fn a_multi_gives_up_beside_another() {
    explore("a_multi_gives_up_beside_another", Some(3), || {
        let locks = mutexes(2);
        all(&locks, vec![both, give_up_both, high]);
        assert!(sum(locks) >= 3);
    });
}

/// A future that moves to another task is woken there.
#[test]
fn the_last_waker_counts() {
    fn moved(locks: &Mutexes) {
        let mut future = pin!(locks.lock(&0));
        match poll_once(future.as_mut()) {
            Poll::Ready(data) => data.add(),
            Poll::Pending => block_on(future).add(),
        }
    }
    explore("the_last_waker_counts", EXHAUSTIVE, || {
        let locks = mutexes(1);
        all(&locks, vec![moved, single]);
        assert_eq!(sum(locks), 2);
    });
}

/// Two futures of one task, the first of which is never polled again: the second gets the stripe none the less.
#[test]
fn no_futurelock() {
    fn two_futures(locks: &Mutexes) {
        let mut forgotten = pin!(locks.lock(&0));
        let mut polled = pin!(locks.lock(&0));
        let mut begun = false;
        block_on(poll_fn(|cx| {
            if !begun {
                begun = true;
                if let Poll::Ready(data) = forgotten.as_mut().poll(cx) {
                    data.add();
                    return Poll::Ready(());
                }
            }
            polled.as_mut().poll(cx).map(|data| data.add())
        }));
    }
    explore("no_futurelock", Some(3), || {
        let locks = mutexes(1);
        all(&locks, vec![two_futures, single]);
        assert_eq!(sum(locks), 2);
    });
}

/// As above, where the forgotten one asks for both stripes.
#[test]
fn no_futurelock_by_a_multi() {
    fn two_futures(locks: &Mutexes) {
        let key = two_keys()[0];
        let mut forgotten = pin!(locks.lock_all());
        let mut polled = pin!(locks.lock(&key));
        let mut begun = false;
        block_on(poll_fn(|cx| {
            if !begun {
                begun = true;
                if let Poll::Ready(both) = forgotten.as_mut().poll(cx) {
                    both.iter().for_each(|(_, data)| data.add());
                    return Poll::Ready(());
                }
            }
            polled.as_mut().poll(cx).map(|data| data.add())
        }));
    }
    explore("no_futurelock_by_a_multi", Some(3), || {
        let locks = mutexes(2);
        all(&locks, vec![two_futures, high]);
        assert!(sum(locks) >= 2);
    });
}

fn read(locks: &RwLocks) {
    block_on(locks.read(&0)).get();
}

fn write(locks: &RwLocks) {
    block_on(locks.write(&0)).add();
}

/// A future that was given the stripe to read, and is never polled again, is no reader that a writer of its task waits for.
#[test]
fn no_futurelock_by_a_reader() {
    explore("no_futurelock_by_a_reader", Some(3), || {
        let locks = rwlocks(1);
        let held = locks.try_write(&0).expect("it is new");
        let elsewhere = {
            let locks = locks.clone();
            thread::spawn(move || read(&locks))
        };
        let mut forgotten = pin!(locks.read(&0));
        let mut polled = pin!(locks.write(&0));
        let (mut held, mut begun) = (Some(held), false);
        block_on(poll_fn(|cx| {
            if !begun {
                begun = true;
                assert!(forgotten.as_mut().poll(cx).is_pending());
            }
            held = None;
            polled.as_mut().poll(cx).map(|data| data.add())
        }));
        elsewhere.join().unwrap();
    });
}

#[test]
fn two_readers_and_a_writer() {
    explore("two_readers_and_a_writer", Some(3), || {
        let locks = rwlocks(1);
        all(&locks, vec![read, read, write]);
        assert_eq!(locks.try_write(&0).expect("nothing stays held").get(), 1);
    });
}

/// Who hands the stripe over need not be who left it first: what the others did under the lock has to be seen as well.
#[test]
fn a_writer_is_handed_what_two_readers_leave() {
    explore("a_writer_is_handed_what_two_readers_leave", Some(3), || {
        let locks = std::sync::Arc::new(RwLocks::with_hasher(1, Identity::default()).strict_fifo());
        let readers = [(); 2].map(|()| {
            let guard = block_on(locks.read_owned(&0));
            thread::spawn(move || {
                guard.get();
            })
        });
        write(&locks);
        for reader in readers {
            reader.join().unwrap();
        }
        assert_eq!(locks.try_write(&0).expect("nothing stays held").get(), 1);
    });
}

#[test]
fn two_writers_and_a_reader() {
    explore("two_writers_and_a_reader", Some(3), || {
        let locks = rwlocks(1);
        all(&locks, vec![read, write, write]);
        assert_eq!(locks.try_write(&0).expect("nothing stays held").get(), 2);
    });
}

#[test]
fn a_writer_gives_up() {
    fn give_up(locks: &RwLocks) {
        if let Poll::Ready(guard) = poll_once(pin!(locks.write(&0))) {
            guard.add();
        }
    }
    explore("a_writer_gives_up", Some(3), || {
        let locks = rwlocks(1);
        all(&locks, vec![read, read, give_up]);
        assert!(locks.try_write(&0).is_some(), "nothing stays held");
    });
}

#[test]
fn crossing_batches() {
    fn one(locks: &RwLocks) {
        let [low, high] = two_keys();
        let mut guard = block_on(locks.batch().write(&low).read(&high).lock());
        guard.get(&high).unwrap().get();
        guard.get_mut(&low).unwrap().add();
    }
    fn other(locks: &RwLocks) {
        let [low, high] = two_keys();
        let mut guard = block_on(locks.batch().write(&high).read(&low).lock());
        guard.get(&low).unwrap().get();
        guard.get_mut(&high).unwrap().add();
    }
    explore("crossing_batches", Some(3), || {
        let locks = rwlocks(2);
        all(&locks, vec![one, other]);
        assert!(locks.try_write_all().is_some(), "nothing stays held");
    });
}

/// Three take two permits, each holds its own while it looks how many are in.
#[test]
fn no_more_holders_than_permits() {
    struct Limited {
        locks: Semaphores,
        inside: loom::sync::atomic::AtomicUsize,
    }
    fn enter(limited: &Limited) {
        let permit = block_on(limited.locks.acquire(&0));
        assert!(limited.inside.fetch_add(1, Ordering::Relaxed) < 2);
        limited.inside.fetch_sub(1, Ordering::Relaxed);
        drop(permit);
    }
    explore("no_more_holders_than_permits", Some(3), || {
        let locks = Semaphores::with_hasher(1, 2, Identity::default());
        let limited = Arc::new(Limited { locks, inside: loom::sync::atomic::AtomicUsize::new(0) });
        all(&limited, vec![enter, enter, enter]);
        assert_eq!(limited.locks.available(&0), 2);
    });
}

#[test]
fn one_permit_changes_hands() {
    fn acquire(locks: &Semaphores) {
        drop(block_on(locks.acquire(&0)));
    }
    fn give_up(locks: &Semaphores) {
        drop(poll_once(pin!(locks.acquire(&0))));
    }
    explore("one_permit_changes_hands", Some(3), || {
        let locks = Arc::new(Semaphores::with_hasher(1, 1, Identity::default()));
        all(&locks, vec![acquire, acquire, give_up]);
        assert_eq!(locks.available(&0), 1);
    });
}
