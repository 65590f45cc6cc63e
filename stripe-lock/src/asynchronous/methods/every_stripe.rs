//! The methods of all stripes.

/// The methods that take every stripe in one way.
macro_rules! every_stripe {
    (
        [$($generics:tt)*] $set:ty, $access:ty, $new:literal, $does:literal, $tries:literal;
        $wait:ident, $try:ident, $wait_owned:ident, $block:ident
    ) => {
        impl<$($generics)*> $set {
            #[doc = concat!($does, ". These are the same locks that operations on single keys take.")]
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
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("assert_eq!(locks.", stringify!($wait), "().await.len(), 64);")]
            /// # }
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $wait(&self) -> AcquireMany<&Self, UniformPlan<$access>> {
                AcquireMany::new(self, UniformPlan::new(self.every()))
            }

            #[doc = concat!($tries, " if that needs no waiting; takes nothing otherwise.")]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = ", $new, ";")]
            #[doc = concat!("assert!(locks.", stringify!($try), "().is_some());")]
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $try(&self) -> Option<AsyncMultiGuard<&Self, UniformPlan<$access>>> {
                try_many(self, UniformPlan::new(self.every()))
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
            #[doc = concat!("let guard = locks.", stringify!($wait_owned), "().await;")]
            /// tokio::spawn(async move { drop(guard) });
            /// # }
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $wait_owned(self: &Arc<Self>) -> AcquireMany<Arc<Self>, UniformPlan<$access>> {
                AcquireMany::new(self.clone(), UniformPlan::new(self.every()))
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
            #[doc = concat!("assert_eq!(locks.", stringify!($block), "().len(), 64);")]
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn $block(&self) -> AsyncMultiGuard<&Self, UniformPlan<$access>> {
                block(self.$wait())
            }
        }
    };
}
pub(in crate::asynchronous) use every_stripe;
