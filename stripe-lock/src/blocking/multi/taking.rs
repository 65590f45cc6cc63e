//! Taking and releasing several stripes one after the other. A panic in between leaves no stripe held.

use core::mem;

use crate::blocking::growth::{Counting, single_place};
use crate::blocking::holding::{Holding, Take};
use crate::blocking::lock::{Splitting, StripedLock};
use crate::blocking::stripe::Stripe;
use crate::shared::stripe_set::{Bits, StripeSet};

/// Takes each of `stripes`, which are in ascending order, by `push`. Returns whether it got them all. If it did not, or if taking
/// one panics, it releases those that it got.
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
    holding: &mut H,
    way: &W,
) -> Option<StripeSet> {
    if let Some(splitting) = set.splitting() {
        return take_for_places(set, splitting, &places, holding, way);
    }
    let push = |holding: &mut H, stripe: &_, index| holding.push(stripe, index, way);
    take_each(set, places.iter(), holding, push).then_some(places)
}

/// Takes the stripes that own `places`, in ascending order, and splits those that are due. Returns the stripes that it holds, or
/// `None` if `way` failed, and then it holds nothing.
fn take_for_places<K: ?Sized, T, L, S, H: Take<L, W>, W>(
    set: &StripedLock<K, T, L, S>,
    (owners, growth): Splitting<'_, K, T, L, S>,
    places: &StripeSet,
    holding: &mut H,
    way: &W,
) -> Option<StripeSet> {
    let written_places = holding.writes().cloned();
    let owners_written = || written_places.as_ref().map(|places| owners.of_each(places));
    loop {
        let (stripes, written) = (owners.of_each(places), owners_written());
        holding.set_writes(written.clone());
        let place = |stripe| single_place(places, stripe, |place| owners.of(place) == stripe);
        let taken = take_each(set, stripes.iter(), holding, |holding, stripe, index| {
            holding.push_counting(stripe, index, &Counting { way, growth, place: place(index) })
        });
        // The stripes may own other places by now.
        let in_place = || owners.of_each(places) == stripes && owners_written() == written;
        if !taken {
            if in_place() {
                return None;
            }
            continue;
        }
        let held = Releasing { set, rest: stripes.iter(), holding };
        if !in_place() {
            continue;
        }
        let mut split = false;
        for stripe in &stripes {
            // SAFETY: `holding` holds the stripe, exclusively if it says so, and no other code has seen it.
            split |=
                unsafe { set.count_and_split(growth, stripe, place(stripe), held.holding.exclusive(stripe)) };
        }
        if !split || in_place() {
            mem::forget(held);
            return Some(stripes);
        }
    }
}

/// As [`take_for_places`], for a set of at most 64 stripes. It returns a word, because a whole set is slow to move.
#[inline(never)]
pub(super) fn take_few_for_places<K: ?Sized, T, L, S, H: Take<L, W>, W>(
    set: &StripedLock<K, T, L, S>,
    splitting: Splitting<'_, K, T, L, S>,
    places: Bits,
    holding: &mut H,
    way: &W,
) -> Option<Bits> {
    take_for_places(set, splitting, &places.into(), holding, way)?.bits()
}

/// Releases each of `stripes`, which are in ascending order, from the highest to the lowest.
///
/// # Safety
///
/// `holding` holds exactly these stripes, and no reference to their data is used after this call.
#[inline(always)]
pub(super) unsafe fn release_each<K: ?Sized, T, L, S, H: Holding<L>>(
    set: &StripedLock<K, T, L, S>,
    stripes: impl DoubleEndedIterator<Item = usize>,
    holding: &mut H,
) {
    let mut releasing = Releasing { set, rest: stripes, holding };
    releasing.run();
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

/// A release in progress. If it is dropped because a raw lock has panicked, it releases the rest.
pub(super) struct Releasing<'a, K: ?Sized, T, L, S, H: Holding<L>, I: DoubleEndedIterator<Item = usize>> {
    pub(super) set: &'a StripedLock<K, T, L, S>,
    pub(super) rest: I,
    pub(super) holding: &'a mut H,
}

impl<K: ?Sized, T, L, S, H: Holding<L>, I: DoubleEndedIterator<Item = usize>>
    Releasing<'_, K, T, L, S, H, I>
{
    #[inline(always)]
    fn run(&mut self) {
        while let Some(index) = self.rest.next_back() {
            // SAFETY: the caller of the constructor promised that `rest` is what `holding` holds.
            unsafe { self.holding.pop(self.set.striped.stripe(index), index) }
        }
    }
}

impl<K: ?Sized, T, L, S, H: Holding<L>, I: DoubleEndedIterator<Item = usize>> Drop
    for Releasing<'_, K, T, L, S, H, I>
{
    #[inline(always)]
    fn drop(&mut self) {
        self.run();
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
    #[cold]
    fn drop(&mut self) {
        let taken = self.stripes.clone().filter(|&index| index < self.reached);
        // SAFETY: the stripes below `reached` were taken in ascending order, and no reference to their data was made.
        unsafe { release_each(self.set, taken, self.holding) }
    }
}
