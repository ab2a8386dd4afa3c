//! rayon pools with pinned threads (feature `rayon`).
//!
//! ```
//! use numaslab_numa::{Placement, Topology, hooks::rayon_pool};
//!
//! let plan = Placement::Spread.plan(&Topology::discover()?)?;
//! let pool = rayon_pool::build(rayon::ThreadPoolBuilder::new(), &plan)?;
//! assert_eq!(pool.install(|| rayon::current_num_threads()), plan.workers());
//! # Ok::<(), numaslab_numa::Error>(())
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;

use rayon::{ThreadBuilder, ThreadPool, ThreadPoolBuilder};

use crate::affinity::PinnedThread;
use crate::error::{Error, Result};
use crate::id::NodeId;
use crate::placement::{Plan, Slot};

/// Builds a pool with one thread for each place of the plan; thread `i` gets place `i`.
///
/// The builder's number of threads is replaced; everything else holds, start and exit handlers too.
/// With `use_current_thread` the current thread becomes thread 0 and is not pinned. For a pool that is
/// built elsewhere (the global one), call [`StartHook::pin_worker`](super::StartHook::pin_worker) in its
/// start handler.
///
/// # Errors
/// [`Error::Spawn`] or [`Error::Runtime`] if the threads cannot be started; [`Error::Pin`] and its kin if
/// one cannot be pinned. Threads that had started are ended again.
pub fn build(builder: ThreadPoolBuilder, plan: &Plan) -> Result<ThreadPool> {
    let failure = RefCell::new(None);
    let spawn = |worker: ThreadBuilder| {
        let Slot { node, cpus } = &plan.slots()[worker.index()];
        let (name, stack_bytes) = (worker.name().unwrap_or("rayon").to_owned(), worker.stack_size());
        let thread = PinnedThread { name: &name, stack_bytes, node: *node, cpus };
        thread.spawn(|| {}, || worker.run()).map(drop).map_err(|error| {
            failure.replace(Some(error));
            io::Error::other("a thread of the pool could not be pinned")
        })
    };
    let built = builder.num_threads(plan.workers()).spawn_handler(spawn).build();
    built.map_err(|cause| {
        let (nodes, cause) = (plan.nodes(), io::Error::other(cause));
        failure.take().unwrap_or(Error::Runtime { runtime: "rayon pool", nodes, cause })
    })
}

/// Builds one pool for each node of the plan, with threads named `PREFIX-NODE.INDEX`.
///
/// # Errors
/// As [`build`].
pub fn per_node(prefix: &str, plan: &Plan) -> Result<BTreeMap<NodeId, ThreadPool>> {
    let pool = |(node, plan): (NodeId, Plan)| {
        let prefix = format!("{prefix}-{}", node.0);
        let builder = ThreadPoolBuilder::new().thread_name(move |index| format!("{prefix}.{index}"));
        Ok((node, build(builder, &plan)?))
    };
    plan.by_node().into_iter().map(pool).collect()
}
