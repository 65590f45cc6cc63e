//! Sessions: the compiler makes sure that a task has only one guard of a set at a time.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash};

use super::acquire::{Acquire, AcquireMany};
use super::guard::AsyncGuard;
use super::kind::{Kind, MutexKind, Read, RwLockKind, Write};
use super::multi::AsyncMultiGuard;
use super::mutex::AsyncStripedMutex;
use super::plan::UniformPlan;
use super::rwlock::AsyncStripedRwLock;
use super::set::AsyncStriped;

/// Locks stripes of an async set, with one guard at a time: code that would have a second guard does not compile. Made by
/// [`session`](AsyncStriped::session).
///
/// A task that holds a guard and awaits a second one can wait for itself, because keys share stripes by chance, or for a
/// task that does the same in another order. With a session, such code does not compile. Give each task or each
/// request one session, and pass it by `&mut`. The futures borrow the session too, so they run one after the other.
///
/// The feature `check` has no record of what tasks hold. The futures of one `join!` may lock the same stripe one after the
/// other, which ends, and a record could not tell them from a task that waits for itself. With the feature `diagnose`, the
/// set lists the tasks that wait for each other.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::collections::HashMap;
/// use stripe_lock::AsyncStripedMutex;
///
/// let balances = AsyncStripedMutex::<str, HashMap<String, i64>>::new(64);
/// let mut session = balances.session();
/// session.lock("alice").await.insert("alice".into(), 100);
/// session.lock("bob").await.insert("bob".into(), 20); // the first guard was dropped
///
/// let mut both = session.lock_many(["alice", "bob"]).await;
/// *both.get_mut("alice").unwrap().get_mut("alice").unwrap() -= 30;
/// *both.get_mut("bob").unwrap().get_mut("bob").unwrap() += 30;
/// # }
/// ```
///
/// Without a session, this would hang in one of 64 runs:
///
/// ```compile_fail,E0499
/// # async fn transfer() {
/// use stripe_lock::AsyncStripedMutex;
///
/// let balances = AsyncStripedMutex::<str, i64>::new(64);
/// let mut session = balances.session();
/// let alice = session.lock("alice").await;
/// let bob = session.lock("bob").await;
/// drop((alice, bob));
/// # }
/// ```
pub struct AsyncSession<'a, K: ?Sized, T, S, M: Kind> {
    set: &'a AsyncStriped<K, T, S, M>,
}

impl<K: ?Sized, T, S, M: Kind> AsyncStriped<K, T, S, M> {
    /// A session of this set, in which there is one guard at a time. Mutexes and read-write locks have methods for it.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let locks = stripe_lock::AsyncStripedMutex::<str>::new(64);
    /// let mut session = locks.session();
    /// drop(session.lock("alice").await);
    /// drop(session.lock("bob").await);
    /// # }
    /// ```
    pub fn session(&self) -> AsyncSession<'_, K, T, S, M> {
        AsyncSession { set: self }
    }
}

/// Methods of the set that take `&mut self` here.
macro_rules! methods {
    (
        $set:ident, $access:ty;
        $wait:ident $try:ident $many:ident $try_many:ident $all:ident $try_all:ident
    ) => {
        #[doc = concat!("As [`", stringify!($wait), "`](crate::", stringify!($set), "::", stringify!($wait), ") of the set.")]
        ///
        /// # Examples
        ///
        /// ```
        /// # #[tokio::main(flavor = "current_thread")] async fn main() {
        #[doc = concat!("let locks = stripe_lock::", stringify!($set), "::<str>::new(64);")]
        #[doc = concat!("drop(locks.session().", stringify!($wait), "(\"key\").await);")]
        /// # }
        /// ```
        #[inline]
        #[cfg_attr(feature = "diagnose", track_caller)]
        pub fn $wait<Q>(&mut self, key: &Q) -> Acquire<&$set<K, T, S>, $access>
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
        #[cfg_attr(feature = "diagnose", track_caller)]
        pub fn $try<Q>(&mut self, key: &Q) -> Option<AsyncGuard<&$set<K, T, S>, $access>>
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
        /// # #[tokio::main(flavor = "current_thread")] async fn main() {
        #[doc = concat!("let locks = stripe_lock::", stringify!($set), "::<str>::new(64);")]
        #[doc = concat!("assert!(locks.session().", stringify!($many), "([\"a\", \"b\"]).await.holds(\"b\"));")]
        /// # }
        /// ```
        #[inline]
        #[cfg_attr(feature = "diagnose", track_caller)]
        pub fn $many<'q, Q>(
            &mut self,
            keys: impl IntoIterator<Item = &'q Q>,
        ) -> AcquireMany<&$set<K, T, S>, UniformPlan<$access>>
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
        #[cfg_attr(feature = "diagnose", track_caller)]
        pub fn $try_many<'q, Q>(
            &mut self,
            keys: impl IntoIterator<Item = &'q Q>,
        ) -> Option<AsyncMultiGuard<&$set<K, T, S>, UniformPlan<$access>>>
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
        /// # #[tokio::main(flavor = "current_thread")] async fn main() {
        #[doc = concat!("let locks = stripe_lock::", stringify!($set), "::<str>::new(64);")]
        #[doc = concat!("assert_eq!(locks.session().", stringify!($all), "().await.len(), 64);")]
        /// # }
        /// ```
        #[cfg_attr(feature = "diagnose", track_caller)]
        pub fn $all(&mut self) -> AcquireMany<&$set<K, T, S>, UniformPlan<$access>> {
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
        #[cfg_attr(feature = "diagnose", track_caller)]
        pub fn $try_all(&mut self) -> Option<AsyncMultiGuard<&$set<K, T, S>, UniformPlan<$access>>> {
            self.set.$try_all()
        }
    };
}

impl<K: ?Sized, T, S: BuildHasher> AsyncSession<'_, K, T, S, MutexKind> {
    methods!(AsyncStripedMutex, Write; lock try_lock lock_many try_lock_many lock_all try_lock_all);
}

impl<K: ?Sized, T, S: BuildHasher> AsyncSession<'_, K, T, S, RwLockKind> {
    methods!(AsyncStripedRwLock, Read; read try_read read_many try_read_many read_all try_read_all);
    methods!(AsyncStripedRwLock, Write; write try_write write_many try_write_many write_all try_write_all);
}

impl<K: ?Sized, T, S, M: Kind> fmt::Debug for AsyncSession<'_, K, T, S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncSession").field("set", self.set).finish()
    }
}
