//! The set of locks, and its builder.

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::blocking::Blocking;
use crate::engine::{Engine, Space};
use crate::error::Error;
use crate::guard::DistributedGuard;
use crate::hub::Hub;
use crate::key::{HASH, Key};

/// The most stripes a namespace can have.
///
/// # Examples
///
/// ```
/// assert_eq!(stripe_lock_dist::MAX_STRIPES, 65_536);
/// ```
pub const MAX_STRIPES: u32 = 1 << 16;

/// A mutex for every key, shared by all processes that connect to the same namespace of the same engine.
///
/// A namespace has a fixed number of stripes, and the hash of a key says which stripe is its own: equal keys exclude
/// each other, and unequal keys may share a stripe. **Never take a second guard while you hold one**: name the keys
/// together ([`lock_many`](Self::lock_many)).
///
/// Clones share everything. The futures run on any executor.
///
/// # Fairness
///
/// The engine serves processes in the order in which their requests arrive. Inside a process tasks wait in the local
/// queue of [`stripe_lock::AsyncStripedMutex`]. They hand the lock to each other for as long as the builder's
/// [`hand_over_for`](Builder::hand_over_for) says, and then the process queues up again.
///
/// # Cancel safety
///
/// A future that is dropped leaves the queue, and gives back a grant if it has received one. A future that waits must
/// be polled or dropped: a future that is put aside keeps its place, and all others wait for it.
///
/// # Examples
///
/// ```no_run
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use stripe_lock_dist::{DistributedMutex, Postgres};
///
/// let engine = Postgres::new("postgresql://localhost/app")?;
/// let locks = DistributedMutex::<str>::builder("orders").stripes(4096).connect(engine).await?;
///
/// let guard = locks.lock("user/7").await?;
/// println!("holder number {}", guard.fence());
/// guard.release().await?;
///
/// let both = locks.lock_many(["user/7", "user/8"]).await?;
/// drop(both);
/// locks.close().await;
/// # Ok(())
/// # }
/// ```
pub struct DistributedMutex<K: ?Sized> {
    hub: Arc<Hub>,
    key: PhantomData<fn(&K)>,
}

impl<K: ?Sized> Clone for DistributedMutex<K> {
    fn clone(&self) -> Self {
        Self { hub: self.hub.clone(), key: PhantomData }
    }
}

impl<K: ?Sized> fmt::Debug for DistributedMutex<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DistributedMutex").field(&self.hub.worker().space).finish()
    }
}

impl<K: ?Sized> DistributedMutex<K> {
    /// Begins to connect to the namespace `name`.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock_dist::DistributedMutex;
    ///
    /// let builder = DistributedMutex::<str>::builder("orders").stripes(64);
    /// ```
    pub fn builder(name: impl Into<String>) -> Builder<K> {
        Builder {
            name: name.into(),
            stripes: 1024,
            ttl: Duration::from_secs(10),
            hand_over_for: Duration::from_millis(50),
            key: PhantomData,
        }
    }

    /// Waits for the lock of `key` without a time limit, also while the engine is restarted.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the engine does not work for this client.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn f(locks: stripe_lock_dist::DistributedMutex<str>) -> Result<(), stripe_lock_dist::Error> {
    /// let guard = locks.lock("user/7").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn lock<Q>(&self, key: &Q) -> impl Future<Output = Result<DistributedGuard, Error>> + Send + use<K, Q>
    where
        K: Borrow<Q>,
        Q: Key + ?Sized,
    {
        self.hub.clone().lock(self.hub.hash(key))
    }

    /// Takes the lock of `key` if it is free and no other task or process waits for it. This takes one round trip, and
    /// waits for no holder.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`] if the engine can't be reached, [`Error::Refused`] if it does not work for this client.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn f(locks: stripe_lock_dist::DistributedMutex<str>) -> Result<(), stripe_lock_dist::Error> {
    /// if let Some(guard) = locks.try_lock("nightly report").await? {
    ///     // no other process makes it
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_lock<Q>(
        &self,
        key: &Q,
    ) -> impl Future<Output = Result<Option<DistributedGuard>, Error>> + Send + use<K, Q>
    where
        K: Borrow<Q>,
        Q: Key + ?Sized,
    {
        self.hub.clone().try_lock(self.hub.hash(key))
    }

