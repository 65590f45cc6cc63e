//! Wakers that panic when they are called or cloned. Only the task that called them sees the panic.
//!
//! Loom's threads share one count of panics, so no model can have a thread that unwinds while another runs. So the
//! releases of a multi-guard after the first panic are not modelled. The library's test `async_wakers.rs` covers them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, RawWaker, RawWakerVTable, Wake, Waker};

use loom::thread;
use loom_tests::explore;

use super::{
    EXHAUSTIVE, Mutexes, all, mutexes, queued, shared_mutexes, shared_rwlocks, single, sum, total, two_keys,
    wait,
};

/// Panics when it is called.
struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        std::panic::resume_unwind(Box::new("wake"));
    }
}

/// Panics when it is cloned.
fn uncloneable() -> Waker {
    fn clone(_: *const ()) -> RawWaker {
        std::panic::resume_unwind(Box::new("clone"));
    }
    fn nothing(_: *const ()) {}
    static TABLE: RawWakerVTable = RawWakerVTable::new(clone, nothing, nothing, nothing);
    // SAFETY: the functions of the table don't use the pointer.
    unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &TABLE)) }
}

/// A future that has joined a queue with a waker that panics.
fn mined<F: Future>(future: F) -> Pin<Box<F>> {
    let mut future = Box::pin(future);
    assert!(future.as_mut().poll(&mut Context::from_waker(&Arc::new(Bomb).into())).is_pending());
    future
}

/// Whether `code` panics.
fn panics(code: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(code)).is_err()
}

fn strict(stripes: usize) -> Arc<Mutexes> {
    Arc::new(Mutexes::with_hasher(stripes, super::Identity::default()).strict_fifo())
}

/// The first waiter panics when it is woken. The second one is served once the first is dropped.
#[test]
fn in_a_wake() {
    for (name, strict_fifo) in [("panics::in_a_wake", false), ("panics::in_a_wake, strictly", true)] {
        explore(name, Some(3), move || {
            let locks = if strict_fifo { strict(1) } else { shared_mutexes(1) };
            let held = locks.try_lock(&0).expect("it is new");
            let waiting = mined(locks.lock_owned(&0));
            let others = [(); 2].map(|()| {
                let locks = locks.clone();
                thread::spawn(move || single(&locks))
            });
            assert!(panics(|| drop(held)));
            drop(waiting);
            others.into_iter().for_each(|other| other.join().unwrap());
            assert_eq!(locks.try_lock(&0).expect("nothing stays held").get(), 2);
        });
    }
}

/// The first reader panics when it is woken, and keeps what it was granted. The second one is in the next batch.
#[test]
fn in_the_wake_of_one_of_several() {
    explore("panics::in_the_wake_of_one_of_several", Some(4), || {
        let locks = shared_rwlocks(1);
        let held = locks.try_write_owned(&0).expect("it is new");
        let (mine, other) = (mined(locks.read_owned(&0)), queued(locks.read_owned(&0)));
        let reader = thread::spawn(move || wait(other).get());
        let newcomer = thread::spawn({
            let locks = locks.clone();
            move || wait(locks.write(&0)).add()
        });
        assert!(panics(|| drop(held)));
        assert_eq!(reader.join().unwrap(), 0);
        drop(mine);
        newcomer.join().unwrap();
        assert_eq!(locks.try_write(&0).expect("nothing stays held").get(), 1);
    });
}

/// A multi that holds the lower stripe and waits for the higher one is dropped, beside one that panics when it is woken
/// for the lower. Both stripes go on to the others.
#[test]
fn in_the_cancel_of_a_multi() {
    explore("panics::in_the_cancel_of_a_multi", Some(3), || {
        let [low, high] = two_keys();
        let locks = shared_mutexes(2);
        let held = locks.try_lock_owned(&high).expect("it is new");
        let multi = queued(locks.lock_all_owned());
        let mine = mined(locks.lock_owned(&low));
        let others = [low, high].map(|key| {
            let locks = locks.clone();
            thread::spawn(move || wait(locks.lock(&key)).add())
        });
        assert!(panics(|| drop(multi)));
        drop((mine, held));
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(total(&locks), 2);
    });
}

/// A multi of writers gives up beside a reader behind it, which is let in, and panics when it is woken. The lower
/// stripe is released all the same.
#[test]
fn in_the_cancel_of_a_multi_of_writers() {
    explore("panics::in_the_cancel_of_a_multi_of_writers", EXHAUSTIVE, || {
        let [low, high] = two_keys();
        let locks = shared_rwlocks(2);
        let held = locks.try_read_owned(&high).expect("it is new");
        let multi = queued(locks.write_all_owned());
        let mine = mined(locks.read_owned(&high));
        let others = [low, high].map(|key| {
            let locks = locks.clone();
            thread::spawn(move || wait(locks.read(&key)).get())
        });
        assert!(panics(|| drop(multi)));
        others.into_iter().for_each(|other| assert_eq!(other.join().unwrap(), 0));
        drop((mine, held));
        assert!(locks.try_write_all().is_some(), "nothing stays held");
    });
}

/// A set is closed beside two waiters whose wakers panic and one whose waker does not.
#[test]
fn in_a_close() {
    explore("panics::in_a_close", EXHAUSTIVE, || {
        let locks = shared_mutexes(1);
        let held = locks.try_lock_owned(&0).expect("it is new");
        let mines = [(); 2].map(|()| mined(locks.lock_owned(&0).checked()));
        let other = queued(locks.lock_owned(&0).checked());
        let waiter = thread::spawn(move || wait(other).is_err());
        assert!(panics(|| locks.close()));
        assert!(waiter.join().unwrap());
        drop((mines, held));
        assert!(!locks.is_locked(&0) && locks.waiters(&0) == 0);
    });
}

/// The panic reaches the caller of `poll`, and the future that is left behind blocks no other task.
#[test]
fn in_a_clone() {
    fn ask(locks: &Mutexes) {
        let mut future = Box::pin(locks.lock(&0));
        let uncloneable = uncloneable();
        let polled =
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&uncloneable))));
        if let Ok(polled) = polled {
            assert!(polled.is_ready(), "it has a waker that can't be cloned");
        }
    }
    explore("panics::in_a_clone", Some(3), || {
        let locks = mutexes(1);
        all(&locks, vec![ask, single, single]);
        assert_eq!(sum(locks), 2);
    });
}

/// The waker is cloned once more when a future that waits moves to another task.
#[test]
fn in_the_clone_of_another_task() {
    fn move_on(locks: &Mutexes) {
        let mut future = Box::pin(locks.lock(&0));
        if super::poll_once(future.as_mut()).is_pending() {
            let uncloneable = uncloneable();
            let _ = catch_unwind(AssertUnwindSafe(|| {
                drop(future.as_mut().poll(&mut Context::from_waker(&uncloneable)));
            }));
        }
    }
    explore("panics::in_the_clone_of_another_task", Some(3), || {
        let locks = mutexes(1);
        all(&locks, vec![move_on, single, single]);
        assert_eq!(sum(locks), 2);
    });
}
