//! What contenders are asked to do. Each workload makes a [`Case`](crate::harness::Case) of any contender of its kind.

mod awaited;
mod closed_loop;
mod load;
mod locks;
mod puts;
mod sleep;

pub use awaited::{Held, many_polled_once, polled_once, tasks, token_ring};
pub use closed_loop::closed_loop;
pub use load::load;
pub use locks::{busy, lock_all, many_keys, one_key, one_key_each, read_mostly, threads, together};
pub use puts::{Latencies, Put, puts, sync_time};
pub use sleep::{sleeping_tasks, sleeping_threads};
