//! Engines with a bug, which the checker has to find.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stripe_lock_dist::engine::{Answer, Client, Engine, Joined, Space, Taken, Wake, Woken};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Two sets of locks of one process use the same tickets, as if nothing excluded its tasks from each other.
    NoLocalExclusion,
    /// The fence is that of the moment when the ticket was queued.
    FenceBeforeTheLock,
    /// Renewals succeed without asking the engine, whose leases last 200 ms.
    RenewalThatLies,
}

pub(crate) struct Planted<E> {
    engine: E,
    bug: Bug,
    process: Arc<Process>,
}

/// What the clients of one process share.
#[derive(Default)]
struct Process {
    client: tokio::sync::OnceCell<Arc<dyn Client>>,
    seed: std::sync::OnceLock<[u8; 16]>,
    granted: Mutex<HashMap<Vec<i32>, Taken>>,
}

struct PlantedClient {
    client: Arc<dyn Client>,
    bug: Bug,
    process: Arc<Process>,
    early: Mutex<HashMap<i64, i64>>,
}

/// The highest fence that any client has seen.
static LAST_FENCE: AtomicI64 = AtomicI64::new(0);

impl<E: Engine + Clone> Planted<E> {
    pub(crate) fn new(engine: E, bug: Bug) -> Self {
        Self { engine, bug, process: Arc::default() }
    }

    /// For another set of locks of the same process.
    pub(crate) fn same_process(&self) -> Self {
        Self { engine: self.engine.clone(), bug: self.bug, process: self.process.clone() }
    }
}

impl<E: Engine> Engine for Planted<E> {
    fn join<'a>(&'a self, space: &'a Space, wake: Wake) -> Answer<'a, Joined> {
        Box::pin(async move {
            let join = async || -> Result<Arc<dyn Client>, _> {
                let mut space = space.clone();
                if self.bug == Bug::RenewalThatLies {
                    space.ttl = Duration::from_millis(200);
                }
                // Each ticket asks for its grant, so that the bug is in the answer.
                let ask: Wake = Arc::new(move |whom| match whom {
                    Woken::Granted { ticket, .. } => wake(Woken::Ticket(ticket)),
                    whom => wake(whom),
                });
                let joined = self.engine.join(&space, ask).await?;
                self.process.seed.get_or_init(|| joined.seed);
                Ok(Arc::from(joined.client))
            };
            let client = self.process.client.get_or_try_init(join).await?.clone();
            let (bug, process) = (self.bug, self.process.clone());
            let client = Box::new(PlantedClient { client, bug, process, early: Mutex::default() });
            Ok(Joined { seed: *self.process.seed.get().unwrap(), client })
        })
    }
}

impl Client for PlantedClient {
    fn renew(&self) -> Answer<'_, bool> {
        if self.bug == Bug::RenewalThatLies { Box::pin(async { Ok(true) }) } else { self.client.renew() }
    }

    fn take<'a>(&'a self, ticket: i64, stripes: &'a [i32], wait: bool) -> Answer<'a, Taken> {
        Box::pin(async move {
            if self.bug == Bug::NoLocalExclusion
                && let Some(granted) = self.process.granted.lock().unwrap().get(stripes)
            {
                return Ok(*granted);
            }
            let last = LAST_FENCE.load(Ordering::SeqCst);
            let taken = self.client.take(ticket, stripes, wait).await?;
            let mut early = self.early.lock().unwrap();
            let Taken::Granted(fence) = taken else {
                early.entry(ticket).or_insert(last + 1);
                return Ok(taken);
            };
            LAST_FENCE.fetch_max(fence, Ordering::SeqCst);
            self.process.granted.lock().unwrap().insert(stripes.to_vec(), taken);
            let early = early.get(&ticket).filter(|_| self.bug == Bug::FenceBeforeTheLock);
            Ok(Taken::Granted(early.copied().unwrap_or(fence)))
        })
    }

    fn give_back<'a>(&'a self, ticket: i64, stripes: &'a [i32]) -> Answer<'a, bool> {
        self.process.granted.lock().unwrap().remove(stripes);
        self.client.give_back(ticket, stripes)
    }

    fn leave(&self) -> Answer<'_, ()> {
        self.client.leave()
    }
}
