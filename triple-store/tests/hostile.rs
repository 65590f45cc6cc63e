//! Untrusted bytes: the corpus of the fuzzers, and damage of every stored value.

#[path = "../fuzz/targets.rs"]
mod targets;

use std::fs;
use std::path::Path;

fn replay(folder: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile").join(folder);
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty());
    for file in files {
        let bytes = fs::read(&file).unwrap();
        target(&bytes);
        // Every truncation is another hostile input.
        (0..bytes.len()).step_by(7).for_each(|end| target(&bytes[..end]));
    }
}

#[test]
fn documents_are_loaded_whole_or_refused() {
    replay("load", targets::load);
}

#[test]
fn queries_and_updates_answer_or_are_refused() {
    replay("query", targets::query);
}

#[test]
fn made_up_stored_values_are_refused_or_do_no_harm() {
    replay("stored", targets::stored);
}

#[test]
fn a_damaged_value_is_refused_or_does_no_harm() {
    for (number, (_, value)) in targets::values().iter().enumerate() {
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = vec![u8::try_from(number).unwrap()];
            bytes.extend_from_slice(value);
            change(&mut bytes);
            targets::stored(&bytes);
        };
        with(&|_| {});
        with(&|bytes| bytes.truncate(1));
        for at in 1..=value.len() {
            with(&|bytes| bytes.truncate(at));
            for bit in [0, 3, 7] {
                with(&|bytes| bytes[at] ^= 1 << bit);
            }
        }
    }
}
