//! The methods of one key.

/// The methods that take one stripe in one way.
macro_rules! one_stripe {
    (
        [$($generics:tt)*] $set:ty, $access:ty, $new:literal, $does:literal, $tries:literal;
        $wait:ident, $try:ident, $wait_owned:ident, $try_owned:ident, $timeout:ident, $block:ident, $block_owned:ident,
        $block_timeout:ident, $unless_crowded:ident, $enqueue:ident, $at:ident, $try_at:ident
    ) => {
        impl<$($generics)*> $set {
            #[doc = concat!($does, " of `key`.")]
            ///
            /// # Panics
            ///
            /// When polled, if the set is [closed](super::AsyncStriped::close).
            ///
            /// # Cancel safety
            ///
            /// A future that is dropped leaves nothing held, and gives up its place in the queue.
            ///
            /// # Examples
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")] async fn main() {
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("let guard = locks.", stringify!($wait), "(&1).await;")]
            /// # }
            /// ```
            #[inline]
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $wait<Q>(&self, key: &Q) -> Acquire<&Self, $access>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                Acquire::new(self, self.place_of(key), access())
            }

            #[doc = concat!($tries, " of `key` if that needs no waiting, and no waiter has precedence.")]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("assert!(locks.", stringify!($try), "(&1).is_some());")]
            /// ```
            #[inline]
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $try<Q>(&self, key: &Q) -> Option<AsyncGuard<&Self, $access>>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                try_one(self, self.place_of(key), access())
            }

            #[doc = concat!("As [`", stringify!($wait), "`](Self::", stringify!($wait), "), with a guard that keeps the set alive by an `Arc`.")]
            ///
            /// # Panics
            ///
            /// When polled, if the set is closed.
            ///
            /// # Cancel safety
            ///
            /// A future that is dropped leaves nothing held, and gives up its place in the queue.
            ///
            /// # Examples
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")] async fn main() {
            #[doc = concat!("let locks = std::sync::Arc::new(", $new, ");")]
            #[doc = concat!("let guard = locks.", stringify!($wait_owned), "(&1).await;")]
            /// tokio::spawn(async move { drop(guard) });
            /// # }
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $wait_owned<Q>(self: &Arc<Self>, key: &Q) -> Acquire<Arc<Self>, $access>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                Acquire::new(self.clone(), self.place_of(key), access())
            }

            #[doc = concat!("As [`", stringify!($try), "`](Self::", stringify!($try), "), with a guard that keeps the set alive by an `Arc`.")]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = std::sync::Arc::new(", $new, ");")]
            #[doc = concat!("assert!(locks.", stringify!($try_owned), "(&1).is_some());")]
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $try_owned<Q>(self: &Arc<Self>, key: &Q) -> Option<AsyncGuard<Arc<Self>, $access>>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                try_one(self.clone(), self.place_of(key), access())
            }

            #[doc = concat!($does, " of `key` until the future `sleep` ends.")]
            ///
            /// The stripe is tried before the time is checked, so a free stripe is taken even if the time is up.
            ///
            /// # Errors
            ///
            /// [`AcquireError::Elapsed`] if `sleep` ends first, [`AcquireError::Closed`] if the set is closed.
            ///
            /// # Cancel safety
            ///
            /// A future that is dropped leaves nothing held, and gives up its place in the queue.
            ///
            /// # Examples
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")] async fn main() {
            /// use std::time::Duration;
            /// use tokio::time::sleep;
            ///
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("let guard = locks.", stringify!($timeout), "(&1, sleep(Duration::from_millis(5))).await.unwrap();")]
            /// # }
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $timeout<Q, F>(&self, key: &Q, sleep: F) -> Timeout<Acquire<&Self, $access>, F>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
                F: Future,
            {
                Timeout::new(self.$wait(key), sleep)
            }

            #[doc = concat!("As [`", stringify!($wait), "`](Self::", stringify!($wait), "), but blocks the thread, which waits in the same queue as the tasks.")]
            ///
            /// Do not call it from a task: it stops the executor's thread, and hangs for ever if that thread has to
            /// run the holder, or a future that was granted the stripe.
            ///
            /// # Panics
            ///
            /// If the set is closed.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("let guard = locks.", stringify!($block), "(&1);")]
            /// ```
            #[inline]
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $block<Q>(&self, key: &Q) -> AsyncGuard<&Self, $access>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                let place = self.place_of(key);
                // Without the feature `diagnose`, which records the caller.
                if cfg!(not(feature = "diagnose"))
                    && let Some(guard) = try_one(self, place, access())
                {
                    return guard;
                }
                block(Acquire::new(self, place, access()))
            }

            #[doc = concat!("As [`", stringify!($block), "`](Self::", stringify!($block), "), with a guard that keeps the set alive by an `Arc`.")]
            ///
            /// # Panics
            ///
            /// If the set is closed.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = std::sync::Arc::new(", $new, ");")]
            #[doc = concat!("let guard = locks.", stringify!($block_owned), "(&1);")]
            /// std::thread::spawn(move || drop(guard));
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $block_owned<Q>(self: &Arc<Self>, key: &Q) -> AsyncGuard<Arc<Self>, $access>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                block(self.$wait_owned(key))
            }

            #[doc = concat!("As [`", stringify!($block), "`](Self::", stringify!($block), "), with a time limit.")]
            ///
            /// # Errors
            ///
            /// [`AcquireError::Elapsed`] if the time is up first, [`AcquireError::Closed`] if the set is closed.
            ///
            /// # Examples
            ///
            /// ```
            /// use std::time::Duration;
            ///
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("assert!(locks.", stringify!($block_timeout), "(&1, Duration::from_millis(5)).is_ok());")]
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $block_timeout<Q>(
                &self,
                key: &Q,
                limit: Duration,
            ) -> Result<AsyncGuard<&Self, $access>, AcquireError>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                block_for(self.$wait(key), limit)
            }

            #[doc = concat!($does, " of `key`, unless it has `max_waiters` waiters already. With this, a service can shed load.")]
            ///
            /// # Errors
            ///
            /// [`AcquireError::Crowded`] if there are that many waiters, [`AcquireError::Closed`] if the set is
            /// closed.
            ///
            /// # Cancel safety
            ///
            /// A future that is dropped leaves nothing held, and gives up its place in the queue.
            ///
            /// # Examples
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")] async fn main() {
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("assert!(locks.", stringify!($unless_crowded), "(&1, 8).await.is_ok());")]
            /// # }
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $unless_crowded<Q>(&self, key: &Q, max_waiters: u32) -> Checked<Acquire<&Self, $access>>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                self.$wait(key).unless_crowded(max_waiters)
            }

            #[doc = concat!("As [`", stringify!($wait_owned), "`](Self::", stringify!($wait_owned), "), but takes its place in the queue now, and is awaited later.")]
            ///
            /// # Panics
            ///
            /// If the set is closed.
            ///
            /// # Cancel safety
            ///
            /// A future that is dropped leaves nothing held, and gives up its place in the queue.
            ///
            /// # Examples
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")] async fn main() {
            #[doc = concat!("let locks = std::sync::Arc::new(", $new, ");")]
            #[doc = concat!("let place = locks.", stringify!($enqueue), "(&1);")]
            /// tokio::spawn(async move { drop(place.await) });
            /// # }
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $enqueue<Q>(self: &Arc<Self>, key: &Q) -> Enqueued<Arc<Self>, $access>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                Enqueued::new(self.$wait_owned(key))
            }
        }

        impl<$($generics)*> $set {
            #[doc = concat!("As [`", stringify!($wait), "`](Self::", stringify!($wait), "), for the stripe with this index. With this, code can visit a set stripe by stripe.")]
            ///
            /// # Panics
            ///
            /// If `stripe` is not below [`stripes`](super::AsyncStriped::stripes); when polled, if the set is closed.
            ///
            /// # Cancel safety
            ///
            /// A future that is dropped leaves nothing held, and gives up its place in the queue.
            ///
            /// # Examples
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")] async fn main() {
            #[doc = concat!("let locks = ", $new, ";")]
            /// for stripe in 0..locks.stripes() {
            #[doc = concat!("    let guard = locks.", stringify!($at), "(stripe).await;")]
            /// }
            /// # }
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $at(&self, stripe: usize) -> Acquire<&Self, $access> {
                Acquire::new(self, self.place_at(stripe), access())
            }

            #[doc = concat!("As [`", stringify!($try), "`](Self::", stringify!($try), "), for the stripe with this index.")]
            ///
            /// # Panics
            ///
            /// If `stripe` is not below [`stripes`](super::AsyncStriped::stripes).
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("assert!(locks.", stringify!($try_at), "(3).is_some());")]
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $try_at(&self, stripe: usize) -> Option<AsyncGuard<&Self, $access>> {
                try_one(self, self.place_at(stripe), access())
            }
        }
    };
}
pub(in crate::asynchronous) use one_stripe;
