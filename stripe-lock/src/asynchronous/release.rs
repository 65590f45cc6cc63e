//! The holder's side: entering, releasing, and serving the queue.

use std::ptr::NonNull;

use super::instrument::{Fingerprint, Place};
use super::panics::{Panics, Wakes};
use super::plan::{Plan, next_from};
use super::queue::{Head, Locked, Node, State};
use super::sealed::LockSet;
use super::sync::{BATCH, REACH};
use super::waiter::{Held, Rest, UNLIMITED, acquire_rest};
use super::word::{self, ASLEEP, AWAKE, CLOSED, EMPTY, LAST, Mode, Word};

/// Enters without waiting, if that is possible now.
#[inline(always)]
pub(super) fn try_enter(set: &impl LockSet, place: Place, mode: Mode) -> bool {
    word::try_enter(set.word(place.stripe()), mode, place.key())
}

/// Releases a stripe that the caller holds.
#[inline(always)]
pub(super) fn release(set: &impl LockSet, place: Place, mode: Mode) {
    if word::release(set.word(place.stripe()), mode, place.key()) {
        serve_queue(set, place.stripe());
    }
}

/// Lets the next release hand the stripe over to the first waiter, if there is one.
#[cold]
pub(super) fn prefer_waiters(set: &impl LockSet, stripe: usize) {
    if word::queue(set.word(stripe).load()) == EMPTY {
        return;
    }
    let mut locked = set.queue().lock(stripe);
    if locked.known_head(stripe).is_some_and(|head| head.len() > 0) {
        let head = locked.head(stripe);
        head.hand_overs = head.hand_overs.max(1);
        let _ = set
            .word(stripe)
            .update(|now| (word::queue(now) != CLOSED).then(|| word::with_queue(now, ASLEEP)));
    }
}

/// Adds permits to a stripe of a semaphore, which may have `most` of them in total.
pub(super) fn add_permits(set: &impl LockSet, stripe: usize, permits: u32, most: u32) {
    let mut locked = set.queue().lock(stripe);
    let head = locked.head(stripe);
    let total = i64::from(set.queue().permits) + i64::from(head.permits_added) + i64::from(permits);
    if total > i64::from(most) {
        drop(locked);
        panic!("a stripe has at most {most} permits, not {total}");
    }
    // Both are far below what 31 bits can count.
    head.permits_added += permits.cast_signed();
    let serves = word::add_shares(set.word(stripe), permits);
    drop(locked);
    if serves {
        serve_queue(set, stripe);
    }
}

/// Removes held permits from a stripe of a semaphore for good.
pub(super) fn forget_permits(set: &impl LockSet, stripe: usize, mode: Mode) {
    if let Mode::Shared(permits) = mode {
        set.queue().lock(stripe).head(stripe).permits_added -= permits.cast_signed();
    }
}

/// Removes the fingerprint of a stripe that was taken for one key, so that it can be released as one of several.
pub(super) fn forget_key(set: &impl LockSet, place: Place, mode: Mode) {
    if place.key() != Fingerprint::UNKNOWN {
        word::forget_key(set.word(place.stripe()), mode, place.key());
    }
}

/// Releases `stripes`, the highest first, each in its mode of the plan. Wakers that panic leave nothing held.
#[inline(always)]
fn release_each(set: &impl LockSet, plan: &impl Plan, stripes: impl Iterator<Item = usize>) {
    let mut panics = Panics::default();
    for stripe in stripes {
        if word::release(set.word(stripe), plan.mode(stripe), Place::of_stripe(stripe).key()) {
            serve(set, stripe, &mut panics);
        }
    }
}

/// Releases all stripes of a plan.
#[inline(always)]
pub(super) fn release_all(set: &impl LockSet, plan: &impl Plan) {
    match plan.stripes().bits() {
        Some(bits) => release_each(set, plan, bits.rev()),
        None => release_many(set, plan),
    }
}

/// As [`release_all`], out of line to keep the fast path small.
#[inline(never)]
fn release_many(set: &impl LockSet, plan: &impl Plan) {
    release_each(set, plan, plan.stripes().iter().rev());
}

