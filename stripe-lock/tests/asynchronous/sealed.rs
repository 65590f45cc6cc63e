//! Attempts to misuse the async sets from safe code. Every public type and bound is used in every generic way that
//! compiles, and that must be harmless. Code that must not compile (implementing the sealed traits, sending values that
//! are not `Send`) is in the `compile_fail` examples of the types.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::fmt::Debug;
use std::mem;
use std::sync::Arc;
use std::task::Poll;

use crate::now::{now, poll};
use stripe_lock::asynchronous::{
    Access, Acquire, AsyncBatch, AsyncGuard, AsyncMappedGuard, AsyncMultiGuard, AsyncStriped, Checked,
    Enqueued, Guards, Kind, MixedPlan, MutexKind, Permits, Read, RwLockKind, SemaphoreKind, Timeout,
    UniformPlan, Upgradable, Upgrade, Write,
};
use stripe_lock::{AsyncStripedMutex, AsyncStripedRwLock, AsyncStripedSemaphore, DefaultHasher};

type Locks = AsyncStripedMutex<u64, u64>;
type Rw = AsyncStripedRwLock<u64, u64>;

/// Generic code over the sealed bounds sees the methods of their private supertraits. These reveal only the name of an
/// access mode and atomics of the caller, and nothing of a set.
#[test]
fn generic_code_gets_names_and_nothing_else() {
    fn mode_of<A: Access + Debug>(access: A) -> String {
        let (copy, mode) = (access, access.mode());
        format!("{copy:?} {mode:?}")
    }
    fn of_guard<A: Access + Debug>(guard: &AsyncGuard<&'static Rw, A>) -> usize {
        AsyncGuard::stripe(guard)
    }
    fn size_of_word<M: Kind>() -> usize {
        size_of::<M::Word>()
    }
    fn stripes<M: Guards>(set: &AsyncStriped<u64, u64, DefaultHasher, M>) -> usize {
        set.stripes()
    }
    // No value of `Read`, `Write`, `Upgradable` or `Permits` can be made, so `mode_of` is never called with one.
    _ = (mode_of::<Read>, mode_of::<Write>, mode_of::<Upgradable>, mode_of::<Permits>);
    assert_eq!(
        [size_of_word::<MutexKind>(), size_of_word::<RwLockKind>(), size_of_word::<SemaphoreKind>()],
        [1, 4, 4]
    );
    let rw: &'static Rw = Box::leak(Box::new(Rw::new(4)));
    assert_eq!(of_guard(&rw.try_read_stripe(3).unwrap()), 3);
    assert_eq!(of_guard(&rw.try_write_stripe(2).unwrap()), 2);
    assert_eq!((stripes(&Locks::new(4)), stripes(rw)), (4, 4));
}

/// Swapped guards release what each of them holds.
#[test]
fn guards_may_be_swapped() {
    let (one, other) = (Locks::new(4), Locks::new(4));
    let mut a = one.try_lock_stripe(0).unwrap();
    let mut b = other.try_lock_stripe(1).unwrap();
    mem::swap(&mut a, &mut b);
    *a = 5;
    mem::swap(&mut *a, &mut *b);
    assert_eq!((*a, *b, AsyncGuard::stripe(&a), AsyncGuard::stripe(&b)), (0, 5, 1, 0));
    drop(a);
    assert!(one.try_lock_stripe(0).is_none() && other.try_lock_stripe(1).is_some());
    drop(b);

    // A multi-guard that is replaced while it is being extended takes the extension with it.
    let mut several = one.try_lock_many(&[]).unwrap();
    let held = one.try_lock_stripe(3);
    let key = (0..1 << 20).find(|key| one.stripe_of(key) == 3).unwrap();
    let mut extends = Box::pin(several.extend(&key));
    assert!(poll(extends.as_mut()).is_pending());
    drop(held);
    assert_eq!(poll(extends.as_mut()), Poll::Ready(Ok(())));
    drop(extends);
    let mut replaced = mem::replace(&mut several, other.try_lock_all().unwrap());
    assert_eq!((replaced.len(), several.len()), (1, 4));
    mem::swap(&mut replaced, &mut several);
    drop(replaced);
    assert!(other.try_lock_all().is_some() && one.try_lock_all().is_none());
    drop(several);
    assert!(one.try_lock_all().is_some());
}

/// A guard's set of stripes can be copied, and changing the copy does not change the guard.
#[test]
fn the_stripes_of_a_guard_are_its_own() {
    let locks = Locks::new(4);
    let guard = locks.try_lock_many(&[1]).unwrap();
    let mut copy = guard.stripes().clone();
    assert_eq!(copy, *guard.stripes());
    copy = Locks::new(4).try_lock_all().unwrap().stripes().clone();
    assert_eq!((copy.len(), guard.len()), (4, 1));
    // A reference from the guard can't outlive it, and neither can its iterators (see their `compile_fail` examples).
    let mut iter = guard.iter();
    let again = iter.clone();
    assert_eq!(iter.next().is_some(), again.count() == 1);
}

