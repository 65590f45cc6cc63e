//! Adding keys to those that a guard holds, and releasing some of them.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;

use super::super::instrument::Site;
use super::super::methods::block;
use super::super::panics::Panics;
use super::guard::KeyedGuard;
use super::record::Recording;
use super::set::{Face, FaceParts, Keyed, KeyedSet, Tasks, Threads};
use super::tags::Tag;
use super::tags::{Many, One, Tags};
use super::wait::AcquireKeys;
use crate::shared::extend::ExtendError;

impl<P: Deref<Target: KeyedSet>> KeyedGuard<P, One> {
    /// Turns the guard into a guard of several keys, to which keys can be added.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::KeyedMutex;
    /// use stripe_lock::asynchronous::keyed::KeyedGuard;
    ///
    /// let locks = KeyedMutex::<u64>::new();
    /// let mut guard = KeyedGuard::extendable(locks.lock(&1));
    /// guard.try_extend(&2)?;
    /// assert!(guard.holds(&1) && guard.holds(&2));
    /// # Ok::<(), stripe_lock::ExtendError>(())
    /// ```
    pub fn extendable(guard: Self) -> KeyedGuard<P, Many> {
        let guard = ManuallyDrop::new(guard);
        let tags = Many::of(guard.tags.all().iter().copied());
        // SAFETY: each is read once, and the guard that they are read from is not dropped.
        unsafe {
            KeyedGuard {
                set: ptr::read(&raw const guard.set),
                tags,
                record: ptr::read(&raw const guard.record),
                watched: ptr::read(&raw const guard.watched),
            }
        }
    }
}

impl<P, K, S, F> KeyedGuard<P, Many>
where
    P: Deref<Target = Keyed<K, S, F>>,
    K: ?Sized,
    S: BuildHasher,
    F: Face,
{
    /// How many keys are held. Equal keys count once.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::KeyedMutex::<u64>::new();
    /// assert_eq!(locks.lock_many(&[1, 2, 2]).len(), 2);
    /// ```
    pub fn len(&self) -> usize {
        self.tags.all().len()
    }

    /// Whether no key is held, because none was named.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::KeyedMutex::<u64>::new();
    /// assert!(locks.lock_many(&[]).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.tags.all().is_empty()
    }

    /// Whether `key` is held by this guard.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::KeyedMutex::<u64>::new();
    /// let guard = locks.lock_many(&[1, 2]);
    /// assert!(guard.holds(&1) && !guard.holds(&3));
    /// ```
    pub fn holds<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.tags.all().binary_search(&self.set.tag(key)).is_ok()
    }

    /// Adds one more key without waiting. Does nothing if this guard holds it already.
    ///
    /// # Errors
    ///
    /// The guard keeps what it holds, and:
    /// - [`ExtendError::WouldBlock`]: another guard holds the key, and `extend` may wait for it.
    /// - [`ExtendError::WouldInvert`]: another guard holds the key, and its hash is below that of a key which this guard holds. Waiting
    ///   could deadlock: release the guard, and lock all the keys together.
    /// - [`ExtendError::Closed`]: the set is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::KeyedMutex::<u64>::new();
    /// let mut guard = locks.lock_many(&[1]);
    /// assert_eq!(guard.try_extend(&2), Ok(()));
    /// assert!(locks.try_lock(&2).is_none());
    /// ```
    #[track_caller]
    pub fn try_extend<Q>(&mut self, key: &Q) -> Result<(), ExtendError>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.try_add(self.set.tag(key))
    }

    #[track_caller]
    fn try_add(&mut self, tag: Tag) -> Result<(), ExtendError> {
        if self.tags.all().binary_search(&tag).is_ok() {
            return Ok(());
        }
        let bucket = KeyedSet::buckets(&*self.set).of(tag);
        if bucket.try_enter(tag) {
            bucket.count();
            self.add(tag);
            return Ok(());
        }
        let below = self.tags.all().last().is_some_and(|&highest| tag < highest);
        Err(match (bucket.is_closed(), below) {
            (true, _) => ExtendError::Closed,
            (false, true) => ExtendError::WouldInvert,
            (false, false) => ExtendError::WouldBlock,
        })
    }

    /// Releases `key`, and keeps the others. Returns whether this guard held it.
    ///
    /// # Panics
    ///
    /// If a waker panics. The key is released.
    ///
    /// # Examples
    ///
    /// ```
    /// let locks = stripe_lock::KeyedMutex::<u64>::new();
    /// let mut guard = locks.lock_many(&[1, 2]);
    /// assert!(guard.release(&1) && !guard.release(&1));
    /// assert!(locks.try_lock(&1).is_some());
    /// ```
    pub fn release<Q>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        let tag = self.set.tag(key);
        let held = self.tags.remove(tag);
        if held {
            self.record.remove(tag);
            let buckets = KeyedSet::buckets(&*self.set);
            buckets.monitor.changed(&self.watched, tag, false);
            buckets.of(tag).release(tag, &mut Panics::default());
        }
        held
    }

    /// Adds a key that was entered for this guard.
    #[track_caller]
    fn add(&mut self, tag: Tag) {
        self.tags.insert(tag);
        let buckets = KeyedSet::buckets(&*self.set);
        buckets.monitor.changed(&self.watched, tag, true);
        self.record.add(buckets.id, tag);
    }
}

