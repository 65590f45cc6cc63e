//! The bare statements of PostgreSQL.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls, Statement};

use crate::{Bare, SPACE};

/// A connection that calls the functions of the engine itself.
#[derive(Clone)]
pub(crate) struct Statements {
    client: Arc<Client>,
    take: Statement,
    give_back: Statement,
    space: i32,
    id: String,
}

impl Statements {
    /// Needs the namespace, so a client of the crate must have joined it.
    pub(crate) async fn connect(address: &str) -> Result<Self, Box<dyn Error>> {
        let (client, connection) = tokio_postgres::connect(address, NoTls).await?;
        tokio::spawn(connection);
        let join = format!(
            "INSERT INTO stripe_lock_1.client (space, opens, expires)
             SELECT space.id, opens, now() + interval '1 hour' FROM stripe_lock_1.space, stripe_lock_1.era
             WHERE era.space = space.id AND name = '{SPACE}' RETURNING space, id::text"
        );
        let row = client.query_one(&join, &[]).await?;
        let take =
            "SELECT state::text, fence, again_ms FROM stripe_lock_1.take($1, $2::text::uuid, $3, $4, true)";
        Ok(Self {
            take: client.prepare(take).await?,
            give_back: client.prepare("SELECT stripe_lock_1.give_back($1, $2::text::uuid, $3, $4)").await?,
            client: client.into(),
            space: row.get(0),
            id: row.get(1),
        })
    }
}

impl Bare for Statements {
    async fn cycle(self, ticket: u32, stripes: Vec<i32>) -> Duration {
        let (start, ticket) = (Instant::now(), i64::from(ticket));
        let granted = self.client.query_one(&self.take, &[&self.space, &self.id, &ticket, &stripes]).await;
        let time = start.elapsed();
        if granted.expect("the server answers").get::<_, &str>(0) != "g" {
            // Another client holds a stripe, so the ticket was queued.
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
        let back = self.client.query_one(&self.give_back, &[&self.space, &self.id, &ticket, &stripes]).await;
        back.expect("the server answers");
        time
    }
}
