//! The waiter's side: joining a queue, claiming what was granted, giving up.
//!
//! This module and [`release`](super::release) implement the life of a wait. A future that finds its stripe held
//! polls its [`Waiter`], which spins for a while and then links its node into the queue of the stripe. A release
//! grants the waiter the stripe, or wakes it to compete for the stripe. When it is polled again, it claims, competes
//! or goes back to sleep. Wakers are code of the caller and may panic. So they never run under a lock, and run only
//! while the node's state records all that the waiter holds.

mod rest;
mod wakers;

use std::ptr::NonNull;
use std::task::{Context, Poll};

use super::error::AcquireError;
use super::instrument::{Fingerprint, Place, WaiterNote, Watch};
use super::panics::Panics;
use super::plan::{AnyPlan, next_from};
use super::queue::{Fields, Head, Node, State};
use super::release::serve;
use super::sealed::LockSet;
use super::word::{self, ASLEEP, AWAKE, CLOSED, EMPTY, Mode, Word};
use crate::shared::spin::{Looking, MOST_PAUSES};

pub(super) use rest::{Rest, acquire_rest};
pub(super) use wakers::{Fresh, Stale};

/// How many waiters are handed the stripe without competing, once a woken waiter found it still held by the first
/// newcomer. Sections are then longer than it takes to wake a task, so the next waiters would compete in vain too.
const HAND_OVERS: u32 = 64;

/// The limit of waiters of an acquisition that has no limit.
pub(super) const UNLIMITED: u32 = u32::MAX;

/// The stripes that a waiter held when it gave up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    All,
    /// The wanted stripes below this one.
    Below(usize),
}

/// What a waiter asks for.
#[derive(Clone, Copy)]
pub(super) struct Want<'p> {
    /// The first stripe that was not free.
    pub(super) at: (Place, Mode),
    /// All wanted stripes, if there are several. Those below `at` are held.
    pub(super) plan: Option<&'p AnyPlan>,
    /// How many waiters the first queue that it joins may have.
    pub(super) max_waiters: u32,
}

/// The part of a future that waits.
pub(super) struct Waiter {
    node: Node,
    pub(super) watch: Watch,
}

impl Waiter {
    #[inline(always)]
    pub(super) fn new(watch: Watch) -> Self {
        Self { node: Node::new(), watch }
    }

    /// Whether it never had to wait, or was served. Then there is nothing to [`cancel`](Self::cancel).
    #[inline(always)]
    pub(super) fn is_idle(&self) -> bool {
        self.node.is_idle()
    }

