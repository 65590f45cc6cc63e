//! An engine in memory. It is as simple as possible, and can fail on request.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stripe_lock_dist::Error;
use stripe_lock_dist::engine::{Answer, Client, Engine, Joined, Space, TURNS, Taken, Wake, Woken};

#[derive(Clone, Default)]
pub(crate) struct Memory {
    state: Arc<Mutex<State>>,
    unreachable: Arc<AtomicBool>,
    takes: Arc<AtomicUsize>,
    returns: Arc<AtomicUsize>,
}

#[derive(Default)]
struct State {
    clients: HashMap<u64, (Instant, Wake)>,
    last_client: u64,
    stripes: Option<u32>,
    holders: HashMap<i32, Ticket>,
    /// By turn.
    queue: BTreeMap<i64, (Ticket, Vec<i32>)>,
    /// The last turn and the last fence, of all stripes together.
    tail: i64,
    fences: HashMap<Ticket, i64>,
}

/// The client, and the name that it gave.
type Ticket = (u64, i64);

struct MemoryClient {
    engine: Memory,
    id: u64,
    ttl: Duration,
}

impl Memory {
    /// The same engine over another connection, which may fail separately.
    pub(crate) fn sharing(other: &Self) -> Self {
        Self { state: other.state.clone(), ..Self::default() }
    }

    /// Sets whether calls fail from now on.
    pub(crate) fn unreachable(&self, unreachable: bool) {
        self.unreachable.store(unreachable, SeqCst);
    }

    /// How often a ticket was asked for.
    pub(crate) fn takes(&self) -> usize {
        self.takes.load(SeqCst)
    }

    /// How often a ticket was given back.
    pub(crate) fn returns(&self) -> usize {
        self.returns.load(SeqCst)
    }

    /// The stripes that are held, and the tickets that wait.
    pub(crate) fn load(&self) -> (usize, usize) {
        let state = self.state.lock().unwrap();
        (state.holders.len(), state.queue.len())
    }

    /// Waits until the load is this.
    pub(crate) async fn until(&self, load: (usize, usize)) {
        while self.load() != load {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Loses all leases, as in a crash.
    pub(crate) fn crash(&self) {
        let mut state = self.state.lock().unwrap();
        state.clients.clear();
        state.serve();
    }

    fn answer<T>(&self, call: impl FnOnce(&mut State) -> T) -> Result<T, Error> {
        if self.unreachable.load(SeqCst) {
            return Err(Error::Unreachable("it was cut off".into()));
        }
        Ok(call(&mut self.state.lock().unwrap()))
    }
}

impl State {
    fn is_alive(&self, client: u64) -> bool {
        self.clients.get(&client).is_some_and(|(expires, _)| Instant::now() < *expires)
    }

    /// Grants each ticket that can be granted.
    fn serve(&mut self) {
        let alive: Vec<u64> = self.clients.keys().copied().filter(|id| self.is_alive(*id)).collect();
        self.clients.retain(|id, _| alive.contains(id));
        self.holders.retain(|_, (client, _)| alive.contains(client));
        self.queue.retain(|_, ((client, _), _)| alive.contains(client));
        let mut claimed: Vec<i32> = self.holders.keys().copied().collect();
        let mut granted = Vec::new();
        for (turn, (ticket, stripes)) in &self.queue {
            if stripes.iter().all(|stripe| !claimed.contains(stripe)) {
                granted.push(*turn);
                self.tail += i64::from(TURNS);
                self.fences.insert(*ticket, self.tail);
                self.holders.extend(stripes.iter().map(|stripe| (*stripe, *ticket)));
                self.clients[&ticket.0].1(Woken::Granted { ticket: ticket.1, fence: self.tail });
            }
            claimed.extend(stripes);
        }
        for turn in granted {
            self.queue.remove(&turn);
        }
    }
}

impl Engine for Memory {
    fn join<'a>(&'a self, space: &'a Space, wake: Wake) -> Answer<'a, Joined> {
        Box::pin(async move {
            let id = self.answer(|state| {
                assert_eq!(*state.stripes.get_or_insert(space.stripes), space.stripes);
                state.last_client += 1;
                state.clients.insert(state.last_client, (Instant::now() + space.ttl, wake));
                state.last_client
            })?;
            let client = MemoryClient { engine: self.clone(), id, ttl: space.ttl };
            Ok(Joined { seed: [7; 16], client: Box::new(client) })
        })
    }
}

impl Client for MemoryClient {
    fn renew(&self) -> Answer<'_, bool> {
        Box::pin(async {
            self.engine.answer(|state| {
                let alive = state.is_alive(self.id);
                if let Some((expires, _)) = state.clients.get_mut(&self.id).filter(|_| alive) {
                    *expires = Instant::now() + self.ttl;
                }
                alive
            })
        })
    }

    fn take<'a>(&'a self, name: i64, stripes: &'a [i32], wait: bool) -> Answer<'a, Taken> {
        Box::pin(async move {
            let ticket = (self.id, name);
            self.engine.takes.fetch_add(1, SeqCst);
            self.engine.answer(|state| {
                if !state.is_alive(self.id) {
                    return Taken::Dead;
                }
                let known = state.holders.values().chain(state.queue.values().map(|(ticket, _)| ticket));
                if !known.into_iter().any(|known| *known == ticket) {
                    state.tail += 1;
                    state.queue.insert(state.tail, (ticket, stripes.to_vec()));
                }
                state.serve();
                if state.holders.get(&stripes[0]) == Some(&ticket) {
                    return Taken::Granted(state.fences[&ticket]);
                }
                if wait {
                    let others = state.clients.iter().filter(|(id, _)| **id != self.id);
                    let first = others.map(|(_, (expires, _))| *expires).min();
                    return Taken::Queued(first.map_or(self.ttl, |first| first - Instant::now()));
                }
                state.queue.retain(|_, (queued, _)| *queued != ticket);
                Taken::Busy
            })
        })
    }

    fn give_back<'a>(&'a self, name: i64, stripes: &'a [i32]) -> Answer<'a, bool> {
        Box::pin(async move {
            let ticket = (self.id, name);
            self.engine.returns.fetch_add(1, SeqCst);
            self.engine.answer(|state| {
                let held = stripes.iter().all(|stripe| state.holders.get(stripe) == Some(&ticket));
                state.holders.retain(|_, holder| *holder != ticket);
                state.queue.retain(|_, (queued, _)| *queued != ticket);
                state.serve();
                held
            })
        })
    }

    fn leave(&self) -> Answer<'_, ()> {
        Box::pin(async { self.engine.answer(|state| drop(state.clients.remove(&self.id))) })
    }
}
