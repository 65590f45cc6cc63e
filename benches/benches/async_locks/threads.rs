//! Two threads at once.

use std::{
    future::ready,
    hint::black_box,
    iter,
    sync::atomic::{
        AtomicU8,
        Ordering::{Acquire, Relaxed, Release},
    },
    thread,
};

use benches::{harness::Case, workloads::together};
use crossbeam_utils::CachePadded;
use futures_lite::future::block_on;
use stripe_lock::{AsyncStripedMutex, AsyncStripedRwLock};

use crate::{
    LONG, compare,
    contenders::{ByHand, Contender, OURS, Pairs, STRIPES, by_hand},
    keys,
};

pub(crate) fn two() {
    fn case<C: Contender>(label: String, threads: usize, disjoint: bool) -> Case<'static> {
        let (locks, all) = (C::new(), keys());
        let keys: Vec<Vec<u64>> = (0..threads)
            .map(|thread| {
                let ours = |key: &&u64| !disjoint || locks.stripe(**key) % 2 == thread;
                let mut keys: Vec<u64> = all.iter().filter(ours).copied().collect();
                let turn = keys.len() / 2 * thread;
                keys.rotate_left(turn);
                keys
            })
            .collect();
        // So many operations in every thread: half the time an operation means twice the throughput.
        Case::new(label, move |n| {
            together(threads, |thread| {
                for &key in keys[thread].iter().cycle().take(n as usize) {
                    block_on(locks.with(key, ready(())));
                }
            }) / threads as u32
        })
    }
    fn pair<C: Contender>(cases: &mut Vec<Case<'static>>) {
        cases.push(case::<C>(format!("{}, 1 thread", C::NAME), 1, true));
        cases.push(case::<C>(format!("{}, 2 disjoint", C::NAME), 2, true));
        cases.push(case::<C>(format!("{}, 2 random", C::NAME), 2, false));
    }
    let mut cases = Vec::new();
    pair::<AsyncStripedMutex<u64>>(&mut cases);
    pair::<Pairs>(&mut cases);
    pair::<ByHand<tokio::sync::Mutex<()>>>(&mut cases);
    pair::<ByHand<async_lock::Mutex<()>>>(&mut cases);
    pair::<ByHand<saa::Lock>>(&mut cases);
    cases.extend([1, 2].map(registers));
    compare("two threads, wall time an operation of either", "stripe-lock, 2 random", cases, LONG);
}

/// Work that two threads share nothing of: what two threads are worth on this machine.
fn registers(threads: usize) -> Case<'static> {
    Case::new(format!("registers, {threads}"), move |n| {
        together(threads, |_| {
            let mut product = 1_u64;
            for _ in 0..16 * n {
                product = black_box(product.wrapping_mul(3));
            }
        }) / threads as u32
    })
}

pub(crate) fn read() {
    fn case<L: Send + Sync + 'static>(label: &str, locks: L, read: fn(&L)) -> Case<'static> {
        Case::new(label, move |n| together(2, |_| (0..n).for_each(|_| read(&locks))) / 2)
    }
    let cases = vec![
        case(OURS, AsyncStripedRwLock::<u64>::new(STRIPES), |locks| {
            black_box(&*block_on(locks.read(&1)));
        }),
        case("tokio", by_hand::<tokio::sync::RwLock<()>>(), |locks| {
            black_box(&*block_on(locks.get(&1).read()));
        }),
        case("async-lock", by_hand::<async_lock::RwLock<()>>(), |locks| {
            black_box(&*block_on(locks.get(&1).read()));
        }),
        case("saa", by_hand::<saa::Lock>(), |locks| {
            let lock = locks.get(&1);
            block_on(lock.share_async());
            lock.release_share();
        }),
    ];
    compare("2 threads read one stripe", OURS, cases, LONG);
}

/// One byte for each stripe, side by side or each on a line of its own: two threads, random keys, the limit of any lock.
pub(crate) fn dense() {
    fn case<L: Send + Sync + 'static>(
        label: String,
        stripes: usize,
        new: impl Fn() -> L,
        byte: fn(&L) -> &AtomicU8,
    ) -> Case<'static> {
        let locks: Vec<L> = iter::repeat_with(new).take(stripes).collect();
        Case::new(label, move |n| {
            together(2, |thread| {
                let mut random = thread as u64 + 1;
                for _ in 0..n {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let lock = byte(&locks[(random >> 33) as usize & (stripes - 1)]);
                    while lock.compare_exchange_weak(0, 1, Acquire, Relaxed).is_err() {
                        thread::yield_now();
                    }
                    let _ = lock.compare_exchange(1, 0, Release, Relaxed);
                }
            }) / 2
        })
    }
    for stripes in (6..=16).step_by(2).map(|bits| 1 << bits) {
        let cases = vec![
            case("dense".into(), stripes, AtomicU8::default, |byte| byte),
            case("padded".into(), stripes, CachePadded::<AtomicU8>::default, |byte| byte),
            case("padded, 1/128".into(), (stripes / 128).max(1), CachePadded::<AtomicU8>::default, |byte| {
                byte
            }),
        ];
        compare(&format!("2 threads, {stripes} stripes"), "padded", cases, LONG);
    }
}
