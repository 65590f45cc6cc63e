//! Which auto traits the async types and the results of their methods have, for each kind of data.

use std::cell::Cell;
use std::hash::{BuildHasherDefault, DefaultHasher as StdHasher};
use std::marker::{PhantomData, PhantomPinned};
use std::rc::Rc;
use std::sync::Arc;

use crate::asking::{Absent as _, Ask, SyncAlone, autos, of, word};
use stripe_lock::asynchronous::keyed::{AcquireKeys, KeyedGuard, Many, One};
use stripe_lock::asynchronous::{
    Acquire, AcquireError, AcquireMany, AsyncBatch, AsyncGuard, AsyncMappedGuard, AsyncMultiGuard,
    AsyncMultiIter, AsyncMultiIterMut, Checked, Enqueued, MixedPlan, MutexKind, Permits, Read, RwLockKind,
    SemaphoreKind, Timeout, UniformPlan, Upgradable, Upgrade, Write, within,
};
use stripe_lock::{
    AsyncKeyedMutex, AsyncStripedMutex, AsyncStripedRwLock, AsyncStripedSemaphore, KeyedMutex,
};

type Hasher = BuildHasherDefault<StdHasher>;
type Locks<T> = AsyncStripedMutex<u64, T, Hasher>;
type Rw<T> = AsyncStripedRwLock<u64, T, Hasher>;
type Limits = AsyncStripedSemaphore<u64, Hasher>;
type L<T> = &'static Locks<T>;
type R<T> = &'static Rw<T>;
type S = &'static Limits;

#[test]
fn sets() {
    // A mutex needs only data that is `Send`. Readers share their data.
    autos! {
        Locks<T> => "syuw-" "syuw-" "--uw-" "--uw-";
        Rw<T> => "syuw-" "s-uw-" "--uw-" "--uw-";
        AsyncBatch<'static, u64, T, Hasher> => "syu--" "--u--" "--u--" "--u--";
    }
}

#[test]
fn guards_of_one_stripe() {
    autos! {
        AsyncGuard<L<T>, Write> => "syu--" "s-u--" "--u--" "--u--";
        AsyncGuard<Arc<Locks<T>>, Write> => "syu--" "s-u--" "--u--" "--u--";
        AsyncGuard<R<T>, Read> => "syu--" "--u--" "--u--" "--u--";
        AsyncGuard<R<T>, Write> => "syu--" "--u--" "--u--" "--u--";
        AsyncGuard<R<T>, Upgradable> => "syu--" "--u--" "--u--" "--u--";
        AsyncGuard<Arc<Rw<T>>, Read> => "syu--" "--u--" "--u--" "--u--";
        AsyncGuard<Arc<Rw<T>>, Upgradable> => "syu--" "--u--" "--u--" "--u--";
    }
}

#[test]
fn guards_of_a_part() {
    // The guard of a part is `Send` if the guard of the whole is and the part permits it: data that is read must be
    // `Sync`, and data that is written must be `Send`.
    autos! {
        AsyncMappedGuard<L<T>, Write, u8> => "syu--" "s-u--" "--u--" "--u--";
        AsyncMappedGuard<L<u8>, Write, T> => "syu--" "s-u--" "-yu--" "--u--";
        AsyncMappedGuard<R<T>, Read, u8> => "syu--" "--u--" "--u--" "--u--";
        AsyncMappedGuard<R<u8>, Read, T> => "syu--" "--u--" "syu--" "--u--";
        AsyncMappedGuard<R<u8>, Write, T> => "syu--" "s-u--" "-yu--" "--u--";
        AsyncMappedGuard<Arc<Rw<T>>, Read, T> => "syu--" "--u--" "--u--" "--u--";
        AsyncMappedGuard<Arc<Locks<T>>, Write, T> => "syu--" "s-u--" "--u--" "--u--";
    }
}

