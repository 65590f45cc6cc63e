//! One connection, which is opened again after it failed.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, Row, Socket, Statement};

use super::classify;
use crate::error::Error;
use crate::runtime::is_parallel;

/// The function that is called with the channel and the payload of each notification.
pub(super) type Notified = Arc<dyn Fn(&str, &str) + Send + Sync>;

type Connected = Result<(Client, Pin<Box<dyn Future<Output = ()> + Send>>), tokio_postgres::Error>;

/// Connects. Returns the client, and the future that drives its connection.
pub(super) type Connect =
    Arc<dyn Fn(Config, Notified) -> Pin<Box<dyn Future<Output = Connected> + Send>> + Send + Sync>;

pub(super) fn connect_with<T>(tls: T) -> Connect
where
    T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
    T::Stream: Send,
    T::TlsConnect: Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    Arc::new(move |config, notified| {
        let tls = tls.clone();
        Box::pin(async move {
            let (client, mut connection) = config.connect(tls).await?;
            let drive = poll_fn(move |cx| {
                loop {
                    match connection.poll_message(cx) {
                        Poll::Ready(Some(Ok(AsyncMessage::Notification(message)))) => {
                            notified(message.channel(), message.payload());
                        }
                        Poll::Ready(Some(Ok(_))) => {}
                        // The pending call of `client` gets the error.
                        Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                        Poll::Pending => return Poll::Pending,
                    }
                }
            });
            let drive: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(drive);
            Ok((client, drive))
        })
    })
}

/// A parameter with its type.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// A connection that is open.
struct Open {
    client: Client,
    /// Whether a runtime with several threads drives it.
    is_parallel: bool,
    prepared: Mutex<HashMap<&'static str, Statement>>,
    /// Closed when the connection is.
    ended: watch::Receiver<()>,
}

pub(super) struct Link {
    connect: Connect,
    config: Config,
    notified: Notified,
    open: Mutex<Option<Arc<Open>>>,
    /// The longest that a call may take.
    patience: Duration,
    /// Whether each connection is known to have a session of its own, in which statements stay prepared.
    own_session: Arc<AtomicBool>,
    /// How many connections were closed, or failed in the middle of a call.
    failures: AtomicU64,
}

impl Link {
    pub(super) fn new(
        connect: Connect,
        config: Config,
        notified: Notified,
        patience: Duration,
        own_session: Arc<AtomicBool>,
    ) -> Self {
        Self {
            connect,
            config,
            notified,
            open: Mutex::default(),
            patience,
            own_session,
            failures: AtomicU64::new(0),
        }
    }

    /// The open connection; a new one, if there is none. The runtime of the caller drives it. A runtime with several
    /// threads replaces a connection that another kind of runtime drives, to have answers without a change of threads.
    async fn open(&self) -> Result<Arc<Open>, Error> {
        let is_parallel = is_parallel(&Handle::current());
        let suits = |open: &&Arc<Open>| !open.client.is_closed() && (open.is_parallel || !is_parallel);
        let mut open = self.open.lock().await;
        if let Some(open) = open.as_ref().filter(suits) {
            return Ok(open.clone());
        }
        if open.take().is_some_and(|open| open.client.is_closed()) {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        let connecting = (self.connect)(self.config.clone(), self.notified.clone());
        let (client, drive) = self.patient(connecting).await?;
        let (end, ended) = watch::channel(());
        tokio::spawn(async move {
            drive.await;
            drop(end);
        });
        let new = Arc::new(Open { client, is_parallel, prepared: Mutex::default(), ended });
        *open = Some(new.clone());
        Ok(new)
    }

    /// Executes `statement`, and returns its rows.
    pub(super) async fn rows(
        &self,
        statement: &'static str,
        with: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Error> {
        let open = self.open().await?;
        let rows = self.patient(self.query(&open, statement, with)).await;
        if rows.is_err() {
            self.failures.fetch_add(1, Ordering::Relaxed);
            // The next answer of such a connection may belong to an earlier request.
            let mut current = self.open.lock().await;
            if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &open)) {
                *current = None;
            }
        }
        rows
    }

    /// Executes `statement`, which returns one row.
    pub(super) async fn row(&self, statement: &'static str, with: &[Parameter<'_>]) -> Result<Row, Error> {
        let mut rows = self.rows(statement, with).await?;
        rows.pop().ok_or_else(|| Error::unreachable("the server returned no row"))
    }

    /// Executes statements without parameters.
    pub(super) async fn run(&self, statements: &str) -> Result<(), Error> {
        let open = self.open().await?;
        self.patient(open.client.batch_execute(statements)).await
    }

    /// Opens the connection, if there is none. The result is closed when the connection is.
    pub(super) async fn ended(&self) -> Result<watch::Receiver<()>, Error> {
        Ok(self.open().await?.ended.clone())
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    async fn query(
        &self,
        open: &Open,
        statement: &'static str,
        with: &[Parameter<'_>],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        if !self.own_session.load(Ordering::Relaxed) {
            return open.client.query_typed(statement, with).await;
        }
        let prepared = open.prepared.lock().await.get(statement).cloned();
        match prepared {
            Some(prepared) => Self::execute(open, &prepared, with).await,
            None => self.prepare(open, statement, with).await,
        }
    }

    async fn prepare(
        &self,
        open: &Open,
        statement: &'static str,
        with: &[Parameter<'_>],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let types: Vec<_> = with.iter().map(|(_, ty)| ty.clone()).collect();
        let prepared = open.client.prepare_typed(statement, &types).await?;
        let rows = Self::execute(open, &prepared, with).await?;
        open.prepared.lock().await.insert(statement, prepared);
        Ok(rows)
    }

    async fn execute(
        open: &Open,
        prepared: &Statement,
        with: &[Parameter<'_>],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let with: Vec<_> = with.iter().map(|(value, _)| *value).collect();
        open.client.query(prepared, &with).await
    }

    async fn patient<T>(
        &self,
        call: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        match timeout(self.patience, call).await {
            Ok(answer) => answer.map_err(classify),
            Err(elapsed) => Err(Error::unreachable(elapsed)),
        }
    }
}
