//! What the futures of one task owe each other.
//!
//! A future that was granted its stripe but is not polled would block a sibling in the same task for ever
//! ("futurelock"). So who is about to sleep first looks whether a future of its own task sits on a grant that it has not
//! claimed, and takes that over, or has it given back where others share it; the sibling starts anew when it is polled.

use std::sync::atomic::Ordering::AcqRel;
use std::task::Waker;

use super::line::{Bucket, Fields, Node, Phase};
use super::lot::{LOBBY, Lot};
use super::place::Place;
use super::turn::{hand_on, release};
use super::word::{self, Mode, Word};

/// The other futures of the task that is being polled.
pub(super) struct Sibling<'a> {
    waker: &'a Waker,
    /// What a future that lost a stripe to this one has to leave, and where the line has to be looked after; for
    /// when the locks are released. Empty, and so without memory, but where a stripe was taken over.
    chores: Vec<(usize, Option<Mode>)>,
}

impl<'a> Sibling<'a> {
    pub(super) fn of(waker: &'a Waker) -> Self {
        Self { waker, chores: Vec::new() }
    }

    pub(super) fn clean_up(self, lot: &impl Lot) {
        for (stripe, leaving) in self.chores {
            match leaving {
                Some(mode) => release(lot, Place::of_stripe(stripe), mode),
                None => hand_on(lot, stripe),
            }
        }
    }

    /// Takes over a stripe that was granted to a future of the same task and not claimed. Where others share that
    /// stripe and so can't be joined by `mode`, it is given back by [`clean_up`](Self::clean_up), not to be waited for.
    ///
    /// # Safety
    ///
    /// The bucket is that of the stripe, and locked.
    pub(super) unsafe fn take_over<L: Lot>(
        &mut self,
        lot: &L,
        bucket: &mut Bucket,
        place: Place,
        mode: Mode,
    ) -> bool {
        let queue = lot.queue();
        let stripe = place.stripe();
        // SAFETY: the caller's promise; the lobby's lock comes after every other, and a plan lives as long as its node.
        unsafe {
            let single =
                |node: &Node, fields: &mut Fields| node.home() == stripe && fields.same_task(self.waker);
            if let Some(node) = bucket.find_granted(single) {
                queue.claim(bucket, node, stripe);
                let from = node.as_ref().with(pass_over);
                let traded = trade(lot.word(stripe), from, mode, place);
                self.chores.push((stripe, (!traded).then_some(from)));
                return traded;
            }
            if queue.lobby_is_empty() {
                return false;
            }
            let mut lobby = queue.lock(LOBBY);
            let several = |_: &Node, fields: &mut Fields| {
                let ours = fields.plan.is_some_and(|plan| plan.as_ref().stripes().contains(stripe));
                ours && fields.same_task(self.waker)
            };
            let Some(node) = lobby.find_granted(several) else { return false };
            let Some(plan) = node.as_ref().with(|fields| fields.plan) else { return false };
            queue.claim(&mut lobby, node, LOBBY);
            node.as_ref().with(pass_over);
            let plan = plan.as_ref();
            let traded = trade(lot.word(stripe), plan.mode(stripe), mode, place);
            let rest = plan.stripes().iter().rev().filter(|&other| !traded || other != stripe);
            self.chores.extend(rest.map(|other| (other, Some(plan.mode(other)))));
            if traded {
                self.chores.push((stripe, None));
            }
            traded
        }
    }
}

/// Lets a waiter begin anew; returns how it held what it was granted, if that was one stripe.
fn pass_over(fields: &mut Fields) -> Mode {
    fields.phase = Phase::Passed;
    fields.mode
}

/// Puts one holder in the place of another, if the new one fits.
fn trade(word: &impl Word, from: Mode, to: Mode, place: Place) -> bool {
    let mut now = word.load();
    while let Some(next) = word::admit(word::without(now, from), to, place.print()) {
        match word.exchange(now, next, AcqRel) {
            Ok(_) => return true,
            Err(other) => now = other,
        }
    }
    false
}
