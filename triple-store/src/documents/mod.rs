//! From documents to quads: syntaxes, limits of nesting, compression, and other servers.

pub(crate) mod blank;
#[cfg(feature = "client")]
pub(crate) mod client;
pub(crate) mod compression;
pub(crate) mod document;
pub(crate) mod encoding;
pub(crate) mod markup;
pub(crate) mod nesting;
pub(crate) mod remote;
