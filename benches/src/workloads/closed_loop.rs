//! Writers that start their next operation as soon as the last has ended: a closed loop.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

/// The time in which `writers` threads complete `operations` operations.
///
/// `operation` is called with the number of its writer and a state that this writer made by `start`. The clock starts
/// after twice as many completions as there are writers, and no writer ends before the clock stops. So the time
/// includes neither the start nor the end of the threads.
pub fn closed_loop<W>(
    writers: usize,
    operations: u64,
    start: impl Fn(usize) -> W + Sync,
    operation: impl Fn(&mut W) + Sync,
) -> Duration {
    let window = Window::new(2 * writers as u64, operations);
    thread::scope(|scope| {
        for writer in 0..writers {
            let (window, start, operation) = (&window, &start, &operation);
            scope.spawn(move || {
                let mut state = start(writer);
                while !window.is_over() {
                    operation(&mut state);
                    window.completed_one();
                }
            });
        }
    });
    window.length()
}

/// Counts completions, and stores the times of the first and the last that are measured.
pub(super) struct Window {
    completed: AtomicU64,
    from: u64,
    to: u64,
    times: Mutex<[Option<Instant>; 2]>,
}

impl Window {
    pub(super) fn new(warm_up: u64, operations: u64) -> Self {
        assert!(warm_up > 0 && operations > 0, "a window lies between two completions");
        Self {
            completed: AtomicU64::new(0),
            from: warm_up,
            to: warm_up + operations,
            times: Mutex::new([None; 2]),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.completed.load(Relaxed) >= self.to
    }

    pub(super) fn completed_one(&self) {
        let number = self.completed.fetch_add(1, Relaxed) + 1;
        let place = if number == self.from {
            0
        } else if number == self.to {
            1
        } else {
            return;
        };
        self.times.lock().expect("nothing panics while it is held")[place] = Some(Instant::now());
    }

    pub(super) fn length(&self) -> Duration {
        let times = self.times.lock().expect("nothing panics while it is held");
        let [Some(first), Some(last)] = *times else {
            unreachable!("every writer runs until the window is over")
        };
        last.saturating_duration_since(first)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn every_writer_works_until_the_window_is_over() {
        let done: Vec<_> = (0..4).map(|_| AtomicUsize::new(0)).collect();
        let took = closed_loop(
            4,
            100,
            |writer| writer,
            |writer| {
                thread::sleep(Duration::from_micros(200));
                done[*writer].fetch_add(1, Relaxed);
            },
        );
        let total: usize = done.iter().map(|n| n.load(Relaxed)).sum();
        // 8 of warm-up, 100 counted, and at most one for each writer that was under way at the end.
        assert!((108..=111).contains(&total), "{total}");
        assert!(done.iter().all(|n| n.load(Relaxed) > 0));
        assert!(took > Duration::ZERO);
    }
}
