//! numaslab: a per-CPU, NUMA-aware, lock-free memory allocator for Linux servers.
#![no_std]
#![deny(unsafe_code)]

#[cfg(any(test, loom))]
extern crate std;

pub mod units;
#[allow(dead_code)]
#[allow(unused_imports)]
mod sync;
#[cfg(not(loom))]
#[allow(unsafe_code)]
pub mod os;
#[cfg(not(loom))]
pub mod config;