#[test]
fn guards_of_many_stripes_and_their_iterators() {
    // An iterator is `Send` if its guard is (`iter_mut`), or if a reference to the guard is (`iter`).
    autos! {
        AsyncMultiGuard<L<T>, UniformPlan<Write>> => "syu--" "s-u--" "--u--" "--u--";
        AsyncMultiGuard<Arc<Locks<T>>, UniformPlan<Write>> => "syu--" "s-u--" "--u--" "--u--";
        AsyncMultiGuard<R<T>, UniformPlan<Read>> => "syu--" "--u--" "--u--" "--u--";
        AsyncMultiGuard<R<T>, UniformPlan<Upgradable>> => "syu--" "--u--" "--u--" "--u--";
        AsyncMultiGuard<R<T>, MixedPlan> => "syu--" "--u--" "--u--" "--u--";
        AsyncMultiIter<'static, L<T>, UniformPlan<Write>> => "syu--" "--u--" "--u--" "--u--";
        AsyncMultiIterMut<'static, L<T>, UniformPlan<Write>> => "syu--" "s-u--" "--u--" "--u--";
        AsyncMultiIter<'static, R<T>, UniformPlan<Read>> => "syu--" "--u--" "--u--" "--u--";
        AsyncMultiIterMut<'static, R<T>, MixedPlan> => "syu--" "--u--" "--u--" "--u--";
    }
}

#[test]
fn futures() {
    // A future is `Send` if its set is `Sync`. It is linked into a queue, so it is not `Unpin`, but its box is.
    autos! {
        Acquire<L<T>, Write> => "sy---" "sy---" "-----" "-----";
        Acquire<Arc<Locks<T>>, Write> => "sy---" "sy---" "-----" "-----";
        Acquire<R<T>, Read> => "sy---" "-----" "-----" "-----";
        Acquire<R<T>, Upgradable> => "sy---" "-----" "-----" "-----";
        AcquireMany<L<T>, UniformPlan<Write>> => "sy---" "sy---" "-----" "-----";
        AcquireMany<R<T>, MixedPlan> => "sy---" "-----" "-----" "-----";
        Checked<Acquire<L<T>, Write>> => "sy---" "sy---" "-----" "-----";
        Checked<AcquireMany<R<T>, MixedPlan>> => "sy---" "-----" "-----" "-----";
        Timeout<Acquire<L<T>, Write>, ()> => "sy---" "sy---" "-----" "-----";
        Timeout<Acquire<L<u8>, Write>, T> => "sy---" "s----" "-y---" "-----";
        Upgrade<R<T>> => "sy---" "-----" "-----" "-----";
        Enqueued<Arc<Locks<T>>, Write> => "syu--" "s-u--" "--u--" "--u--";
        Enqueued<Arc<Rw<T>>, Read> => "syu--" "--u--" "--u--" "--u--";
    }
}

#[test]
fn keys_are_never_stored() {
    autos! {
        AsyncStripedMutex<T, u8, Hasher> => "syuw-" "syuw-" "syuw-" "syuw-";
        AsyncGuard<&'static AsyncStripedMutex<T, u8, Hasher>, Write> => "syu--" "syu--" "syu--" "syu--";
        Acquire<&'static AsyncStripedMutex<T, u8, Hasher>, Write> => "sy---" "sy---" "sy---" "sy---";
    }
}

#[test]
fn exact_locks() {
    // No data and no key is stored. Guards of threads are not `Send`, and guards of tasks are.
    type Threads<T> = KeyedMutex<T, Hasher>;
    type Tasks<T> = AsyncKeyedMutex<T, Hasher>;
    autos! {
        Threads<T> => "syuw-" "syuw-" "syuw-" "syuw-";
        Tasks<T> => "syuw-" "syuw-" "syuw-" "syuw-";
        KeyedGuard<&'static Threads<T>, One> => "-yu--" "-yu--" "-yu--" "-yu--";
        KeyedGuard<&'static Threads<T>, Many> => "-yu--" "-yu--" "-yu--" "-yu--";
        KeyedGuard<Arc<Threads<T>>, One> => "-yu--" "-yu--" "-yu--" "-yu--";
        KeyedGuard<&'static Tasks<T>, One> => "syu--" "syu--" "syu--" "syu--";
        KeyedGuard<Arc<Tasks<T>>, Many> => "syu--" "syu--" "syu--" "syu--";
        AcquireKeys<&'static Tasks<T>, One> => "sy---" "sy---" "sy---" "sy---";
        AcquireKeys<Arc<Tasks<T>>, Many> => "sy---" "sy---" "sy---" "sy---";
    }
}

