//! A read-write spin lock whose acquisitions have states. The lock checks the states on release.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use stripe_lock::lock_api::{
    RawRwLock, RawRwLockDowngrade, RawRwLockFair, RawRwLockTimed, RawRwLockUpgrade,
    RawRwLockUpgradeDowngrade, RawRwLockUpgradeTimed,
};

use super::observe::{Event, about_to_take, has_released, note, serial};

/// Its holders, under a mutex that is held for a few instructions only. This is simple, so it is easy to verify.
pub struct SpinRwLock(Mutex<Holders>);

/// The serial numbers of the acquisitions that hold it.
struct Holders {
    shared: Vec<u64>,
    upgradable: Option<u64>,
    exclusive: Option<u64>,
}

/// The state of a shared acquisition.
pub struct SharedToken(Token);

/// The state of an exclusive acquisition.
pub struct ExclusiveToken(Token);

/// The state of an upgradable acquisition.
pub struct UpgradableToken(Token);

/// The lock and a serial number.
struct Token {
    lock: usize,
    serial: u64,
}

impl SpinRwLock {
    fn address(&self) -> usize {
        (&raw const *self).addr()
    }

    fn holders(&self) -> MutexGuard<'_, Holders> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn own(&self, token: &Token) -> u64 {
        assert_eq!(token.lock, self.address(), "the state of another stripe");
        token.serial
    }

    fn new_token(&self, event: Event) -> Token {
        note(event);
        Token { lock: self.address(), serial: serial() }
    }

    fn attempt_shared(&self) -> Option<SharedToken> {
        let mut holders = self.holders();
        holders.exclusive.is_none().then(|| {
            let token = self.new_token(Event::TakeShared(self.address()));
            holders.shared.push(token.serial);
            SharedToken(token)
        })
    }

    fn attempt_exclusive(&self) -> Option<ExclusiveToken> {
        let mut holders = self.holders();
        holders.free().then(|| {
            let token = self.new_token(Event::Take(self.address()));
            holders.exclusive = Some(token.serial);
            ExclusiveToken(token)
        })
    }

    fn attempt_upgradable(&self) -> Option<UpgradableToken> {
        let mut holders = self.holders();
        (holders.exclusive.is_none() && holders.upgradable.is_none()).then(|| {
            let token = self.new_token(Event::TakeShared(self.address()));
            holders.upgradable = Some(token.serial);
            UpgradableToken(token)
        })
    }
}

impl Holders {
    fn free(&self) -> bool {
        self.shared.is_empty() && self.upgradable.is_none() && self.exclusive.is_none()
    }

    fn end_shared(&mut self, serial: u64) {
        let at =
            self.shared.iter().position(|&held| held == serial).expect("the state of a shared acquisition");
        self.shared.swap_remove(at);
    }

    fn end_exclusive(&mut self, serial: u64) {
        assert_eq!(self.exclusive.take(), Some(serial), "the state of another acquisition");
    }

    fn end_upgradable(&mut self, serial: u64) {
        assert_eq!(self.upgradable.take(), Some(serial), "the state of another acquisition");
    }
}

/// Waits for an attempt to succeed.
fn wait<S>(mut attempt: impl FnMut() -> Option<S>) -> S {
    about_to_take();
    loop {
        if let Some(state) = attempt() {
            return state;
        }
        thread::yield_now();
    }
}

/// Waits for an attempt to succeed before `deadline`.
fn wait_until<S>(deadline: Instant, mut attempt: impl FnMut() -> Option<S>) -> Option<S> {
    about_to_take();
    loop {
        match attempt() {
            None if Instant::now() < deadline => thread::yield_now(),
            ended => return ended,
        }
    }
}

// SAFETY: an attempt succeeds only where `Holders` admits it, and the mutex around them orders everything.
unsafe impl RawRwLock for SpinRwLock {
    #[allow(clippy::declare_interior_mutable_const, reason = "the trait requires it")]
    const INIT: Self = Self(Mutex::new(Holders { shared: Vec::new(), upgradable: None, exclusive: None }));

    type SharedGuard = SharedToken;
    type ExclusiveGuard = ExclusiveToken;

    fn lock_shared(&self) -> SharedToken {
        wait(|| self.attempt_shared())
    }

    fn try_lock_shared(&self) -> Option<SharedToken> {
        about_to_take();
        self.attempt_shared()
    }

    unsafe fn unlock_shared(&self, token: SharedToken) {
        note(Event::Release(self.address()));
        self.holders().end_shared(self.own(&token.0));
        has_released();
    }

    fn lock_exclusive(&self) -> ExclusiveToken {
        wait(|| self.attempt_exclusive())
    }

    fn try_lock_exclusive(&self) -> Option<ExclusiveToken> {
        about_to_take();
        self.attempt_exclusive()
    }

    unsafe fn unlock_exclusive(&self, token: ExclusiveToken) {
        note(Event::Release(self.address()));
        self.holders().end_exclusive(self.own(&token.0));
        has_released();
    }

    fn is_locked(&self) -> bool {
        !self.holders().free()
    }

