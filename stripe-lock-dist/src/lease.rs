//! How long this process may assume that it holds what it was granted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::clock;

/// The lease of one incarnation of this process in the engine. All guards of that incarnation are held until the lease
/// is lost. From then on none is held.
///
/// | `deadline` | event | then |
/// |---|---|---|
/// | `t`, not yet past | a renewal sent at `s` succeeds | `s` + 90 % of the TTL |
/// | `t`, past | a caller checks the lease, or a renewal succeeds | 0 |
/// | `t` | the engine says that the lease is gone | 0 |
/// | 0 (lost) | anything | 0 |
///
/// The engine counts the TTL from when it receives the renewal, which is after `s`. So until this deadline passes, the
/// lease in the engine has more than 10 % of the TTL left, as long as both clocks run equally fast.
pub(crate) struct Lease {
    /// A time of `clock::now`. It orders no other memory, so its accesses are relaxed. `lost` synchronizes with the
    /// tasks that it wakes.
    deadline: AtomicU64,
    lost: watch::Sender<bool>,
}

impl Lease {
    /// A lease whose request was sent at `sent`.
    pub(crate) fn new(sent: u64, ttl: Duration) -> Self {
        Self { deadline: AtomicU64::new(deadline(sent, ttl)), lost: watch::Sender::new(false) }
    }

    /// Extends the deadline, because the renewal that was sent at `sent` succeeded. Returns `false` if it came too
    /// late.
    pub(crate) fn renewed(&self, sent: u64, ttl: Duration) -> bool {
        let until = deadline(sent, ttl);
        let extend = |old: u64| (clock::now() < old).then(|| old.max(until));
        let extended = self.deadline.fetch_update(Ordering::Relaxed, Ordering::Relaxed, extend).is_ok();
        if !extended {
            self.lose();
        }
        extended
    }

    pub(crate) fn is_held(&self) -> bool {
        let held = !self.left().is_zero();
        if !held {
            // Once a caller has seen the lease as lost, no caller may see it as held.
            self.lose();
        }
        held
    }

    /// The time until the deadline; zero if the lease is lost.
    pub(crate) fn left(&self) -> Duration {
        Duration::from_nanos(self.deadline.load(Ordering::Relaxed).saturating_sub(clock::now()))
    }

    pub(crate) fn lose(&self) {
        if self.deadline.swap(0, Ordering::Relaxed) != 0 {
            self.lost.send_replace(true);
        }
    }

    /// Waits until the lease is lost.
    pub(crate) async fn lost(&self) {
        // An error would mean that the sender is gone, and it lives as long as `self`.
        let _ = self.lost.subscribe().wait_for(|lost| *lost).await;
    }
}

/// 90 % of the TTL after `sent`.
fn deadline(sent: u64, ttl: Duration) -> u64 {
    sent.saturating_add(clock::nanoseconds(ttl) / 10 * 9)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(1000);

    #[test]
    fn a_lease_is_extended_while_it_is_held_and_never_shortened() {
        let lease = Lease::new(clock::now(), LONG);
        assert!(lease.is_held() && lease.left() <= LONG / 10 * 9);
        assert!(lease.renewed(clock::now(), LONG * 2));
        assert!(lease.left() > LONG);
        assert!(lease.renewed(clock::now(), LONG));
        assert!(lease.left() > LONG);
    }

    #[test]
    fn a_renewal_that_comes_after_the_deadline_revives_nothing() {
        let lease = Lease::new(1, Duration::from_nanos(10));
        assert!(!lease.renewed(clock::now(), LONG));
        assert!(!lease.is_held());
    }

    #[test]
    fn a_lease_that_was_seen_as_lost_stays_lost() {
        let lease = Lease::new(1, Duration::from_nanos(10));
        assert!(!lease.is_held());
        assert!(!lease.renewed(clock::now(), LONG) && !lease.is_held());
        assert_eq!(lease.left(), Duration::ZERO);
    }

    #[tokio::test]
    async fn the_loss_is_reported_to_earlier_and_later_waiters() {
        let lease = Lease::new(clock::now(), LONG);
        tokio::join!(lease.lost(), async { lease.lose() });
        lease.lost().await;
    }
}
