//! The record of held stripes.

use std::format;
use std::panic::Location;
use std::string::String;
use std::sync::atomic::Ordering::Relaxed;

use super::entries::{Accesses, Entries, Entry, Several};
use super::list::{List, Ticket, mine};
use super::place::Noted;
use crate::blocking::holding::Holding;
use crate::blocking::raw::{Access, RawLock};
use crate::shared::atomic::AtomicU64;
use crate::shared::stripe_set::StripeSet;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// The identity of a striped lock. It is odd if the lock is reentrant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SetId(u64);

impl Accesses {
    fn of<L>(holding: &impl Holding<L>) -> Self {
        let one = || Self::All(holding.access(0));
        holding.writes().map_or_else(one, |writes| Self::Writes(writes.clone()))
    }
}

/// Whether holders with these accesses exclude each other.
fn exclude(one: Access, other: Access) -> bool {
    one != Access::Shared && other != Access::Shared || [one, other].contains(&Access::Exclusive)
}

const ADVICE: &str = "take keys that are needed together by lock_many, or add the later key to the guard of several \
                      keys by extend";

/// Why a thread that holds `held` must not wait for `wanted`, or `None` if it may. The guard `own` does not count.
#[cold]
fn complaint(
    entries: &Entries,
    set: SetId,
    wanted: &Several,
    own: Option<u64>,
    here: &Location<'_>,
) -> Option<String> {
    let reentrant = set.is_reentrant();
    let others = |from: usize| entries.reaching(set.0, from).filter(|entry| Some(entry.key.id) != own);
    let held = |stripe: usize| others(stripe).find_map(|entry| Some((entry.access(stripe)?, entry.at)));
    let mut news = wanted.stripes.iter().filter(|&stripe| held(stripe).is_none());
    let first = if reentrant { news.next()? } else { wanted.stripes.first()? };
    let top = others(first).max_by_key(|entry| entry.key.highest)?;
    let both = wanted.stripes.iter().find_map(|stripe| Some((stripe, held(stripe)?)));
    if let (Some((stripe, (access, at))), false) = (both, reentrant) {
        return Some(if exclude(wanted.accesses.to(stripe), access) {
            format!(
                "waiting for stripe {stripe} at {here} would never end, since this thread took it at {at}: {ADVICE}"
            )
        } else {
            format!(
                "a second read of stripe {stripe} at {here} may never end, because this thread has read it since {at}, \
                 and a writer that waits for the first read may go before the second: {ADVICE}"
            )
        });
    }
    let (highest, at) = (top.key.highest?, top.at);
    Some(format!(
        "waiting for stripe {first} at {here} would break the order, since this thread took stripe {highest} at {at}: \
         {ADVICE}"
    ))
}

impl SetId {
    /// Whether a wait is checked.
    pub(crate) const CHECKS: bool = true;

    pub(crate) fn new<L: RawLock>() -> Self {
        Self(2 * NEXT.fetch_add(1, Relaxed) + u64::from(L::REENTRANT))
    }

    #[cfg(loom)]
    pub(super) const fn of_model() -> Self {
        Self(0)
    }

    fn is_reentrant(self) -> bool {
        self.0 % 2 == 1
    }

    /// Panics if a wait for `wanted`, whose lowest stripe is `first`, could be a wait for this thread itself.
    #[inline]
    #[track_caller]
    fn check_in(self, list: &List, first: usize, own: Option<u64>, wanted: impl FnOnce() -> Several) {
        let here = Location::caller();
        if let Some(complaint) = self.complaint_in(list, first, own, wanted, here) {
            panic!("{complaint}");
        }
    }

    /// What [`check_in`](Self::check_in) panics with.
    #[inline]
    fn complaint_in(
        self,
        list: &List,
        first: usize,
        own: Option<u64>,
        wanted: impl FnOnce() -> Several,
        here: &Location<'_>,
    ) -> Option<String> {
        if !list.may_reach(self.0, first) {
            return None;
        }
        list.with(own, |entries| {
            let mut reaching = entries.reaching(self.0, first);
            if reaching.any(|entry| Some(entry.key.id) != own) {
                complaint(entries, self, &wanted(), own, here)
            } else {
                None
            }
        })
    }

    /// Whether a wait of this thread for a stripe would not be a wait for itself.
    #[cfg(loom)]
    pub(super) fn may_wait_for(self, stripe: usize, of: usize) -> bool {
        let wanted = || Several::one(stripe, of, Access::Exclusive);
        let here = Location::caller();
        !mine().is_some_and(|mine| self.complaint_in(mine.list, stripe, None, wanted, here).is_some())
    }

    #[track_caller]
    fn check_several<L>(self, wanted: &StripeSet, holding: &impl Holding<L>, own: Option<u64>) {
        if let (Some(first), Some(mine)) = (wanted.first(), mine()) {
            let several = || Several { stripes: wanted.clone(), accesses: Accesses::of(holding) };
            self.check_in(mine.list, first, own, several);
        }
    }

    /// Panics if a wait for `wanted` could be a wait for this thread itself.
    #[track_caller]
    pub(crate) fn check<L>(self, wanted: &StripeSet, holding: &impl Holding<L>) {
        self.check_several(wanted, holding, None);
    }

