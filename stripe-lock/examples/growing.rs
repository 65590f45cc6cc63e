//! A set that begins with 8 stripes and grows while 16 threads work on it. Each section locks a new key and sleeps for
//! 1 ms.
//!
//! Prints the sections per second for each interval of 50 ms, beside those of sets with 8 and with 64 stripes. The
//! figures are medians of 15 rounds.
//!
//! ```sh
//! cargo run --release -p stripe-lock --example growing
//! ```

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use stripe_lock::StripedMutex;

const WRITERS: u64 = 16;
const ROUNDS: usize = 15;
const STEP: Duration = Duration::from_millis(50);
const STEPS: usize = 6;

/// The counts of one step.
#[derive(Clone, Copy, Default)]
struct Step {
    sections_a_second: f64,
    stripes: usize,
}

/// Lets the writers work on the set.
fn run(locks: &StripedMutex<u64>) -> [Step; STEPS] {
    let (done, over) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (done, over) = (&done, &over);
            scope.spawn(move || {
                let mut key = writer;
                while !over.load(Relaxed) {
                    let _guard = locks.lock(&key);
                    sleep(Duration::from_millis(1));
                    done.fetch_add(1, Relaxed);
                    key += WRITERS;
                }
            });
        }
        let steps = [(); STEPS].map(|()| {
            let (before, start) = (done.load(Relaxed), Instant::now());
            sleep(STEP);
            let sections_a_second = (done.load(Relaxed) - before) as f64 / start.elapsed().as_secs_f64();
            Step { sections_a_second, stripes: locks.active_stripes().len() }
        });
        over.store(true, Relaxed);
        steps
    })
}

/// The medians of one step.
fn median(rounds: &[[Step; STEPS]], step: usize) -> Step {
    let mut steps: Vec<_> = rounds.iter().map(|round| round[step]).collect();
    steps.sort_by(|one, other| one.sections_a_second.total_cmp(&other.sections_a_second));
    let sections_a_second = steps[steps.len() / 2].sections_a_second;
    steps.sort_by_key(|step| step.stripes);
    Step { sections_a_second, stripes: steps[steps.len() / 2].stripes }
}

fn main() {
    let (mut few, mut growing, mut many) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        few.push(run(&StripedMutex::new(8)));
        growing.push(run(&StripedMutex::growing(8..=64)));
        many.push(run(&StripedMutex::new(64)));
    }
    println!("| until (ms) | 8 stripes | 8 that grow | 64 stripes | growing / 64 | stripes in use |");
    println!("|---|---|---|---|---|---|");
    for step in 0..STEPS {
        let until = (step + 1) * STEP.as_millis() as usize;
        let [few, growing, many] = [&few, &growing, &many].map(|rounds| median(rounds, step));
        println!(
            "| {until} | {:.0} | {:.0} | {:.0} | {:.3} | {} |",
            few.sections_a_second,
            growing.sections_a_second,
            many.sections_a_second,
            growing.sections_a_second / many.sections_a_second,
            growing.stripes,
        );
    }
}
