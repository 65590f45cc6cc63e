//! The contenders: each kind behind one small trait.
//!
//! A blocking contender takes a closure instead of returning a guard, so that locks with guards of every shape, locks without
//! guards and map entries fit the same trait; the closure is inlined away.

mod awaited;
mod blocked;
mod by_hand;
mod others;
mod ours;
#[cfg(feature = "locks")]
pub mod peers;
#[cfg(feature = "report")]
pub mod quads;
#[cfg(any(feature = "report", feature = "disk"))]
pub mod stores;
mod traits;

pub use awaited::{MapOfTokioMutexes, Padded, PerKey, padded};
pub use blocked::{BlockedOn, Blocking};
pub use by_hand::{Bitmap, ByteBitmap, CasPair, GlobalMutex, GlobalRwLock, SortDedup, SwapStore, Unlocked};
pub use others::{Dashmap, MapOfMutexes, StdStriped, StdStripedRw};
pub use ours::{Ours, OursExact, OursRw};
pub use traits::{
    AsyncKeyLock, AsyncKeyRwLock, AsyncMultiLock, AsyncMutex, AsyncRwLock, BlockingMutex, HoldMany, KeyLock,
    KeyRwLock, MultiLock,
};
