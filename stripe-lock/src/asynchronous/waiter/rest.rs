//! Taking the stripes that a waiter still lacks.

use std::ptr::NonNull;

use super::super::error::AcquireError;
use super::super::instrument::Place;
use super::super::plan::{AnyPlan, next_from};
use super::super::queue::{Head, Locked, Node};
use super::super::sealed::LockSet;
use super::super::word::{self, ASLEEP, CLOSED, EMPTY, Mode, Word};

/// The result of taking the rest of the stripes that a node wants.
pub(in crate::asynchronous) enum Rest {
    All,
    /// It is in a queue: alone, or behind other waiters.
    Queued {
        alone: bool,
    },
    /// It stopped at a limit, and can continue at this stripe.
    Stopped(usize),
    /// It may not wait for this stripe.
    Refused(usize, AcquireError),
}

/// Takes the stripes from `next` on for a node in no queue, up to the first that is not free. There the node joins
/// the queue. `limits` are the most stripes to take, and the most waiters that the queue may have.
///
/// # Safety
///
/// The node is pinned and open, and either the caller is its future, or its state is still that of a node queued in the
/// bucket `here`, which is locked. No bucket above that one is locked by the caller.
pub(in crate::asynchronous) unsafe fn acquire_rest<S: LockSet>(
    set: &S,
    node: NonNull<Node>,
    plan: Option<&AnyPlan>,
    mut next: Option<(Place, Mode)>,
    mut here: Option<&mut Locked<'_>>,
    (mut reach, max_waiters): (usize, u32),
) -> Rest {
    while let Some((place, mode)) = next {
        let stripe = place.stripe();
        if reach == 0 {
            return Rest::Stopped(stripe);
        }
        reach -= 1;
        if !word::try_enter_looking(set.word(stripe), mode, place.key()) {
            // SAFETY: the caller's promise.
            let rest = unsafe {
                match &mut here {
                    Some(locked) if locked.holds(stripe) => {
                        enter_or_join(set, locked.head(stripe), node, (place, mode), max_waiters)
                    }
                    _ => {
                        let mut locked = set.queue().lock(stripe);
                        enter_or_join(set, locked.head(stripe), node, (place, mode), max_waiters)
                    }
                }
            };
            if let Some(rest) = rest {
                return rest;
            }
        }
        next = plan.and_then(|plan| next_from(plan, stripe + 1));
    }
    Rest::All
}

/// Enters the stripe or joins its queue. Returns an error if neither is allowed.
///
/// # Safety
///
/// As for [`acquire_rest`], and the queue is that of the stripe, whose bucket is locked.
unsafe fn enter_or_join<S: LockSet>(
    set: &S,
    head: &mut Head,
    node: NonNull<Node>,
    (place, mode): (Place, Mode),
    max_waiters: u32,
) -> Option<Rest> {
    let (stripe, word) = (place.stripe(), set.word(place.stripe()));
    let mut now = word.load();
    loop {
        // The upgradable reader is a holder already, so it passes the queue. A queue that it joins has to be served
        // by the next release, even if another waiter was woken before.
        let upgrades = mode == Mode::Upgrade;
        let entered =
            if upgrades { word::admit(now, mode, place.key()) } else { word::enter(now, mode, place.key()) };
        let next = match (entered, word::queue(now)) {
            (Some(next), _) => next,
            (None, CLOSED) => return Some(Rest::Refused(stripe, AcquireError::Closed)),
            (None, _) if head.len() >= max_waiters => {
                return Some(Rest::Refused(stripe, AcquireError::Crowded));
            }
            (None, queue) if queue == EMPTY || upgrades => word::with_queue(now, ASLEEP),
            (None, _) => break,
        };
        match word.exchange(now, next) {
            Ok(_) if entered.is_some() => return None,
            Ok(_) => break,
            Err(other) => now = other,
        }
    }
    // SAFETY: the caller's promise.
    unsafe {
        node.as_ref().with(|fields| fields.key = place.key());
        head.join(node, stripe, mode, now);
    }
    Some(Rest::Queued { alone: head.len() == 1 })
}
