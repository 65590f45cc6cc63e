//! A client of a namespace. Its lease is a lease of etcd, and its tickets are keys with this lease.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etcd_client::{
    Compare, CompareOp, GetOptions, KeyValue, PutOptions, SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse,
    TxnResponse,
};

use super::Etcd;
use super::link::{Failure, Link};
use super::names::Names;
use super::watches::Watches;
use crate::engine::{Answer, Client, Joined, Space, TURNS, Taken, Wake};
use crate::error::Error;

/// The longest that a call may take before the next member is tried.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct EtcdClient {
    names: Names,
    lease: i64,
    ttl: Duration,
    link: Arc<Link>,
    watches: Watches,
    tickets: Mutex<HashMap<i64, Ticket>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Standing {
    #[default]
    Unknown,
    /// It watches the deletion of a key.
    Waits,
    Granted,
}

/// What is known about a ticket.
#[derive(Clone, Copy, Default)]
struct Ticket {
    /// The revision at which its keys were created. Queues are in the order of these revisions.
    turn: Option<i64>,
    standing: Standing,
    /// Whether a call that failed or was dropped may still put the keys.
    may_appear: bool,
    /// Whether a call failed that may have deleted the keys.
    may_be_back: bool,
}

impl EtcdClient {
    pub(super) async fn join(engine: Etcd, space: &Space, wake: Wake) -> Result<Joined, Error> {
        let link = Arc::new(Link::new(engine, space.ttl));
        let patience = patience(space.ttl);
        let mut lease = Err(Failure::Other(Error::Refused("no address of a member was named".into())));
        for _ in 0..link.members() {
            lease = grant(&link, space.ttl).await;
            if !matches!(lease, Err(Failure::Other(Error::Unreachable(_)))) {
                break;
            }
        }
        let lease = lease.map_err(Failure::error)?;
        let names = Names::new(&space.name);
        let agreed = agree(&link, &names, space).await;
        let seed = match agreed {
            Ok(seed) => seed,
            Err(error) => {
                // If it fails, the lease expires by itself.
                let _ = link.call(patience, async |mut client| client.lease_revoke(lease).await).await;
                return Err(error);
            }
        };
        let watches = Watches::new(link.clone(), patience, wake);
        let client = Self { names, lease, ttl: space.ttl, link, watches, tickets: Mutex::default() };
        Ok(Joined { seed, client: Box::new(client) })
    }

