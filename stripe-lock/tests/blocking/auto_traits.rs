//! Which auto traits the blocking types and the results of their methods have, for each kind of data and raw lock.

use std::cell::Cell;
use std::hash::{BuildHasherDefault, DefaultHasher as StdHasher};
use std::marker::{PhantomData, PhantomPinned};
use std::rc::Rc;
use std::sync::Arc;

use crate::asking::{Absent as _, Ask, SyncAlone, autos, of, word};
use crate::common::spin_mutex::SpinMutex;
use crate::common::spin_rwlock::SpinRwLock;
use stripe_lock::blocking::{
    ArcBatchGuard, ArcMappedMutexGuard, ArcMappedReentrantMutexGuard, ArcMappedRwLockReadGuard,
    ArcMappedRwLockWriteGuard, ArcMutexGuard, ArcMutexMultiGuard, ArcReadMultiGuard, ArcReentrantMultiGuard,
    ArcReentrantMutexGuard, ArcRwLockReadGuard, ArcRwLockUpgradableReadGuard, ArcRwLockWriteGuard, ArcStripe,
    ArcWriteMultiGuard, Batch, BatchGuard, MappedMutexGuard, MappedReentrantMutexGuard,
    MappedRwLockReadGuard, MappedRwLockWriteGuard, MultiIter, MultiIterMut, MutexGuard, MutexMultiGuard,
    ReadMultiGuard, ReentrantMultiGuard, ReentrantMutexGuard, RwLockReadGuard, RwLockUpgradableReadGuard,
    RwLockWriteGuard, Stripe, WriteMultiGuard,
};
use stripe_lock::{
    DefaultHasher, ExtendError, Extended, Iter, Pair, StripeSet, Striped, StripedMutex,
    StripedReentrantMutex, StripedRwLock, raw,
};

type Hasher = BuildHasherDefault<StdHasher>;

type Spinning<T> = StripedMutex<u64, T, SpinMutex, Hasher>;
type SpinningRw<T> = StripedRwLock<u64, T, SpinRwLock, Hasher>;

// The types under the aliases, to name the iterators of a guard.
type Uniform<L, M> = stripe_lock::blocking::Uniform<L, M>;
type SpinIter<T> =
    MultiIter<'static, &'static Spinning<T>, Uniform<raw::ForMutex<SpinMutex>, raw::Exclusive>>;
type SpinIterMut<T> =
    MultiIterMut<'static, &'static Spinning<T>, Uniform<raw::ForMutex<SpinMutex>, raw::Exclusive>>;
type SpinIterOfReads<T> =
    MultiIter<'static, &'static SpinningRw<T>, Uniform<raw::ForRwLock<SpinRwLock>, raw::Shared>>;
type PlainRaw = raw::ForMutex<stripe_lock::raw::DefaultRawMutex>;
type PlainIter<T> = MultiIter<'static, &'static StripedMutex<u64, T>, Uniform<PlainRaw, raw::Exclusive>>;
type PlainIterMut<T> =
    MultiIterMut<'static, &'static StripedMutex<u64, T>, Uniform<PlainRaw, raw::Exclusive>>;
type ReentrantRaw = raw::ForReentrant<stripe_lock::raw::DefaultRawMutex, stripe_lock::raw::DefaultThreadId>;
type ReentrantIter<T> =
    MultiIter<'static, &'static StripedReentrantMutex<u64, T>, Uniform<ReentrantRaw, raw::Shared>>;

#[test]
fn sets() {
    // A mutex needs only data that is `Send`. Readers share their data.
    autos! {
        StripedMutex<u64, T> => "syuw-" "syuw-" "--uw-" "--uw-";
        Spinning<T> => "syuw-" "syuw-" "--uw-" "--uw-";
        StripedReentrantMutex<u64, T> => "syuw-" "syuw-" "--uw-" "--uw-";
        StripedRwLock<u64, T> => "syuw-" "s-uw-" "--uw-" "--uw-";
        SpinningRw<T> => "syuw-" "s-uw-" "--uw-" "--uw-";
        Stripe<raw::ForMutex<SpinMutex>, T> => "syuw-" "syuw-" "--uw-" "--uw-";
        Stripe<raw::ForRwLock<SpinRwLock>, T> => "syuw-" "s-uw-" "--uw-" "--uw-";
        Striped<u64, T, DefaultHasher> => "syuwr" "s-uw-" "-yuwr" "--uwr";
        Batch<&'static SpinningRw<T>> => "syu--" "--u--" "--u--" "--u--";
        Pair<'static, T> => "syu-r" "s-u--" "-yu-r" "--u-r";
        ArcStripe<u64, T, raw::ForMutex<SpinMutex>, Hasher> => "syu--" "syu--" "--u--" "--u--";
    }
}

