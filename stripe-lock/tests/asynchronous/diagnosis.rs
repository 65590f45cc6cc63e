//! Feature `diagnose`: holders and waiters are shown with their call sites, and cycles of waiters are found.
#![cfg(feature = "diagnose")]

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use stripe_lock::asynchronous::Standing::{self, Granted, Holds, Waits};
use stripe_lock::asynchronous::{Blocked, Claim, Diagnosis, Resource};
use stripe_lock::{AsyncStripedMutex, AsyncStripedRwLock, AsyncStripedSemaphore};

struct Bell;

impl Wake for Bell {
    fn wake(self: Arc<Self>) {}
}

/// A future with a waker of its own.
struct Task<'a>(Pin<Box<dyn Future<Output = ()> + 'a>>, Waker);

impl<'a> Task<'a> {
    /// The task after its first poll.
    fn begun(future: impl Future<Output = ()> + 'a) -> Self {
        let mut task = Self(Box::pin(future), Arc::new(Bell).into());
        task.goes_on();
        task
    }

    /// Polls the task, which is not done.
    fn goes_on(&mut self) {
        assert!(self.0.as_mut().poll(&mut Context::from_waker(&self.1)).is_pending());
    }
}

fn pause() -> impl Future<Output = ()> {
    let mut paused = false;
    std::future::poll_fn(
        move |_| {
            if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending }
        },
    )
}

fn keys(stripe_of: impl Fn(&u64) -> usize, count: usize) -> Vec<u64> {
    (0..count).map(|stripe| (0..1 << 20).find(|key| stripe_of(key) == stripe).unwrap()).collect()
}

/// The stripes that are waited for in the only cycle.
fn cycle(diagnosis: &Diagnosis) -> Vec<usize> {
    let [cycle] = diagnosis.cycles() else { panic!("not one cycle: {diagnosis}") };
    let cycle = cycle.blocked();
    for (blocked, next) in cycle.iter().zip(cycle.iter().cycle().skip(1)) {
        assert_eq!(blocked.by.task, next.waits.task, "each waits for the next");
        assert_eq!(blocked.waits.resource, blocked.by.resource);
        assert_eq!(blocked.waits.standing, Standing::Waits);
    }
    cycle.iter().map(|blocked| stripe(&blocked.waits)).collect()
}

fn stripe(claim: &Claim) -> usize {
    let Resource::Stripe(stripe) = claim.resource else { panic!("not a stripe: {claim}") };
    stripe
}

#[test]
fn a_task_that_waits_for_itself_is_found() {
    let locks = AsyncStripedMutex::<u64>::new(4);
    let (first, again) = (line!() + 2, line!() + 3);
    let task = Task::begun(async {
        let _first = locks.lock(&1).await;
        let _again = locks.lock(&1).await;
    });
    let diagnosis = locks.diagnose();
    assert_eq!(cycle(&diagnosis), [locks.stripe_of(&1)]);
    let [Blocked { waits, by, .. }] = diagnosis.cycles()[0].blocked()[..] else {
        panic!("one task: {diagnosis}")
    };
    assert_eq!((waits.at.line(), by.at.line()), (again, first));
    assert_eq!((waits.task, by.standing), (by.task, Standing::Holds));
    let text = diagnosis.to_string();
    assert!(text.contains("one task waits for itself, unless another branch of it releases the lock:\n  task 1 has waited for"), "{text}");
    assert!(
        text.contains(&format!("{}:{again}:", file!())) && text.contains(&format!("{}:{first}:", file!()))
    );
    drop(task);
    assert!(locks.diagnose().claims().is_empty());
}

#[test]
fn two_tasks_that_cross_are_found() {
    let locks = AsyncStripedMutex::<u64>::new(4);
    let keys = keys(|key| locks.stripe_of(key), 4);
    let cross = async |one: u64, other: u64| {
        let _one = locks.lock(&one).await;
        pause().await;
        let _other = locks.lock(&other).await;
    };
    let mut one = Task::begun(cross(keys[1], keys[3]));
    let mut other = Task::begun(cross(keys[3], keys[1]));
    let bystander = Task::begun(cross(keys[1], keys[2]));
    one.goes_on();
    assert!(locks.diagnose().cycles().is_empty(), "the other one can still go on");
    other.goes_on();
    let diagnosis = locks.diagnose();
    let mut stripes = cycle(&diagnosis);
    stripes.sort_unstable();
    assert_eq!(stripes, [1, 3]);
    assert!(diagnosis.to_string().contains("2 tasks wait in a cycle, unless"), "{diagnosis}");
    assert_eq!(diagnosis.claims().iter().filter(|claim| claim.standing == Standing::Waits).count(), 3);
    drop((one, bystander));
    assert!(locks.diagnose().cycles().is_empty(), "without it there is no cycle");
    drop(other);
}

