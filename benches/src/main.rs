//! The report of what striping buys on this machine.

fn main() {}
