//! A full disk: no data is lost, the store does not turn read-only, space can be freed, and then writes continue.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use vde_store::testing::{Bug, SimDisk};
use vde_store::{Device, Durability, Error, Health, Vde, VdeOptions};

const BLOCK: u64 = 4096;
const SEGMENT: u64 = 1 << 20;

/// More blocks than any of these tests writes.
const PLENTY: usize = 1 << 20;

/// A disk with a limited number of blocks. A block is allocated when it is first written, and freed when a hole is
/// punched or the disk is shortened.
struct Limited {
    disk: Arc<dyn Device>,
    taken: Mutex<HashSet<u64>>,
    capacity: Mutex<usize>,
}

impl Limited {
    fn new(capacity: usize) -> Arc<Self> {
        let disk = SimDisk::new().device();
        Arc::new(Self { disk, taken: Mutex::default(), capacity: Mutex::new(capacity) })
    }

    /// Limits the disk to the blocks that are allocated now, plus `more`.
    fn fill(&self, more: usize) {
        let taken = self.taken.lock().len();
        *self.capacity.lock() = taken + more;
    }

    fn empty(&self) {
        *self.capacity.lock() = PLENTY;
    }
}

impl Device for Limited {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk.read_at(buf, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let mut taken = self.taken.lock();
        for block in offset / BLOCK..(offset + data.len() as u64).div_ceil(BLOCK) {
            if !taken.contains(&block) {
                if taken.len() >= *self.capacity.lock() {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                taken.insert(block);
            }
        }
        drop(taken);
        self.disk.write_at(data, offset)
    }

    fn available(&self) -> Option<u64> {
        Some((*self.capacity.lock()).saturating_sub(self.taken.lock().len()) as u64 * BLOCK)
    }

    fn prepare(&self, offset: u64, len: u64) -> io::Result<bool> {
        let before = self.disk.len()?;
        let mut has_written = false;
        for at in (offset..offset + len).step_by(BLOCK as usize) {
            if self.taken.lock().contains(&(at / BLOCK)) {
                continue;
            }
            if let Err(error) = self.write_at(&[0; BLOCK as usize], at) {
                self.set_len(before)?;
                return Err(error);
            }
            has_written = true;
        }
        Ok(has_written)
    }

    fn discard(&self, offset: u64, len: u64) -> io::Result<()> {
        self.disk.discard(offset, len)?;
        self.taken.lock().retain(|block| !(offset..offset + len).contains(&(block * BLOCK)));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.set_len(len)?;
        self.taken.lock().retain(|block| block * BLOCK < len);
        Ok(())
    }
}

type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

fn contents(store: &Vde) -> Contents {
    let entry = |entry: vde_store::Result<vde_store::Entry>| {
        let entry = entry.unwrap();
        (entry.key().to_vec(), entry.value().unwrap().to_vec())
    };
    store.list("").map(entry).collect()
}

fn options(background: bool) -> VdeOptions {
    VdeOptions::new().background(background).segment_size(1 << 18).checkpoint_bytes(200 << 10)
}

/// Puts until the disk is full. Returns the acknowledged contents.
fn put_until_full(store: &Vde, len: usize) -> Contents {
    let mut acknowledged = Contents::new();
    for i in 0..u32::MAX {
        let (key, value) = (i.to_be_bytes().to_vec(), vec![i as u8; len]);
        match store.put(&key, &value) {
            Ok(_) => acknowledged.insert(key, value),
            Err(Error::Full { .. }) => break,
            Err(error) => panic!("put {i} of {len} bytes: {error}"),
        };
    }
    acknowledged
}

fn agrees(found: &Contents, acknowledged: &Contents) {
    for (key, value) in acknowledged {
        assert_eq!(found.get(key), Some(value));
    }
}

#[test]
fn after_a_full_disk_gets_space_writes_continue() {
    for background in [true, false] {
        // Thousands of small values fit into preallocated space, and each waits for a sync of its own.
        for (len, all_free) in [
            (200, &[0, 40][..]),
            (2000, &[0, 150]),
            (60_000, &[0, 40, 150, 500]),
            (70_000, &[0, 40, 150, 500]),
            (300_000, &[0, 150, 500]),
        ] {
            for &free in all_free {
                let place = format!("values of {len} bytes, {free} blocks free, background: {background}");
                let device = Limited::new(PLENTY);
                let store = options(background).open_device(device.clone()).unwrap();
                store.put("first", "value").unwrap();
                device.fill(free);
                let mut model = put_until_full(&store, len);
                model.insert(b"first".to_vec(), b"value".to_vec());
                agrees(&contents(&store), &model);
                device.empty();
                store.try_resume().unwrap_or_else(|e| panic!("{place}: {e}"));
                for (key, value) in [("a", 10), ("b", 1000), ("c", 70_000)] {
                    store.put(key, vec![7; value]).unwrap_or_else(|e| panic!("{place}: {e}"));
                    model.insert(key.into(), vec![7; value]);
                }
                store.checkpoint().unwrap();
                assert_eq!(store.health().unwrap(), Health::Healthy, "{place}");
                agrees(&contents(&store), &model);
                assert!(store.verify(|_| {}).unwrap().is_clean(), "{place}");
                drop(store);
                let store = options(background).open_device(device).unwrap();
                agrees(&contents(&store), &model);
            }
        }
    }
}

#[test]
fn records_logged_on_a_full_disk_are_written_once_there_is_space() {
    let device = Limited::new(PLENTY);
    let store = options(false).open_device(device.clone()).unwrap();
    store.put("first", "value").unwrap();
    device.fill(0);
    let (_, mut changes) = store.watch().unwrap();
    let buffered = store.with_durability(Durability::Buffered);
    let model: Contents = (0..20u8).map(|i| (vec![i], vec![i; 60_000])).collect();
    for (key, value) in &model {
        buffered.put(key, value).unwrap();
    }
    assert!(matches!(store.flush(), Err(Error::Full { .. })));
    assert!(matches!(store.put("k", "v"), Err(Error::Full { .. })));
    assert!(matches!(store.try_resume(), Err(Error::Full { .. })), "the disk is still full");
    agrees(&contents(&store), &model);
    device.empty();
    store.try_resume().unwrap();
    let received = std::iter::from_fn(|| changes.try_next().unwrap());
    assert!(
        received.map(|change| change.key.to_vec()).eq(model.keys().cloned()),
        "watchers receive the changes"
    );
    store.put("k", "v").unwrap();
    drop((buffered, store));
    agrees(&contents(&options(false).open_device(device).unwrap()), &model);
}

#[test]
fn a_checkpoint_for_which_there_is_no_space_is_finished_later() {
    let mut outcomes = [0; 2];
    for free in [0, 1, 2, 5, 20, 60, 200] {
        let device = Limited::new(PLENTY);
        let store = options(false).open_device(device.clone()).unwrap();
        let put = |round: u8| {
            for key in 0..300u32 {
                store.put(key.to_be_bytes(), vec![round; 200]).unwrap();
            }
            store.put("large", vec![round; 100_000]).unwrap();
        };
        put(0);
        store.checkpoint().unwrap();
        put(1);
        // The log needs no more blocks from here on.
        device.fill(free);
        let first = store.checkpoint();
        outcomes[usize::from(first.is_ok())] += 1;
        if let Err(error) = &first {
            assert!(matches!(error, Error::Full { .. }), "{free}: {error}");
            assert!(store.checkpoint().is_err(), "{free}");
        }
        assert_eq!(store.get(7u32.to_be_bytes()).unwrap().unwrap(), vec![1; 200]);
        assert!(store.verify(|_| {}).unwrap().is_clean());
        device.empty();
        store.try_resume().unwrap();
        put(2);
        store.snapshot("s").unwrap();
        put(3);
        store.checkpoint().unwrap();
        for (store, round) in [(&store.read_view(), 3), (&store.open_snapshot("s").unwrap(), 2)] {
            assert_eq!(store.get(7u32.to_be_bytes()).unwrap().unwrap(), vec![round; 200]);
            assert_eq!(store.get("large").unwrap().unwrap(), vec![round; 100_000]);
        }
        assert!(store.verify(|_| {}).unwrap().is_clean());
        drop(store);
        let store = options(false).open_device(device).unwrap();
        assert_eq!(store.list("").count(), 301);
        // The failed attempts kept no space.
        let stats = store.stats().unwrap();
        assert!(stats.page_bytes < 400_000, "{free}: {stats:?}");
    }
    assert!(outcomes.iter().all(|count| *count > 0), "failed and successful checkpoints: {outcomes:?}");
}

#[test]
fn deletions_and_a_checkpoint_use_the_reserved_space() {
    for reopened in [false, true] {
        let device = Limited::new(PLENTY);
        let store = options(true).open_device(device.clone()).unwrap();
        for i in 0..40u32 {
            store.put(i.to_be_bytes(), vec![1; 200]).unwrap();
        }
        drop(store);
        if reopened {
            device.fill(0);
        }
        let store = options(true).open_device(device.clone()).unwrap();
        device.fill(0);
        for i in 0..40u32 {
            assert!(store.delete(i.to_be_bytes()).unwrap(), "{i}, reopened on the full disk: {reopened}");
        }
        store.checkpoint().unwrap();
        assert_eq!(contents(&store), Contents::new());
        drop(store);
        let store = options(true).open_device(device).unwrap();
        assert_eq!(contents(&store), Contents::new());
        assert!(store.verify(|_| {}).unwrap().is_clean());
    }
}

fn opened(bug: Option<Bug>, background: bool, device: &Arc<Limited>) -> vde_store::Result<Vde> {
    let options = bug.map_or_else(|| options(background), |bug| options(background).plant(bug));
    options.open_device(device.clone())
}

/// Closes a store, fills the disk, and opens the store again. `with_hole`: whether the container has a hole in place
/// of a deleted large value. Then deletes keys in several leaves, and makes a checkpoint, which writes these leaves,
/// the root and the catalog.
fn delete_on_a_full_disk(bug: Option<Bug>, with_hole: bool) -> vde_store::Result<()> {
    let device = Limited::new(PLENTY);
    let store = opened(bug, false, &device)?;
    if with_hole {
        store.put("large", vec![1; 120_000])?;
    }
    for i in 0..100u32 {
        store.put(i.to_be_bytes(), vec![1; 200])?;
    }
    store.checkpoint()?;
    store.delete("large")?;
    store.checkpoint()?;
    drop(store);
    device.fill(0);
    let store = opened(bug, false, &device)?;
    for i in [0u32, 30, 60, 90] {
        assert!(store.delete(i.to_be_bytes())?);
    }
    store.checkpoint()?;
    drop(store);
    let store = opened(bug, false, &device)?;
    assert_eq!(store.list("").count(), 96);
    assert!(store.verify(|_| {})?.is_clean());
    Ok(())
}

#[test]
fn a_closed_container_keeps_space_for_a_checkpoint_on_a_full_disk() {
    for with_hole in [false, true] {
        delete_on_a_full_disk(None, with_hole).unwrap();
    }
}

#[test]
fn the_bug_nothing_kept_is_found() {
    let failed = delete_on_a_full_disk(Some(Bug::NothingKept), false);
    assert!(matches!(failed, Err(Error::Full { .. })), "{failed:?}");
}

#[test]
fn the_bug_holes_taken_is_found() {
    let failed = delete_on_a_full_disk(Some(Bug::HolesTaken), true);
    assert!(matches!(failed, Err(Error::Full { .. })), "{failed:?}");
}

/// Puts values of `len` bytes until the disk is full. Then deletes keys and makes a checkpoint.
fn delete_after_puts(bug: Option<Bug>, len: usize) -> vde_store::Result<()> {
    let device = Limited::new(PLENTY);
    let store = opened(bug, true, &device)?;
    for i in 0..40u32 {
        store.put(format!("first {i}"), "value")?;
    }
    device.fill(0);
    let put = put_until_full(&store, len);
    for i in 0..40u32 {
        assert!(store.delete(format!("first {i}"))?);
    }
    // With so many small changes, the index may need more than the reserve.
    match store.checkpoint() {
        Err(Error::Full { .. }) if len < 1000 => {}
        made => made?,
    }
    assert_eq!(contents(&store), put);
    device.empty();
    store.try_resume()?;
    store.checkpoint()?;
    drop(store);
    assert_eq!(contents(&opened(bug, true, &device)?), put);
    Ok(())
}

#[test]
fn deletions_have_reserved_space_whatever_filled_the_disk() {
    for len in [100, 1000, 20_000, 60_000, 65_000, 70_000] {
        delete_after_puts(None, len).unwrap_or_else(|e| panic!("values of {len} bytes: {e}"));
    }
}

#[test]
fn the_bug_nothing_for_deletions_is_found() {
    let failed = delete_after_puts(Some(Bug::NothingForDeletions), 1000);
    assert!(matches!(failed, Err(Error::Full { .. })), "{failed:?}");
}

#[test]
fn puts_use_preallocated_segments_before_they_fail() {
    let device = Limited::new(PLENTY);
    let options = VdeOptions::new().segment_size(SEGMENT as u32).checkpoint_bytes(16 << 20);
    let store = options.open_device(device.clone()).unwrap();
    store.put("first", "value").unwrap();
    device.fill(0);
    let acknowledged = put_until_full(&store, 1000);
    assert!(acknowledged.len() as u64 * 1000 > SEGMENT / 2, "{} values", acknowledged.len());
    for key in acknowledged.keys().take(500) {
        assert!(store.delete(key).unwrap());
    }
}
