//! Which types may be sent to another thread or shared with one. What must not is in the documentation of each type,
//! as examples that don't compile.

mod common;

use std::cell::Cell;
use std::hash::{BuildHasherDefault, DefaultHasher as StdHasher};
use std::rc::Rc;
use std::sync::Arc;

use common::spin_mutex::SpinMutex;
use common::spin_rwlock::SpinRwLock;
use stripe_lock::{
    ArcMutexGuard, ArcRwLockReadGuard, BatchGuard, DefaultHasher, MutexGuard, MutexMultiGuard,
    ReadMultiGuard, ReentrantMultiGuard, ReentrantMutexGuard, RwLockReadGuard, RwLockUpgradableReadGuard,
    RwLockWriteGuard, Striped, StripedMutex, StripedReentrantMutex, StripedRwLock, WriteMultiGuard,
};

type Hasher = BuildHasherDefault<StdHasher>;

fn send<T: Send>() {}
fn sync<T: Sync>() {}
fn lasting<T: 'static>() {}

#[test]
fn sets_may_be_sent_and_shared() {
    // A mutex needs data that may be sent, and no more; a key is never stored.
    send::<StripedMutex<Rc<str>, Cell<u8>>>();
    sync::<StripedMutex<Rc<str>, Cell<u8>>>();
    send::<StripedReentrantMutex<Rc<str>, Cell<u8>>>();
    sync::<StripedReentrantMutex<Rc<str>, Cell<u8>>>();
    // A read-write lock may be sent with such data too, and shared where readers may share the data.
    send::<StripedRwLock<Rc<str>, Cell<u8>>>();
    sync::<StripedRwLock<Rc<str>, Vec<u8>>>();
    sync::<StripedMutex<str, u8, SpinMutex, Hasher>>();
    sync::<Striped<Rc<str>, u8, DefaultHasher>>();
    lasting::<Arc<StripedMutex<str, Vec<u8>>>>();
}

#[test]
fn guards_may_be_shared_where_their_data_may() {
    sync::<MutexGuard<'_, u8>>();
    sync::<MutexMultiGuard<'_, u64, u8>>();
    sync::<RwLockReadGuard<'_, u8>>();
    sync::<RwLockWriteGuard<'_, u8>>();
    sync::<RwLockUpgradableReadGuard<'_, u8>>();
    sync::<ReadMultiGuard<'_, u64, u8>>();
    sync::<WriteMultiGuard<'_, u64, u8>>();
    sync::<BatchGuard<'_, u64, u8>>();
    sync::<ReentrantMutexGuard<'_, u8>>();
    sync::<ReentrantMultiGuard<'_, u64, u8>>();
}

#[test]
fn guards_may_be_sent_where_the_raw_lock_says_so() {
    send::<MutexGuard<'_, Cell<u8>, SpinMutex>>();
    send::<MutexMultiGuard<'_, Rc<str>, Cell<u8>, SpinMutex, Hasher>>();
    send::<ArcMutexGuard<str, Cell<u8>, SpinMutex, Hasher>>();
    send::<RwLockReadGuard<'_, u8, SpinRwLock>>();
    send::<ArcRwLockReadGuard<str, u8, SpinRwLock, Hasher>>();
    send::<BatchGuard<'_, u64, u8, SpinRwLock, Hasher>>();
    lasting::<ArcMutexGuard<str, u8>>();
}

#[test]
fn a_guard_is_no_larger_than_it_needs_to_be() {
    // In debug builds it has a place in the record.
    if cfg!(not(debug_assertions)) {
        assert_eq!(size_of::<MutexGuard<'_, u64>>(), size_of::<usize>());
        assert_eq!(size_of::<ArcMutexGuard<u64, u64>>(), 2 * size_of::<usize>());
    }
}
