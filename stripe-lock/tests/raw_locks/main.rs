//! The same tests of the blocking locks over several raw locks, and tests of the library's own raw locks.

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

mod byte_mutex;
mod mutex;
mod reentrant;
mod rwlock;
mod word_rwlock;
