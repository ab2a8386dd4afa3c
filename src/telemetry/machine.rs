//! What the machine and the container leave to the process at this moment, beside what was found at start.
//!
//! The heap keeps the nodes that it found at start. CPUs that go offline leave their region behind, until a
//! maintenance pass, [`trim`](crate::trim), or misses on other CPUs after a while empty it; memory of a node that the process may not use any more is moved by the kernel.

use crate::heap::Heap;
use crate::os::policy::allowed_nodes;
use crate::os::topology::online_cpus;

/// CPUs and nodes, at start and now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// The highest possible CPU number plus one.
    pub cpus: usize,
    /// CPUs that are online; `None` if sysfs does not tell.
    pub cpus_online: Option<usize>,
    /// Nodes in use, as at start.
    pub nodes: usize,
    /// How many of them the process may still get memory of; `None` if the kernel does not tell.
    pub nodes_allowed: Option<usize>,
}

/// Asks the kernel; some microseconds.
pub fn machine() -> Machine {
    let Some(heap) = Heap::get() else { return Machine::default() };
    let still_allowed = |nodes: crate::os::policy::NodeMask| {
        heap.nodes().filter(|node| nodes.contains(heap.topology.kernel_node(*node))).count()
    };
    Machine {
        cpus: heap.topology.cpu_count(),
        cpus_online: online_cpus().ok(),
        nodes: heap.nodes,
        nodes_allowed: allowed_nodes().ok().map(still_allowed),
    }
}
