//! Several futures of one task: in `join!`, with one waker, or put aside. Each must be served as if it were in a task
//! of its own, and one that is put aside must lose nothing.

use std::cell::Cell;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::bell::Bell;
use stripe_lock::{AsyncStripedMutex, AsyncStripedRwLock, AsyncStripedSemaphore};
use tokio::time::{sleep, timeout};

/// Much longer than any of these tests takes.
const HUNG: Duration = Duration::from_secs(30);

fn poll<F: Future + ?Sized>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

/// Two loops in one `join!`, each of which locks, sleeps and unlocks three times, in every flavour of runtime.
macro_rules! joined_loops_end {
    ($($name:ident: $set:expr, $locks:ident => $lock:expr;)*) => {
        $(
            #[test]
            fn $name() {
                for workers in [1, 2] {
                    let runtime = if workers == 1 {
                        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
                    } else {
                        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
                    };
                    runtime.block_on(async {
                        let $locks = $set;
                        let turns = Cell::new(0);
                        let worker = async || {
                            for _ in 0..3 {
                                let _guard = $lock.await;
                                sleep(Duration::from_millis(1)).await;
                                turns.set(turns.get() + 1);
                            }
                        };
                        timeout(HUNG, async { tokio::join!(worker(), worker()) }).await.expect("they end");
                        assert_eq!(turns.get(), 6);
                    });
                }
            }
        )*
    };
}

joined_loops_end! {
    singles: AsyncStripedMutex::<str>::new(64), l => l.lock("alice");
    multis: AsyncStripedMutex::<str>::new(64), l => l.lock_many(["alice", "bob"]);
    strict_multis: AsyncStripedMutex::<str>::new(64).strict_fifo(), l => l.lock_many(["alice", "bob"]);
    all_of_two: AsyncStripedMutex::<str>::new(2), l => l.lock_all();
    all_of_one: AsyncStripedMutex::<str>::new(1), l => l.lock_all();
    writers_of_several: AsyncStripedRwLock::<str>::new(64), l => l.write_many(["alice", "bob"]);
    batches: AsyncStripedRwLock::<str>::new(64), l => l.batch().write("alice").write("bob").lock();
    permits_of_several: AsyncStripedSemaphore::<str>::new(64, 1), l => l.acquire_keys(["alice", "bob"]);
    several_permits: AsyncStripedSemaphore::<str>::new(64, 3), l => l.acquire_many("alice", 2);
}