/// Types without a name, of sets with data of this type.
macro_rules! nameless {
    ($data:ty: $make:expr) => {{
        let mut locks = Locks::<$data>::from_fn(4, Hasher::default(), |_| $make);
        let rw = Rw::<$data>::from_fn(4, Hasher::default(), |_| $make);
        let mut several = locks.blocking_lock_many([&1]);
        let words = [
            word!(of(&locks.with(&1, async |_| ()))),
            word!(of(&rw.with(&1, async |_| ()))),
            word!(of(&rw.with_read(&1, async |_| ()))),
            word!(of(&several.extend(&2))),
            word!(of(&several.extend_or_restart([&2]))),
            word!(of(&AsyncGuard::unlocked(rw.blocking_read(&1), std::future::ready(())))),
            word!(of(&within(rw.read(&1), std::future::ready(())))),
        ];
        drop(several);
        (words, word!(of(&locks.iter_mut())))
    }};
}

#[test]
fn types_without_a_name() {
    let (words, iter) = nameless!(u8: 0);
    assert_eq!(words, ["sy---"; 7]);
    assert_eq!(iter, "syu--");
    let (words, iter) = nameless!(Cell<u8>: Cell::new(0));
    assert_eq!(words, ["s----", "-----", "-----", "s----", "s----", "-----", "-----"]);
    assert_eq!(iter, "syu--");
    let (words, iter) = nameless!(Rc<u8>: Rc::new(0));
    assert_eq!((words, iter.as_str()), ([const { "-----" }; 7].map(String::from), "--u--"));
}

/// Futures of several kinds are sent to other threads, with the guards that they hold over an await.
#[test]
fn futures_are_sent_where_the_set_may_be_shared() {
    fn sent<T: Send>(_: T) {}
    let locks: L<Cell<u8>> = Box::leak(Box::new(Locks::with_hasher(4, Hasher::default())));
    let rw: R<u8> = Box::leak(Box::new(Rw::with_hasher(4, Hasher::default())));
    let limits: S = Box::leak(Box::new(Limits::with_hasher(4, 1, Hasher::default())));
    sent(async {
        let guard = locks.lock(&1).await;
        let several = rw.batch().read(&1).write(&2).lock().await;
        let permits = limits.acquire_keys([&1, &2]).await;
        let upgradable = rw.upgradable_read(&1).await;
        let written = AsyncGuard::<_, Upgradable>::upgrade(upgradable).await;
        let mapped = AsyncGuard::<_, Write>::map(written, |data| data);
        std::future::ready(()).await;
        drop((guard, several, permits, mapped));
    });
}

#[test]
fn types_without_data() {
    let words = [
        word!(Ask::<AsyncGuard<S, Read>>(PhantomData)),
        word!(Ask::<AsyncGuard<S, Permits>>(PhantomData)),
        word!(Ask::<AsyncMultiGuard<S, UniformPlan<Read>>>(PhantomData)),
    ];
    assert_eq!(words, ["syu--"; 3]);
    assert_eq!(word!(Ask::<Limits>(PhantomData)), "syuw-");
    assert_eq!(word!(Ask::<Acquire<S, Permits>>(PhantomData)), "sy---");
    let words = [
        word!(Ask::<AcquireError>(PhantomData)),
        word!(Ask::<(Read, Write, Upgradable, Permits)>(PhantomData)),
        word!(Ask::<(MutexKind, RwLockKind, SemaphoreKind)>(PhantomData)),
        word!(Ask::<(UniformPlan<Read>, MixedPlan)>(PhantomData)),
    ];
    assert_eq!(words, ["syuwr"; 4]);
    // A set does not pin its data, and moving a guard does not move the data.
    assert_eq!(word!(Ask::<Locks<PhantomPinned>>(PhantomData)), "syuw-");
    assert_eq!(word!(Ask::<AsyncGuard<L<PhantomPinned>, Write>>(PhantomData)), "sy---");
}
