//! Raw locks made of the model checker's own mutex and condition variable.

use std::sync::OnceLock;

use lock_api::{
    GuardSend, RawMutex, RawMutexFair, RawMutexTimed, RawRwLock, RawRwLockDowngrade, RawRwLockTimed,
    RawRwLockUpgrade,
};
use loom::sync::{Condvar, Mutex};
use loom::thread;

/// The holders of a lock: readers, one of which may upgrade if `upgradable`, or one writer.
#[derive(Default)]
struct Holders {
    readers: usize,
    upgradable: bool,
    writer: bool,
    /// How many threads wait for the lock of a mutex, and how many of them a fair release lets in before others.
    waiting: usize,
    called: usize,
}

/// A deadline in a model: it has passed after this many attempts to lock.
///
/// # Examples
///
/// ```
/// use loom_tests::{Looks, LoomMutex, explore};
/// use stripe_lock::{DefaultHasher, StripedMutex};
///
/// explore("one thread", None, || {
///     let locks = StripedMutex::<u8, (), LoomMutex, _>::with_hasher(2, DefaultHasher::default());
///     assert!(locks.try_lock_until(&1, Looks(1)).is_some());
/// });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Looks(pub usize);

/// Raw locks have to be constructible in a constant, and the model checker's objects are not, so they are made on first
/// use. A model locks all stripes once before it starts threads. Otherwise the objects would be made during the race,
/// and would order threads that nothing else orders.
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

    /// Waits until `free` returns true, then records the new holder by `take`.
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

    /// Attempts to lock at most `looks` times. Other threads run in between.
    fn attempt_for(
        &self,
        Looks(looks): Looks,
        free: impl Fn(&Holders) -> bool,
        take: impl Fn(&mut Holders),
    ) -> Option<GuardSend> {
        (0..looks).find_map(|look| {
            if look > 0 {
                thread::yield_now();
            }
            self.attempt(&free, &take)
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
    holders.readers == 0 && !holders.upgradable && !holders.writer
}

/// Whether another reader may upgrade.
fn upgradable(holders: &Holders) -> bool {
    !holders.upgradable && !holders.writer
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

// SAFETY: `lock` and `attempt` admit one holder at a time, under a mutex that orders each after the one before.
unsafe impl RawMutex for LoomMutex {
    #[allow(clippy::declare_interior_mutable_const, reason = "required by the trait")]
    const INIT: Self = Self(Shared::new());
    type Guard = GuardSend;

    fn lock(&self) -> GuardSend {
        let (holders, changed) = self.0.parts();
        let mut holders = holders.lock().expect("no model panics inside a raw lock");
        holders.waiting += 1;
        let mut waited = false;
        while holders.writer || holders.called > 0 && !waited {
            holders = changed.wait(holders).expect("no model panics inside a raw lock");
            waited = true;
        }
        holders.waiting -= 1;
        holders.called = holders.called.saturating_sub(1);
        holders.writer = true;
        GuardSend::new()
    }

    fn try_lock(&self) -> Option<GuardSend> {
        self.0.attempt(left, |holders| holders.writer = true)
    }

    unsafe fn unlock(&self, _: GuardSend) {
        self.0.change(|holders| holders.writer = false);
    }

    fn is_locked(&self) -> bool {
        !self.0.look(left)
    }
}

/// Whether a mutex is free for newcomers.
fn left(holders: &Holders) -> bool {
    !holders.writer && holders.called == 0
}

// SAFETY: as for `RawMutex`; a fair release admits one of the waiters before any newcomer.
unsafe impl RawMutexFair for LoomMutex {
    unsafe fn unlock_fair(&self, _: GuardSend) {
        self.0.change(|holders| {
            holders.writer = false;
            holders.called = holders.waiting.min(1);
        });
    }
}

// SAFETY: as for `RawMutex`.
unsafe impl RawMutexTimed for LoomMutex {
    type Duration = Looks;
    type Instant = Looks;

    fn try_lock_for(&self, looks: Looks) -> Option<GuardSend> {
        self.0.attempt_for(looks, left, |holders| holders.writer = true)
    }

    fn try_lock_until(&self, looks: Looks) -> Option<GuardSend> {
        self.try_lock_for(looks)
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

// SAFETY: the writer becomes a reader in one step.
unsafe impl RawRwLockDowngrade for LoomRwLock {
    unsafe fn downgrade(&self, _: GuardSend) -> GuardSend {
        self.0.change(|holders| (holders.writer, holders.readers) = (false, 1));
        GuardSend::new()
    }
}

// SAFETY: `upgradable` admits one such holder, which becomes the writer in one step, once the readers have left.
unsafe impl RawRwLockUpgrade for LoomRwLock {
    type UpgradableGuard = GuardSend;

    fn lock_upgradable(&self) -> GuardSend {
        self.0.wait(upgradable, |holders| holders.upgradable = true);
        GuardSend::new()
    }

    fn try_lock_upgradable(&self) -> Option<GuardSend> {
        self.0.attempt(upgradable, |holders| holders.upgradable = true)
    }

    unsafe fn unlock_upgradable(&self, _: GuardSend) {
        self.0.change(|holders| holders.upgradable = false);
    }

    unsafe fn upgrade(&self, _: GuardSend) -> GuardSend {
        let become_writer = |holders: &mut Holders| (holders.upgradable, holders.writer) = (false, true);
        self.0.wait(|holders| holders.readers == 0, become_writer);
        GuardSend::new()
    }

    unsafe fn try_upgrade(&self, state: GuardSend) -> Result<GuardSend, GuardSend> {
        let become_writer = |holders: &mut Holders| (holders.upgradable, holders.writer) = (false, true);
        self.0.attempt(|holders| holders.readers == 0, become_writer).ok_or(state)
    }
}

// SAFETY: as for `RawRwLock`.
unsafe impl RawRwLockTimed for LoomRwLock {
    type Duration = Looks;
    type Instant = Looks;

    fn try_lock_shared_for(&self, looks: Looks) -> Option<GuardSend> {
        self.0.attempt_for(looks, |holders| !holders.writer, |holders| holders.readers += 1)
    }

    fn try_lock_shared_until(&self, looks: Looks) -> Option<GuardSend> {
        self.try_lock_shared_for(looks)
    }

    fn try_lock_exclusive_for(&self, looks: Looks) -> Option<GuardSend> {
        self.0.attempt_for(looks, unlocked, |holders| holders.writer = true)
    }

    fn try_lock_exclusive_until(&self, looks: Looks) -> Option<GuardSend> {
        self.try_lock_exclusive_for(looks)
    }
}
