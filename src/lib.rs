//! numaslab: a per-CPU, NUMA-aware, lock-free memory allocator for Linux servers.
//!
//! ```text
//!  7  placement     blocks of a node that is asked for by name
//!     unsized_blocks  blocks that are given back by their address alone: for C
//!  6  global        GlobalAlloc, and nothing else
//!  5  heap          the cold routes: refill, flush, Huge blocks, realloc, start
//!  4  cache         regions per CPU (or per thread), the hit path
//!  3  pool          one shared pool per node: transfer cache, slabs, SuperSlabs
//!  2  slab          page map, descriptors, bitmaps, the state machine of free units
//!  1  os  rseq      the kernel; the only assembly
//!  0  sync  size_class  units  config
//! ```
//!
//! Imports go down only. A hit goes `global -> size_class -> cache -> rseq` and back.
#![no_std]
#![deny(unsafe_code)]
// Loom models parts; the rest of the crate is not there to use them.
#![cfg_attr(loom, allow(dead_code, unused_imports))]

#[cfg(any(test, loom, feature = "std"))]
extern crate std;

#[allow(unsafe_code)]
mod cache;
#[cfg(not(loom))]
pub mod config;
#[cfg(not(loom))]
#[allow(unsafe_code)]
mod global;
#[cfg(not(loom))]
#[allow(unsafe_code)]
mod heap;
#[cfg(all(feature = "std", not(loom)))]
mod maintainer;
#[cfg(not(loom))]
#[allow(unsafe_code)]
pub mod os;
#[cfg(not(loom))]
#[allow(unsafe_code)]
pub mod placement;
#[allow(unsafe_code)]
mod pool;
#[cfg(not(loom))]
#[allow(unsafe_code)]
mod rseq;
pub mod size_class;
#[allow(unsafe_code)]
mod slab;
mod sync;
#[cfg(not(loom))]
#[allow(unsafe_code)]
pub mod telemetry;
pub mod units;
#[cfg(not(loom))]
#[allow(unsafe_code)]
pub mod unsized_blocks;

#[cfg(not(loom))]
pub use config::Config;
#[cfg(not(loom))]
pub use global::NumaSlab;
#[cfg(not(loom))]
pub use heap::drain::{Drained, trim};
#[cfg(not(loom))]
pub use heap::homing::send_home;
#[cfg(not(loom))]
pub use heap::maintain::maintain;
#[cfg(all(feature = "std", not(loom)))]
pub use maintainer::Maintainer;
#[cfg(not(loom))]
pub use telemetry::{Stats, stats};