#[test]
fn a_reader_that_reads_again_behind_a_writer_is_found() {
    let locks = AsyncStripedRwLock::<u64>::new(1);
    let mut reader = Task::begun(async {
        let _one = locks.read(&1).await;
        pause().await;
        let _two = locks.read(&1).await;
    });
    let _writer = Task::begun(async { drop(locks.write(&1).await) });
    assert!(locks.diagnose().cycles().is_empty());
    reader.goes_on();
    assert_eq!(cycle(&locks.diagnose()), [0, 0]);
}

#[test]
fn permits_form_a_cycle_only_if_no_holder_can_release_one() {
    let limits = AsyncStripedSemaphore::<u64>::new(1, 2);
    let greedy = async || {
        let _one = limits.acquire(&1).await;
        pause().await;
        let _two = limits.acquire(&1).await;
    };
    let mut one = Task::begun(greedy());
    let mut other = Task::begun(greedy());
    one.goes_on();
    assert!(limits.diagnose().cycles().is_empty(), "the other one may give its permit back");
    other.goes_on();
    assert_eq!(limits.diagnose().cycles().len(), 1);
}

#[test]
fn a_waiting_multi_is_shown_with_the_stripes_that_it_holds() {
    let locks = AsyncStripedMutex::<u64>::new(4);
    let keys = keys(|key| locks.stripe_of(key), 4);
    let held = locks.try_lock(&keys[2]).unwrap();
    let multi = Task::begun(async { drop(locks.lock_many(&keys).await) });
    let shown = || {
        let claims = locks.diagnose().claims().to_vec();
        let mut claims: Vec<_> = claims.iter().map(|c| (stripe(c), c.standing, c.task.is_some())).collect();
        claims.sort_by_key(|&(stripe, standing, _)| (stripe, standing == Standing::Waits));
        claims
    };
    assert_eq!(shown(), [(0, Holds, true), (1, Holds, true), (2, Holds, false), (2, Waits, true)]);
    drop(held);
    assert_eq!(shown(), [0, 1, 2, 3].map(|stripe| (stripe, Granted, true)));
    drop(multi);
    assert_eq!(shown(), []);
}

#[test]
fn a_guard_is_on_record_until_it_is_dropped() {
    let locks = Arc::new(AsyncStripedMutex::<u64>::new(4));
    let keys = keys(|key| locks.stripe_of(key), 4);
    // Sorted by stripe.
    let shown = || locks.diagnose().claims().iter().map(stripe).collect::<Vec<_>>();
    let mut many = locks.blocking_lock_many(&keys[..1]);
    many.try_extend(&keys[1]).unwrap();
    let other = locks.try_lock(&keys[3]);
    {
        let mut extending = pin!(many.extend(&keys[3]));
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(extending.as_mut().poll(cx).is_pending());
        drop(other);
        assert!(extending.as_mut().poll(cx).is_ready());
    }
    assert_eq!(shown(), [0, 1, 3]);
    let owned = locks.blocking_lock(&keys[2]);
    assert_eq!(shown(), [0, 1, 2, 3]);
    drop(many);
    assert_eq!(shown(), [2]);
    drop(owned);
    assert_eq!(shown(), []);
}

#[test]
fn every_way_of_asking_names_its_caller() {
    let locks = AsyncStripedMutex::<u64>::new(4);
    let here = |line: u32| {
        let claims = locks.diagnose().claims().to_vec();
        assert!(!claims.is_empty());
        assert!(
            claims.iter().all(|claim| (claim.at.file(), claim.at.line()) == (file!(), line)),
            "{claims:?}"
        );
    };
    let _ = Task::begun(async {
        let guard = locks.lock(&1).await;
        here(line!() - 1);
        drop(guard);
        let guard = locks.lock_many(&[1, 2]).await;
        here(line!() - 1);
        drop(guard);
        let guard = locks.lock_timeout(&1, pause()).await;
        here(line!() - 1);
        drop(guard);
        locks.with(&1, async |()| here(line!())).await;
        let guard = locks.lock_all().await;
        here(line!() - 1);
        drop(guard);
        pause().await;
    });
    let guard = locks.try_lock(&1);
    here(line!() - 1);
    drop(guard);
    let guard = locks.try_lock_all();
    here(line!() - 1);
    drop(guard);
    let guard = locks.blocking_lock(&1);
    here(line!() - 1);
    drop(guard);
    let guard = locks.blocking_lock_many(&[1]);
    here(line!() - 1);
    drop(guard);
}

