//! Models that explore all interleavings of stripe-lock, with their negative controls.
//!
//! The blocking locks are generic over `lock_api` raw locks. Their models use the library's public types over raw locks
//! of this crate, which the model checker knows. They check the protocol above the raw lock (which stripes are taken,
//! in which order, and when they are released), not `parking_lot`.
//!
//! The models are compiled and run by `cargo loom` (an alias of this workspace, which sets the cfg
//! `loom`); an ordinary `cargo test` runs none of them.

mod mutants;
mod raw;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use mutants::{Mutant, mutants};
pub use raw::{Looks, LoomMutex, LoomRwLock};

/// As [`explore`], for a model that says whether a try succeeded. Both answers must come from some interleaving: loom does not
/// always let a spawned thread go first where its spawner only reads what the thread writes.
///
/// # Panics
///
/// As [`explore`], or if all tries succeed or all fail.
///
/// # Examples
///
/// ```
/// use loom::sync::Arc;
/// use loom::sync::atomic::{AtomicBool, Ordering::AcqRel};
///
/// loom_tests::explore_both("two for one place", None, || {
///     let taken = Arc::new(AtomicBool::new(false));
///     let other = taken.clone();
///     let other = loom::thread::spawn(move || other.swap(true, AcqRel));
///     let succeeds = !taken.swap(true, AcqRel);
///     assert_ne!(succeeds, !other.join().unwrap());
///     succeeds
/// });
/// ```
pub fn explore_both(
    name: &str,
    preemptions: Option<usize>,
    model: impl Fn() -> bool + Sync + Send + 'static,
) {
    let seen = Arc::new([const { AtomicUsize::new(0) }; 2]);
    let counted = seen.clone();
    explore(name, preemptions, move || {
        counted[usize::from(model())].fetch_add(1, Ordering::Relaxed);
    });
    let [failed, succeeded] = [0, 1].map(|answer| seen[answer].load(Ordering::Relaxed));
    assert!(failed > 0 && succeeded > 0, "{name}: {succeeded} tries succeeded, {failed} failed");
}

/// Explores every interleaving of `model`, and prints how many there were. If `preemptions` is set, each interleaving
/// has at most that many preemptions, or one more if the environment variable `LOOM_DEEPER` is set.
///
/// # Panics
///
/// If `model` panics, deadlocks or races in any of them.
///
/// # Examples
///
/// ```
/// loom_tests::explore("nothing to do", None, || ());
/// ```
pub fn explore(name: &str, preemptions: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    let executions = Arc::new(AtomicUsize::new(0));
    let counted = executions.clone();
    let deeper = std::env::var_os("LOOM_DEEPER").is_some();
    let preemptions = preemptions.map(|bound| bound + usize::from(deeper));
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let bound = preemptions.map_or_else(|| "exhaustive".to_owned(), |n| format!("at most {n} preemptions"));
    // The test harness captures `println!`.
    let line = format!("{name}: {} executions, {bound}\n", executions.load(Ordering::Relaxed));
    std::io::stdout().write_all(line.as_bytes()).expect("standard output is open");
}
