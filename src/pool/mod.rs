//! Floor 3: one shared pool per node. Lock-free throughout; nobody waits for anybody.
//!
//! | file | concept |
//! | --- | --- |
//! | [`range`], [`zone`], [`superslabs`] | SuperSlabs out of the two halves of the node's address range |
//! | [`backing`], [`reserved`] | what lies under them: the policy, transparent huge pages, reserved ones |
//! | [`tiers`], [`purge`] | SuperSlabs that fill, empty, and go back to the kernel, whole or in part |
//! | [`surplus`] | how much free memory stays |
//! | [`runs`] | runs of pieces out of SuperSlabs |
//! | [`slabs`], [`blocks`] | slabs out of runs, blocks out of slabs, and all the way back |
//! | [`batch`], [`transfer`] | blocks that travel together, and between CPUs |
//! | [`huge_cache`] | Huge blocks that were freed a short while ago |
//! | [`strict`] | memory that must lie on its node |
//! | [`budget`] | the limit on what is taken from the kernel |
//!
//! Below it: `slab` (descriptors and their protocol) and `os`. Above it: `heap`, which carries batches
//! between `cache` and here.

#[cfg(not(loom))]
pub(crate) mod backing;
pub(crate) mod batch;
#[cfg(not(loom))]
pub(crate) mod blocks;
pub(crate) mod budget;
pub(crate) mod huge_cache;
#[cfg(not(loom))]
pub(crate) mod purge;
#[cfg(not(loom))]
mod queue;
pub(crate) mod range;
#[cfg(not(loom))]
pub(crate) mod reserved;
#[cfg(not(loom))]
pub(crate) mod runs;
#[cfg(not(loom))]
pub(crate) mod slabs;
#[cfg(not(loom))]
pub(crate) mod strict;
#[cfg(not(loom))]
pub(crate) mod superslabs;
#[cfg(not(loom))]
pub(crate) mod surplus;
#[cfg(not(loom))]
pub(crate) mod tiers;
pub(crate) mod transfer;
#[cfg(not(loom))]
pub(crate) mod zone;

#[cfg(not(loom))]
pub(crate) use node::{NodePool, Pool, Settings, Stage};

#[cfg(not(loom))]
mod node;
