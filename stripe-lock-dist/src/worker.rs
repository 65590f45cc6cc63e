//! The part that calls the engine. It joins, renews, takes tickets and gives them back, on a thread of its own.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::clock;
use crate::engine::{Client, Engine, Joined, Space, Taken, Woken};
use crate::error::Error;
use crate::lease::Lease;
use crate::runtime::is_parallel;

/// An incarnation of this process in the engine.
pub(crate) struct Member {
    client: Box<dyn Client>,
    pub(crate) lease: Lease,
}

/// Whether this process has joined the engine.
enum Standing {
    Away,
    Joined(Arc<Member>),
    Refused(String),
}

/// A ticket that the engine may know.
#[derive(Clone)]
struct Ticket {
    worker: Arc<Worker>,
    member: Arc<Member>,
    name: i64,
    stripes: Arc<[i32]>,
    _busy: Busy,
}

/// A ticket that holds, or wants to hold, stripes. When this is dropped, the ticket is given back.
pub(crate) struct Grant {
    ticket: Ticket,
    /// The first of its fences.
    pub(crate) fence: i64,
    pub(crate) since: Instant,
    is_owed: bool,
}

/// Everything that still needs the thread has a clone of this. The thread ends when all clones are dropped.
pub(crate) type Busy = mpsc::Sender<Infallible>;

pub(crate) struct Worker {
    engine: Box<dyn Engine>,
    pub(crate) space: Space,
    runtime: Handle,
    standing: watch::Sender<Standing>,
    /// How to wake each ticket that may be in a queue.
    waiting: Mutex<HashMap<i64, Arc<Bell>>>,
    /// The name of the next ticket. Names are never used again, so a call that arrives late affects no other ticket.
    next_ticket: AtomicI64,
}

/// The result of starting the thread.
pub(crate) struct Started {
    pub(crate) worker: Arc<Worker>,
    pub(crate) seed: [u8; 16],
    pub(crate) busy: Busy,
    /// Closed when the thread has ended.
    pub(crate) ended: watch::Receiver<()>,
}

