//! Sessions: the compiler makes sure that there is only one guard at a time.

use core::borrow::Borrow;
use core::fmt;
use core::hash::{BuildHasher, Hash};

use crate::blocking::lock::StripedLock;
use crate::blocking::mutex::{MutexGuard, MutexMultiGuard};
use crate::blocking::raw::{ForMutex, ForRwLock, RawMutex, RawRwLock};
use crate::blocking::rwlock::{ReadMultiGuard, RwLockReadGuard, RwLockWriteGuard, WriteMultiGuard};

/// Locks stripes of a set, with one guard at a time: code that would have a second guard does not compile. Made by
/// [`session`](StripedLock::session).
///
/// A thread that takes a second guard can deadlock with another thread, or with itself, because keys share stripes by
/// chance. Debug builds panic when that happens. With a session, such code does not compile. Give each thread or each
/// request one session, and pass it by `&mut`.
///
/// # Examples
///
/// ```
/// use std::collections::HashMap;
/// use stripe_lock::StripedMutex;
///
/// let balances: StripedMutex<str, HashMap<String, i64>> = StripedMutex::new(64);
/// let mut session = balances.session();
/// session.lock("alice").insert("alice".into(), 100);
/// session.lock("bob").insert("bob".into(), 20); // the first guard was dropped
///
/// let mut both = session.lock_many(["alice", "bob"]);
/// *both.get_mut("alice").unwrap().get_mut("alice").unwrap() -= 30;
/// *both.get_mut("bob").unwrap().get_mut("bob").unwrap() += 30;
/// ```
///
/// Without a session, this would hang in one of 64 runs:
///
/// ```compile_fail,E0499
/// use std::collections::HashMap;
/// use stripe_lock::StripedMutex;
///
/// let balances: StripedMutex<str, HashMap<String, i64>> = StripedMutex::new(64);
/// let mut session = balances.session();
/// let alice = session.lock("alice");
/// let bob = session.lock("bob");
/// drop((alice, bob));
/// ```
pub struct Session<'a, K: ?Sized, T, L, S> {
    set: &'a StripedLock<K, T, L, S>,
}

impl<K: ?Sized, T, L, S> StripedLock<K, T, L, S> {
    /// A session of this set, in which there is one guard at a time.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::StripedMutex::<str>::new(64);
    /// let mut session = locks.session();
    /// drop(session.lock("alice"));
    /// drop(session.lock("bob"));
    /// ```
    pub fn session(&self) -> Session<'_, K, T, L, S> {
        Session { set: self }
    }
}

/// Methods of the set that take `&mut self` here.
macro_rules! methods {
    (
        $set:ident, $guard:ty, $many_guard:ty;
        $wait:ident $try:ident $many:ident $try_many:ident $all:ident $try_all:ident
    ) => {
        #[doc = concat!("As [`", stringify!($wait), "`](crate::", stringify!($set), "::", stringify!($wait), ") of the set.")]
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let locks = stripe_lock::", stringify!($set), "::<str>::new(64);")]
        #[doc = concat!("drop(locks.session().", stringify!($wait), "(\"key\"));")]
        /// ```
        #[inline]
        #[track_caller]
        pub fn $wait<Q>(&mut self, key: &Q) -> $guard
        where
            K: Borrow<Q>,
            Q: Hash + ?Sized,
        {
            self.set.$wait(key)
        }

        #[doc = concat!("As [`", stringify!($try), "`](crate::", stringify!($set), "::", stringify!($try), ") of the set.")]
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let locks = stripe_lock::", stringify!($set), "::<str>::new(64);")]
        #[doc = concat!("assert!(locks.session().", stringify!($try), "(\"key\").is_some());")]
        /// ```
        #[inline]
        #[track_caller]
        pub fn $try<Q>(&mut self, key: &Q) -> Option<$guard>
        where
            K: Borrow<Q>,
            Q: Hash + ?Sized,
        {
            self.set.$try(key)
        }

        #[doc = concat!("As [`", stringify!($many), "`](crate::", stringify!($set), "::", stringify!($many), ") of the set.")]
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let locks = stripe_lock::", stringify!($set), "::<str>::new(64);")]
        #[doc = concat!("assert!(locks.session().", stringify!($many), "([\"a\", \"b\"]).holds(\"b\"));")]
        /// ```
        #[inline]
        #[track_caller]
        pub fn $many<'q, Q>(&mut self, keys: impl IntoIterator<Item = &'q Q>) -> $many_guard
        where
            K: Borrow<Q>,
            Q: Hash + ?Sized + 'q,
        {
            self.set.$many(keys)
        }

        #[doc = concat!("As [`", stringify!($try_many), "`](crate::", stringify!($set), "::", stringify!($try_many), ") of the set.")]
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let locks = stripe_lock::", stringify!($set), "::<str>::new(64);")]
        #[doc = concat!("assert!(locks.session().", stringify!($try_many), "([\"a\", \"b\"]).is_some());")]
        /// ```
        #[inline]
        #[track_caller]
        pub fn $try_many<'q, Q>(&mut self, keys: impl IntoIterator<Item = &'q Q>) -> Option<$many_guard>
        where
            K: Borrow<Q>,
            Q: Hash + ?Sized + 'q,
        {
            self.set.$try_many(keys)
        }

        #[doc = concat!("As [`", stringify!($all), "`](crate::", stringify!($set), "::", stringify!($all), ") of the set.")]
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let locks = stripe_lock::", stringify!($set), "::<str>::new(64);")]
        #[doc = concat!("assert_eq!(locks.session().", stringify!($all), "().len(), 64);")]
        /// ```
        #[track_caller]
        pub fn $all(&mut self) -> $many_guard {
            self.set.$all()
        }

        #[doc = concat!("As [`", stringify!($try_all), "`](crate::", stringify!($set), "::", stringify!($try_all), ") of the set.")]
        ///
        /// # Examples
        ///
        /// ```
        #[doc = concat!("let locks = stripe_lock::", stringify!($set), "::<str>::new(64);")]
        #[doc = concat!("assert!(locks.session().", stringify!($try_all), "().is_some());")]
        /// ```
        #[track_caller]
        pub fn $try_all(&mut self) -> Option<$many_guard> {
            self.set.$try_all()
        }
    };
}

impl<K: ?Sized, T, R: RawMutex, S: BuildHasher> Session<'_, K, T, ForMutex<R>, S> {
    methods!(StripedMutex, MutexGuard<'_, T, R>, MutexMultiGuard<'_, K, T, R, S>;
        lock try_lock lock_many try_lock_many lock_all try_lock_all);
}

impl<K: ?Sized, T, R: RawRwLock, S: BuildHasher> Session<'_, K, T, ForRwLock<R>, S> {
    methods!(StripedRwLock, RwLockReadGuard<'_, T, R>, ReadMultiGuard<'_, K, T, R, S>;
        read try_read read_many try_read_many read_all try_read_all);
    methods!(StripedRwLock, RwLockWriteGuard<'_, T, R>, WriteMultiGuard<'_, K, T, R, S>;
        write try_write write_many try_write_many write_all try_write_all);
}

impl<K: ?Sized, T, L, S> fmt::Debug for Session<'_, K, T, L, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("set", self.set).finish()
    }
}
