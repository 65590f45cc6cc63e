//! Reports of a program that copies the store elsewhere.

use std::sync::Arc;

use crate::engine::shipping::Shipping;
use crate::faces::store::Vde;

impl Vde {
    /// Begins to report how far this store is copied elsewhere, and ends the reports of whoever did so before. Writes with
    /// [`Durability::Shipped`](crate::Durability::Shipped) call `ask` with their version, and wait until the reports
    /// have reached it. `ask` must not block.
    ///
    /// # Examples
    ///
    /// ```
    /// use vde_store::{Durability, Vde};
    ///
    /// let store = Vde::in_memory()?;
    /// let (ask, asked) = std::sync::mpsc::channel();
    /// let shipping = store.shipping(move |version| _ = ask.send(version));
    /// std::thread::spawn(move || {
    ///     for version in asked {
    ///         // copy the store elsewhere
    ///         shipping.advance(version);
    ///     }
    /// });
    /// store.with_durability(Durability::Shipped).put("k", "v")?; // it is in two places
    /// # Ok::<(), vde_store::Error>(())
    /// ```
    pub fn shipping(&self, ask: impl Fn(u64) + Send + Sync + 'static) -> Shipping {
        Shipping::new(&self.shared().shipped, Arc::new(ask))
    }
}
