//! Floor 4: the caches that the hit path works on. Per CPU where there is rseq, else per thread.
//!
//! | file | concept |
//! | --- | --- |
//! | [`gate`] | the hit path: a push or a pop on this CPU's region |
//! | [`layout`], [`region`], [`control`] | a region as memory: headers, lists, slow-path state |
//! | [`per_cpu`], [`revoke`] | all CPUs' regions, and taking one away from its CPU |
//! | [`per_thread`] | the fallback |
//! | [`seat`] | where a thread works at this moment |
//! | [`policy`], [`capacity`] | how many blocks travel at once, and which lists get room |
//!
//! Nothing here calls `pool`: `heap` carries batches between the two.

#[cfg(not(loom))]
pub(crate) mod capacity;
#[cfg(not(loom))]
pub(crate) mod control;
pub(crate) mod entry;
#[cfg(not(loom))]
pub(crate) mod gate;
#[cfg(not(loom))]
pub(crate) mod layout;
#[cfg(not(loom))]
pub(crate) mod per_cpu;
#[cfg(not(loom))]
pub(crate) mod per_thread;
#[cfg(not(loom))]
pub(crate) mod policy;
#[cfg(not(loom))]
pub(crate) mod region;
#[cfg(not(loom))]
pub(crate) mod revoke;
#[cfg(not(loom))]
pub(crate) mod seat;
