//! Who holds what (feature `diagnose`): a guard is on record from when it is made until just before it lets go.

#[cfg(feature = "diagnose")]
pub(super) use on::{Record, Registry, Taker, Task};

#[cfg(not(feature = "diagnose"))]
pub(super) use off::{Record, Registry, Taker};

#[cfg(feature = "diagnose")]
mod on {
    use std::collections::BTreeMap;
    use std::task::{Context, Waker};

    use crate::future::sync::Mutex;
    use crate::future::trace::{Moment, Site};
    use crate::future::word::Mode;

    /// A task, or a thread that blocks, by what its wakers point to.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub(in crate::future) struct Task(usize);

    impl Task {
        pub(in crate::future) fn of(waker: &Waker) -> Self {
            Self(waker.data() as usize)
        }
    }

    /// Who takes a lock, and where.
    #[derive(Clone, Copy)]
    pub(in crate::future) struct Taker {
        /// None for a `try_` method, which doesn't see whose task it runs in.
        pub(in crate::future) task: Option<Task>,
        pub(in crate::future) site: Site,
    }

    impl Taker {
        pub(in crate::future) fn polled(cx: &Context<'_>, site: Site) -> Self {
            Self { task: Some(Task::of(cx.waker())), site }
        }

        #[track_caller]
        pub(in crate::future) fn trying() -> Self {
            Self { task: None, site: Site::here() }
        }
    }

    /// A guard.
    pub(in crate::future) struct Holder {
        pub(in crate::future) taker: Taker,
        pub(in crate::future) since: Moment,
        pub(in crate::future) stripes: Vec<(usize, Mode)>,
    }

    #[derive(Default)]
    struct Holders {
        next: u64,
        by_id: BTreeMap<u64, Holder>,
    }

    /// The guards of a set.
    pub(in crate::future) struct Registry(Mutex<Holders>);

    impl Registry {
        pub(in crate::future) fn new() -> Self {
            Self(Mutex::new(Holders::default()))
        }

        pub(in crate::future) fn note(
            &self,
            taker: Taker,
            stripes: impl Iterator<Item = (usize, Mode)>,
        ) -> Record {
            let holder = Holder { taker, since: Moment::now(), stripes: stripes.collect() };
            let mut holders = self.0.lock();
            let id = holders.next;
            holders.next += 1;
            holders.by_id.insert(id, holder);
            Record(id)
        }

        pub(in crate::future) fn add(&self, record: &Record, stripe: usize, mode: Mode) {
            if let Some(holder) = self.0.lock().by_id.get_mut(&record.0) {
                holder.stripes.push((stripe, mode));
            }
        }

        /// To be called before the release: as soon as others can take the stripe, they are on record.
        pub(in crate::future) fn end(&self, record: &Record) {
            self.0.lock().by_id.remove(&record.0);
        }

        /// Where somebody who holds this stripe has asked for it.
        #[cfg(feature = "tracing")]
        pub(in crate::future) fn holder_of(&self, stripe: usize) -> Option<Site> {
            let holders = self.0.lock();
            let holder =
                holders.by_id.values().find(|holder| holder.stripes.iter().any(|held| held.0 == stripe));
            holder.map(|holder| holder.taker.site)
        }

        pub(in crate::future) fn each(&self, mut see: impl FnMut(&Holder)) {
            self.0.lock().by_id.values().for_each(&mut see);
        }
    }

    /// Stands for a guard in the registry.
    pub(in crate::future) struct Record(u64);
}

#[cfg(not(feature = "diagnose"))]
#[allow(clippy::unused_self, reason = "the same face as `on`")]
mod off {
    use std::task::Context;

    use crate::future::trace::Site;
    use crate::future::word::Mode;

    #[derive(Clone, Copy)]
    pub(in crate::future) struct Taker;

    impl Taker {
        #[inline]
        pub(in crate::future) fn polled(_cx: &Context<'_>, _site: Site) -> Self {
            Self
        }

        #[inline]
        pub(in crate::future) fn trying() -> Self {
            Self
        }
    }

    pub(in crate::future) struct Registry;

    impl Registry {
        pub(in crate::future) fn new() -> Self {
            Self
        }

        #[inline]
        pub(in crate::future) fn note(
            &self,
            _taker: Taker,
            _stripes: impl Iterator<Item = (usize, Mode)>,
        ) -> Record {
            Record
        }

        #[inline]
        pub(in crate::future) fn add(&self, _record: &Record, _stripe: usize, _mode: Mode) {}

        #[inline]
        pub(in crate::future) fn end(&self, _record: &Record) {}

        #[cfg(feature = "tracing")]
        pub(in crate::future) fn holder_of(&self, _stripe: usize) -> Option<Site> {
            None
        }
    }

    pub(in crate::future) struct Record;
}
