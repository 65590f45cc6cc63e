//! The interface of an engine, for writing another one.
//!
//! An engine keeps *tickets* in the queues of stripes, and *leases* of clients. This crate does the rest: it finds the
//! stripes of keys, lets the tasks of one process wait for each other without the engine, renews the lease, and tells
//! guards when it is lost.
//!
//! | what | state | event | then |
//! |---|---|---|---|
//! | ticket | new | [`take`](Client::take), all its stripes are free and have no queue | holder |
//! | | new | [`take`](Client::take) otherwise | in the queues of all its stripes, or absent (without waiting) |
//! | | queued | first in all its queues, and all its stripes are free | holder; its client is [woken](Wake) |
//! | | queued, holder | [`give_back`](Client::give_back) | absent |
//! | | queued, holder | its client's lease is gone | absent |
//! | client | leased | [`renew`](Client::renew) before the lease has expired | leased |
//! | | leased | the TTL passed since the last renewal, by the engine's clock | gone, as soon as another client needs what it held |
//! | | leased | the engine lost the leases (a crash) | gone; a new client is granted nothing until the longest TTL has passed |
//! | | gone | anything | gone: [`take`](Client::take) returns [`Dead`](Taken::Dead), [`renew`](Client::renew) returns `false` |
//!
//! An engine must keep these rules:
//!
//! 1. A stripe has at most one ticket as its holder.
//! 2. A ticket enters all its queues at once. So if two tickets have common stripes, the same one is ahead in all of
//!    these queues, and the two can't wait for each other.
//! 3. The fences of a grant are above those of all earlier grants of the stripe, even if processes or the server
//!    crashed in between. A grant has [`TURNS`] fences.
//! 4. Calls may be repeated, and may arrive late. If a call is sent twice because the first answer was lost, the engine
//!    answers as if it was sent once.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::Error;

/// The number of fences of a grant. Each time that a task of the process hands the stripe to another one uses up one
/// fence. After the last one the process asks the engine again.
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

/// The state of a ticket.
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
    /// It waits in the queues. Call `take` again when it is woken or after this time, because a lease ahead of it may
    /// have expired by then.
    Queued(Duration),
    /// A stripe is held or has a queue, and this ticket must not wait.
    Busy,
    /// The lease of the client is gone.
    Dead,
}

/// The tickets that an engine wakes.
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
    /// This ticket holds its stripes, so `take` need not be called again.
    Granted {
        /// The ticket.
        ticket: i64,
        /// The first of its fences.
        fence: i64,
    },
    /// This ticket may hold its stripes by now.
    Ticket(i64),
    /// Any ticket may hold its stripes by now, because messages may have been lost.
    All,
}

/// The function that an engine calls to wake waiters. It neither blocks nor panics.
pub type Wake = Arc<dyn Fn(Woken) + Send + Sync>;

/// A service that several processes can reach, and that keeps their queues.
///
/// Its methods run inside a runtime of tokio, on a thread of this crate. [`take`](Client::take) and
/// [`give_back`](Client::give_back) also run in the runtime of their caller, if that has several threads. A future of `take`
/// may be dropped at any time; the ticket is then given back on the thread of this crate, although the call may still
/// take effect later. A future of `give_back` may be dropped too, and is then repeated there.
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
    /// [`Error::Refused`] if the namespace has another number of stripes or another hash; [`Error::Unreachable`] if
    /// trying again may help.
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
    /// The client, for all further calls.
    pub client: Box<dyn Client>,
}

/// One incarnation of a process in an engine, with a lease of its own.
///
/// A method returns [`Error::Unreachable`] if trying again may help. The call may or may not have taken effect, and is
/// repeated.
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
    /// Renews the lease. Returns `false` if it is gone.
    fn renew(&self) -> Answer<'_, bool>;

    /// Puts `ticket` into the queues of `stripes`, which are in ascending order. A ticket that is known already is not
    /// queued again.
    fn take<'a>(&'a self, ticket: i64, stripes: &'a [i32], wait: bool) -> Answer<'a, Taken>;

    /// Releases what `ticket` holds, or removes it from the queues. Returns `false` if it did not hold all of
    /// `stripes`.
    fn give_back<'a>(&'a self, ticket: i64, stripes: &'a [i32]) -> Answer<'a, bool>;

    /// Ends the lease. By then the client holds nothing.
    fn leave(&self) -> Answer<'_, ()>;
}
