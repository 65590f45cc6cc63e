//! What the program that serves the store adds to `/metrics` and `/health`.

use super::options::ServerOptions;
use std::fmt;
use std::sync::Arc;

/// Reads a gauge.
#[derive(Clone)]
pub(super) struct Read(Arc<dyn Fn() -> f64 + Send + Sync>);

impl Read {
    pub(super) fn now(&self) -> f64 {
        (self.0)()
    }
}

impl fmt::Debug for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Read")
    }
}

type Health = dyn Fn() -> Result<String, String> + Send + Sync;

/// The gauges, each with its name and what it means, and the report.
#[derive(Clone, Default)]
pub(super) struct Reports {
    pub(super) gauges: Vec<(String, String, Read)>,
    health: Option<Arc<Health>>,
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reports").field("gauges", &self.gauges).finish_non_exhaustive()
    }
}

impl Reports {
    pub(super) fn health(&self) -> Result<String, String> {
        self.health.as_ref().map_or_else(|| Ok(String::new()), |health| health())
    }
}

impl ServerOptions {
    /// Adds a gauge to `/metrics`, with the name `triples_` and `name`. `read` is called at each request.
    ///
    /// # Examples
    ///
    /// ```
    /// # use triple_store::server::ServerOptions;
    /// let options = ServerOptions::new().gauge("room_celsius", "Temperature of the room", || 21.5);
    /// # let _ = options;
    /// ```
    pub fn gauge(
        mut self,
        name: impl Into<String>,
        help: impl Into<String>,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Self {
        self.reports.gauges.push((name.into(), help.into(), Read(Arc::new(read))));
        self
    }

    /// Adds a report to `/health`. If `report` returns an error, the answer is that error, with 503. Otherwise the text
    /// follows the line `ok`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use triple_store::server::ServerOptions;
    /// let options = ServerOptions::new().health(|| Ok("room: 21.5 degrees\n".into()));
    /// # let _ = options;
    /// ```
    pub fn health(mut self, report: impl Fn() -> Result<String, String> + Send + Sync + 'static) -> Self {
        self.reports.health = Some(Arc::new(report));
        self
    }
}