    fn tickets(&self) -> MutexGuard<'_, HashMap<i64, Ticket>> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, ticket: i64, change: impl FnOnce(&mut Ticket)) {
        if let Some(ticket) = self.tickets().get_mut(&ticket) {
            change(ticket);
        }
    }

    async fn transact(&self, txn: Txn) -> Result<(TxnResponse, i64), Failure> {
        self.link.transact(patience(self.ttl), txn).await
    }

    /// Puts the keys of a ticket into all its queues, unless they are there. Without `wait`, only if these are empty.
    async fn enter(&self, ticket: i64, stripes: &[i32], wait: bool) -> Result<Taken, Failure> {
        let own = |stripe| self.names.ticket(stripe, self.lease, ticket);
        let absent = |key| Compare::create_revision(key, CompareOp::Equal, 0);
        let mut when = vec![absent(self.names.tombstone(self.lease, ticket))];
        if wait {
            when.push(absent(own(stripes[0])));
        } else {
            when.extend(stripes.iter().map(|stripe| absent(self.names.queue(*stripe)).with_prefix()));
        }
        let mut then = Vec::with_capacity(2 * stripes.len());
        for stripe in stripes {
            then.push(TxnOp::put(own(*stripe), "", Some(PutOptions::new().with_lease(self.lease))));
            if wait {
                // The last two keys of the queue: the own one, and the one ahead of it.
                then.push(TxnOp::get(self.names.queue(*stripe), Some(last().with_limit(2))));
            }
        }
        let otherwise = [TxnOp::get(own(stripes[0]), Some(GetOptions::new().with_keys_only()))];
        let txn = Txn::new().when(when).and_then(then).or_else(otherwise);
        let (answer, revision) = self.transact(txn).await?;
        let mut found = found(answer.op_responses());
        if answer.succeeded() {
            found.retain(|key| key.create_revision() != revision);
            return Ok(self.place(ticket, revision, &found, revision));
        }
        match found.first() {
            // A call before this one has put the keys, and its answer was lost.
            Some(own) => self.look(ticket, own.create_revision(), stripes).await,
            None => Ok(Taken::Busy),
        }
    }

    /// Looks who is ahead of a ticket.
    async fn look(&self, ticket: i64, turn: i64, stripes: &[i32]) -> Result<Taken, Failure> {
        let own = self.names.ticket(stripes[0], self.lease, ticket);
        let mut reads = vec![TxnOp::get(own, Some(GetOptions::new().with_keys_only()))];
        let ahead = last().with_limit(1).with_max_create_revision(turn - 1);
        reads.extend(stripes.iter().map(|stripe| TxnOp::get(self.names.queue(*stripe), Some(ahead.clone()))));
        let (answer, revision) = self.transact(Txn::new().and_then(reads)).await?;
        let mut found = found(answer.op_responses());
        let own = found.iter().position(|key| key.create_revision() == turn);
        // The keys disappear together with the lease.
        let Some(own) = own else { return Ok(Taken::Dead) };
        found.swap_remove(own);
        Ok(self.place(ticket, turn, &found, revision))
    }

    /// Decides about a ticket whose keys exist. `ahead` are the keys ahead of it, as of `revision`.
    fn place(&self, ticket: i64, turn: i64, ahead: &[KeyValue], revision: i64) -> Taken {
        let next = ahead.iter().max_by_key(|key| key.create_revision());
        let now = if next.is_some() { Standing::Waits } else { Standing::Granted };
        let mut before = Standing::Unknown;
        self.change(ticket, |ticket| {
            ticket.turn = Some(turn);
            before = std::mem::replace(&mut ticket.standing, now);
        });
        match next {
            None => {
                // To tell the task of the watches costs a change of threads.
                if before == Standing::Waits {
                    self.watches.forget(ticket);
                }
                Taken::Granted(turn.saturating_mul(i64::from(TURNS)))
            }
            Some(next) => {
                let key = String::from_utf8_lossy(next.key()).into_owned();
                self.watches.on(ticket, key, revision + 1);
                // In case that a watch hears nothing.
                Taken::Queued(self.ttl / 3)
            }
        }
    }

    async fn take_once(&self, ticket: i64, stripes: &[i32], wait: bool) -> Result<Taken, Failure> {
        let before = *self.tickets().entry(ticket).or_default();
        let taken = if let Some(turn) = before.turn {
            self.look(ticket, turn, stripes).await
        } else {
            // If this future is dropped, nobody learns whether the keys were put.
            self.change(ticket, |ticket| ticket.may_appear = true);
            self.enter(ticket, stripes, wait).await
        };
        match &taken {
            Err(Failure::Other(Error::Unreachable(_))) => {}
            Ok(Taken::Granted(_) | Taken::Queued(_)) => {
                self.change(ticket, |ticket| ticket.may_appear = before.may_appear);
            }
            // The keys do not exist, and no call will put them.
            _ => drop(self.tickets().remove(&ticket)),
        }
        taken
    }
}

impl Client for EtcdClient {
    fn renew(&self) -> Answer<'_, bool> {
        Box::pin(async {
            // A stream of its own for each renewal has nothing to repair after a failure.
            let renew = async |mut client: etcd_client::Client| client.lease_keep_alive(self.lease).await;
            match self.link.call(patience(self.ttl), renew).await {
                Ok(_) => Ok(true),
                Err(Failure::NoLease) => Ok(false),
                Err(Failure::Other(error)) => Err(error),
            }
        })
    }

    fn take<'a>(&'a self, ticket: i64, stripes: &'a [i32], wait: bool) -> Answer<'a, Taken> {
        Box::pin(async move {
            if stripes.len() > Etcd::MOST_STRIPES {
                return Err(Error::TooManyStripes { stripes: stripes.len(), most: Etcd::MOST_STRIPES });
            }
            let mut taken = self.take_once(ticket, stripes, wait).await;
            for _ in 1..self.link.members() {
                if !matches!(taken, Err(Failure::Other(Error::Unreachable(_)))) {
                    break;
                }
                taken = self.take_once(ticket, stripes, wait).await;
            }
            match taken {
                Err(Failure::NoLease) => Ok(Taken::Dead),
                taken => taken.map_err(Failure::error),
            }
        })
    }

    fn give_back<'a>(&'a self, ticket: i64, stripes: &'a [i32]) -> Answer<'a, bool> {
        Box::pin(async move {
            // A ticket that is not known has no keys, and will have none.
            let Some(known) = self.tickets().get(&ticket).copied() else { return Ok(false) };
            if known.standing == Standing::Waits {
                self.watches.forget(ticket);
            }
            let own = |stripe: &i32| TxnOp::delete(self.names.ticket(*stripe, self.lease, ticket), None);
            let mut then: Vec<_> = stripes.iter().map(own).collect();
            if known.may_appear || known.may_be_back {
                let lease = Some(PutOptions::new().with_lease(self.lease));
                then.push(TxnOp::put(self.names.tombstone(self.lease, ticket), "", lease));
            }
            match self.transact(Txn::new().and_then(then)).await {
                Ok((answer, _)) => {
                    self.tickets().remove(&ticket);
                    let deleted = answer.op_responses().iter().all(|answer| match answer {
                        TxnOpResponse::Delete(answer) => answer.deleted() == 1,
                        _ => true,
                    });
                    // If an earlier call deleted the keys, the lease with which the tombstone was put proves that they
                    // were held until then.
                    Ok(known.standing == Standing::Granted && (deleted || known.may_be_back))
                }
                Err(Failure::NoLease) => {
                    self.tickets().remove(&ticket);
                    Ok(false)
                }
                Err(Failure::Other(error)) => {
                    self.change(ticket, |ticket| ticket.may_be_back = true);
                    Err(error)
                }
            }
        })
    }

    fn leave(&self) -> Answer<'_, ()> {
        Box::pin(async {
            let revoke = async |mut client: etcd_client::Client| client.lease_revoke(self.lease).await;
            match self.link.call(patience(self.ttl), revoke).await {
                Ok(_) | Err(Failure::NoLease) => Ok(()),
                Err(Failure::Other(error)) => Err(error),
            }
        })
    }
}

