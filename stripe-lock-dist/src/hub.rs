//! The part that the tasks of this process share. A task first waits for the other tasks of its process, and tasks hand
//! a grant of the engine to each other.

use std::sync::Arc;
use std::time::Duration;

use stripe_lock::AsyncStripedMutex;
use stripe_lock::asynchronous::{OwnedAsyncMutexGuard, within};
use tokio::sync::watch;

use crate::engine::TURNS;
use crate::error::Error;
use crate::guard::DistributedGuard;
use crate::key::{Hashed, Key, PassThrough};
use crate::worker::{Busy, Grant, Worker};

type Locals = AsyncStripedMutex<Hashed, Option<Kept>, PassThrough>;
type Local = OwnedAsyncMutexGuard<Hashed, Option<Kept>, PassThrough>;

/// A grant that the last holder of the local stripe leaves to the next one.
struct Kept {
    grant: Grant,
    turn: u32,
}

/// What all handles and guards of a namespace share.
pub(crate) struct Hub {
    worker: Arc<Worker>,
    locals: Arc<Locals>,
    seed: [u8; 16],
    /// For how long the tasks of the process hand a grant to each other.
    keep_for: Duration,
    busy: Busy,
    ended: watch::Receiver<()>,
}

/// What a guard holds: the grant, and the local stripes.
pub(crate) struct Held {
    pub(crate) hub: Arc<Hub>,
    pub(crate) grant: Grant,
    /// How often the grant has been handed over.
    pub(crate) turn: u32,
    locals: Vec<Local>,
    /// The key, if the guard is of a single key. Only then may the stripe be handed over.
    one: Option<Hashed>,
}

impl Hub {
    pub(crate) async fn connect(
        engine: Box<dyn crate::engine::Engine>,
        space: crate::engine::Space,
        keep_for: Duration,
    ) -> Result<Self, Error> {
        let stripes = space.stripes as usize;
        let started = Worker::start(engine, space).await?;
        Ok(Self {
            worker: started.worker,
            locals: Arc::new(Locals::with_hasher(stripes, PassThrough::default())),
            seed: started.seed,
            keep_for,
            busy: started.busy,
            ended: started.ended,
        })
    }

    pub(crate) fn worker(&self) -> &Worker {
        &self.worker
    }

    /// Closed when everything is given back and the thread has ended, which is after `self` is dropped.
    pub(crate) fn ended(&self) -> watch::Receiver<()> {
        self.ended.clone()
    }

    pub(crate) fn hash<Q: Key + ?Sized>(&self, key: &Q) -> Hashed {
        Hashed::of(key, &self.seed)
    }

    pub(crate) fn stripe_of(&self, key: Hashed) -> usize {
        self.locals.stripe_of(&key)
    }

    pub(crate) async fn lock(self: Arc<Self>, key: Hashed) -> Result<DistributedGuard, Error> {
        let local = self.lock_local(key).await;
        let held = self.hold_one(key, local, true).await?;
        // A ticket that waits ends with a grant or an error, so `None` can't occur.
        held.ok_or(Error::Elapsed)
    }

    pub(crate) async fn try_lock(self: Arc<Self>, key: Hashed) -> Result<Option<DistributedGuard>, Error> {
        match self.locals.try_lock_owned(&key) {
            Some(local) => self.hold_one(key, local, false).await,
            None => Ok(None),
        }
    }

    pub(crate) async fn lock_many(self: Arc<Self>, mut keys: Vec<Hashed>) -> Result<DistributedGuard, Error> {
        keys.sort_by_key(|key| self.stripe_of(*key));
        keys.dedup_by_key(|key| self.stripe_of(*key));
        match keys[..] {
            [] => return Err(Error::Refused("no key was named".into())),
            [key] => return self.lock(key).await,
            _ => {}
        }
        let mut locals = Vec::with_capacity(keys.len());
        for key in &keys {
            let mut local = self.lock_local(*key).await;
            // While this waits for other local stripes, it holds nothing in the engine. Otherwise processes could
            // deadlock.
            drop(local.take());
            locals.push(local);
        }
        let stripes = keys.iter().map(|key| self.number(*key)).collect();
        let grant = self.worker.take(stripes, true, &self.busy).await?.ok_or(Error::Elapsed)?;
        Ok(DistributedGuard::new(Held { hub: self, grant, turn: 0, locals, one: None }))
    }

    pub(crate) async fn in_time<T>(
        &self,
        time: Duration,
        lock: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        within(lock, self.worker.sleep(time)).await.unwrap_or(Err(Error::Elapsed))
    }

    /// The stripe of `key` as engines number it.
    fn number(&self, key: Hashed) -> i32 {
        i32::try_from(self.stripe_of(key)).expect("there are at most 65,536 stripes")
    }

    async fn lock_local(&self, key: Hashed) -> Local {
        // If this wait is cancelled, the stripe may keep a grant that no task waits for.
        struct Cancelled<'a>(&'a Hub, Option<Hashed>);
        impl Drop for Cancelled<'_> {
            fn drop(&mut self) {
                if let Some(key) = self.1 {
                    self.0.give_back_unwanted(key);
                }
            }
        }
        let mut cancelled = Cancelled(self, Some(key));
        let local = self.locals.lock_owned(&key).await;
        cancelled.1 = None;
        local
    }

    /// Takes over the grant that was left in the local stripe, or asks the engine for a new one.
    async fn hold_one(
        self: Arc<Self>,
        key: Hashed,
        mut local: Local,
        wait: bool,
    ) -> Result<Option<DistributedGuard>, Error> {
        let kept = local.take().filter(|kept| kept.grant.lease().is_held());
        let (grant, turn) = match kept {
            Some(Kept { grant, turn }) => (grant, turn),
            None => match self.worker.take([self.number(key)].into(), wait, &self.busy).await? {
                Some(grant) => (grant, 0),
                None => return Ok(None),
            },
        };
        Ok(Some(DistributedGuard::new(Held { hub: self, grant, turn, locals: vec![local], one: Some(key) })))
    }

    /// Gives the grant that was left in a stripe back to the engine, if no task holds the stripe or waits for it.
    ///
    /// A task that leaves a grant in a stripe calls this after it has released the stripe. A task that gives up waiting
    /// calls this after it has left the queue. If both happen at the same time, the later of the two calls finds the
    /// grant.
    fn give_back_unwanted(&self, key: Hashed) {
        if self.locals.waiters(&key) > 0 {
            return;
        }
        drop(self.locals.try_lock_owned(&key).and_then(|mut local| local.take()));
    }
}

impl Held {
    /// Releases everything, and returns whether it was still held. If the future is dropped, that happens in the
    /// background.
    pub(crate) async fn release(self) -> bool {
        let Some((grant, locals)) = self.hand_over() else { return true };
        let held = grant.give_back().await;
        drop(locals);
        held
    }

    /// Releases everything in the background.
    pub(crate) fn drop(self) {
        drop(self.hand_over());
    }

    /// Leaves the grant to the next task of this process, or returns what has to be released.
    fn hand_over(self) -> Option<(Grant, Vec<Local>)> {
        let Self { hub, grant, turn, mut locals, one } = self;
        let wanted = |key: &Hashed| {
            turn + 1 < TURNS
                && grant.since.elapsed() < hub.keep_for
                && grant.lease().is_held()
                && hub.locals.waiters(key) > 0
        };
        let Some(key) = one.filter(wanted) else { return Some((grant, locals)) };
        *locals[0] = Some(Kept { grant, turn: turn + 1 });
        drop(locals);
        hub.give_back_unwanted(key);
        None
    }
}
