//! The fuzz targets on mutated seeds: a little of what `cargo fuzz run` does for hours, with the ordinary compiler.

use fastrand::Rng;
use vde_store::VdeOptions;
use vde_store::testing::{SimDisk, fuzz_index, fuzz_log, fuzz_superblock};

/// A container with something of everything.
fn seed() -> Vec<u8> {
    let disk = SimDisk::new();
    let store = VdeOptions::new().background(false).segment_size(1 << 18).open_device(disk.device()).unwrap();
    for i in 0..60u32 {
        store.put(i.to_be_bytes(), vec![i as u8; i as usize * 9]).unwrap();
    }
    store.put("large", vec![1; 100_000]).unwrap();
    store.snapshot("s").unwrap();
    store.put("tail", "1").unwrap();
    store.delete("tail").unwrap();
    disk.contents()
}

fn mutate(seed: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..rng.usize(..6) {
        if data.is_empty() {
            break;
        }
        let at = rng.usize(..data.len());
        match rng.u8(..4) {
            0 => data[at] = rng.u8(..),
            1 => data[at] ^= 1 << rng.u8(..8),
            2 => data.truncate(at),
            _ => {
                let with = [0, 1, 0x7f, 0x80, 0xff][rng.usize(..5)];
                let end = data.len().min(at + 8);
                data[at..end].fill(with);
            }
        }
    }
    data
}

#[test]
fn no_bytes_make_a_decoder_panic() {
    let image = seed();
    let mut rng = Rng::with_seed(9);
    let pages: Vec<&[u8]> =
        image.chunks(4096).filter(|page| page.starts_with(b"VDEP") || page.starts_with(b"VDEC")).collect();
    assert!(pages.len() > 2);
    for _ in 0..300 {
        fuzz_superblock(&mutate(&image[4096..8184], &mut rng));
        // Behind the first unit's header.
        fuzz_log(&mutate(&image[8192 + 48..8192 + 3000], &mut rng));
        for page in &pages {
            fuzz_index(&mutate(page, &mut rng));
        }
    }
}
