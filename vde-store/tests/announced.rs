//! Damage at the log's end is found, because recovery knows where the log would have continued: in a segment that was
//! announced.

#[path = "common/contents.rs"]
mod contents;

use contents::{Contents, contents, options};
use fastrand::Rng;
use vde_store::testing::{Bug, SimDisk};
use vde_store::{Vde, VdeOptions};

/// Makes a random change. The values fill segments within a few changes, and checkpoints free segments in front of
/// the log.
fn change(store: &Vde, rng: &mut Rng) {
    let key = [rng.u8(..8)];
    match rng.u8(..20) {
        0..12 => _ = store.put(key, vec![rng.u8(..); rng.usize(20_000..60_000)]).unwrap(),
        12..14 => _ = store.put(key, vec![rng.u8(..); rng.usize(70_000..600_000)]).unwrap(),
        14..16 => _ = store.delete(key).unwrap(),
        16..19 => store.checkpoint().unwrap(),
        _ => _ = store.compact().unwrap(),
    }
}

fn without_ends(mut contents: Contents) -> Contents {
    contents.retain(|key, _| !key.starts_with(b"end"));
    contents
}

/// How many of the log's units can be damaged so that a store that was not closed opens without what was acknowledged.
fn hidden_losses(seed: u64, bug: Option<Bug>) -> usize {
    let options = || bug.map_or(options(), |bug| options().plant(bug));
    let mut rng = Rng::with_seed(seed);
    let mut disk = SimDisk::new();
    let mut store = options().open_device(disk.device()).unwrap();
    for _ in 0..rng.usize(20..60) {
        change(&store, &mut rng);
        if rng.u8(..15) == 0 {
            disk = SimDisk::holding(disk.contents());
            store = options().open_device(disk.device()).unwrap();
        }
    }
    // Nothing proves that the last unit was there once.
    store.put("end/1", "").unwrap();
    store.put("end/2", "").unwrap();
    let image = disk.contents();
    let truth = without_ends(contents(&store));
    let is_hidden = |unit: &usize| {
        let mut damaged = image.clone();
        damaged[unit + 40] ^= 1;
        let opened = options().read_only(true).open_device(SimDisk::holding(damaged).device());
        opened.is_ok_and(|opened| without_ends(contents(&opened)) != truth)
    };
    memchr_all(&image, b"VDEU").filter(is_hidden).count()
}

fn memchr_all<'a>(bytes: &'a [u8], needle: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    (0..bytes.len() - needle.len()).filter(move |at| bytes[*at..].starts_with(needle))
}

#[test]
fn a_damaged_unit_never_hides_what_follows() {
    for seed in 0..12 {
        assert_eq!(hidden_losses(seed, None), 0, "seed {seed}");
    }
    let found = (0..12).any(|seed| hidden_losses(seed, Some(Bug::ForgetAnnounced)) > 0);
    assert!(found, "the planted bug is found");
}

#[test]
fn announced_segments_far_behind_the_end_are_given_up() {
    let options = VdeOptions::new().background(false).segment_size(1 << 18);
    let disk = SimDisk::new();
    let store = options.clone().open_device(disk.device()).unwrap();
    for i in 0..40_u8 {
        store.put([i], vec![i; 200_000]).unwrap();
    }
    store.checkpoint().unwrap();
    store.clear().unwrap();
    store.compact().unwrap();
    for i in 0..20_u8 {
        store.put([i], vec![i; 60_000]).unwrap();
    }
    let truth = contents(&store);
    let reopened = options.open_device(SimDisk::holding(disk.contents()).device()).unwrap();
    assert_eq!(contents(&reopened), truth);
}
