//! The open connections, and which of them is closed for a new one.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep};
use tokio_io_timeout::TimeoutStream;

/// How many connections above the limit are accepted while all others have a running request. They get answers from
/// `/health` only.
const EXTRA: usize = 16;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// When it became idle. `None` while it has a running request.
    idle_since: Mutex<Option<Instant>>,
    close: Notify,
    /// Whether it is above the limit, so that it may ask for `/health` only.
    pub(super) is_extra: bool,
}

impl Connection {
    /// Completes when the connection is to be closed.
    pub(super) async fn closed(&self) {
        self.close.notified().await;
    }
}

/// Marks a connection as having a running request until it is dropped. Such a connection is not closed for a new one.
pub(super) struct Working(Arc<Connection>);

impl Working {
    pub(super) fn new(connection: &Arc<Connection>) -> Self {
        *connection.idle_since.lock() = None;
        Self(Arc::clone(connection))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        *self.0.idle_since.lock() = Some(Instant::now());
    }
}

/// All open connections.
#[derive(Debug)]
pub(super) struct Connections {
    most: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    last: u64,
    connections: HashMap<u64, Arc<Connection>>,
}

impl Connections {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default() })
    }

    /// Accepts a connection. At the limit, it closes the connection that has been idle for longest. If all have a
    /// running request, the new one is an extra connection, for which another idle extra connection may be closed.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        let mut open = self.open.lock();
        let is_extra = !open.make_room(self.most, false);
        if is_extra && !open.make_room(EXTRA, true) {
            return None;
        }
        open.last += 1;
        let idle_since = Mutex::new(Some(Instant::now()));
        let connection = Arc::new(Connection { idle_since, close: Notify::new(), is_extra });
        let number = open.last;
        open.connections.insert(number, Arc::clone(&connection));
        Some(Place { connections: Arc::clone(self), number, connection })
    }
}

impl Open {
    /// Whether there is room for one more connection of this kind. Closes the one that has been idle for longest if
    /// necessary.
    fn make_room(&mut self, most: usize, extra: bool) -> bool {
        let kind = || self.connections.iter().filter(|(_, connection)| connection.is_extra == extra);
        if kind().count() < most {
            return true;
        }
        let idle = |(number, connection): (&u64, &Arc<Connection>)| {
            connection.idle_since.lock().map(|since| (since, *number))
        };
        let idlest = kind().filter_map(idle).min();
        let closed = idlest.and_then(|(_, number)| self.connections.remove(&number));
        closed.inspect(|closed| closed.close.notify_one()).is_some()
    }
}

/// The entry of an open connection.
pub(super) struct Place {
    connections: Arc<Connections>,
    number: u64,
    pub(super) connection: Arc<Connection>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open.lock().connections.remove(&self.number);
    }
}

/// The stream of a connection. It fails if the client does not read what is sent to it. If the client closes its
/// sending side, the end of the input is reported late, because the client may still wait for its answer.
pub(super) struct Stream {
    inner: Pin<Box<TimeoutStream<TcpStream>>>,
    end: Option<Pin<Box<Sleep>>>,
    client_timeout: Duration,
}

impl Stream {
    /// `client_timeout` limits how long the client may read nothing, and how long it may wait for an answer after it
    /// closed its sending side. The client may send nothing while a query runs: code that waits for input has limits
    /// of its own.
    pub(super) fn new(stream: TcpStream, client_timeout: Duration) -> Self {
        // Responses are written in large pieces, so Nagle's algorithm would only delay them.
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(client_timeout));
        Self { inner: Box::pin(stream), end: None, client_timeout }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.end.is_none() {
            let filled = buffer.filled().len();
            ready!(self.inner.as_mut().poll_read(context, buffer))?;
            if buffer.filled().len() > filled || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        let client_timeout = self.client_timeout;
        let end = self.end.get_or_insert_with(|| Box::pin(sleep(client_timeout)));
        end.as_mut().poll(context).map(Ok)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.inner.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.as_mut().poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.inner.as_mut().poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_that_is_idle_for_longest_is_closed_and_busy_ones_are_not() {
        let connections = Connections::new(3);
        let enter = || connections.enter().expect("there is a place");
        let is_open = |place: &Place| connections.open.lock().connections.contains_key(&place.number);
        let [a, b, c] = [(); 3].map(|()| enter());
        let work = Working::new(&a.connection);
        let fourth = enter();
        assert!(
            is_open(&a) && !is_open(&b) && is_open(&c) && is_open(&fourth) && !fourth.connection.is_extra
        );
        // Now `a` was served last.
        drop(work);
        let works = [Working::new(&fourth.connection)];
        let fifth = enter();
        assert!(is_open(&a) && !is_open(&c) && is_open(&fourth) && is_open(&fifth));
        let all = [Working::new(&a.connection), Working::new(&fifth.connection)];
        let extras: Vec<_> = (0..EXTRA).map(|_| enter()).collect();
        assert!(extras.iter().all(|place| is_open(place) && place.connection.is_extra));
        let one_more = enter();
        assert!(one_more.connection.is_extra && !is_open(&extras[0]) && is_open(&extras[1]));
        let busy: Vec<_> =
            extras.iter().chain([&one_more]).map(|place| Working::new(&place.connection)).collect();
        assert!(connections.enter().is_none());
        drop((busy, works, all, a));
        assert!(!enter().connection.is_extra);
    }
}
