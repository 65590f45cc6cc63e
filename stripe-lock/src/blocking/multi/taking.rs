//! Taking and releasing several stripes one after the other. A panic in between leaves no stripe held.

use core::mem;

use crate::blocking::growth::Counting;
use crate::blocking::holding::{Holding, Take};
use crate::blocking::lock::{Splitting, StripedLock};
use crate::blocking::stripe::Stripe;
use crate::shared::stripe_set::{Bits, StripeSet};

/// Takes each of `stripes`, which are in ascending order, by `push`. Returns whether it got them all. If it did not, or
/// if taking one panics, it releases those that it got.
#[inline(always)]
pub(super) fn take_each<K: ?Sized, T, L, S, H: Holding<L>>(
    set: &StripedLock<K, T, L, S>,
    stripes: impl DoubleEndedIterator<Item = usize> + Clone,
    holding: &mut H,
    push: impl Fn(&mut H, &Stripe<L, T>, usize) -> bool,
) -> bool {
    let mut taking = Taking { set, stripes, reached: 0, holding };
    for index in taking.stripes.clone() {
        taking.reached = index;
        if !push(taking.holding, set.striped.stripe(index), index) {
            return false;
        }
    }
    mem::forget(taking);
    true
}

/// Takes the stripes of `places`. Returns those that it holds. It is out of line to keep the fast path small.
#[inline(never)]
pub(super) fn take_many<K: ?Sized, T, L, S, H: Take<L, W>, W>(
    set: &StripedLock<K, T, L, S>,
    places: StripeSet,
    mut holding: H,
    way: &W,
) -> Option<(StripeSet, H)> {
    let taken = if let Some(splitting) = set.splitting() {
        let mut taken = StripeSet::empty(set.stripes());
        take_for_places(set, splitting, &places, &mut taken, &mut holding, way).then_some(taken)
    } else {
        let push = |holding: &mut H, stripe: &_, index| holding.push(stripe, index, way);
        take_each(set, places.iter(), &mut holding, push).then_some(places)
    };
    Some((taken?, holding))
}

/// As [`take_many`] in a set of at most 64 stripes that can be split. It returns a word, because a whole set is slow to
/// move.
#[inline(never)]
pub(super) fn take_few_for_places<K: ?Sized, T, L, S, H: Take<L, W>, W>(
    set: &StripedLock<K, T, L, S>,
    splitting: Splitting<'_, K, T, L, S>,
    places: Bits,
    mut holding: H,
    way: &W,
) -> Option<(Bits, H)> {
    if holding.writes().is_none()
        && let Some(stripes) = take_free_for_places::<_, _, _, _, _, W>(set, splitting, &places, &mut holding)
    {
        return Some((stripes, holding));
    }
    let (places, mut taken) = (StripeSet::from(places), StripeSet::from(Bits(0)));
    take_for_places(set, splitting, &places, &mut taken, &mut holding, way).then_some(())?;
    Some((taken.bits()?, holding))
}

/// Takes the stripes of the places if all are free and no place changes its owner, which is nearly always so. Otherwise
/// it takes nothing. It looks all stripes up before it takes any, and again after the last: a load between two locked
/// instructions would wait for both.
#[inline(always)]
fn take_free_for_places<K: ?Sized, T, L, S, H: Take<L, W>, W>(
    set: &StripedLock<K, T, L, S>,
    (owners, growth): Splitting<'_, K, T, L, S>,
    places: &Bits,
    holding: &mut H,
) -> Option<Bits> {
    let stripes = owners.of_few(places);
    let free = Counting::<W, _, _> { way: None, growth, place: || None };
    let push = |holding: &mut H, stripe: &_, index| holding.push_counting(stripe, index, &free);
    if !take_each(set, stripes.clone(), holding, push) {
        return None;
    }
    let held = Releasing { set, rest: stripes.clone(), holding };
    if owners.of_few(places) != stripes {
        return None;
    }
    let mut split = false;
    for stripe in stripes.clone() {
        let place = || owners.single_place(&places.clone().into(), stripe);
        // SAFETY: `held` holds the stripe, exclusively if it says so, and no other code has seen it.
        split |= unsafe { set.count_and_split(growth, stripe, place, held.holding.exclusive(stripe)) };
    }
    if split && owners.of_few(places) != stripes {
        return None;
    }
    mem::forget(held);
    Some(stripes)
}

