//! Where the threads of a run are: the same for every allocator.
//!
//! The parent makes a [`Field`] for each number of nodes, from numaslab-numa's plans; it travels to the
//! child as JSON, where threads take their places in it. Threads started by a pinned thread inherit
//! its place.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use nix::sched::sched_getcpu;
use numaslab_numa::{CpuId, CpuSet, NodeId, Placement, Topology, pin_current_to};
use serde::{Deserialize, Serialize};

/// How threads are tied to CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Pin {
    /// A CPU each, as near to each other as possible.
    Compact,
    /// A CPU each, as far from each other as possible.
    Spread,
    /// Free to move among all CPUs of the nodes.
    None,
}

impl Pin {
    /// The name on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Spread => "spread",
            Self::None => "not pinned",
        }
    }
}

/// The nodes on which a run takes place, and the places for its threads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The CPUs of each place, as a list of the kernel's form. Thread i takes place i, and again the first
    /// one after the last.
    places: Vec<String>,
    /// The CPUs of each node, by the kernel's numbers, as such lists.
    nodes: BTreeMap<u32, String>,
}

impl Field {
    /// The fields for these numbers of nodes (all nodes if there are none), each with the number of its CPUs.
    /// A field's nodes are the nearest to each other.
    ///
    /// # Errors
    /// A topology that can't be read; more nodes than have CPUs that this process may use.
    pub fn plan(pin: Pin, counts: &[u32]) -> Result<Vec<(Self, u32)>> {
        let topology = Topology::discover()?.without_quota();
        let order = Placement::PerNode(1).plan(&topology)?;
        let order: Vec<NodeId> = order.slots().iter().map(|slot| slot.node).collect();
        let all = [order.len() as u32];
        let counts = if counts.is_empty() { &all } else { counts };
        counts.iter().map(|&count| Self::on(&topology, &order, count, pin)).collect()
    }

    fn on(topology: &Topology, order: &[NodeId], count: u32, pin: Pin) -> Result<(Self, u32)> {
        let nodes = order.get(..count as usize).filter(|nodes| !nodes.is_empty());
        let nodes = nodes
            .with_context(|| format!("{count} nodes are not to be had: {} have CPUs to use", order.len()))?;
        let usable: BTreeMap<NodeId, CpuSet> =
            nodes.iter().map(|&node| Ok((node, topology.usable_cpus(node)?))).collect::<Result<_>>()?;
        let cpus = usable.values().fold(CpuSet::new(), |all, cpus| all.union(cpus));
        let part = topology.clone().restricted_to(&cpus)?;
        let places: Vec<String> = match pin {
            Pin::None => vec![cpus.to_string()],
            Pin::Compact => places(&part, &Placement::Compact)?,
            Pin::Spread => places(&part, &Placement::Spread)?,
        };
        ensure!(!places.is_empty(), "no CPU to use");
        let nodes = usable.iter().map(|(node, cpus)| (node.0, cpus.to_string())).collect();
        Ok((Self { places, nodes }, cpus.len() as u32))
    }

    /// The kernel's numbers of the nodes, ascending.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        self.nodes.keys().copied()
    }

    /// Lets the calling thread, which is the one of this number, take its place for good.
    ///
    /// # Errors
    /// The kernel's answer, with the CPUs.
    pub fn take_place(&self, number: u32) -> Result<()> {
        let place = &self.places[number as usize % self.places.len()];
        pin_current_to(&place.parse().context("a CPU list")?)?.keep();
        Ok(())
    }

    /// Which node each CPU belongs to, for looking up often.
    pub fn map(&self) -> NodeMap {
        let mut nodes = Vec::new();
        for (&node, cpus) in &self.nodes {
            for CpuId(cpu) in cpus.parse::<CpuSet>().unwrap_or_default().iter() {
                nodes.resize(nodes.len().max(cpu as usize + 1), None);
                nodes[cpu as usize] = Some(node);
            }
        }
        NodeMap { nodes }
    }
}

fn places(topology: &Topology, placement: &Placement) -> Result<Vec<String>> {
    Ok(placement.plan(topology)?.slots().iter().map(|slot| slot.cpus.to_string()).collect())
}

/// The node of each CPU of a [`Field`].
#[derive(Clone, Debug)]
pub struct NodeMap {
    nodes: Vec<Option<u32>>,
}

impl NodeMap {
    /// The node of the CPU on which the thread is at this moment.
    pub fn here(&self) -> Option<u32> {
        let cpu = sched_getcpu().ok()?;
        self.nodes.get(cpu).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_lies_on_the_chosen_nodes() {
        for pin in [Pin::Compact, Pin::Spread, Pin::None] {
            for (field, cpus) in Field::plan(pin, &[]).expect("a machine") {
                let all: CpuSet = field
                    .places
                    .iter()
                    .flat_map(|place| place.parse::<CpuSet>().expect("a list").iter().collect::<Vec<_>>())
                    .collect();
                assert_eq!(all.len() as u32, cpus, "{field:?}");
                assert_eq!(field.places.len() as u32, if pin == Pin::None { 1 } else { cpus });
            }
        }
    }

    #[test]
    fn a_thread_is_where_its_place_is() {
        let (field, cpus) = Field::plan(Pin::Spread, &[1]).expect("one node").remove(0);
        for number in 0..cpus + 1 {
            let there = || {
                field.take_place(number).expect("allowed");
                field.map().here()
            };
            let here = std::thread::scope(|scope| scope.spawn(there).join());
            let here = here.expect("no panic").expect("a node of the field");
            assert!(field.nodes().any(|node| node == here));
        }
    }

    #[test]
    fn too_many_nodes_are_refused() {
        for count in [0, 4096] {
            let error = Field::plan(Pin::None, &[count]).expect_err("not there").to_string();
            assert!(error.contains("nodes are not to be had"), "{error}");
        }
    }
}
