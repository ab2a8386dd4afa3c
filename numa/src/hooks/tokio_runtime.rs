//! tokio runtimes with pinned worker threads (feature `tokio`).
//!
//! ```
//! use numaslab_numa::{Placement, Topology, hooks::tokio_runtime};
//!
//! let plan = Placement::PerNode(2).plan(&Topology::discover()?)?;
//! let runtimes = tokio_runtime::per_node("web", &plan)?;
//! for runtime in runtimes.values() {
//!     runtime.block_on(async { /* accept connections of this node */ });
//! }
//! # Ok::<(), numaslab_numa::Error>(())
//! ```

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Barrier};

use tokio::runtime::{Builder, Runtime, RuntimeFlavor};

use super::StartHook;
use crate::error::{Error, Result};
use crate::id::NodeId;
use crate::placement::Plan;

/// Builds a multi-thread runtime with one worker for each place of the plan.
///
/// The builder's number of workers and its `on_thread_start` are replaced; everything else holds. The
/// blocking threads, which tokio starts later, may run on all CPUs of the plan. With
/// `tokio::task::block_in_place` a worker hands its work to such a thread, so in a plan
/// with one CPU per worker prefer `spawn_blocking`.
///
/// # Errors
/// [`Error::Runtime`] if tokio cannot build the runtime, or if it is a current-thread one;
/// [`Error::Pin`] and its kin if a worker cannot be pinned.
///
/// # Panics
/// As tokio does if a worker cannot be started.
pub fn build(builder: &mut Builder, plan: &Plan) -> Result<Runtime> {
    let hook = StartHook::new(plan.clone());
    let in_thread = hook.clone();
    let builder = builder.worker_threads(plan.workers()).on_thread_start(move || in_thread.pin_next());
    let runtime = builder.build().map_err(|cause| Error::Runtime {
        runtime: "tokio runtime",
        nodes: plan.nodes(),
        cause,
    })?;
    if runtime.handle().runtime_flavor() == RuntimeFlavor::CurrentThread {
        let cause =
            io::Error::new(io::ErrorKind::InvalidInput, "a current-thread runtime has no workers to pin");
        return Err(Error::Runtime { runtime: "tokio runtime", nodes: plan.nodes(), cause });
    }
    muster(&runtime, plan.workers());
    hook.failure().map_or(Ok(runtime), Err)
}

/// Returns when all workers are at work at the same time.
///
/// tokio's threads are all alike: each runs the start hook, then takes what is queued first, a worker's
/// loop or a blocking call. So a runtime that is handed out too early may run a worker on a thread that
/// came too late for a place.
fn muster(runtime: &Runtime, workers: usize) {
    let all = Arc::new(Barrier::new(workers + 1));
    for _ in 0..workers {
        let all = Arc::clone(&all);
        drop(runtime.spawn(async move { all.wait() }));
    }
    all.wait();
}

/// Builds one runtime for each node of the plan, with I/O and time as far as tokio was built with
/// them, and with threads named `PREFIX-NODE`.
///
/// # Errors
/// As [`build`].
pub fn per_node(prefix: &str, plan: &Plan) -> Result<BTreeMap<NodeId, Runtime>> {
    let runtime = |(node, plan): (NodeId, Plan)| {
        let mut builder = Builder::new_multi_thread();
        builder.enable_all().thread_name(format!("{prefix}-{}", node.0));
        Ok((node, build(&mut builder, &plan)?))
    };
    plan.by_node().into_iter().map(runtime).collect()
}
