//! The async locks: what they promise, beside callers' code, runtimes and schedules of all kinds.
#![cfg(feature = "async")]

#[path = "../common/autos.rs"]
mod asking;
#[path = "../common/bell.rs"]
mod bell;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/fickle.rs"]
mod fickle;
#[path = "../common/hostile.rs"]
mod hostile;
#[path = "../common/now.rs"]
mod now;
#[path = "../common/task.rs"]
mod task;

mod auto_traits;
mod callers_code;
mod closing;
mod diagnosis;
mod guard_parts;
mod mutex;
mod one_task;
mod permits;
mod places;
mod runtime;
mod schedules;
mod sealed;
mod shared;
mod stats;
mod torture;
mod wakers;
