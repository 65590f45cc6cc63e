//! The record of held stripes.

use std::format;
use std::panic::Location;
use std::string::String;
use std::sync::atomic::Ordering::Relaxed;

use super::list::{Accesses, Entries, Entry, List, Several, mine};
use super::lone::OneStripe;
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

#[inline]
#[track_caller]
fn panic_with(complaint: Option<String>) {
    if let Some(complaint) = complaint {
        panic!("{complaint}");
    }
}

impl SetId {
    /// Whether a wait is checked.
    pub(crate) const CHECKS: bool = true;

    pub(crate) fn new<L: RawLock>() -> Self {
        Self(2 * NEXT.fetch_add(1, Relaxed) + u64::from(L::REENTRANT))
    }

    fn is_reentrant(self) -> bool {
        self.0 % 2 == 1
    }

    /// Panics if a wait for `wanted`, whose lowest stripe is `first`, could be a wait for this thread itself.
    #[inline]
    #[track_caller]
    fn check_in(self, list: &List, first: usize, own: Option<u64>, wanted: impl FnOnce() -> Several) {
        if list.is_empty() {
            return;
        }
        let here = Location::caller();
        let complaint = list.with(own, |entries| {
            let mut reaching = entries.reaching(self.0, first);
            if reaching.any(|entry| Some(entry.key.id) != own) {
                complaint(entries, self, &wanted(), own, here)
            } else {
                None
            }
        });
        panic_with(complaint);
    }

    #[track_caller]
    fn check_several<L>(self, wanted: &StripeSet, holding: &impl Holding<L>, own: Option<u64>) {
        if let (Some(first), Some(list)) = (wanted.first(), mine()) {
            let several = || Several { stripes: wanted.clone(), accesses: Accesses::of(holding) };
            self.check_in(list, first, own, several);
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
        self.check_several(wanted, holding, released.0.map(|(_, id)| id));
    }

    #[inline]
    #[track_caller]
    pub(crate) fn check_one(self, stripe: impl FnOnce() -> usize, of: usize, access: Access) {
        if let Some(list) = mine() {
            let stripe = stripe();
            self.check_in(list, stripe, None, || Several::one(stripe, of, access));
        }
    }

    /// The place in the program at which a holder of this stripe took it.
    #[cfg(feature = "tracing")]
    pub(crate) fn holder_of(self, stripe: usize) -> Option<&'static Location<'static>> {
        super::list::find_in_any(|entries| {
            let mut reaching = entries.reaching(self.0, stripe);
            reaching.find(|entry| entry.access(stripe).is_some()).map(|entry| entry.at)
        })
    }

    /// Records that this thread holds `stripes`, until the record is dropped.
    #[track_caller]
    pub(crate) fn record<L>(self, stripes: &StripeSet, holding: &impl Holding<L>) -> Held {
        let Some(list) = mine() else { return Held::none() };
        let at = Location::caller();
        let id = if let (Some(bits), None) = (stripes.bits(), holding.writes()) {
            let access = holding.access(0);
            list.with(None, |entries| entries.add_word(self.0, bits, access, at))
        } else {
            let several = Several { stripes: stripes.clone(), accesses: Accesses::of(holding) };
            list.with(None, |entries| entries.add_several(self.0, several, at))
        };
        Held(Some((list, id)))
    }

    #[inline]
    #[track_caller]
    pub(crate) fn record_one(self, stripe: usize, of: usize, access: Access) -> Held {
        let Some(list) = mine() else { return Held::none() };
        let guard = OneStripe { set: self.0, stripe, of, access, at: Location::caller() };
        // SAFETY: `mine` is the list of this thread.
        let id = unsafe { list.add_one(guard) };
        Held(Some((list, id)))
    }
}

/// The entry of one guard in a list.
#[derive(Debug)]
pub(crate) struct Held(Option<(&'static List, u64)>);

impl Held {
    /// An entry of no guard.
    #[inline]
    pub(crate) fn none() -> Self {
        Self(None)
    }

    fn change(&mut self, change: impl FnOnce(&mut Several)) {
        let Some((list, id)) = self.0 else { return };
        list.with(Some(id), |entries| {
            if let Some(mut entry) = entries.remove(id) {
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
        if let Some((list, id)) = self.0 {
            list.with(Some(id), |entries| entries.get_mut(id).map_or((), |entry| entry.set_access(access)));
        }
        self
    }

    /// Panics if a wait for these stripes, in this mode, could be a wait for this thread itself.
    #[track_caller]
    pub(crate) fn check_again(&self, access: Access) {
        let Some((list, id)) = self.0 else { return };
        let own =
            list.with(Some(id), |entries| entries.get(id).map(|entry| (entry.key.set, entry.to_several())));
        if let Some((set, own)) = own {
            check_again(list, set, Several { accesses: Accesses::All(access), ..own }, Some(id));
        }
    }

    /// Removes the guard from the record while its stripes are released. [`resume`](Self::resume) adds it again.
    pub(crate) fn suspend(&mut self) -> Suspended {
        let held = self.0.take();
        Suspended(
            held.and_then(|(list, id)| Some((list.with(Some(id), |entries| entries.remove(id))?, list))),
        )
    }

    /// Adds the guard to the record again, once its stripes are held again.
    pub(crate) fn resume(&mut self, Suspended(held): Suspended) {
        self.0 = held.map(|(mut entry, list)| {
            let id = list.with(None, |entries| {
                let id = entries.new_id();
                entry.key.id = id;
                entries.insert(entry);
                id
            });
            (list, id)
        });
    }

    /// Removes the entry. To be called before the release, because the thread may want the stripe again as soon as
    /// other threads can take it.
    #[inline]
    pub(crate) fn end(&mut self) {
        if let Some((list, id)) = self.0.take() {
            list.end(id);
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
#[derive(Debug)]
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
