//! Handing over a stripe: to several waiters, past the limit of one batch; to the first waiter, on a fair release; and
//! to a place in the queue that was taken earlier.

use std::pin::pin;

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use loom_tests::explore;
use stripe_lock::asynchronous::{AsyncGuard, AsyncMutexGuard};

use super::{
    EXHAUSTIVE, Identity, Mutexes, all, mutexes, poll_once, queued, ready, shared_mutexes, shared_rwlocks,
    single, sum, wait,
};

/// Under loom a batch is one waiter. Three readers are inside together when the writer has left, whatever other tasks
/// do.
#[test]
fn readers_past_the_batch_limit() {
    explore("readers_past_the_batch_limit", Some(3), || {
        let locks = shared_rwlocks(1);
        let held = locks.try_write_owned(&0).expect("it is new");
        let waiting = [(); 3].map(|()| queued(locks.read_owned(&0)));
        let writer = thread::spawn({
            let locks = locks.clone();
            move || {
                drop(poll_once(pin!(locks.read(&0))));
                wait(locks.write(&0)).add();
            }
        });
        drop(held);
        let readers = waiting.map(ready);
        readers.iter().for_each(|data| assert_eq!(data.get(), 0));
        drop(readers);
        writer.join().unwrap();
        assert_eq!(locks.try_write(&0).expect("nothing stays held").get(), 1);
    });
}

/// Where two threads wait for each other.
struct Meeting {
    arrived: Mutex<usize>,
    both: Condvar,
}

impl Meeting {
    fn new() -> Arc<Self> {
        Arc::new(Self { arrived: Mutex::new(0), both: Condvar::new() })
    }

    fn wait_for_both(&self) {
        let mut arrived = self.arrived.lock().unwrap();
        *arrived += 1;
        self.both.notify_all();
        while *arrived < 2 {
            arrived = self.both.wait(arrived).unwrap();
        }
    }
}

/// The same with readers that are awaited by other threads: each waits until both are inside.
#[test]
fn readers_meet_past_the_batch_limit() {
    explore("readers_meet_past_the_batch_limit", Some(3), || {
        let locks = shared_rwlocks(1);
        let held = locks.try_write_owned(&0).expect("it is new");
        let met = Meeting::new();
        let readers = [(); 2].map(|()| {
            let (waiting, met) = (queued(locks.read_owned(&0)), met.clone());
            thread::spawn(move || {
                let data = wait(waiting);
                met.wait_for_both();
                data.get()
            })
        });
        drop(held);
        readers.into_iter().for_each(|reader| assert_eq!(reader.join().unwrap(), 0));
    });
}

/// After a fair release, no newcomer comes before the waiter.
#[test]
fn a_fair_unlock_hands_over() {
    explore("a_fair_unlock_hands_over", EXHAUSTIVE, || {
        let locks = shared_mutexes(1);
        let held = locks.try_lock(&0).expect("it is new");
        let waiting = queued(locks.lock_owned(&0));
        let waiter = thread::spawn(move || {
            let data = wait(waiting);
            assert_eq!(data.get(), 0, "a newcomer came first");
            data.add();
        });
        let newcomer = thread::spawn({
            let locks = locks.clone();
            move || locks.try_lock(&0).map(|data| data.add()).is_some()
        });
        AsyncMutexGuard::unlock_fair(held);
        waiter.join().unwrap();
        let came = usize::from(newcomer.join().unwrap());
        assert_eq!(locks.try_lock(&0).expect("nothing stays held").get(), 1 + came);
    });
}

/// The same while other tasks, one of them woken already, wait and give up.
#[test]
fn fair_unlocks_beside_others() {
    fn fair(locks: &Mutexes) {
        let data = wait(locks.lock(&0));
        data.add();
        AsyncGuard::unlock_fair(data);
    }
    explore("fair_unlocks_beside_others", Some(3), || {
        let locks = mutexes(1);
        all(&locks, vec![fair, fair, single]);
        assert_eq!(sum(locks), 3);
    });
}

#[test]
fn a_bump_lets_the_waiter_in_between() {
    explore("a_bump_lets_the_waiter_in_between", EXHAUSTIVE, || {
        let locks = shared_mutexes(1);
        let held = locks.try_lock(&0).expect("it is new");
        let waiting = queued(locks.lock_owned(&0));
        let waiter = thread::spawn(move || wait(waiting).add());
        assert_eq!(held.get(), 0);
        let again = wait(AsyncGuard::bump(held));
        assert_eq!(again.get(), 1, "the waiter had it in between");
        waiter.join().unwrap();
    });
}

/// This thread takes the place in the queue and another thread awaits it. It comes before the third thread.
#[test]
fn a_place_is_awaited_elsewhere() {
    explore("a_place_is_awaited_elsewhere", Some(3), || {
        let locks = std::sync::Arc::new(Mutexes::with_hasher(1, Identity::default()).strict_fifo());
        let held = locks.try_lock(&0).expect("it is new");
        let place = locks.enqueue_owned(&0);
        let waiter = thread::spawn(move || {
            let data = wait(place);
            assert_eq!(data.get(), 0, "it was the first");
            data.add();
        });
        let other = thread::spawn({
            let locks = locks.clone();
            move || wait(locks.lock(&0)).add()
        });
        drop(held);
        waiter.join().unwrap();
        other.join().unwrap();
        assert_eq!(locks.try_lock(&0).expect("nothing stays held").get(), 2);
    });
}

/// A place may be taken when the stripe is free, and dropped before, while and after it is served.
#[test]
fn a_place_is_given_up() {
    explore("a_place_is_given_up", Some(3), || {
        let locks = shared_mutexes(1);
        let enqueues = thread::spawn({
            let locks = locks.clone();
            move || drop(locks.enqueue_owned(&0))
        });
        let other = thread::spawn({
            let locks = locks.clone();
            move || single(&locks)
        });
        single(&locks);
        enqueues.join().unwrap();
        other.join().unwrap();
        assert_eq!(locks.try_lock(&0).expect("nothing stays held").get(), 2);
    });
}
