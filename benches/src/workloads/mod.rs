//! The workloads. Each makes a [`Case`](crate::harness::Case) of any contender of its kind.

mod awaited;
mod closed_loop;
#[cfg(feature = "report")]
mod load;
mod locks;
#[cfg(any(feature = "report", feature = "disk"))]
mod puts;
mod quota;
mod sleep;
mod waiting;

pub use awaited::{Held, many_polled_once, polled_once, tasks, token_ring};
pub use closed_loop::closed_loop;
#[cfg(feature = "report")]
pub use load::load;
pub use locks::{
    busy, lock_all, many_keys, one_key, one_key_each, read_mostly, threads, together, waits_beside_two,
};
#[cfg(any(feature = "report", feature = "disk"))]
pub use puts::{Put, puts, sync_time};
pub use sleep::{sleeping_tasks, sleeping_threads};
pub use waiting::{
    Steps, threads_wait_for_a_key_each, wait_behind_granted, wait_for_a_key_each, wait_for_one_key,
};
