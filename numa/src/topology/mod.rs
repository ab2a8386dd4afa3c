//! The machine as the kernel describes it: packages, nodes, cores, CPUs, caches, distances.
//!
//! [`Topology`] is a snapshot. It is read from sysfs ([`Topology::discover`]), from a copy of sysfs
//! below another root ([`Topology::from_root`]) or, with the feature `hwloc`, from the hwloc library
//! (`Topology::from_hwloc`); all sources are normalised alike, so that they can be compared with `==`.
//! Beside the hardware it knows what the calling thread may use of it.
//!
//! # Invariants
//! - Lists are sorted by id, caches by level and first CPU.
//! - Every online CPU belongs to exactly one node, package and core.
//! - `allowed_cpus` is a part of `online_cpus`; neither is empty.

mod assemble;
mod display;
#[cfg(feature = "hwloc")]
mod hwloc;
mod parts;
mod sysfs;

use std::path::Path;

use crate::error::{Error, Result};
use crate::id::{CpuId, NodeId};
use crate::id_set::{CpuSet, NodeSet};
use crate::limits::{self, CpuQuota};
use crate::tree::Tree;

pub use parts::{Cache, CacheKind, Cpu, Node, Package};

/// A snapshot of the machine and of the calling thread's share of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    cpus: Vec<Cpu>,
    nodes: Vec<Node>,
    packages: Vec<Package>,
    caches: Vec<Cache>,
    online: CpuSet,
    allowed: CpuSet,
    allowed_nodes: NodeSet,
    quota: Option<CpuQuota>,
}

impl Topology {
    /// Reads this machine's sysfs, and the calling thread's masks and cgroup from `/proc`.
    ///
    /// A kernel without NUMA support is described as one node with all CPUs and all memory.
    ///
    /// # Errors
    /// [`Error::Read`] and [`Error::Malformed`] name the file that is missing or not understood;
    /// [`Error::NothingAllowed`] if no allowed CPU is online.
    pub fn discover() -> Result<Self> {
        Self::from_root("/")
    }

    /// Reads a copy of `/sys`, `/proc/self` and `/sys/fs/cgroup` below `root`.
    ///
    /// Needed below it: `sys/devices/system/cpu/online`. Everything else has a default: no cache,
    /// one core for each CPU, one package, one node, no limits.
    ///
    /// # Errors
    /// As [`discover`](Self::discover).
    pub fn from_root(root: impl AsRef<Path>) -> Result<Self> {
        let tree = Tree::new(root.as_ref());
        assemble::assemble(sysfs::read(&tree)?, limits::read(&tree)?)
    }

    /// Asks the hwloc library instead of sysfs.
    ///
    /// The CPU quota is not hwloc's business and is read from the cgroup here too. Where a CPU lies in
    /// several nodes at once (hwloc shows a node without CPUs at the CPUs nearest to it), it is taken
    /// to belong to the node with the smallest number.
    ///
    /// # Errors
    /// [`Error::Hwloc`] with the library's words; the errors of reading the cgroup.
    #[cfg(feature = "hwloc")]
    pub fn from_hwloc() -> Result<Self> {
        let (facts, mut limits) = hwloc::read()?;
        limits.quota = limits::read(&Tree::new("/"))?.quota;
        assemble::assemble(facts, limits)
    }

    /// The online CPUs, in ascending order.
    pub fn cpus(&self) -> &[Cpu] {
        &self.cpus
    }

    /// The online nodes, in ascending order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The packages with online CPUs, in ascending order.
    pub fn packages(&self) -> &[Package] {
        &self.packages
    }

    /// The data and unified caches, by level, then by first CPU. Virtual machines may show none.
    pub fn caches(&self) -> &[Cache] {
        &self.caches
    }

    /// The CPUs that are online.
    pub fn online_cpus(&self) -> &CpuSet {
        &self.online
    }

    /// The online CPUs that the calling thread may run on (affinity mask and cpuset).
    pub fn allowed_cpus(&self) -> &CpuSet {
        &self.allowed
    }

    /// The online nodes that the calling thread's memory may come from (cpuset).
    pub fn allowed_nodes(&self) -> &NodeSet {
        &self.allowed_nodes
    }

    /// The nodes that are online.
    pub fn online_nodes(&self) -> NodeSet {
        self.nodes.iter().map(|node| node.id).collect()
    }

