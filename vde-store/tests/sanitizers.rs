//! What a sanitizer has to see, and must not see: counters without any synchronisation of their own, counted up inside
//! updates.

use std::cell::UnsafeCell;
use std::thread;

use vde_store::Vde;

struct Bare(UnsafeCell<u64>);

// SAFETY: not sound; whether two threads meet in it is what the tests are about.
unsafe impl Sync for Bare {}

/// Counts up in updates of two keys by two threads; returns the count.
fn count(keys: [&str; 2]) -> u64 {
    let store = Vde::in_memory().unwrap();
    let counter = Bare(UnsafeCell::new(0));
    thread::scope(|scope| {
        let threads = keys.map(|key| {
            let (store, counter) = (&store, &counter);
            scope.spawn(move || {
                for _ in 0..500 {
                    let add = |_: Option<&[u8]>| {
                        for _ in 0..20 {
                            // SAFETY: sound where the keys are one, since its stripe is held meanwhile.
                            unsafe { *counter.0.get() += 1 };
                            // So long that updates of two keys meet in here.
                            thread::yield_now();
                        }
                        Some(Vec::new())
                    };
                    store.update(key, add).unwrap();
                }
            })
        });
        // Left to the end of the scope, they would end in ways that a sanitizer does not see.
        for thread in threads {
            thread.join().unwrap();
        }
    });
    counter.0.into_inner()
}

#[test]
fn updates_of_one_key_exclude_each_other() {
    assert_eq!(count(["k", "k"]), 20_000);
}

#[test]
#[ignore = "a race, for scripts/tsan-vde.sh to find"]
fn planted_race() {
    count(["k", "l"]);
}
