//! NUMA topology, thread placement, pinning and worker pools, for applications on Linux.
//!
//! An allocator can only keep memory near to threads that stay where they are. This crate is the
//! other half: it tells what the machine looks like, plans which thread belongs where, and starts
//! threads that stay there. It does not depend on the allocator.
//!
//! ```text
//!   pool  hooks      worker pools per node; pinned pools of rayon, runtimes of tokio
//!   placement        plans: which worker runs on which CPUs      (pure)
//!   affinity         pinning a thread, undone on drop            (core_affinity, nix)
//!   topology         packages, nodes, caches, CPUs, distances    (sysfs or hwloc)
//!   limits  tree     masks and CPU quota; reading sysfs and procfs
//!   id  id_set  error
//! ```
//!
//! # Features
//! - `hwloc`: `Topology::from_hwloc`; needs libhwloc 2.1 or newer (Debian: `libhwloc-dev`).
//! - `rayon`, `tokio`: pools and runtimes with pinned threads, in [`hooks`].
//!
//! # Example
//! ```
//! use numaslab_numa::{Placement, Topology, WorkerPool};
//!
//! let topology = Topology::discover()?;
//! println!("{topology}");
//!
//! let pool = WorkerPool::builder().placement(Placement::PerNode(2)).build()?;
//! let sums: Vec<_> = pool
//!     .nodes()
//!     .iter()
//!     .map(|node| pool.run_on(node, || (1..=10).sum::<u32>()))
//!     .collect::<Result<_, _>>()?;
//! for sum in sums {
//!     assert_eq!(sum.wait(), 55);
//! }
//! # Ok::<(), numaslab_numa::Error>(())
//! ```

#![forbid(unsafe_code)]

pub mod affinity;
mod error;
pub mod hooks;
mod id;
mod id_set;
mod limits;
pub mod placement;
pub mod pool;
pub mod topology;
mod tree;

pub use affinity::{Pinned, pin_current, pin_current_to, pin_current_to_node};
pub use error::{Error, Result};
pub use id::{CpuId, Id, NodeId, PackageId};
pub use id_set::{CpuSet, IdSet, NodeSet, ParseIdSetError};
pub use limits::{ControlGroup, CpuQuota};
pub use placement::{Placement, Plan, Slot};
pub use pool::WorkerPool;
pub use topology::Topology;