/// With a dead member among the endpoints, a renewal that is due after a third of the TTL must still reach another one.
fn patience(ttl: Duration) -> Duration {
    (ttl / 5).min(PATIENCE)
}

/// Options for reading the last keys of a queue.
fn last() -> GetOptions {
    GetOptions::new().with_prefix().with_sort(SortTarget::Create, SortOrder::Descend).with_keys_only()
}

fn found(answers: Vec<TxnOpResponse>) -> Vec<KeyValue> {
    let keys = |answer| match answer {
        TxnOpResponse::Get(mut answer) => answer.take_kvs(),
        _ => Vec::new(),
    };
    answers.into_iter().flat_map(keys).collect()
}

/// Grants a lease that lasts for at least `ttl`.
async fn grant(link: &Link, ttl: Duration) -> Result<i64, Failure> {
    // etcd counts in seconds.
    let seconds = i64::try_from(ttl.as_millis().div_ceil(1000)).unwrap_or(i64::MAX);
    let grant = async |mut client: etcd_client::Client| client.lease_grant(seconds, None).await;
    let lease = link.call(patience(ttl), grant).await?;
    if lease.ttl() < seconds {
        let why = format!("the server grants {} seconds, not {seconds}", lease.ttl());
        return Err(Failure::Other(Error::Refused(why)));
    }
    Ok(lease.id())
}

/// Returns the seed of the namespace. Creates the namespace if there is none.
async fn agree(link: &Link, names: &Names, space: &Space) -> Result<[u8; 16], Error> {
    let random = RandomState::new();
    let seed = format!("{:016x}{:016x}", random.hash_one(0), random.hash_one(1));
    let ours = format!("{} {}", space.stripes, space.hash);
    let key = names.space();
    let txn = Txn::new()
        .when([Compare::create_revision(key.clone(), CompareOp::Equal, 0)])
        .and_then([TxnOp::put(key.clone(), format!("{seed} {ours}"), None)])
        .or_else([TxnOp::get(key, None)]);
    let (answer, _) = link.transact(patience(space.ttl), txn).await.map_err(Failure::error)?;
    let there = found(answer.op_responses()).first().map(|there| there.value().to_vec());
    let there = there.map_or(Ok(format!("{seed} {ours}")), String::from_utf8);
    let there = there.unwrap_or_default();
    let (seed, theirs) = there.split_once(' ').unwrap_or_default();
    if theirs != ours {
        let [theirs, ours] = [theirs, &ours].map(|of| of.split_once(' ').unwrap_or_default());
        return Err(Error::Refused(format!(
            "the namespace {:?} has {} stripes and the hash {:?}, not {} and {:?}",
            space.name, theirs.0, theirs.1, ours.0, ours.1
        )));
    }
    let seed = u128::from_str_radix(seed, 16).map(u128::to_be_bytes);
    seed.map_err(|_| Error::Refused("the namespace has a seed of another form".into()))
}
