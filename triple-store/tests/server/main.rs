//! The server from outside, over plain sockets: what clients may rely on, and what bad ones can't break.
#![cfg(feature = "server")]

mod client;
mod graphs;
mod limits;
mod process;
mod protocol;
mod w3c;
