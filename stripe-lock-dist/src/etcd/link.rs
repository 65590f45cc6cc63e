//! The connection to one member of the cluster at a time.

use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error as EtcdError, Txn, TxnResponse};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tonic::Code;

use super::Etcd;
use crate::error::Error;

/// How often an idle connection is tested. Servers close connections that are tested more often than every 5 seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What a call failed with.
#[derive(Debug)]
pub(super) enum Failure {
    /// The lease is gone, so the call has changed nothing.
    NoLease,
    /// Any other error. After [`Error::Unreachable`], the call may or may not have taken effect.
    Other(Error),
}

/// The client of `etcd-client` retries no call and leaves no member that fails. This one changes the member.
pub(super) struct Link {
    endpoints: Vec<String>,
    options: ConnectOptions,
    current: Mutex<Current>,
    /// The highest revision of all answers.
    revision: AtomicI64,
}

#[derive(Default)]
struct Current {
    client: Option<Client>,
    /// How often the member has been changed.
    changes: usize,
}

impl Link {
    pub(super) fn new(engine: Etcd, ttl: Duration) -> Self {
        let options = engine
            .options
            .with_connect_timeout(ttl / 5)
            .with_keep_alive(KEEP_ALIVE, KEEP_ALIVE / 2)
            .with_keep_alive_while_idle(true)
            // A member that is cut off from the others says so, instead of keeping watches that hear nothing.
            .with_require_leader(true);
        Self { endpoints: engine.endpoints, options, current: Mutex::default(), revision: AtomicI64::new(0) }
    }

    /// How many members there are to try.
    pub(super) fn members(&self) -> usize {
        self.endpoints.len()
    }

    /// A client of the current member.
    pub(super) async fn client(&self) -> Result<(Client, usize), Failure> {
        let mut current = self.current.lock().await;
        let changes = current.changes;
        if let Some(client) = &current.client {
            return Ok((client.clone(), changes));
        }
        let Some(endpoint) = self.endpoints.get(changes % self.endpoints.len().max(1)) else {
            return Err(Failure::Other(Error::Refused("no address of a member was named".into())));
        };
        match Client::connect([endpoint], Some(self.options.clone())).await {
            Ok(client) => Ok((current.client.insert(client).clone(), changes)),
            Err(error) => {
                current.changes += 1;
                Err(classify(error))
            }
        }
    }

    /// Calls the current member. If it does not answer, the next call goes to the next member.
    pub(super) async fn call<T, F>(
        &self,
        patience: Duration,
        call: impl FnOnce(Client) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, EtcdError>>,
    {
        let calling = async {
            let (client, changes) = self.client().await?;
            Ok((call(client), changes))
        };
        let (calling, changes) = timeout(patience, calling)
            .await
            .unwrap_or_else(|elapsed| Err(Failure::Other(Error::unreachable(elapsed))))?;
        let answer = match timeout(patience, calling).await {
            Ok(answer) => answer.map_err(classify),
            Err(elapsed) => Err(Failure::Other(Error::unreachable(elapsed))),
        };
        if let Err(Failure::Other(Error::Unreachable(_))) = answer {
            self.change_member(changes).await;
        }
        answer
    }

    /// Leaves the member that was the current one after this many changes.
    pub(super) async fn change_member(&self, changes: usize) {
        let mut current = self.current.lock().await;
        if current.changes == changes {
            *current = Current { client: None, changes: changes + 1 };
        }
    }

    /// Executes a transaction. Refuses a server whose revision has gone back.
    pub(super) async fn transact(&self, patience: Duration, txn: Txn) -> Result<(TxnResponse, i64), Failure> {
        let before = self.revision.load(Ordering::Relaxed);
        let answer = self.call(patience, async |mut client| client.txn(txn).await).await?;
        let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        if revision < before {
            let why =
                "the revision of the server went back: was a snapshot restored without `--bump-revision`?";
            return Err(Failure::Other(Error::Refused(why.into())));
        }
        self.revision.fetch_max(revision, Ordering::Relaxed);
        Ok((answer, revision))
    }
}

/// Tells apart what trying again can help against.
fn classify(error: EtcdError) -> Failure {
    let EtcdError::GRpcStatus(status) = &error else {
        return Failure::Other(match error {
            // So the client reports that a renewal found no lease.
            EtcdError::LeaseKeepAliveError(why) if why == "lease not found" => return Failure::NoLease,
            EtcdError::InvalidArgs(_) | EtcdError::InvalidUri(_) => Error::Refused(error.to_string()),
            _ => Error::unreachable(error),
        });
    };
    match status.code() {
        Code::NotFound if status.message().contains("lease") => Failure::NoLease,
        Code::InvalidArgument | Code::PermissionDenied | Code::Unimplemented => {
            Failure::Other(Error::Refused(status.message().to_owned()))
        }
        _ => Failure::Other(Error::unreachable(error)),
    }
}

impl Failure {
    /// As the methods of an engine report it.
    pub(super) fn error(self) -> Error {
        match self {
            Self::NoLease => Error::unreachable("the lease is gone"),
            Self::Other(error) => error,
        }
    }
}
