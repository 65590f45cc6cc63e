//! The connections to one member of the cluster at a time.

use std::future::{Future, pending};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error as EtcdError, Txn, TxnResponse};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tonic::Code;

use super::Etcd;
use crate::error::Error;
use crate::runtime::is_parallel;

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
    /// The connection that the thread of the locks drives.
    own: Mutex<Option<Open>>,
    /// The connection that a runtime of callers with several threads drives: its tasks have their answers without a change
    /// of threads. Renewals wait for nothing that such a runtime does.
    of_callers: Mutex<Option<Open>>,
    /// How often the member has been changed.
    changes: AtomicUsize,
    /// The highest revision of all answers.
    revision: AtomicI64,
}

/// A connection. The runtime in which it was opened drives it.
struct Open {
    client: Client,
    /// How often the member had been changed before.
    changes: usize,
    /// Closed when that runtime has ended.
    ended: watch::Receiver<()>,
    task: AbortHandle,
}

impl Open {
    fn new(client: Client, changes: usize) -> Self {
        let (end, ended) = watch::channel(());
        let task = tokio::spawn(async move {
            let _end = end;
            pending::<()>().await;
        });
        Self { client, changes, ended, task: task.abort_handle() }
    }

    fn is_driven(&self) -> bool {
        self.ended.has_changed().is_ok()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
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
        Self {
            endpoints: engine.endpoints,
            options,
            own: Mutex::default(),
            of_callers: Mutex::default(),
            changes: AtomicUsize::new(0),
            revision: AtomicI64::new(0),
        }
    }

    /// How many members there are to try.
    pub(super) fn members(&self) -> usize {
        self.endpoints.len()
    }

    /// A client of the current member, and how often the member has been changed.
    pub(super) async fn client(&self) -> Result<(Client, usize), Failure> {
        let connection = if is_parallel(&Handle::current()) { &self.of_callers } else { &self.own };
        let mut connection = connection.lock().await;
        let changes = self.changes.load(Ordering::Relaxed);
        let is_current = |open: &&Open| open.changes == changes && open.is_driven();
        if let Some(open) = connection.as_ref().filter(is_current) {
            return Ok((open.client.clone(), changes));
        }
        let Some(endpoint) = self.endpoints.get(changes % self.endpoints.len().max(1)) else {
            return Err(Failure::Other(Error::Refused("no address of a member was named".into())));
        };
        match Client::connect([endpoint], Some(self.options.clone())).await {
            Ok(client) => {
                *connection = Some(Open::new(client.clone(), changes));
                Ok((client, changes))
            }
            Err(error) => {
                self.change_member(changes);
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
            self.change_member(changes);
        }
        answer
    }

    /// Leaves the member that was the current one after this many changes.
    pub(super) fn change_member(&self, changes: usize) {
        // If it fails, another call has changed the member.
        let _ = self.changes.compare_exchange(changes, changes + 1, Ordering::Relaxed, Ordering::Relaxed);
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
