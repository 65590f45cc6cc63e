//! A container takes only a little more space than its live data, whatever was written earlier.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use vde_store::{Durability, Vde, VdeOptions};

use crate::{Contents, busy, bytes, contents, place};

const SEGMENT: u64 = 1 << 18;
const CHECKPOINT: u64 = 200 << 10;

fn len_of(path: &Path) -> u64 {
    path.metadata().unwrap().len()
}

/// How many bytes a file takes on its file system.
fn allocated(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    path.metadata().unwrap().blocks() * 512
}

/// Waits for the store's background work. No passing test reaches the time limit.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_mins(2), "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The largest length of the container during `work`, and its length after closing.
fn longest(options: VdeOptions, work: impl Fn(&Vde, u32)) -> (u64, u64) {
    let (_dir, path) = place();
    let store = options.open(&path).unwrap().with_durability(Durability::Buffered);
    let mut longest = 0;
    for i in 0..300 {
        work(&store, i);
        longest = longest.max(len_of(&path));
    }
    drop(store);
    (longest, len_of(&path))
}

/// The largest length of the container. The backlog takes up to three times the threshold of a checkpoint, because
/// then writers wait, and the running checkpoint may take one more threshold. The rest is for the segments of the log
/// and two preallocated segments.
const BOUND: u64 = 4 * CHECKPOINT + 14 * SEGMENT;

#[test]
fn the_space_of_dead_values_is_reused_before_much_accumulates() {
    type Work = fn(&Vde, u32);
    let works: [(&str, Work); 5] = [
        ("overwriting a large value", |store, i| _ = store.put("key", vec![i as u8; 100_000]).unwrap()),
        ("putting and deleting large values", |store, i| {
            store.put(i.to_be_bytes(), vec![i as u8; 70_000]).unwrap();
            store.delete(i.to_be_bytes()).unwrap();
        }),
        ("batches that put a large value and delete the previous one", |store, i| {
            let mut batch = store.batch();
            batch.put(i.to_be_bytes(), vec![i as u8; 70_000]);
            batch.delete(i.wrapping_sub(1).to_be_bytes());
            batch.commit().unwrap();
        }),
        ("updating a large value", |store, i| {
            store.update("key", |_| Some(vec![i as u8; 90_000])).unwrap();
        }),
        ("overwriting values in the log", |store, i| {
            store.put((i % 2).to_be_bytes(), vec![i as u8; 60_000]).unwrap();
        }),
    ];
    for (what, work) in works {
        let (longest_of, closed) = longest(busy(), work);
        assert!(longest_of <= BOUND, "{what}: {longest_of} bytes");
        // With only four free segments, the container is not packed.
        assert!(closed <= 7 * SEGMENT, "{what}: {closed} bytes when closed");
        // Without a checkpoint thread, the same work takes so much space that this test would notice.
        let (never, _) = longest(busy().background(false), work);
        assert!(never > 2 * BOUND, "{what}: {never} bytes without checkpoints");
    }
}

#[test]
fn small_changes_that_replace_large_values_lead_to_checkpoints() {
    type Change = fn(&Vde, u32);
    let changes: [(&str, Change); 4] = [
        ("deleted", |store, i| assert!(store.delete(i.to_be_bytes()).unwrap())),
        ("deleted in batches", |store, i| {
            let mut batch = store.batch();
            batch.delete(i.to_be_bytes());
            batch.commit().unwrap();
        }),
        ("overwritten by small ones", |store, i| _ = store.put(i.to_be_bytes(), "small").unwrap()),
        ("swapped for small ones", |store, i| {
            store.update(i.to_be_bytes(), |_| Some(b"small".to_vec())).unwrap();
        }),
    ];
    for (what, change) in changes {
        let (_dir, path) = place();
        let store = busy().open(&path).unwrap().with_durability(Durability::Buffered);
        for i in 0..60u32 {
            store.put(i.to_be_bytes(), vec![7; 100_000]).unwrap();
        }
        store.checkpoint().unwrap();
        let before = store.stats().unwrap().checkpoints;
        for i in 0..40 {
            change(&store, i);
        }
        // 4 MB are dead, which is 20 times the threshold. The changes themselves take only 1 % of that.
        wait_until(what, || store.stats().unwrap().checkpoints > before);
    }
}

#[test]
fn one_deleted_range_of_large_values_or_of_many_leads_to_a_checkpoint() {
    for (what, count, len, limit) in
        [("large values", 60, 100_000, 200 << 10), ("many values", 17_000, 10, 16 << 20)]
    {
        let (_dir, path) = place();
        let options = VdeOptions::new().segment_size(1 << 18).checkpoint_bytes(limit);
        let store = options.open(&path).unwrap().with_durability(Durability::Buffered);
        for i in 0..count {
            store.put(u32::to_be_bytes(i), vec![7; len]).unwrap();
        }
        store.checkpoint().unwrap();
        let before = store.stats().unwrap().checkpoints;
        store.delete_range(5u32.to_be_bytes()..(count - 5).to_be_bytes()).unwrap();
        wait_until(what, || store.stats().unwrap().checkpoints > before);
        assert_eq!(store.list("").count(), 10, "{what}");
    }
}

