//! A set that is closed beside holders, waiters and newcomers.

use loom::sync::Arc;
use loom::thread;
use loom_tests::explore;
use stripe_lock::asynchronous::AcquireError;

use super::{
    Identity, Mutexes, RwLocks, all, mutexes, queued, shared_mutexes, shared_rwlocks, two_keys, wait,
};

fn checked(locks: &Mutexes) {
    match wait(locks.lock(&0).checked()) {
        Ok(data) => data.add(),
        Err(error) => assert_eq!(error, AcquireError::Closed),
    }
}

/// Closes the set. No task enters it from then on.
fn close(locks: &Mutexes) {
    locks.close();
    assert!(locks.is_closed());
    assert!((0..locks.stripes()).all(|stripe| locks.try_lock_stripe(stripe).is_none()), "a newcomer entered");
    assert_eq!(wait(locks.lock(&0).checked()).err(), Some(AcquireError::Closed));
}

fn nothing_is_held(locks: &Mutexes, keys: &[u64]) -> bool {
    keys.iter().all(|key| !locks.is_locked(key) && locks.waiters(key) == 0)
}

#[test]
fn beside_waiters_and_newcomers() {
    explore("closing::beside_waiters_and_newcomers", Some(3), || {
        let locks = mutexes(1);
        all(&locks, vec![checked, checked, close]);
        assert!(nothing_is_held(&locks, &[0]));
    });
}

/// Two tasks wait, which is more than one batch. The first may have been woken when the set is closed.
#[test]
fn beside_the_woken() {
    explore("closing::beside_the_woken", Some(3), || {
        let locks = shared_mutexes(1);
        let held = locks.try_lock_owned(&0).expect("it is new");
        let (first, second) =
            (queued(locks.lock_owned(&0).checked()), queued(locks.lock_owned(&0).checked()));
        let holder = thread::spawn(move || drop(held));
        let waiter = thread::spawn(move || wait(first).is_ok_and(|data| data.get() == 0));
        close(&locks);
        drop(wait(second));
        assert!(holder.join().is_ok() && waiter.join().is_ok());
        assert!(nothing_is_held(&locks, &[0]));
    });
}

/// All waiters get an error, although the holder never releases the stripe.
#[test]
fn beside_a_holder_that_stays() {
    explore("closing::beside_a_holder_that_stays", Some(3), || {
        let locks = shared_mutexes(1);
        let held = locks.try_lock_owned(&0).expect("it is new");
        let waiters = [(); 2].map(|()| {
            let waiting = queued(locks.lock_owned(&0).checked());
            thread::spawn(move || wait(waiting).err())
        });
        close(&locks);
        waiters.into_iter().for_each(|waiter| assert_eq!(waiter.join().unwrap(), Some(AcquireError::Closed)));
        held.add();
        drop(held);
        assert!(nothing_is_held(&locks, &[0]));
    });
}

/// A multi gets an error while it holds the lower stripe, or finds the higher stripe closed when it continues.
#[test]
fn beside_a_multi() {
    fn both(locks: &Mutexes) {
        match wait(locks.lock_many(&two_keys()).checked()) {
            Ok(guard) => guard.iter().for_each(|(_, data)| data.add()),
            Err(error) => assert_eq!(error, AcquireError::Closed),
        }
    }
    fn high(locks: &Mutexes) {
        if let Ok(data) = wait(locks.lock(&two_keys()[1]).checked()) {
            data.add();
        }
    }
    explore("closing::beside_a_multi", Some(3), || {
        let locks = mutexes(2);
        all(&locks, vec![both, high, close]);
        assert!(nothing_is_held(&locks, &two_keys()));
    });
    // The multi waits for the lower stripe. It is handed the stripe, or gets an error.
    explore("closing::beside_a_multi, handed the lower stripe", Some(3), || {
        let locks = shared_mutexes(2);
        let held = locks.try_lock_owned(&two_keys()[0]).expect("it is new");
        let waiting = queued(locks.lock_many_owned(&two_keys()).checked());
        let multi = thread::spawn(move || {
            if let Ok(guard) = wait(waiting) {
                guard.iter().for_each(|(_, data)| data.add());
            }
        });
        let holder = thread::spawn(move || drop(held));
        close(&locks);
        [multi, holder].into_iter().for_each(|thread| thread.join().unwrap());
        assert!(nothing_is_held(&locks, &two_keys()));
    });
}

/// Two readers behind a writer: each is admitted or gets an error.
#[test]
fn beside_readers() {
    explore("closing::beside_readers", Some(3), || {
        let locks = shared_rwlocks(1);
        let held = locks.try_write_owned(&0).expect("it is new");
        let (first, second) =
            (queued(locks.read_owned(&0).checked()), queued(locks.read_owned(&0).checked()));
        let reader = thread::spawn(move || wait(first).is_ok_and(|data| data.get() == 1));
        let writer = thread::spawn(move || held.add());
        locks.close();
        drop(wait(second));
        assert!(writer.join().is_ok() && reader.join().is_ok());
        assert!(!locks.is_locked(&0) && locks.waiters(&0) == 0);
    });
}

/// An upgrade gets an error or becomes the writer, while a reader leaves.
#[test]
fn beside_an_upgrade() {
    use stripe_lock::asynchronous::AsyncGuard;

    fn upgrade(locks: &RwLocks) {
        let Ok(guard) = wait(locks.upgradable_read(&0).checked()) else { return };
        if let Ok(data) = wait(AsyncGuard::upgrade(guard).checked()) {
            data.add();
        }
    }
    fn read(locks: &RwLocks) {
        drop(wait(locks.read(&0).checked()));
    }
    explore("closing::beside_an_upgrade", Some(3), || {
        let locks = Arc::new(RwLocks::with_hasher(1, Identity::default()));
        all(&locks, vec![upgrade, read, RwLocks::close]);
        assert!(!locks.is_locked(&0) && locks.waiters(&0) == 0);
    });
}
