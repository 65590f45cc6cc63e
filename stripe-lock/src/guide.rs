//! Longer answers: how to choose a type and its parameters, and how to find out why a program waits.

#[doc = include_str!("../docs/choosing-stripes.md")]
pub mod choosing_stripes {}

#[doc = include_str!("../docs/choosing-a-hasher.md")]
pub mod choosing_a_hasher {}

#[doc = include_str!("../docs/lock-order.md")]
pub mod lock_order {}

#[doc = include_str!("../docs/async-pitfalls.md")]
pub mod async_pitfalls {}

#[doc = include_str!("../docs/seeing-what-waits.md")]
pub mod seeing_what_waits {}

#[doc = include_str!("../docs/model-checking.md")]
pub mod model_checking {}

#[doc = include_str!("../docs/coming-from.md")]
pub mod coming_from {}