#[test]
fn compacting_returns_dead_space_and_then_changes_nothing() {
    for seed in 0..6 {
        let (_dir, path) = place();
        let options = || VdeOptions::new().segment_size(1 << 18).background(seed % 2 == 0);
        let store = options().open(&path).unwrap().with_durability(Durability::Buffered);
        let mut rng = Rng::with_seed(seed);
        let mut model = Contents::new();
        for i in 0..120u32 {
            let len = if rng.u8(..4) == 0 { rng.usize(..5000) } else { rng.usize(66_000..400_000) };
            let value = bytes(&mut rng, len);
            store.put(i.to_be_bytes(), &value).unwrap();
            model.insert(i.to_be_bytes().to_vec(), value);
        }
        store.checkpoint().unwrap();
        for i in (0..120u32).filter(|_| rng.u8(..4) != 0) {
            store.delete(i.to_be_bytes()).unwrap();
            model.remove(&i.to_be_bytes()[..]);
        }
        let live: usize = model.values().map(Vec::len).sum();
        store.checkpoint().unwrap();
        let reclaimable = store.stats().unwrap().reclaimable_bytes;
        let mut sizes = vec![(len_of(&path), allocated(&path))];
        for _ in 0..4 {
            let given = store.compact().unwrap();
            let (before, after) = (sizes[sizes.len() - 1].1, allocated(&path));
            assert_eq!(given, before.saturating_sub(after));
            sizes.push((len_of(&path), after));
        }
        let place = format!("{live} bytes are live; length and allocation: {sizes:?}");
        assert!(
            sizes.is_sorted_by(|a, b| b.0 <= a.0),
            "compacting never makes the container longer: {place}"
        );
        assert_eq!(sizes[2].0, sizes[4].0, "repeated compacting changes nothing: {place}");
        // Room for partly used pages, the live values in the log, the log segment that is being written, and one more
        // segment.
        assert!(sizes[1].0 <= live as u64 + live as u64 / 8 + 4 * SEGMENT, "{place}");
        assert!(sizes[1].1 <= sizes[1].0 + 64 * 1024, "{place}");
        let given = sizes[0].1 - sizes[1].1;
        assert!(
            (given..given + 6 * SEGMENT).contains(&reclaimable),
            "`reclaimable_bytes` was {reclaimable}: {place}"
        );
        assert_eq!(contents(&store.read_view()), model);
        assert!(store.verify(|_| {}).unwrap().is_clean());
        drop(store);
        let store = options().open(&path).unwrap();
        assert_eq!(contents(&store.read_view()), model);
        assert!(store.verify(|_| {}).unwrap().is_clean());
    }
}

#[test]
fn a_segment_with_one_page_does_not_count_as_full() {
    let (_dir, path) = place();
    let store = busy().background(false).open(&path).unwrap();
    // Each segment has one value. Then only a small part of each is live.
    for i in 0..40u32 {
        store.put(i.to_be_bytes(), vec![i as u8; 180_000]).unwrap();
        store.put((1000 + i).to_be_bytes(), vec![i as u8; 66_000]).unwrap();
    }
    store.checkpoint().unwrap();
    for i in 0..40u32 {
        store.delete(i.to_be_bytes()).unwrap();
    }
    store.checkpoint().unwrap();
    let stats = store.stats().unwrap();
    assert!(stats.free_bytes > 6_000_000, "{stats:?}");
    store.compact().unwrap();
    // Three of them fit a segment.
    let least = 40u64.div_ceil(3) * SEGMENT;
    assert!(len_of(&path) <= least + 2 * SEGMENT, "{} bytes for {least}", len_of(&path));
    for i in 0..40u32 {
        assert_eq!(store.get((1000 + i).to_be_bytes()).unwrap().unwrap(), vec![i as u8; 66_000]);
    }
}

#[test]
fn the_space_of_a_dropped_view_is_returned_without_a_call() {
    for large in [false, true] {
        let (_dir, path) = place();
        let store = busy().open(&path).unwrap().with_durability(Durability::Buffered);
        let mut rng = Rng::with_seed(3);
        let len = if large { 70_000 } else { 2000 };
        let mut overwrite = || {
            for key in 0..200_000 / len as u32 {
                store.put(key.to_be_bytes(), bytes(&mut rng, len)).unwrap();
            }
        };
        overwrite();
        store.checkpoint().unwrap();
        let view = store.read_view();
        let seen = contents(&view);
        for _ in 0..60 {
            overwrite();
        }
        store.checkpoint().unwrap();
        assert_eq!(contents(&view), seen);
        let held = len_of(&path);
        assert!(held > 9_000_000, "{held} bytes");
        drop(view);
        // There are no writes, and no calls of `compact`.
        wait_until("free space is returned to the file system", || len_of(&path) <= 10 * SEGMENT);
        assert_eq!(store.list("").count(), seen.len());
        assert!(store.verify(|_| {}).unwrap().is_clean());
    }
}

#[test]
fn closing_a_mostly_dead_store_returns_its_space() {
    let (_dir, path) = place();
    // No checkpoint is made before the store is closed.
    let store = VdeOptions::new().segment_size(1 << 18).open(&path).unwrap();
    for i in 0..80u32 {
        store.put(i.to_be_bytes(), vec![i as u8; 100_000]).unwrap();
    }
    for i in 0..79u32 {
        store.delete(i.to_be_bytes()).unwrap();
    }
    drop(store);
    assert!(len_of(&path) <= 4 * SEGMENT, "{} bytes", len_of(&path));
    let store = Vde::open(&path).unwrap();
    assert_eq!(store.get(79u32.to_be_bytes()).unwrap().unwrap(), vec![79; 100_000]);
    assert!(store.verify(|_| {}).unwrap().is_clean());
}
