//! The read-write lock of a model, made of the model checker's mutex and condition variable.

use std::sync::{OnceLock, PoisonError};
use std::time::{Duration, Instant};

use loom::sync::{Condvar, Mutex, MutexGuard};

use super::{
    GuardSend, RawRwLock, RawRwLockDowngrade, RawRwLockFair, RawRwLockTimed, RawRwLockUpgrade,
    RawRwLockUpgradeDowngrade, RawRwLockUpgradeFair, RawRwLockUpgradeTimed,
};

/// The holders of a lock: one writer, or readers of which one may be upgradable.
#[derive(Default)]
struct Holders {
    readers: usize,
    upgradable: bool,
    writer: bool,
}

impl Holders {
    /// Adds a reader, if that is permitted.
    fn read(&mut self) -> bool {
        let free = !self.writer;
        self.readers += usize::from(free);
        free
    }

    /// Adds the writer, if that is permitted.
    fn write(&mut self) -> bool {
        let free = self.readers == 0 && !self.upgradable && !self.writer;
        self.writer |= free;
        free
    }

    /// Adds the upgradable reader, if that is permitted.
    fn read_upgradable(&mut self) -> bool {
        let free = !self.upgradable && !self.writer;
        self.upgradable |= free;
        free
    }

    /// Makes the upgradable reader the writer, if that is permitted.
    fn upgrade(&mut self) -> bool {
        let free = self.readers == 0;
        if free {
            (self.upgradable, self.writer) = (false, true);
        }
        free
    }
}

/// The raw read-write lock of a model (`--cfg loom`). The model checker can't see `parking_lot`'s.
///
/// Time limits are ignored, because a model has no time.
pub struct ModelRwLock(OnceLock<(Mutex<Holders>, Condvar)>);

impl ModelRwLock {
    fn parts(&self) -> &(Mutex<Holders>, Condvar) {
        self.0.get_or_init(|| (Mutex::new(Holders::default()), Condvar::new()))
    }

    fn holders(&self) -> MutexGuard<'_, Holders> {
        self.parts().0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, enter: fn(&mut Holders) -> bool) -> GuardSend {
        let mut holders = self.holders();
        while !enter(&mut holders) {
            holders = self.parts().1.wait(holders).unwrap_or_else(PoisonError::into_inner);
        }
        GuardSend::new()
    }

    fn attempt(&self, enter: fn(&mut Holders) -> bool) -> Option<GuardSend> {
        enter(&mut self.holders()).then(GuardSend::new)
    }

    fn leave(&self, leave: fn(&mut Holders)) {
        leave(&mut self.holders());
        self.parts().1.notify_all();
    }
}

// SAFETY: `Holders` admits one writer or any number of readers. It is accessed under a mutex, which orders each
// acquisition after earlier releases.
unsafe impl RawRwLock for ModelRwLock {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait requires it")]
    const INIT: Self = Self(OnceLock::new());
    type SharedGuard = GuardSend;
    type ExclusiveGuard = GuardSend;

    fn lock_shared(&self) -> GuardSend {
        self.wait(Holders::read)
    }

    fn try_lock_shared(&self) -> Option<GuardSend> {
        self.attempt(Holders::read)
    }

    fn lock_exclusive(&self) -> GuardSend {
        self.wait(Holders::write)
    }

    fn try_lock_exclusive(&self) -> Option<GuardSend> {
        self.attempt(Holders::write)
    }

    fn is_locked(&self) -> bool {
        let holders = self.holders();
        holders.readers > 0 || holders.upgradable || holders.writer
    }

    unsafe fn unlock_shared(&self, _: GuardSend) {
        self.leave(|holders| holders.readers -= 1);
    }

    unsafe fn unlock_exclusive(&self, _: GuardSend) {
        self.leave(|holders| holders.writer = false);
    }
}