    fn is_locked_exclusive(&self) -> bool {
        self.holders().exclusive.is_some()
    }
}

// SAFETY: as for `RawRwLock`. There is no queue, so there is no waiter to hand it to.
unsafe impl RawRwLockFair for SpinRwLock {
    unsafe fn unlock_shared_fair(&self, token: SharedToken) {
        // SAFETY: the caller promises the same.
        unsafe { self.unlock_shared(token) }
    }

    unsafe fn unlock_exclusive_fair(&self, token: ExclusiveToken) {
        // SAFETY: the caller promises the same.
        unsafe { self.unlock_exclusive(token) }
    }
}

// SAFETY: as for `RawRwLock`.
unsafe impl RawRwLockTimed for SpinRwLock {
    type Duration = Duration;
    type Instant = Instant;

    fn try_lock_shared_for(&self, timeout: Duration) -> Option<SharedToken> {
        self.try_lock_shared_until(Instant::now() + timeout)
    }

    fn try_lock_shared_until(&self, deadline: Instant) -> Option<SharedToken> {
        wait_until(deadline, || self.attempt_shared())
    }

    fn try_lock_exclusive_for(&self, timeout: Duration) -> Option<ExclusiveToken> {
        self.try_lock_exclusive_until(Instant::now() + timeout)
    }

    fn try_lock_exclusive_until(&self, deadline: Instant) -> Option<ExclusiveToken> {
        wait_until(deadline, || self.attempt_exclusive())
    }
}

// SAFETY: as for `RawRwLock`. A change of mode is one step.
unsafe impl RawRwLockDowngrade for SpinRwLock {
    unsafe fn downgrade(&self, token: ExclusiveToken) -> SharedToken {
        let mut holders = self.holders();
        holders.end_exclusive(self.own(&token.0));
        holders.shared.push(token.0.serial);
        SharedToken(token.0)
    }
}

// SAFETY: as for `RawRwLockDowngrade`.
unsafe impl RawRwLockUpgrade for SpinRwLock {
    type UpgradableGuard = UpgradableToken;

    fn lock_upgradable(&self) -> UpgradableToken {
        wait(|| self.attempt_upgradable())
    }

    fn try_lock_upgradable(&self) -> Option<UpgradableToken> {
        about_to_take();
        self.attempt_upgradable()
    }

    unsafe fn unlock_upgradable(&self, token: UpgradableToken) {
        note(Event::Release(self.address()));
        self.holders().end_upgradable(self.own(&token.0));
        has_released();
    }

    unsafe fn upgrade(&self, mut token: UpgradableToken) -> ExclusiveToken {
        loop {
            // SAFETY: the caller promises the same.
            match unsafe { self.try_upgrade(token) } {
                Ok(token) => return token,
                Err(same) => token = same,
            }
            thread::yield_now();
        }
    }

    unsafe fn try_upgrade(&self, token: UpgradableToken) -> Result<ExclusiveToken, UpgradableToken> {
        let mut holders = self.holders();
        if !holders.shared.is_empty() {
            return Err(token);
        }
        holders.end_upgradable(self.own(&token.0));
        holders.exclusive = Some(token.0.serial);
        Ok(ExclusiveToken(token.0))
    }
}

// SAFETY: as for `RawRwLockDowngrade`.
unsafe impl RawRwLockUpgradeDowngrade for SpinRwLock {
    unsafe fn downgrade_upgradable(&self, token: UpgradableToken) -> SharedToken {
        let mut holders = self.holders();
        holders.end_upgradable(self.own(&token.0));
        holders.shared.push(token.0.serial);
        SharedToken(token.0)
    }

    unsafe fn downgrade_to_upgradable(&self, token: ExclusiveToken) -> UpgradableToken {
        let mut holders = self.holders();
        holders.end_exclusive(self.own(&token.0));
        holders.upgradable = Some(token.0.serial);
        UpgradableToken(token.0)
    }
}

// SAFETY: as for `RawRwLock`.
unsafe impl RawRwLockUpgradeTimed for SpinRwLock {
    fn try_lock_upgradable_for(&self, timeout: Duration) -> Option<UpgradableToken> {
        self.try_lock_upgradable_until(Instant::now() + timeout)
    }

    fn try_lock_upgradable_until(&self, deadline: Instant) -> Option<UpgradableToken> {
        wait_until(deadline, || self.attempt_upgradable())
    }

    unsafe fn try_upgrade_for(
        &self,
        token: UpgradableToken,
        timeout: Duration,
    ) -> Result<ExclusiveToken, UpgradableToken> {
        // SAFETY: the caller promises the same.
        unsafe { self.try_upgrade_until(token, Instant::now() + timeout) }
    }

    unsafe fn try_upgrade_until(
        &self,
        mut token: UpgradableToken,
        deadline: Instant,
    ) -> Result<ExclusiveToken, UpgradableToken> {
        loop {
            // SAFETY: the caller promises the same.
            match unsafe { self.try_upgrade(token) } {
                Err(same) if Instant::now() < deadline => token = same,
                ended => return ended,
            }
            thread::yield_now();
        }
    }
}
