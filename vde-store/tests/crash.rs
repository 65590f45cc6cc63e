//! Power cuts at every write and sync of a seeded workload of several threads. After each, the store is opened on
//! what is left and compared with a model: every acknowledged write is there, batches are whole or absent, each
//! thread's writes are there up to some point and not beyond, and `verify` finds nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use fastrand::Rng;
use vde_store::testing::SimDisk;
use vde_store::{Durability, Vde, VdeOptions};

const THREADS: usize = 3;
const KEYS: usize = 12;

type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

/// What one thread did. Its keys are its own, so that after a crash it must find its own past, up to some point.
#[derive(Default)]
struct History {
    /// Its keys' contents after each of its writes; the last one may not be acknowledged yet.
    states: Vec<Contents>,
    /// How many of its writes were acknowledged as durable.
    acknowledged: usize,
}

/// Opens the store on what a power cut left, and compares.
fn check(
    options: &VdeOptions,
    disk: &SimDisk,
    histories: &[Mutex<History>],
    seed: u64,
) -> Result<(), String> {
    let store = options.clone().open_device(disk.device()).map_err(|e| format!("seed {seed}: open: {e}"))?;
    for (thread, history) in histories.iter().enumerate() {
        let history = history.lock().unwrap();
        let prefix = [b't', thread as u8];
        let found: Contents = store
            .list(prefix)
            .map(|entry| {
                let entry = entry.map_err(|e| format!("seed {seed}: list: {e}"))?;
                let value = entry.value().map_err(|e| format!("seed {seed}: value: {e}"))?.to_vec();
                Ok::<_, String>((entry.into_key().into_vec(), value))
            })
            .collect::<Result<_, _>>()?;
        if !history.states[history.acknowledged..].contains(&found) {
            let earlier = history.states.iter().position(|state| *state == found);
            return Err(format!(
                "seed {seed}, thread {thread}: {} writes acknowledged, {} begun; found the state after {earlier:?}",
                history.acknowledged,
                history.states.len() - 1,
            ));
        }
    }
    Ok(())
}

/// One thread's share of the workload.
fn work(store: &Vde, thread: usize, seed: u64, steps: usize, history: &Mutex<History>) {
    let mut rng = Rng::with_seed(seed ^ (thread as u64) << 32);
    let buffered = store.with_durability(Durability::Buffered);
    let key = |rng: &mut Rng| vec![b't', thread as u8, rng.u8(..KEYS as u8)];
    for step in 0..steps {
        let mut state = history.lock().unwrap().states.last().unwrap().clone();
        let mut relaxed = rng.u8(..4) == 0;
        let store = if relaxed { &buffered } else { store };
        let value = |rng: &mut Rng| {
            let len = if rng.u8(..8) == 0 { rng.usize(..20_000) } else { rng.usize(..300) };
            let mut value = vec![rng.u8(..); len];
            value.extend_from_slice(&step.to_le_bytes());
            value
        };
        let begin = |state| history.lock().unwrap().states.push(state);
        let done = match rng.u8(..10) {
            0..=4 => {
                let (key, value) = (key(&mut rng), value(&mut rng));
                state.insert(key.clone(), value.clone());
                begin(state);
                store.put(key, value)
            }
            5 => {
                let key = key(&mut rng);
                // Nothing to delete: nothing is logged, so nothing that was buffered before becomes durable.
                relaxed |= state.remove(&key).is_none();
                begin(state);
                store.delete(key).map(drop)
            }
            6..=7 => {
                let mut batch = store.batch();
                for _ in 0..rng.usize(2..6) {
                    let key = key(&mut rng);
                    if rng.u8(..3) == 0 {
                        state.remove(&key);
                        batch.delete(key);
                    } else {
                        let value = value(&mut rng);
                        state.insert(key.clone(), value.clone());
                        batch.put(key, value);
                    }
                }
                begin(state);
                batch.commit()
            }
            _ => {
                let (key, value) = (key(&mut rng), value(&mut rng));
                state.insert(key.clone(), value.clone());
                begin(state);
                store.update(key, |_| Some(value)).map(drop)
            }
        };
        done.unwrap();
        if !relaxed {
            let mut history = history.lock().unwrap();
            history.acknowledged = history.states.len() - 1;
        }
    }
}

/// Runs the workload of `seed`, cutting the power before every operation; returns how often, or what was lost.
fn crashes(seed: u64, steps: usize, images: u64) -> Result<u64, String> {
    let options = VdeOptions::new().background(false).segment_size(1 << 18);
    let disk = SimDisk::new();
    let store = options.clone().open_device(disk.device()).unwrap();
    let histories: Arc<Vec<Mutex<History>>> = Arc::new(
        (0..THREADS)
            .map(|_| Mutex::new(History { states: vec![Contents::new()], acknowledged: 0 }))
            .collect(),
    );
    let cuts = Arc::new(AtomicU64::new(0));
    let failure = Arc::new(Mutex::new(None));
    {
        let (options, histories, cuts, failure) = (options, histories.clone(), cuts.clone(), failure.clone());
        disk.before_each_operation(move |cut| {
            for image in 0..images {
                let left = cut.image(seed ^ cut.number() << 8 ^ image << 56);
                cuts.fetch_add(1, Ordering::Relaxed);
                if let Err(lost) = check(&options, &left, &histories, seed) {
                    failure.lock().unwrap().get_or_insert(format!("operation {}: {lost}", cut.number()));
                }
            }
        });
    }
    thread::scope(|scope| {
        for (thread, history) in histories.iter().enumerate() {
            let store = &store;
            scope.spawn(move || work(store, thread, seed, steps, history));
        }
    });
    match failure.lock().unwrap().take() {
        Some(lost) => Err(lost),
        None => Ok(cuts.load(Ordering::Relaxed)),
    }
}

#[test]
fn no_power_cut_loses_what_was_acknowledged() {
    let cuts: u64 = (0..40).map(|seed| crashes(seed, 60, 4).unwrap()).sum();
    assert!(cuts > 1000, "{cuts} power cuts");
    println!("{cuts}");
}
