//! Races that a sanitizer has to report, and code for which it must not: counters without synchronisation, which are
//! increased inside updates.

use std::cell::UnsafeCell;
use std::thread;

use vde_store::Vde;

struct Bare(UnsafeCell<u64>);

// SAFETY: this is unsound. The tests are about whether two threads access it at the same time.
unsafe impl Sync for Bare {}

/// Increases a counter in updates of two keys by two threads. Returns the count.
fn count(keys: [&str; 2]) -> u64 {
    let store = Vde::in_memory().unwrap();
    let counter = Bare(UnsafeCell::new(0));
    thread::scope(|scope| {
        let threads = keys.map(|key| {
            let (store, counter) = (&store, &counter);
            scope.spawn(move || {
                for _ in 0..100 {
                    let add = |_: Option<&[u8]>| {
                        for _ in 0..20 {
                            // SAFETY: this is sound if both keys are the same, because its stripe is held.
                            unsafe { *counter.0.get() += 1 };
                            // This takes so long that updates of two keys overlap.
                            thread::yield_now();
                        }
                        Some(Vec::new())
                    };
                    store.update(key, add).unwrap();
                }
            })
        });
        // The threads are joined, because sanitizers don't see what the end of a scope waits for.
        for thread in threads {
            thread.join().unwrap();
        }
    });
    counter.0.into_inner()
}

#[test]
fn updates_of_one_key_exclude_each_other() {
    assert_eq!(count(["k", "k"]), 4_000);
}

#[test]
#[ignore = "a race, for scripts/tsan-vde.sh to find"]
fn planted_race() {
    count(["k", "l"]);
}