// SAFETY: as for `RawRwLock`. Waiters get the lock in any order, which includes the fair one.
unsafe impl RawRwLockFair for ModelRwLock {
    unsafe fn unlock_shared_fair(&self, state: GuardSend) {
        // SAFETY: the caller passes on the state of a shared acquisition.
        unsafe { self.unlock_shared(state) }
    }

    unsafe fn unlock_exclusive_fair(&self, state: GuardSend) {
        // SAFETY: the caller passes on the state of an exclusive acquisition.
        unsafe { self.unlock_exclusive(state) }
    }

    unsafe fn bump_shared(&self, _: &mut GuardSend) {
        self.leave(|holders| holders.readers -= 1);
        self.lock_shared();
    }

    unsafe fn bump_exclusive(&self, _: &mut GuardSend) {
        self.leave(|holders| holders.writer = false);
        self.lock_exclusive();
    }
}

// SAFETY: the writer becomes a reader in one step.
unsafe impl RawRwLockDowngrade for ModelRwLock {
    unsafe fn downgrade(&self, state: GuardSend) -> GuardSend {
        self.leave(|holders| (holders.writer, holders.readers) = (false, 1));
        state
    }
}

// SAFETY: as for `RawRwLock`.
unsafe impl RawRwLockTimed for ModelRwLock {
    type Duration = Duration;
    type Instant = Instant;

    fn try_lock_shared_for(&self, _: Duration) -> Option<GuardSend> {
        Some(self.lock_shared())
    }

    fn try_lock_shared_until(&self, _: Instant) -> Option<GuardSend> {
        Some(self.lock_shared())
    }

    fn try_lock_exclusive_for(&self, _: Duration) -> Option<GuardSend> {
        Some(self.lock_exclusive())
    }

    fn try_lock_exclusive_until(&self, _: Instant) -> Option<GuardSend> {
        Some(self.lock_exclusive())
    }
}

// SAFETY: `Holders` admits one upgradable reader, which becomes the writer in one step once the other readers have
// left.
unsafe impl RawRwLockUpgrade for ModelRwLock {
    type UpgradableGuard = GuardSend;

    fn lock_upgradable(&self) -> GuardSend {
        self.wait(Holders::read_upgradable)
    }

    fn try_lock_upgradable(&self) -> Option<GuardSend> {
        self.attempt(Holders::read_upgradable)
    }

    unsafe fn unlock_upgradable(&self, _: GuardSend) {
        self.leave(|holders| holders.upgradable = false);
    }

    unsafe fn upgrade(&self, _: GuardSend) -> GuardSend {
        self.wait(Holders::upgrade)
    }

    unsafe fn try_upgrade(&self, state: GuardSend) -> Result<GuardSend, GuardSend> {
        self.attempt(Holders::upgrade).ok_or(state)
    }
}

// SAFETY: as for `RawRwLockUpgrade`.
unsafe impl RawRwLockUpgradeFair for ModelRwLock {
    unsafe fn unlock_upgradable_fair(&self, state: GuardSend) {
        // SAFETY: the caller passes on the state of an upgradable acquisition.
        unsafe { self.unlock_upgradable(state) }
    }

    unsafe fn bump_upgradable(&self, _: &mut GuardSend) {
        self.leave(|holders| holders.upgradable = false);
        self.lock_upgradable();
    }
}

// SAFETY: the upgradable reader becomes an ordinary one in one step.
unsafe impl RawRwLockUpgradeDowngrade for ModelRwLock {
    unsafe fn downgrade_upgradable(&self, state: GuardSend) -> GuardSend {
        self.leave(|holders| (holders.upgradable, holders.readers) = (false, holders.readers + 1));
        state
    }
}

// SAFETY: as for `RawRwLockUpgrade`.
unsafe impl RawRwLockUpgradeTimed for ModelRwLock {
    fn try_lock_upgradable_for(&self, _: Duration) -> Option<GuardSend> {
        Some(self.lock_upgradable())
    }

    fn try_lock_upgradable_until(&self, _: Instant) -> Option<GuardSend> {
        Some(self.lock_upgradable())
    }
}
