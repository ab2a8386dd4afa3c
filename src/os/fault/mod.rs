//! The gate that every kernel call of this floor passes: it counts the call, and in tests makes it
//! fail.
//!
//! Key types: [`Call`] names the kind of a call, [`Calls`] is a snapshot of the counters. With the
//! cargo feature `fault-injection` (tests only) `fail_nth`, `fail_all`,
//! `fail_from`, `clear`, `failures` and `set_hook` are added. Without it [`gate`] is one relaxed addition.
//!
//! Neighbours: all files of `os` and `rseq` call [`gate`]; `telemetry` reads [`calls`].
//!
//! # Invariants
//! - The counters only grow (modulo 2^64).
//! - A call that the plan makes fail is counted, and is not made.

mod call;
#[cfg(feature = "fault-injection")]
mod plan;
#[cfg(not(feature = "fault-injection"))]
#[path = "no_plan.rs"]
mod plan;

pub use call::{Call, Calls};
#[cfg(feature = "fault-injection")]
pub use plan::{clear, fail_all, fail_from, fail_nth, failures, set_hook};

use super::errno::Result;
use crate::sync::{AtomicU64, Ordering};

/// How often each kind of call was made, by [`Call`] as index. Written by every thread that calls
/// the kernel, read by [`calls`].
static COUNTERS: [AtomicU64; Call::COUNT] = [const { AtomicU64::new(0) }; Call::COUNT];

/// Lets `call` through to the kernel: counts it and returns `Ok`, or, with the feature
/// `fault-injection` only, returns the error that a test has asked for.
#[inline]
pub fn gate(call: Call) -> Result<()> {
    // Relaxed: a statistic; nothing is published by it.
    COUNTERS[call as usize].fetch_add(1, Ordering::Relaxed);
    inject(call)
}

/// The gate of calls that usually do not enter the kernel (the vDSO's clock and CPU number, a
/// pthread key): they can be made to fail, but are not counted as system calls.
#[inline]
pub fn inject(call: Call) -> Result<()> {
    plan::step(call)
}

/// The number of calls of each kind since the process began.
pub fn calls() -> Calls {
    let mut counts = [0; Call::COUNT];
    for (count, counter) in counts.iter_mut().zip(&COUNTERS) {
        // Relaxed: each counter is read for itself; the snapshot is not a cut through time.
        *count = counter.load(Ordering::Relaxed);
    }
    Calls::new(counts)
}

#[cfg(test)]
mod tests;
