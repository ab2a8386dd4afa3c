//! A topology as text, for logs and for people.

use std::fmt;

use super::{Cache, CacheKind, Topology};

impl fmt::Display for Topology {
    /// One line for the machine, one for each node, one for each level of cache.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = self.cpus.iter().filter(|cpu| cpu.core.first() == Some(cpu.id)).count();
        write!(f, "{} package(s), {} node(s), ", self.packages.len(), self.nodes.len())?;
        write!(f, "{cores} core(s), CPUs {} online, {} allowed", self.online, self.allowed)?;
        if let Some(quota) = self.quota {
            write!(f, ", quota {quota}")?;
        }
        for node in &self.nodes {
            let cpus = if node.cpus.is_empty() { "none".to_owned() } else { node.cpus.to_string() };
            write!(f, "\n{}: CPUs {cpus}, {} MiB, distances", node.id, node.memory_bytes >> 20)?;
            node.distances.iter().try_for_each(|distance| write!(f, " {distance}"))?;
        }
        self.caches.chunk_by(alike).try_for_each(|group| write_caches(f, group))
    }
}

fn alike(a: &Cache, b: &Cache) -> bool {
    (a.level, a.kind, a.size_bytes) == (b.level, b.kind, b.size_bytes)
}

fn write_caches(f: &mut fmt::Formatter<'_>, group: &[Cache]) -> fmt::Result {
    let kind = if group[0].kind == CacheKind::Data { "d" } else { "" };
    write!(f, "\nL{}{kind}: {} x ", group[0].level, group.len())?;
    match group[0].size_bytes {
        Some(bytes) => write!(f, "{} KiB", bytes >> 10),
        None => write!(f, "unknown size"),
    }
}
