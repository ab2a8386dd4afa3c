//! From the raw facts of any source to a [`Topology`] that holds its invariants.
//!
//! Sources differ in what they leave out; the defaults are set here once.

use std::collections::BTreeMap;

use super::{Cache, Cpu, Node, Package, Topology};
use crate::error::{Error, Result};
use crate::id::{CpuId, NodeId, PackageId};
use crate::id_set::{CpuSet, NodeSet};
use crate::limits::Limits;

/// The distance within a node, by definition of ACPI's SLIT.
const LOCAL: u32 = 10;
/// The distance the kernel assumes between nodes when the firmware tells none.
const REMOTE: u32 = 20;

/// What a source tells of the machine.
pub(super) struct Facts {
    /// The online CPUs.
    pub(super) cpus: Vec<CpuFacts>,
    /// The online nodes; none where the kernel knows no nodes.
    pub(super) nodes: Vec<NodeFacts>,
    /// The data and unified caches; the same one may be named once for each of its CPUs.
    pub(super) caches: Vec<Cache>,
    /// All memory, for the case that there are no nodes.
    pub(super) memory_bytes: u64,
}

/// What a source tells of one CPU.
pub(super) struct CpuFacts {
    pub(super) id: CpuId,
    pub(super) package: Option<PackageId>,
    /// Its SMT siblings; may be empty or without itself.
    pub(super) core: CpuSet,
}

/// What a source tells of one node.
pub(super) struct NodeFacts {
    pub(super) id: NodeId,
    pub(super) cpus: CpuSet,
    pub(super) memory_bytes: u64,
    /// One entry for each node of [`Facts::nodes`] in the same order, or none at all.
    pub(super) distances: Vec<u32>,
}

/// Builds the topology.
pub(super) fn assemble(mut facts: Facts, limits: Limits) -> Result<Topology> {
    let online: CpuSet = facts.cpus.iter().map(|cpu| cpu.id).collect();
    let mask = limits.cpus.unwrap_or_else(|| online.clone());
    let allowed = mask.intersection(&online);
    if allowed.is_empty() {
        return Err(Error::NothingAllowed { allowed: mask, online });
    }
    complete_nodes(&mut facts, &online);
    let nodes = nodes(facts.nodes, &online);
    let cpus = cpus(facts.cpus, &nodes, &online);
    let online_nodes: NodeSet = nodes.iter().map(|node| node.id).collect();
    let allowed_nodes = limits.nodes.map_or(online_nodes.clone(), |set| set.intersection(&online_nodes));
    Ok(Topology {
        packages: packages(&cpus),
        caches: caches(facts.caches, &online),
        cpus,
        nodes,
        online,
        allowed,
        allowed_nodes,
        quota: limits.quota,
    })
}

/// Sorts the nodes, adds the one node of a kernel that knows none, and gives every CPU that no node
/// claims to the first.
fn complete_nodes(facts: &mut Facts, online: &CpuSet) {
    if facts.nodes.is_empty() {
        let (id, memory_bytes) = (NodeId(0), facts.memory_bytes);
        facts.nodes.push(NodeFacts { id, cpus: online.clone(), memory_bytes, distances: vec![LOCAL] });
    }
    let claimed = facts.nodes.iter().fold(CpuSet::new(), |all, node| all.union(&node.cpus));
    let first = &mut facts.nodes[0];
    first.cpus = first.cpus.union(&online.difference(&claimed));
}

/// Gives each CPU to one node only and fills in distances that are missing.
fn nodes(facts: Vec<NodeFacts>, online: &CpuSet) -> Vec<Node> {
    let count = facts.len();
    let mut free = online.clone();
    let node = |(at, facts): (usize, NodeFacts)| {
        let cpus = facts.cpus.intersection(&free);
        free = free.difference(&cpus);
        let assumed = || (0..count).map(|to| if to == at { LOCAL } else { REMOTE }).collect();
        let distances = if facts.distances.is_empty() { assumed() } else { facts.distances };
        Node { id: facts.id, cpus, memory_bytes: facts.memory_bytes, distances }
    };
    facts.into_iter().enumerate().map(node).collect()
}

fn cpus(facts: Vec<CpuFacts>, nodes: &[Node], online: &CpuSet) -> Vec<Cpu> {
    let node_of: BTreeMap<CpuId, NodeId> =
        nodes.iter().flat_map(|node| node.cpus.iter().map(|cpu| (cpu, node.id))).collect();
    let cpu = |facts: CpuFacts| {
        let mut core = facts.core.intersection(online);
        core.insert(facts.id);
        Cpu { id: facts.id, node: node_of[&facts.id], package: facts.package.unwrap_or(PackageId(0)), core }
    };
    let mut cpus: Vec<_> = facts.into_iter().map(cpu).collect();
    cpus.sort_by_key(|cpu| cpu.id);
    cpus
}

fn packages(cpus: &[Cpu]) -> Vec<Package> {
    let mut packages = BTreeMap::<PackageId, CpuSet>::new();
    for cpu in cpus {
        packages.entry(cpu.package).or_default().insert(cpu.id);
    }
    packages.into_iter().map(|(id, cpus)| Package { id, cpus }).collect()
}

/// Cuts the caches down to online CPUs, and names each once.
fn caches(mut caches: Vec<Cache>, online: &CpuSet) -> Vec<Cache> {
    for cache in &mut caches {
        cache.cpus = cache.cpus.intersection(online);
    }
    caches.retain(|cache| !cache.cpus.is_empty());
    caches.sort_by(|a, b| (a.level, &a.cpus, a.kind).cmp(&(b.level, &b.cpus, b.kind)));
    caches.dedup_by(|a, b| (a.level, &a.cpus, a.kind) == (b.level, &b.cpus, b.kind));
    caches
}
