//! The data of two keys at once.

/// The data of the stripes of two keys, to change both. Two keys may share a stripe.
///
/// # Examples
///
/// ```
/// use stripe_lock::{Pair, StripedMutex};
///
/// let locks = StripedMutex::<u64, u32>::new(64);
/// let mut guard = locks.lock_many(&[1, 2]);
/// match guard.get_pair_mut(&1, &2).unwrap() {
///     Pair::Two(one, two) => std::mem::swap(one, two),
///     Pair::Same(_) => (),
/// }
/// ```
#[derive(Debug, PartialEq, Eq)]
pub enum Pair<'g, T> {
    /// The keys share a stripe.
    Same(&'g mut T),
    /// The data of the first key's stripe, and of the second one's.
    Two(&'g mut T, &'g mut T),
}
