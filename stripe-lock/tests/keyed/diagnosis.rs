//! Feature `diagnose`: who holds a key, who waits for it, and cycles of waiters.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::thread;

use stripe_lock::asynchronous::Standing::{self, Granted, Holds, Waits};
use stripe_lock::asynchronous::keyed::KeyedGuard;
use stripe_lock::asynchronous::{AcquireError, Diagnosis, Resource};

use crate::task::Task;
use crate::{BUCKETS, LONG, in_order, tasks, threads};

fn pause() -> impl Future<Output = ()> {
    let mut paused = false;
    poll_fn(move |_| if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending })
}

/// The claims to a resource: how it is claimed, and whether the task is known.
fn claims(diagnosis: &Diagnosis, resource: Resource) -> Vec<(Standing, bool)> {
    let claims = diagnosis.claims().iter().filter(|claim| claim.resource == resource);
    claims.map(|claim| (claim.standing, claim.task.is_some())).collect()
}

/// What the members of the only cycle wait for.
fn cycle(diagnosis: &Diagnosis) -> Vec<Resource> {
    let [cycle] = diagnosis.cycles() else { panic!("not one cycle: {diagnosis}") };
    let cycle = cycle.blocked();
    for (blocked, next) in cycle.iter().zip(cycle.iter().cycle().skip(1)) {
        assert_eq!(blocked.by.task, next.waits.task, "each waits for the next");
        assert_eq!(blocked.waits.standing, Waits);
    }
    cycle.iter().map(|blocked| blocked.waits.resource).collect()
}

#[test]
fn holders_and_waiters_of_each_key_are_listed() {
    for buckets in BUCKETS {
        let locks = tasks(buckets);
        let key = |key| Resource::Key(locks.key_id(&key));
        let (one, two) = (locks.try_lock(&1), locks.blocking_lock(&2));
        let first = Task::waiting(locks.lock(&1));
        let second = Task::waiting(locks.lock(&1));
        let diagnosis = locks.diagnose();
        assert_eq!(claims(&diagnosis, key(1)), [(Holds, false), (Waits, true), (Waits, true)]);
        assert_eq!(claims(&diagnosis, key(2)), [(Holds, true)]);
        assert_eq!(diagnosis.claims().len(), 4);
        assert!(diagnosis.claims().iter().all(|claim| claim.exclusive) && diagnosis.cycles().is_empty());
        let waits: Vec<_> = diagnosis
            .claims()
            .iter()
            .filter(|claim| claim.standing == Waits)
            .map(|claim| claim.at.line())
            .collect();
        assert!(waits.is_sorted() && waits.len() == 2, "in the order of the queue: {diagnosis}");
        drop(second);
        drop(first);
        assert_eq!(claims(&locks.diagnose(), key(1)), [(Holds, false)], "they gave up");
        drop((one, two));
        assert!(locks.diagnose().claims().is_empty());
    }
}

#[test]
fn a_key_that_was_granted_and_not_claimed_is_shown() {
    for buckets in BUCKETS {
        let locks = tasks(buckets);
        let held = locks.try_lock(&1).expect("it is free");
        let aside = Task::waiting(locks.lock(&1));
        KeyedGuard::unlock_fair(held);
        let diagnosis = locks.diagnose();
        assert_eq!(claims(&diagnosis, Resource::Key(locks.key_id(&1))), [(Granted, true)]);
        assert!(diagnosis.to_string().contains("task 1 was granted key 0x"), "{diagnosis}");
        drop(aside);
        assert!(locks.diagnose().claims().is_empty());
    }
}

#[test]
fn a_task_that_waits_for_itself_is_found() {
    for buckets in BUCKETS {
        let locks = tasks(buckets);
        let (first, again) = (line!() + 2, line!() + 3);
        let task = Task::waiting(async {
            let _first = locks.lock(&1).await;
            let _again = locks.lock(&1).await;
        });
        let diagnosis = locks.diagnose();
        assert_eq!(cycle(&diagnosis), [Resource::Key(locks.key_id(&1))]);
        let blocked = diagnosis.cycles()[0].blocked()[0];
        assert_eq!((blocked.waits.at.line(), blocked.by.at.line()), (again, first));
        let text = diagnosis.to_string();
        assert!(
            text.contains("one task waits for itself, unless another branch of it releases the lock:"),
            "{text}"
        );
        drop(task);
        assert!(locks.diagnose().claims().is_empty());
    }
}