    /// Its state as text.
    pub(super) fn describe(&self) -> &'static str {
        match self.node.state() {
            State::Idle => "idle",
            State::Resume(_) | State::Waiting(_) | State::Notified(_) => "waiting",
            State::Granted => "granted",
            State::Closed(_) => "closed",
        }
    }

    /// Begins to wait, or continues the wait. After an error it still has to be cancelled.
    ///
    /// # Safety
    ///
    /// The waiter and the plan are pinned, and the plan is the same in every call. Neither is dropped nor moved before
    /// [`cancel`](Self::cancel), unless [`is_idle`](Self::is_idle). On the first call the stripes of the plan below
    /// `at` are held.
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn poll<S: LockSet>(
        &mut self,
        set: &S,
        want: Want<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Stale, AcquireError>> {
        let Want { at: (place, mode), plan, max_waiters } = want;
        let stripe = place.stripe();
        // A waiter for several stripes holds some of them, so it doesn't make others wait while it spins. A waiter
        // that was served has nothing to spin for.
        let looks =
            MOST_PAUSES > 0 && plan.is_none() && (self.is_idle() || self.node.state().queued_at().is_some());
        let mut looking = looks.then(|| set.queue().patience(stripe).begin());
        let mut spins = false;
        if self.is_idle() {
            if let Some(looking) = &mut looking
                && enters_soon(set.word(stripe), mode, place.key(), looking)
            {
                looking.succeeded();
                return Poll::Ready(Ok(Stale::default()));
            }
            self.watch.begin(&set.queue().monitor, stripe);
            let fields = Fields::new(plan.map(NonNull::from), WaiterNote::new(self.watch.site));
            // SAFETY: the node is idle and ours.
            unsafe { self.node.open(fields, stripe) };
        }
        loop {
            match self.node.state() {
                State::Granted | State::Idle => {
                    if let Some(looking) = looking.filter(|_| spins) {
                        looking.succeeded();
                    }
                    return Poll::Ready(Ok(self.finish(set)));
                }
                State::Closed(_) => return Poll::Ready(Err(AcquireError::Closed)),
                State::Resume(stripe) => {
                    self.set_waker(cx);
                    let next = plan.map_or(Some(want.at), |plan| next_from(plan, stripe));
                    let node = NonNull::from(&self.node);
                    let max_waiters = if self.node.has_queued() { UNLIMITED } else { max_waiters };
                    // SAFETY: the node is pinned, open, in no queue, and ours.
                    match unsafe { acquire_rest(set, node, plan, next, None, (usize::MAX, max_waiters)) } {
                        Rest::All => self.node.set_state(State::Granted),
                        Rest::Queued { alone } => {
                            self.node.note_queued();
                            // Spinning is for the only waiter: others would keep the holder's task from running.
                            spins = alone && looking.is_some();
                            if !spins {
                                return pending(looking.as_ref());
                            }
                        }
                        Rest::Stopped(stripe) => self.node.set_state(State::Resume(stripe)),
                        Rest::Refused(stripe, error) => {
                            self.node.set_state(State::Resume(stripe));
                            return Poll::Ready(Err(error));
                        }
                    }
                }
                // While it spins, it competes for a stripe that is free, and stays in competition.
                State::Waiting(_) if spins && looking.as_mut().is_some_and(Looking::pause) => {}
                State::Notified(stripe)
                    if spins
                        && word::is_held(set.word(stripe).load())
                        && looking.as_mut().is_some_and(Looking::pause) => {}
                State::Waiting(_) | State::Notified(_) => {
                    let may_spin = looking.as_ref().is_some_and(|looking| !looking.is_over());
                    // SAFETY: the caller's promise.
                    match unsafe { self.look(set, plan, may_spin, cx) } {
                        Look::Again => {}
                        Look::Spin => spins = true,
                        Look::Pending => return pending(looking.as_ref()),
                    }
                }
            }
        }
    }

    /// Lets the node, which is in no queue, wake the task that polls.
    fn set_waker(&self, cx: &Context<'_>) {
        // SAFETY: a node in no queue is ours.
        unsafe {
            if self.node.with(|fields| fields.would_wake(cx.waker())) {
                return;
            }
            let fresh = Fresh::new(cx, self.node.with(|fields| fields.note.is_of(cx)));
            drop(self.node.with(|fields| fresh.set(fields)));
        }
    }

    /// Competes for the stripe if the node was woken to do so. If that is in vain, and the waiter does not spin,
    /// makes sure that the right task will be woken.
    ///
    /// # Safety
    ///
    /// As for [`poll`](Self::poll).
    unsafe fn look<S: LockSet>(
        &mut self,
        set: &S,
        plan: Option<&AnyPlan>,
        may_spin: bool,
        cx: &mut Context<'_>,
    ) -> Look {
        let mut fresh: Option<Fresh> = None;
        loop {
            let Some((mut locked, stripe)) = set.queue().lock_node(&self.node) else { return Look::Again };
            let node = NonNull::from(&self.node);
            if matches!(self.node.state(), State::Notified(_)) {
                let head = locked.head(stripe);
                let spins = may_spin && head.len() == 1;
                // SAFETY: the node is open and queued in this bucket, which is locked; only the first is notified.
                if unsafe { enter_from_the_front(set, head, node, stripe, !spins) } {
                    locked.tidy(stripe);
                    self.node.set_state(match plan {
                        Some(_) => State::Resume(stripe + 1),
                        None => State::Granted,
                    });
                    return Look::Again;
                }
                if spins {
                    return Look::Spin;
                }
            }
            // SAFETY: as above.
            unsafe {
                if self.node.with(|fields| fields.would_wake(cx.waker())) {
                    return Look::Pending;
                }
                if let Some(fresh) = fresh.take() {
                    let stale = self.node.with(|fields| fresh.set(fields));
                    drop(locked);
                    drop(stale);
                    return Look::Pending;
                }
            }
            // SAFETY: as above.
            let known = unsafe { self.node.with(|fields| fields.note.is_of(cx)) };
            drop(locked);
            // Cloning a waker runs code of the caller, so not under the lock. After that, everything is checked once
            // more.
            fresh = Some(Fresh::new(cx, known));
        }
    }

    /// Ends a wait that was granted.
    fn finish<S: LockSet>(&self, set: &S) -> Stale {
        // SAFETY: the node is in no queue, so it is ours.
        unsafe {
            self.node.close();
            self.node.with(|fields| {
                set.queue().monitor.claimed(&mut fields.note);
                Stale::of(fields)
            })
        }
    }

    /// Gives up waiting. The caller has to release the stripes that the waiter held.
    #[cold]
    pub(super) fn cancel<S: LockSet>(&mut self, set: &S, panics: &mut Panics) -> Held {
        let held = loop {
            match self.node.state() {
                State::Granted | State::Idle => break Held::All,
                State::Resume(stripe) | State::Closed(stripe) => break Held::Below(stripe),
                State::Waiting(_) | State::Notified(_) => {}
            }
            let Some((mut locked, stripe)) = set.queue().lock_node(&self.node) else { continue };
            // SAFETY: the node is open and queued in this bucket, which is locked.
            let first = unsafe { locked.head(stripe).quit(NonNull::from(&self.node), false) };
            self.node.set_state(State::Resume(stripe));
            locked.tidy(stripe);
            drop(locked);
            if first {
                serve(set, stripe, panics);
            }
            break Held::Below(stripe);
        };
        let stale = self.finish(set);
        panics.run(|| drop(stale));
        held
    }
}

