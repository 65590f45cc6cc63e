//! From documents to quads: syntaxes, how deep they nest, how they are packed, and where they come from.

pub(crate) mod blank;
#[cfg(feature = "client")]
pub(crate) mod client;
pub(crate) mod compression;
pub(crate) mod document;
pub(crate) mod encoding;
pub(crate) mod markup;
pub(crate) mod nesting;
pub(crate) mod remote;
