//! The machine as numaslab sees it: CPUs, dense memory nodes, distances.
//!
//! Key type: [`Topology`], a plain table of fixed size that `read` fills in from sysfs once. Dense
//! nodes ([`NodeId`]) are the online nodes that have memory this process may use, in the kernel's
//! order; the kernel's own numbers ([`KernelNode`]) may have holes, and name nodes without memory.
//!
//! | file | concern |
//! | --- | --- |
//! | `mod` | the table and its questions |
//! | `read` | filling it in from `/sys/devices/system` |
//! | `node` | what a node has free, and which CPUs are online, at this moment |
//!
//! # Invariants
//! - After [`Topology::fill`] there are at least one CPU and one node, and every CPU number, also one
//!   beyond the count, has a home below the node count.
//! - Memory of zeroes is a valid `Topology` (an unfilled one): one node, no CPUs.
//! - Nodes beyond [`MAX_NODES`] share the last dense node: its memory is their sum, its kernel node
//!   is the first of them.

mod node;
mod read;

pub use node::{node_free_bytes, node_free_huge_2m, online_cpus, unpromised_huge_2m};

use super::errno::Result;
use super::memory;
use super::policy::NodeMask;
use crate::units::{CpuId, KernelNode, MAX_CPUS, MAX_NODES, NodeId, PAGE_BYTES};

/// The distance of a node to itself (ACPI SLIT).
pub const LOCAL_DISTANCE: u8 = 10;
/// The distance assumed between two nodes of which nothing is known.
pub const REMOTE_DISTANCE: u8 = 20;

/// Where a [`Topology`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Source {
    /// Nobody has filled it in.
    Unfilled = 0,
    /// Nodes from sysfs.
    Sysfs = 1,
    /// sysfs tells nothing about nodes: taken as one node.
    OneNode = 2,
}

/// CPUs, nodes and distances. About 18 KiB, so it lives in a mapping or a static, not on the stack.
#[derive(Debug)]
pub struct Topology {
    /// Highest possible CPU number plus one.
    cpus: u32,
    /// Dense nodes; 0 only before filling.
    nodes: u8,
    source: Source,
    /// Dense node of each CPU.
    home: [u8; MAX_CPUS],
    /// Dense node of each kernel node: its own, or the nearest with memory.
    nearest_dense: [u8; NodeMask::BITS],
    /// Kernel node of each dense node.
    kernel: [u16; MAX_NODES],
    /// Memory of each dense node in bytes.
    memory_bytes: [u64; MAX_NODES],
    /// Distance from each dense node (first index) to each.
    distance: [[u8; MAX_NODES]; MAX_NODES],
    /// All dense nodes in the order of their distance from each (first index).
    order: [[u8; MAX_NODES]; MAX_NODES],
}

impl Topology {
    /// A table that is not filled in yet; the same as zeroed memory.
    pub const fn new() -> Self {
        Self {
            cpus: 0,
            nodes: 0,
            source: Source::Unfilled,
            home: [0; MAX_CPUS],
            nearest_dense: [0; NodeMask::BITS],
            kernel: [0; MAX_NODES],
            memory_bytes: [0; MAX_NODES],
            distance: [[0; MAX_NODES]; MAX_NODES],
            order: [[0; MAX_NODES]; MAX_NODES],
        }
    }

    /// Reads the topology of this machine into a mapping of its own, which stays for ever.
    ///
    /// Errors: `ENOMEM` from mmap(2). That sysfs is missing is no error (see [`Source`]).
    pub fn read() -> Result<&'static Self> {
        let memory = memory::map(size_of::<Self>().next_multiple_of(PAGE_BYTES))?.cast::<Self>();
        // SAFETY: the mapping is large enough, page-aligned, zeroed (a valid Topology), known to
        // nobody else, and never unmapped.
        let topology = unsafe { &mut *memory.as_ptr() };
        topology.fill();
        Ok(topology)
    }

    /// The number of possible CPUs: the highest CPU number this machine can ever have, plus one, at
    /// most [`MAX_CPUS`]. Some of them may be offline, or holes.
    pub const fn cpu_count(&self) -> usize {
        self.cpus as usize
    }

    /// The number of dense nodes, at least 1, at most [`MAX_NODES`].
    pub const fn node_count(&self) -> usize {
        if self.nodes == 0 { 1 } else { self.nodes as usize }
    }

    /// All dense nodes, from 0.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = NodeId> + use<> {
        (0..self.node_count() as u8).map(NodeId)
    }

    /// The home node of a CPU: its own, or the nearest that has memory.
    #[inline]
    pub fn home(&self, cpu: CpuId) -> NodeId {
        NodeId(self.home.get(cpu.index()).copied().unwrap_or(0))
    }

    /// The CPUs whose home is `node`, among the possible ones.
    pub fn cpus_of(&self, node: NodeId) -> impl Iterator<Item = CpuId> + '_ {
        let homes = &self.home[..self.cpu_count()];
        (0u32..).zip(homes).filter(move |(_, home)| **home == node.0).map(|(cpu, _)| CpuId(cpu))
    }

    /// The kernel's number of a dense node. Of a node that does not exist: of node 0.
    pub fn kernel_node(&self, node: NodeId) -> KernelNode {
        KernelNode(self.kernel[self.index(node)])
    }

    /// The dense node of a kernel node, or, if it has no memory that we may use, the nearest one.
    pub fn nearest_dense(&self, node: KernelNode) -> NodeId {
        NodeId(self.nearest_dense.get(node.0 as usize).copied().unwrap_or(0))
    }

    /// The memory of a node in bytes (`MemTotal`); 0 if sysfs does not tell.
    pub fn memory_bytes(&self, node: NodeId) -> u64 {
        self.memory_bytes[self.index(node)]
    }

    /// The distance from one node to another as the firmware gives it: 10 is local, 20 twice as far.
    pub fn distance(&self, from: NodeId, to: NodeId) -> u8 {
        self.distance[self.index(from)][self.index(to)]
    }

    /// All nodes in the order of their distance from `node`, itself first. Of nodes equally far,
    /// the one with the next number after `node`'s comes first, so that not all turn to the same.
    pub fn nearest(&self, node: NodeId) -> impl ExactSizeIterator<Item = NodeId> + '_ {
        self.order[self.index(node)][..self.node_count()].iter().map(|node| NodeId(*node))
    }

    /// Where the table comes from.
    pub const fn source(&self) -> Source {
        self.source
    }

    const fn index(&self, node: NodeId) -> usize {
        if node.index() < self.node_count() { node.index() } else { 0 }
    }
}

impl Default for Topology {
    fn default() -> Self {
        Self::new()
    }
}

const _: () = assert!(size_of::<Topology>() <= 24 << 10);
const _: () = assert!(MAX_NODES <= u8::MAX as usize);

#[cfg(test)]
mod tests;
