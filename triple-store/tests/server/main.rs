//! The server over plain sockets: its guarantees for clients, and its protection against bad clients.
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
