//! One worker thread: pinned from its start, it runs its node's jobs.

use std::sync::Arc;
use std::thread::JoinHandle;

use super::queue::Queue;
use crate::affinity::PinnedThread;
use crate::error::Result;
use crate::id::NodeId;
use crate::id_set::CpuSet;

/// Called on each worker once it is pinned, before its first job.
pub(super) type StartHook = Arc<dyn Fn(&WorkerInfo) + Send + Sync>;

/// Who a worker is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// Its place in the plan.
    pub index: usize,
    /// The name of its thread: `PREFIX-NODE.INDEX`. The kernel shows the first 15 bytes of it.
    pub name: String,
    /// The node whose jobs it runs.
    pub node: NodeId,
    /// The CPUs among which it may move.
    pub cpus: CpuSet,
}

/// A running worker.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) info: WorkerInfo,
    pub(super) thread: JoinHandle<()>,
}

impl Worker {
    /// Starts a worker and waits until it is pinned.
    pub(super) fn start(
        info: WorkerInfo,
        stack_bytes: Option<usize>,
        queue: Arc<Queue>,
        hook: Option<StartHook>,
    ) -> Result<Self> {
        let own = info.clone();
        let thread = PinnedThread { name: &info.name, stack_bytes, node: info.node, cpus: &info.cpus };
        let prepare = move || {
            if let Some(hook) = hook {
                hook(&own);
            }
        };
        let thread = thread.spawn(prepare, move || run(&queue))?;
        Ok(Self { info, thread })
    }
}

fn run(queue: &Queue) {
    while let Some(job) = queue.pop() {
        job.run();
    }
}
