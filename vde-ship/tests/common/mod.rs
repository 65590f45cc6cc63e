//! What the tests share: an object store that fails, and a store whose every state is known.
#![allow(dead_code, unused_imports, reason = "each test uses a part of it")]

mod model;
mod objects;

pub(crate) use model::{Contents, Model, contents, quick, restored, small};
pub(crate) use objects::Flaky;
