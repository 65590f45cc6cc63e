//! A pair of barriers of which one is free: the releaser's holds the compiler only, the sleeper's holds every thread of the
//! process.
//!
//! A releaser writes the lock byte and then reads the byte that says whether somebody sleeps. A sleeper writes that byte and
//! then reads the lock byte. At least one of the two has to see what the other wrote. Ordinarily both put a full barrier
//! between their write and their read. Here the sleeper alone does so, for both: the system interrupts each processor that
//! runs a thread of this process, and each of them passes a full barrier meanwhile.
//!
//! For a releaser, that barrier falls either before its read or after it. If before, then the sleeper's write, which came
//! before the interrupt, is visible to the read. If after, then it comes after the releaser's write too, which is before the
//! read in the program and, thanks to the compiler barrier, in the machine code; so the sleeper's read, which comes after the
//! interrupt, sees that write. A thread that isn't running passed a full barrier when it was scheduled out. This is as strong
//! as a sequentially consistent read-modify-write of one location by each of the two, which is what a model puts in its place:
//! whichever comes second sees all that came before the first.
//!
//! On Linux the barrier is `membarrier` with the command `PRIVATE_EXPEDITED`, on Windows `FlushProcessWriteBuffers`. Where
//! there is neither, or a system call filter forbids it, releases are exchanges. Which of the two holds is decided once for
//! the process, by the first release or the first wait, and never changes: releases before that are exchanges, which are right
//! beside either kind of sleeper.

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
        // Several may come here at once; the first decides for all. Release: whoever sees the decision may use the barrier.
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

    /// The releaser's side, between its write and its read, where [`release_by_store`] holds.
    #[inline]
    pub(in super::super) fn here() {
        compiler_fence(Ordering::SeqCst);
    }

    /// The releaser's side, between its write and its read.
    pub(in super::super) fn here_in_any_mode() {
        decided();
        fence(Ordering::SeqCst);
    }

    /// The sleeper's side, between its write and its read. Says whether it held every thread: a system call that worked when
    /// the process began may be forbidden since.
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
        /// What both sides change.
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
