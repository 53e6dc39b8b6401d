//! What the gate shares between threads: the standard library's, or the model checker's with the feature `model`.

#[cfg(feature = "model")]
pub(super) use loom::sync::{
    Mutex,
    atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
};
#[cfg(not(feature = "model"))]
pub(super) use std::sync::{
    Mutex,
    atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
};
