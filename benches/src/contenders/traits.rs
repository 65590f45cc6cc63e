//! The operations of the locks.

/// Async mutexes whose `lock` waits for a guard.
macro_rules! async_mutex {
    ($($mutex:ty: $guard:ty;)*) => {$(
        impl AsyncMutex for $mutex {
            type Guard<'a> = $guard;

            #[inline]
            fn lock(&self) -> impl Future<Output = Self::Guard<'_>> + Send {
                self.lock()
            }
        }
    )*};
}

/// Async read-write locks whose `read` and `write` wait for guards.
macro_rules! async_rw_lock {
    ($($lock:ty: $reading:ty, $writing:ty;)*) => {$(
        impl AsyncRwLock for $lock {
            type Reading<'a> = $reading;
            type Writing<'a> = $writing;

            #[inline]
            fn read(&self) -> impl Future<Output = Self::Reading<'_>> + Send {
                self.read()
            }

            #[inline]
            fn write(&self) -> impl Future<Output = Self::Writing<'_>> + Send {
                self.write()
            }
        }
    )*};
}

pub(super) use async_mutex;
pub(super) use async_rw_lock;

/// A lock for one key at a time.
pub trait KeyLock<K: ?Sized>: Send + Sync {
    /// Runs `section` while `key` is locked.
    fn with<R>(&self, key: &K, section: impl FnOnce() -> R) -> R;

    /// Whether two keys can be held by two threads at once. Exact locks answer yes for every two different keys.
    fn apart(&self, _one: &K, _other: &K) -> bool {
        true
    }
}

/// A read-write lock for one key at a time.
pub trait KeyRwLock<K: ?Sized>: Send + Sync {
    /// Runs `section` while `key` is locked together with other readers.
    fn read<R>(&self, key: &K, section: impl FnOnce() -> R) -> R;

    /// Runs `section` while `key` is locked exclusively.
    fn write<R>(&self, key: &K, section: impl FnOnce() -> R) -> R;
}

/// A lock for several keys at once.
pub trait MultiLock<K>: Send + Sync {
    /// Runs `section` while all of `keys` are locked.
    fn with_many<R>(&self, keys: &[K], section: impl FnOnce() -> R) -> R;
}

/// An exact lock of which one thread can hold many keys at a time.
pub trait HoldMany<K> {
    /// Holds a key.
    type Guard<'a>
    where
        Self: 'a;

    /// Locks a free key.
    fn hold(&self, key: K) -> Self::Guard<'_>;
}

/// A lock for one key at a time, awaited. It returns a guard, because its section may await, too.
pub trait AsyncKeyLock<K>: Send + Sync {
    /// Holds the lock of a key.
    type Guard<'a>: Send
    where
        Self: 'a,
        K: 'a;

    /// Waits for `key`.
    fn lock<'a>(&'a self, key: &'a K) -> impl Future<Output = Self::Guard<'a>> + Send;

    /// Whether two keys can be held by two tasks at once. Exact locks answer yes for every two different keys.
    fn apart(&self, _one: &K, _other: &K) -> bool {
        true
    }
}

/// A lock for several keys at once, awaited.
pub trait AsyncMultiLock<K>: Send + Sync {
    /// Holds the locks of several keys.
    type Guards<'a>: Send
    where
        Self: 'a,
        K: 'a;

    /// Waits for all of `keys`.
    fn lock_many<'a>(&'a self, keys: &'a [K]) -> impl Future<Output = Self::Guards<'a>> + Send;
}

/// A read-write lock for one key at a time, awaited.
pub trait AsyncKeyRwLock<K>: Send + Sync {
    /// Holds the lock of a key together with other readers.
    type Reading<'a>: Send
    where
        Self: 'a,
        K: 'a;
    /// Holds the lock of a key exclusively.
    type Writing<'a>: Send
    where
        Self: 'a,
        K: 'a;

    /// Waits until there is no writer of `key`.
    fn read<'a>(&'a self, key: &'a K) -> impl Future<Output = Self::Reading<'a>> + Send;

    /// Waits until there is no other holder of `key`.
    fn write<'a>(&'a self, key: &'a K) -> impl Future<Output = Self::Writing<'a>> + Send;
}

/// An async mutex without keys.
pub trait AsyncMutex: Default + Send + Sync {
    /// Holds the mutex.
    type Guard<'a>: Send
    where
        Self: 'a;

    /// Waits for the mutex.
    fn lock(&self) -> impl Future<Output = Self::Guard<'_>> + Send;
}

/// An async read-write lock without keys.
pub trait AsyncRwLock: Default + Send + Sync {
    /// Holds the lock together with other readers.
    type Reading<'a>: Send
    where
        Self: 'a;
    /// Holds the lock exclusively.
    type Writing<'a>: Send
    where
        Self: 'a;

    /// Waits until there is no writer.
    fn read(&self) -> impl Future<Output = Self::Reading<'_>> + Send;

    /// Waits until there is no other holder.
    fn write(&self) -> impl Future<Output = Self::Writing<'_>> + Send;
}

/// An async mutex without keys that also has a blocking method.
pub trait BlockingMutex: AsyncMutex {
    /// Blocks the thread until it holds the mutex.
    fn blocking_lock(&self) -> Self::Guard<'_>;
}
