//! The three kinds of striped async locks, as types.

use std::cell::UnsafeCell;

use super::sync::{AtomicU8, AtomicU32};
use super::word::Word;

/// What sort of lock every stripe is: [`ForMutex`], [`ForRwLock`] or [`ForSemaphore`]. Nobody else can add one.
///
/// # Examples
///
/// ```
/// fn kind<M: stripe_lock::future::Kind>() {}
/// kind::<stripe_lock::future::ForSemaphore>();
/// ```
pub trait Kind: Send + Sync + 'static {
    #[doc(hidden)]
    type Word: Word + Send + Sync;
    /// Whether those who share a stripe take from each other.
    #[doc(hidden)]
    const LIMITED: bool;
}

/// Stripes of one byte that are held exclusively.
///
/// # Examples
///
/// ```
/// use stripe_lock::DefaultHasher;
/// use stripe_lock::future::{AsyncStriped, ForMutex};
///
/// fn same(locks: AsyncStriped<u64, (), DefaultHasher, ForMutex>) -> stripe_lock::AsyncStripedMutex<u64> {
///     locks
/// }
/// ```
#[derive(Debug)]
pub enum ForMutex {}

/// Stripes of 32 bits that are held by one writer or by any number of readers.
///
/// # Examples
///
/// ```
/// use stripe_lock::DefaultHasher;
/// use stripe_lock::future::{AsyncStriped, ForRwLock};
///
/// fn same(locks: AsyncStriped<u64, (), DefaultHasher, ForRwLock>) -> stripe_lock::AsyncStripedRwLock<u64> {
///     locks
/// }
/// ```
#[derive(Debug)]
pub enum ForRwLock {}

/// Stripes of 32 bits that give out a fixed number of permits.
///
/// # Examples
///
/// ```
/// use stripe_lock::DefaultHasher;
/// use stripe_lock::future::{AsyncStriped, ForSemaphore};
///
/// fn same(locks: AsyncStriped<u64, (), DefaultHasher, ForSemaphore>) -> stripe_lock::AsyncStripedSemaphore<u64> {
///     locks
/// }
/// ```
#[derive(Debug)]
pub enum ForSemaphore {}

impl Kind for ForMutex {
    type Word = AtomicU8;
    const LIMITED: bool = false;
}

impl Kind for ForRwLock {
    type Word = AtomicU32;
    const LIMITED: bool = false;
}

impl Kind for ForSemaphore {
    type Word = AtomicU32;
    const LIMITED: bool = true;
}

/// The kinds whose stripes guard data.
///
/// # Examples
///
/// ```
/// fn guards<M: stripe_lock::future::Guards>() {}
/// guards::<stripe_lock::future::ForRwLock>();
/// ```
pub trait Guards: Kind {}

impl Guards for ForMutex {}
impl Guards for ForRwLock {}

/// One stripe: the word, and the data that holding it gives access to.
pub(crate) struct Slot<T, M: Kind> {
    pub(super) word: M::Word,
    pub(super) value: UnsafeCell<T>,
}

// SAFETY: one holder at a time reaches the value.
unsafe impl<T: Send> Sync for Slot<T, ForMutex> {}
// SAFETY: one writer at a time, or several readers, reach the value.
unsafe impl<T: Send + Sync> Sync for Slot<T, ForRwLock> {}
// SAFETY: nobody reaches the value; there is none.
unsafe impl Sync for Slot<(), ForSemaphore> {}

impl<T, M: Kind> Slot<T, M> {
    pub(super) fn new(word: u32, value: T) -> Self {
        Self { word: M::Word::new(word), value: UnsafeCell::new(value) }
    }
}
