//! What guards and futures need from a set. The module is private and none of its traits is exported. So no code
//! outside the crate can call their methods to reach a word, a value or a queue.

use std::cell::UnsafeCell;
use std::marker::PhantomData;

use super::queue::Queue;
use super::sync::{AtomicU8, AtomicU32};
use super::word::{Mode, Word};

/// A set of stripes with its queues.
pub trait LockSet: Sized {
    /// The atomic under each stripe.
    type Word: Word;
    /// The data under each stripe.
    type Value;
    /// The word of a stripe.
    fn word(&self, stripe: usize) -> &Self::Word;
    /// The data of a stripe, to be dereferenced by a holder of that stripe.
    fn value(&self, stripe: usize) -> *mut Self::Value;
    /// The queues of all stripes.
    fn queue(&self) -> &Queue;
}

/// The private supertrait of [`Kind`](super::Kind).
pub trait KindParts: Send + Sync + 'static {
    /// The atomic under each stripe.
    type Word: Word + Send + Sync;
    /// Whether the holders of a stripe share a limited number of permits.
    const LIMITED: bool;
}

/// The private supertrait of [`Access`](super::Access).
pub trait AccessParts: Copy + Send + Sync + 'static {
    /// How a mapped guard points to its part of the data.
    type Pointer<U: ?Sized>;
    /// The mode that a stripe is taken in.
    fn mode(self) -> Mode;
}

/// Accesses that consist of their mode alone.
pub trait PlainAccess: AccessParts {
    /// The only value.
    const ACCESS: Self;
}

/// A pointer to data that others may read at the same time.
pub struct SharedPointer<U: ?Sized>(pub(super) *const U, pub(super) PhantomData<U>);

/// A pointer to data that no other code reaches.
pub struct UniquePointer<U: ?Sized>(pub(super) *mut U, pub(super) PhantomData<U>);

// SAFETY: as for `&U`, which is what the pointer is used as.
unsafe impl<U: ?Sized + Sync> Send for SharedPointer<U> {}
// SAFETY: as for `&U`.
unsafe impl<U: ?Sized + Sync> Sync for SharedPointer<U> {}
// SAFETY: as for `&mut U`, which is what the pointer is used as.
unsafe impl<U: ?Sized + Send> Send for UniquePointer<U> {}
// SAFETY: as for `&mut U`.
unsafe impl<U: ?Sized + Sync> Sync for UniquePointer<U> {}

/// One stripe: the word, and the data that a holder may reach.
pub(crate) struct Slot<T, M: KindParts> {
    pub(super) word: M::Word,
    pub(super) value: UnsafeCell<T>,
}

// SAFETY: one holder at a time reaches the value.
unsafe impl<T: Send> Sync for Slot<T, super::MutexKind> {}
// SAFETY: one writer at a time, or several readers, reach the value.
unsafe impl<T: Send + Sync> Sync for Slot<T, super::RwLockKind> {}
// SAFETY: the value is `()`, and no code accesses it.
unsafe impl Sync for Slot<(), super::SemaphoreKind> {}

impl<T, M: KindParts> Slot<T, M> {
    pub(super) fn new(word: u32, value: T) -> Self {
        Self { word: M::Word::new(word), value: UnsafeCell::new(value) }
    }
}

impl KindParts for super::MutexKind {
    type Word = AtomicU8;
    const LIMITED: bool = false;
}

impl KindParts for super::RwLockKind {
    type Word = AtomicU32;
    const LIMITED: bool = false;
}

impl KindParts for super::SemaphoreKind {
    type Word = AtomicU32;
    const LIMITED: bool = true;
}
