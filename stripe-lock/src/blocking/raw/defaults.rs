//! The default raw locks.

/// The default raw mutex: `parking_lot`'s with the feature `parking_lot`, [`ByteMutex`](super::ByteMutex) without it
/// and in a model.
///
/// Without the feature `std` there is no default: this type can't be constructed, and programs have to name a raw
/// mutex.
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
#[allow(missing_docs, reason = "documented with the feature `parking_lot`")]
pub type DefaultRawMutex = super::ByteMutex;

#[cfg(not(feature = "std"))]
#[allow(missing_docs, reason = "documented with the feature `parking_lot`")]
#[derive(Debug)]
pub enum DefaultRawMutex {}

/// The default raw read-write lock: `parking_lot`'s with the feature `parking_lot`, [`WordRwLock`](super::WordRwLock) without it,
/// and one of the model checker's in a model.
///
/// Without the feature `std` there is no default: this type can't be constructed, and programs have to name a raw
/// read-write lock.
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
#[allow(missing_docs, reason = "documented with the feature `parking_lot`")]
pub type DefaultRawRwLock = super::model::ModelRwLock;

#[cfg(all(feature = "std", not(any(feature = "parking_lot", loom))))]
#[allow(missing_docs, reason = "documented with the feature `parking_lot`")]
pub type DefaultRawRwLock = super::WordRwLock;

#[cfg(not(feature = "std"))]
#[allow(missing_docs, reason = "documented with the feature `parking_lot`")]
#[derive(Debug)]
pub enum DefaultRawRwLock {}

/// The default thread identity of [`StripedReentrantMutex`](crate::StripedReentrantMutex): the address of a
/// thread-local variable.
///
/// Without the feature `std` there is no default: this type can't be constructed, and programs have to name a thread
/// identity.
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
#[allow(missing_docs, reason = "documented with the feature `parking_lot`")]
pub type DefaultThreadId = super::thread_id::ThreadAddress;

#[cfg(not(feature = "std"))]
#[allow(missing_docs, reason = "documented with the feature `parking_lot`")]
#[derive(Debug)]
pub enum DefaultThreadId {}
