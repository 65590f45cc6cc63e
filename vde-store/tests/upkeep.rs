//! Maintenance operations do not block other operations, and do not wait for them.

use std::io;
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};
use vde_store::testing::SimDisk;
use vde_store::{Device, Durability, Health, VdeOptions};

fn options() -> VdeOptions {
    VdeOptions::new().background(false).segment_size(1 << 18)
}

#[test]
fn while_a_store_is_verified_other_operations_continue() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.vde");
    let store = options().open(&path).unwrap().with_durability(Durability::Buffered);
    let overwrite = |round: u8| {
        for key in 0..5000u32 {
            store.put(key.to_be_bytes(), vec![round; 300]).unwrap();
        }
        store.put("large", vec![round; 300_000]).unwrap();
    };
    overwrite(0);
    store.snapshot("s").unwrap();
    overwrite(1);
    store.checkpoint().unwrap();
    overwrite(2);
    let mut rounds = 2;
    // Each round frees data that `verify` still has to read, and the next round would overwrite it.
    let report = store.verify(|_| {
        rounds += 1;
        overwrite(rounds);
        store.checkpoint().unwrap();
        store.compact().unwrap();
        if rounds == 4 {
            store.delete_snapshot("s").unwrap();
        }
        assert_eq!(store.health().unwrap(), Health::Healthy);
    });
    let report = report.unwrap();
    assert!(report.is_clean(), "{:?}", report.problems);
    assert_eq!(report.keys, 2 * 5001, "the keys of the index and of the snapshot");
    assert!(rounds > 6, "{rounds} rounds");
    assert!(store.verify(|_| {}).unwrap().is_clean());
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    Closed,
    /// A thread waits at the gate.
    Waiting,
}

/// A disk whose syncs wait while a gate is closed.
struct Gated {
    disk: Arc<dyn Device>,
    gate: Mutex<Gate>,
    moved: Condvar,
}

impl Gated {
    fn set(&self, gate: Gate) {
        *self.gate.lock() = gate;
        self.moved.notify_all();
    }

    fn wait_until(&self, wanted: impl Fn(Gate) -> bool) {
        self.moved.wait_while(&mut self.gate.lock(), |gate| !wanted(*gate));
    }
}

impl Device for Gated {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk.read_at(buf, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.disk.write_at(data, offset)
    }

    fn sync(&self) -> io::Result<()> {
        if *self.gate.lock() == Gate::Closed {
            self.set(Gate::Waiting);
        }
        self.wait_until(|gate| gate == Gate::Open);
        self.disk.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.set_len(len)
    }
}

#[test]
fn stats_and_health_do_not_wait_for_a_checkpoint() {
    let disk = SimDisk::new().device();
    let device = Arc::new(Gated { disk, gate: Mutex::new(Gate::Open), moved: Condvar::new() });
    let store = options().open_device(device.clone()).unwrap();
    store.put("k", "v").unwrap();
    store.checkpoint().unwrap();
    store.put("l", "v").unwrap();
    thread::scope(|scope| {
        device.set(Gate::Closed);
        let checkpoint = scope.spawn(|| store.checkpoint());
        device.wait_until(|gate| gate == Gate::Waiting);
        let stats = store.stats().unwrap();
        assert_eq!((stats.keys, stats.checkpoints), (1, 1), "the statistics of the previous checkpoint");
        assert_eq!(store.health().unwrap(), Health::Healthy);
        device.set(Gate::Open);
        checkpoint.join().unwrap().unwrap();
    });
    assert_eq!((store.stats().unwrap().keys, store.stats().unwrap().checkpoints), (2, 2));
}
