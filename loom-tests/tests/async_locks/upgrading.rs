//! Changing the mode in which a stripe of a read-write lock is held.

use std::pin::pin;

use loom::sync::Arc;
use loom::thread;
use loom_tests::explore;
use stripe_lock::asynchronous::{
    AsyncGuard, AsyncWriteGuard, OwnedAsyncUpgradableGuard, OwnedAsyncWriteGuard,
};

use super::{EXHAUSTIVE, Identity, RwLocks, all, poll_once, queued, ready, shared_rwlocks, wait};

fn rwlocks() -> Arc<RwLocks> {
    Arc::new(RwLocks::with_hasher(1, Identity::default()))
}

fn read(locks: &RwLocks) {
    wait(locks.read(&0)).get();
}

fn write(locks: &RwLocks) {
    wait(locks.write(&0)).add();
}

/// Reads, then adds one. The data did not change in between.
fn upgrade(locks: &RwLocks) {
    let guard = wait(locks.upgradable_read(&0));
    let before = guard.get();
    let guard = wait(AsyncGuard::upgrade(guard));
    assert_eq!(guard.get(), before, "another task wrote in between");
    guard.add();
}

/// Requests the upgrade, and gives up.
fn give_up(locks: &RwLocks) {
    let guard = wait(locks.upgradable_read(&0));
    drop(poll_once(pin!(AsyncGuard::upgrade(guard))));
}

fn written(locks: &RwLocks) -> usize {
    locks.try_write(&0).expect("nothing stays held").get()
}

#[test]
fn beside_a_reader_and_a_writer() {
    explore("upgrading::beside_a_reader_and_a_writer", Some(3), || {
        let locks = rwlocks();
        all(&locks, vec![upgrade, read, write]);
        assert_eq!(written(&locks), 2);
    });
}

/// Only one at a time may upgrade, so that two never wait for each other.
#[test]
fn beside_another() {
    explore("upgrading::beside_another", Some(3), || {
        let locks = rwlocks();
        all(&locks, vec![upgrade, upgrade, read]);
        assert_eq!(written(&locks), 2);
    });
}

/// A writer waits already, woken or not, when the upgrade is requested.
#[test]
fn before_a_writer_that_waits() {
    explore("upgrading::before_a_writer_that_waits", Some(3), || {
        let locks = shared_rwlocks(1);
        let (upgradable, reader) = (
            locks.try_upgradable_read_owned(&0).expect("it is new"),
            locks.try_read_owned(&0).expect("the same"),
        );
        let waiting = queued(locks.write_owned(&0));
        let writer = thread::spawn(move || {
            let data = wait(waiting);
            assert_eq!(data.get(), 1, "the upgrade comes first");
            data.add();
        });
        let reader = thread::spawn(move || drop(reader));
        wait(AsyncGuard::upgrade(upgradable)).add();
        reader.join().unwrap();
        writer.join().unwrap();
        assert_eq!(written(&locks), 2);
    });
}

#[test]
fn given_up() {
    explore("upgrading::given_up", Some(3), || {
        let locks = rwlocks();
        all(&locks, vec![give_up, read, write]);
        assert_eq!(written(&locks), 1);
    });
}

#[test]
fn given_up_beside_another() {
    explore("upgrading::given_up_beside_another", Some(3), || {
        let locks = rwlocks();
        all(&locks, vec![give_up, upgrade, read]);
        assert_eq!(written(&locks), 1);
    });
}

/// All waiting readers are admitted at once, above the limit of one batch, while other tasks enter and leave.
#[test]
fn a_downgrade_lets_readers_in() {
    explore("a_downgrade_lets_readers_in", Some(5), || {
        let locks = shared_rwlocks(1);
        let held = locks.try_write_owned(&0).expect("it is new");
        let readers = [(); 2].map(|()| queued(locks.read_owned(&0)));
        let writer = thread::spawn({
            let locks = locks.clone();
            move || write(&locks)
        });
        held.add();
        let held = OwnedAsyncWriteGuard::downgrade(held);
        let readers = readers.map(ready);
        assert!(readers.iter().all(|data| data.get() == 1) && held.get() == 1);
        drop((held, readers));
        writer.join().unwrap();
        assert_eq!(written(&locks), 2);
    });
}

/// The same, and the writer writes again before any other writer.
#[test]
fn a_downgrade_keeps_the_right_to_upgrade() {
    explore("a_downgrade_keeps_the_right_to_upgrade", Some(3), || {
        let locks = shared_rwlocks(1);
        let held = locks.try_write_owned(&0).expect("it is new");
        let waiting = queued(locks.read_owned(&0));
        let writer = thread::spawn({
            let locks = locks.clone();
            move || write(&locks)
        });
        let held = AsyncGuard::downgrade_to_upgradable(held);
        let data = ready(waiting);
        assert_eq!(data.get(), 0);
        let reader = thread::spawn(move || drop(data));
        let held = wait(AsyncGuard::upgrade(held));
        assert_eq!(held.get(), 0, "another task wrote in between");
        held.add();
        drop(held);
        reader.join().unwrap();
        writer.join().unwrap();
        assert_eq!(written(&locks), 2);
    });
}

/// Readers after the downgrade see what the writer wrote, and the downgraded one sees no other write.
#[test]
fn downgrades_beside_others() {
    fn downgrade(locks: &RwLocks) {
        let guard = wait(locks.write(&0));
        guard.add();
        let written = guard.get();
        assert_eq!(AsyncWriteGuard::downgrade(guard).get(), written, "another task wrote in between");
    }
    explore("downgrades_beside_others", Some(3), || {
        let locks = rwlocks();
        all(&locks, vec![downgrade, read, write]);
        assert_eq!(written(&locks), 2);
    });
}

/// The right to upgrade goes from one to the next when it is given up.
#[test]
fn the_right_to_upgrade_is_given_up() {
    explore("the_right_to_upgrade_is_given_up", EXHAUSTIVE, || {
        let locks = shared_rwlocks(1);
        let held = locks.try_upgradable_read_owned(&0).expect("it is new");
        let waiting = queued(locks.upgradable_read_owned(&0));
        let reader = thread::spawn({
            let locks = locks.clone();
            move || read(&locks)
        });
        let held = OwnedAsyncUpgradableGuard::downgrade(held);
        drop(ready(waiting));
        drop(held);
        reader.join().unwrap();
        assert_eq!(written(&locks), 0);
    });
}
