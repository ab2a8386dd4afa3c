//! Pinning the current thread, for a while or for good.
//!
//! [`pin_current`], [`pin_current_to`] and [`pin_current_to_node`] return a [`Pinned`] guard that gives the
//! thread its old mask back when it is dropped; [`Pinned::keep`] makes the pinning last.
//!
//! # The limit of 1024 CPUs
//! The system calls go through `core_affinity` and `nix`, which hand the kernel glibc's fixed-size
//! `cpu_set_t`. It ends at CPU 1023 (`CPU_SETSIZE`). A CPU beyond that cannot be pinned, and a thread whose
//! present mask has one cannot be pinned either, since its mask could not be restored: both
//! are [`crate::Error::CpuBeyondMask`]. *Reading* masks ([`current`], [`Topology`]) has no such limit, as it
//! falls back to `/proc/thread-self/status`.
//!
//! # What the kernel does behind the back
//! A mask is cut down to the cpuset without an error as long as one CPU is left. When the
//! last CPU of a mask is switched off, the kernel widens the mask for good and moves the thread, maybe
//! to another node. So a guard tells what was asked and granted at that moment, no more.

mod mask;
mod pinned;
mod thread;

use crate::error::Result;
use crate::id::{CpuId, NodeId};
use crate::id_set::CpuSet;
use crate::topology::Topology;

pub use pinned::Pinned;

pub(crate) use mask::set as set_current;
pub(crate) use thread::PinnedThread;

/// The CPUs that the current thread may run on now.
///
/// # Errors
/// [`crate::Error::Read`] or [`crate::Error::Malformed`] if neither the system
/// call nor `/proc` tells.
pub fn current() -> Result<CpuSet> {
    mask::get()
}

/// Pins the current thread to one CPU until the guard is dropped.
///
/// The CPU may be outside the thread's present mask, but not outside its cpuset.
///
/// # Errors
/// [`crate::Error::CpuOffline`], [`crate::Error::Pin`] with the kernel's answer,
/// [`crate::Error::CpuBeyondMask`]. The mask is unchanged then.
pub fn pin_current(cpu: CpuId) -> Result<Pinned> {
    pin_current_to(&CpuSet::only(cpu))
}

/// Pins the current thread to a set of CPUs until the guard is dropped.
///
/// # Errors
/// As [`pin_current`]; also [`crate::Error::NoCpus`] for an empty set.
pub fn pin_current_to(cpus: &CpuSet) -> Result<Pinned> {
    Pinned::new(cpus)
}

/// Pins the current thread to those CPUs of a node that `topology` allows, until the guard is dropped.
///
/// # Errors
/// [`crate::Error::NodeOffline`], [`crate::Error::NodeWithoutCpus`], and as [`pin_current`].
pub fn pin_current_to_node(topology: &Topology, node: NodeId) -> Result<Pinned> {
    pin_current_to(&topology.usable_cpus(node)?)
}
