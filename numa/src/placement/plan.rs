//! A finished plan.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::id::NodeId;
use crate::id_set::{CpuSet, NodeSet};

/// The place of one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Slot {
    /// The node to which all its CPUs belong. It may have no memory; see
    /// [`Topology::nearest_memory_node`](crate::Topology::nearest_memory_node).
    pub node: NodeId,
    /// The CPUs among which the worker may move; often just one.
    pub cpus: CpuSet,
}

/// Where each worker runs; made by [`Placement::plan`](crate::Placement::plan). Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    slots: Vec<Slot>,
}

impl Plan {
    /// # Errors
    /// [`Error::NoWorkers`] if there are no slots.
    pub(super) fn new(slots: Vec<Slot>) -> Result<Self> {
        if slots.is_empty() { Err(Error::NoWorkers) } else { Ok(Self { slots }) }
    }

    /// The places in the order in which workers take them.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// How many workers the plan has; at least 1.
    pub fn workers(&self) -> usize {
        self.slots.len()
    }

    /// The nodes that get workers.
    pub fn nodes(&self) -> NodeSet {
        self.slots.iter().map(|slot| slot.node).collect()
    }

    /// All CPUs of the plan.
    pub fn cpus(&self) -> CpuSet {
        self.slots.iter().fold(CpuSet::new(), |all, slot| all.union(&slot.cpus))
    }

    /// One plan for each node, with this plan's workers there in the same order.
    pub fn by_node(&self) -> BTreeMap<NodeId, Self> {
        let mut plans = BTreeMap::new();
        for slot in &self.slots {
            let plan = plans.entry(slot.node).or_insert_with(|| Self { slots: Vec::new() });
            plan.slots.push(slot.clone());
        }
        plans
    }
}