/// Takes the stripes that own `places` in ascending order, and splits those that are due. Adds them to `taken`, which
/// is empty. Returns whether it got them all. If it did not, or if taking one panics, it releases those that it got.
///
/// If a stripe has lost its place by the time it is taken, only this stripe is released. The place's new owner is above
/// all held stripes too: none of them owns the place, and each keeps its places.
fn take_for_places<K: ?Sized, T, L, S, H: Take<L, W>, W>(
    set: &StripedLock<K, T, L, S>,
    (owners, growth): Splitting<'_, K, T, L, S>,
    places: &StripeSet,
    taken: &mut StripeSet,
    holding: &mut H,
    way: &W,
) -> bool {
    let written_places = holding.writes().cloned();
    let writes = |stripe| {
        let place = written_places.as_ref().and_then(|places| places.next_from(stripe));
        place.is_some_and(|place| owners.of(place) == stripe)
    };
    let mut taking = TakingForPlaces { set, taken, holding };
    let mut rest = places.iter().peekable();
    while let Some(&place) = rest.peek() {
        let stripe = owners.of(place);
        let single_place = || owners.single_place(places, stripe);
        let written = writes(stripe);
        let got = taking.push(stripe, written, &Counting { way: Some(way), growth, place: single_place });
        if got {
            let exclusive = taking.holding.exclusive(stripe);
            // SAFETY: `holding` holds the stripe, exclusively if it says so, and no other code has seen it.
            unsafe { set.count_and_split(growth, stripe, single_place, exclusive) };
        }
        // The place may have another owner by now.
        let in_place = owners.of(place) == stripe && writes(stripe) == written;
        match (got, in_place) {
            (true, true) => while rest.next_if(|&next| owners.of(next) == stripe).is_some() {},
            (true, false) => taking.pop(stripe),
            (false, true) => return false,
            (false, false) => (),
        }
    }
    mem::forget(taking);
    true
}

/// Releases each of `stripes`, which are in ascending order, from the highest to the lowest.
///
/// # Safety
///
/// `holding` holds exactly these stripes, and no reference to their data is used after this call.
#[inline(always)]
pub(super) unsafe fn release_each<K: ?Sized, T, L, S, H: Holding<L>>(
    set: &StripedLock<K, T, L, S>,
    stripes: impl DoubleEndedIterator<Item = usize> + Clone,
    holding: &mut H,
) {
    let mut releasing = Releasing { set, rest: stripes, holding };
    while let Some(index) = releasing.rest.next_back() {
        // SAFETY: the caller promises that `holding` holds it, and those above it have been released.
        unsafe { releasing.holding.pop(set.striped.stripe(index), index) }
    }
    mem::forget(releasing);
}

/// As [`release_each`], out of line to keep the fast path small.
///
/// # Safety
///
/// As for `release_each`.
#[inline(never)]
pub(super) unsafe fn release_many<K: ?Sized, T, L, S, H: Holding<L>>(
    set: &StripedLock<K, T, L, S>,
    stripes: &StripeSet,
    holding: &mut H,
) {
    // SAFETY: the caller promises it.
    unsafe { release_each(set, stripes.iter(), holding) }
}

/// Releases what is left after a panic.
///
/// # Safety
///
/// As for [`release_each`].
#[cold]
#[inline(never)]
unsafe fn release_rest<K: ?Sized, T, L, S, H: Holding<L>>(
    set: &StripedLock<K, T, L, S>,
    stripes: impl DoubleEndedIterator<Item = usize> + Clone,
    holding: &mut H,
) {
    // SAFETY: the caller promises it.
    unsafe { release_each(set, stripes, holding) }
}

