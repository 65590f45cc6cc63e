//! The waiter's side: joining a line, looking again when woken, giving up.

use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::task::{Context, Poll, Waker};

use super::line::{Bucket, Fields, Node, Phase};
use super::lot::{Lot, Wakes};
use super::place::Place;
use super::plan::AnyPlan;
use super::sibling::Sibling;
use super::trace::{Site, Watch};
use super::turn::settle;
use super::word::{self, ASLEEP, AWAKE, EMPTY, Mode, Word};

/// So many turns of a line are hand-overs once a woken waiter found the stripe still held by the first newcomer to come:
/// sections are then longer than it takes to wake a task, so that competing would be in vain for the next ones, too.
const HAND_OVERS: u8 = 16;

/// What a waiter held when it gave up.
#[derive(Clone, Copy)]
pub(super) enum Held {
    Nothing,
    All,
    /// Those of its stripes that are below this one.
    Below(usize),
}

/// The part of a future that waits.
pub(super) struct Waiter {
    node: Node,
    /// Where it was made.
    pub(super) site: Site,
    pub(super) watch: Watch,
}

impl Waiter {
    /// A waiter, so far for `first`.
    #[inline(always)]
    #[cfg_attr(feature = "diagnose", track_caller)]
    pub(super) fn new(first: Place) -> Self {
        Self { node: Node::new(first), site: Site::here(), watch: Watch::new(first.hash()) }
    }

    /// The place that it was made for.
    #[inline(always)]
    pub(super) fn place(&self) -> Place {
        self.node.place()
    }

    /// Whether to [`look_again`](Self::look_again), and whether [`cancel`](Self::cancel) has anything to do.
    #[inline]
    pub(super) fn is_queued(&self) -> bool {
        self.node.is_queued()
    }

    /// Begins to wait for `at`, or looks how the waiting goes. `first` is where the plan begins.
    ///
    /// # Safety
    ///
    /// As for [`join`](Self::join) and, while the waiter is queued, for [`look_again`](Self::look_again).
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn poll<L: Lot>(
        &mut self,
        lot: &L,
        at: (Place, Mode),
        first: (Place, Mode),
        plan: Option<&AnyPlan>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        // SAFETY: passed on.
        unsafe {
            if self.is_queued() {
                return self.look_again(lot, first, plan, cx);
            }
            let (place, mode) = at;
            if plan.is_none() && word::try_enter_soon(lot.word(place.stripe()), mode, place.print()) {
                return Poll::Ready(());
            }
            self.watch.begin(lot.queue(), place.stripe());
            self.join(lot, at, plan, cx)
        }
    }

    /// Waits for `at`, which was not to be had, and the stripes that follow it in the plan, if there is one.
    ///
    /// # Safety
    ///
    /// The waiter is pinned, not queued, and holds the stripes of the plan that are below `at`. The plan is pinned too,
    /// and is the same in every call. While [`is_queued`](Self::is_queued), neither is dropped or moved before
    /// [`cancel`](Self::cancel) is called.
    unsafe fn join<L: Lot>(
        &mut self,
        lot: &L,
        at: (Place, Mode),
        plan: Option<&AnyPlan>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let fields = Fields::new(cx.waker().clone(), plan.map(NonNull::from), at.1, self.site);
        // SAFETY: the node is not linked, and `queued` sees to its being closed.
        unsafe { self.node.open(fields) };
        // SAFETY: as for this function.
        unsafe { self.walk(lot, Some(at), plan, cx.waker()) }
    }

    /// Walks on from `at`, the node being open and not linked; closes it if it ends up with all.
    ///
    /// # Safety
    ///
    /// As for [`join`](Self::join).
    unsafe fn walk<L: Lot>(
        &mut self,
        lot: &L,
        at: Option<(Place, Mode)>,
        plan: Option<&AnyPlan>,
        waker: &Waker,
    ) -> Poll<()> {
        let mut sibling = Sibling::of(waker);
        let node = NonNull::from(&self.node);
        // SAFETY: the node is pinned, open and ours.
        let walked = unsafe { walk(lot, node, plan, at, None, Some(&mut sibling)) };
        self.node.set_queued(walked.is_pending());
        if walked.is_ready() {
            // SAFETY: the node is open and not linked.
            drop(unsafe { self.node.close() });
        }
        sibling.clean_up(lot);
        walked
    }

