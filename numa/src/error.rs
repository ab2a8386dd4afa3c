//! What can go wrong, told so that an operator can act on it.
//!
//! Each variant carries the CPU, the node and the cause where there is one, and its `Display` text
//! names them; the cause is part of the text, so printing the error alone is enough.

use std::io;
use std::path::PathBuf;

use crate::id::{CpuId, NodeId};
use crate::id_set::{CpuSet, NodeSet};
use crate::limits::CpuQuota;

/// The result of this crate's fallible calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of sysfs or procfs is missing or unreadable.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why it could not be read.
        cause: io::Error,
    },
    /// A file of sysfs or procfs says something that is not understood.
    #[error("{} says '{text}', expected {expected}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it says (its first line).
        text: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// The hwloc library could not describe the machine (feature `hwloc`).
    #[error("hwloc cannot describe this machine: {cause}")]
    Hwloc {
        /// The library's own words.
        cause: String,
    },
    /// A CPU was named that does not exist or is switched off.
    #[error("{cpu} is not online (online CPUs: {online})")]
    CpuOffline {
        /// The CPU that was asked for.
        cpu: CpuId,
        /// Those that are online.
        online: CpuSet,
    },
    /// A CPU was named that the affinity mask or the cpuset keeps from this process.
    #[error("{cpu} on {node} is not allowed by the affinity mask or the cpuset (allowed CPUs: {allowed})")]
    CpuNotAllowed {
        /// The CPU that was asked for.
        cpu: CpuId,
        /// The node it belongs to.
        node: NodeId,
        /// Those that are allowed.
        allowed: CpuSet,
    },
    /// None of the CPUs that the affinity mask and the cpuset allow is online.
    #[error("none of the allowed CPUs ({allowed}) is online (online CPUs: {online})")]
    NothingAllowed {
        /// The mask.
        allowed: CpuSet,
        /// The CPUs that are online.
        online: CpuSet,
    },
    /// An empty set of CPUs was given where a thread is to run on it.
    #[error("a thread cannot run on no CPU at all")]
    NoCpus,
    /// A CPU number that does not fit in the fixed-size mask that is handed to the kernel.
    ///
    /// glibc's `cpu_set_t`, and with it `nix` and `core_affinity`, stops at `CPU_SETSIZE` (1024).
    #[error(
        "{cpu} is beyond the {limit} CPUs of the fixed-size affinity mask (cpu_set_t); it cannot be pinned"
    )]
    CpuBeyondMask {
        /// The CPU that was asked for.
        cpu: CpuId,
        /// The first number that does not fit.
        limit: u32,
    },
    /// A node was named that does not exist or is switched off.
    #[error("{node} is not online (online nodes: {online})")]
    NodeOffline {
        /// The node that was asked for.
        node: NodeId,
        /// Those that are online.
        online: NodeSet,
    },
    /// A node has no CPU that this process may use: memory only, switched off, or not allowed.
    #[error("{node} has no CPU to run on (its CPUs: {}; allowed CPUs: {allowed})", listed(cpus))]
    NodeWithoutCpus {
        /// The node that was asked for.
        node: NodeId,
        /// Its online CPUs, if any.
        cpus: CpuSet,
        /// The CPUs that this process may use.
        allowed: CpuSet,
    },
    /// The kernel refused an affinity mask.
    #[error("the kernel refused to pin a thread to CPUs {cpus} ({}): {cause}", on_nodes(nodes))]
    Pin {
        /// The CPUs that were asked for.
        cpus: CpuSet,
        /// The nodes these belong to, as far as known.
        nodes: NodeSet,
        /// The kernel's answer.
        cause: io::Error,
    },
    /// A plan of no workers was asked for.
    #[error("a plan needs at least one worker")]
    NoWorkers,
    /// More workers were asked for than the plan has places.
    #[error(
        "{asked} workers were asked for, but there are only {places} places on the allowed CPUs {allowed}"
    )]
    TooManyWorkers {
        /// The workers asked for.
        asked: usize,
        /// The places that the placement offers.
        places: usize,
        /// The CPUs that this process may use.
        allowed: CpuSet,
    },
    /// More workers were asked for than the cgroup's CPU quota can keep running.
    #[error(
        "{asked} workers were asked for, but the cgroup's CPU quota is {quota}; \
         raise it, ask for fewer, or plan without the quota"
    )]
    OverQuota {
        /// The workers asked for.
        asked: usize,
        /// The quota.
        quota: CpuQuota,
    },
    /// A worker thread could not be started.
    #[error("cannot start worker '{name}' on {node}: {cause}")]
    Spawn {
        /// The thread's name.
        name: String,
        /// The node it was meant for.
        node: NodeId,
        /// The system's answer.
        cause: io::Error,
    },
    /// A job was sent to a node on which the pool has no worker.
    #[error("the pool has no worker on {node} (it has workers on nodes {})", listed(nodes))]
    NoWorkerOnNode {
        /// The node that was asked for.
        node: NodeId,
        /// The nodes with workers.
        nodes: NodeSet,
    },
    /// A rayon pool or a tokio runtime could not be built.
    #[error("cannot build the {runtime} for {}: {cause}", on_nodes(nodes))]
    Runtime {
        /// Which runtime.
        runtime: &'static str,
        /// The nodes it was meant for.
        nodes: NodeSet,
        /// Its own words.
        cause: io::Error,
    },
}

/// A set, or a word where it is empty.
fn listed<T: crate::Id>(ids: &crate::IdSet<T>) -> String {
    if ids.is_empty() { "none".to_owned() } else { ids.to_string() }
}

/// `node 3`, `nodes 0-1`, or that none is known.
fn on_nodes(nodes: &NodeSet) -> String {
    match (nodes.len(), nodes.first()) {
        (1, Some(node)) => node.to_string(),
        (0, _) => "node unknown".to_owned(),
        _ => format!("nodes {nodes}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(error: Error) -> String {
        error.to_string()
    }

    #[test]
    fn a_refused_mask_names_cpu_node_and_cause() {
        let error = Error::Pin {
            cpus: CpuSet::only(CpuId(7)),
            nodes: NodeSet::only(NodeId(3)),
            cause: io::Error::from_raw_os_error(22),
        };
        let text = text(error);
        for word in ["CPUs 7", "node 3", "Invalid argument"] {
            assert!(text.contains(word), "{text}");
        }
    }

    #[test]
    fn an_empty_set_is_called_none() {
        let error =
            Error::NodeWithoutCpus { node: NodeId(2), cpus: CpuSet::new(), allowed: "0-3".parse().unwrap() };
        assert_eq!(text(error), "node 2 has no CPU to run on (its CPUs: none; allowed CPUs: 0-3)");
    }

    #[test]
    fn several_nodes_are_listed() {
        assert_eq!(on_nodes(&"0-1,4".parse().unwrap()), "nodes 0-1,4");
        assert_eq!(on_nodes(&NodeSet::new()), "node unknown");
    }
}
