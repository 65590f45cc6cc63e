//! The order in which the writes of concurrent writers become visible.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Every transaction gets a turn, in the order of the log. Transactions are inserted into the memtable in parallel,
/// and published in the order of their turns: each as soon as it and all earlier ones are in the memtable.
pub(crate) struct Publication {
    /// For each turn, modulo [`TURNS`], the sequence number of its last record, once the records are in the memtable.
    done: Box<[AtomicU64]>,
    /// The first turn that is not published.
    next: AtomicU64,
    /// Every record up to here is in the memtable.
    published: AtomicU64,
}

/// How many turns may be taken and not yet published. They are more than the threads that write at the same time.
const TURNS: u64 = 1024;
/// A waiting thread spins for the first `PAUSES` checks, yields up to the `YIELDS`-th, and sleeps for `NAP` between
/// later ones.
const PAUSES: u32 = 32;
const YIELDS: u32 = 256;
const NAP: Duration = Duration::from_micros(50);

impl Publication {
    /// A publication in which everything up to `seq` is published.
    pub(crate) fn new(seq: u64) -> Self {
        let done = (0..TURNS).map(|_| AtomicU64::new(seq)).collect();
        Self { done, next: AtomicU64::new(0), published: AtomicU64::new(seq) }
    }

    /// Every record up to here is in the memtable.
    pub(crate) fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    /// Whether `turn` can be taken already.
    pub(crate) fn has_room(&self, turn: u64) -> bool {
        turn - self.next.load(Ordering::Acquire) < TURNS
    }

    /// The records of `turn`, the last of which is `seq`, are in the memtable.
    pub(crate) fn finish(&self, turn: u64, seq: u64) {
        // Sequentially consistent with the loads in `advance`: either the publisher of the turn before sees this
        // number, or this thread sees that the turn before is published.
        self.place(turn).swap(seq, Ordering::SeqCst);
        self.advance();
    }

    fn place(&self, turn: u64) -> &AtomicU64 {
        &self.done[(turn % TURNS) as usize]
    }

    /// Publishes all finished turns that have no unfinished turn before them.
    fn advance(&self) {
        loop {
            let turn = self.next.load(Ordering::SeqCst);
            let seq = self.place(turn).load(Ordering::SeqCst);
            // The slot may still have the number of an earlier turn, which is published.
            if seq <= self.published() {
                return;
            }
            // If `turn` is still unpublished, no other turn can have written its number to the slot.
            if self.next.load(Ordering::SeqCst) == turn {
                self.published.fetch_max(seq, Ordering::AcqRel);
                let _ = self.next.compare_exchange(turn, turn + 1, Ordering::SeqCst, Ordering::Relaxed);
            }
        }
    }

    /// Waits until other threads have published everything up to `seq`.
    pub(crate) fn wait(&self, seq: u64) {
        let mut looks = 0;
        while self.published() < seq {
            match looks {
                0..PAUSES => std::hint::spin_loop(),
                PAUSES..YIELDS => thread::yield_now(),
                _ => thread::sleep(NAP),
            }
            looks += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_turn_waits_for_those_before_it() {
        let publication = Publication::new(10);
        publication.finish(1, 14);
        publication.finish(2, 15);
        assert_eq!(publication.published(), 10, "turn 0 is not done");
        publication.finish(0, 12);
        assert_eq!(publication.published(), 15);
    }

    #[test]
    fn no_turn_is_taken_while_its_slot_is_in_use() {
        let publication = Publication::new(0);
        (1..TURNS).for_each(|turn| publication.finish(turn, turn + 1));
        assert!(publication.has_room(TURNS - 1));
        assert!(!publication.has_room(TURNS));
        publication.finish(0, 1);
        assert_eq!(publication.published(), TURNS);
        assert!(publication.has_room(2 * TURNS - 1));
        assert!(!publication.has_room(2 * TURNS));
    }

    #[test]
    fn transactions_are_published_in_order_and_completely() {
        const EACH: usize = 20_000;
        let publication = Publication::new(0);
        // As under the log's mutex: the next turn and the newest sequence number. Turns have one to three records.
        let tail = Mutex::new((0, 0));
        let filled: Vec<_> = (0..=4 * EACH * 3).map(|_| AtomicU64::new(0)).collect();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        let (turn, first, last) = {
                            let mut tail = tail.lock().unwrap();
                            let (turn, seq) = *tail;
                            *tail = (turn + 1, seq + 1 + turn % 3);
                            (turn, seq + 1, tail.1)
                        };
                        filled[first as usize..=last as usize]
                            .iter()
                            .for_each(|f| f.store(1, Ordering::Relaxed));
                        publication.finish(turn, last);
                        let seen = publication.published();
                        let mut recent = filled[1..=seen as usize].iter().rev().take(16);
                        assert!(recent.all(|f| f.load(Ordering::Relaxed) == 1), "{seen} came too early");
                        publication.wait(last);
                    }
                });
            }
        });
        assert_eq!(publication.published(), tail.lock().unwrap().1);
    }
}
