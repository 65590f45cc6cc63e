//! Terms and quads as numbers, and the patterns that match them.

pub(crate) mod codec;
pub(crate) mod pattern;
pub(crate) mod prefixes;
pub(crate) mod quad;
pub(crate) mod stored_term;
pub(crate) mod term;