/// The branch that holds the stripe sleeps, and continues whatever the other one waits for.
#[test]
fn a_cycle_of_two_branches_of_one_task_is_not_certain() {
    let locks = AsyncStripedMutex::<u64>::new(1);
    let mut task = Task::begun(async {
        let holder = async {
            let _guard = locks.lock(&1).await;
            pause().await;
        };
        let waiter = async { drop(locks.lock(&1).await) };
        futures_util::future::join(holder, waiter).await;
    });
    let diagnosis = locks.diagnose();
    let [found] = diagnosis.cycles() else { panic!("one: {diagnosis}") };
    assert!(!found.is_certain());
    assert!(diagnosis.to_string().contains("unless another branch of it releases the lock"), "{diagnosis}");
    assert!(task.0.as_mut().poll(&mut Context::from_waker(&task.1)).is_ready(), "it ends by itself");
}

/// A task takes a guard, passes it on and ends. The next task must not be mistaken for it, although it may have the
/// same address.
#[test]
fn an_ended_task_is_not_mistaken_for_another() {
    let locks = Arc::new(AsyncStripedMutex::<u64>::new(1));
    for _ in 0..100 {
        let guard = {
            let one = Waker::from(Arc::new(Bell));
            match pin!(locks.lock_owned(&1)).poll(&mut Context::from_waker(&one)) {
                Poll::Ready(guard) => guard,
                Poll::Pending => unreachable!("it is free"),
            }
        };
        let waiting = Task::begun(async { drop(locks.lock(&1).await) });
        let diagnosis = locks.diagnose();
        assert!(diagnosis.cycles().is_empty(), "{diagnosis}");
        drop(guard);
        drop(waiting);
    }
}

#[test]
fn a_future_that_was_granted_and_put_aside_is_shown() {
    let locks = AsyncStripedMutex::<u64>::new(1).strict_fifo();
    let held = locks.try_lock(&1);
    let aside = Task::begun(async { drop(locks.lock(&1).await) });
    drop(held);
    let diagnosis = locks.diagnose();
    assert_eq!(diagnosis.claims()[0].standing, Granted);
    let text = diagnosis.to_string();
    assert!(
        text.contains("was granted stripe 0 (alone) ") && text.contains(" ago and not polled since"),
        "{text}"
    );
    drop(aside);
    assert!(locks.diagnose().claims().is_empty());
}

/// Two threads that block each other can't continue. Timeouts end their waits.
#[test]
fn threads_that_wait_for_each_other_are_certain() {
    let locks = AsyncStripedMutex::<u64>::new(2);
    let keys = &keys(|key| locks.stripe_of(key), 2);
    let both = std::sync::Barrier::new(2);
    let cross = &|one: u64, other: u64| {
        let _one = locks.blocking_lock(&one);
        both.wait();
        drop(locks.blocking_lock_timeout(&other, std::time::Duration::from_secs(5)));
    };
    let seen = std::thread::scope(|scope| {
        let threads = [(0, 1), (1, 0)].map(|(one, other)| scope.spawn(move || cross(keys[one], keys[other])));
        let seen = loop {
            let diagnosis = locks.diagnose();
            let waits = diagnosis.claims().iter().filter(|claim| claim.standing == Waits).count();
            if waits == 2 {
                break diagnosis;
            }
            std::thread::yield_now();
        };
        // Each thread is joined, because sanitizers don't see what the end of a scope waits for.
        for thread in threads {
            thread.join().unwrap();
        }
        seen
    });
    let [found] = seen.cycles() else { panic!("one: {seen}") };
    assert!(found.is_certain() && found.blocked().len() == 2, "{seen}");
    assert!(seen.to_string().contains("deadlock: 2 threads wait in a cycle:"), "{seen}");
}

#[test]
fn many_waiters_are_listed_in_the_order_of_their_queues() {
    let locks = AsyncStripedMutex::<u64>::new(1 << 12);
    let all = locks.try_lock_all();
    let locks = &locks;
    let waiting: Vec<_> =
        (0..20_000).map(|key| Task::begun(async move { drop(locks.lock(&key).await) })).collect();
    let diagnosis = locks.diagnose();
    assert_eq!(diagnosis.claims().iter().filter(|claim| claim.standing == Waits).count(), 20_000);
    assert!(diagnosis.claims().is_sorted_by_key(|claim| (claim.resource, claim.standing == Waits)));
    assert!(diagnosis.cycles().is_empty());
    drop((all, waiting));
}
