//! A client of a namespace. It talks to the server over two connections.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio_postgres::types::Type;

use super::Postgres;
use super::link::{Link, Notified};
use crate::engine::{Answer, Client, Joined, Space, Taken, Wake, Woken};
use crate::error::Error;

/// How often a waiting ticket polls if notifications do not arrive.
const POLL: Duration = Duration::from_millis(25);

/// The longest that a call may take before its connection is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// The payload of the message that a client sends to itself.
const PING: &str = "ping";

pub(super) struct PgClient {
    space: i32,
    id: String,
    ttl_ms: i64,
    /// Takes tickets and gives them back.
    commands: Arc<Link>,
    /// Renews the lease, and receives notifications. So no wait for a stripe's row delays a renewal.
    control: Arc<Link>,
    /// Whether the control connection receives what is sent to this client. Behind a pooler it does not, because each
    /// transaction may get another session.
    heard: Arc<AtomicBool>,
    tickets: Mutex<Tickets>,
    listening: AbortHandle,
}

/// The tickets that this client knows.
#[derive(Default)]
struct Tickets {
    live: BTreeSet<i64>,
    last: i64,
}

impl PgClient {
    pub(super) async fn join(engine: Arc<Postgres>, space: &Space, wake: Wake) -> Result<Joined, Error> {
        let config = engine.config(space);
        let heard = Arc::new(AtomicBool::new(false));
        // A pooler may deliver messages for other clients too.
        let own_channel = Arc::new(OnceLock::<String>::new());
        let notified: Notified = {
            let (heard, wake, own_channel) = (heard.clone(), wake.clone(), own_channel.clone());
            Arc::new(move |channel, payload| {
                if own_channel.get().is_none_or(|own| own != channel) {
                    return;
                }
                match payload.split_once(' ').map(|(ticket, fence)| (ticket.parse(), fence.parse())) {
                    Some((Ok(ticket), Ok(fence))) => wake(Woken::Granted { ticket, fence }),
                    _ if payload == PING => heard.store(true, Ordering::Relaxed),
                    _ => payload.parse().into_iter().for_each(|ticket| wake(Woken::Ticket(ticket))),
                }
            })
        };
        let nothing: Notified = Arc::new(|_, _| {});
        let link = |notified, patience| {
            Arc::new(Link::new(engine.connect.clone(), config.clone(), notified, patience, heard.clone()))
        };
        let (commands, control) =
            (link(nothing, space.ttl.min(PATIENCE)), link(notified, (space.ttl / 3).min(PATIENCE)));

        install(&commands).await?;
        let ttl_ms = i64::try_from(space.ttl.as_millis()).unwrap_or(i64::MAX);
        let stripes = i32::try_from(space.stripes).unwrap_or(i32::MAX);
        let row = commands
            .row(
                "SELECT space, client::text, decode(replace(seed::text, '-', ''), 'hex'), stripes, hash \
                 FROM stripe_lock_1.join_space($1, $2, $3, $4 * interval '1 ms')",
                &[
                    (&space.name, Type::TEXT),
                    (&stripes, Type::INT4),
                    (&space.hash, Type::TEXT),
                    (&ttl_ms, Type::INT8),
                ],
            )
            .await?;
        let (number, id, seed): (i32, Option<String>, Vec<u8>) = (row.get(0), row.get(1), row.get(2));
        let Some(id) = id else {
            let (theirs, hash): (i32, String) = (row.get(3), row.get(4));
            return Err(Error::Refused(format!(
                "the namespace {:?} has {theirs} stripes and the hash {hash:?}, not {stripes} and {:?}",
                space.name, space.hash
            )));
        };
        let seed =
            seed.try_into().map_err(|_| Error::Refused("the namespace has a seed of another size".into()))?;
        own_channel.get_or_init(|| format!("stripe_lock_{id}"));
        let listening =
            tokio::spawn(listen(control.clone(), commands.clone(), id.clone(), heard.clone(), wake));
        let client = Self {
            space: number,
            id,
            ttl_ms,
            commands,
            control,
            heard,
            tickets: Mutex::default(),
            listening: listening.abort_handle(),
        };
        Ok(Joined { seed, client: Box::new(client) })
    }

