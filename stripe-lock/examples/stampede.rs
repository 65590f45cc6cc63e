//! Cache stampede protection: if an entry is missing, one thread computes it, and the other threads that want it wait
//! for that thread.
//!
//! `cargo run --release -p stripe-lock --example stampede`

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use stripe_lock::StripedRwLock;
use stripe_lock::blocking::RwLockUpgradableReadGuard;

struct Cache {
    /// Each stripe has the entries of its keys.
    entries: StripedRwLock<str, HashMap<String, usize>>,
    computed: AtomicU32,
}

impl Cache {
    fn get(&self, page: &str) -> usize {
        // Nearly always the entry is there, and readers don't exclude each other.
        if let Some(&length) = self.entries.read(page).get(page) {
            return length;
        }
        // One thread at a time may hold an upgradable guard. Readers of other entries of the stripe continue meanwhile.
        let entries = self.entries.upgradable_read(page);
        if let Some(&length) = entries.get(page) {
            return length;
        }
        let length = self.compute(page);
        RwLockUpgradableReadGuard::upgrade(entries).insert(page.to_owned(), length);
        length
    }

    fn compute(&self, page: &str) -> usize {
        self.computed.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(20));
        page.len()
    }
}

fn main() {
    let cache = Cache { entries: StripedRwLock::new(64), computed: AtomicU32::new(0) };
    let pages = ["/", "/about", "/contact", "/imprint"];
    thread::scope(|scope| {
        for _visitor in 0..32 {
            scope.spawn(|| pages.iter().for_each(|page| assert_eq!(cache.get(page), page.len())));
        }
    });
    let computed = cache.computed.load(Ordering::Relaxed);
    assert_eq!(computed, 4, "each page once, however many wanted it at the same time");
    println!("{} requests, {computed} computations", 32 * pages.len());
}