    /// The smallest CPU quota of the cgroup and its ancestors.
    pub fn quota(&self) -> Option<CpuQuota> {
        self.quota
    }

    /// How many threads can really run at once: the allowed CPUs, or less under a quota.
    pub fn parallelism(&self) -> usize {
        let quota = self.quota.map_or(usize::MAX, CpuQuota::whole_cpus);
        self.allowed.len().min(quota)
    }

    /// The same machine, as if the affinity mask allowed only those of `cpus` that it allows now.
    ///
    /// # Errors
    /// [`Error::CpuOffline`] or [`Error::CpuNotAllowed`] for the first of `cpus` that cannot be used,
    /// [`Error::NoCpus`] if `cpus` is empty.
    pub fn restricted_to(mut self, cpus: &CpuSet) -> Result<Self> {
        if cpus.is_empty() {
            return Err(Error::NoCpus);
        }
        cpus.iter().try_for_each(|cpu| self.check_allowed(cpu).map(|_| ()))?;
        self.allowed = cpus.clone();
        Ok(self)
    }

    /// The same machine, as if no CPU quota were set.
    #[must_use]
    pub fn without_quota(mut self) -> Self {
        self.quota = None;
        self
    }

    /// The online CPU `id`.
    pub fn cpu(&self, id: CpuId) -> Option<&Cpu> {
        self.cpus.binary_search_by_key(&id, |cpu| cpu.id).ok().map(|at| &self.cpus[at])
    }

    /// The online node `id`.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.binary_search_by_key(&id, |node| node.id).ok().map(|at| &self.nodes[at])
    }

    /// The CPUs that share a core with `cpu`, itself included (SMT siblings).
    pub fn siblings(&self, cpu: CpuId) -> Option<&CpuSet> {
        self.cpu(cpu).map(|cpu| &cpu.core)
    }

    /// The cache of `level` that serves `cpu`.
    pub fn cache_of(&self, cpu: CpuId, level: u8) -> Option<&Cache> {
        self.caches.iter().find(|cache| cache.level == level && cache.cpus.contains(cpu))
    }

    /// The CPUs of `node` that this thread may run on.
    ///
    /// # Errors
    /// [`Error::NodeOffline`] if there is no such node, [`Error::NodeWithoutCpus`] if nothing is left.
    pub fn usable_cpus(&self, node: NodeId) -> Result<CpuSet> {
        let Some(found) = self.node(node) else {
            return Err(Error::NodeOffline { node, online: self.online_nodes() });
        };
        let usable = found.cpus.intersection(&self.allowed);
        if usable.is_empty() {
            let (cpus, allowed) = (found.cpus.clone(), self.allowed.clone());
            return Err(Error::NodeWithoutCpus { node, cpus, allowed });
        }
        Ok(usable)
    }

    /// Whether a thread may be sent to `cpu`, and if not, why.
    pub(crate) fn check_allowed(&self, cpu: CpuId) -> Result<&Cpu> {
        let Some(found) = self.cpu(cpu) else {
            return Err(Error::CpuOffline { cpu, online: self.online.clone() });
        };
        if !self.allowed.contains(cpu) {
            let allowed = self.allowed.clone();
            return Err(Error::CpuNotAllowed { cpu, node: found.node, allowed });
        }
        Ok(found)
    }

    /// The distance between two online nodes as the firmware tells it: 10 within a node, and by
    /// convention 20 for twice the latency.
    pub fn distance(&self, from: NodeId, to: NodeId) -> Option<u32> {
        let at = self.nodes.iter().position(|node| node.id == to)?;
        self.node(from)?.distances.get(at).copied()
    }

    /// All online nodes, nearest to `from` first (itself first; ties by number).
    pub fn nodes_by_distance(&self, from: NodeId) -> Vec<NodeId> {
        let mut nodes: Vec<_> = self.nodes.iter().map(|node| node.id).collect();
        nodes.sort_by_key(|&node| (node != from, self.distance(from, node), node));
        nodes
    }

    /// Where memory for `node` should come from: itself if it has memory that this thread may use,
    /// else the nearest node that has.
    pub fn nearest_memory_node(&self, node: NodeId) -> Option<NodeId> {
        self.node(node)?;
        let has_memory = |id| self.node(id).is_some_and(|n| n.memory_bytes > 0);
        self.nodes_by_distance(node).into_iter().find(|&id| self.allowed_nodes.contains(id) && has_memory(id))
    }
}
