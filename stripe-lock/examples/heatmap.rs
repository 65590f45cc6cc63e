//! A heat map of the stripes: how long threads wait for each stripe, with evenly popular keys and with a few very
//! popular keys.
//!
//! `cargo run --release -p stripe-lock --features stats --example heatmap -- target/heatmap.html`

use std::fmt::Write;
use std::hash::BuildHasher;
use std::thread;
use std::time::Duration;

use stripe_lock::blocking::Stats;
use stripe_lock::{DefaultHasher, StripedMutex};

const STRIPES: usize = 256;
const THREADS: u64 = 16;
const ROUNDS: u64 = 40;
const KEYS: f64 = 2000.0;

/// Runs threads that hold a key during a short sleep. `choose` makes a key from a number that is uniform in 0 to 1.
fn work(choose: impl Fn(f64) -> f64 + Sync) -> Stats {
    let locks = StripedMutex::<u64>::new(STRIPES);
    let dice = DefaultHasher::default();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (locks, dice, choose) = (&locks, &dice, &choose);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let even = dice.hash_one((thread, round)) as f64 / u64::MAX as f64;
                    #[allow(clippy::cast_sign_loss, reason = "it is 0 to 1")]
                    let key = (choose(even) * KEYS) as u64;
                    locks.with(&key, |()| thread::sleep(Duration::from_millis(1)));
                }
            });
        }
    });
    locks.stats()
}

/// A square for each stripe, row by row: the longer the waits, the darker.
fn map(title: &str, stats: &Stats) -> String {
    let side = STRIPES.isqrt();
    let longest = stats.hottest(1)[0].1.waited.as_secs_f64().max(f64::MIN_POSITIVE);
    let mut squares = String::new();
    for (index, stripe) in stats.stripes().iter().enumerate() {
        let heat = (stripe.waited.as_secs_f64() / longest).sqrt(); // the root makes short waits visible, too
        let (x, y) = (index % side * 20, index / side * 20);
        write!(
            squares,
            "<rect x='{x}' y='{y}' width='18' height='18' rx='3' fill-opacity='{heat:.3}'>\
             <title>stripe {index}: {} acquisitions, {} contended, {:.1?} waited</title></rect>",
            stripe.acquisitions, stripe.contended, stripe.waited
        )
        .expect("a string takes everything");
    }
    format!(
        "<figure><figcaption><b>{title}</b><br>{} of {} acquisitions waited, {:.1?} in total; skew {:.1}</figcaption>\
         <svg viewBox='-1 -1 {width} {width}'>{squares}</svg></figure>",
        stats.contended(),
        stats.acquisitions(),
        stats.waited(),
        stats.skew(),
        width = side * 20,
    )
}

const PAGE: &str = "<!doctype html><html lang='en'><meta charset='utf-8'><title>Stripes by time waited</title>\
    <meta name='viewport' content='width=device-width'><style>\
    :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }\
    body { max-width: 64rem; margin: 2rem auto; padding: 0 1rem }\
    main { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 2rem }\
    figure { margin: 0 } rect { fill: light-dark(#c2410c, #fb923c); stroke: light-dark(#cbd5e1, #334155) }\
    </style><h1>Stripes by time waited</h1><p>Point at a square for its counters.</p><main>";

fn main() -> std::io::Result<()> {
    let even = work(|even| even);
    // Half of all operations want one of the first eight keys.
    let popular = work(|even| even.powi(8));
    let page =
        [PAGE, &map("Evenly popular keys", &even), &map("Few popular keys", &popular), "</main></html>"]
            .concat();
    match std::env::args().nth(1) {
        Some(file) => std::fs::write(&file, page).map(|()| println!("{file}"))?,
        None => println!("{} bytes of HTML; name a file to write it to", page.len()),
    }
    println!("evenly popular: {even}\nfew popular: {popular}");
    assert!(popular.skew() > even.skew(), "popular keys make hot stripes");
    Ok(())
}
