//! Taking and releasing several stripes, one after the other, whatever panics meanwhile.

use core::mem;

use crate::blocking::holding::{Holding, Take};
use crate::blocking::lock::StripedLock;
use crate::shared::stripe_set::StripeSet;

/// Takes each of `stripes`, given in ascending order, and returns whether it got them all. If not, or if taking one panics, it
/// has released those it got.
#[inline(always)]
pub(super) fn take_each<K: ?Sized, T, L, S, H: Take<L, W>, W>(
    set: &StripedLock<K, T, L, S>,
    stripes: impl DoubleEndedIterator<Item = usize> + Clone,
    holding: &mut H,
    way: &W,
) -> bool {
    let mut taking = Taking { set, stripes, reached: 0, holding };
    for index in taking.stripes.clone() {
        taking.reached = index;
        if !taking.holding.push(set.striped.stripe(index), index, way) {
            return false;
        }
    }
    mem::forget(taking);
    true
}

/// As [`take_each`], out of line to keep the fast path small.
#[inline(never)]
pub(super) fn take_many<K: ?Sized, T, L, S, H: Take<L, W>, W>(
    set: &StripedLock<K, T, L, S>,
    stripes: &StripeSet,
    holding: &mut H,
    way: &W,
) -> bool {
    take_each(set, stripes.iter(), holding, way)
}

/// Releases each of `stripes`, given in ascending order, in descending order.
///
/// # Safety
///
/// They are what `holding` holds; no reference to their data is used after this call.
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

/// A release that is under way. Dropped because a raw lock has panicked, it releases the rest.
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

/// An acquisition that is under way. Dropped before it is complete, it releases the stripes below the one it had
/// `reached`.
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
