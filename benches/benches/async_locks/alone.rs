//! One thread, nothing held by anybody else.

use benches::harness::Case;
use stripe_lock::AsyncStripedMutex;

use crate::{
    BRIEF, compare,
    contenders::{ByHand, Contender, Lockable, OURS, Pairs, StripedLock},
    keys, now, time,
};

pub(crate) fn one() {
    fn case<C: Contender>() -> Case<'static> {
        let (locks, keys) = (C::new(), keys());
        Case::new(C::NAME, move |n| {
            time(|| keys.iter().cycle().take(n as usize).for_each(|&key| locks.once(key)))
        })
    }
    let cases = vec![
        case::<Pairs>(),
        case::<AsyncStripedMutex<u64>>(),
        case::<ByHand<tokio::sync::Mutex<()>>>(),
        case::<ByHand<async_lock::Mutex<()>>>(),
        case::<ByHand<saa::Lock>>(),
        case::<ByHand<futures_util::lock::Mutex<()>>>(),
        case::<Lockable>(),
        case::<StripedLock>(),
    ];
    compare("one u64 key, uncontended: lock, poll once, unlock", OURS, cases, BRIEF);
}

pub(crate) fn many() {
    fn case<C: Contender>(count: usize) -> Case<'static> {
        let (locks, keys) = (C::new(), keys());
        Case::new(C::NAME, move |n| {
            time(|| {
                keys.chunks_exact(count).cycle().take(n as usize).for_each(|keys| now(locks.with_many(keys)));
            })
        })
    }
    for count in [2, 4, 8, 16, 64] {
        let cases = vec![
            case::<Pairs>(count),
            case::<AsyncStripedMutex<u64>>(count),
            case::<ByHand<tokio::sync::Mutex<()>>>(count),
            case::<ByHand<async_lock::Mutex<()>>>(count),
            case::<ByHand<saa::Lock>>(count),
            case::<Lockable>(count),
        ];
        compare(&format!("{count} u64 keys, uncontended"), OURS, cases, BRIEF);
    }
}
