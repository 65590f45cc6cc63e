//! The stored data: the dictionary, the run in its chunks, the records of commits, and the journal, which stores them
//! in a `vde-store`.

pub(crate) mod chunk;
pub(crate) mod dictionary;
pub(crate) mod durability;
pub(crate) mod fanouts;
pub(crate) mod instead;
pub(crate) mod journal;
pub(crate) mod live;
pub(crate) mod order;
pub(crate) mod pages;
pub(crate) mod planted;
pub(crate) mod record;
pub(crate) mod rewrite;
pub(crate) mod run;
