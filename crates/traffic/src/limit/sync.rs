//! The locks: the standard library's, or those of the model checker, which tries every order of threads.

#[cfg(not(feature = "model"))]
pub(super) use std::sync::{Mutex, MutexGuard};

#[cfg(feature = "model")]
pub(super) use loom::sync::{Mutex, MutexGuard};

/// Locks. Nothing below a lock is ever half written, so a panic elsewhere while it was held is no reason to stop.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