#[test]
fn two_tasks_that_cross_are_found_and_unequal_keys_form_no_cycle() {
    for buckets in BUCKETS {
        let locks = tasks(buckets);
        let cross = async |one: u64, other: u64| {
            let _one = locks.lock(&one).await;
            pause().await;
            let _other = locks.lock(&other).await;
        };
        let mut one = Task::waiting(cross(1, 2));
        let mut other = Task::waiting(cross(2, 1));
        let bystander = Task::waiting(cross(3, 4));
        assert!(one.poll().is_pending());
        assert!(locks.diagnose().cycles().is_empty(), "the other one can still go on");
        assert!(other.poll().is_pending());
        let mut keys = cycle(&locks.diagnose());
        keys.sort_unstable();
        let mut both = [1, 2].map(|key| Resource::Key(locks.key_id(&key)));
        both.sort_unstable();
        assert_eq!(keys, both);
        drop(one);
        assert!(locks.diagnose().cycles().is_empty(), "without it there is no cycle");
        drop((other, bystander));
    }
}

#[test]
fn a_waiter_for_several_keys_is_shown_with_those_that_it_holds() {
    for buckets in BUCKETS {
        let locks = tasks(buckets);
        let (low, high) = in_order(&locks);
        let key = |key| Resource::Key(locks.key_id(&key));
        let held = locks.try_lock(&high);
        let mut both = Task::waiting(async {
            let both = locks.lock_many(&[high, low]).await;
            pause().await;
            drop(both);
        });
        let diagnosis = locks.diagnose();
        assert_eq!(claims(&diagnosis, key(low)), [(Holds, true)]);
        assert_eq!(claims(&diagnosis, key(high)), [(Holds, false), (Waits, true)]);
        let holder = diagnosis.claims().iter().find(|claim| claim.resource == key(low)).unwrap();
        let waiter = diagnosis.claims().iter().find(|claim| claim.standing == Waits).unwrap();
        assert_eq!(holder.task, waiter.task);
        drop(held);
        assert!(both.poll().is_pending(), "it holds both now");
        let diagnosis = locks.diagnose();
        assert_eq!([low, high].map(|name| claims(&diagnosis, key(name))), [[(Holds, true)], [(Holds, true)]]);
        drop(both);
        assert!(locks.diagnose().claims().is_empty());
    }
}

#[test]
fn a_wait_for_several_keys_that_is_cancelled_leaves_nothing_on_record() {
    for buckets in BUCKETS {
        let locks = tasks(buckets);
        let (low, high) = in_order(&locks);
        let held = locks.try_lock(&high);
        drop(Task::waiting(locks.lock_many(&[low, high])));
        assert_eq!(locks.diagnose().claims().len(), 1);
        drop(held);
        assert!(locks.diagnose().claims().is_empty());
    }
}

/// The deadlock that the documentation of `lock_all` warns of.
#[test]
fn a_newcomer_behind_lock_all_for_which_lock_all_waits_is_found() {
    for buckets in BUCKETS {
        let locks = tasks(buckets);
        let mut newcomer = Task::waiting(async {
            let _one = locks.lock(&1).await;
            pause().await;
            let _two = locks.lock(&2).await;
        });
        let bystander = locks.try_lock(&3);
        let all = Task::waiting(locks.lock_all());
        assert!(locks.diagnose().cycles().is_empty());
        // A bucket that `lock_all` has not reached lets the newcomer in.
        if newcomer.poll().is_pending() {
            let diagnosis = locks.diagnose();
            assert_eq!(claims(&diagnosis, Resource::EveryKey), [(Waits, true)]);
            let mut cycle = cycle(&diagnosis);
            cycle.sort_unstable();
            assert_eq!(cycle, [Resource::Key(locks.key_id(&2)), Resource::EveryKey], "{diagnosis}");
        } else {
            assert!(buckets > 1, "there is one bucket");
        }
        drop((newcomer, all, bystander));
        assert!(locks.diagnose().claims().is_empty());
    }
}

#[test]
fn who_holds_every_key_is_one_holder() {
    for buckets in BUCKETS {
        let locks = tasks(buckets);
        let all = locks.blocking_lock_all();
        let waiting = [1, 2].map(|key| {
            let locks = &locks;
            Task::waiting(async move { drop(locks.lock(&key).await) })
        });
        let next = Task::waiting(locks.lock_all());
        let diagnosis = locks.diagnose();
        assert_eq!(claims(&diagnosis, Resource::EveryKey), [(Holds, true), (Waits, true)]);
        assert_eq!(diagnosis.claims().len(), 4);
        assert!(diagnosis.cycles().is_empty(), "{diagnosis}");
        assert!(diagnosis.to_string().starts_with("task 1 has held every key (alone) for "), "{diagnosis}");
        drop((next, waiting, all));
        assert!(locks.diagnose().claims().is_empty());
    }
}

