//! Plans: which worker runs on which CPUs.
//!
//! A [`Placement`] is a wish, a [`Plan`] is what becomes of it on a given [`Topology`]. Plans are pure
//! functions of the topology: the same machine, mask and quota always give the same plan.
//! Neighbours: [`crate::topology`] below; pools, hooks and applications above.
//!
//! # Invariants
//! - Every slot lies inside the allowed CPUs and inside one node, and is not empty.
//! - No CPU is given to two workers, except by [`Placement::PerNode`], where the workers of a node
//!   share its CPUs, and where [`Placement::Explicit`] names it twice.
//! - A plan never has more workers than the CPU quota can keep running; the one exception is that
//!   [`Placement::PerNode`] always keeps one worker on every node.

mod order;
mod plan;

use crate::error::{Error, Result};
use crate::id::CpuId;
use crate::topology::Topology;

pub use plan::{Plan, Slot};

/// How workers are to be placed on the CPUs that a process may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// As near to each other as possible, one CPU each: a node is filled before the next nearest one,
    /// within it one L3 cache after the other, and a core with all its hardware threads at once.
    Compact,
    /// As far from each other as possible, one CPU each: whole cores before second hardware threads,
    /// and at every step the least used node, package and L3 cache.
    Spread,
    /// One CPU on each core (its first allowed hardware thread), in compact order.
    OnePerCore,
    /// One worker for each L3 cache, free to move among its CPUs.
    ///
    /// A cache that spans several nodes (sub-NUMA clusters) counts once for each, since a worker has
    /// one home. Where the kernel shows no L3 cache, the CPUs of a package that lie in one node count as
    /// one.
    OnePerL3,
    /// At most this many workers on each node with CPUs, and never more than it has CPUs, each free to
    /// move among the node's CPUs. The plan goes round the nodes, so that a shorter one is even.
    PerNode(usize),
    /// These CPUs in this order, one worker each.
    Explicit(Vec<CpuId>),
}

impl Placement {
    /// The plan with as many workers as the placement has places and the quota allows.
    ///
    /// # Errors
    /// [`Error::CpuOffline`] and [`Error::CpuNotAllowed`] for a CPU of an explicit list,
    /// [`Error::OverQuota`] for an explicit list that is longer than the quota is wide (plan on
    /// [`Topology::without_quota`] if it must be), [`Error::NoWorkers`] for an empty list or zero workers
    /// per node.
    pub fn plan(&self, topology: &Topology) -> Result<Plan> {
        let mut slots = self.places(topology)?;
        let most = self.most_workers(topology);
        if matches!(self, Self::Explicit(_)) {
            check_quota(slots.len(), most, topology)?;
        }
        slots.truncate(most);
        Plan::new(slots)
    }

    /// The plan with exactly `workers` workers, which are the first of the full plan.
    ///
    /// # Errors
    /// As [`plan`](Self::plan); also [`Error::TooManyWorkers`] where there are fewer places, and
    /// [`Error::OverQuota`] where the quota is smaller.
    pub fn plan_for(&self, topology: &Topology, workers: usize) -> Result<Plan> {
        let mut slots = self.places(topology)?;
        if workers > slots.len() {
            let (places, allowed) = (slots.len(), topology.allowed_cpus().clone());
            return Err(Error::TooManyWorkers { asked: workers, places, allowed });
        }
        check_quota(workers, self.most_workers(topology), topology)?;
        slots.truncate(workers);
        Plan::new(slots)
    }

    /// All places, whatever the quota.
    fn places(&self, topology: &Topology) -> Result<Vec<Slot>> {
        Ok(match self {
            Self::Compact => order::one_cpu_each(order::compact(topology)),
            Self::Spread => order::one_cpu_each(order::spread(topology)),
            Self::OnePerCore => order::one_cpu_each(order::first_of_cores(topology)),
            Self::OnePerL3 => order::caches(topology),
            Self::PerNode(each) => order::round_the_nodes(topology, *each),
            Self::Explicit(cpus) => {
                let cpus = cpus.iter().map(|&cpu| topology.check_allowed(cpu));
                order::one_cpu_each(cpus.collect::<Result<_>>()?)
            }
        })
    }

    fn most_workers(&self, topology: &Topology) -> usize {
        let quota = topology.quota().map_or(usize::MAX, |quota| quota.whole_cpus());
        match self {
            Self::PerNode(_) => quota.max(order::nodes(topology).len()),
            _ => quota,
        }
    }
}

fn check_quota(asked: usize, most: usize, topology: &Topology) -> Result<()> {
    match topology.quota() {
        Some(quota) if asked > most => Err(Error::OverQuota { asked, quota }),
        _ => Ok(()),
    }
}
