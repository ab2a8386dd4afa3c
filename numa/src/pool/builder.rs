//! How a pool is configured and started.

use std::fmt;
use std::sync::Arc;

use super::worker::{StartHook, Worker};
use super::{WorkerInfo, WorkerPool};
use crate::error::Result;
use crate::placement::Placement;
use crate::topology::Topology;

/// Configures a [`WorkerPool`].
///
/// | setting | default |
/// | --- | --- |
/// | placement | one worker for each CPU, free to move within its node |
/// | workers | as many as the placement has places and the CPU quota allows |
/// | thread name prefix | `numaslab` |
/// | stack size | that of the standard library (2 MiB) |
/// | topology | this machine's |
#[must_use]
pub struct WorkerPoolBuilder {
    placement: Placement,
    workers: Option<usize>,
    prefix: String,
    stack_bytes: Option<usize>,
    topology: Option<Topology>,
    on_start: Option<StartHook>,
}

impl Default for WorkerPoolBuilder {
    fn default() -> Self {
        Self {
            placement: Placement::PerNode(usize::MAX),
            workers: None,
            prefix: "numaslab".to_owned(),
            stack_bytes: None,
            topology: None,
            on_start: None,
        }
    }
}

impl WorkerPoolBuilder {
    /// Where the workers run.
    pub fn placement(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// How many workers there are, the first of the placement's places.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// How the threads are called: `PREFIX-NODE.INDEX`. The kernel (`ps`, `top`) shows 15 bytes of it.
    pub fn thread_name_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The size of each worker's stack in bytes.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_bytes = Some(bytes);
        self
    }

    /// The topology to plan on, instead of this machine's as it is now: one that was read before, or was
    /// [restricted](Topology::restricted_to).
    pub fn topology(mut self, topology: Topology) -> Self {
        self.topology = Some(topology);
        self
    }

    /// Something to call on each worker once it is pinned, before its first job. If it panics,
    /// [`build`](Self::build) fails.
    pub fn on_start(mut self, hook: impl Fn(&WorkerInfo) + Send + Sync + 'static) -> Self {
        self.on_start = Some(Arc::new(hook));
        self
    }

    /// Starts the workers, and returns when all of them are pinned.
    ///
    /// # Errors
    /// Those of [`Topology::discover`] and [`Placement::plan_for`];
    /// [`Error::Spawn`](crate::Error::Spawn) if a thread cannot be started and
    /// [`Error::Pin`](crate::Error::Pin) or its kin if one cannot be pinned. Workers that had started are
    /// ended again.
    pub fn build(self) -> Result<WorkerPool> {
        let topology = self.topology.map_or_else(Topology::discover, Ok)?;
        let plan = match self.workers {
            Some(workers) => self.placement.plan_for(&topology, workers)?,
            None => self.placement.plan(&topology)?,
        };
        let queues = plan.nodes().iter().map(|node| (node, Arc::default())).collect();
        let mut pool = WorkerPool { topology, plan, queues, workers: Vec::new() };
        for (index, slot) in pool.plan.slots().iter().enumerate() {
            let name = format!("{}-{}.{index}", self.prefix, slot.node.0);
            let info = WorkerInfo { index, name, node: slot.node, cpus: slot.cpus.clone() };
            let queue = Arc::clone(&pool.queues[&slot.node]);
            pool.workers.push(Worker::start(info, self.stack_bytes, queue, self.on_start.clone())?);
        }
        Ok(pool)
    }
}

impl fmt::Debug for WorkerPoolBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerPoolBuilder")
            .field("placement", &self.placement)
            .field("workers", &self.workers)
            .field("prefix", &self.prefix)
            .field("stack_bytes", &self.stack_bytes)
            .finish_non_exhaustive()
    }
}
