//! What a runtime of tokio allows its tasks.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Whether tasks of a runtime go on while one of them blocks its thread.
pub(crate) fn is_parallel(runtime: &Handle) -> bool {
    runtime.runtime_flavor() == RuntimeFlavor::MultiThread && runtime.metrics().num_workers() > 1
}
