//! Holders, waiters and cycles of waiters of exact locks (feature `diagnose`).
//!
//! For [`cycles`](super::super::diagnosis), each holder of a key shares [`Resource::EveryKey`], which `lock_all` wants alone. A waiter for a
//! key that is behind a `lock_all` waits for that, and not for its key.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

use super::super::diagnosis::{By, Claim, Collector, Diagnosis, Edge, KeyId, Resource};
use super::set::{Buckets, Face, Keyed, KeyedSet};
use super::tags::Tag;

/// The ranks of waiters for every key: before and behind those that wait for keys.
const FIRST: u8 = 0;
const NEWCOMER: u8 = 1;
const LAST: u8 = 2;

impl<K: ?Sized, S, F: Face> Keyed<K, S, F> {
    /// All holders and waiters with their ages and call sites, and all cycles of waiters (feature `diagnose`).
    ///
    /// Keys are shown as their [`key_id`](Self::key_id). Each bucket is locked for as long as it takes to list its waiters.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock::asynchronous::{Resource, Standing};
    ///
    /// let accounts = stripe_lock::KeyedMutex::<str>::new();
    /// let guard = accounts.lock("alice");
    /// let diagnosis = accounts.diagnose();
    /// let [claim] = diagnosis.claims() else { panic!("one holder: {diagnosis}") };
    /// assert_eq!(claim.standing, Standing::Holds);
    /// assert_eq!(claim.resource, Resource::Key(accounts.key_id("alice")));
    /// assert!(diagnosis.cycles().is_empty());
    /// println!("{diagnosis}");
    /// ```
    pub fn diagnose(&self) -> Diagnosis {
        Diagnosis::find(|| list(KeyedSet::buckets(self)), false)
    }
}

impl<K: ?Sized, S: BuildHasher, F: Face> Keyed<K, S, F> {
    /// The identity by which [`diagnose`](Self::diagnose) shows a key (feature `diagnose`).
    ///
    /// # Examples
    ///
    /// ```
    /// let accounts = stripe_lock::KeyedMutex::<str>::new();
    /// assert_ne!(accounts.key_id("alice"), accounts.key_id("bob"));
    /// ```
    pub fn key_id<Q>(&self, key: &Q) -> KeyId
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        KeyId(self.tag(key).to_bits())
    }
}

impl Tag {
    fn resource(self) -> Resource {
        if self == Self::EVERY { Resource::EveryKey } else { Resource::Key(KeyId(self.to_bits())) }
    }
}

fn list(buckets: &Buckets) -> Vec<Claim> {
    let mut collector = Collector::default();
    buckets.monitor.0.each(|id, holder| {
        let by = By::holder(id, holder);
        for resource in holder.held.iter().map(|tag| tag.resource()) {
            collector.add(resource, true, Edge { queue: resource, exclusive: true, rank: 0 }, by);
            if resource != Resource::EveryKey {
                let shares = Edge { queue: Resource::EveryKey, exclusive: false, rank: 0 };
                collector.add(resource, true, shares, by);
            }
        }
    });
    for bucket in buckets.each() {
        bucket.each_waiter(|tag, behind_every, every_is_held, node, fields| {
            let resource = tag.resource();
            let edge = match (resource, behind_every) {
                (Resource::EveryKey, _) => {
                    let rank = if every_is_held { LAST } else { FIRST };
                    Edge { queue: resource, exclusive: true, rank }
                }
                (_, true) => Edge { queue: Resource::EveryKey, exclusive: false, rank: NEWCOMER },
                (_, false) => Edge { queue: resource, exclusive: true, rank: 0 },
            };
            collector.add(resource, true, edge, By::waiter(node, &fields.note));
        });
    }
    collector.sorted()
}