macro_rules! extend_as_a_thread {
    ([$($lifetime:lifetime)?] $set:ty) => {
        impl<$($lifetime,)? K: ?Sized, S: BuildHasher> KeyedGuard<$set, Many> {
            /// Adds one more key. Waits for the key if its hash is above those of all held keys, because that can't
            /// deadlock. Does nothing if this guard holds the key already.
            ///
            /// # Errors
            ///
            /// [`ExtendError::WouldInvert`] if another guard holds the key, and its hash is below that of a key which
            /// this guard holds. The guard keeps what it holds. Release it, and lock all the keys together.
            ///
            /// # Panics
            ///
            /// As [`lock`](crate::KeyedMutex::lock).
            ///
            /// # Examples
            ///
            /// ```
            /// let locks = stripe_lock::KeyedMutex::<u64>::new();
            /// let mut guard = locks.lock_many(&[1]);
            /// guard.extend(&2)?;
            /// assert!(guard.holds(&2));
            /// # Ok::<(), stripe_lock::ExtendError>(())
            /// ```
            #[track_caller]
            pub fn extend<Q>(&mut self, key: &Q) -> Result<(), ExtendError>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                let tag = self.set.tag(key);
                let tried = self.try_add(tag);
                if tried == Err(ExtendError::WouldBlock) {
                    <Threads as FaceParts>::Record::check(KeyedSet::buckets(&*self.set).id, &[tag]);
                    let set: &Keyed<K, S, Threads> = &self.set;
                    block(AcquireKeys::beside(set, One::of(tag), Site::here())).into_key();
                    self.add(tag);
                    return Ok(());
                }
                tried
            }
        }
    };
}

extend_as_a_thread!(['a] &'a Keyed<K, S, Threads>);
extend_as_a_thread!([] Arc<Keyed<K, S, Threads>>);

macro_rules! extend_as_a_task {
    ([$($lifetime:lifetime)?] $set:ty) => {
        impl<$($lifetime,)? K: ?Sized, S: BuildHasher> KeyedGuard<$set, Many> {
            /// Adds one more key. Waits for the key if its hash is above those of all held keys, because that can't
            /// deadlock. Does nothing if this guard holds the key already.
            ///
            /// # Errors
            ///
            /// The guard keeps what it holds, and:
            /// - [`ExtendError::WouldInvert`]: another guard holds the key, and its hash is below that of a key which is held. Release
            ///   the guard, and lock all the keys together.
            /// - [`ExtendError::Closed`]: the set is closed.
            ///
            /// # Cancel safety
            ///
            /// If the future is dropped while it waits, the guard stays as it was.
            ///
            /// # Examples
            ///
            /// ```
            /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), stripe_lock::ExtendError> {
            /// let locks = stripe_lock::AsyncKeyedMutex::<u64>::new();
            /// let mut guard = locks.lock_many(&[1]).await;
            /// guard.extend(&2).await?;
            /// assert!(guard.holds(&2));
            /// # Ok(()) }
            /// ```
            #[cfg_attr(feature = "diagnose", track_caller)]
            pub fn extend<Q>(&mut self, key: &Q) -> impl Future<Output = Result<(), ExtendError>> + use<'_, $($lifetime,)? K, S, Q>
            where
                K: Borrow<Q>,
                Q: Hash + ?Sized,
            {
                let (tag, site) = (self.set.tag(key), Site::here());
                async move {
                    let tried = self.try_add(tag);
                    if tried == Err(ExtendError::WouldBlock) {
                        let set: &Keyed<K, S, Tasks> = &self.set;
                        let future = AcquireKeys::beside(set, One::of(tag), site).checked();
                        future.await.map_err(|_| ExtendError::Closed)?.into_key();
                        self.add(tag);
                        return Ok(());
                    }
                    tried
                }
            }
        }
    };
}

extend_as_a_task!(['a] &'a Keyed<K, S, Tasks>);
extend_as_a_task!([] Arc<Keyed<K, S, Tasks>>);
