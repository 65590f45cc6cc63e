//! The fuzz targets with mutated seeds: a short form of `cargo fuzz run`, with the ordinary compiler.

use std::fs;
use std::path::Path;

use fastrand::Rng;
use vde_store::VdeOptions;
use vde_store::testing::{SimDisk, fuzz_index, fuzz_log, fuzz_superblock};

/// The length of a value of three parts.
const PARTED: u64 = 600_000;

/// A container with every structure.
fn seed() -> Vec<u8> {
    let disk = SimDisk::new();
    let options = VdeOptions::new().background(false).segment_size(1 << 18).part_pieces(1);
    let store = options.open_device(disk.device()).unwrap();
    for i in 0..60u32 {
        store.put(i.to_be_bytes(), vec![i as u8; i as usize * 9]).unwrap();
    }
    store.put("large", vec![1; 100_000]).unwrap();
    store.put("in parts", vec![2; PARTED as usize]).unwrap();
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

/// A fuzz target and its seeds.
struct Target<'a> {
    name: &'static str,
    run: fn(&[u8]),
    seeds: Vec<&'a [u8]>,
}

/// The map of a part, without the rest of its page.
fn part(page: &[u8]) -> Option<&[u8]> {
    let u64_at = |at: usize| u64::from_le_bytes(page[at..at + 8].try_into().unwrap()) as usize;
    let extents = page.strip_prefix(b"VDEM")?[0] as usize;
    let len: usize = (0..extents).map(|i| u64_at(8 + i * 16 + 8)).sum();
    Some(&page[..8 + extents * 16 + len.div_ceil(65_536) * 8])
}

/// The map of the value that has parts.
fn map_of_parts(image: &[u8]) -> &[u8] {
    let is_map = |bytes: &[u8]| bytes[..8] == PARTED.to_le_bytes() && bytes[16..20] == [0xff; 4];
    let at = image.windows(20).position(is_map).unwrap();
    &image[at..at + 28 + 3 * 20]
}

/// The targets, with parts of a whole container.
fn targets(image: &[u8]) -> [Target<'_>; 3] {
    let is_seed = |page: &&[u8]| page.starts_with(b"VDEP") || page.starts_with(b"VDEC");
    let pages = image.chunks(4096).filter(is_seed).chain(image.chunks(4096).filter_map(part));
    let pages = pages.chain([map_of_parts(image), b"VDEL\x01\0\0\0\0\x20\0\0\0\0\0\0\0\x10\0\0sumsumsu"]);
    [
        Target { name: "superblock", run: fuzz_superblock, seeds: vec![&image[4096..8184]] },
        // After the first unit's header.
        Target { name: "log", run: fuzz_log, seeds: vec![&image[8192 + 48..8192 + 3000]] },
        Target { name: "index", run: fuzz_index, seeds: pages.collect() },
    ]
}

/// Writes seeds for the fuzzers: `VDE_FUZZ_SEEDS=DIR cargo test -p vde-store --test fuzz`. Without the variable, it
/// does nothing.
#[test]
fn write_seeds() {
    let Ok(dir) = std::env::var("VDE_FUZZ_SEEDS") else { return };
    for target in targets(&seed()) {
        let dir = Path::new(&dir).join(target.name);
        fs::create_dir_all(&dir).unwrap();
        for (i, seed) in target.seeds.iter().enumerate() {
            fs::write(dir.join(format!("seed-{i}")), seed).unwrap();
        }
    }
}

/// The corpus of the fuzzers: each input reaches code that no other input reaches.
#[test]
fn no_input_of_the_corpus_makes_a_decoder_panic() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions");
    for target in targets(&seed()) {
        let mut inputs = 0;
        for entry in fs::read_dir(kept.join(target.name)).unwrap() {
            (target.run)(&fs::read(entry.unwrap().path()).unwrap());
            inputs += 1;
        }
        assert!(inputs > 0, "no inputs for {}", target.name);
    }
}

#[test]
fn no_bytes_make_a_decoder_panic() {
    let image = seed();
    let mut rng = Rng::with_seed(9);
    let targets = targets(&image);
    for magic in [b"VDEP", b"VDEC", b"VDEM", b"VDEL"] {
        assert!(targets[2].seeds.iter().any(|page| page.starts_with(magic)), "{}", magic.escape_ascii());
    }
    for _ in 0..100 {
        for target in &targets {
            for seed in &target.seeds {
                (target.run)(&mutate(seed, &mut rng));
            }
        }
    }
}
