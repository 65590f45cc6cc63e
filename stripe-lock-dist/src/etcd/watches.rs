//! Watches for the deletion of the tickets that are ahead of our own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{WatchFilterType, WatchOptions, WatchResponse, WatchStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::link::Link;
use crate::engine::{Wake, Woken};

/// How long to wait after a stream of watches has failed.
const PAUSE: Duration = Duration::from_millis(100);

/// What the task is told.
enum Order {
    /// Wake `ticket` when `key` is deleted, or was deleted at `from` or later.
    Watch { ticket: i64, key: String, from: i64 },
    /// `ticket` waits no more.
    Forget(i64),
}

/// All watches of a client, on one stream. A ticket has at most one watch, whose number is that of the ticket.
///
/// | the ticket's watch | event | then |
/// |---|---|---|
/// | none | [`on`](Self::on) | on that key |
/// | on a key | [`on`](Self::on) another one | on the other one |
/// | on a key | the watch began, and there were changes since the ticket looked | the same; the ticket is woken |
/// | on a key | the key is deleted, or the server ends the watch | none; the ticket is woken |
/// | on a key | the stream fails | none; all tickets are woken |
/// | on a key | [`forget`](Self::forget) | none |
///
/// A ticket that is woken asks who is ahead of it now, so waking it once too often is harmless.
///
/// A watch begins with the changes after it was created. A watch that begins with earlier changes would hear of them, but
/// etcd looks for such watches only every 100 milliseconds.
pub(super) struct Watches {
    orders: mpsc::UnboundedSender<Order>,
    task: AbortHandle,
}

impl Watches {
    pub(super) fn new(link: Arc<Link>, patience: Duration, wake: Wake) -> Self {
        let (orders, received) = mpsc::unbounded_channel();
        let task = Task { link, patience, wake, stream: None, watched: HashMap::new() };
        let task = tokio::spawn(task.run(received)).abort_handle();
        Self { orders, task }
    }

    /// Wakes `ticket` when `key` is deleted at the revision `from` or later.
    pub(super) fn on(&self, ticket: i64, key: String, from: i64) {
        // The task ends only when `self` is dropped.
        let _ = self.orders.send(Order::Watch { ticket, key, from });
    }

    /// Ends the watch of `ticket`, if there is one.
    pub(super) fn forget(&self, ticket: i64) {
        let _ = self.orders.send(Order::Forget(ticket));
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Task {
    link: Arc<Link>,
    patience: Duration,
    wake: Wake,
    /// The stream, and the number of the member that it goes to.
    stream: Option<(WatchStream, usize)>,
    /// The key that each ticket watches, and the first revision that the ticket has not seen.
    watched: HashMap<i64, (String, i64)>,
}

impl Task {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            let done = if let Some((stream, _)) = &mut self.stream {
                tokio::select! {
                    order = orders.recv() => match order {
                        Some(order) => self.obey(order).await,
                        None => return,
                    },
                    heard = stream.message() => match heard {
                        Ok(Some(heard)) => self.hear(&heard).await,
                        _ => Err(()),
                    },
                }
            } else {
                match orders.recv().await {
                    Some(order) => self.obey(order).await,
                    None => return,
                }
            };
            if done.is_err() {
                if let Some((_, member)) = self.stream.take() {
                    self.link.change_member(member);
                }
                self.watched.clear();
                sleep(PAUSE).await;
                (self.wake)(Woken::All);
            }
        }
    }

    /// Fails if there is no stream, or if it can't be used.
    async fn obey(&mut self, order: Order) -> Result<(), ()> {
        let patience = self.patience;
        timeout(patience, self.send(order)).await.unwrap_or(Err(()))
    }

    async fn send(&mut self, order: Order) -> Result<(), ()> {
        match order {
            Order::Forget(ticket) => self.end(ticket).await,
            Order::Watch { ticket, key, .. }
                if self.watched.get(&ticket).is_some_and(|(watched, _)| *watched == key) =>
            {
                Ok(())
            }
            Order::Watch { ticket, key, from } => {
                self.end(ticket).await?;
                self.begin(ticket, &key).await?;
                self.watched.insert(ticket, (key, from));
                Ok(())
            }
        }
    }

    async fn begin(&mut self, ticket: i64, key: &str) -> Result<(), ()> {
        let options = WatchOptions::new().with_watch_id(ticket).with_filters([WatchFilterType::NoPut]);
        if let Some((stream, _)) = &mut self.stream {
            return stream.watch(key, Some(options)).await.map_err(drop);
        }
        let (mut client, member) = self.link.client().await.map_err(drop)?;
        let stream = client.watch(key, Some(options)).await.map_err(drop)?;
        self.stream = Some((stream, member));
        Ok(())
    }

    /// Ends the watch of `ticket`, if there is one.
    async fn end(&mut self, ticket: i64) -> Result<(), ()> {
        match (self.watched.remove(&ticket), &mut self.stream) {
            (Some(_), Some((stream, _))) => stream.cancel(ticket).await.map_err(drop),
            _ => Ok(()),
        }
    }

    async fn hear(&mut self, heard: &WatchResponse) -> Result<(), ()> {
        let ticket = heard.watch_id();
        // The server ends a watch if the revision that it begins at was removed, or if it has lost the other members.
        // Our own order to end it is answered in the same way: then another watch may have the number by now.
        if heard.canceled() && heard.compact_revision() == 0 {
            return if heard.cancel_reason().is_empty() { Ok(()) } else { Err(()) };
        }
        if heard.canceled() {
            self.watched.remove(&ticket);
        } else if heard.created() {
            let revision = heard.header().map_or(i64::MAX, etcd_client::ResponseHeader::revision);
            if self.watched.get(&ticket).is_none_or(|(_, from)| revision < *from) {
                return Ok(());
            }
        } else if heard.events().is_empty() {
            return Ok(());
        } else {
            self.end(ticket).await?;
        }
        (self.wake)(Woken::Ticket(ticket));
        Ok(())
    }
}
