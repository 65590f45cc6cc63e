//! Operations of async guards: changing the mode, mapping to a part of the data, extending, and unlocking temporarily.

use std::sync::Arc;
use std::task::Poll;

use crate::common::{key_on, keys};
use crate::task::Task;
use stripe_lock::asynchronous::{
    AsyncGuard, AsyncMappedGuard, AsyncMutexGuard, AsyncReadGuard, AsyncUpgradableGuard, AsyncWriteGuard,
    OwnedAsyncMutexGuard,
};
use stripe_lock::{AsyncStripedMutex, AsyncStripedRwLock, AsyncStripedSemaphore, Extended, Pair};

type Locks = AsyncStripedMutex<u64, u64>;
type Rw = AsyncStripedRwLock<u64, u64>;

#[test]
fn an_upgradable_reader_admits_only_readers() {
    let rw = Rw::new(1);
    let upgradable = rw.try_upgradable_read(&1).unwrap();
    let reader = rw.try_read(&1).unwrap();
    assert!(rw.try_upgradable_read(&1).is_none() && rw.try_write(&1).is_none());
    let upgradable = AsyncUpgradableGuard::try_upgrade(upgradable).unwrap_err();
    drop(reader);
    let mut written = AsyncUpgradableGuard::try_upgrade(upgradable).unwrap();
    *written = 7;
    assert!(rw.try_read(&1).is_none());
    let upgradable = AsyncWriteGuard::downgrade_to_upgradable(written);
    assert_eq!((*upgradable, *rw.try_read(&1).unwrap()), (7, 7));
    let read = AsyncUpgradableGuard::downgrade(upgradable);
    assert!(rw.try_upgradable_read(&1).is_some() && rw.try_write(&1).is_none());
    drop(read);
    assert!(rw.try_write(&1).is_some());
}

/// The upgradable reader holds the stripe already, so its upgrade passes waiters. No other task writes between its read
/// and its write.
#[test]
fn an_upgrade_comes_before_all_waiters() {
    for strict in [false, true] {
        let rw = Rw::new(1);
        let rw = if strict { rw.strict_fifo() } else { rw };
        let upgradable = rw.try_upgradable_read(&1).unwrap();
        let reader = rw.try_read(&1).unwrap();
        let mut writer = Task::waiting(rw.write(&1));
        let mut late = Task::waiting(rw.read(&1));
        let before = *upgradable;
        let mut upgrade = Task::waiting(AsyncUpgradableGuard::upgrade(upgradable));
        assert!(rw.try_read(&1).is_none(), "no reader comes in any more");
        drop(reader);
        let mut guard = upgrade.done();
        assert_eq!(*guard, before, "no other task wrote meanwhile");
        *guard += 1;
        assert_eq!((writer.woken(), late.woken()), (0, 0));
        drop(guard);
        *writer.done() += 1;
        assert_eq!(*late.done(), 2);
    }
}

#[test]
fn an_upgrade_that_is_given_up_releases_everything() {
    for granted in [false, true] {
        let rw = Rw::new(1);
        let reader = rw.try_read(&1);
        let upgrade = Task::waiting(AsyncUpgradableGuard::upgrade(rw.try_upgradable_read(&1).unwrap()));
        let mut writer = Task::waiting(rw.write(&1));
        if granted {
            drop(reader);
            drop(upgrade);
        } else {
            drop(upgrade);
            assert!(rw.is_locked(&1), "by the other reader");
            drop(reader);
        }
        *writer.done() += 1;
    }
    let rw = Rw::new(1);
    drop(AsyncUpgradableGuard::upgrade(rw.try_upgradable_read(&1).unwrap()));
    assert!(rw.try_write(&1).is_some(), "also before its first poll");
}

/// An upgrade that begins while a writer was woken to compete: the writer waits again, and is served later.
#[test]
fn an_upgrade_passes_a_writer_that_was_woken() {
    let rw = Rw::new(1);
    let held = rw.try_write(&1);
    let mut writer = Task::waiting(rw.write(&1));
    drop(held);
    assert_eq!(writer.woken(), 1);
    let upgradable = rw.try_upgradable_read(&1).expect("a newcomer");
    let reader = rw.try_read(&1).expect("another");
    let mut upgrade = Task::waiting(AsyncUpgradableGuard::upgrade(upgradable));
    assert!(writer.poll().is_pending());
    drop(reader);
    drop(upgrade.done());
    drop(writer.done());
    assert!(rw.try_write(&1).is_some());
}

