//! A place beside a list, in which a guard is noted without the list's lock.
//!
//! Only the thread whose list it is notes a guard here, and only while none is here. The version is odd while one is:
//!
//! | who changes the version | how | when |
//! |---|---|---|
//! | the thread of the list | even to odd | it notes a guard |
//! | the guard, at its end | odd to even | a compare-and-swap, unless its end is on the thread of the list |
//! | the holder of the list's lock, who is the thread of the list or a method of the guard | odd to even | it has put the guard into the list; a compare-and-swap, because the guard may end meanwhile |
//!
//! Any thread may read the guard. What it read is one guard if the version is the same before and after.

use std::panic::Location;
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::blocking::raw::Access;
use crate::shared::atomic::modelled::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence};

/// A guard of one stripe, or of several in a set of at most 64, all in one mode.
#[derive(Clone, Copy)]
pub(super) struct Noted {
    pub(super) set: u64,
    /// How many stripes the set has.
    pub(super) of: u32,
    /// The stripes, if the set has at most 64: bit `i` stands for stripe `i`. Otherwise, the index of the only one.
    pub(super) stripes: u64,
    pub(super) access: Access,
    pub(super) at: &'static Location<'static>,
}

impl Noted {
    /// A guard of one stripe.
    #[inline]
    pub(super) fn one(
        set: u64,
        stripe: usize,
        of: usize,
        access: Access,
        at: &'static Location<'static>,
    ) -> Self {
        let (of, stripe) = (of as u32, stripe as u64);
        Self { set, of, stripes: if of <= u64::BITS { 1 << stripe } else { stripe }, access, at }
    }
}

/// The highest of the stripes of a [`Noted`] guard.
#[inline]
pub(super) fn highest(of: u32, stripes: u64) -> Option<u32> {
    if of <= u64::BITS { stripes.checked_ilog2() } else { Some(stripes as u32) }
}

/// A place for one guard.
pub(super) struct Place {
    version: AtomicUsize,
    set: AtomicU64,
    of: AtomicU32,
    stripes: AtomicU64,
    access: AtomicU8,
    /// It never points to anything but a `&'static Location`.
    at: AtomicPtr<Location<'static>>,
}

/// By the value as a number.
const ACCESSES: [Access; 3] = [Access::Shared, Access::Upgradable, Access::Exclusive];

impl Place {
    #[track_caller]
    pub(super) fn new() -> Self {
        Self {
            version: AtomicUsize::new(0),
            set: AtomicU64::new(0),
            of: AtomicU32::new(0),
            stripes: AtomicU64::new(0),
            access: AtomicU8::new(0),
            at: AtomicPtr::new(ptr::from_ref(Location::caller()).cast_mut()),
        }
    }

    /// Whether no guard is here. This lasts for the thread whose list it is, because no other puts one here.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.version.load(Acquire).is_multiple_of(2)
    }

    /// Notes a guard. The caller is the thread of the list, and this is [empty](Self::is_empty).
    #[inline(always)]
    pub(super) fn fill(&self, guard: Noted) {
        let version = self.version.load(Relaxed);
        // A thread that reads one of the values below also finds that the version has changed.
        fence(Release);
        self.set.store(guard.set, Relaxed);
        self.of.store(guard.of, Relaxed);
        self.stripes.store(guard.stripes, Relaxed);
        self.access.store(guard.access as u8, Relaxed);
        self.at.store(ptr::from_ref(guard.at).cast_mut(), Relaxed);
        self.version.store(version.wrapping_add(1), Release);
    }

    /// The guard that is here, if one is, and the version.
    pub(super) fn read(&self) -> Option<(Noted, usize)> {
        let version = self.version.load(Acquire);
        if version.is_multiple_of(2) {
            return None;
        }
        let at = self.at.load(Relaxed);
        let guard = Noted {
            set: self.set.load(Relaxed),
            of: self.of.load(Relaxed),
            stripes: self.stripes.load(Relaxed),
            access: ACCESSES[usize::from(self.access.load(Relaxed))],
            // SAFETY: only references that live for ever are stored.
            at: unsafe { &*at },
        };
        fence(Acquire);
        (self.version.load(Relaxed) == version).then_some((guard, version))
    }

    /// Whether a guard is here that holds this stripe of the set or a higher one. The caller is the thread of the list. A guard
    /// that ends meanwhile may count.
    #[inline]
    pub(super) fn reaches(&self, set: u64, stripe: usize) -> bool {
        !self.is_empty()
            && self.set.load(Relaxed) == set
            && highest(self.of.load(Relaxed), self.stripes.load(Relaxed)) >= Some(stripe as u32)
    }

    /// Ends the guard that was noted here. Returns whether it still was here, not in the list. `own` says that this is the
    /// thread of the list: then nobody puts the guard into the list at the same time.
    #[inline]
    pub(super) fn end(&self, own: bool) -> bool {
        let version = self.version.load(Relaxed);
        if version.is_multiple_of(2) {
            return false;
        }
        if own {
            self.version.store(version.wrapping_add(1), Release);
            return true;
        }
        self.empty(version)
    }

    /// Empties this, unless the version has changed.
    pub(super) fn empty(&self, version: usize) -> bool {
        self.version.compare_exchange(version, version.wrapping_add(1), Release, Relaxed).is_ok()
    }
}
