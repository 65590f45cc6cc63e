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