#[test]
fn a_downgrade_admits_the_readers_that_wait_first() {
    let rw = Rw::new(1);
    for to_upgradable in [false, true] {
        let written = rw.try_write(&1).unwrap();
        let mut readers: Vec<_> = (0..20).map(|_| Task::waiting(rw.read(&1))).collect();
        let mut writer = Task::waiting(rw.write(&1));
        let mut behind = Task::waiting(rw.read(&1));
        let kept = if to_upgradable {
            (Some(AsyncWriteGuard::downgrade_to_upgradable(written)), None)
        } else {
            (None, Some(AsyncWriteGuard::downgrade(written)))
        };
        let guards: Vec<_> = readers.iter_mut().map(Task::done).collect();
        assert_eq!((writer.woken(), behind.woken()), (0, 0));
        drop((kept, guards));
        drop(writer.done());
        drop(behind.done());
    }
}

#[test]
fn a_mapped_guard_holds_the_stripe_of_the_whole() {
    let rw = AsyncStripedRwLock::<u64, (u64, [u64; 3])>::new(4);
    let stripe = rw.stripe_of(&1);
    let whole = rw.try_write(&1).unwrap();
    assert_eq!(format!("{whole:?}"), "(0, [0, 0, 0])");
    let mut part = AsyncWriteGuard::map(whole, |whole| &mut whole.1[1..]);
    part[0] = 5;
    assert_eq!((format!("{part:?}"), AsyncMappedGuard::stripe(&part)), ("[5, 0]".into(), stripe));
    assert!(rw.try_read(&1).is_none());
    let mut reader = Task::waiting(rw.read(&1));
    drop(part);
    let read = reader.done();
    let part = AsyncReadGuard::map(read, |whole| &whole.1[1]);
    let whole = AsyncReadGuard::try_map(rw.try_read(&1).unwrap(), |_| None::<&str>).unwrap_err();
    assert_eq!((*part, whole.1), (5, [0, 5, 0]));
    assert!(rw.try_write(&1).is_none());
    drop(whole);
    assert!(rw.try_write(&1).is_none());
    drop(part);
    assert!(rw.try_write(&1).is_some());
    let owned = Arc::new(Locks::new(4));
    let mut part =
        OwnedAsyncMutexGuard::try_map(owned.try_lock_owned(&1).unwrap(), |data| Some(data)).unwrap();
    *part = 3;
    let set = owned.clone();
    std::thread::spawn(move || drop(part)).join().unwrap();
    assert_eq!(set.try_lock(&1).map(|guard| *guard), Some(3));
}

/// An owned future or guard holds one reference to its set: the set lives as long as they do, and no longer.
#[test]
fn owned_guards_and_futures_keep_their_set_alive() {
    macro_rules! owned {
        ($($set:expr => $method:ident($($argument:expr),*);)*) => {
            $({
                let set = Arc::new($set);
                drop(set.$method($($argument),*));
                assert_eq!(Arc::strong_count(&set), 1, "{} was dropped", stringify!($method));
                let (future, seen) = (set.$method($($argument),*), Arc::downgrade(&set));
                drop(set);
                let Poll::Ready(guard) = Task::new(future).poll() else { panic!("there is no other holder") };
                assert_eq!(seen.strong_count(), 1, "by the guard of {}", stringify!($method));
                drop(guard);
                assert_eq!(seen.strong_count(), 0, "{}", stringify!($method));
            })*
        };
    }
    owned! {
        Locks::new(1) => lock_owned(&1);
        Locks::new(1) => enqueue_owned(&1);
        Locks::new(1) => lock_many_owned([&1]);
        Locks::new(1) => lock_all_owned();
        Rw::new(1) => read_owned(&1);
        Rw::new(1) => write_owned(&1);
        Rw::new(1) => upgradable_read_owned(&1);
        Rw::new(1) => read_many_owned([&1]);
        AsyncStripedSemaphore::<u64>::new(1, 2) => acquire_owned(&1);
        AsyncStripedSemaphore::<u64>::new(1, 2) => acquire_many_owned(&1, 2);
        AsyncStripedSemaphore::<u64>::new(1, 2) => acquire_keys_owned([&1]);
    }
    let rw = Arc::new(Rw::new(1));
    let upgrade = || AsyncGuard::upgrade(rw.try_upgradable_read_owned(&1).unwrap());
    drop(upgrade());
    assert_eq!(Arc::strong_count(&rw), 1);
    let Poll::Ready(written) = Task::new(upgrade()).poll() else { panic!("there is no other holder") };
    assert_eq!(Arc::strong_count(&rw), 2);
    drop(written);
    assert_eq!(Arc::strong_count(&rw), 1);
}

