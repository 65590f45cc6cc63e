//! A pair of barriers of which one is free: the releaser's stops only the compiler, and the sleeper's is a full barrier on
//! every running thread of the process.
//!
//! A releaser writes the lock byte and then reads the byte that says whether a thread sleeps. A sleeper writes that byte and
//! then reads the lock byte. At least one of the two has to see what the other wrote. The usual way is a full barrier
//! between write and read on both sides. Here the sleeper alone issues it for both: the system interrupts each processor
//! that runs a thread of this process, and each of them passes a full barrier.
//!
//! The barrier interrupts the releaser either before its read or after it. If before, the sleeper's write, which precedes the
//! interrupt, is visible to the read. If after, the barrier also comes after the releaser's write, because the compiler
//! barrier keeps the write before the read in the machine code. So the sleeper's read, which follows the interrupt, sees that
//! write. A thread that isn't running passed a full barrier when it was descheduled. The pair is as strong as a sequentially
//! consistent read-modify-write of one location by each of the two: the second sees everything that came before the first. A
//! model uses that instead.
//!
//! On Linux the barrier is `membarrier` with the command `PRIVATE_EXPEDITED`, on Windows `FlushProcessWriteBuffers`. If the
//! system has neither, or a system call filter forbids it, releases are exchanges. The first release or the first wait decides
//! this once for the process. Releases before the decision are exchanges, which are correct with either kind of sleeper.

#[cfg(not(loom))]
pub(super) use program::{everywhere, here, here_in_any_mode, release_by_store};

#[cfg(loom)]
pub(super) use model::{everywhere, here, here_in_any_mode, release_by_store};

#[cfg(not(loom))]
mod program {
    use core::sync::atomic::{AtomicU8, Ordering, compiler_fence, fence};

    use super::system;

    const UNDECIDED: u8 = 0;
    const STORE: u8 = 1;
    const EXCHANGE: u8 = 2;

    /// How locks are released in this process.
    static RELEASE: AtomicU8 = AtomicU8::new(UNDECIDED);

    /// Whether a release may be a store.
    #[inline]
    pub(in super::super) fn release_by_store() -> bool {
        RELEASE.load(Ordering::Relaxed) == STORE
    }

    #[cold]
    fn decide() -> u8 {
        let decision = if system::register() { STORE } else { EXCHANGE };
        // Several threads may come here at once, and the first decides for all. Release: a thread that sees the decision
        // may use the barrier.
        match RELEASE.compare_exchange(UNDECIDED, decision, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => decision,
            Err(decided) => decided,
        }
    }

    fn decided() -> u8 {
        match RELEASE.load(Ordering::Acquire) {
            UNDECIDED => decide(),
            decided => decided,
        }
    }

    /// The releaser's barrier, between its write and its read, if [`release_by_store`] is true.
    #[inline]
    pub(in super::super) fn here() {
        compiler_fence(Ordering::SeqCst);
    }

    /// The releaser's barrier, between its write and its read.
    pub(in super::super) fn here_in_any_mode() {
        decided();
        fence(Ordering::SeqCst);
    }

    /// The sleeper's barrier, between its write and its read. Returns whether it worked: a system call that was permitted
    /// when the process began may be forbidden by now.
    pub(in super::super) fn everywhere() -> bool {
        let decided = decided();
        fence(Ordering::SeqCst);
        decided == EXCHANGE || system::barrier()
    }
}

#[cfg(all(not(loom), any(target_os = "linux", target_os = "android")))]
mod system {
    /// `MEMBARRIER_CMD_PRIVATE_EXPEDITED` and `MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED` of `linux/membarrier.h`.
    const BARRIER: libc::c_long = 1 << 3;
    const REGISTER: libc::c_long = 1 << 4;

    fn membarrier(command: libc::c_long) -> bool {
        let none: libc::c_long = 0;
        // SAFETY: the system call takes three numbers and touches no memory of this process.
        unsafe { libc::syscall(libc::SYS_membarrier, command, none, none) == 0 }
    }

    pub(super) fn register() -> bool {
        membarrier(REGISTER)
    }

    pub(super) fn barrier() -> bool {
        membarrier(BARRIER)
    }
}

#[cfg(all(not(loom), windows))]
mod system {
    #[link(name = "kernel32")]
    unsafe extern "system" {
        safe fn FlushProcessWriteBuffers();
    }

    pub(super) fn register() -> bool {
        true
    }

    pub(super) fn barrier() -> bool {
        FlushProcessWriteBuffers();
        true
    }
}

#[cfg(all(not(loom), not(any(target_os = "linux", target_os = "android", windows))))]
mod system {
    pub(super) fn register() -> bool {
        false
    }

    pub(super) fn barrier() -> bool {
        false
    }
}

#[cfg(loom)]
mod model {
    use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    loom::lazy_static! {
        /// The location that both sides change.
        static ref MEETING: AtomicUsize = AtomicUsize::new(0);
    }

    pub(in super::super) fn release_by_store() -> bool {
        true
    }

    pub(in super::super) fn here() {
        MEETING.fetch_add(1, SeqCst);
    }

    pub(in super::super) fn here_in_any_mode() {
        here();
    }

    pub(in super::super) fn everywhere() -> bool {
        MEETING.fetch_add(1, SeqCst);
        true
    }
}
