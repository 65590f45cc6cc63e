//! Raw locks made of the model checker's own mutex and condition variable.

use std::sync::OnceLock;

use lock_api::{GuardSend, RawMutex, RawRwLock};
use loom::sync::{Condvar, Mutex};

/// Who holds a lock: `readers` of them, or one writer.
#[derive(Default)]
struct Holders {
    readers: usize,
    writer: bool,
}

/// The model checker's objects can't be made in a constant, as raw locks have to be, so they are made on first use. A
/// model makes that use before it starts threads (by locking all stripes once): made during the race, they would
/// order threads that nothing else orders.
struct Shared {
    holders: OnceLock<(Mutex<Holders>, Condvar)>,
}

impl Shared {
    const fn new() -> Self {
        Self { holders: OnceLock::new() }
    }

    fn parts(&self) -> &(Mutex<Holders>, Condvar) {
        self.holders.get_or_init(|| (Mutex::new(Holders::default()), Condvar::new()))
    }

    /// Waits until `free`, then notes the new holder by `take`.
    fn wait(&self, free: impl Fn(&Holders) -> bool, take: impl Fn(&mut Holders)) {
        let (holders, changed) = self.parts();
        let mut holders = holders.lock().expect("no model panics inside a raw lock");
        while !free(&holders) {
            holders = changed.wait(holders).expect("no model panics inside a raw lock");
        }
        take(&mut holders);
    }

    fn attempt(&self, free: impl Fn(&Holders) -> bool, take: impl Fn(&mut Holders)) -> Option<GuardSend> {
        let mut holders = self.parts().0.lock().expect("no model panics inside a raw lock");
        free(&holders).then(|| {
            take(&mut holders);
            GuardSend::new()
        })
    }

    fn change(&self, change: impl Fn(&mut Holders)) {
        let (holders, changed) = self.parts();
        change(&mut holders.lock().expect("no model panics inside a raw lock"));
        changed.notify_all();
    }

    fn look(&self, look: impl Fn(&Holders) -> bool) -> bool {
        look(&self.parts().0.lock().expect("no model panics inside a raw lock"))
    }
}

fn unlocked(holders: &Holders) -> bool {
    holders.readers == 0 && !holders.writer
}

/// A raw mutex that the model checker sees.
///
/// # Examples
///
/// ```
/// use loom_tests::{LoomMutex, explore};
/// use stripe_lock::{DefaultHasher, StripedMutex};
///
/// explore("one thread", None, || {
///     let locks = StripedMutex::<u8, (), LoomMutex, _>::with_hasher(2, DefaultHasher::default());
///     drop(locks.lock_all());
/// });
/// ```
pub struct LoomMutex(Shared);

// SAFETY: `wait` and `attempt` admit one holder at a time, under a mutex that orders each after the one before.
unsafe impl RawMutex for LoomMutex {
    #[allow(clippy::declare_interior_mutable_const, reason = "required by the trait")]
    const INIT: Self = Self(Shared::new());
    type Guard = GuardSend;

    fn lock(&self) -> GuardSend {
        self.0.wait(unlocked, |holders| holders.writer = true);
        GuardSend::new()
    }

    fn try_lock(&self) -> Option<GuardSend> {
        self.0.attempt(unlocked, |holders| holders.writer = true)
    }

    unsafe fn unlock(&self, _: GuardSend) {
        self.0.change(|holders| holders.writer = false);
    }

    fn is_locked(&self) -> bool {
        !self.0.look(unlocked)
    }
}

/// A raw read-write lock that the model checker sees.
///
/// # Examples
///
/// ```
/// use loom_tests::{LoomRwLock, explore};
/// use stripe_lock::{DefaultHasher, StripedRwLock};
///
/// explore("one thread", None, || {
///     let locks = StripedRwLock::<u8, (), LoomRwLock, _>::with_hasher(2, DefaultHasher::default());
///     drop(locks.read_all());
/// });
/// ```
pub struct LoomRwLock(Shared);

// SAFETY: `wait` and `attempt` admit one writer or any number of readers, under a mutex that orders each after those
// before.
unsafe impl RawRwLock for LoomRwLock {
    #[allow(clippy::declare_interior_mutable_const, reason = "required by the trait")]
    const INIT: Self = Self(Shared::new());
    type SharedGuard = GuardSend;
    type ExclusiveGuard = GuardSend;

    fn lock_shared(&self) -> GuardSend {
        self.0.wait(|holders| !holders.writer, |holders| holders.readers += 1);
        GuardSend::new()
    }

    fn try_lock_shared(&self) -> Option<GuardSend> {
        self.0.attempt(|holders| !holders.writer, |holders| holders.readers += 1)
    }

    unsafe fn unlock_shared(&self, _: GuardSend) {
        self.0.change(|holders| holders.readers -= 1);
    }

    fn lock_exclusive(&self) -> GuardSend {
        self.0.wait(unlocked, |holders| holders.writer = true);
        GuardSend::new()
    }

    fn try_lock_exclusive(&self) -> Option<GuardSend> {
        self.0.attempt(unlocked, |holders| holders.writer = true)
    }

    unsafe fn unlock_exclusive(&self, _: GuardSend) {
        self.0.change(|holders| holders.writer = false);
    }

    fn is_locked(&self) -> bool {
        !self.0.look(unlocked)
    }

    fn is_locked_exclusive(&self) -> bool {
        self.0.look(|holders| holders.writer)
    }
}