#[test]
fn a_guard_is_on_record_with_the_keys_that_it_holds() {
    for buckets in BUCKETS {
        let locks = tasks(buckets);
        let (low, high) = in_order(&locks);
        let held = |keys: &[u64]| {
            let mut keys: Vec<_> = keys.iter().map(|key| Resource::Key(locks.key_id(key))).collect();
            keys.sort_unstable();
            assert_eq!(
                locks.diagnose().claims().iter().map(|claim| claim.resource).collect::<Vec<_>>(),
                keys
            );
        };
        let mut guard = KeyedGuard::extendable(locks.blocking_lock(&low));
        held(&[low]);
        guard.try_extend(&7).expect("it is free");
        held(&[low, 7]);
        guard.release(&7);
        let other = locks.try_lock(&high);
        {
            let mut extending = pin!(guard.extend(&high));
            let cx = &mut Context::from_waker(Waker::noop());
            assert!(extending.as_mut().poll(cx).is_pending());
            drop(other);
            assert!(extending.as_mut().poll(cx).is_ready());
        }
        held(&[low, high]);
        drop(guard);
        held(&[]);
    }
}

#[test]
fn every_way_of_locking_names_its_caller() {
    let (locks, blocking) = (tasks(1024), Arc::new(threads(1024)));
    /// Each lock is on a line of its own.
    macro_rules! named {
        ($locks:expr, $($lock:expr;)+) => {
            let mut last = line!();
            $(
                let guard = $lock;
                let diagnosis = $locks.diagnose();
                let at = diagnosis.claims()[0].at;
                assert!(diagnosis.claims().iter().all(|claim| claim.at == at) && at.file() == file!(), "{diagnosis}");
                assert!(at.line() > last, "{diagnosis}");
                last = at.line();
                drop(guard);
            )+
            assert!(last < line!() + 20);
        };
    }
    let mut all = Task::new(async {
        named!(locks,
            locks.lock(&1).await;
            locks.lock_owned(&1).await;
            locks.lock_timeout(&1, pause()).await;
            locks.lock_many(&[1, 2]).await;
            locks.lock_many_owned(&[1, 2]).await;
            locks.lock_all().await;
            locks.lock_all_owned().await;
        );
    });
    assert!(all.poll().is_ready());
    named!(locks,
        locks.try_lock(&1);
        locks.try_lock_owned(&1);
        locks.try_lock_many(&[1, 2]);
        locks.try_lock_many_owned(&[1, 2]);
        locks.try_lock_all();
        locks.try_lock_all_owned();
        locks.blocking_lock(&1);
        locks.blocking_lock_owned(&1);
        locks.blocking_lock_timeout(&1, LONG);
        locks.blocking_lock_many(&[1, 2]);
        locks.blocking_lock_all();
    );
    named!(blocking,
        blocking.lock(&1);
        blocking.lock_arc(&1);
        blocking.lock_many(&[1, 2]);
        blocking.lock_many_arc(&[1, 2]);
        blocking.lock_all();
        blocking.lock_all_arc();
        blocking.try_lock(&1);
        blocking.try_lock_arc(&1);
        blocking.try_lock_for(&1, LONG);
        blocking.try_lock_arc_for(&1, LONG);
        blocking.try_lock_many(&[1, 2]);
        blocking.try_lock_many_arc(&[1, 2]);
        blocking.try_lock_many_for(&[1, 2], LONG);
        blocking.try_lock_all();
        blocking.try_lock_all_for(LONG);
    );
}

/// Two threads that block each other can't continue, until the set is closed.
#[test]
fn threads_that_wait_for_each_other_are_certain() {
    for buckets in BUCKETS {
        let locks = &tasks(buckets);
        let both = &Barrier::new(2);
        let seen = thread::scope(|scope| {
            let threads = [(1, 2), (2, 1)].map(|(one, other)| {
                scope.spawn(move || {
                    let _one = locks.blocking_lock(&one);
                    both.wait();
                    locks.blocking_lock_timeout(&other, LONG).map(drop)
                })
            });
            let seen = loop {
                let diagnosis = locks.diagnose();
                if diagnosis.claims().iter().filter(|claim| claim.standing == Waits).count() == 2 {
                    break diagnosis;
                }
                thread::yield_now();
            };
            locks.close();
            // The one that gets the error first may release its key to the other.
            let ends = threads.map(|thread| thread.join().unwrap());
            assert!(ends.contains(&Err(AcquireError::Closed)), "{ends:?}");
            seen
        });
        assert!(seen.cycles()[0].is_certain() && seen.cycles()[0].blocked().len() == 2, "{seen}");
        assert!(seen.to_string().contains("deadlock: 2 threads wait in a cycle:"), "{seen}");
    }
}
