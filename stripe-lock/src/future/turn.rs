//! The holder's side: entering, leaving, and giving the line its turn.

use std::ptr::NonNull;
use std::sync::atomic::Ordering::Acquire;

use super::line::{Bucket, Fields, Node, Phase};
use super::lot::{BATCH, LOBBY, Lot, Wakes};
use super::place::Place;
use super::plan::Plan;
use super::waiter::{Held, walk};
use super::word::{self, ASLEEP, AWAKE, EMPTY, LAST, Mode, Word};

/// Goes in without standing in line, if that is possible now.
#[inline(always)]
pub(super) fn try_enter(lot: &impl Lot, place: Place, mode: Mode) -> bool {
    word::try_enter(lot.word(place.stripe()), mode, place.print())
}

/// Leaves a stripe that the caller holds.
#[inline(always)]
pub(super) fn release(lot: &impl Lot, place: Place, mode: Mode) {
    if word::leave(lot.word(place.stripe()), mode, place.print()) {
        hand_on(lot, place.stripe());
    }
}

/// Leaves `stripes`, the highest first, each as it is held by the plan.
#[inline]
fn release_each<L: Lot, P: Plan>(lot: &L, plan: &P, stripes: impl Iterator<Item = usize>) {
    /// Goes on when it is dropped, so that a waker that panics leaves nothing held.
    struct Rest<'a, L: Lot, P: Plan, I: Iterator<Item = usize>>(&'a L, &'a P, I);
    impl<L: Lot, P: Plan, I: Iterator<Item = usize>> Drop for Rest<'_, L, P, I> {
        #[inline]
        fn drop(&mut self) {
            for stripe in self.2.by_ref() {
                release(self.0, Place::of_stripe(stripe), self.1.mode(stripe));
            }
        }
    }
    let mut rest = Rest(lot, plan, stripes);
    for stripe in rest.2.by_ref() {
        release(lot, Place::of_stripe(stripe), plan.mode(stripe));
    }
}

/// Leaves all stripes of a plan.
#[inline]
pub(super) fn release_all(lot: &impl Lot, plan: &impl Plan) {
    match plan.stripes().bits() {
        Some(bits) => release_each(lot, plan, bits.rev()),
        None => release_many(lot, plan),
    }
}

/// As [`release_all`], out of line to keep the fast path small.
#[inline(never)]
fn release_many(lot: &impl Lot, plan: &impl Plan) {
    release_each(lot, plan, plan.stripes().iter().rev());
}

/// Leaves the stripes of a plan that are below `limit`.
fn release_below(lot: &impl Lot, plan: &impl Plan, limit: usize) {
    release_each(lot, plan, plan.stripes().iter().rev().skip_while(|&stripe| stripe >= limit));
}

/// Leaves what a waiter for a plan held when it gave up.
pub(super) fn release_held(lot: &impl Lot, plan: &impl Plan, held: Held) {
    match held {
        Held::Nothing => {}
        Held::All => release_all(lot, plan),
        Held::Below(limit) => release_below(lot, plan, limit),
    }
}

/// Takes stripe by stripe of a plan from the lowest on, up to the first that is not to be had, which is returned.
#[inline]
pub(super) fn enter_all(lot: &impl Lot, plan: &impl Plan) -> Option<(Place, Mode)> {
    match plan.stripes().bits() {
        Some(bits) => enter_each(lot, plan, bits),
        None => enter_many(lot, plan),
    }
}

/// As [`enter_all`], out of line to keep the fast path small.
#[inline(never)]
fn enter_many(lot: &impl Lot, plan: &impl Plan) -> Option<(Place, Mode)> {
    enter_each(lot, plan, plan.stripes().iter())
}

#[inline(always)]
fn enter_each(
    lot: &impl Lot,
    plan: &impl Plan,
    stripes: impl Iterator<Item = usize>,
) -> Option<(Place, Mode)> {
    let mut all = stripes.map(|stripe| (Place::of_stripe(stripe), plan.mode(stripe)));
    all.find(|&(place, mode)| !try_enter(lot, place, mode))
}

/// Takes every stripe of a plan or none, without waiting.
#[inline]
pub(super) fn try_enter_all(lot: &impl Lot, plan: &impl Plan) -> bool {
    let missed = enter_all(lot, plan);
    if let Some((place, _)) = missed {
        release_below(lot, plan, place.stripe());
    }
    missed.is_none()
}

/// Gives the line its turn.
#[cold]
pub(super) fn hand_on(lot: &impl Lot, stripe: usize) {
    loop {
        let mut wakes = Wakes::default();
        let mut bucket = lot.queue().lock(stripe);
        // SAFETY: the bucket is that of the stripe, and locked.
        if !unsafe { settle(lot, &mut bucket, stripe, &mut wakes) } {
            return;
        }
    }
}

