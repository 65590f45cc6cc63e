//! Code for which a sanitizer must report a data race, and code for which it must not. Both increment a counter
//! without synchronisation inside updates.

use std::cell::UnsafeCell;
use std::thread;

use vde_store::Vde;

struct Bare(UnsafeCell<u64>);

// SAFETY: this is unsound. The tests show whether two threads access the counter at the same time.
unsafe impl Sync for Bare {}

/// Two threads increment a counter in updates of one key each. Returns the count.
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
                            // SAFETY: this is sound only if both keys are the same: then both threads hold the same
                            // stripe.
                            unsafe { *counter.0.get() += 1 };
                            // A yield makes updates of two keys overlap.
                            thread::yield_now();
                        }
                        Some(Vec::new())
                    };
                    store.update(key, add).unwrap();
                }
            })
        });
        // The threads are joined explicitly, because sanitizers do not see that the end of a scope waits for them.
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
