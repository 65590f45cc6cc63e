//! The default identity of threads.

use core::num::NonZeroUsize;

use super::GetThreadId;

#[cfg(not(loom))]
std::thread_local! {
    static HERE: u8 = const { 0 };
}

#[cfg(loom)]
loom::thread_local! {
    static HERE: u8 = 0;
}

/// Identifies a thread by the address of a thread-local byte.
///
/// # Examples
///
/// ```
/// use stripe_lock::raw::{GetThreadId, ThreadAddress};
///
/// let here = ThreadAddress::INIT.nonzero_thread_id();
/// let there = std::thread::scope(|scope| scope.spawn(|| ThreadAddress::INIT.nonzero_thread_id()).join());
/// assert_ne!(here, there.unwrap());
/// ```
#[derive(Debug)]
pub struct ThreadAddress(());

// SAFETY: the bytes of two existing threads have different addresses, and a byte does not move.
unsafe impl GetThreadId for ThreadAddress {
    const INIT: Self = Self(());

    #[inline]
    fn nonzero_thread_id(&self) -> NonZeroUsize {
        HERE.with(|here| NonZeroUsize::new((&raw const *here).addr())).expect("no byte is at address 0")
    }
}
