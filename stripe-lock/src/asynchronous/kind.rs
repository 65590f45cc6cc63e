//! The kinds of async sets and the ways of holding their stripes, as types.

use super::sealed::{AccessParts, KindParts, PlainAccess, SharedPointer, UniquePointer};
use super::word::Mode;

/// The kind of lock that every stripe is: [`MutexKind`], [`RwLockKind`] or [`SemaphoreKind`].
///
/// The trait is sealed. It has no methods.
///
/// # Examples
///
/// ```
/// fn kind<M: stripe_lock::asynchronous::Kind>() {}
/// kind::<stripe_lock::asynchronous::SemaphoreKind>();
/// ```
///
/// ```compile_fail,E0277
/// enum Mine {}
/// impl stripe_lock::asynchronous::Kind for Mine {}
/// ```
pub trait Kind: KindParts {}

/// The kinds whose stripes guard data.
///
/// The trait is sealed. It has no methods.
///
/// # Examples
///
/// ```
/// fn guards<M: stripe_lock::asynchronous::Guards>() {}
/// guards::<stripe_lock::asynchronous::RwLockKind>();
/// ```
///
/// ```compile_fail,E0277
/// enum Mine {}
/// impl stripe_lock::asynchronous::Guards for Mine {}
/// ```
pub trait Guards: Kind {}

/// Stripes of one byte that are held exclusively.
///
/// # Examples
///
/// ```
/// use stripe_lock::DefaultHasher;
/// use stripe_lock::asynchronous::{AsyncStriped, MutexKind};
///
/// fn same(locks: AsyncStriped<u64, (), DefaultHasher, MutexKind>) -> stripe_lock::AsyncStripedMutex<u64> {
///     locks
/// }
/// ```
#[derive(Debug)]
pub enum MutexKind {}

/// Stripes of 32 bits that are held by one writer or by any number of readers.
///
/// # Examples
///
/// ```
/// use stripe_lock::DefaultHasher;
/// use stripe_lock::asynchronous::{AsyncStriped, RwLockKind};
///
/// fn same(locks: AsyncStriped<u64, (), DefaultHasher, RwLockKind>) -> stripe_lock::AsyncStripedRwLock<u64> {
///     locks
/// }
/// ```
#[derive(Debug)]
pub enum RwLockKind {}

/// Stripes of 32 bits that give out a number of permits.
///
/// # Examples
///
/// ```
/// use stripe_lock::DefaultHasher;
/// use stripe_lock::asynchronous::{AsyncStriped, SemaphoreKind};
///
/// fn same(locks: AsyncStriped<u64, (), DefaultHasher, SemaphoreKind>) -> stripe_lock::AsyncStripedSemaphore<u64> {
///     locks
/// }
/// ```
#[derive(Debug)]
pub enum SemaphoreKind {}

impl Kind for MutexKind {}
impl Kind for RwLockKind {}
impl Kind for SemaphoreKind {}
impl Guards for MutexKind {}
impl Guards for RwLockKind {}

/// A way of holding a stripe: [`Read`], [`Write`], [`Upgradable`] or [`Permits`].
///
/// The trait is sealed. It has no methods.
///
/// # Examples
///
/// ```
/// fn access<A: stripe_lock::asynchronous::Access>() {}
/// access::<stripe_lock::asynchronous::Read>();
/// ```
///
/// ```compile_fail,E0277
/// #[derive(Clone, Copy)]
/// struct Mine;
/// impl stripe_lock::asynchronous::Access for Mine {}
/// ```
pub trait Access: AccessParts {}

/// Shared access: any number of holders at a time.
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedRwLock;
/// use stripe_lock::asynchronous::{AsyncGuard, Read};
///
/// let locks = AsyncStripedRwLock::<u64>::new(4);
/// let _guard: AsyncGuard<&AsyncStripedRwLock<u64>, Read> = locks.blocking_read(&1);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Read(());

/// Exclusive access: one holder at a time.
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedMutex;
/// use stripe_lock::asynchronous::{AsyncGuard, Write};
///
/// let locks = AsyncStripedMutex::<u64>::new(4);
/// let _guard: AsyncGuard<&AsyncStripedMutex<u64>, Write> = locks.blocking_lock(&1);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Write(());

/// Shared access that can become exclusive: one holder at a time, beside any number of readers.
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedRwLock;
/// use stripe_lock::asynchronous::{AsyncGuard, Upgradable};
///
/// let locks = AsyncStripedRwLock::<u64>::new(4);
/// let _guard: AsyncGuard<&AsyncStripedRwLock<u64>, Upgradable> = locks.blocking_upgradable_read(&1);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Upgradable(());

/// A number of permits of one stripe of a semaphore.
///
/// # Examples
///
/// ```
/// use stripe_lock::AsyncStripedSemaphore;
/// use stripe_lock::asynchronous::{AsyncGuard, Permits};
///
/// let limits = AsyncStripedSemaphore::<u64>::new(4, 3);
/// let _two: AsyncGuard<&AsyncStripedSemaphore<u64>, Permits> = limits.blocking_acquire_many(&1, 2);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Permits(pub(super) u32);

impl Access for Read {}
impl Access for Write {}
impl Access for Upgradable {}
impl Access for Permits {}

/// The parts of an access of one mode.
macro_rules! plain {
    ($access:ident, $mode:expr, $pointer:ident) => {
        impl AccessParts for $access {
            type Pointer<U: ?Sized> = $pointer<U>;

            #[inline(always)]
            fn mode(self) -> Mode {
                $mode
            }
        }

        impl PlainAccess for $access {
            const ACCESS: Self = Self(());
        }
    };
}

plain!(Read, Mode::Shared(1), SharedPointer);
plain!(Write, Mode::Exclusive, UniquePointer);
plain!(Upgradable, Mode::Upgradable, SharedPointer);

impl AccessParts for Permits {
    type Pointer<U: ?Sized> = SharedPointer<U>;

    #[inline(always)]
    fn mode(self) -> Mode {
        Mode::Shared(self.0)
    }
}

/// The only value of a plain access.
#[inline(always)]
pub(super) fn access<A: PlainAccess>() -> A {
    A::ACCESS
}
