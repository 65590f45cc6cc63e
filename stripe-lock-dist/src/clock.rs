//! A clock that does not stop while the machine is suspended.

/// Nanoseconds since the machine was started, suspension included.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Nanoseconds since the first call. Whether this clock counts suspension depends on the system.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn now() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;

    static START: OnceLock<Instant> = OnceLock::new();
    // Never 0, which marks a lost lease.
    nanoseconds(START.get_or_init(Instant::now).elapsed()) + 1
}

/// `duration` in nanoseconds, or `u64::MAX / 2` if there are more than fit.
pub(crate) fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 2)
}
