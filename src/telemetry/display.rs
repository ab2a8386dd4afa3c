//! Statistics as text: a line a number, the same names everywhere.

use super::{CacheMode, Event, NodeStats, PlacementMode, Stats, WhyPerThread};
use core::fmt;

/// A number of a node, with its name.
type Number = (&'static str, fn(&NodeStats) -> u64);

/// The numbers of a node.
const NODE_NUMBERS: [Number; 20] = [
    ("mapped_bytes", |node| node.mapped_bytes),
    ("backed_bytes", |node| node.backed_bytes),
    ("in_use_bytes", |node| node.in_use_bytes),
    ("region_bytes", |node| node.region_bytes),
    ("outbox_bytes", |node| node.outbox_bytes),
    ("transfer_bytes", |node| node.transfer_bytes),
    ("slab_bytes", |node| node.slab_bytes),
    ("slab_free_bytes", |node| node.slab_free_bytes),
    ("huge_bytes", |node| node.huge_bytes),
    ("huge_blocks", |node| node.huge_blocks),
    ("huge_cached_bytes", |node| node.huge_cached_bytes),
    ("superslabs", |node| node.superslabs),
    ("superslabs_mapped", |node| node.superslabs_mapped),
    ("superslabs_refused", |node| node.superslabs_refused),
    ("superslabs_reserved", |node| node.superslabs_reserved),
    ("huge_alloc", |node| node.huge_alloc),
    ("huge_fail", |node| node.huge_fail),
    ("thp", |node| node.thp),
    ("slabs_carved", |node| node.slabs_carved),
    ("slabs_retired", |node| node.slabs_retired),
];

/// Events that are told of each node, too.
const NODE_EVENTS: [Number; 3] = [
    ("blocks_local", |node| node.blocks_local),
    ("blocks_returned", |node| node.blocks_returned),
    ("blocks_stolen", |node| node.blocks_stolen),
];

impl Stats {
    /// Calls `line` with each number that is a sum over the whole allocator, by name.
    pub fn for_each_line(&self, mut line: impl FnMut(&'static str, u64)) {
        line("nodes", self.nodes as u64);
        for (name, number) in NODE_NUMBERS {
            line(name, self.sum(number));
        }
        line("mapping_bytes", self.mapping_bytes);
        for (event, name) in Event::ALL {
            line(name, self.event(event));
        }
        line("system_calls", self.calls.total());
        line("lost_exchanges", self.lost_exchanges);
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cache_mode {
            None => writeln!(f, "cache_mode not started")?,
            Some(mode) => writeln!(f, "cache_mode {mode}")?,
        }
        writeln!(f, "placement {}", self.placement)?;
        let mut result = Ok(());
        self.for_each_line(|name, value| result = result.and_then(|()| writeln!(f, "{name} {value}")));
        result?;
        if self.nodes > 1 {
            for (node, stats) in self.node.iter().take(self.nodes).enumerate() {
                for (name, number) in NODE_NUMBERS.iter().chain(&NODE_EVENTS) {
                    writeln!(f, "node{node}.{name} {}", number(stats))?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for CacheMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerCpu { libc_area, revocable } => {
                f.write_str("per-cpu")?;
                f.write_str(if *libc_area { " (libc's rseq area" } else { " (own rseq area" })?;
                f.write_str(if *revocable { ")" } else { ", regions can't be revoked)" })
            }
            Self::PerThread(WhyPerThread::Configured) => f.write_str("per-thread (configured)"),
            Self::PerThread(WhyPerThread::NoMemory) => f.write_str("per-thread (no memory for regions)"),
            Self::PerThread(WhyPerThread::Rseq(why)) => write!(f, "per-thread (rseq: {why})"),
        }
    }
}

impl fmt::Display for super::Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRegistered => "not available",
            Self::WrongCpu => "wrong CPU number",
            Self::WrongResult => "self-test failed",
            Self::BrokenKernel => "kernel does not restart sections",
        })
    }
}

impl fmt::Display for PlacementMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneNode => f.write_str("one node"),
            Self::Bound => f.write_str("bound"),
            Self::FirstTouch(None) => f.write_str("first touch (configured)"),
            Self::FirstTouch(Some(errno)) => write!(f, "first touch (mbind: errno {errno})"),
        }
    }
}
