//! What happens on the machine that the tests run on: real masks, real threads, real topologies.
//!
//! On a developer's machine this is mostly one node. `ci/numa.sh` runs the same binary in emulated machines
//! with several; there the variable `NUMA_RIG` names the machine, and the tests that need several
//! nodes or control over cgroups do more than print that they were skipped.

mod affinity;
#[cfg(feature = "hwloc")]
mod agreement;
mod cgroup;
mod discovery;
mod kernel;
mod pool;
#[cfg(feature = "rayon")]
mod rayon_pool;
#[cfg(feature = "tokio")]
mod tokio_runtime;
