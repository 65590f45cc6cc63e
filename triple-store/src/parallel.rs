//! Running pieces of work on all cores, at low priority.
//!
//! Loads and merges take all cores for seconds. A single insert needs one for some microseconds, several times: it waits for the
//! disk in between. On Linux, the threads of this module have a nice value of 10, so a thread that wakes up need not wait
//! until theirs have used up their time.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The nice value of the threads. A thread with that of 0 gets nine times as much of a core.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// The number of threads.
pub(crate) fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Lowers the priority of this thread for good, which only its new threads inherit.
pub(crate) fn lower_priority() {
    // On Linux, each thread has a priority of its own. It may always be lowered.
    #[cfg(target_os = "linux")]
    if rustix::process::getpriority_process(None).is_ok_and(|nice| nice < NICE) {
        _ = rustix::process::setpriority_process(None, NICE);
    }
}

/// The results of `work` for all items, in their order. A free thread takes the next item.
pub(crate) fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = threads().min(items.len());
    if threads < 2 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let take = || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        items.get(number).map(|item| (number, work(item)))
    };
    let mut done: Vec<_> = thread::scope(|scope| {
        let work = || {
            lower_priority();
            std::iter::from_fn(take).collect::<Vec<_>>()
        };
        // The caller only waits, since the priority of its thread can't be raised again.
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let done =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
        done.flatten().collect()
    });
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    #[test]
    fn only_the_threads_that_work_have_a_low_priority() {
        use rustix::process::getpriority_process;

        let before = getpriority_process(None).unwrap();
        let at_work = super::map(&[(); 1000], |()| getpriority_process(None).unwrap());
        let expected = if super::threads() < 2 { before } else { before.max(super::NICE) };
        assert_eq!(at_work, [expected; 1000]);
        assert_eq!(getpriority_process(None).unwrap(), before);
    }

    #[test]
    fn results_come_in_the_order_of_the_items() {
        for length in [0, 1, 2, 1000] {
            let items: Vec<usize> = (0..length).collect();
            assert!(super::map(&items, |item| item * 2).into_iter().eq((0..length).map(|item| item * 2)));
        }
    }
}
