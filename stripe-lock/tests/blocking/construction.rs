//! Constructing sets and taking their data out: counts, initial data, panics, access without locking.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::common::message_of;
use stripe_lock::{
    DEFAULT_STRIPES, DefaultHasher, Fnv1a, MAX_STRIPES, Striped, StripedMutex, StripedReentrantMutex,
    StripedRwLock,
};

#[test]
fn counts_are_rounded_up_to_a_power_of_two() {
    for (asked, got) in [
        (1, 1),
        (2, 2),
        (3, 4),
        (4, 4),
        (7, 8),
        (64, 64),
        (65, 128),
        (4095, 4096),
        (MAX_STRIPES, MAX_STRIPES),
    ] {
        assert_eq!(StripedMutex::<u64>::new(asked).stripes(), got);
        assert_eq!(StripedMutex::<u64>::new(asked).into_inner().len(), got);
    }
    for (asked, got) in [(7, 8), (2, 2), (4, 4), (64, 64)] {
        assert_eq!(StripedRwLock::<u64>::new(asked).stripes(), got);
        assert_eq!(StripedReentrantMutex::<u64>::new(asked).stripes(), got);
    }
    assert_eq!(StripedMutex::<u64>::default().stripes(), DEFAULT_STRIPES);
}

#[test]
fn none_or_too_many_stripes_panic_with_the_count_and_the_limit() {
    for (asked, words) in [
        (0, ["at least one stripe", "got 0"]),
        (MAX_STRIPES + 1, ["at most 1048576 stripes", "got 1048577"]),
        (usize::MAX, ["at most 1048576 stripes", &format!("got {}", usize::MAX)]),
    ] {
        let makers: [&dyn Fn(); 4] = [
            &|| drop(StripedMutex::<u64>::new(asked)),
            &|| drop(StripedRwLock::<u64>::new(asked)),
            &|| drop(StripedReentrantMutex::<u64>::new(asked)),
            &|| drop(Striped::<u64, u8, _>::from_fn(asked, Fnv1a::default(), |_| 0)),
        ];
        for make in makers {
            let message = message_of(&*catch_unwind(AssertUnwindSafe(make)).unwrap_err());
            assert!(words.iter().all(|word| message.contains(word)), "{asked}: {message}");
        }
    }
}

#[test]
fn every_stripe_gets_its_own_data_in_order() {
    for stripes in [1, 4, 64, 1024, 8192] {
        let mut asked = Vec::new();
        let mut locks = StripedMutex::<u64, usize>::from_fn(stripes, DefaultHasher::default(), |i| {
            asked.push(i);
            i * 3
        });
        assert!(asked.iter().copied().eq(0..stripes));
        for key in 0..200 {
            let stripe = locks.stripe_of(&key);
            assert_eq!(*locks.lock(&key), stripe * 3);
            assert_eq!(*locks.get_mut(&key), stripe * 3);
        }
        locks.iter_mut().for_each(|data| *data += 1);
        assert!(locks.into_inner().into_iter().eq((0..stripes).map(|i| i * 3 + 1)));
    }
}

#[test]
fn a_panic_while_making_the_data_frees_what_was_made() {
    let data = Arc::new(());
    for last in [0, 1, 5] {
        let make = |stripe| {
            assert!(stripe < last, "planted");
            data.clone()
        };
        let fails = || StripedMutex::<u64, Arc<()>>::from_fn(8, DefaultHasher::default(), make);
        assert_eq!(message_of(&*catch_unwind(AssertUnwindSafe(fails)).err().unwrap()), "planted");
        assert_eq!(Arc::strong_count(&data), 1);
    }
    let locks = StripedMutex::<u64, Arc<()>>::from_fn(8, DefaultHasher::default(), |_| data.clone());
    assert_eq!(Arc::strong_count(&data), 9);
    drop(locks);
    assert_eq!(Arc::strong_count(&data), 1);
}

#[test]
fn small_stripes_are_stored_without_padding_and_do_not_overlap() {
    // 8,192 bytes are stored without padding. Every stripe has a key, and stripes do not overlap.
    let mut set = Striped::<u64, u8, _>::from_fn(8192, Fnv1a::default(), |_| 0);
    (0..200_000).for_each(|key| *set.get_mut(&key) = 1);
    assert!(set.iter().all(|&met| met == 1));
    let addresses: Vec<usize> = set.iter().map(|stripe| (&raw const *stripe).addr()).collect();
    assert!(addresses.windows(2).all(|pair| pair[1] == pair[0] + 1));
    let few = Striped::<u64, u8, _>::from_fn(64, Fnv1a::default(), |_| 0);
    let addresses: Vec<usize> = few.iter().map(|stripe| (&raw const *stripe).addr()).collect();
    assert!(addresses.windows(2).all(|pair| pair[1] >= pair[0] + 64), "a cache line apart at least");
}

#[test]
fn equal_keys_meet_in_every_form_they_can_be_borrowed() {
    let locks = StripedMutex::<String, u32>::new(1024);
    let bytes = StripedMutex::<Vec<u8>, u32>::new(1024);
    for id in 0..500 {
        let key = format!("key {id}");
        assert_eq!(locks.stripe_of(&key), locks.stripe_of(key.as_str()));
        assert_eq!(bytes.stripe_of(key.as_bytes()), bytes.stripe_of(&key.clone().into_bytes()));
    }
    *locks.lock("key") += 1;
    *locks.lock_many(&["key".to_owned()]).get_mut("key").unwrap() += 1;
    assert_eq!(*locks.lock(&"key".to_owned()), 2);
}

#[test]
fn data_is_reached_without_locking_through_exclusive_access() {
    let mut locks = StripedRwLock::<u64, u32>::new(4);
    std::mem::forget(locks.write(&7));
    *locks.get_mut(&7) += 5;
    assert_eq!(locks.iter_mut().map(|n| *n).sum::<u32>(), 5);
    assert_eq!(locks.into_inner().into_iter().sum::<u32>(), 5);
}
