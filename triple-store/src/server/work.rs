//! The store's work for a request. It blocks, so it runs on a thread of its own, in one of a limited number of slots.
//! It ends at its time limit or when its client disconnects.

use super::connections::Working;
use super::failure::Failure;
use crate::sparql::memory::Taken;
use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use spareval::CancellationToken;
use std::io::{self, Write};
use std::mem;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep_until, timeout_at};

/// How many bytes of a response are sent together. A shorter response is sent when it is complete, with its length, or
/// with an error status if the work fails.
const CHUNK: usize = 64 << 10;

/// The most chunks that wait for the client.
const WAITING: usize = 2;

/// How long after its deadline a request waits until its work has ended.
const GRACE_PERIOD: Duration = Duration::from_secs(1);

/// A duration that no request reaches and that every clock can represent.
pub(super) const NEVER: Duration = Duration::from_secs(1 << 30);

/// The stack size of a thread. It is enough for the deepest query, so that no row needs a new stack. Memory is used
/// only for the part in use.
const STACK: usize = 80 << 20;

/// Threads for blocking work, one for each slot. They belong to a runtime that runs no tasks and starts and ends
/// threads as needed.
#[derive(Debug)]
pub(super) struct Threads {
    runtime: Option<Runtime>,
}

impl Threads {
    pub(super) fn new(slots: usize) -> io::Result<Self> {
        let mut builder = Builder::new_current_thread();
        builder.thread_name("triples-worker").thread_stack_size(STACK).max_blocking_threads(slots.max(1));
        Ok(Self { runtime: Some(builder.build()?) })
    }
}

impl Drop for Threads {
    /// This does not wait for the threads, because a server may be dropped where blocking is forbidden.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The permission to run the work of one request.
pub(super) struct Slot {
    permit: OwnedSemaphorePermit,
    threads: Handle,
    cancellation: CancellationToken,
    deadline: Instant,
    /// Memory that is held until the work has ended.
    taken: Taken,
    working: Option<Working>,
}

impl Slot {
    /// # Errors
    ///
    /// 503 if no slot is free.
    pub(super) fn take(
        slots: &Arc<Semaphore>,
        threads: &Threads,
        deadline: Instant,
        working: Option<Working>,
    ) -> Result<Self, Failure> {
        let permit = Arc::clone(slots).try_acquire_owned().map_err(|_| Failure::busy())?;
        let threads = threads.runtime.as_ref().map(Runtime::handle).ok_or_else(Failure::busy)?.clone();
        Ok(Self {
            permit,
            threads,
            cancellation: CancellationToken::new(),
            deadline,
            taken: Taken::default(),
            working,
        })
    }

    /// Holds the memory of the request until the work has ended.
    pub(super) fn holding(mut self, taken: Taken) -> Self {
        self.taken = taken;
        self
    }

    /// The token that cancels the work.
    pub(super) fn cancellation(&self) -> CancellationToken {
        self.cancellation.clone()
    }

    /// Runs the work and waits for its result, even after it was cancelled, because the result says what really
    /// happened.
    pub(super) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let Self { permit, threads, cancellation, deadline, taken, working } = self;
        let _guard = Guard::new(cancellation, deadline);
        finish(threads.spawn_blocking(move || holding((permit, taken, working), work))).await
    }

    /// Runs work that writes a response. A large response is sent while it is written.
    ///
    /// # Errors
    ///
    /// The error of the work, if nothing was sent yet. If the work fails later, the connection is closed before the
    /// end of the body, so that the client sees that the answer is incomplete.
    pub(super) async fn respond(
        self,
        work: impl FnOnce(&mut Output) -> Result<(), Failure> + Send + 'static,
    ) -> Result<Response, Failure> {
        let Self { permit, threads, cancellation, deadline, taken, working } = self;
        let guard = Guard::new(cancellation, deadline);
        let (sender, mut chunks) = mpsc::channel(WAITING);
        let mut output =
            Output { media_type: "", buffer: Vec::new(), sender, runtime: Handle::current(), deadline };
        let work = threads.spawn_blocking(move || {
            holding((permit, taken, working), || {
                work(&mut output)?;
                Ok((output.media_type, Bytes::from(mem::take(&mut output.buffer))))
            })
        });
        let first =
            timeout_at(deadline + GRACE_PERIOD, chunks.recv()).await.map_err(|_| Failure::timed_out())?;
        let Some((media_type, first)) = first else {
            // The work has ended, and its response fits into the buffer.
            let (media_type, all) = finish(work).await?;
            return Ok(([(header::CONTENT_TYPE, media_type)], all).into_response());
        };
        let sending = Sending { first: Some(first), chunks, work: Some(work), _guard: guard };
        let body = stream::unfold(sending, |mut sending| async { Some((sending.next().await?, sending)) });
        // The compression layer polls once more after the end.
        Ok(([(header::CONTENT_TYPE, media_type)], Body::from_stream(body.fuse())).into_response())
    }
}

/// The slot is released when the work has ended, even if its client disconnected earlier.
fn holding<T>(held: impl Sized, work: impl FnOnce() -> T) -> T {
    let result = work();
    drop(held);
    result
}

async fn finish<T>(work: JoinHandle<Result<T, Failure>>) -> Result<T, Failure> {
    work.await.unwrap_or_else(|error| Err(Failure::internal(&error)))
}

/// Cancels the work at its time limit, or when this is dropped, because the client has disconnected or the response
/// is complete.
struct Guard {
    cancellation: CancellationToken,
    timer: AbortHandle,
}

impl Guard {
    fn new(cancellation: CancellationToken, deadline: Instant) -> Self {
        let timer = {
            let cancellation = cancellation.clone();
            async move {
                sleep_until(deadline).await;
                cancellation.cancel();
            }
        };
        Self { cancellation, timer: tokio::spawn(timer).abort_handle() }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.cancellation.cancel();
        self.timer.abort();
    }
}

type Work = JoinHandle<Result<(&'static str, Bytes), Failure>>;

/// A response that is being sent: chunks, then the rest of the work's buffer.
struct Sending {
    first: Option<Bytes>,
    chunks: mpsc::Receiver<(&'static str, Bytes)>,
    work: Option<Work>,
    _guard: Guard,
}

impl Sending {
    async fn next(&mut self) -> Option<Result<Bytes, Failure>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        if let Some((_, chunk)) = self.chunks.recv().await {
            return Some(Ok(chunk));
        }
        Some(finish(self.work.take()?).await.map(|(_, rest)| rest))
    }
}

/// The output of the work: first to memory, then to the client.
#[derive(Debug)]
pub(super) struct Output {
    /// It must be set before the first byte is written.
    pub(super) media_type: &'static str,
    buffer: Vec<u8>,
    sender: mpsc::Sender<(&'static str, Bytes)>,
    runtime: Handle,
    deadline: Instant,
}

impl Write for Output {
    /// Waits while the client is slow.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > CHUNK {
            let chunk = Bytes::from(mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK)));
            let send = async { timeout_at(self.deadline, self.sender.send((self.media_type, chunk))).await };
            match self.runtime.block_on(send) {
                Ok(Ok(())) => {}
                Ok(Err(_)) => {
                    return Err(io::Error::other(Failure::bad_request("the client has disconnected")));
                }
                Err(_elapsed) => return Err(io::Error::other(Failure::timed_out())),
            }
        }
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