    /// As [`check`](Self::check), for a wait that begins after the release of `released`.
    #[track_caller]
    pub(crate) fn check_anew<L>(self, wanted: &StripeSet, holding: &impl Holding<L>, released: &Held) {
        self.check_several(wanted, holding, released.0.map(|ticket| ticket.id));
    }

    #[inline]
    #[track_caller]
    pub(crate) fn check_one(self, stripe: impl FnOnce() -> usize, of: usize, access: Access) {
        if let Some(mine) = mine() {
            let stripe = stripe();
            self.check_in(mine.list, stripe, None, || Several::one(stripe, of, access));
        }
    }

    /// The place in the program at which a holder of this stripe took it.
    #[cfg(any(feature = "tracing", loom))]
    pub(crate) fn holder_of(self, stripe: usize) -> Option<&'static Location<'static>> {
        super::list::holder_of(self.0, stripe)
    }

    /// Records that this thread holds `stripes`, until the record is dropped.
    #[track_caller]
    pub(crate) fn record<L>(self, stripes: &StripeSet, holding: &impl Holding<L>) -> Held {
        let Some(mine) = mine() else { return Held::none() };
        let at = Location::caller();
        Held(Some(if let (Some(bits), None) = (stripes.bits(), holding.writes()) {
            mine.add(Noted { set: self.0, of: u64::BITS, stripes: bits.0, access: holding.access(0), at })
        } else {
            let several = Several { stripes: stripes.clone(), accesses: Accesses::of(holding) };
            mine.list.add_by(|entries, id| entries.add_several(id, self.0, several, at))
        }))
    }

    #[inline]
    #[track_caller]
    pub(crate) fn record_one(self, stripe: usize, of: usize, access: Access) -> Held {
        let Some(mine) = mine() else { return Held::none() };
        Held(Some(mine.add(Noted::one(self.0, stripe, of, access, Location::caller()))))
    }
}

/// The entry of one guard in a list.
#[derive(Debug)]
pub(crate) struct Held(Option<&'static Ticket>);

impl Held {
    /// An entry of no guard.
    #[inline]
    pub(crate) fn none() -> Self {
        Self(None)
    }

    fn change(&mut self, change: impl FnOnce(&mut Several)) {
        let Some(ticket) = self.0 else { return };
        ticket.with(|entries| {
            if let Some(mut entry) = entries.remove(ticket.id) {
                let mut several = entry.to_several();
                change(&mut several);
                entry.set_several(several);
                entries.insert(entry);
            }
        });
    }

    /// Adds one stripe.
    pub(crate) fn add(&mut self, stripe: usize) {
        self.change(|several| _ = several.stripes.insert(stripe));
    }

    /// Removes one stripe. To be called before the release, as [`end`](Self::end).
    pub(crate) fn remove(&mut self, stripe: usize) {
        self.change(|several| _ = several.stripes.remove(stripe));
    }

    /// Changes the mode in which the stripes are held.
    pub(crate) fn held_as(self, access: Access) -> Self {
        if let Some(ticket) = self.0 {
            ticket.with(|entries| entries.get_mut(ticket.id).map_or((), |entry| entry.set_access(access)));
        }
        self
    }

    /// Panics if a wait for these stripes, in this mode, could be a wait for this thread itself.
    #[track_caller]
    pub(crate) fn check_again(&self, access: Access) {
        let Some(ticket) = self.0 else { return };
        let own =
            |entries: &mut Entries| entries.get(ticket.id).map(|entry| (entry.key.set, entry.to_several()));
        if let Some((set, own)) = ticket.with(own) {
            let wanted = Several { accesses: Accesses::All(access), ..own };
            check_again(ticket.list, set, wanted, Some(ticket.id));
        }
    }

    /// Removes the guard from the record while its stripes are released. [`resume`](Self::resume) adds it again.
    pub(crate) fn suspend(&mut self) -> Suspended {
        Suspended(self.0.take().and_then(|ticket| Some((ticket.take_out()?, ticket.list))))
    }

    /// Adds the guard to the record again, once its stripes are held again.
    pub(crate) fn resume(&mut self, Suspended(held): Suspended) {
        self.0 = held.map(|(mut entry, list)| {
            list.add_by(|entries, id| {
                entry.key.id = id;
                entries.insert(entry);
            })
        });
    }

    /// Removes the entry. To be called before the release, because the thread may want the stripe again as soon as
    /// other threads can take it.
    #[inline]
    pub(crate) fn end(&mut self) {
        if let Some(ticket) = self.0.take() {
            ticket.end();
        }
    }
}

impl Drop for Held {
    #[inline]
    fn drop(&mut self) {
        self.end();
    }
}

/// Panics if a second wait for stripes that are or were held could be a wait for this thread itself.
#[track_caller]
fn check_again(list: &List, set: u64, wanted: Several, own: Option<u64>) {
    if let Some(first) = wanted.stripes.first() {
        SetId(set).check_in(list, first, own, || wanted);
    }
}

/// A guard that is temporarily removed from its list.
pub(crate) struct Suspended(Option<(Entry, &'static List)>);

impl Suspended {
    /// Panics if a wait for the stripes could be a wait for this thread itself.
    #[track_caller]
    pub(crate) fn check(&self) {
        if let Some((entry, list)) = &self.0 {
            check_again(list, entry.key.set, entry.to_several(), None);
        }
    }
}