#[tokio::test]
async fn readers_of_several_beside_writers_of_several() {
    let locks = AsyncStripedRwLock::<str>::new(64);
    let reader = async {
        for _ in 0..3 {
            let _guard = locks.read_many(["alice", "bob"]).await;
            sleep(Duration::from_millis(1)).await;
        }
    };
    let writer = async {
        for _ in 0..3 {
            let _guard = locks.write_many(["bob", "alice"]).await;
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(HUNG, async { tokio::join!(reader, writer) }).await.expect("they end");
}

#[tokio::test]
async fn many_loops_of_one_task_end() {
    let locks = AsyncStripedMutex::<u64>::new(2);
    let worker = async |key: u64| {
        for _ in 0..3 {
            let _guard = locks.lock_many(&[key, key + 1]).await;
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(HUNG, futures_util::future::join_all((0..8).map(worker))).await.expect("they end");
}

/// A woken future is put aside; a newcomer overtakes it. All tasks continue once it is polled or dropped.
#[test]
fn a_future_that_is_put_aside_keeps_its_place() {
    for dropped in [false, true] {
        let locks = AsyncStripedMutex::<u64>::new(1);
        let (bell, waker) = Bell::new();
        let held = locks.try_lock(&1);
        let mut aside = Box::pin(locks.lock(&1));
        assert!(poll(aside.as_mut(), &waker).is_pending());
        drop(held);
        assert_eq!(bell.rings(), 1, "its task is woken on its account");
        let newcomer = locks.try_lock(&1).expect("it overtakes");
        let mut second = pin!(locks.lock(&1));
        assert!(poll(second.as_mut(), &waker).is_pending());
        drop(newcomer);
        while locks.try_lock(&1).is_some() {}
        assert!(poll(second.as_mut(), &waker).is_pending(), "it waits behind the first");
        if dropped {
            drop(aside);
        } else {
            assert!(poll(aside.as_mut(), &waker).is_ready());
        }
        assert!(poll(second.as_mut(), &waker).is_ready());
        assert!(locks.try_lock(&1).is_some());
    }
}

/// As above, for every kind of future that can be granted a stripe and then not be polled.
#[test]
fn every_kind_of_future_that_is_put_aside_gives_its_grant_back() {
    type Waiting<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;
    type Makes<'a> = Box<dyn Fn() -> Waiting<'a> + 'a>;
    let locks = AsyncStripedRwLock::<u64>::new(2);
    let makes: [Makes<'_>; 5] = [
        Box::new(|| Box::pin(async { drop(locks.read(&1).await) })),
        Box::new(|| Box::pin(async { drop(locks.write(&1).await) })),
        Box::new(|| Box::pin(async { drop(locks.upgradable_read(&1).await) })),
        Box::new(|| Box::pin(async { drop(locks.read_all().await) })),
        Box::new(|| Box::pin(async { drop(locks.write_all().await) })),
    ];
    for (dropped, make) in makes.iter().flat_map(|make| [(false, make), (true, make)]) {
        let (_bell, waker) = Bell::new();
        let held = locks.try_write_all();
        let mut aside = make();
        let mut second: Waiting<'_> = Box::pin(async { drop(locks.write_all().await) });
        assert!(poll(aside.as_mut(), &waker).is_pending() && poll(second.as_mut(), &waker).is_pending());
        drop(held);
        if dropped {
            drop(aside);
            assert!(poll(second.as_mut(), &waker).is_ready());
        } else {
            // Both are served, in either order.
            let first = poll(aside.as_mut(), &waker).is_ready();
            assert!(poll(second.as_mut(), &waker).is_ready());
            assert!(first || poll(aside.as_mut(), &waker).is_ready());
        }
        assert!(locks.try_write_all().is_some());
    }
}

/// A loop that locks all the time, beside one future that wants the stripe once.
#[tokio::test]
async fn a_loop_does_not_starve_the_other_branch() {
    for (strict, most) in [(false, 13), (true, 1)] {
        let locks = AsyncStripedMutex::<u64>::new(1);
        let locks = if strict { locks.strict_fifo() } else { locks };
        let rounds = Cell::new(0);
        let looping = async {
            for _ in 0..200 {
                let _guard = locks.lock(&1).await;
                rounds.set(rounds.get() + 1);
                tokio::task::yield_now().await;
            }
        };
        let once = async {
            let _guard = locks.lock(&1).await;
            rounds.get()
        };
        let ((), before) = timeout(HUNG, async { tokio::join!(looping, once) }).await.expect("they end");
        assert!(before <= most, "{before} rounds before it, strict: {strict}");
    }
}

#[test]
fn strict_order_holds_within_one_task() {
    let locks = AsyncStripedMutex::<u64>::new(1).strict_fifo();
    let (_bell, waker) = Bell::new();
    let mut held = locks.try_lock(&1);
    let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(locks.lock(&1))).collect();
    for future in &mut waiting {
        assert!(poll(future.as_mut(), &waker).is_pending());
    }
    let mut served = Vec::new();
    let mut left: Vec<usize> = (0..4).collect();
    while served.len() < 4 {
        held = None;
        // Polled in the reverse order.
        for at in (0..left.len()).rev() {
            if let Poll::Ready(guard) = poll(waiting[left[at]].as_mut(), &waker) {
                held = Some(guard);
                served.push(left.remove(at));
                break;
            }
        }
    }
    drop(held);
    assert_eq!(served, [0, 1, 2, 3]);
}

/// The program that hangs according to the guide, as with every other async mutex, and its two fixes.
#[tokio::test(start_paused = true)]
async fn the_program_of_the_guide() {
    let ms = Duration::from_millis;
    let locks = AsyncStripedMutex::<u64>::new(1);
    let holder = async {
        let _guard = locks.lock(&1).await;
        sleep(ms(20)).await;
    };
    let select = async {
        let mut aside = pin!(locks.lock(&1));
        tokio::select! {
            biased;
            () = sleep(ms(4)) => timeout(ms(1000), locks.lock(&1)).await.is_err(),
            _guard = &mut aside => false,
        }
    };
    assert!(tokio::join!(holder, select).1, "the second waits for the first, which is not polled");
    // The first fix drops the future. The second one continues to poll it.
    let dropping = async {
        let aside = locks.lock(&1);
        tokio::select! {
            biased;
            () = sleep(ms(4)) => {}
            _guard = aside => {}
        }
        timeout(ms(1000), locks.lock(&1)).await.is_ok()
    };
    let holder = async {
        let _guard = locks.lock(&1).await;
        sleep(ms(20)).await;
    };
    assert!(tokio::join!(holder, dropping).1);
    let holder = async {
        let _guard = locks.lock(&1).await;
        sleep(ms(20)).await;
    };
    let polling = async {
        let mut aside = pin!(locks.lock(&1));
        tokio::select! {
            biased;
            () = sleep(ms(4)) => {}
            _guard = &mut aside => {}
        }
        timeout(ms(1000), aside).await.is_ok()
    };
    assert!(tokio::join!(holder, polling).1);
}
