//! Pinned stripes. A guard that has released its stripe temporarily will take the same stripe again, so the stripe must
//! not be split or merged until then.
//!
//! A guard does not know its set, so the counters are global. If two stripes share a counter, one of them may be split
//! later than it could be. The counter of a stripe is increased before the stripe is released, and decreased when the
//! stripe is held again. So if a thread holds the stripe exclusively and reads 0, no guard will take it again.

use core::sync::atomic::AtomicBool;

use crate::shared::atomic::Relaxed;
use crate::shared::atomic::modelled::AtomicUsize;

/// Whether a set whose stripes can be split was ever made. Programs without such a set do not count.
static NEEDED: AtomicBool = AtomicBool::new(false);

#[cfg(not(all(loom, feature = "std")))]
fn counter<S>(stripe: &S) -> &'static AtomicUsize {
    use crossbeam_utils::CachePadded;

    const COUNTERS: usize = 64;
    static PINS: [CachePadded<AtomicUsize>; COUNTERS] =
        [const { CachePadded::new(AtomicUsize::new(0)) }; COUNTERS];

    let address = (&raw const *stripe).addr() as u64;
    &PINS[(address.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - COUNTERS.ilog2())) as usize]
}

/// All stripes of a model share a counter, which does not depend on addresses.
#[cfg(all(loom, feature = "std"))]
fn counter<S>(_: &S) -> &'static AtomicUsize {
    loom::lazy_static! {
        static ref PINS: AtomicUsize = AtomicUsize::new(0);
    }
    &PINS
}

/// Tells this module that there may be stripes to pin.
pub(crate) fn needed() {
    NEEDED.store(true, Relaxed);
}

/// Whether a guard may take the stripe again. The caller holds it exclusively.
pub(crate) fn is_pinned<S>(stripe: &S) -> bool {
    counter(stripe).load(Relaxed) > 0
}

/// Keeps a stripe from being split or merged.
pub(crate) struct Pin(Option<&'static AtomicUsize>);

impl Pin {
    /// To be called while the stripe is held, and to be dropped when it is held again.
    #[inline]
    pub(crate) fn new<S>(stripe: &S) -> Self {
        if !NEEDED.load(Relaxed) {
            return Self(None);
        }
        let counter = counter(stripe);
        counter.fetch_add(1, Relaxed);
        Self(Some(counter))
    }
}

impl Drop for Pin {
    #[inline]
    fn drop(&mut self) {
        if let Some(counter) = self.0 {
            counter.fetch_sub(1, Relaxed);
        }
    }
}