    /// As [`lock`](Self::lock), for at most `time`.
    ///
    /// # Errors
    ///
    /// [`Error::Elapsed`] if the time is up first, [`Error::Refused`] if the engine does not work for this client.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn f(locks: stripe_lock_dist::DistributedMutex<str>) -> Result<(), stripe_lock_dist::Error> {
    /// use std::time::Duration;
    ///
    /// let guard = locks.lock_timeout("user/7", Duration::from_millis(500)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn lock_timeout<Q>(
        &self,
        key: &Q,
        time: Duration,
    ) -> impl Future<Output = Result<DistributedGuard, Error>> + Send + use<K, Q>
    where
        K: Borrow<Q>,
        Q: Key + ?Sized,
    {
        let (hub, lock) = (self.hub.clone(), self.lock(key));
        async move { hub.in_time(time, lock).await }
    }

    /// Waits for the locks of all `keys`: in one round trip if they are free, and in any order without a deadlock.
    ///
    /// One guard holds them all. Its [`fence`](DistributedGuard::fence) is valid for each of them.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the engine does not work for this client, or if no key is named.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn f(locks: stripe_lock_dist::DistributedMutex<str>) -> Result<(), stripe_lock_dist::Error> {
    /// let both = locks.lock_many(["alice", "bob"]).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn lock_many<'q, Q>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
    ) -> impl Future<Output = Result<DistributedGuard, Error>> + Send
    where
        K: Borrow<Q>,
        Q: Key + ?Sized + 'q,
    {
        let keys = keys.into_iter().map(|key| self.hub.hash(key)).collect();
        self.hub.clone().lock_many(keys)
    }

    /// The stripe of `key`: the same in all processes.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn f(locks: stripe_lock_dist::DistributedMutex<str>) {
    /// assert!(locks.stripe_of("user/7") < 4096);
    /// # }
    /// ```
    pub fn stripe_of<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Key + ?Sized,
    {
        self.hub.stripe_of(self.hub.hash(key))
    }

    /// The same methods for threads.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn f(locks: stripe_lock_dist::DistributedMutex<str>) -> Result<(), stripe_lock_dist::Error> {
    /// let guard = locks.blocking().lock("user/7")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn blocking(&self) -> Blocking<'_, K> {
        Blocking::new(self)
    }

    /// Waits until all clones and guards are dropped and everything is given back. Without this, a process that exits
    /// at once may leave a lock behind, until its lease expires.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn f(locks: stripe_lock_dist::DistributedMutex<str>) {
    /// locks.close().await;
    /// # }
    /// ```
    pub fn close(self) -> impl Future<Output = ()> + Send + use<K> {
        let mut ended = self.hub.ended();
        drop(self);
        // Nothing is ever sent: an error says that the sender is gone.
        async move { while ended.changed().await.is_ok() {} }
    }
}

/// Connects to a namespace.
///
/// # Examples
///
/// ```no_run
/// # #[tokio::main] async fn main() -> Result<(), stripe_lock_dist::Error> {
/// use std::time::Duration;
/// use stripe_lock_dist::{DistributedMutex, Postgres};
///
/// let engine = Postgres::new("postgresql://localhost/app")?;
/// let locks = DistributedMutex::<str>::builder("orders")
///     .stripes(4096)
///     .ttl(Duration::from_secs(10))
///     .connect(engine)
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is connected before `connect`"]
pub struct Builder<K: ?Sized> {
    name: String,
    stripes: u32,
    ttl: Duration,
    hand_over_for: Duration,
    key: PhantomData<fn(&K)>,
}

impl<K: ?Sized> Builder<K> {
    /// The number of stripes, rounded up to a power of two. The default is 1,024. All clients of a namespace must have
    /// the same.
    ///
    /// # Examples
    ///
    /// ```
    /// let builder = stripe_lock_dist::DistributedMutex::<str>::builder("orders").stripes(4096);
    /// ```
    pub fn stripes(mut self, stripes: u32) -> Self {
        self.stripes = stripes;
        self
    }

    /// The longest time for which locks stay held after their process has died or lost its connection. The default is
    /// 10 seconds.
    ///
    /// The lease is renewed after each third of this time. If renewals fail, this process counts the lease as lost
    /// after 90 % of the time.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// let builder = stripe_lock_dist::DistributedMutex::<str>::builder("orders").ttl(Duration::from_secs(3));
    /// ```
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// For how long the tasks of this process hand a stripe to each other while other processes may wait for it. The
    /// default is 50 milliseconds. With zero, each holder asks the engine.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// let builder = stripe_lock_dist::DistributedMutex::<str>::builder("orders").hand_over_for(Duration::ZERO);
    /// ```
    pub fn hand_over_for(mut self, time: Duration) -> Self {
        self.hand_over_for = time;
        self
    }

    /// Connects, and joins the namespace. The first client creates it.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the number of stripes is 0, more than [`MAX_STRIPES`] or not that of the namespace, if the
    /// TTL is below 100 milliseconds or above a day, or if the engine refuses; [`Error::Unreachable`] if it can't be
    /// reached.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use stripe_lock_dist::{DistributedMutex, Error, Postgres};
    /// # async fn f() -> Result<(), Error> {
    /// let engine = Postgres::new("host=localhost dbname=app")?;
    /// let locks = DistributedMutex::<str>::builder("orders").connect(engine).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect(self, engine: impl Engine) -> Result<DistributedMutex<K>, Error> {
        let Self { name, stripes, ttl, hand_over_for, .. } = self;
        if !(1..=MAX_STRIPES).contains(&stripes) {
            return Err(Error::Refused(format!("{stripes} stripes: there must be 1 to {MAX_STRIPES}")));
        }
        if !(Duration::from_millis(100)..=Duration::from_hours(24)).contains(&ttl) {
            return Err(Error::Refused(format!("a TTL of {ttl:?}: it must be 100 ms to 24 h")));
        }
        let space = Space { name, stripes: stripes.next_power_of_two(), hash: HASH, ttl };
        let hub = Hub::connect(Box::new(engine), space, hand_over_for).await?;
        Ok(DistributedMutex { hub: Arc::new(hub), key: PhantomData })
    }
}