/// Releases what a waiter for a plan held when it gave up.
pub(super) fn release_held(set: &impl LockSet, plan: &impl Plan, held: Held) {
    match held {
        Held::All => release_all(set, plan),
        Held::Below(limit) => {
            release_each(set, plan, plan.stripes().iter().rev().skip_while(|&stripe| stripe >= limit));
        }
    }
}

/// Enters the stripes of a plan from the lowest on, up to the first that is not free. Returns that one.
#[inline]
pub(super) fn enter_all(set: &impl LockSet, plan: &impl Plan) -> Option<(Place, Mode)> {
    match plan.stripes().bits() {
        Some(bits) => enter_each(set, plan, bits),
        None => enter_many(set, plan),
    }
}

/// As [`enter_all`], out of line to keep the fast path small.
#[inline(never)]
fn enter_many(set: &impl LockSet, plan: &impl Plan) -> Option<(Place, Mode)> {
    enter_each(set, plan, plan.stripes().iter())
}

#[inline(always)]
fn enter_each(
    set: &impl LockSet,
    plan: &impl Plan,
    stripes: impl Iterator<Item = usize>,
) -> Option<(Place, Mode)> {
    let mut all = stripes.map(|stripe| (Place::of_stripe(stripe), plan.mode(stripe)));
    all.find(|&(place, mode)| !try_enter(set, place, mode))
}

/// Enters every stripe of a plan or none, without waiting.
#[inline]
pub(super) fn try_enter_all(set: &impl LockSet, plan: &impl Plan) -> bool {
    let missed = enter_all(set, plan);
    if let Some((place, _)) = missed {
        release_held(set, plan, Held::Below(place.stripe()));
    }
    missed.is_none()
}

/// As [`serve`], but a waker's panic continues from here.
#[cold]
#[inline(never)]
pub(super) fn serve_queue(set: &impl LockSet, stripe: usize) {
    serve(set, stripe, &mut Panics::default());
}

/// Serves the queue of a stripe: hands the stripe to the waiters whose turn it is, or wakes the first one to compete
/// for it.
#[cold]
#[inline(never)]
pub(super) fn serve(set: &impl LockSet, stripe: usize, panics: &mut Panics) {
    let mut wakes = Wakes::default();
    loop {
        let mut locked = set.queue().lock(stripe);
        // SAFETY: the bucket is that of the stripe, and locked.
        let more = unsafe { serve_batch(set, &mut locked, stripe, &mut wakes) };
        drop(locked);
        wakes.send(panics);
        if !more {
            return;
        }
    }
}

/// What has to be done for a queue.
struct Turn {
    word: u32,
    /// How many waiters, from the first on, are given the stripe.
    given: usize,
    /// Whether the first of the other waiters is woken to compete.
    wake: bool,
    /// Whether more waiters could be given the stripe, but there is no more room for wakers.
    more: bool,
}

/// Decides which waiters get the stripe when its word is `word`. It looks at one waiter more than it serves.
///
/// # Safety
///
/// The queue is that of the stripe, whose bucket is locked.
#[inline]
unsafe fn decide(head: &Head, word: u32, strict: bool) -> Turn {
    let queue = word::queue(word);
    let mut turn = Turn { word, given: 0, wake: false, more: false };
    let mut at = head.first();
    let queue = loop {
        let Some(node) = at else { break EMPTY };
        // SAFETY: a node queued in the bucket, whose lock is held.
        let (mode, key, several) =
            unsafe { node.as_ref().with(|fields| (fields.mode(), fields.key, fields.plan.is_some())) };
        // SAFETY: as above.
        let notified = matches!(unsafe { node.as_ref() }.state(), State::Notified(_));
        let Some(entered) = word::admit(turn.word, mode, key) else {
            break if notified { queue } else { ASLEEP };
        };
        let competes = mode == Mode::Exclusive && !several && head.hand_overs as usize <= turn.given;
        if strict || !competes || notified && queue == LAST {
            if turn.given == BATCH {
                turn.more = true;
                break ASLEEP;
            }
            (turn.word, turn.given) = (entered, turn.given + 1);
            // SAFETY: as above.
            at = unsafe { Head::behind(node) };
        } else {
            turn.wake = !notified;
            break if notified { queue } else { AWAKE };
        }
    };
    turn.word = word::with_queue(turn.word, queue);
    turn
}