/// The closure of `map` may return other data, and can't keep a reference to the data.
#[test]
fn map_closures_may_return_other_data() {
    static ELSEWHERE: u64 = 9;
    let rw = Rw::new(1);
    let guard = AsyncGuard::<_, Read>::map(rw.try_read(&1).unwrap(), |_| &ELSEWHERE);
    assert_eq!(*guard, 9);
    let kept: Cell<Option<u64>> = Cell::new(None);
    let mut leaked = Box::leak(Box::new(7));
    let guard = AsyncGuard::<_, Write>::try_map(
        {
            drop(guard);
            rw.try_write(&1).unwrap()
        },
        |data| {
            kept.set(Some(*data));
            Some(&mut *leaked)
        },
    );
    *guard.unwrap() = 8;
    leaked = Box::leak(Box::new(0));
    assert_eq!((kept.get(), *leaked), (Some(0), 0));
    // A closure that panics releases the stripe.
    let guard = rw.try_write(&1).unwrap();
    let panics = std::panic::AssertUnwindSafe(|| {
        drop(AsyncGuard::<_, Write>::map(guard, |_| -> &mut u64 { panic!("no part") }));
    });
    assert!(std::panic::catch_unwind(panics).is_err());
    assert!(rw.try_write(&1).is_some());
}

/// A pointer type of the attacker's own can't make a guard, because no method accepts one.
#[test]
fn every_way_to_a_guard_goes_through_a_reference_or_an_arc() {
    let set = Arc::new(Rw::new(4));
    let by_reference: AsyncGuard<&Rw, Read> = now(set.read(&1));
    let by_arc: AsyncGuard<Arc<Rw>, Read> = now(set.read_owned(&1));
    assert_eq!(*by_reference, *by_arc);
    // An owned guard belongs to the set from which it was taken, even if the `Arc` variable is changed.
    let mut other = Arc::new(Rw::new(4));
    let mut owned = now(other.write_owned(&1));
    *owned = 3;
    other = set.clone();
    drop(owned);
    assert!(Arc::ptr_eq(&other, &set) && set.try_write(&1).is_none());
    drop((by_reference, by_arc));
    assert!(set.try_write(&1).is_some());
}

/// Types that users may name but can't construct.
#[test]
fn every_public_type_can_be_named() {
    fn named<T>() -> bool {
        !std::any::type_name::<T>().is_empty()
    }
    type Set = &'static Rw;
    assert!(named::<Acquire<Set, Read>>() && named::<Checked<Acquire<Set, Read>>>());
    assert!(named::<Timeout<Acquire<Set, Read>, ()>>() && named::<Enqueued<Arc<Rw>, Write>>());
    assert!(named::<Upgrade<Set>>() && named::<AsyncMappedGuard<Set, Read, str>>());
    assert!(
        named::<AsyncMultiGuard<Set, MixedPlan>>()
            && named::<AsyncMultiGuard<Set, UniformPlan<Upgradable>>>()
    );
    assert!(named::<AsyncBatch<'static, u64, u64, DefaultHasher>>());
}

/// Data that is not `'static` ends with its set, and a leaked guard or future does not access it.
#[test]
fn leaked_guards_and_futures_reach_no_dropped_data() {
    let text = String::from("short");
    {
        let locks = AsyncStripedMutex::<u64, &str>::from_fn(1, DefaultHasher::default(), |_| text.as_str());
        mem::forget(locks.try_lock(&1));
        let mut waits = Box::pin(locks.lock(&1));
        assert!(poll(waits.as_mut()).is_pending());
        mem::forget(waits);
        locks.close();
        assert_eq!(locks.into_inner(), ["short"]);
    }
    drop(text);
}

/// Data that is taken out of its set is dropped once, by its new owner.
#[test]
fn data_that_is_taken_out_is_dropped_once() {
    let data = Arc::new(());
    let locks = AsyncStripedMutex::<u64, _>::from_fn(4, DefaultHasher::default(), |_| data.clone());
    let rw = AsyncStripedRwLock::<u64, _>::from_fn(4, DefaultHasher::default(), |_| data.clone());
    drop((locks.try_lock_all(), rw.try_read_all()));
    let taken = (locks.into_inner(), rw.into_inner());
    assert_eq!(Arc::strong_count(&data), 9);
    drop(taken);
    assert_eq!(Arc::strong_count(&data), 1);
}

/// A set behind `&mut` has no live guards. It may have leaked ones, whose data it gives out again.
#[test]
fn an_exclusively_borrowed_set_has_no_guards() {
    let mut locks = Locks::new(2);
    mem::forget(locks.try_lock_all());
    locks.iter_mut().for_each(|data| *data += 1);
    *locks.get_mut(&1) += 1;
    assert_eq!(locks.into_inner().into_iter().sum::<u64>(), 3);
    let semaphore = AsyncStripedSemaphore::<u64>::new(2, 2);
    mem::forget(semaphore.try_acquire_many(&1, 2));
    assert_eq!(semaphore.available(&1), 0);
}
