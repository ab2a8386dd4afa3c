//! The facts as sysfs tells them.
//!
//! Files (kernel documents `ABI/stable/sysfs-devices-node`, `ABI/testing/sysfs-devices-system-cpu`):
//! below `/sys/devices/system/cpu` the list `online` and for each CPU `topology/` and
//! `cache/indexM/`; below `/sys/devices/system/node` the list `online` and for each node `cpulist`,
//! `meminfo` and `distance` (one entry for each *online* node, so not indexed by id).

use super::assemble::{CpuFacts, Facts, NodeFacts};
use super::{Cache, CacheKind};
use crate::error::Result;
use crate::id::{CpuId, NodeId, PackageId};
use crate::id_set::{CpuSet, NodeSet};
use crate::tree::Tree;

/// Reads all facts.
pub(super) fn read(tree: &Tree) -> Result<Facts> {
    let online: CpuSet = tree.set("sys/devices/system/cpu/online")?;
    let mut caches = Vec::new();
    for cpu in online.iter() {
        read_caches(tree, cpu, &mut caches)?;
    }
    Ok(Facts {
        cpus: online.iter().map(|cpu| read_cpu(tree, cpu)).collect::<Result<_>>()?,
        nodes: read_nodes(tree)?,
        caches,
        memory_bytes: total_memory(tree, "proc/meminfo")?,
    })
}

fn read_cpu(tree: &Tree, id: CpuId) -> Result<CpuFacts> {
    let directory = format!("sys/devices/system/cpu/cpu{}/topology", id.0);
    let package = tree.number_if_any(format!("{directory}/physical_package_id"))?;
    // `thread_siblings_list` is the name before Linux 5.3; newer kernels still have it.
    let core = match tree.set_if_any(&format!("{directory}/core_cpus_list"))? {
        Some(core) => Some(core),
        None => tree.set_if_any(&format!("{directory}/thread_siblings_list"))?,
    };
    // The kernel says -1 where the firmware is silent.
    let package = package.and_then(|id| u32::try_from(id).ok()).map(PackageId);
    Ok(CpuFacts { id, package, core: core.unwrap_or_default() })
}

/// Adds the caches of `cpu` that `caches` does not have yet.
fn read_caches(tree: &Tree, cpu: CpuId, caches: &mut Vec<Cache>) -> Result<()> {
    for index in 0.. {
        let directory = format!("sys/devices/system/cpu/cpu{}/cache/index{index}", cpu.0);
        let Some(level) = tree.number_if_any(format!("{directory}/level"))? else { break };
        let kind = match tree.text_if_any(format!("{directory}/type"))?.as_deref().map(str::trim) {
            Some("Data") => CacheKind::Data,
            Some("Unified") => CacheKind::Unified,
            _ => continue,
        };
        let level = u8::try_from(level).unwrap_or(u8::MAX);
        if caches.iter().any(|c| (c.level, c.kind) == (level, kind) && c.cpus.contains(cpu)) {
            continue;
        }
        let cpus = tree.set_if_any(&format!("{directory}/shared_cpu_list"))?;
        let line = tree.number_if_any(format!("{directory}/coherency_line_size"))?;
        caches.push(Cache {
            level,
            kind,
            size_bytes: cache_size(tree, &format!("{directory}/size"))?,
            line_bytes: line.and_then(|bytes| u32::try_from(bytes).ok()).filter(|&bytes| bytes > 0),
            cpus: cpus.unwrap_or_else(|| CpuSet::only(cpu)),
        });
    }
    Ok(())
}

/// A size such as `48K`.
fn cache_size(tree: &Tree, path: &str) -> Result<Option<u64>> {
    let Some(text) = tree.text_if_any(path)? else { return Ok(None) };
    let (digits, unit) = match text.trim().strip_suffix('K') {
        Some(digits) => (digits, 1024),
        None => (text.trim(), 1),
    };
    let size: u64 = digits.parse().map_err(|_| tree.malformed(path, &text, "a size such as 48K"))?;
    Ok(Some(size * unit).filter(|&bytes| bytes > 0))
}

fn read_nodes(tree: &Tree) -> Result<Vec<NodeFacts>> {
    let online: Option<NodeSet> = tree.set_if_any("sys/devices/system/node/online")?;
    let online = online.unwrap_or_default();
    online.iter().map(|id| read_node(tree, id, online.len())).collect()
}

fn read_node(tree: &Tree, id: NodeId, count: usize) -> Result<NodeFacts> {
    let directory = format!("sys/devices/system/node/node{}", id.0);
    Ok(NodeFacts {
        id,
        cpus: tree.set(&format!("{directory}/cpulist"))?,
        memory_bytes: total_memory(tree, &format!("{directory}/meminfo"))?,
        distances: read_distances(tree, &format!("{directory}/distance"), count)?,
    })
}

fn read_distances(tree: &Tree, path: &str, count: usize) -> Result<Vec<u32>> {
    let Some(text) = tree.text_if_any(path)? else { return Ok(Vec::new()) };
    let row: Option<Vec<u32>> = text.split_whitespace().map(|entry| entry.parse().ok()).collect();
    row.filter(|row| row.len() == count)
        .ok_or_else(|| tree.malformed(path, &text, "a distance for each online node"))
}

/// The `MemTotal:` of a meminfo file in bytes; 0 if there is none.
fn total_memory(tree: &Tree, path: &str) -> Result<u64> {
    let text = tree.text_if_any(path)?.unwrap_or_default();
    let mut words = text.split_whitespace().skip_while(|&word| word != "MemTotal:").skip(1);
    let Some(kib) = words.next() else { return Ok(0) };
    kib.parse::<u64>()
        .map(|kib| kib * 1024)
        .map_err(|_| tree.malformed(path, &text, "'MemTotal:' and a number of kB"))
}