impl Worker {
    /// Starts the thread and joins the namespace.
    pub(crate) async fn start(engine: Box<dyn Engine>, space: Space) -> Result<Started, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Error::unreachable)?;
        let worker = Arc::new(Self {
            engine,
            space,
            runtime: runtime.handle().clone(),
            standing: watch::Sender::new(Standing::Away),
            waiting: Mutex::default(),
            next_ticket: AtomicI64::new(1),
        });
        let (busy, mut idle) = mpsc::channel(1);
        let (first, joined) = oneshot::channel();
        let (end, ended) = watch::channel(());
        let running = worker.clone();
        let run = move || {
            let _end = end;
            runtime.block_on(async {
                tokio::select! {
                    () = running.keep_joined(first) => {}
                    _ = idle.recv() => running.leave().await,
                }
            });
        };
        std::thread::Builder::new().name("stripe-lock-dist".into()).spawn(run).map_err(Error::unreachable)?;
        let seed =
            joined.await.unwrap_or_else(|_| Err(Error::unreachable("the thread of the locks has ended")))?;
        Ok(Started { worker, seed, busy, ended })
    }

    /// Joins again whenever the lease is lost. Ends if the first attempt fails.
    async fn keep_joined(self: &Arc<Self>, first: oneshot::Sender<Result<[u8; 16], Error>>) {
        let (seed, mut member) = match self.join().await {
            Ok(joined) => joined,
            Err(error) => {
                let _ = first.send(Err(error));
                return;
            }
        };
        let _ = first.send(Ok(seed));
        loop {
            self.standing.send_replace(Standing::Joined(member.clone()));
            tokio::select! {
                () = self.renew(&member) => {}
                () = member.lease.lost() => {}
                () = self.watch(&member.lease) => {}
            }
            member.lease.lose();
            self.standing.send_replace(Standing::Away);
            member = loop {
                match self.join().await {
                    Ok((again, member)) if again == seed => break member,
                    Ok(_) => {
                        let why = "the namespace was deleted and created anew";
                        self.standing.send_replace(Standing::Refused(why.into()));
                    }
                    Err(Error::Refused(why)) => drop(self.standing.send_replace(Standing::Refused(why))),
                    Err(_) => drop(self.standing.send_replace(Standing::Away)),
                }
                sleep(self.retry()).await;
            };
        }
    }

    async fn join(self: &Arc<Self>) -> Result<([u8; 16], Arc<Member>), Error> {
        let worker = Arc::downgrade(self);
        let wake = move |whom| {
            if let Some(worker) = worker.upgrade() {
                worker.wake(whom);
            }
        };
        let sent = clock::now();
        let Joined { seed, client } = self.engine.join(&self.space, Arc::new(wake)).await?;
        Ok((seed, Arc::new(Member { client, lease: Lease::new(sent, self.space.ttl) })))
    }

    /// Renews the lease each third of the TTL, until it is gone.
    async fn renew(&self, member: &Member) {
        loop {
            sleep(self.space.ttl / 3).await;
            loop {
                let sent = clock::now();
                match member.client.renew().await {
                    Ok(true) if member.lease.renewed(sent, self.space.ttl) => break,
                    Ok(_) => return,
                    Err(_) => sleep(self.retry()).await,
                }
            }
        }
    }

    /// Ends when the lease is lost. Sleeps in short steps, since timers of the runtime do not count suspension.
    async fn watch(&self, lease: &Lease) {
        while lease.is_held() {
            sleep(lease.left().min(self.space.ttl / 10)).await;
        }
    }

    /// Ends the lease. Called when nothing is held any more.
    async fn leave(&self) {
        let joined = match &*self.standing.borrow() {
            Standing::Joined(member) => Some(member.clone()),
            _ => None,
        };
        if let Some(member) = joined {
            // If it fails, the lease expires by itself.
            let _ = tokio::time::timeout(self.space.ttl, member.client.leave()).await;
        }
    }

    /// How long to wait before a failed call is repeated.
    fn retry(&self) -> Duration {
        (self.space.ttl / 30).min(Duration::from_millis(250))
    }

    fn wake(&self, whom: Woken) {
        let waiting = self.waiting();
        match whom {
            Woken::Granted { ticket, fence } => waiting.get(&ticket).into_iter().for_each(|ticket| {
                ticket.fence.store(fence, Ordering::Relaxed);
                ticket.woken.notify_one();
            }),
            Woken::Ticket(ticket) => {
                waiting.get(&ticket).into_iter().for_each(|ticket| ticket.woken.notify_one());
            }
            Woken::All => waiting.values().for_each(|ticket| ticket.woken.notify_one()),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<i64, Arc<Bell>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a call for the current task. In a runtime with several threads, the task itself makes it, over a connection
    /// that the same runtime drives, so that no call waits until another thread has woken up. Otherwise the thread of the
    /// locks makes it. If this future is dropped, so is `call`.
    async fn call<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Error> {
        struct Abort<T>(JoinHandle<T>);
        impl<T> Drop for Abort<T> {
            fn drop(&mut self) {
                self.0.abort();
            }
        }
        if Handle::try_current().is_ok_and(|current| is_parallel(&current)) {
            return Ok(call.await);
        }
        let mut task = Abort(self.runtime.spawn(call));
        (&mut task.0).await.map_err(Error::unreachable)
    }

    /// Takes a ticket for `stripes`, which are in ascending order. Returns `None` if the ticket would have to wait and
    /// `wait` is not set.
    pub(crate) async fn take(
        self: &Arc<Self>,
        stripes: Arc<[i32]>,
        wait: bool,
        busy: &Busy,
    ) -> Result<Option<Grant>, Error> {
        let (worker, busy) = (self.clone(), busy.clone());
        self.call(async move { worker.obtain(stripes, wait, busy).await }).await?
    }

    async fn obtain(
        self: &Arc<Self>,
        stripes: Arc<[i32]>,
        wait: bool,
        busy: Busy,
    ) -> Result<Option<Grant>, Error> {
        loop {
            let member = self.member(wait).await?;
            let name = self.next_ticket.fetch_add(1, Ordering::Relaxed);
            let waiting = Waiting { worker: self, ticket: name, bell: Arc::default() };
            self.waiting().insert(name, waiting.bell.clone());
            let ticket = Ticket {
                worker: self.clone(),
                member: member.clone(),
                name,
                stripes: stripes.clone(),
                _busy: busy.clone(),
            };
            let mut grant = Grant { ticket, fence: 0, since: Instant::now(), is_owed: true };
            loop {
                let taken = match waiting.bell.fence.load(Ordering::Relaxed) {
                    0 => member.client.take(name, &stripes, wait).await,
                    fence => Ok(Taken::Granted(fence)),
                };
                let pause = match taken {
                    Ok(Taken::Granted(_)) if !member.lease.is_held() => break,
                    Ok(Taken::Granted(fence)) => {
                        (grant.fence, grant.since) = (fence, Instant::now());
                        return Ok(Some(grant));
                    }
                    Ok(Taken::Busy) => {
                        grant.is_owed = false;
                        return Ok(None);
                    }
                    Ok(Taken::Dead) => {
                        member.lease.lose();
                        break;
                    }
                    Ok(Taken::Queued(again)) => again.max(Duration::from_millis(1)),
                    Err(Error::Unreachable(_)) if wait => self.retry(),
                    // The call may have taken effect nevertheless.
                    Err(error) => return Err(error),
                };
                tokio::select! {
                    () = waiting.bell.woken.notified() => {}
                    () = sleep(pause) => {}
                    () = member.lease.lost() => break,
                }
            }
        }
    }

    /// The current incarnation. If there is none, waits for one if `wait` is set.
    async fn member(&self, wait: bool) -> Result<Arc<Member>, Error> {
        let mut standing = self.standing.subscribe();
        loop {
            match &*standing.borrow_and_update() {
                Standing::Joined(member) if member.lease.is_held() => return Ok(member.clone()),
                Standing::Refused(why) => return Err(Error::Refused(why.clone())),
                _ if !wait => {
                    return Err(Error::unreachable("the lease was lost, and there is no new one yet"));
                }
                _ => {}
            }
            // An error would mean that the sender is gone, and it lives as long as `self`.
            let _ = standing.changed().await;
        }
    }

    /// Sleeps on any executor.
    pub(crate) async fn sleep(&self, time: Duration) {
        let _ = self.call(async move { sleep(time).await }).await;
    }
}

impl Ticket {
    /// Gives the ticket back, with retries while the lease is held. The result says whether it held all its stripes.
    async fn give_back(&self) -> bool {
        let Self { worker, member, name, stripes, .. } = self;
        while member.lease.is_held() {
            if let Ok(held) = member.client.give_back(*name, stripes).await {
                return held;
            }
            sleep(worker.retry()).await;
        }
        false
    }
}

impl Grant {
    pub(crate) fn lease(&self) -> &Lease {
        &self.ticket.member.lease
    }

    /// Gives the ticket back. The result says whether it held all its stripes.
    pub(crate) async fn give_back(self) -> bool {
        let worker = self.ticket.worker.clone();
        let given_back = worker.call(async move {
            let mut grant = self;
            let held = grant.ticket.give_back().await;
            grant.is_owed = false;
            held
        });
        given_back.await.unwrap_or(false)
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if self.is_owed {
            let ticket = self.ticket.clone();
            self.ticket.worker.runtime.spawn(async move { ticket.give_back().await });
        }
    }
}

/// How the engine reaches a ticket that waits.
#[derive(Default)]
struct Bell {
    woken: Notify,
    /// The fence with which the ticket was granted, or 0. Set before `woken`, and read after it or by chance earlier.
    fence: AtomicI64,
}

/// A ticket that can be woken, until this is dropped.
struct Waiting<'a> {
    worker: &'a Worker,
    ticket: i64,
    bell: Arc<Bell>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.worker.waiting().remove(&self.ticket);
    }
}
