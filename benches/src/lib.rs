//! How `stripe-lock`, `vde-store` and `triple-store` compare with other crates, and what striping buys.
//!
//! - [`contenders`]: everything that is measured, each kind behind one small trait;
//! - [`workloads`]: what contenders are asked to do, over [`keys`];
//! - [`harness`]: how everything is measured: in interleaved rounds, with a [`spread::Spread`] for each figure;
//! - [`latencies`]: the times of single operations;
//! - [`cli`]: what the command lines have in common;
//! - [`rdf`]: quads to load, generated or from a file;
//! - [`quads`]: the comparison of quad stores, for this crate's binary and for one that brings more contenders;
//! - [`chart`]: the charts of the READMEs, from the tables that they show;
//! - [`model`]: a simulation of more writers and stripes than this machine can run.
//!
//! Crates to compare with are behind features: locks behind `locks`, disk engines behind `disk`, and all of them behind
//! `peers`. The report is on by default, and needs none of these.
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
