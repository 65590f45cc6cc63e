//! Histories of concurrent operations on single keys. They must be linearizable.
//!
//! The checker is that of Wing and Gong (Testing and verifying concurrent objects, 1993) with the cache of Lowe
//! (Testing for linearizability, 2017). It is a depth-first search for the operation that took effect next, with a
//! cache of sets of operations and the value after them.

use std::collections::{HashMap, HashSet};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use fastrand::Rng;
use parking_lot::Mutex;
use vde_store::testing::Bug;
use vde_store::{Vde, VdeOptions};

type Value = Option<u64>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Action {
    Put(u64),
    Get(Value),
    Delete(bool),
    /// An update that added this number to the value. The other field is the value that it returned.
    Update(Value, u64),
    Swap(Value, u64, bool),
}

impl Action {
    /// The value after the action. `None` if the action could not have had this result on `value`.
    fn apply(self, value: Value) -> Option<Value> {
        match self {
            Self::Put(new) => Some(Some(new)),
            Self::Get(seen) => (seen == value).then_some(value),
            Self::Delete(existed) => (existed == value.is_some()).then_some(None),
            Self::Update(seen, new) => (seen == value).then_some(Some(new)),
            Self::Swap(expected, new, true) => (expected == value).then_some(Some(new)),
            Self::Swap(expected, _, false) => (expected != value).then_some(value),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Done {
    begin: u64,
    end: u64,
    action: Action,
}

/// Searches for orders of the operations that respect real time and explain the results. Returns the possible final
/// values.
fn explain(window: &[Done], starts: &HashSet<Value>) -> HashSet<Value> {
    fn go(
        window: &[Done],
        done: u64,
        value: Value,
        seen: &mut HashSet<(u64, Value)>,
        ends: &mut HashSet<Value>,
    ) {
        if done.count_ones() as usize == window.len() {
            ends.insert(value);
            return;
        }
        if !seen.insert((done, value)) {
            return;
        }
        let left = || window.iter().enumerate().filter(|(i, _)| done >> i & 1 == 0);
        let first_end = left().map(|(_, op)| op.end).min().unwrap_or(u64::MAX);
        for (i, op) in left().filter(|(_, op)| op.begin <= first_end) {
            if let Some(next) = op.action.apply(value) {
                go(window, done | 1 << i, next, seen, ends);
            }
        }
    }
    let (mut seen, mut ends) = (HashSet::new(), HashSet::new());
    for start in starts {
        go(window, 0, *start, &mut seen, &mut ends);
    }
    ends
}

/// Checks the history of one key in pieces, which end where no operation is in progress.
fn check(mut history: Vec<Done>) -> Result<(), String> {
    history.sort_by_key(|op| op.begin);
    let mut values = HashSet::from([None]);
    let (mut from, mut open_until) = (0, 0);
    for to in 0..=history.len() {
        if to == history.len() || (to > from && history[to].begin > open_until) {
            let window = &history[from..to];
            assert!(window.len() <= 64, "a window of {} operations", window.len());
            values = explain(window, &values);
            if values.is_empty() {
                return Err(format!("no order explains {window:?}"));
            }
            from = to;
        }
        if let Some(op) = history.get(to) {
            open_until = open_until.max(op.end);
        }
    }
    Ok(())
}

/// Runs random operations of several threads on few keys. `get` reads a key.
fn histories(
    store: &Vde,
    seed: u64,
    operations: usize,
    get: impl Fn(&Vde, &[u8]) -> Value + Sync,
) -> Vec<Vec<Done>> {
    const THREADS: usize = 4;
    let clock = AtomicU64::new(1);
    let unique = AtomicU64::new(1);
    let pause = Barrier::new(THREADS);
    let mut histories: HashMap<u8, Vec<Done>> = HashMap::new();
    thread::scope(|scope| {
        let work = |thread| {
            let (clock, unique, pause, get) = (&clock, &unique, &pause, &get);
            move || {
                let mut rng = Rng::with_seed(seed * 31 + thread as u64);
                let mut mine = Vec::new();
                let mut last = None;
                for step in 0..operations / THREADS {
                    if step % 8 == 0 {
                        // A moment without operations, which splits the histories into pieces that are small enough
                        // to search.
                        pause.wait();
                    }
                    let key = rng.u8(..8);
                    let new = unique.fetch_add(1, Ordering::Relaxed);
                    let begin = clock.fetch_add(1, Ordering::SeqCst);
                    let action = act(store, &[key], new, &mut last, &mut rng, get);
                    let end = clock.fetch_add(1, Ordering::SeqCst);
                    mine.push((key, Done { begin, end, action }));
                }
                mine
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(work(thread))).collect();
        for (key, done) in threads.into_iter().flat_map(|thread| thread.join().unwrap()) {
            histories.entry(key).or_default().push(done);
        }
    });
    histories.into_values().collect()
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap())
}

fn act(
    store: &Vde,
    key: &[u8],
    new: u64,
    last: &mut Value,
    rng: &mut Rng,
    get: &impl Fn(&Vde, &[u8]) -> Value,
) -> Action {
    match rng.u8(..8) {
        0..=1 => {
            store.put(key, new.to_le_bytes()).unwrap();
            Action::Put(new)
        }
        2 => Action::Delete(store.delete(key).unwrap()),
        3 => {
            let old = store.update(key, |_| Some(new.to_le_bytes().to_vec())).unwrap();
            Action::Update(old.as_deref().map(number), new)
        }
        4 => {
            let expected = last.map(u64::to_le_bytes);
            let expected = expected.as_ref().map(<[u8; 8]>::as_slice);
            let swapped = store.compare_and_swap(key, expected, Some(&new.to_le_bytes())).unwrap();
            Action::Swap(*last, new, swapped)
        }
        _ => {
            *last = get(store, key);
            Action::Get(*last)
        }
    }
}

fn read(store: &Vde, key: &[u8]) -> Value {
    store.get(key).unwrap().as_deref().map(number)
}

fn options() -> VdeOptions {
    VdeOptions::new().segment_size(1 << 18).checkpoint_bytes(1 << 17)
}

fn store() -> Vde {
    options().in_memory().unwrap()
}

#[test]
fn every_history_has_an_explanation() {
    let operations = std::env::var("VDE_LINEARIZABLE").map_or(250_000, |n| n.parse().unwrap());
    for seed in 0..4 {
        let store = store();
        for history in histories(&store, seed, operations, read) {
            check(history).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        }
        assert!(store.stats().unwrap().checkpoints > 0, "there were checkpoints between the operations");
    }
}

#[test]
fn stale_reads_are_caught() {
    // A negative control: reads from a view that is rarely renewed.
    let store = store();
    let view = Mutex::new((store.read_view(), 0));
    let stale = |store: &Vde, key: &[u8]| {
        let mut view = view.lock();
        view.1 += 1;
        if view.1 % 8 == 0 {
            view.0 = store.read_view();
        }
        view.0.get(key).unwrap().as_deref().map(number)
    };
    let broken = histories(&store, 1, 2000, stale).into_iter().filter_map(|history| check(history).err());
    assert!(broken.count() > 0);
}

#[test]
fn updates_published_out_of_order_are_caught() {
    let caught = (0..20).any(|seed| {
        let store = options().plant(Bug::PublishOutOfOrder).in_memory().unwrap();
        histories(&store, seed, 20_000, read).into_iter().any(|history| check(history).is_err())
    });
    assert!(caught);
}

#[test]
fn the_checker_accepts_only_linearizable_histories() {
    let op = |begin, end, action| Done { begin, end, action };
    let write = op(1, 4, Action::Put(7));
    assert!(check(vec![write, op(2, 3, Action::Get(None)), op(5, 6, Action::Get(Some(7)))]).is_ok());
    assert!(check(vec![write, op(2, 3, Action::Get(Some(7))), op(5, 6, Action::Get(None))]).is_err());
    assert!(check(vec![write, op(5, 6, Action::Swap(None, 8, true))]).is_err());
}
