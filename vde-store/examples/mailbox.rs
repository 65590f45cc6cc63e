//! A mailbox in one file. Several threads deliver letters with metadata. Letters are moved in batches and kept in
//! snapshots, and the mailbox is copied while it is in use.
//!
//! `cargo run -p vde-store --example mailbox`

use std::error::Error;
use std::io::Read;
use std::thread;

use vde_store::{Durability, Health, UserMetadata, VdeOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("mail.vde");
    let store = VdeOptions::new().stripes(128).open(&path)?;

    // Each put returns once its letter is on the disk; threads share the syncs.
    thread::scope(|scope| {
        for sender in ["ada", "grace", "edsger"] {
            let store = &store;
            scope.spawn(move || -> vde_store::Result<()> {
                for i in 0..10 {
                    let about = UserMetadata::from([("from".into(), sender.into())]);
                    let letter = format!("letter {i} of {sender}");
                    store.put_with(format!("inbox/{sender}/{i:03}"), letter.as_bytes(), &about)?;
                    store.update("received", |old| Some(next(old)))?;
                }
                Ok(())
            });
        }
    });
    println!("{} letters", store.list("inbox/").count());

    // All letters of one sender are moved, or none is, even if the program crashes meanwhile.
    store.snapshot("before sorting")?;
    let mut batch = store.batch();
    for entry in store.list("inbox/ada/") {
        let entry = entry?;
        let name = entry.key().strip_prefix(b"inbox/").unwrap_or_default();
        batch.put([b"archive/", name].concat(), entry.value()?);
        batch.delete(entry.key());
    }
    batch.commit()?;
    let before = store.open_snapshot("before sorting")?;
    println!("{} in the archive, {} before", store.list("archive/").count(), before.list("archive/").count());

    // A large attachment is streamed in. Then a part of it is read without the rest.
    let pattern = std::io::repeat(7).take(10 << 20);
    store.put_with("attachment", pattern, &UserMetadata::new())?;
    let part = store.get_range("attachment", (5 << 20)..(5 << 20) + 4)?;
    println!("{part:?} of {} bytes", store.metadata("attachment")?.map_or(0, |known| known.len));

    // A write that a power cut may lose need not wait for the disk.
    let hasty = store.with_durability(Durability::Buffered);
    hasty.put("last seen", "today")?;
    hasty.flush()?;

    let copied = store.backup(dir.path().join("copy.vde"))?;
    let report = store.verify(|progress| eprint!("\r{} of {} keys", progress.keys, progress.total_keys))?;
    eprintln!();
    println!("{copied} keys copied, damaged: {:?}", report.problems);
    if let Health::Degraded { reason } | Health::Critical { reason } = store.health()? {
        println!("needs attention: {reason}");
    }
    Ok(())
}

fn next(count: Option<&[u8]>) -> Vec<u8> {
    let count = count.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
    (count + 1).to_le_bytes().to_vec()
}
