//! The facts as the hwloc library tells them (feature `hwloc`, libhwloc 2.1 or newer).
//!
//! Only hwloc's Linux backend is asked: its x86 backend would add caches from `cpuid` where the
//! kernel shows none. Disallowed CPUs and nodes are included, since [`Topology`](super::Topology)
//! describes the machine first and the thread's share of it separately.

use std::fmt;

use hwlocality::cpu::binding::CpuBindingFlags;
use hwlocality::object::TopologyObject;
use hwlocality::object::attributes::ObjectAttributes;
use hwlocality::object::types::{CacheType, ObjectType};
use hwlocality::topology::builder::BuildFlags;

use super::assemble::{CpuFacts, Facts, NodeFacts};
use super::{Cache, CacheKind};
use crate::error::{Error, Result};
use crate::id::{Id, NodeId, PackageId};
use crate::id_set::{CpuSet, IdSet};
use crate::limits::Limits;

/// The facts, and the calling thread's masks.
pub(super) fn read() -> Result<(Facts, Limits)> {
    let builder = hwlocality::Topology::builder().with_flags(BuildFlags::INCLUDE_DISALLOWED).map_err(told)?;
    let hwloc = builder.without_component("x86").map_err(told)?.build().map_err(told)?;
    let bound = hwloc.cpu_binding(CpuBindingFlags::THREAD).map_err(told)?;
    let limits = Limits {
        cpus: Some(ids(bound.iter_set().map(usize::from))),
        nodes: Some(ids(hwloc.allowed_nodeset().iter_set().map(usize::from))),
        quota: None,
    };
    Ok((facts(&hwloc)?, limits))
}

fn facts(hwloc: &hwlocality::Topology) -> Result<Facts> {
    Ok(Facts {
        cpus: hwloc.objects_with_type(ObjectType::PU).filter_map(cpu).collect(),
        nodes: nodes(hwloc)?,
        caches: hwloc.normal_objects().filter_map(cache).collect(),
        memory_bytes: hwloc.root_object().total_memory(),
    })
}

fn cpu(unit: &TopologyObject) -> Option<CpuFacts> {
    let package = unit.first_ancestor_with_type(ObjectType::Package);
    Some(CpuFacts {
        id: id(unit.os_index()?)?,
        package: package.and_then(TopologyObject::os_index).and_then(id::<PackageId>),
        core: unit.first_ancestor_with_type(ObjectType::Core).map(cpus).unwrap_or_default(),
    })
}

fn cache(object: &TopologyObject) -> Option<Cache> {
    let Some(ObjectAttributes::Cache(cache)) = object.attributes() else { return None };
    let kind = match cache.cache_type() {
        CacheType::Data => CacheKind::Data,
        CacheType::Unified => CacheKind::Unified,
        _ => return None,
    };
    Some(Cache {
        level: u8::try_from(cache.depth()).unwrap_or(u8::MAX),
        kind,
        size_bytes: cache.size().map(|bytes| bytes.get()),
        line_bytes: cache.line_size().and_then(|bytes| u32::try_from(bytes.get()).ok()),
        cpus: cpus(object),
    })
}

/// The nodes in ascending order, with their rows of the matrix that hwloc calls `NUMALatency`.
fn nodes(hwloc: &hwlocality::Topology) -> Result<Vec<NodeFacts>> {
    let mut objects: Vec<_> = hwloc.objects_with_type(ObjectType::NUMANode).collect();
    objects.sort_by_key(|node| node.os_index());
    let matrices = hwloc.distances_with_name("NUMALatency").map_err(told)?;
    let row = |from: &TopologyObject| -> Vec<u32> {
        let Some(matrix) = matrices.first() else { return Vec::new() };
        let entry = |to: &&TopologyObject| matrix.object_pair_distance((from, to))?.0.try_into().ok();
        objects.iter().map(entry).collect::<Option<_>>().unwrap_or_default()
    };
    let node = |object: &&TopologyObject| {
        let Some(ObjectAttributes::NUMANode(memory)) = object.attributes() else { return None };
        Some(NodeFacts {
            id: id::<NodeId>(object.os_index()?)?,
            cpus: cpus(object),
            memory_bytes: memory.local_memory().map_or(0, |bytes| bytes.get()),
            distances: row(object),
        })
    };
    Ok(objects.iter().filter_map(node).collect())
}

fn cpus(object: &TopologyObject) -> CpuSet {
    object.cpuset().map(|set| ids(set.iter_set().map(usize::from))).unwrap_or_default()
}

fn ids<T: Id>(indices: impl Iterator<Item = usize>) -> IdSet<T> {
    indices.map_while(id::<T>).collect()
}

/// The id with this index; `None` past the limit, where an infinite bitmap would lead.
fn id<T: Id>(index: usize) -> Option<T> {
    u32::try_from(index).ok().filter(|&number| number < T::LIMIT).map(T::from_number)
}

fn told(cause: impl fmt::Display) -> Error {
    Error::Hwloc { cause: cause.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::CpuId;

    #[test]
    fn an_endless_bitmap_ends_at_the_limit() {
        let set: CpuSet = ids(0..);
        assert_eq!(set.len(), CpuId::LIMIT as usize);
    }
}
