//! PostgreSQL as an engine.

mod client;
mod link;

use std::fmt;
use std::sync::Arc;

use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Config, NoTls, Socket};

use crate::engine::{Answer, Engine, Joined, Space, Wake};
use crate::error::Error;
use client::PgClient;
use link::{Connect, connect_with};

/// PostgreSQL, as the engine of a [`DistributedMutex`](crate::DistributedMutex): version 13 or newer.
///
/// Each process needs two connections. The first client creates the schema `stripe_lock_1`. If its role may not do
/// that, an administrator runs [`Postgres::SCHEMA`] and grants the role `USAGE` of the schema and all rights on the
/// objects in it.
///
#[doc = include_str!("postgres/DESIGN.md")]
#[derive(Clone)]
pub struct Postgres {
    config: Config,
    connect: Connect,
}

impl Postgres {
    /// The statements that create the schema. They may be run again.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(stripe_lock_dist::Postgres::SCHEMA.contains("CREATE SCHEMA IF NOT EXISTS stripe_lock_1"));
    /// ```
    pub const SCHEMA: &str = include_str!("postgres/schema.sql");

    /// The server at an address, which is in one of the forms of libpq. The connections are not encrypted: use
    /// [`with_tls`](Self::with_tls) over a network that you do not trust.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if `address` is not a valid address.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock_dist::Postgres;
    ///
    /// assert!(Postgres::new("postgresql://app@localhost:5432/app").is_ok());
    /// assert!(Postgres::new("host=/run/postgresql dbname=app").is_ok());
    /// assert!(Postgres::new("port=none").is_err());
    /// ```
    pub fn new(address: &str) -> Result<Self, Error> {
        let config: Config = address.parse().map_err(refused)?;
        Ok(Self::with_tls(config, NoTls))
    }

    /// A server, with a connector for TLS such as those of `tokio-postgres-rustls` or `postgres-native-tls`.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock_dist::Postgres;
    /// use tokio_postgres::{Config, NoTls};
    ///
    /// let mut config = Config::new();
    /// config.host("localhost").dbname("app");
    /// let engine = Postgres::with_tls(config, NoTls);
    /// ```
    pub fn with_tls<T>(config: Config, tls: T) -> Self
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send,
        T::TlsConnect: Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        Self { config, connect: connect_with(tls) }
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Engine for Postgres {
    fn join<'a>(&'a self, space: &'a Space, wake: Wake) -> Answer<'a, Joined> {
        Box::pin(PgClient::join(Arc::new(self.clone()), space, wake))
    }
}

/// The parts of the engine that its connections need.
impl Postgres {
    fn config(&self, space: &Space) -> Config {
        let mut config = self.config.clone();
        config.application_name(format!("stripe-lock-dist {}", space.name));
        config.tcp_user_timeout(space.ttl);
        config
    }
}

fn refused(error: impl fmt::Display) -> Error {
    Error::Refused(error.to_string())
}

/// [`Error::Refused`] if trying again can't help, otherwise [`Error::Unreachable`].
fn classify(error: tokio_postgres::Error) -> Error {
    // These classes of SQLSTATE say that the request, the role or the database is wrong.
    const WRONG: [&str; 5] = ["22", "28", "3D", "3F", "42"];
    match error.as_db_error() {
        Some(db) if WRONG.iter().any(|class| db.code().code().starts_with(class)) => refused(db),
        _ => Error::unreachable(error),
    }
}
