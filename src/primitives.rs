//! Locks, atomics and threads, in one place: every file of this crate that coordinates threads takes
//! them from here, so that the interleaving tests can compile the same files over a model checker's.

pub(crate) use std::sync::atomic;
pub(crate) use std::thread;

pub(crate) use arc_swap::ArcSwap;
#[cfg(feature = "sqlite")]
pub(crate) use arc_swap::ArcSwapOption;
pub(crate) use parking_lot::{
    Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
