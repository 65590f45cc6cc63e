//! The methods of several keys.

/// The methods that take the stripes of several keys in one way.
macro_rules! several_keys {
    (
        [$($generics:tt)*] $set:ty, $access:ty, $new:literal, $does:literal, $tries:literal;
        $wait:ident, $try:ident, $wait_owned:ident, $try_owned:ident, $block:ident, $block_timeout:ident
    ) => {
        impl<$($generics)*> $set {
            #[doc = concat!($does, " of all `keys`. Operations of this kind can't deadlock with each other, whatever the order of their keys.")]
            ///
            /// Keys that share a stripe count once.
            ///
            /// # Panics
            ///
            /// When polled, if the set is [closed](super::AsyncStriped::close).
            ///
            /// # Cancel safety
            ///
            /// A future that is dropped leaves nothing held.
            ///
            /// # Examples
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")] async fn main() {
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("assert!(locks.", stringify!($wait), "(&[2, 1, 2]).await.holds(&1));")]
            /// # }
            /// ```
            #[inline]
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $wait<'q, Q>(
                &self,
                keys: impl IntoIterator<Item = &'q Q>,
            ) -> AcquireMany<&Self, UniformPlan<$access>>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized + 'q,
            {
                AcquireMany::new(self, UniformPlan::new(self.set_of(keys)))
            }

            #[doc = concat!($tries, " of all `keys` if that needs no waiting; takes nothing otherwise.")]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("assert!(locks.", stringify!($try), "(&[1, 2]).is_some());")]
            /// ```
            #[inline]
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $try<'q, Q>(
                &self,
                keys: impl IntoIterator<Item = &'q Q>,
            ) -> Option<AsyncMultiGuard<&Self, UniformPlan<$access>>>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized + 'q,
            {
                try_many(self, UniformPlan::new(self.set_of(keys)))
            }

            #[doc = concat!("As [`", stringify!($wait), "`](Self::", stringify!($wait), "), with a guard that keeps the set alive by an `Arc`.")]
            ///
            /// # Panics
            ///
            /// When polled, if the set is closed.
            ///
            /// # Cancel safety
            ///
            /// A future that is dropped leaves nothing held.
            ///
            /// # Examples
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")] async fn main() {
            #[doc = concat!("let locks = std::sync::Arc::new(", $new, ");")]
            #[doc = concat!("let guard = locks.", stringify!($wait_owned), "(&[1, 2]).await;")]
            /// tokio::spawn(async move { drop(guard) });
            /// # }
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $wait_owned<'q, Q>(
                self: &Arc<Self>,
                keys: impl IntoIterator<Item = &'q Q>,
            ) -> AcquireMany<Arc<Self>, UniformPlan<$access>>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized + 'q,
            {
                AcquireMany::new(self.clone(), UniformPlan::new(self.set_of(keys)))
            }

            #[doc = concat!("As [`", stringify!($try), "`](Self::", stringify!($try), "), with a guard that keeps the set alive by an `Arc`.")]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = std::sync::Arc::new(", $new, ");")]
            #[doc = concat!("assert!(locks.", stringify!($try_owned), "(&[1, 2]).is_some());")]
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $try_owned<'q, Q>(
                self: &Arc<Self>,
                keys: impl IntoIterator<Item = &'q Q>,
            ) -> Option<AsyncMultiGuard<Arc<Self>, UniformPlan<$access>>>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized + 'q,
            {
                try_many(self.clone(), UniformPlan::new(self.set_of(keys)))
            }

            #[doc = concat!("As [`", stringify!($wait), "`](Self::", stringify!($wait), "), but blocks the thread. Do not call it from a task.")]
            ///
            /// # Panics
            ///
            /// If the set is closed.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("assert!(locks.", stringify!($block), "(&[1, 2]).holds(&2));")]
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $block<'q, Q>(
                &self,
                keys: impl IntoIterator<Item = &'q Q>,
            ) -> AsyncMultiGuard<&Self, UniformPlan<$access>>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized + 'q,
            {
                block(self.$wait(keys))
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
            #[doc = concat!("assert!(locks.", stringify!($block_timeout), "(&[1, 2], Duration::from_millis(5)).is_ok());")]
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $block_timeout<'q, Q>(
                &self,
                keys: impl IntoIterator<Item = &'q Q>,
                limit: Duration,
            ) -> Result<AsyncMultiGuard<&Self, UniformPlan<$access>>, AcquireError>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized + 'q,
            {
                block_for(self.$wait(keys), limit)
            }
        }
    };
}
pub(in crate::asynchronous) use several_keys;
