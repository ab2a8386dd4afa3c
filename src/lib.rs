//! numaslab: a per-CPU, NUMA-aware, lock-free memory allocator for Linux servers.
#![no_std]
#![deny(unsafe_code)]

#[cfg(any(test, loom))]
extern crate std;

#[cfg(not(loom))]
#[allow(dead_code)]
#[allow(unsafe_code)]
mod cache;
#[cfg(not(loom))]
pub mod config;
#[cfg(not(loom))]
#[allow(unsafe_code)]
pub mod os;
#[allow(dead_code)]
#[allow(unsafe_code)]
mod pool;
#[cfg(not(loom))]
#[allow(dead_code)]
#[allow(unsafe_code)]
mod rseq;
#[allow(dead_code)]
pub mod size_class;
#[allow(dead_code)]
#[allow(unsafe_code)]
mod slab;
#[allow(dead_code)]
#[allow(unused_imports)]
mod sync;
pub mod units;
