//! The locking methods of the sets. They are the same for each kind of lock and each mode, except for their names.

/// The methods that take one stripe in one mode: blocking, trying, with a timeout, with a deadline, through an `Arc`,
/// by index.
macro_rules! one_stripe {
    (
        $set:ident: $type:ty, $does:literal, $panics:literal; impl[$($generics:tt)*];
        $guard:ty, $arc_guard:ty, where $raw:ident: $timed:path;
        $wait:ident, $try:ident, $for:ident, $until:ident; $wait_arc:ident, $try_arc:ident, $for_arc:ident, $until_arc:ident;
        $wait_stripe:ident, $try_stripe:ident
    ) => {
        impl<K: ?Sized, T, $($generics)*, S: BuildHasher> $type {
            #[doc = concat!($does, " the stripe of `key`. Blocks until it is acquired.")]
            ///
            /// # Panics
            ///
            #[doc = $panics]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = stripe_lock::", stringify!($set), "::<str, u32>::new(64);")]
            #[doc = concat!("assert_eq!(*locks.", stringify!($wait), "(\"key\"), 0);")]
            /// ```
            #[inline]
            #[track_caller]
            pub fn $wait<Q>(&self, key: &Q) -> $guard
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                self.wait(self.locate(key))
            }

            #[doc = concat!($does, " the stripe of `key` if it is free.")]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = stripe_lock::", stringify!($set), "::<str, u32>::new(64);")]
            #[doc = concat!("assert!(locks.", stringify!($try), "(\"key\").is_some());")]
            /// ```
            #[inline]
            #[track_caller]
            pub fn $try<Q>(&self, key: &Q) -> Option<$guard>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                self.attempt(self.locate(key), Try)
            }

            #[doc = concat!($does, " the stripe of `key`, or returns `None` after `timeout`.")]
            ///
            /// # Examples
            ///
            /// ```
            /// use std::time::Duration;
            ///
            #[doc = concat!("let locks = stripe_lock::", stringify!($set), "::<str, u32>::new(64);")]
            #[doc = concat!("assert!(locks.", stringify!($for), "(\"key\", Duration::from_millis(5)).is_some());")]
            /// ```
            #[inline]
            #[track_caller]
            pub fn $for<Q>(&self, key: &Q, timeout: $raw::Duration) -> Option<$guard>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
                $raw: $timed,
                $raw::Duration: Copy,
            {
                self.attempt(self.locate(key), For(timeout))
            }

            #[doc = concat!($does, " the stripe of `key`, or returns `None` at `deadline`.")]
            ///
            /// # Examples
            ///
            /// ```
            /// use std::time::{Duration, Instant};
            ///
            #[doc = concat!("let locks = stripe_lock::", stringify!($set), "::<str, u32>::new(64);")]
            /// let soon = Instant::now() + Duration::from_millis(5);
            #[doc = concat!("assert!(locks.", stringify!($until), "(\"key\", soon).is_some());")]
            /// ```
            #[inline]
            #[track_caller]
            pub fn $until<Q>(&self, key: &Q, deadline: $raw::Instant) -> Option<$guard>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
                $raw: $timed,
                $raw::Instant: Copy,
            {
                self.attempt(self.locate(key), Until(deadline))
            }

            #[doc = concat!("As [`", stringify!($wait), "`](Self::", stringify!($wait), "), with a guard that keeps the set alive.")]
            ///
            /// # Panics
            ///
            #[doc = $panics]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = std::sync::Arc::new(stripe_lock::", stringify!($set), "::<str, u32>::new(64));")]
            #[doc = concat!("let guard = locks.", stringify!($wait_arc), "(\"key\");")]
            /// drop(locks);
            /// assert_eq!(*guard, 0);
            /// ```
            #[track_caller]
            pub fn $wait_arc<Q>(self: &Arc<Self>, key: &Q) -> $arc_guard
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                self.wait_arc(self.locate(key))
            }

            #[doc = concat!("As [`", stringify!($try), "`](Self::", stringify!($try), "), with a guard that keeps the set alive.")]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = std::sync::Arc::new(stripe_lock::", stringify!($set), "::<str, u32>::new(64));")]
            #[doc = concat!("assert!(locks.", stringify!($try_arc), "(\"key\").is_some());")]
            /// ```
            #[track_caller]
            pub fn $try_arc<Q>(self: &Arc<Self>, key: &Q) -> Option<$arc_guard>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                self.attempt_arc(self.locate(key), Try)
            }

            #[doc = concat!("As [`", stringify!($for), "`](Self::", stringify!($for), "), with a guard that keeps the set alive.")]
            ///
            /// # Examples
            ///
            /// ```
            /// use std::time::Duration;
            ///
            #[doc = concat!("let locks = std::sync::Arc::new(stripe_lock::", stringify!($set), "::<str, u32>::new(64));")]
            #[doc = concat!("assert!(locks.", stringify!($for_arc), "(\"key\", Duration::from_millis(5)).is_some());")]
            /// ```
            #[track_caller]
            pub fn $for_arc<Q>(self: &Arc<Self>, key: &Q, timeout: $raw::Duration) -> Option<$arc_guard>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
                $raw: $timed,
                $raw::Duration: Copy,
            {
                self.attempt_arc(self.locate(key), For(timeout))
            }

            #[doc = concat!("As [`", stringify!($until), "`](Self::", stringify!($until), "), with a guard that keeps the set alive.")]
            ///
            /// # Examples
            ///
            /// ```
            /// use std::time::{Duration, Instant};
            ///
            #[doc = concat!("let locks = std::sync::Arc::new(stripe_lock::", stringify!($set), "::<str, u32>::new(64));")]
            /// let soon = Instant::now() + Duration::from_millis(5);
            #[doc = concat!("assert!(locks.", stringify!($until_arc), "(\"key\", soon).is_some());")]
            /// ```
            #[track_caller]
            pub fn $until_arc<Q>(self: &Arc<Self>, key: &Q, deadline: $raw::Instant) -> Option<$arc_guard>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
                $raw: $timed,
                $raw::Instant: Copy,
            {
                self.attempt_arc(self.locate(key), Until(deadline))
            }

            #[doc = concat!($does, " the stripe with this index. Blocks until it is acquired. For code that goes through a set stripe by stripe.")]
            ///
            /// # Panics
            ///
            /// If `index` is not below [`stripes`](Self::stripes).
            #[doc = $panics]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = stripe_lock::", stringify!($set), "::<str, u32>::new(64);")]
            #[doc = concat!("let sum: u32 = (0..locks.stripes()).map(|index| *locks.", stringify!($wait_stripe), "(index)).sum();")]
            /// assert_eq!(sum, 0);
            /// ```
            #[inline]
            #[track_caller]
            pub fn $wait_stripe(&self, index: usize) -> $guard {
                self.wait(Located::of_stripe(index))
            }

            #[doc = concat!($does, " the stripe with this index if it is free.")]
            ///
            /// # Panics
            ///
            /// If `index` is not below [`stripes`](Self::stripes).
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = stripe_lock::", stringify!($set), "::<str, u32>::new(64);")]
            #[doc = concat!("assert!(locks.", stringify!($try_stripe), "(63).is_some());")]
            /// ```
            #[inline]
            #[track_caller]
            pub fn $try_stripe(&self, index: usize) -> Option<$guard> {
                self.attempt(Located::of_stripe(index), Try)
            }
        }
    };
}

