//! The raw locks where none is named.

/// The raw mutex where none is named: `parking_lot`'s with the feature `parking_lot`, [`ByteMutex`](super::ByteMutex)
/// without it, and in a model.
///
/// Without the feature `std` it can't be constructed, and a raw mutex has to be named.
///
/// # Examples
///
/// ```
/// let guarded: stripe_lock::StripedMutex<u64, u32, stripe_lock::raw::DefaultRawMutex> = Default::default();
/// *guarded.lock(&1) += 1;
/// ```
#[cfg(all(feature = "parking_lot", not(loom)))]
pub type DefaultRawMutex = parking_lot::RawMutex;

#[cfg(all(feature = "std", any(loom, not(feature = "parking_lot"))))]
#[allow(missing_docs, reason = "documented where the feature `parking_lot` is on")]
pub type DefaultRawMutex = super::ByteMutex;

#[cfg(not(feature = "std"))]
#[allow(missing_docs, reason = "documented where the feature `parking_lot` is on")]
#[derive(Debug)]
pub enum DefaultRawMutex {}

/// The raw read-write lock where none is named: `parking_lot`'s, with the feature `parking_lot`; in a model, one of the model
/// checker's.
///
/// Without the feature it can't be constructed, and a raw read-write lock has to be named.
///
/// # Examples
///
/// ```
/// let guarded: stripe_lock::StripedRwLock<u64, u32, stripe_lock::raw::DefaultRawRwLock> = Default::default();
/// assert_eq!(*guarded.read(&1), 0);
/// ```
#[cfg(all(feature = "parking_lot", not(loom)))]
pub type DefaultRawRwLock = parking_lot::RawRwLock;

#[cfg(all(feature = "std", loom))]
#[allow(missing_docs, reason = "documented where the feature `parking_lot` is on")]
pub type DefaultRawRwLock = super::model::ModelRwLock;

#[cfg(not(any(feature = "parking_lot", all(feature = "std", loom))))]
#[allow(missing_docs, reason = "documented where the feature `parking_lot` is on")]
#[derive(Debug)]
pub enum DefaultRawRwLock {}

/// The thread identity of [`StripedReentrantMutex`](crate::StripedReentrantMutex) where none is named: the address of
/// something that each thread has.
///
/// Without the feature `std` it can't be constructed, and a thread identity has to be named.
///
/// # Examples
///
/// ```
/// use stripe_lock::raw::DefaultThreadId;
/// use stripe_lock::raw::GetThreadId;
///
/// let id = DefaultThreadId::INIT;
/// assert_eq!(id.nonzero_thread_id(), id.nonzero_thread_id());
/// ```
#[cfg(all(feature = "parking_lot", not(loom)))]
pub type DefaultThreadId = parking_lot::RawThreadId;

#[cfg(all(feature = "std", any(loom, not(feature = "parking_lot"))))]
#[allow(missing_docs, reason = "documented where the feature `parking_lot` is on")]
pub type DefaultThreadId = super::thread_id::ThreadAddress;

#[cfg(not(feature = "std"))]
#[allow(missing_docs, reason = "documented where the feature `parking_lot` is on")]
#[derive(Debug)]
pub enum DefaultThreadId {}