#[test]
fn a_guard_that_is_bumped_lets_one_pass_and_comes_back() {
    for strict in [false, true] {
        let locks = Locks::new(1);
        let locks = if strict { locks.strict_fifo() } else { locks };
        let mut guard = locks.try_lock(&1).unwrap();
        *guard = 1;
        let mut other = Task::waiting(locks.lock(&1));
        let mut back = Task::new(AsyncMutexGuard::bump(guard));
        assert!(locks.try_lock(&1).is_none(), "it was handed over");
        assert!(back.poll().is_pending());
        *other.done() += 1;
        assert_eq!(*back.done(), 2);
        drop((back, other));
        // There is no waiter, so the guard takes the stripe again.
        let mut back = Task::new(AsyncMutexGuard::bump(locks.try_lock(&1).unwrap()));
        assert!(back.poll().is_ready());
    }
}

#[test]
fn a_guard_that_is_unlocked_holds_nothing_meanwhile() {
    let locks = Locks::new(1);
    let guard = locks.try_lock(&1).unwrap();
    let mut other = Task::waiting(locks.lock(&1));
    let section = async { locks.is_locked(&1) };
    let mut unlocked = Task::new(AsyncMutexGuard::unlocked(guard, section));
    // The stripe is unlocked immediately. The section runs when the future is polled, and then the future waits.
    *other.done() += 1;
    let Poll::Ready((guard, locked)) = unlocked.poll() else { panic!("there is no other holder") };
    assert_eq!((locked, *guard), (false, 1));
    let dropped = Task::new(AsyncMutexGuard::unlocked(guard, std::future::pending::<()>()));
    drop(dropped);
    assert!(locks.try_lock(&1).is_some());
}

#[test]
fn a_fair_unlock_hands_over_before_newcomers_come() {
    let locks = Locks::new(1);
    let guard = locks.try_lock(&1).unwrap();
    AsyncMutexGuard::unlock_fair(guard);
    let guard = locks.try_lock(&1).unwrap();
    let mut waiter = Task::waiting(locks.lock(&1));
    AsyncMutexGuard::unlock_fair(guard);
    assert!(locks.try_lock(&1).is_none());
    drop(waiter.done());
    // The same for a waiter that was woken before and overtaken by newcomers.
    let guard = locks.try_lock(&1).unwrap();
    let mut waiter = Task::waiting(locks.lock(&1));
    drop(guard);
    let newcomer = locks.try_lock(&1).unwrap();
    AsyncMutexGuard::unlock_fair(newcomer);
    assert!(locks.try_lock(&1).is_none());
    drop(waiter.done());
}

#[test]
fn an_extended_guard_waits_only_upwards() {
    let locks = Locks::new(8);
    let keys = keys(8, |key| locks.stripe_of(key));
    let mut guard = AsyncMutexGuard::extendable(locks.try_lock(&keys[3]).unwrap());
    let held = [locks.try_lock(&keys[1]), locks.try_lock(&keys[5])];
    let mut below = Task::new(guard.extend(&keys[1]));
    assert_eq!(below.poll(), Poll::Ready(Err(stripe_lock::ExtendError::WouldInvert)));
    drop(below);
    let above = Task::waiting(guard.extend(&keys[5]));
    drop(above);
    assert!(guard.stripes().iter().eq([3]), "dropped while it waited");
    let mut above = Task::waiting(guard.extend(&keys[5]));
    drop(held);
    assert_eq!(above.done(), Ok(()));
    drop(above);
    assert!(guard.stripes().iter().eq([3, 5]));
    *guard.get_mut(&keys[5]).unwrap() = 4;
    assert!(guard.release(&keys[3]) && !guard.release(&keys[3]));
    assert!(locks.try_lock(&keys[3]).is_some() && locks.try_lock(&keys[5]).is_none());
    assert_eq!(guard.get(&keys[3]), None);
    assert_eq!(guard.get_mut(&keys[5]), Some(&mut 4));
    drop(guard);
    assert!(locks.try_lock_all().is_some());
}

