//! How `stripe-lock`, `vde-store` and `triple-store` compare with what else there is, and what striping buys.
//!
//! - [`contenders`]: everything that is measured, each kind behind one small trait;
//! - [`workloads`]: what contenders are asked to do, over [`keys`];
//! - [`harness`]: the one way of measuring: interleaved rounds, and every figure a [`spread::Spread`];
//! - [`latencies`]: the times of single operations;
//! - [`cli`]: what the command lines have in common;
//! - [`rdf`]: quads to load, generated or from a file;
//! - [`quads`]: the comparison of quad stores, for this crate's binary and for one that brings more contenders;
//! - [`chart`]: the charts of the READMEs, from the tables that they show;
//! - [`model`]: a simulation that carries the measured curves past this machine.
//!
//! Crates to compare with are behind features: the locks of others behind `locks`, disk engines behind `disk`; `peers` has all of
//! them. The report is on by default, and needs none.
//!
//! The criterion targets (`cargo bench -p benches`) and the report (`cargo run --release`) both run the cases that
//! [`workloads`] makes.

#![allow(clippy::missing_panics_doc, reason = "measuring code asserts its own bookkeeping")]
#![allow(clippy::cast_sign_loss, reason = "times and counts are positive")]

pub mod chart;
pub mod cli;
pub mod contenders;
pub mod harness;
pub mod keys;
pub mod latencies;
pub mod machine;
pub mod model;
pub mod published;
#[cfg(feature = "report")]
pub mod quads;
#[cfg(feature = "report")]
pub mod rdf;
#[cfg(feature = "report")]
pub mod report;
pub mod results;
pub mod spread;
pub mod suites;
pub mod workloads;

/// The code in the README of the workspace, so that it is compiled and run.
#[cfg(all(doctest, feature = "report"))]
#[doc = include_str!("../../README.md")]
struct Readme;
