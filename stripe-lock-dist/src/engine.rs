//! What an engine has to do, for those who write another one.
//!
//! An engine keeps *tickets* in the queues of stripes, and *leases* of clients. This crate does the rest: it finds the stripes
//! of keys, lets the tasks of one process wait for each other without the engine, renews the lease, and tells guards when it
//! is lost.
//!
//! | who | state | event | then |
//! |---|---|---|---|
//! | ticket | new | [`take`](Client::take), all its stripes are free and have no queue | holder |
//! | | new | [`take`](Client::take) otherwise | in the queues of all its stripes, or absent (without waiting) |
//! | | queued | first in all its queues, and all its stripes are free | holder; its client is [woken](Wake) |
//! | | queued, holder | [`give_back`](Client::give_back) | absent |
//! | | queued, holder | its client's lease is gone | absent |
//! | client | leased | [`renew`](Client::renew) before the lease has expired | leased |
//! | | leased | the TTL passed since the last renewal, by the engine's clock | gone, as soon as anybody needs what it held |
//! | | leased | the engine lost the leases (a crash) | gone; a new client is granted nothing until the longest TTL has passed |
//! | | gone | anything | gone: [`take`](Client::take) says [`Dead`](Taken::Dead), [`renew`](Client::renew) says `false` |
//!
//! What an engine must hold:
//!
//! 1. A stripe has at most one ticket as its holder.
//! 2. A ticket enters all its queues at once. So of two tickets with a common stripe the same one is first everywhere, and no
//!    two can wait for each other.
//! 3. Of the fences of one stripe, every grant's are above those of all earlier grants, even if processes or the server crashed in between. A grant has
//!    [`TURNS`] of them.
//! 4. Calls may be repeated, and may arrive late: an engine that was sent a call twice, because the answer to the first
//!    was lost, answers as if it was sent once.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::Error;

/// How many fences belong to a grant, and so how often the tasks of a process may hand a stripe to each other before the engine
/// is asked again.
///
/// # Examples
///
/// ```
/// assert_eq!(stripe_lock_dist::engine::TURNS, 1024);
/// ```
pub const TURNS: u32 = 1024;

/// What a call of an engine returns.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// What all clients of a namespace must agree on.
///
/// # Examples
///
/// ```
/// # fn f(space: &stripe_lock_dist::engine::Space) {
/// println!("{}: {} stripes", space.name, space.stripes);
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Space {
    /// The namespace. Locks of different namespaces have nothing to do with each other.
    pub name: String,
    /// The number of stripes, a power of two.
    pub stripes: u32,
    /// The name of the function from keys to stripes.
    pub hash: &'static str,
    /// How long a lease lasts unless it is renewed. This may differ between clients.
    pub ttl: Duration,
}

/// How a ticket stands.
///
/// # Examples
///
/// ```
/// use stripe_lock_dist::engine::Taken;
///
/// assert!(matches!(Taken::Granted(1024), Taken::Granted(fence) if fence > 0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It holds its stripes, with the fences from this one on.
    Granted(i64),
    /// It waits in the queues. Look again when woken, or after this time: a lease ahead of it may have expired by then.
    Queued(Duration),
    /// A stripe is held or has a queue, and this ticket must not wait.
    Busy,
    /// The lease of the client is gone.
    Dead,
}

/// Whom an engine wakes.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use stripe_lock_dist::engine::{Wake, Woken};
///
/// let wake: Wake = Arc::new(|whom| assert_eq!(whom, Woken::Ticket(7)));
/// wake(Woken::Ticket(7));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// This ticket may hold its stripes by now.
    Ticket(i64),
    /// Any ticket may, because messages may have been lost.
    All,
}

/// What an engine calls to wake waiters. It neither blocks nor panics.
pub type Wake = Arc<dyn Fn(Woken) + Send + Sync>;

/// An engine: something that several processes can reach, and that keeps their queues.
///
/// Its methods run on a thread of this crate, inside a runtime of tokio.
///
/// # Examples
///
/// ```no_run
/// # use stripe_lock_dist::{DistributedMutex, Error, engine::Engine};
/// async fn connect(engine: impl Engine) -> Result<DistributedMutex<str>, Error> {
///     DistributedMutex::builder("orders").connect(engine).await
/// }
/// ```
pub trait Engine: Send + Sync + 'static {
    /// Joins a namespace as a new client with a lease, and creates the namespace if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the namespace has other stripes or another hash, [`Error::Unreachable`] for what may pass.
    fn join<'a>(&'a self, space: &'a Space, wake: Wake) -> Answer<'a, Joined>;
}

/// A client that has joined.
///
/// # Examples
///
/// ```
/// use stripe_lock_dist::engine::{Client, Joined};
///
/// fn joined(client: impl Client) -> Joined {
///     Joined { seed: [7; 16], client: Box::new(client) }
/// }
/// ```
pub struct Joined {
    /// A random number of the namespace, for its hash.
    pub seed: [u8; 16],
    /// What to call.
    pub client: Box<dyn Client>,
}

/// One incarnation of a process in an engine, with a lease of its own.
///
/// An error of a method is [`Error::Unreachable`] if it may pass. The call may have been done or not, and is repeated.
///
/// # Examples
///
/// ```
/// use stripe_lock_dist::Error;
/// use stripe_lock_dist::engine::Client;
///
/// async fn renewed(client: &dyn Client) -> Result<bool, Error> {
///     client.renew().await
/// }
/// ```
pub trait Client: Send + Sync + 'static {
    /// Renews the lease. False: it is gone.
    fn renew(&self) -> Answer<'_, bool>;

    /// Puts `ticket` into the queues of `stripes`, which ascend, or looks how it stands if it is there already.
    fn take<'a>(&'a self, ticket: i64, stripes: &'a [i32], wait: bool) -> Answer<'a, Taken>;

    /// Gives back what `ticket` holds, or withdraws it. False: it did not hold all of `stripes`.
    fn give_back<'a>(&'a self, ticket: i64, stripes: &'a [i32]) -> Answer<'a, bool>;

    /// Ends the lease, which holds nothing any more.
    fn leave(&self) -> Answer<'_, ()>;
}
