//! The orders in which CPUs, cores, caches and nodes are taken.
//!
//! All of them look at allowed CPUs only, and are total orders on ids in the end, which is what makes
//! plans deterministic.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::Slot;
use crate::id::{CpuId, NodeId, PackageId};
use crate::id_set::CpuSet;
use crate::topology::{Cpu, Topology};

/// The level of cache by which CPUs are grouped.
const SHARED_CACHE_LEVEL: u8 = 3;

/// A worker on each of `cpus`.
pub(super) fn one_cpu_each(cpus: Vec<&Cpu>) -> Vec<Slot> {
    cpus.into_iter().map(|cpu| Slot { node: cpu.node, cpus: CpuSet::only(cpu.id) }).collect()
}

/// The nodes with allowed CPUs: first the one with the smallest number, then always the one that
/// is nearest to all that were taken before.
pub(super) fn nodes(topology: &Topology) -> Vec<NodeId> {
    let mut left: BTreeSet<NodeId> = allowed(topology).map(|cpu| cpu.node).collect();
    let mut order = Vec::with_capacity(left.len());
    while let Some(next) = left.iter().copied().min_by_key(|&node| (detour(topology, &order, node), node)) {
        left.remove(&next);
        order.push(next);
    }
    order
}

/// The sum of the distances from `taken` to `node`.
fn detour(topology: &Topology, taken: &[NodeId], node: NodeId) -> u64 {
    taken.iter().filter_map(|&from| topology.distance(from, node)).map(u64::from).sum()
}

/// Node by node, L3 by L3, core by core.
pub(super) fn compact(topology: &Topology) -> Vec<&Cpu> {
    let rank: BTreeMap<NodeId, usize> = nodes(topology).into_iter().zip(0..).collect();
    let mut cpus: Vec<_> = allowed(topology).collect();
    cpus.sort_by_cached_key(|cpu| {
        (rank[&cpu.node], cpu.package, shared_cache(topology, cpu), cpu.core.first(), cpu.id)
    });
    cpus
}

/// The first allowed CPU of each core, in compact order.
pub(super) fn first_of_cores(topology: &Topology) -> Vec<&Cpu> {
    let mut seen = CpuSet::new();
    let is_first = |cpu: &&Cpu| cpu.core.first().is_some_and(|core| seen.insert(core));
    compact(topology).into_iter().filter(is_first).collect()
}

/// At every step the CPU with the least used surroundings.
pub(super) fn spread(topology: &Topology) -> Vec<&Cpu> {
    let mut left: Vec<_> = allowed(topology).map(|cpu| (Surroundings::of(topology, cpu), cpu)).collect();
    let mut load = Load::default();
    let mut order = Vec::with_capacity(left.len());
    // The first of equals is the one with the smallest number.
    while let Some(at) = (0..left.len()).min_by_key(|&at| load.of(&left[at].0)) {
        let (surroundings, cpu) = left.remove(at);
        load.add(surroundings);
        order.push(cpu);
    }
    order
}

/// What a CPU shares with others.
struct Surroundings {
    core: Option<CpuId>,
    node: NodeId,
    package: PackageId,
    cache: Option<CpuId>,
}

impl Surroundings {
    fn of(topology: &Topology, cpu: &Cpu) -> Self {
        let cache = shared_cache(topology, cpu);
        Self { core: cpu.core.first(), node: cpu.node, package: cpu.package, cache }
    }
}

/// How many CPUs have been taken of each core, node, package and cache.
#[derive(Default)]
struct Load {
    cores: BTreeMap<Option<CpuId>, usize>,
    nodes: BTreeMap<NodeId, usize>,
    packages: BTreeMap<PackageId, usize>,
    caches: BTreeMap<Option<CpuId>, usize>,
}

impl Load {
    /// The load around a CPU, the weightiest first.
    fn of(&self, at: &Surroundings) -> [usize; 4] {
        let core = self.cores.get(&at.core);
        let node = self.nodes.get(&at.node);
        let package = self.packages.get(&at.package);
        let cache = self.caches.get(&at.cache);
        [core, node, package, cache].map(|taken| taken.copied().unwrap_or(0))
    }

    fn add(&mut self, at: Surroundings) {
        *self.cores.entry(at.core).or_default() += 1;
        *self.nodes.entry(at.node).or_default() += 1;
        *self.packages.entry(at.package).or_default() += 1;
        *self.caches.entry(at.cache).or_default() += 1;
    }
}

/// One slot for each L3 cache and node, in compact order.
pub(super) fn caches(topology: &Topology) -> Vec<Slot> {
    let key = |cpu: &Cpu| (cpu.node, cpu.package, shared_cache(topology, cpu));
    let group = |group: &[&Cpu]| Slot { node: group[0].node, cpus: group.iter().map(|cpu| cpu.id).collect() };
    compact(topology).chunk_by(|a, b| key(a) == key(b)).map(group).collect()
}

/// Up to `each` slots of a whole node's allowed CPUs for each node, going round the nodes.
pub(super) fn round_the_nodes(topology: &Topology, each: usize) -> Vec<Slot> {
    let slots: Vec<_> = nodes(topology)
        .into_iter()
        .filter_map(|node| Some(Slot { node, cpus: topology.usable_cpus(node).ok()? }))
        .collect();
    let rounds = slots.iter().map(|slot| slot.cpus.len()).max().unwrap_or(0).min(each);
    (0..rounds).flat_map(|round| slots.iter().filter(move |slot| round < slot.cpus.len())).cloned().collect()
}

/// The allowed CPUs in ascending order.
fn allowed(topology: &Topology) -> impl Iterator<Item = &Cpu> {
    topology.allowed_cpus().iter().filter_map(|id| topology.cpu(id))
}

/// The first CPU of the L3 cache of `cpu`, by which the cache is known.
fn shared_cache(topology: &Topology, cpu: &Cpu) -> Option<CpuId> {
    topology.cache_of(cpu.id, SHARED_CACHE_LEVEL).and_then(|cache| cache.cpus.first())
}
