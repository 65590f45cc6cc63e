//! Opens a store after a crash whose container has very many free segments, none of which is in the page cache.
//!
//! `cargo run --release -p vde-store --example open_large -- [DIR] [SEGMENTS] [ROUNDS]`

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise};
use vde_store::{Result, Vde};

const SEGMENT: u64 = 16 << 20;
const BLOCK: u64 = 4096;

/// A container after a crash. Each of its `segments` free segments begins with a block of old bytes.
fn crashed(path: &Path, segments: u64) -> Result<()> {
    let store = Vde::create(path)?;
    for key in 0..100_u8 {
        store.put([key], [7; 1000])?;
    }
    let left = std::fs::read(path).expect("the container can be read");
    drop(store);
    std::fs::write(path, left).expect("the container can be written");
    let file = OpenOptions::new().write(true).open(path).expect("the container is there");
    for segment in 1..segments {
        file.write_all_at(&[0xAA; BLOCK as usize], 2 * BLOCK + segment * SEGMENT)
            .expect("the disk has space");
    }
    file.sync_all().expect("the disk syncs");
    Ok(())
}

/// Writes the superblocks as builds before format version 4 did, which announced no segments.
fn announce_nothing(path: &Path) {
    let file = OpenOptions::new().read(true).write(true).open(path).expect("the container is there");
    for at in [0, BLOCK] {
        let mut block = [0; BLOCK as usize];
        file.read_exact_at(&mut block, at).expect("the superblock can be read");
        block[128..136].fill(0);
        let sum = xxhash_rust::xxh3::xxh3_64(&block[..4088]);
        block[4088..].copy_from_slice(&sum.to_le_bytes());
        file.write_all_at(&block, at).expect("the superblock can be written");
    }
    file.sync_all().expect("the disk syncs");
}

/// Opens the store without changing it.
fn open(path: &Path, is_cold: bool) -> Result<Duration> {
    if is_cold {
        let file = File::open(path).expect("the container is there");
        fadvise(&file, 0, None, Advice::DontNeed).expect("the page cache forgets the container");
    }
    let start = Instant::now();
    let store = vde_store::VdeOptions::new().read_only(true).open(path)?;
    let took = start.elapsed();
    assert_eq!(store.list("").count(), 100);
    Ok(took)
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().map_or_else(std::env::temp_dir, Into::into);
    let segments = args.next().map_or(65_000, |n| n.parse().expect("a number of segments"));
    let rounds = args.next().map_or(3, |n| n.parse().expect("a number of rounds"));
    let path = dir.join("open_large.vde");
    let _ = std::fs::remove_file(&path);
    crashed(&path, segments)?;
    for what in ["announced segments are read", "all free segments are read"] {
        for is_cold in [false, true] {
            let times = (0..rounds).map(|_| open(&path, is_cold)).collect::<Result<Vec<_>>>()?;
            println!("{what}, {}: {times:.1?}", if is_cold { "cold" } else { "cached" });
        }
        announce_nothing(&path);
    }
    let _ = std::fs::remove_file(&path);
    Ok(())
}
