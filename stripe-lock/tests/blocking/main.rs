//! The blocking locks: what they promise, whatever the raw lock.

#[path = "../common/autos.rs"]
mod asking;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/fickle.rs"]
mod fickle;

mod as_guava;
mod auto_traits;
mod batch_modes;
mod callers_code;
mod construction;
mod diagnostics;
mod growing;
mod growing_moments;
mod growing_torture;
mod guard_parts;
mod hash_spread;
mod held_record;
mod lock_order;
mod long_waits;
mod multi_guard;
mod stats_counts;
mod stress;
