//! Models that exhaust the interleavings of stripe-lock, with their negative controls.
