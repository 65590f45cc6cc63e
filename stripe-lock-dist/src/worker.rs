//! The part that calls the engine. It joins, renews, takes tickets and gives them back, on a thread of its own.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::sleep;

use crate::clock;
use crate::engine::{Client, Engine, Joined, Space, Taken, Woken};
use crate::error::Error;
use crate::lease::Lease;

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

/// A ticket that holds, or wants to hold, stripes.
pub(crate) struct Grant {
    pub(crate) member: Arc<Member>,
    ticket: i64,
    stripes: Arc<[i32]>,
    /// The first of its fences.
    pub(crate) fence: i64,
    pub(crate) since: Instant,
}

type Reply = oneshot::Sender<Result<Option<Grant>, Error>>;

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

    /// Takes a ticket for `stripes`, which are in ascending order. A separate task does that. If the caller is dropped
    /// meanwhile, the task gives the ticket back. Returns `None` if the ticket would have to wait and `wait` is not
    /// set.
    pub(crate) async fn take(
        self: &Arc<Self>,
        stripes: Arc<[i32]>,
        wait: bool,
        busy: &Busy,
    ) -> Result<Option<Grant>, Error> {
        let (mut reply, answer) = oneshot::channel();
        let (worker, busy) = (self.clone(), busy.clone());
        self.runtime.spawn(async move {
            let grant = worker.obtain(&stripes, wait, &mut reply, &busy).await;
            if let Err(Ok(Some(grant))) = reply.send(grant) {
                worker.give_back(&grant).await;
            }
            drop(busy);
        });
        answer.await.unwrap_or_else(|_| Err(Error::unreachable("the thread of the locks has ended")))
    }

    async fn obtain(
        self: &Arc<Self>,
        stripes: &Arc<[i32]>,
        wait: bool,
        reply: &mut Reply,
        busy: &Busy,
    ) -> Result<Option<Grant>, Error> {
        loop {
            let member = tokio::select! {
                member = self.member(wait) => member?,
                () = reply.closed() => return Ok(None),
            };
            let ticket = self.next_ticket.fetch_add(1, Ordering::Relaxed);
            let waiting = Waiting { worker: self, ticket, bell: Arc::default() };
            self.waiting().insert(ticket, waiting.bell.clone());
            let mut grant =
                Grant { member, ticket, stripes: stripes.clone(), fence: 0, since: Instant::now() };
            let member = grant.member.clone();
            loop {
                let taken = match waiting.bell.fence.load(Ordering::Relaxed) {
                    0 => member.client.take(ticket, stripes, wait).await,
                    fence => Ok(Taken::Granted(fence)),
                };
                let pause = match taken {
                    Ok(Taken::Granted(_)) if !member.lease.is_held() => break,
                    Ok(Taken::Granted(fence)) => {
                        (grant.fence, grant.since) = (fence, Instant::now());
                        return Ok(Some(grant));
                    }
                    Ok(Taken::Busy) => return Ok(None),
                    Ok(Taken::Dead) => {
                        member.lease.lose();
                        break;
                    }
                    Ok(Taken::Queued(again)) => again.max(Duration::from_millis(1)),
                    Err(Error::Unreachable(_)) if wait => self.retry(),
                    Err(error) => {
                        // The call may have taken effect nevertheless.
                        drop(self.give_back_later(grant, busy));
                        return Err(error);
                    }
                };
                tokio::select! {
                    () = waiting.bell.woken.notified() => {}
                    () = sleep(pause) => {}
                    () = member.lease.lost() => break,
                    () = reply.closed() => {
                        self.give_back(&grant).await;
                        return Ok(None);
                    }
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

    /// Returns a ticket to the engine, with retries while the lease is held. The result says whether the ticket held
    /// all its stripes.
    async fn give_back(&self, grant: &Grant) -> bool {
        let Grant { member, ticket, stripes, .. } = grant;
        while member.lease.is_held() {
            if let Ok(held) = member.client.give_back(*ticket, stripes).await {
                return held;
            }
            sleep(self.retry()).await;
        }
        false
    }

    /// As `give_back`, in a task of its own.
    pub(crate) fn give_back_later(
        self: &Arc<Self>,
        grant: Grant,
        busy: &Busy,
    ) -> impl Future<Output = bool> + use<> {
        let (worker, busy) = (self.clone(), busy.clone());
        let task = self.runtime.spawn(async move {
            let held = worker.give_back(&grant).await;
            drop(busy);
            held
        });
        async { task.await.unwrap_or(false) }
    }

    /// Sleeps on any executor.
    pub(crate) async fn sleep(&self, time: Duration) {
        struct Abort(tokio::task::JoinHandle<()>);
        impl Drop for Abort {
            fn drop(&mut self) {
                self.0.abort();
            }
        }
        let mut task = Abort(self.runtime.spawn(async move { sleep(time).await }));
        let _ = (&mut task.0).await;
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