    /// Claims what was given meanwhile, or competes for it, or goes back to sleep.
    ///
    /// `first` is where the plan begins.
    ///
    /// # Safety
    ///
    /// As for [`join`](Self::join), and the waiter is queued.
    unsafe fn look_again<L: Lot>(
        &mut self,
        lot: &L,
        first: (Place, Mode),
        plan: Option<&AnyPlan>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut fresh = None;
        let at = loop {
            let (mut bucket, home) = lot.queue().lock_home(&self.node);
            // SAFETY: the node is open, and the lock of its home is held.
            match unsafe { self.look(lot, &mut bucket, home, cx.waker()) } {
                Look::Granted => break None,
                Look::Passed => break Some(first),
                Look::Entered(sibling) => {
                    drop(bucket);
                    self.node.set_queued(false);
                    sibling.clean_up(lot);
                    break plan.and_then(|plan| plan.next_from(home + 1));
                }
                Look::Waiting { mut current, sibling } => {
                    let mut stale = None;
                    if let Some(fresh) = fresh.take().filter(|_| !current) {
                        // SAFETY: as above.
                        stale = unsafe { self.node.with(|fields| fields.set_waker(fresh)) };
                        current = true;
                    }
                    drop(bucket);
                    drop(stale);
                    sibling.clean_up(lot);
                    if current {
                        return Poll::Pending;
                    }
                    // Cloning runs the user's code, so not under the lock; then everything is looked at again.
                    fresh = Some(cx.waker().clone());
                }
            }
        };
        self.node.set_queued(false);
        if at.is_none() {
            // SAFETY: the node is open and not linked any more.
            drop(unsafe { self.node.close() });
            return Poll::Ready(());
        }
        // SAFETY: the node is not linked any more, so it is ours alone.
        drop(unsafe { self.node.with(|fields| fields.set_waker(cx.waker().clone())) });
        // SAFETY: as for this function.
        unsafe { self.walk(lot, at, plan, cx.waker()) }
    }

    /// What has become of this waiter. Unless it is still waiting, it is not linked any more.
    ///
    /// # Safety
    ///
    /// The bucket is that of `home`, the home of the node, and locked, and the node is open.
    unsafe fn look<'a, L: Lot>(
        &mut self,
        lot: &L,
        bucket: &mut Bucket,
        home: usize,
        waker: &'a Waker,
    ) -> Look<'a> {
        let node = NonNull::from(&self.node);
        // SAFETY: the caller's promise.
        unsafe {
            match self.node.with(|fields| fields.phase) {
                Phase::Granted => {
                    lot.queue().claim(bucket, node, home);
                    Look::Granted
                }
                Phase::Passed => Look::Passed,
                Phase::Waiting | Phase::Notified => {
                    let mut sibling = Sibling::of(waker);
                    if compete(lot, bucket, node, home, &mut sibling) {
                        return Look::Entered(sibling);
                    }
                    Look::Waiting { current: self.node.with(|fields| fields.would_wake(waker)), sibling }
                }
            }
        }
    }

    /// Gives up waiting. What the waiter held, the caller has to release.
    #[cold]
    pub(super) fn cancel<L: Lot>(&mut self, lot: &L) -> Held {
        let queue = lot.queue();
        let node = NonNull::from(&self.node);
        let mut wakes = Wakes::default();
        let (mut bucket, home) = queue.lock_home(&self.node);
        // SAFETY: `queued` says that the node is open, and the lock of its home is held.
        let held = unsafe {
            match self.node.with(|fields| fields.phase) {
                Phase::Granted => {
                    queue.claim(&mut bucket, node, home);
                    Held::All
                }
                Phase::Passed => Held::Nothing,
                Phase::Waiting | Phase::Notified => {
                    if bucket.quit(node, home) {
                        while settle(lot, &mut bucket, home, &mut wakes) {
                            drop(bucket);
                            drop(std::mem::take(&mut wakes));
                            bucket = queue.lock(home);
                        }
                    }
                    Held::Below(home)
                }
            }
        };
        drop(bucket);
        self.node.set_queued(false);
        // SAFETY: the node is open and not linked any more.
        drop(unsafe { self.node.close() });
        held
    }
}

/// What has become of a waiter.
enum Look<'a> {
    Granted,
    Passed,
    /// It went in from the line, perhaps in the place of a sibling.
    Entered(Sibling<'a>),
    /// `current`: it would be woken by the right waker.
    Waiting {
        current: bool,
        sibling: Sibling<'a>,
    },
}

