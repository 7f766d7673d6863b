//! The one way a mutex is locked.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks even if a thread panicked while it held the lock: what lies behind our locks is whole between any two statements,
/// and a panic elsewhere must not take the rest of the app with it.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
