//! The checker of histories finds planted bugs, and finds no error without them.

mod support;

use std::time::Duration;

use stripe_lock_dist::{DistributedGuard, DistributedMutex};
use support::history::{Section, Wrong, check, now};
use support::memory::Memory;
use support::planted::{Bug, Planted};
use support::rounds::{Random, STRIPES, keys, round};
use support::{LONG, process};

fn section(from: u64, to: u64, fence: i64, stripes: &[usize]) -> Section {
    Section { from, to, fence, stripes: stripes.to_vec() }
}

#[test]
fn the_checker_tells_histories_apart() {
    let fine =
        [section(1, 2, 7, &[0, 1]), section(3, 4, 8, &[1]), section(3, 4, 8, &[0]), section(1, 9, 1, &[2])];
    assert_eq!(check(&fine), Ok(()));
    assert_eq!(check(&[section(1, 3, 7, &[0, 1]), section(2, 4, 8, &[1])]), Err(Wrong::TwoHolders));
    assert_eq!(check(&[section(1, 2, 7, &[0]), section(3, 4, 7, &[0])]), Err(Wrong::FenceFell));
    assert_eq!(check(&[section(3, 4, 7, &[0]), section(1, 2, 8, &[0])]), Err(Wrong::FenceFell));
    let line = section(3, 4, 7, &[0, 5]).to_string();
    assert_eq!(Section::read(&line).unwrap().to_string(), line);
    assert!(Section::read("running 1 test").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_with_cancelled_rounds_have_one_holder_at_a_time() {
    let engine = Memory::default();
    let mut tasks = Vec::new();
    for seed in 0..8 {
        let locks = DistributedMutex::builder("test").stripes(u32::try_from(STRIPES).unwrap());
        let locks: DistributedMutex<str> = locks.connect(engine.clone()).await.unwrap();
        tasks.push(tokio::spawn(async move {
            let (keys, mut random, mut history) = (keys(&locks), Random(seed), Vec::new());
            for _ in 0..200 {
                history.extend(round(&locks, &keys, &mut random).await);
            }
            history
        }));
    }
    let mut history = Vec::new();
    for task in tasks {
        history.extend(task.await.unwrap());
    }
    assert!(history.len() > 800, "{}", history.len());
    assert_eq!(check(&history), Ok(()));
    engine.until((0, 0)).await;
}

fn held(guard: &DistributedGuard, from: u64) -> Option<Section> {
    let section = section(from, now(), guard.fence(), &[0]);
    guard.is_held().then_some(section)
}

/// Two tasks of a process, with a set of locks each.
async fn two_tasks(
    one: DistributedMutex<str>,
    other: DistributedMutex<str>,
    patience: Duration,
) -> Vec<Section> {
    let guard = one.lock("k").await.unwrap();
    let from = now();
    let second = other.lock_timeout("k", patience).await;
    let (second_from, first) = (now(), held(&guard, from));
    first.into_iter().chain(second.ok().and_then(|guard| held(&guard, second_from))).collect()
}

/// Three processes want the lock at the same time.
async fn three_processes(engine: Memory, new: impl Fn(Memory) -> Planted<Memory>) -> Vec<Section> {
    let (one, two) = (process(new(engine.clone())).await, process(new(engine.clone())).await);
    let three = process(new(engine.clone())).await;
    let mut history = Vec::new();
    let guard = one.lock("k").await.unwrap();
    let mut waiting = Vec::new();
    for locks in [two, three] {
        let mut lock = Box::pin(async move { locks.lock("k").await.unwrap() });
        support::begin(&mut lock).await;
        waiting.push(lock);
        engine.until((1, waiting.len())).await;
    }
    history.extend(held(&guard, now()));
    drop(guard);
    for lock in waiting {
        let guard = lock.await;
        history.extend(held(&guard, now()));
    }
    history
}

/// A holder whose lease is not renewed, and another that waits for it.
async fn cut_off(holder: DistributedMutex<str>, engine: Memory, cut: impl FnOnce()) -> Vec<Section> {
    let other = process(engine).await;
    let guard = holder.lock("k").await.unwrap();
    let from = now();
    cut();
    let second = other.lock("k").await.unwrap();
    let second_from = now();
    held(&guard, from).into_iter().chain(held(&second, second_from)).collect()
}

#[tokio::test]
async fn tasks_that_do_not_exclude_each_other_are_found() {
    let planted = Planted::new(Memory::default(), Bug::NoLocalExclusion);
    let (one, other) = (process(planted.same_process()).await, process(planted).await);
    assert_eq!(check(&two_tasks(one, other, LONG).await), Err(Wrong::TwoHolders));

    let locks = process(Memory::default()).await;
    assert_eq!(check(&two_tasks(locks.clone(), locks, Duration::from_millis(5)).await), Ok(()));
}

#[tokio::test]
async fn a_fence_that_was_taken_before_the_lock_is_found() {
    let planted = |engine| Planted::new(engine, Bug::FenceBeforeTheLock);
    assert_eq!(check(&three_processes(Memory::default(), planted).await), Err(Wrong::FenceFell));

    let other_bug = |engine| Planted::new(engine, Bug::RenewalThatLies);
    let history = three_processes(Memory::default(), other_bug).await;
    assert_eq!((history.len(), check(&history)), (3, Ok(())));
}

#[tokio::test]
async fn a_renewal_that_lies_is_found() {
    let engine = Memory::default();
    let planted = process(Planted::new(engine.clone(), Bug::RenewalThatLies)).await;
    assert_eq!(check(&cut_off(planted, engine, || ()).await), Err(Wrong::TwoHolders));

    let engine = Memory::default();
    let unreachable = Memory::sharing(&engine);
    let honest = DistributedMutex::builder("test").stripes(64).ttl(Duration::from_millis(200));
    let honest = honest.connect(unreachable.clone()).await.unwrap();
    let history = cut_off(honest, engine, || unreachable.unreachable(true)).await;
    assert_eq!((history.len(), check(&history)), (1, Ok(())));
}