/// Tries to go in from the line; if that works, leaves the line.
///
/// # Safety
///
/// The bucket is that of `home`, in whose line the node is, and locked.
unsafe fn compete<L: Lot>(
    lot: &L,
    bucket: &mut Bucket,
    node: NonNull<Node>,
    home: usize,
    sibling: &mut Sibling<'_>,
) -> bool {
    // SAFETY: the caller's promise.
    let (phase, mode, place) =
        unsafe { node.as_ref().with(|fields| (fields.phase, fields.mode, Place::new(home, fields.print))) };
    let entered = match phase {
        // SAFETY: as above; only who is first gets notified.
        Phase::Notified => unsafe { enter_from_the_front(lot, node, place, mode) },
        _ => word::try_enter_looking(lot.word(home), mode, place.print()),
    };
    // SAFETY: as above.
    unsafe {
        if entered || sibling.take_over(lot, bucket, place, mode) {
            bucket.quit(node, home);
            return true;
        }
    }
    false
}

/// Tries to go in for one who was woken; if that fails, the stripe will be handed over the next time.
///
/// # Safety
///
/// The bucket is that of the place, in whose line the node is first, and locked.
unsafe fn enter_from_the_front<L: Lot>(lot: &L, node: NonNull<Node>, place: Place, mode: Mode) -> bool {
    // SAFETY: the caller's promise.
    let line = if unsafe { Bucket::behind(node, node) }.is_none() { EMPTY } else { ASLEEP };
    let word = lot.word(place.stripe());
    let mut now = word.load();
    loop {
        let entered = word::admit(now, mode, place.print());
        let (next, ordering) = match entered {
            Some(entered) => (word::with_line(entered, line), Acquire),
            None => (word::with_line(now, ASLEEP), Relaxed),
        };
        match word.exchange(now, next, ordering) {
            Ok(_) => {
                if entered.is_none() {
                    let turns = if word::line(now) == AWAKE + 1 { HAND_OVERS } else { 1 };
                    // SAFETY: as above.
                    unsafe {
                        node.as_ref().with(|fields| (fields.phase, fields.turns) = (Phase::Waiting, turns));
                    }
                }
                return entered.is_some();
            }
            Err(other) => now = other,
        }
    }
}
/// Takes stripe by stripe from `at` on for a node that is not linked, up to the first that is not to be had. There it
/// joins the line.
///
/// # Safety
///
/// The node is pinned and open, and either owned by the caller, or its home is the bucket `here`, which is locked. No
/// bucket above that one is locked by the caller.
pub(super) unsafe fn walk<L: Lot>(
    lot: &L,
    node: NonNull<Node>,
    plan: Option<&AnyPlan>,
    mut at: Option<(Place, Mode)>,
    mut here: Option<(usize, &mut Bucket)>,
    mut sibling: Option<&mut Sibling<'_>>,
) -> Poll<()> {
    let queue = lot.queue();
    while let Some((place, mode)) = at {
        let stripe = place.stripe();
        if !word::try_enter_looking(lot.word(stripe), mode, place.print()) {
            // SAFETY: the caller's promise.
            let entered = unsafe {
                match &mut here {
                    Some((index, bucket)) if *index == queue.bucket_of(stripe) => {
                        enter_or_join(lot, bucket, node, place, mode, sibling.as_deref_mut())
                    }
                    _ => {
                        let bucket = &mut queue.lock(stripe);
                        enter_or_join(lot, bucket, node, place, mode, sibling.as_deref_mut())
                    }
                }
            };
            if !entered {
                return Poll::Pending;
            }
        }
        at = plan.and_then(|plan| plan.next_from(stripe + 1));
    }
    Poll::Ready(())
}

/// Goes in, or joins the line.
///
/// # Safety
///
/// As for [`walk`], and the bucket is that of the stripe, and locked.
unsafe fn enter_or_join<L: Lot>(
    lot: &L,
    bucket: &mut Bucket,
    node: NonNull<Node>,
    place: Place,
    mode: Mode,
    sibling: Option<&mut Sibling<'_>>,
) -> bool {
    if let Some(sibling) = sibling {
        // SAFETY: the caller's promise.
        if unsafe { sibling.take_over(lot, bucket, place, mode) } {
            return true;
        }
    }
    let word = lot.word(place.stripe());
    let mut now = word.load();
    loop {
        let (next, ordering) = match word::enter(now, mode, place.print()) {
            Some(entered) => (entered, Acquire),
            None if word::line(now) == EMPTY => (word::with_line(now, ASLEEP), Relaxed),
            None => break,
        };
        match word.exchange(now, next, ordering) {
            Ok(_) if ordering == Acquire => return true,
            Ok(_) => break,
            Err(other) => now = other,
        }
    }
    // SAFETY: the caller's promise.
    unsafe {
        node.as_ref().with(|fields| fields.print = place.print());
        bucket.join(node, place.stripe(), mode, now);
    }
    false
}
