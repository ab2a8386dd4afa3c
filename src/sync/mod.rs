//! The one door to atomics: `core`'s in production, loom's under `--cfg loom`.
//!
//! Floor 0. Every other module takes its atomics from here and nowhere else, so that a loom model
//! runs the very code that ships. With the cargo feature `line-counts` they are counted.

pub(crate) mod lost;
pub(crate) mod tagged_stack;

#[cfg(all(feature = "line-counts", not(loom)))]
#[allow(unsafe_code)]
mod counted;
#[cfg(all(feature = "line-counts", not(loom)))]
#[allow(unsafe_code)]
pub(crate) mod lines;

#[cfg(not(any(loom, feature = "line-counts")))]
pub(crate) use core::sync::atomic::{
    AtomicBool, AtomicIsize, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering,
    compiler_fence,
};
#[cfg(all(feature = "line-counts", not(loom)))]
pub(crate) use counted::{
    AtomicBool, AtomicIsize, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering,
    compiler_fence,
};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};