#[test]
fn guards_of_one_stripe() {
    // Guards over `parking_lot` are not `Send`, whatever the data. Guards of reentrant mutexes are not `Send` over any
    // raw lock.
    autos! {
        MutexGuard<'static, T> => "-yu--" "--u--" "--u--" "--u--";
        MutexGuard<'static, T, SpinMutex> => "syu--" "s-u--" "--u--" "--u--";
        ArcMutexGuard<u64, T> => "-yu--" "--u--" "--u--" "--u--";
        ArcMutexGuard<u64, T, SpinMutex, Hasher> => "syu--" "s-u--" "--u--" "--u--";
        RwLockReadGuard<'static, T> => "-yu--" "--u--" "--u--" "--u--";
        RwLockReadGuard<'static, T, SpinRwLock> => "syu--" "--u--" "--u--" "--u--";
        RwLockUpgradableReadGuard<'static, T, SpinRwLock> => "syu--" "--u--" "--u--" "--u--";
        RwLockWriteGuard<'static, T, SpinRwLock> => "syu--" "--u--" "--u--" "--u--";
        ArcRwLockReadGuard<u64, T, SpinRwLock, Hasher> => "syu--" "--u--" "--u--" "--u--";
        ArcRwLockUpgradableReadGuard<u64, T, SpinRwLock, Hasher> => "syu--" "--u--" "--u--" "--u--";
        ArcRwLockWriteGuard<u64, T, SpinRwLock, Hasher> => "syu--" "--u--" "--u--" "--u--";
        ReentrantMutexGuard<'static, T, SpinMutex> => "-yu--" "--u--" "--u--" "--u--";
        ArcReentrantMutexGuard<u64, T, SpinMutex> => "-yu--" "--u--" "--u--" "--u--";
    }
}

#[test]
fn guards_of_a_part() {
    // The guard of a part is `Send` if the guard of the whole is and the part permits it.
    autos! {
        MappedMutexGuard<'static, T, u8> => "-yu--" "--u--" "--u--" "--u--";
        MappedMutexGuard<'static, T, u8, SpinMutex> => "syu--" "s-u--" "--u--" "--u--";
        MappedMutexGuard<'static, u8, T, SpinMutex> => "syu--" "s-u--" "-yu--" "--u--";
        ArcMappedMutexGuard<u64, T, T, SpinMutex, Hasher> => "syu--" "s-u--" "--u--" "--u--";
        MappedRwLockReadGuard<'static, T, u8, SpinRwLock> => "syu--" "--u--" "--u--" "--u--";
        MappedRwLockReadGuard<'static, u8, T, SpinRwLock> => "syu--" "--u--" "syu--" "--u--";
        MappedRwLockWriteGuard<'static, u8, T, SpinRwLock> => "syu--" "s-u--" "-yu--" "--u--";
        ArcMappedRwLockReadGuard<u64, T, T, SpinRwLock, Hasher> => "syu--" "--u--" "--u--" "--u--";
        ArcMappedRwLockWriteGuard<u64, T, T, SpinRwLock, Hasher> => "syu--" "--u--" "--u--" "--u--";
        MappedReentrantMutexGuard<'static, u8, T, SpinMutex> => "-yu--" "--u--" "-yu--" "--u--";
        ArcMappedReentrantMutexGuard<u64, u8, T, SpinMutex> => "-yu--" "--u--" "-yu--" "--u--";
    }
}

