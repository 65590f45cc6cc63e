//! Iterators over the stripes that a guard holds, with their data.

use core::iter::FusedIterator;
use core::marker::PhantomData;

use super::MultiGuard;
use crate::blocking::holding::Holding;
use crate::blocking::lock::Handle;
use crate::shared::stripe_set;

/// The stripes of a [`MultiGuard`], each with its data, in ascending order. Made by [`iter`](MultiGuard::iter).
///
/// It is `Send` if a reference to the guard is.
///
/// # Examples
///
/// ```
/// let per_stripe = stripe_lock::StripedMutex::<u64, u32>::new(4);
/// let guard = per_stripe.lock_all();
/// let mut stripes = guard.iter();
/// assert_eq!(stripes.next_back(), Some((3, &0)));
/// assert_eq!(stripes.count(), 3);
/// ```
///
/// It is not `Sync` if the data isn't, even if the set is:
///
/// ```compile_fail,E0277
/// use std::cell::Cell;
///
/// let per_stripe = stripe_lock::StripedMutex::<u64, Cell<u32>>::new(4);
/// let guard = per_stripe.lock_all();
/// let stripes = guard.iter();
/// std::thread::scope(|scope| {
///     scope.spawn(move || stripes.for_each(|(_stripe, n)| n.set(1)));
///     guard.get(&1).unwrap().set(2);
/// });
/// ```
#[must_use = "iterators are lazy"]
pub struct MultiIter<'g, P: Handle, H: Holding<P::Raw>> {
    guard: &'g MultiGuard<P, H>,
    rest: stripe_set::Iter<'g>,
}

impl<'g, P: Handle, H: Holding<P::Raw>> MultiIter<'g, P, H> {
    pub(super) fn new(guard: &'g MultiGuard<P, H>) -> Self {
        Self { guard, rest: guard.stripes.iter() }
    }

    fn item(&self, index: usize) -> (usize, &'g P::Data) {
        // SAFETY: the guard holds every one of its stripes, and gives out `&mut` only against `&mut self`.
        (index, unsafe { &*self.guard.set.striped.stripe(index).data() })
    }
}

impl<P: Handle, H: Holding<P::Raw>> Clone for MultiIter<'_, P, H> {
    fn clone(&self) -> Self {
        Self { guard: self.guard, rest: self.rest.clone() }
    }
}

impl<'g, P: Handle, H: Holding<P::Raw>> Iterator for MultiIter<'g, P, H> {
    type Item = (usize, &'g P::Data);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let index = self.rest.next()?;
        Some(self.item(index))
    }
}

impl<P: Handle, H: Holding<P::Raw>> DoubleEndedIterator for MultiIter<'_, P, H> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        let index = self.rest.next_back()?;
        Some(self.item(index))
    }
}

impl<P: Handle, H: Holding<P::Raw>> FusedIterator for MultiIter<'_, P, H> {}

/// The stripes that a [`MultiGuard`] holds exclusively, each with mutable access to its data, in ascending order. Made
/// by [`iter_mut`](MultiGuard::iter_mut).
///
/// It is `Send` if the guard is.
///
/// # Examples
///
/// ```
/// let per_stripe = stripe_lock::StripedRwLock::<u64, u32>::new(4);
/// let mut guard = per_stripe.batch().read(&1).write(&2).lock();
/// for (stripe, n) in guard.iter_mut() {
///     assert_eq!(stripe, per_stripe.stripe_of(&2));
///     *n += 1;
/// }
/// ```
///
/// The guard can't be used while one of its items exists:
///
/// ```compile_fail,E0502
/// let per_stripe = stripe_lock::StripedMutex::<u64, u32>::new(4);
/// let mut guard = per_stripe.lock_all();
/// let (_stripe, first) = guard.iter_mut().next().unwrap();
/// assert_eq!(guard.get(&1), Some(&0));
/// *first += 1;
/// ```
#[must_use = "iterators are lazy"]
pub struct MultiIterMut<'g, P: Handle, H: Holding<P::Raw>> {
    set: &'g P,
    holding: &'g mut H,
    rest: stripe_set::Iter<'g>,
    /// Makes it `Send` and `Sync` only if the guard is.
    guard: PhantomData<&'g mut MultiGuard<P, H>>,
}

impl<'g, P: Handle, H: Holding<P::Raw>> MultiIterMut<'g, P, H> {
    pub(super) fn new(guard: &'g mut MultiGuard<P, H>) -> Self {
        let MultiGuard { set, stripes, holding, .. } = guard;
        Self { set, holding, rest: stripes.iter(), guard: PhantomData }
    }

    fn item(&mut self, index: usize) -> (usize, &'g mut P::Data) {
        // SAFETY: the guard is borrowed mutably for `'g` and holds this stripe exclusively, as `next` and `next_back`
        // have made sure, and `rest` yields no stripe twice.
        (index, unsafe { &mut *self.set.striped.stripe(index).data() })
    }
}

impl<'g, P: Handle, H: Holding<P::Raw>> Iterator for MultiIterMut<'g, P, H> {
    type Item = (usize, &'g mut P::Data);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let index = self.rest.by_ref().find(|&index| self.holding.exclusive(index))?;
        Some(self.item(index))
    }
}

impl<P: Handle, H: Holding<P::Raw>> DoubleEndedIterator for MultiIterMut<'_, P, H> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        let index = self.rest.by_ref().rfind(|&index| self.holding.exclusive(index))?;
        Some(self.item(index))
    }
}

impl<P: Handle, H: Holding<P::Raw>> FusedIterator for MultiIterMut<'_, P, H> {}

impl<'g, P: Handle, H: Holding<P::Raw>> IntoIterator for &'g MultiGuard<P, H> {
    type Item = (usize, &'g P::Data);
    type IntoIter = MultiIter<'g, P, H>;

    fn into_iter(self) -> MultiIter<'g, P, H> {
        self.iter()
    }
}

impl<'g, P: Handle, H: Holding<P::Raw>> IntoIterator for &'g mut MultiGuard<P, H> {
    type Item = (usize, &'g mut P::Data);
    type IntoIter = MultiIterMut<'g, P, H>;

    fn into_iter(self) -> MultiIterMut<'g, P, H> {
        self.iter_mut()
    }
}
