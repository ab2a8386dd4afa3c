//! A pool of pinned worker threads with one queue per node.
//!
//! [`WorkerPool`] runs closures on a chosen node. Each worker belongs to one node and takes jobs from
//! that node's queue only, so what a job touches first is placed there, and what it uses again is near.
//!
//! ```text
//!   run_on(node, f) -> Queue of the node -> Worker (pinned) -> JobHandle: join, wait
//! ```
//!
//! - Within a node jobs start in the order in which they were sent. Queues have no bound.
//! - A job that panics ends alone: its payload waits in its [`JobHandle`], the worker goes on.
//! - Dropping or joining the pool first runs everything that is queued, then ends the workers.
//! - A job may send jobs to the pool. It must not wait for one on its own node unless another worker
//!   there is free, or both wait for ever.

mod builder;
mod job;
mod queue;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use crate::error::{Error, Result};
use crate::id::NodeId;
use crate::id_set::NodeSet;
use crate::placement::Plan;
use crate::topology::Topology;
use queue::Queue;
use worker::Worker;

pub use builder::WorkerPoolBuilder;
pub use job::JobHandle;
pub use worker::WorkerInfo;

/// Pinned worker threads with a queue for each node.
#[derive(Debug)]
pub struct WorkerPool {
    topology: Topology,
    plan: Plan,
    /// One for each node of the plan.
    queues: BTreeMap<NodeId, Arc<Queue>>,
    workers: Vec<Worker>,
}

impl WorkerPool {
    /// A pool to be configured.
    pub fn builder() -> WorkerPoolBuilder {
        WorkerPoolBuilder::default()
    }

    /// Queues `job` for the workers of `node`.
    ///
    /// # Errors
    /// [`Error::NoWorkerOnNode`]; see [`nearest`](Self::nearest) for a node that has one.
    pub fn run_on<T, F>(&self, node: NodeId, job: F) -> Result<JobHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let Some(queue) = self.queues.get(&node) else {
            return Err(Error::NoWorkerOnNode { node, nodes: self.nodes() });
        };
        let (job, handle) = job::package(job);
        queue.push(job);
        Ok(handle)
    }

    /// The nodes that have workers.
    pub fn nodes(&self) -> NodeSet {
        self.plan.nodes()
    }

    /// The node with workers that is nearest to `node`: itself if it has some. For memory without CPUs of
    /// its own.
    ///
    /// `None` if `node` is not online.
    pub fn nearest(&self, node: NodeId) -> Option<NodeId> {
        self.topology.node(node)?;
        self.topology.nodes_by_distance(node).into_iter().find(|near| self.queues.contains_key(near))
    }

    /// The workers, in the order of the plan.
    pub fn workers(&self) -> impl ExactSizeIterator<Item = &WorkerInfo> {
        self.workers.iter().map(|worker| &worker.info)
    }

    /// The plan by which the workers were placed.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The topology on which the plan was made.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// How many jobs wait for a worker of `node`; 0 for a node without workers.
    pub fn waiting(&self, node: NodeId) -> usize {
        self.queues.get(&node).map_or(0, |queue| queue.len())
    }

    /// Runs everything that is queued, then ends the workers and waits for them.
    ///
    /// The same as dropping the pool. Panics of jobs are in their handles.
    pub fn join(self) {}
}

impl Drop for WorkerPool {
    /// Runs everything that is queued, then ends the workers and waits for them.
    ///
    /// If this happens on a worker (a job held the last reference to the pool), that worker is
    /// not waited for; it ends by itself after the job.
    fn drop(&mut self) {
        self.queues.values().for_each(|queue| queue.close());
        for worker in self.workers.drain(..) {
            if worker.thread.thread().id() != thread::current().id() {
                // Jobs are caught, so a worker does not panic; if one did, its queue has been lost
                // with it and the handles say so.
                let _ = worker.thread.join();
            }
        }
    }
}
