//! Stripes of a read-write lock.

use std::pin::pin;
use std::task::Poll;

use loom::future::block_on;
use loom::sync::Arc;
use loom::thread;
use loom_tests::explore;

use super::{EXHAUSTIVE, Identity, RwLocks, all, poll_once, two_keys};

fn rwlocks(stripes: usize) -> Arc<RwLocks> {
    Arc::new(RwLocks::with_hasher(stripes, Identity::default()))
}

fn read(locks: &RwLocks) {
    block_on(locks.read(&0)).get();
}

fn write(locks: &RwLocks) {
    block_on(locks.write(&0)).add();
}

#[test]
fn two_readers_and_a_writer() {
    explore("two_readers_and_a_writer", Some(3), || {
        let locks = rwlocks(1);
        all(&locks, vec![read, read, write]);
        assert_eq!(locks.try_write(&0).expect("nothing stays held").get(), 1);
    });
}

/// The reader that hands the stripe over may not be the first one that left. The writer must see the writes of all
/// readers.
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
    explore("crossing_batches", EXHAUSTIVE, || {
        let locks = rwlocks(2);
        all(&locks, vec![one, other]);
        assert!(locks.try_write_all().is_some(), "nothing stays held");
    });
}
