//! The times of single operations. Users notice the longest of them, which a rate does not show.

use std::sync::{Arc, Mutex};

/// The times of single operations in seconds. A clone adds to the same times.
///
/// Each thread or task gathers its own times, and adds them when it ends.
#[derive(Clone, Debug, Default)]
pub struct Latencies(Arc<Mutex<Vec<f64>>>);

impl Latencies {
    /// Adds the times of one thread or task, in seconds.
    ///
    /// # Panics
    ///
    /// Panics if another thread panicked while it added.
    pub fn add(&self, mut times: Vec<f64>) {
        self.0.lock().expect("nothing panics while it is held").append(&mut times);
    }

    /// All times so far, in seconds, sorted.
    ///
    /// # Panics
    ///
    /// Panics if another thread panicked while it added.
    pub fn sorted(&self) -> Vec<f64> {
        let mut times = self.0.lock().expect("nothing panics while it is held").clone();
        times.sort_by(f64::total_cmp);
        times
    }

    /// The 99.9th percentile and the longest of all times so far, in seconds.
    ///
    /// # Panics
    ///
    /// Panics if there are none.
    pub fn tail(&self) -> Tail {
        let mut times = self.0.lock().expect("nothing panics while it is held").clone();
        assert!(!times.is_empty(), "no times were gathered");
        let at = (times.len() * 999).div_ceil(1000) - 1;
        let (_, &mut p999, longer) = times.select_nth_unstable_by(at, f64::total_cmp);
        Tail { p999, longest: longer.iter().copied().fold(p999, f64::max) }
    }
}

/// The long end of some times, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tail {
    /// The 99.9th percentile: one in 1,000 took longer.
    pub p999: f64,
    /// The longest.
    pub longest: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_found_in_the_times_of_all_threads() {
        let all = Latencies::default();
        all.clone().add((1..=1500).map(f64::from).collect());
        all.add((1501..=2000).rev().map(f64::from).collect());
        assert_eq!(all.tail(), Tail { p999: 1998.0, longest: 2000.0 });
        assert!(all.sorted().is_sorted());
    }

    #[test]
    fn one_time_is_its_own_tail() {
        let all = Latencies::default();
        all.add(vec![3.0]);
        assert_eq!(all.tail(), Tail { p999: 3.0, longest: 3.0 });
    }
}
