//! etcd as an engine.

mod client;
mod link;
mod names;
mod watches;

use std::fmt;

use etcd_client::ConnectOptions;

use crate::engine::{Answer, Engine, Joined, Space, Wake};
use client::EtcdClient;

/// etcd, as the engine of a [`DistributedMutex`](crate::DistributedMutex): version 3.4 or newer.
///
#[doc = include_str!("etcd/DESIGN.md")]
#[derive(Clone)]
pub struct Etcd {
    endpoints: Vec<String>,
    options: ConnectOptions,
}

impl Etcd {
    /// The most stripes that one call can take. A call is one transaction with two operations for each stripe, and a
    /// server admits 128 operations by default (`--max-txn-ops`).
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(stripe_lock_dist::Etcd::MOST_STRIPES, 60);
    /// ```
    pub const MOST_STRIPES: usize = 60;

    /// The cluster whose members have these addresses. One member is used until it fails, and then the next one. The
    /// connections are not encrypted: use [`with_options`](Self::with_options) over a network that you do not trust.
    ///
    /// # Examples
    ///
    /// ```
    /// use stripe_lock_dist::Etcd;
    ///
    /// let engine = Etcd::new(["http://10.0.0.1:2379", "http://10.0.0.2:2379", "http://10.0.0.3:2379"]);
    /// ```
    pub fn new(endpoints: impl IntoIterator<Item: Into<String>>) -> Self {
        Self::with_options(endpoints, ConnectOptions::new())
    }

    /// A cluster, with options such as a user or a certificate. This crate sets the options for timeouts and keep-alive
    /// itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd_client::ConnectOptions;
    /// use stripe_lock_dist::Etcd;
    ///
    /// let user = ConnectOptions::new().with_user("app", "secret");
    /// let engine = Etcd::with_options(["http://localhost:2379"], user);
    /// ```
    pub fn with_options(endpoints: impl IntoIterator<Item: Into<String>>, options: ConnectOptions) -> Self {
        Self { endpoints: endpoints.into_iter().map(Into::into).collect(), options }
    }
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Etcd").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

impl Engine for Etcd {
    fn join<'a>(&'a self, space: &'a Space, wake: Wake) -> Answer<'a, Joined> {
        Box::pin(EtcdClient::join(self.clone(), space, wake))
    }
}
