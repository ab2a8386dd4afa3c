//! What this process may use of the machine: its CPUs, its memory nodes, and its CPU quota.
//!
//! The masks come from `/proc/thread-self/status` (`proc_pid_status(5)`), in which the kernel has
//! already combined the affinity mask with the cpuset, and which has no size limit and is not
//! refused by container seccomp filters as `get_mempolicy` is. The quota comes from the cgroup
//! ([`cgroup`]), whose other files [`ControlGroup`] reads. Neighbours: [`crate::tree`] below, [`crate::topology`] above.

mod cgroup;
mod group;
mod mounts;
mod quota;

use crate::error::Result;
use crate::id_set::{CpuSet, IdSet, NodeSet};
use crate::tree::Tree;

pub use group::ControlGroup;
pub use quota::CpuQuota;

/// The limits of one thread of a process, as they were when they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The CPUs in the thread's affinity mask; `None` where `/proc` does not tell.
    pub(crate) cpus: Option<CpuSet>,
    /// The nodes its memory may come from; `None` where `/proc` does not tell.
    pub(crate) nodes: Option<NodeSet>,
    /// The share of CPU time that its cgroup is given; `None` for no limit.
    pub(crate) quota: Option<CpuQuota>,
}

/// Reads the limits of the calling thread from the tree.
pub(crate) fn read(tree: &Tree) -> Result<Limits> {
    let mut limits = Limits { quota: cgroup::quota(tree)?, ..Limits::default() };
    for path in ["proc/thread-self/status", "proc/self/status"] {
        if let Some(status) = tree.text_if_any(path)? {
            limits.cpus = field(tree, path, &status, "Cpus_allowed_list:")?;
            limits.nodes = field(tree, path, &status, "Mems_allowed_list:")?;
            break;
        }
    }
    Ok(limits)
}

/// The CPUs that the calling thread may run on, whatever their numbers.
pub(crate) fn allowed_cpus(tree: &Tree) -> Result<Option<CpuSet>> {
    read(tree).map(|limits| limits.cpus)
}

fn field<T: crate::Id>(tree: &Tree, path: &str, status: &str, name: &str) -> Result<Option<IdSet<T>>> {
    let Some(value) = status.lines().find_map(|line| line.strip_prefix(name)) else { return Ok(None) };
    value.parse().map(Some).map_err(|_| tree.malformed(path, value, "a list such as 0-3,8"))
}