/// What a look at a line comes to.
struct Turn {
    word: u32,
    /// So many from the first on are given the stripe.
    given: usize,
    /// The first in line is to be woken.
    wake: bool,
    /// The line was not looked through, for there is no room for more wakes.
    more: bool,
}

/// Decides who is to have the stripe when its word is `word`.
///
/// # Safety
///
/// The bucket is that of the stripe, and locked.
unsafe fn judge(bucket: &Bucket, stripe: usize, word: u32, strict: bool) -> Turn {
    let line = word::line(word);
    let mut turn = Turn { word, given: 0, wake: false, more: false };
    // SAFETY: the caller's promise.
    let first = unsafe { bucket.first(stripe) };
    let mut at = first;
    let line = loop {
        let (Some(node), Some(first)) = (at, first) else { break EMPTY };
        // SAFETY: a node linked in the bucket, whose lock is held.
        let (mode, print, phase, at_once) = unsafe {
            node.as_ref().with(|f| {
                (f.mode, f.print, f.phase, f.turns > 0 || f.plan.is_some() || f.mode == Mode::Shared)
            })
        };
        let notified = phase == Phase::Notified;
        let Some(entered) = word::admit(turn.word, mode, print) else {
            break if notified { line } else { ASLEEP };
        };
        if strict || at_once || notified && line == LAST {
            if turn.given == BATCH {
                turn.more = true;
                break ASLEEP;
            }
            (turn.word, turn.given) = (entered, turn.given + 1);
            // SAFETY: as above.
            at = unsafe { Bucket::behind(node, first) };
        } else {
            turn.wake = !notified;
            break if notified { line } else { AWAKE };
        }
    };
    turn.word = word::with_line(turn.word, line);
    turn
}

/// Gives the line its turn; says whether there is more to settle. `wakes` has to be empty.
///
/// # Safety
///
/// The bucket is that of the stripe, and locked.
pub(super) unsafe fn settle<L: Lot>(lot: &L, bucket: &mut Bucket, stripe: usize, wakes: &mut Wakes) -> bool {
    let word = lot.word(stripe);
    let mut now = word.load();
    let turn = loop {
        // SAFETY: the caller's promise.
        let turn = unsafe { judge(bucket, stripe, now, lot.queue().strict) };
        match word.exchange(now, turn.word, Acquire) {
            Ok(_) => break turn,
            Err(other) => now = other,
        }
    };
    for _ in 0..turn.given {
        // SAFETY: `judge` counted so many in line, and the lock has been held since.
        unsafe {
            if let Some(node) = bucket.first(stripe) {
                bucket.quit(node, stripe);
                let turns = node.as_ref().with(|fields| fields.turns);
                if let Some(next) = bucket.first(stripe) {
                    next.as_ref().with(|fields| fields.turns = fields.turns.max(turns.saturating_sub(1)));
                }
                give(lot, bucket, node, stripe, wakes);
            }
        }
    }
    if turn.wake {
        // SAFETY: as above.
        unsafe {
            if let Some(node) = bucket.first(stripe) {
                wakes.push(node.as_ref().with(|fields| {
                    fields.phase = Phase::Notified;
                    fields.take_waker()
                }));
            }
        }
    }
    turn.more
}

/// Gives `node` its stripe, which the word says already, and walks it on.
///
/// # Safety
///
/// The bucket is that of the stripe, and locked; the node has just left the line.
unsafe fn give<L: Lot>(lot: &L, bucket: &mut Bucket, node: NonNull<Node>, stripe: usize, wakes: &mut Wakes) {
    let queue = lot.queue();
    // SAFETY: the node's home is still this bucket, whose lock is held; a plan lives as long as its node is open.
    unsafe {
        if let Some(plan) = node.as_ref().with(|fields| fields.plan) {
            let next = plan.as_ref().next_from(stripe + 1);
            let here = Some((queue.bucket_of(stripe), &mut *bucket));
            if walk(lot, node, Some(plan.as_ref()), next, here, None).is_pending() {
                return;
            }
        }
        let grant = |fields: &mut Fields| {
            fields.phase = Phase::Granted;
            (fields.plan.is_some(), fields.take_waker())
        };
        let (several, caller) = node.as_ref().with(grant);
        wakes.push(caller);
        if several {
            // The last of all buckets, so it may be locked while this one is.
            queue.grant(&mut queue.lock(LOBBY), node, LOBBY);
        } else {
            queue.grant(bucket, node, stripe);
        }
    }
}