/// The methods that take several stripes, or all of them, in one mode.
macro_rules! many_stripes {
    (
        $set:ident: $type:ty, $does:literal, $panics:literal; impl[$($generics:tt)*];
        $guard:ty, $arc_guard:ty, where $raw:ident: $timed:ident;
        $many:ident, $try_many:ident, $for:ident, $until:ident, $all:ident, $try_all:ident;
        $many_arc:ident, $try_many_arc:ident, $all_arc:ident, $try_all_arc:ident
    ) => {
        impl<K: ?Sized, T, $($generics)*, S: BuildHasher> $type {
            #[doc = concat!($does, " the stripes of all `keys` in ascending order. Keys that share a stripe count once.")]
            /// So operations on several keys can't deadlock with each other, whatever the order of their keys.
            ///
            /// With up to 16 keys, or a set of up to 64 stripes, it allocates no heap memory if `R` keeps no state for
            /// an acquisition (`parking_lot` keeps none). A key that becomes known later can be added by the guard's
            /// [`extend`](MultiGuard::extend).
            ///
            /// # Panics
            ///
            #[doc = $panics]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = stripe_lock::", stringify!($set), "::<str, u32>::new(64);")]
            #[doc = concat!("assert!(locks.", stringify!($many), "([\"alice\", \"bob\"]).holds(\"bob\"));")]
            ///
            /// // Keys are references, so owned keys are borrowed, and numbers need an ampersand.
            /// let names = vec![String::from("alice"), String::from("bob")];
            #[doc = concat!("drop(locks.", stringify!($many), "(names.iter().map(String::as_str)));")]
            #[doc = concat!("drop(stripe_lock::", stringify!($set), "::<u64>::new(64).", stringify!($many), "(&[1, 2]));")]
            /// ```
            #[inline]
            #[track_caller]
            pub fn $many<'q, Q>(&self, keys: impl IntoIterator<Item = &'q Q>) -> $guard
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized + 'q,
            {
                MultiGuard::wait(self, self.set_of(keys), Uniform::new())
            }

            #[doc = concat!($does, " the stripes of all `keys` if all are free; none of them otherwise.")]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = stripe_lock::", stringify!($set), "::<u64>::new(4);")]
            #[doc = concat!("assert!(locks.", stringify!($try_many), "(&[1, 2]).is_some());")]
            /// ```
            #[inline]
            #[track_caller]
            pub fn $try_many<'q, Q>(&self, keys: impl IntoIterator<Item = &'q Q>) -> Option<$guard>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized + 'q,
            {
                MultiGuard::take(self, self.set_of(keys), Uniform::new(), Try)
            }

            #[doc = concat!($does, " the stripes of all `keys`, or none of them if `timeout` passes first.")]
            ///
            /// # Examples
            ///
            /// ```
            /// use std::time::Duration;
            ///
            #[doc = concat!("let locks = stripe_lock::", stringify!($set), "::<u64>::new(4);")]
            #[doc = concat!("assert!(locks.", stringify!($for), "(&[1, 2], Duration::from_millis(5)).is_some());")]
            /// ```
            #[cfg(feature = "std")]
            #[track_caller]
            pub fn $for<'q, Q>(&self, keys: impl IntoIterator<Item = &'q Q>, timeout: Duration) -> Option<$guard>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized + 'q,
                $raw: $timed<Duration = Duration, Instant = Instant>,
            {
                MultiGuard::take_within(self, self.set_of(keys), Uniform::new(), timeout)
            }

            #[doc = concat!($does, " the stripes of all `keys`, or none of them if `deadline` passes first.")]
            ///
            /// # Examples
            ///
            /// ```
            /// use std::time::{Duration, Instant};
            ///
            #[doc = concat!("let locks = stripe_lock::", stringify!($set), "::<u64>::new(4);")]
            /// let soon = Instant::now() + Duration::from_millis(5);
            #[doc = concat!("assert!(locks.", stringify!($until), "(&[1, 2], soon).is_some());")]
            /// ```
            #[track_caller]
            pub fn $until<'q, Q>(
                &self,
                keys: impl IntoIterator<Item = &'q Q>,
                deadline: $raw::Instant,
            ) -> Option<$guard>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized + 'q,
                $raw: $timed<Instant: Copy>,
            {
                MultiGuard::take(self, self.set_of(keys), Uniform::new(), Until(deadline))
            }

            #[doc = concat!($does, " every stripe in ascending order.")]
            ///
            /// # Panics
            ///
            #[doc = $panics]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = stripe_lock::", stringify!($set), "::<u64>::new(4);")]
            #[doc = concat!("assert_eq!(locks.", stringify!($all), "().len(), 4);")]
            /// ```
            #[track_caller]
            pub fn $all(&self) -> $guard {
                MultiGuard::wait(self, StripeSet::all(self.stripes()), Uniform::new())
            }

            #[doc = concat!($does, " every stripe if all are free; none of them otherwise.")]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = stripe_lock::", stringify!($set), "::<u64>::new(4);")]
            #[doc = concat!("assert!(locks.", stringify!($try_all), "().is_some());")]
            /// ```
            #[track_caller]
            pub fn $try_all(&self) -> Option<$guard> {
                MultiGuard::take(self, StripeSet::all(self.stripes()), Uniform::new(), Try)
            }

            #[doc = concat!("As [`", stringify!($many), "`](Self::", stringify!($many), "), with a guard that keeps the set alive.")]
            ///
            /// # Panics
            ///
            #[doc = $panics]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = std::sync::Arc::new(stripe_lock::", stringify!($set), "::<u64, u32>::new(4));")]
            #[doc = concat!("let guard = locks.", stringify!($many_arc), "(&[1, 2]);")]
            /// drop(locks);
            /// assert_eq!(guard.get(&2), Some(&0));
            /// ```
            #[track_caller]
            pub fn $many_arc<'q, Q>(self: &Arc<Self>, keys: impl IntoIterator<Item = &'q Q>) -> $arc_guard
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized + 'q,
            {
                MultiGuard::wait(self.clone(), self.set_of(keys), Uniform::new())
            }

            #[doc = concat!("As [`", stringify!($try_many), "`](Self::", stringify!($try_many), "), with a guard that keeps the set alive.")]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = std::sync::Arc::new(stripe_lock::", stringify!($set), "::<u64>::new(4));")]
            #[doc = concat!("assert!(locks.", stringify!($try_many_arc), "(&[1, 2]).is_some());")]
            /// ```
            #[track_caller]
            pub fn $try_many_arc<'q, Q>(
                self: &Arc<Self>,
                keys: impl IntoIterator<Item = &'q Q>,
            ) -> Option<$arc_guard>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized + 'q,
            {
                MultiGuard::take(self.clone(), self.set_of(keys), Uniform::new(), Try)
            }

            #[doc = concat!("As [`", stringify!($all), "`](Self::", stringify!($all), "), with a guard that keeps the set alive.")]
            ///
            /// # Panics
            ///
            #[doc = $panics]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = std::sync::Arc::new(stripe_lock::", stringify!($set), "::<u64>::new(4));")]
            #[doc = concat!("assert_eq!(locks.", stringify!($all_arc), "().len(), 4);")]
            /// ```
            #[track_caller]
            pub fn $all_arc(self: &Arc<Self>) -> $arc_guard {
                MultiGuard::wait(self.clone(), StripeSet::all(self.stripes()), Uniform::new())
            }

            #[doc = concat!("As [`", stringify!($try_all), "`](Self::", stringify!($try_all), "), with a guard that keeps the set alive.")]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("let locks = std::sync::Arc::new(stripe_lock::", stringify!($set), "::<u64>::new(4));")]
            #[doc = concat!("assert!(locks.", stringify!($try_all_arc), "().is_some());")]
            /// ```
            #[track_caller]
            pub fn $try_all_arc(self: &Arc<Self>) -> Option<$arc_guard> {
                MultiGuard::take(self.clone(), StripeSet::all(self.stripes()), Uniform::new(), Try)
            }
        }
    };
}

pub(crate) use {many_stripes, one_stripe};