/// Serves a queue while there is room for wakers. Returns whether there may be more waiters to serve.
///
/// # Safety
///
/// The bucket is that of the stripe, and locked. `wakes` is empty.
unsafe fn serve_batch<S: LockSet>(
    set: &S,
    locked: &mut Locked<'_>,
    stripe: usize,
    wakes: &mut Wakes,
) -> bool {
    let (word, strict) = (set.word(stripe), set.queue().strict);
    let mut turn = Turn { word: 0, given: 0, wake: false, more: false };
    let head = locked.head(stripe);
    let changed = word.update(|now| {
        // SAFETY: the caller's promise.
        turn = unsafe { decide(head, now, strict) };
        (word::queue(now) != CLOSED).then_some(turn.word)
    });
    if changed.is_err() {
        return false;
    }
    for _ in 0..turn.given {
        let head = locked.head(stripe);
        if let Some(node) = head.first() {
            head.hand_overs = head.hand_overs.saturating_sub(1);
            // SAFETY: `decide` counted these waiters in the queue, and the lock has been held since.
            unsafe {
                head.quit(node, true);
                give(set, locked, node, stripe, wakes);
            }
        }
    }
    match locked.head(stripe).first() {
        None => locked.tidy(stripe),
        Some(node) if turn.wake => {
            // SAFETY: as above.
            unsafe {
                node.as_ref().set_state(State::Notified(stripe));
                wakes.push(node.as_ref().with(super::queue::Fields::take_waker));
            }
        }
        Some(_) => {}
    }
    turn.more
}

/// Gives `node` its stripe, which it holds in the word already, and takes the next stripes that it wants.
///
/// # Safety
///
/// The bucket is that of the stripe, and locked; the node has just left the queue, and its state is as it was there.
unsafe fn give<S: LockSet>(
    set: &S,
    locked: &mut Locked<'_>,
    node: NonNull<Node>,
    stripe: usize,
    wakes: &mut Wakes,
) {
    // SAFETY: the state protects the node as long as it says that the node is queued here; a plan lives as long as its
    // node.
    unsafe {
        let mut state = State::Granted;
        if let Some(plan) = node.as_ref().with(|fields| fields.plan) {
            let plan = plan.as_ref();
            let next = next_from(plan, stripe + 1);
            state = match acquire_rest(set, node, Some(plan), next, Some(locked), (REACH, UNLIMITED)) {
                Rest::All => State::Granted,
                Rest::Queued { .. } => return,
                Rest::Stopped(stripe) => State::Resume(stripe),
                Rest::Refused(stripe, _) => State::Closed(stripe),
            };
        }
        end_wait(set, node, stripe, state, wakes);
    }
}

/// Ends the wait of a node that has left its queue, with this state.
///
/// # Safety
///
/// As for [`give`].
#[cfg_attr(not(feature = "diagnose"), allow(unused_variables))]
unsafe fn end_wait<S: LockSet>(set: &S, node: NonNull<Node>, stripe: usize, state: State, wakes: &mut Wakes) {
    // SAFETY: the caller's promise. The state is changed last: from then on the node is its future's.
    unsafe {
        #[cfg(feature = "diagnose")]
        node.as_ref().with(|fields| set.queue().monitor.granted(fields, stripe, state));
        wakes.push(node.as_ref().with(super::queue::Fields::take_waker));
        node.as_ref().set_state(state);
    }
}

/// Closes a stripe: it can't be entered from now on, and all its waiters get an error.
pub(super) fn close(set: &impl LockSet, stripe: usize, panics: &mut Panics) {
    let mut wakes = Wakes::default();
    loop {
        let mut locked = set.queue().lock(stripe);
        let _ = set.word(stripe).update(|now| Some(word::with_queue(now, CLOSED)));
        let empty = locked.known_head(stripe).is_none_or(|head| head.len() == 0);
        for _ in 0..if empty { 0 } else { BATCH } {
            let head = locked.head(stripe);
            let Some(node) = head.first() else { break };
            // SAFETY: a node queued in this bucket, whose lock is held.
            unsafe {
                head.quit(node, false);
                end_wait(set, node, stripe, State::Closed(stripe), &mut wakes);
            }
        }
        locked.tidy(stripe);
        drop(locked);
        wakes.send(panics);
        if empty {
            return;
        }
    }
}