    fn tickets(&self) -> MutexGuard<'_, Tickets> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send_back(&self, ticket: i64, stripes: &[i32]) -> Result<bool, Error> {
        let row = self
            .commands
            .row(
                "SELECT stripe_lock_1.give_back($1, $2::text::uuid, $3, $4)",
                &[
                    (&self.space, Type::INT4),
                    (&self.id, Type::TEXT),
                    (&ticket, Type::INT8),
                    (&stripes, Type::INT4_ARRAY),
                ],
            )
            .await?;
        Ok(row.get(0))
    }

    /// Gives back the stripes of calls that arrived after their tickets were given back.
    async fn give_back_strays(&self) -> Result<(), Error> {
        let (known, last): (Vec<i64>, i64) = {
            let tickets = self.tickets();
            (tickets.live.iter().copied().collect(), tickets.last)
        };
        let strays = self
            .control
            .rows(
                "SELECT ticket, stripes FROM stripe_lock_1.strays($1, $2::text::uuid, $3, $4)",
                &[
                    (&self.space, Type::INT4),
                    (&self.id, Type::TEXT),
                    (&known, Type::INT8_ARRAY),
                    (&last, Type::INT8),
                ],
            )
            .await?;
        for stray in strays {
            self.send_back(stray.get(0), &stray.get::<_, Vec<i32>>(1)).await?;
        }
        Ok(())
    }
}

impl Client for PgClient {
    fn renew(&self) -> Answer<'_, bool> {
        Box::pin(async {
            let row = self
                .control
                .row(
                    "SELECT stripe_lock_1.renew($1::text::uuid, $2 * interval '1 ms')",
                    &[(&self.id, Type::TEXT), (&self.ttl_ms, Type::INT8)],
                )
                .await?;
            let renewed = row.get(0);
            if renewed && self.commands.failures() > 0 {
                // If it fails, the next renewal does it.
                let _ = self.give_back_strays().await;
            }
            Ok(renewed)
        })
    }

    fn take<'a>(&'a self, ticket: i64, stripes: &'a [i32], wait: bool) -> Answer<'a, Taken> {
        Box::pin(async move {
            {
                let mut tickets = self.tickets();
                tickets.live.insert(ticket);
                tickets.last = tickets.last.max(ticket);
            }
            let row = self
                .commands
                .row(
                    "SELECT state::text, fence, again_ms FROM stripe_lock_1.take($1, $2::text::uuid, $3, $4, $5)",
                    &[
                        (&self.space, Type::INT4),
                        (&self.id, Type::TEXT),
                        (&ticket, Type::INT8),
                        (&stripes, Type::INT4_ARRAY),
                        (&wait, Type::BOOL),
                    ],
                )
                .await?;
            match row.get(0) {
                "g" => Ok(Taken::Granted(row.get(1))),
                "q" => {
                    let again: Option<i64> = row.get(2);
                    let again = u64::try_from(again.unwrap_or(self.ttl_ms)).unwrap_or(0);
                    let again = Duration::from_millis(again);
                    let heard = self.heard.load(Ordering::Relaxed);
                    Ok(Taken::Queued(if heard { again } else { again.min(POLL) }))
                }
                state => {
                    self.tickets().live.remove(&ticket);
                    Ok(if state == "b" { Taken::Busy } else { Taken::Dead })
                }
            }
        })
    }

    fn give_back<'a>(&'a self, ticket: i64, stripes: &'a [i32]) -> Answer<'a, bool> {
        Box::pin(async move {
            let held = self.send_back(ticket, stripes).await?;
            self.tickets().live.remove(&ticket);
            Ok(held)
        })
    }

    fn leave(&self) -> Answer<'_, ()> {
        Box::pin(async {
            self.control
                .rows("DELETE FROM stripe_lock_1.client WHERE id = $1::text::uuid", &[(&self.id, Type::TEXT)])
                .await?;
            Ok(())
        })
    }
}

impl Drop for PgClient {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Creates what is missing.
async fn install(commands: &Link) -> Result<(), Error> {
    let there = commands
        .row(
            "SELECT to_regprocedure('stripe_lock_1.strays(integer, uuid, bigint[], bigint)') IS NOT NULL",
            &[],
        )
        .await?;
    if !there.get::<_, bool>(0) {
        // One transaction, which excludes installations by other clients.
        let lock = "SELECT pg_advisory_xact_lock(hashtextextended('stripe_lock_1', 0));";
        commands.run(&format!("{lock} {}", Postgres::SCHEMA)).await?;
    }
    Ok(())
}

/// Listens on the control connection, and on each one that replaces it.
async fn listen(control: Arc<Link>, commands: Arc<Link>, id: String, heard: Arc<AtomicBool>, wake: Wake) {
    loop {
        if let Ok(mut ended) = control.ended().await
            && control.run(&format!("LISTEN \"stripe_lock_{id}\"")).await.is_ok()
        {
            // Sent by the other connection. If a pooler gave the subscription to another session, this does not arrive
            // here.
            let ping = "SELECT pg_notify('stripe_lock_' || $1, 'ping')";
            let _ = commands.rows(ping, &[(&id, Type::TEXT)]).await;
            // What was sent to the last connection may be lost.
            wake(Woken::All);
            while ended.changed().await.is_ok() {}
        }
        heard.store(false, Ordering::Relaxed);
        tokio::time::sleep(POLL).await;
    }
}
