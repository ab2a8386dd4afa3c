//! What numaslab does here: it is started by one allocation, and asked.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};

use numaslab::NumaSlab;
use numaslab::telemetry::{CacheMode, PlacementMode};
use numaslab_numa::Topology;

use crate::report::{BindingMode, Mode};

/// Not the global allocator: where numaslab can't be started, this program still can.
static HEAP: NumaSlab = NumaSlab::new();

/// Starts numaslab with the configuration of the environment.
pub(super) fn mode(topology: &Topology) -> Mode {
    const LAYOUT: Layout = Layout::new::<[u8; 64]>();
    // SAFETY: the layout is not empty; the block, if there is one, is freed with the same layout.
    unsafe {
        let block = HEAP.alloc(LAYOUT);
        if !block.is_null() {
            HEAP.dealloc(block, LAYOUT);
        }
    }
    let stats = numaslab::stats();
    let (per_cpu, revocable) = match stats.cache_mode {
        Some(CacheMode::PerCpu { revocable, .. }) => (true, revocable),
        _ => (false, false),
    };
    let started = stats.cache_mode.is_some();
    Mode {
        started,
        per_cpu,
        revocable,
        caches: stats.cache_mode.map_or("not started".to_owned(), |mode| mode.to_string()),
        binding: binding(started, stats.placement, topology),
        placement: if started { stats.placement.to_string() } else { "not started".to_owned() },
        nodes: stats.nodes,
        environment: environment(),
    }
}

fn binding(started: bool, placement: PlacementMode, topology: &Topology) -> BindingMode {
    let has_memory = |node| topology.node(node).is_some_and(|node| node.memory_bytes > 0);
    let nodes = topology.allowed_nodes().iter().filter(|node| has_memory(*node)).count();
    match placement {
        PlacementMode::Bound if started => BindingMode::On,
        PlacementMode::OneNode if started && nodes <= 1 => BindingMode::NotNeeded,
        _ => BindingMode::Off,
    }
}

fn environment() -> Vec<String> {
    let matters = |name: &str| name.starts_with("NUMASLAB_") || name == "GLIBC_TUNABLES";
    let pairs = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| matters(name))?;
        Some(format!("{name}={}", value.to_string_lossy()))
    });
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort();
    pairs
}
