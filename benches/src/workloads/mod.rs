//! What contenders are asked to do. Each workload makes a [`Case`](crate::harness::Case) of any contender of its kind.

mod closed_loop;
mod load;
mod locks;
mod puts;
mod sleep;

pub use closed_loop::closed_loop;
pub use load::load;
pub use locks::{
    busy, lock_all, many_keys, one_key, one_key_each, polled_once, read_mostly, threads, together,
};
pub use puts::{Latencies, Put, puts, sync_time};
pub use sleep::{sleeping_tasks, sleeping_threads};
