//! The server from outside, over plain sockets: what clients may rely on, and what bad ones can't break.
#![cfg(feature = "server")]

mod browser;
mod client;
mod compression;
mod graphs;
mod guard;
mod limits;
mod log;
mod page;
mod process;
mod protocol;
mod service;
mod w3c;