#[test]
fn extend_or_restart_says_whether_it_restarted() {
    let locks = Locks::new(8);
    let keys = keys(8, |key| locks.stripe_of(key));
    let mut guard = locks.try_lock_many([&keys[3], &keys[4]]).unwrap();
    let mut kept = Task::new(guard.extend_or_restart([&keys[1], &keys[3], &keys[6]]));
    assert_eq!(kept.poll(), Poll::Ready(Ok(Extended::Kept)), "all were free");
    drop(kept);
    let above = locks.try_lock(&keys[7]);
    let mut waits = Task::waiting(guard.extend_or_restart([&keys[7]]));
    assert!(locks.try_lock(&keys[3]).is_none(), "it waits upwards with what it has");
    drop(above);
    assert_eq!(waits.done(), Ok(Extended::Kept));
    drop(waits);
    let below = locks.try_lock(&keys[0]);
    let mut restarts = Task::waiting(guard.extend_or_restart([&keys[0]]));
    assert!(locks.try_lock(&keys[3]).is_some(), "everything is released meanwhile");
    drop(below);
    assert_eq!(restarts.done(), Ok(Extended::Restarted));
    drop(restarts);
    assert!(guard.stripes().iter().eq([0, 1, 3, 4, 6, 7]));
    // After a drop in the middle of a restart, the guard holds nothing and can be used.
    let below = guard.release(&keys[0]).then(|| locks.try_lock(&keys[0]));
    let restarts = Task::waiting(guard.extend_or_restart([&keys[0]]));
    drop((restarts, below));
    assert!(guard.is_empty() && guard.get(&keys[3]).is_none() && guard.iter().next().is_none());
    assert!(locks.try_lock_all().is_some());
    let mut again = Task::new(guard.extend(&keys[2]));
    assert_eq!(again.poll(), Poll::Ready(Ok(())));
    drop(again);
    assert!(guard.holds(&keys[2]));
}

#[test]
fn a_pair_is_one_stripe_or_two() {
    let locks = Locks::new(8);
    let keys = keys(8, |key| locks.stripe_of(key));
    let same = key_on(2, keys[2] + 1, |key| locks.stripe_of(key));
    let mut guard = locks.try_lock_many([&keys[2], &keys[5]]).unwrap();
    match guard.get_pair_mut(&keys[5], &keys[2]).unwrap() {
        Pair::Two(five, two) => (*five, *two) = (5, 2),
        Pair::Same(_) => panic!("they differ"),
    }
    assert!(matches!(guard.get_pair_mut(&keys[2], &same), Some(Pair::Same(2))));
    assert!(guard.get_pair_mut(&keys[2], &keys[3]).is_none());
    assert_eq!((guard.get(&keys[5]), guard.get(&same)), (Some(&5), Some(&2)));
    let rw = Rw::new(1);
    assert!(rw.try_read_many(&[1]).unwrap().get_pair_mut(&1, &1).is_none(), "it is only read");
    let mut mixed = rw.batch().read(&1).write(&2).try_lock().unwrap();
    assert!(matches!(mixed.get_pair_mut(&1, &2), Some(Pair::Same(_))), "and written here");
}

/// Locks the set stripe by stripe, beside a holder of one stripe.
#[test]
fn stripes_are_locked_by_their_index() {
    let locks = Locks::new(8);
    let held = locks.try_lock_stripe(5).unwrap();
    assert_eq!(AsyncGuard::stripe(&held), 5);
    for stripe in 0..8 {
        let mut sweep = Task::new(locks.lock_stripe(stripe));
        assert_eq!(
            sweep.poll().map(|mut guard| *guard += 1),
            [Poll::Ready(()), Poll::Pending][usize::from(stripe == 5)]
        );
    }
    drop(held);
    for code in
        [|locks: &Locks| drop(locks.lock_stripe(8)), |locks: &Locks| drop(locks.try_lock_stripe(usize::MAX))]
    {
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| code(&locks))).is_err());
    }
    assert_eq!(locks.into_inner(), [1, 1, 1, 1, 1, 0, 1, 1]);
}
