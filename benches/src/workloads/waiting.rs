//! Many waiters: the time that each of them takes to join, to be released, to claim its lock, and to give up.

use std::{
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use rand::{SeedableRng, rngs::SmallRng, seq::SliceRandom};

use super::awaited::now;
use crate::contenders::{AsyncKeyLock, AsyncKeyRwLock};

/// A step that takes longer than this for all waiters is given up.
const MOST_FOR_A_STEP: Duration = Duration::from_secs(5);

/// Seconds for each waiter, by step. A step that was given up is `None`, and so are the steps after it.
pub type Steps<const N: usize> = [Option<f64>; N];

/// A task that is woken and does nothing.
struct Sleeper(AtomicUsize);

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A waiting future and the waker of its task.
struct Waiter<F> {
    future: Pin<Box<F>>,
    waker: Waker,
}

impl<F: Future> Waiter<F> {
    fn new(future: F) -> Self {
        Self { future: Box::pin(future), waker: Arc::new(Sleeper(AtomicUsize::new(0))).into() }
    }

    fn poll(&mut self) -> Poll<F::Output> {
        self.future.as_mut().poll(&mut Context::from_waker(&self.waker))
    }

    fn join(&mut self) {
        assert!(self.poll().is_pending(), "the lock that it waits for is held");
    }

    fn claim(&mut self) -> F::Output {
        match self.poll() {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("the lock that it waits for was released"),
        }
    }
}

/// Does `step` for each item, and returns the seconds for each. If that takes too long, the rest of the items is
/// leaked, because to drop it would take as long.
fn each<T>(
    items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    mut step: impl FnMut(T),
) -> Option<f64> {
    let mut items = items.into_iter();
    let count = items.len();
    let start = Instant::now();
    for number in 0..count {
        step(items.next()?);
        if number % 64 == 63 && start.elapsed() > MOST_FOR_A_STEP {
            mem::forget(items);
            return None;
        }
    }
    Some(start.elapsed().as_secs_f64() / count as f64)
}

/// Gives up in random order.
fn give_up<F>(mut waiters: Vec<Waiter<F>>) -> Option<f64> {
    waiters.shuffle(&mut SmallRng::seed_from_u64(1));
    each(waiters, drop)
}

/// Tasks that wait for a key each, all of which are held by guards: join, release, claim, give up.
///
/// If a step was given up, the futures are leaked, and `lock` must not be used again.
pub fn wait_for_a_key_each<L: AsyncKeyLock<u64>>(lock: &L, keys: &[u64]) -> Steps<4> {
    let hold = || keys.iter().map(|key| now(lock.lock(key))).collect::<Vec<_>>();
    let waiters = || keys.iter().map(|key| Waiter::new(lock.lock(key))).collect::<Vec<_>>();

    let (guards, mut waiting) = (mem::ManuallyDrop::new(hold()), mem::ManuallyDrop::new(waiters()));
    let mut steps = [None; 4];
    steps[0] = each(waiting.iter_mut(), Waiter::join);
    if steps[0].is_none() {
        return steps;
    }
    steps[1] = each(mem::ManuallyDrop::into_inner(guards), drop);
    if steps[1].is_none() {
        return steps;
    }
    let mut claimed = Vec::with_capacity(keys.len());
    steps[2] = each(waiting.iter_mut(), |waiter| claimed.push(waiter.claim()));
    drop((claimed, mem::ManuallyDrop::into_inner(waiting)));

    let (guards, mut waiting) = (hold(), waiters());
    waiting.iter_mut().for_each(Waiter::join);
    steps[3] = give_up(waiting);
    drop(guards);
    steps
}

/// Tasks that wait for one key: join, be served (claim the key, and release it to the next), give up.
///
/// If a step was given up, the futures are leaked, and `lock` must not be used again.
pub fn wait_for_one_key<L: AsyncKeyLock<u64>>(lock: &L, count: usize) -> Steps<3> {
    let hold = || now(lock.lock(&1));
    let waiters = || (0..count).map(|_| Waiter::new(lock.lock(&1))).collect::<Vec<_>>();

    let (guards, mut waiting) = (hold(), mem::ManuallyDrop::new(waiters()));
    let mut steps = [None; 3];
    steps[0] = each(waiting.iter_mut(), Waiter::join);
    if steps[0].is_none() {
        mem::forget(guards);
        return steps;
    }
    drop(guards);
    steps[1] = each(waiting.iter_mut(), |waiter| drop(waiter.claim()));
    if steps[1].is_none() {
        return steps;
    }
    drop(mem::ManuallyDrop::into_inner(waiting));

    let (guards, mut waiting) = (hold(), waiters());
    waiting.iter_mut().for_each(Waiter::join);
    steps[2] = give_up(waiting);
    drop(guards);
    steps
}

/// Writers that join the queue behind a number of readers, which were granted the key and have not been polled since: join.
pub fn wait_behind_granted<L: AsyncKeyRwLock<u64>>(lock: &L, readers: usize, writers: usize) -> Steps<1> {
    let guards = now(lock.write(&1));
    let mut granted: Vec<_> = (0..readers).map(|_| Waiter::new(lock.read(&1))).collect();
    granted.iter_mut().for_each(Waiter::join);
    drop(guards);
    let reader = now(lock.read(&1));
    let mut waiting: Vec<_> = (0..writers).map(|_| Waiter::new(lock.write(&1))).collect();
    let join = each(waiting.iter_mut(), Waiter::join);
    if join.is_none() {
        mem::forget((granted, waiting, reader));
    }
    [join]
}

/// Threads that wait for a key each, all of which are held by guards of `hold`. The steps are the release, and the
/// time from the first release to the last claim.
pub fn threads_wait_for_a_key_each<G>(hold: impl Fn(u64) -> G + Sync, count: usize) -> Steps<2> {
    /// It takes the system some time to put the last thread to sleep.
    const TO_SLEEP: Duration = Duration::from_millis(100);
    let coming = AtomicUsize::new(0);
    thread::scope(|scope| {
        let guards: Vec<_> = (0..count as u64).map(&hold).collect();
        let threads: Vec<_> = (0..count as u64)
            .map(|key| {
                let (coming, hold) = (&coming, &hold);
                let wait = move || {
                    coming.fetch_add(1, SeqCst);
                    let guard = hold(key);
                    let claimed = Instant::now();
                    drop(guard);
                    claimed
                };
                thread::Builder::new()
                    .stack_size(64 << 10)
                    .spawn_scoped(scope, wait)
                    .expect("the system has room")
            })
            .collect();
        while coming.load(SeqCst) < count {
            thread::yield_now();
        }
        thread::sleep(TO_SLEEP);
        let start = Instant::now();
        let release = each(guards, drop);
        let last = threads.into_iter().map(|thread| thread.join().expect("no waiter panics")).max();
        let claimed = last.map(|last| (last - start).as_secs_f64() / count as f64);
        [release, claimed]
    })
}
