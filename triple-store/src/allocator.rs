//! Freed memory goes back to the system.

/// Gives the system the free pages of glibc's heaps, at most twice a second. It takes 5 to 15 ms.
///
/// A load allocates and frees millions of terms beside pages that stay in the cache. By default, glibc keeps what is freed
/// between them, so the process takes twice the memory that it uses.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "a load of 100 million triples does not fit into 1 GiB without it")]
pub(crate) fn trim() {
    use parking_lot::Mutex;
    use std::time::{Duration, Instant};

    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let Some(mut last) = LAST.try_lock() else { return };
    if last.is_none_or(|last| last.elapsed() > Duration::from_millis(500)) {
        // SAFETY: any thread may call it at any time. It touches only memory that is free.
        unsafe { libc::malloc_trim(0) };
        *last = Some(Instant::now());
    }
}

/// Other allocators have no such call.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn trim() {}