/// Goes to sleep. If it has spun before, that was in vain.
fn pending<T>(looking: Option<&Looking<'_>>) -> Poll<T> {
    if let Some(looking) = looking.filter(|looking| looking.is_over()) {
        looking.failed();
    }
    Poll::Pending
}

/// Enters if the stripe becomes free while spinning is worth it. Does not pass a queue that is asleep.
fn enters_soon(word: &impl Word, mode: Mode, key: Fingerprint, looking: &mut Looking<'_>) -> bool {
    loop {
        match word.update(|now| word::enter(now, mode, key)) {
            Ok(_) => return true,
            Err(now) if word::excludes_newcomers(now) || looking.is_long() || !looking.pause() => {
                return false;
            }
            Err(_) => {}
        }
    }
}

/// The result of checking a queued node.
enum Look {
    /// The node is not queued any more.
    Again,
    /// It was woken in vain so far, and there is no waiter behind it.
    Spin,
    Pending,
}

/// Tries to enter for the first waiter of a queue, which was woken to compete. If that works, removes it from the
/// queue. If not, and it `gives_up`, the next release hands the stripe over to it.
///
/// # Safety
///
/// The node is the first of this queue. The queue is that of the stripe, whose bucket is locked.
unsafe fn enter_from_the_front<S: LockSet>(
    set: &S,
    head: &mut Head,
    node: NonNull<Node>,
    stripe: usize,
    gives_up: bool,
) -> bool {
    // SAFETY: the caller's promise.
    let (mode, key) = unsafe { node.as_ref().with(|fields| (fields.mode(), fields.key)) };
    let behind = if head.len() == 1 { EMPTY } else { ASLEEP };
    let mut entered = false;
    let before = set.word(stripe).update(|now| {
        if word::queue(now) == CLOSED {
            return None;
        }
        let next = word::admit(now, mode, key);
        entered = next.is_some();
        if !entered && !gives_up {
            return None;
        }
        Some(next.map_or(word::with_queue(now, ASLEEP), |next| word::with_queue(next, behind)))
    });
    let Ok(before) = before else { return false };
    // SAFETY: as above.
    unsafe {
        if entered {
            head.quit(node, true);
        } else {
            node.as_ref().set_state(State::Waiting(stripe));
            let long_sections = word::queue(before) == AWAKE + 1 && head.len() > 1;
            head.hand_overs = head.hand_overs.max(if long_sections { HAND_OVERS } else { 1 });
        }
    }
    entered
}