/// A release in progress. If it is dropped because a raw lock has panicked, it releases the rest.
///
/// Its fields, and those of [`Taking`], are in registers as long as no function that is called gets a reference to them. So each `drop` is
/// inlined, and calls a function that gets copies.
pub(super) struct Releasing<
    'a,
    K: ?Sized,
    T,
    L,
    S,
    H: Holding<L>,
    I: DoubleEndedIterator<Item = usize> + Clone,
> {
    pub(super) set: &'a StripedLock<K, T, L, S>,
    pub(super) rest: I,
    pub(super) holding: &'a mut H,
}

impl<K: ?Sized, T, L, S, H: Holding<L>, I: DoubleEndedIterator<Item = usize> + Clone> Drop
    for Releasing<'_, K, T, L, S, H, I>
{
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the caller of the constructor promised that `rest` is what `holding` holds.
        unsafe { release_rest(self.set, self.rest.clone(), &mut self.holding.take()) }
    }
}

/// An acquisition in progress. If it is dropped before it is complete, it releases the stripes below the one that it
/// has `reached`.
struct Taking<'a, K: ?Sized, T, L, S, H: Holding<L>, I: DoubleEndedIterator<Item = usize> + Clone> {
    set: &'a StripedLock<K, T, L, S>,
    stripes: I,
    reached: usize,
    holding: &'a mut H,
}

impl<K: ?Sized, T, L, S, H: Holding<L>, I: DoubleEndedIterator<Item = usize> + Clone> Drop
    for Taking<'_, K, T, L, S, H, I>
{
    #[inline(always)]
    fn drop(&mut self) {
        let reached = self.reached;
        let taken = self.stripes.clone().filter(move |&index| index < reached);
        // SAFETY: the stripes below `reached` were taken in ascending order, and no reference to their data was made.
        unsafe { release_rest(self.set, taken, &mut self.holding.take()) }
    }
}

/// As [`Taking`], for stripes that are looked up one after the other.
struct TakingForPlaces<'a, K: ?Sized, T, L, S, H: Holding<L>> {
    set: &'a StripedLock<K, T, L, S>,
    taken: &'a mut StripeSet,
    holding: &'a mut H,
}

impl<K: ?Sized, T, L, S, H: Holding<L>> TakingForPlaces<'_, K, T, L, S, H> {
    /// Takes a stripe above all held stripes. If modes differ between stripes, `written` says whether it is taken for
    /// writing. Returns whether it got it.
    #[inline(always)]
    fn push<W, F, P>(&mut self, stripe: usize, written: bool, way: &Counting<'_, W, F, P>) -> bool
    where
        H: Take<L, W>,
        P: Fn() -> Option<usize>,
    {
        if let Some(writes) = self.holding.writes_mut() {
            if written {
                writes.insert(stripe)
            } else {
                writes.remove(stripe)
            };
        }
        self.holding.push_counting(self.set.striped.stripe(stripe), stripe, way) && self.taken.insert(stripe)
    }

    /// Releases the highest stripe.
    #[cold]
    fn pop(&mut self, stripe: usize) {
        self.taken.remove(stripe);
        // SAFETY: the stripe was pushed last, and no reference to its data is left.
        unsafe { self.holding.pop(self.set.striped.stripe(stripe), stripe) }
    }
}

impl<K: ?Sized, T, L, S, H: Holding<L>> Drop for TakingForPlaces<'_, K, T, L, S, H> {
    #[cold]
    fn drop(&mut self) {
        // SAFETY: `holding` holds exactly the stripes in `taken`, and no reference to their data was made.
        unsafe { release_many(self.set, self.taken, self.holding) }
    }
}