#[test]
fn guards_of_many_stripes_and_their_iterators() {
    // An iterator is `Send` if its guard is (`iter_mut`), or if a reference to the guard is (`iter`).
    autos! {
        MutexMultiGuard<'static, u64, T> => "-yu--" "--u--" "--u--" "--u--";
        MutexMultiGuard<'static, u64, T, SpinMutex, Hasher> => "syu--" "s-u--" "--u--" "--u--";
        ArcMutexMultiGuard<u64, T> => "-yu--" "--u--" "--u--" "--u--";
        ArcMutexMultiGuard<u64, T, SpinMutex, Hasher> => "syu--" "s-u--" "--u--" "--u--";
        ArcReadMultiGuard<u64, T, SpinRwLock, Hasher> => "syu--" "--u--" "--u--" "--u--";
        ArcWriteMultiGuard<u64, T, SpinRwLock, Hasher> => "syu--" "--u--" "--u--" "--u--";
        ArcBatchGuard<u64, T, SpinRwLock, Hasher> => "syu--" "--u--" "--u--" "--u--";
        ArcReentrantMultiGuard<u64, T, SpinMutex> => "-yu--" "--u--" "--u--" "--u--";
        PlainIter<T> => "syu--" "--u--" "--u--" "--u--";
        PlainIterMut<T> => "-yu--" "--u--" "--u--" "--u--";
        SpinIter<T> => "syu--" "--u--" "--u--" "--u--";
        SpinIterMut<T> => "syu--" "s-u--" "--u--" "--u--";
        ReadMultiGuard<'static, u64, T, SpinRwLock, Hasher> => "syu--" "--u--" "--u--" "--u--";
        SpinIterOfReads<T> => "syu--" "--u--" "--u--" "--u--";
        WriteMultiGuard<'static, u64, T, SpinRwLock, Hasher> => "syu--" "--u--" "--u--" "--u--";
        BatchGuard<'static, u64, T, SpinRwLock, Hasher> => "syu--" "--u--" "--u--" "--u--";
        ReentrantMultiGuard<'static, u64, T, SpinMutex> => "-yu--" "--u--" "--u--" "--u--";
        ReentrantIter<T> => "syu--" "--u--" "--u--" "--u--";
    }
}

#[test]
fn keys_are_never_stored() {
    autos! {
        StripedMutex<T, u8> => "syuw-" "syuw-" "syuw-" "syuw-";
        ArcMutexGuard<T, u8, SpinMutex, Hasher> => "syu--" "syu--" "syu--" "syu--";
        MutexMultiGuard<'static, T, u8, SpinMutex, Hasher> => "syu--" "syu--" "syu--" "syu--";
    }
}

/// Types without a name, of sets with data of this type.
macro_rules! nameless {
    ($data:ty: $make:expr) => {{
        let mut locks = Spinning::<$data>::from_fn(1, Hasher::default(), |_| $make);
        let mut plain = Striped::<u64, $data, Hasher>::from_fn(1, Hasher::default(), |_| $make);
        [word!(of(&locks.iter_mut())), word!(of(&plain.iter_mut())), word!(of(&plain.iter()))]
    }};
}

#[test]
fn types_without_a_name() {
    assert_eq!(nameless!(u8: 0), ["syu--", "syu-r", "syuwr"]);
    assert_eq!(nameless!(Cell<u8>: Cell::new(0)), ["syu--", "s-u--", "--u--"]);
    assert_eq!(nameless!(Rc<u8>: Rc::new(0)), ["--u--", "--u-r", "--uwr"]);
}

#[test]
fn types_without_data() {
    let words = [
        word!(Ask::<StripeSet>(PhantomData)),
        word!(Ask::<Iter<'static>>(PhantomData)),
        word!(Ask::<ExtendError>(PhantomData)),
        word!(Ask::<Extended>(PhantomData)),
        word!(Ask::<DefaultHasher>(PhantomData)),
    ];
    assert!(words.iter().all(|word| word == "syuwr"), "{words:?}");
    // A set does not pin its data, and moving a guard does not move the data.
    assert_eq!(word!(Ask::<Spinning<PhantomPinned>>(PhantomData)), "syuw-");
    assert_eq!(word!(Ask::<MutexGuard<'static, PhantomPinned, SpinMutex>>(PhantomData)), "sy---");
}

#[test]
fn owned_guards_last() {
    fn lasting<T: 'static>() {}
    lasting::<Arc<StripedMutex<str, Vec<u8>>>>();
    lasting::<ArcMutexGuard<str, u8>>();
}

#[test]
fn a_guard_is_no_larger_than_it_needs_to_be() {
    // In debug builds it has a place in the record.
    if cfg!(not(any(debug_assertions, feature = "check"))) {
        assert_eq!(size_of::<MutexGuard<'_, u64>>(), size_of::<usize>());
        assert_eq!(size_of::<ArcMutexGuard<u64, u64>>(), 2 * size_of::<usize>());
    }
}
