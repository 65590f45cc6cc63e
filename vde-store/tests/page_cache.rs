//! The system's page cache keeps recent writes, but not all of a very long value.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use vde_store::{Device, Durability, MemoryDevice, UserMetadata, Vde, VdeOptions};

/// Counts the bytes of writes, by the method that writes them.
#[derive(Default)]
struct Counting {
    memory: MemoryDevice,
    cached: AtomicU64,
    past_the_cache: AtomicU64,
    /// The longest single write.
    longest: AtomicU64,
}

impl Device for Counting {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.memory.read_at(buf, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.longest.fetch_max(data.len() as u64, Relaxed);
        self.memory.write_at(data, offset)
    }

    fn write_bulk(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.past_the_cache.fetch_add(data.len() as u64, Relaxed);
        self.write_at(data, offset)
    }

    fn write_cached(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.cached.fetch_add(data.len() as u64, Relaxed);
        self.write_at(data, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.memory.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.memory.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.memory.set_len(len)
    }
}

fn store() -> (Arc<Counting>, Vde) {
    let device: Arc<Counting> = Arc::default();
    let options = VdeOptions::new().background(false).durability(Durability::Buffered);
    (device.clone(), options.open_device(device).unwrap())
}

#[test]
fn records_large_values_and_index_pages_are_cached() {
    let (device, store) = store();
    for key in 0..4000_u32 {
        store.put(key.to_be_bytes(), [7; 1000]).unwrap();
    }
    store.put("large", vec![7; 1 << 20]).unwrap();
    store.flush().unwrap();
    assert!(device.cached.load(Relaxed) > 5_000_000, "records and a large value are cached");
    let before = device.cached.load(Relaxed);
    store.checkpoint().unwrap();
    assert!(device.cached.load(Relaxed) > before, "index pages are cached");
    assert_eq!(device.past_the_cache.load(Relaxed), 0);
}

#[test]
fn only_the_start_of_a_very_long_value_is_cached() {
    const KEPT: u64 = 16 << 20;
    let (device, store) = store();
    let len = 3 * KEPT;
    store.put_with("long", io::repeat(7).take(len), &UserMetadata::new()).unwrap();
    let (cached, past) = (device.cached.load(Relaxed), device.past_the_cache.load(Relaxed));
    assert!((KEPT..KEPT + (2 << 20)).contains(&cached), "{cached} bytes");
    assert!(cached + past >= len, "{past} bytes");
}

#[test]
fn the_log_is_written_in_pieces_of_one_mebibyte() {
    let (device, store) = store();
    device.longest.store(0, Relaxed);
    for key in 0..5000_u32 {
        store.put(key.to_be_bytes(), [7; 1000]).unwrap();
    }
    let mut batch = store.batch();
    for key in 0..3000_u32 {
        batch.put(key.to_be_bytes(), [8; 1000]);
    }
    batch.commit().unwrap();
    store.flush().unwrap();
    let longest = device.longest.load(Relaxed);
    assert!((500_000..(1 << 20) + 8192).contains(&longest), "{longest} bytes");
    assert!((0..3000_u32).all(|key| store.get(key.to_be_bytes()).unwrap().unwrap() == [8; 1000]));
}

/// The bytes that this thread has made the system read from disks.
#[cfg(target_os = "linux")]
fn bytes_read() -> u64 {
    let counts = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    let count = counts.lines().find_map(|line| line.strip_prefix("read_bytes: "));
    count.unwrap().parse().unwrap()
}

/// In a temporary directory in memory, nothing is read from a disk, and the test proves only that the values are right.
#[cfg(target_os = "linux")]
#[test]
fn without_read_ahead_a_point_read_reads_its_own_pages_only() {
    const VALUES: u32 = 1600;
    const READS: u32 = 40;
    // A value is in the index, in a record within a page or two, in a longer record, or in pages of its own.
    let value = |key: u32| vec![key as u8; [20, 3900, 40_000, 70_000][key as usize % 4]];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.vde");
    let store = VdeOptions::new().durability(Durability::Buffered).open(&path).unwrap();
    for key in (0..VALUES).step_by(4).flat_map(|key| (key..key + 4).rev()) {
        store.put(key.to_be_bytes(), value(key)).unwrap();
    }
    store.checkpoint().unwrap();
    drop(store);
    let file = std::fs::File::open(&path).unwrap();
    file.sync_all().unwrap();
    let store = VdeOptions::new().read_ahead(false).background(false).open(&path).unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    for kind in 0..4 {
        let before = bytes_read();
        let key = |n| (n * (VALUES / READS) + kind) % VALUES;
        for key in (0..READS).map(key) {
            assert_eq!(*store.value(key.to_be_bytes()).unwrap().unwrap(), *value(key));
        }
        // Beside the value's pages, up to three of the index, and the page with the places of a value in pages of its own.
        let own = value(key(0)).len() as u64 + 6 * 4096;
        let read = bytes_read() - before;
        assert!(read <= u64::from(READS) * own, "kind {kind}: {read} bytes, {own} for each value");
    }
}
