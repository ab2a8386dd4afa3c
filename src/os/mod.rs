//! Floor 1: the kernel. Everything that numaslab asks of Linux, except restartable sequences
//! (`crate::rseq`), one concern per file.
//!
//! | file | concern |
//! | --- | --- |
//! | [`errno`] | error numbers as values; keeping the caller's `errno` |
//! | [`fault`] | the gate before each kernel call: counts it, and in tests makes it fail |
//! | [`memory`] | address space: reserve, commit, release, move, huge pages |
//! | [`policy`], [`node_mask`] | which node a page lies on, and should lie on |
//! | [`membarrier`] | restarting the critical sections of other CPUs |
//! | [`topology`] | CPUs, nodes, distances; what a node has free |
//! | [`cgroup`] | the memory limits of the container |
//! | [`cpu`], [`clock`], [`mod@env`] | where, when, and with which environment we run |
//! | [`fatal`] | one line on stderr, and the end |
//! | [`thread`], [`thread_exit`] | which thread this is; being called when it ends |
//! | [`mod@file`] | reading the small text files of `/sys` and `/proc` |
//!
//! Neighbours: above it only `units` and `sync` are used; all floors from 2 up use it.
//!
//! # Invariants
//! - Nothing here allocates, panics, locks, or calls a libc function that does.
//! - Every call into the kernel passes [`fault::gate`], so it is counted and can be made to fail.
//! - Failure is a value ([`errno::Result`]); the state after each failure is documented at the
//!   function.

pub mod cgroup;
pub mod clock;
pub mod cpu;
pub mod env;
pub mod errno;
pub mod fatal;
pub mod fault;
pub mod file;
pub mod membarrier;
pub mod memory;
pub mod node_mask;
pub mod policy;
#[cfg(test)]
pub(crate) mod testing;
pub mod thread;
pub mod thread_exit;
pub mod topology;

pub use errno::{Errno, ErrnoGuard, Result};
