//! What a [`Topology`](super::Topology) is made of.

use crate::id::{CpuId, NodeId, PackageId};
use crate::id_set::CpuSet;

/// A logical CPU (hardware thread) that is online.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cpu {
    /// Its number.
    pub id: CpuId,
    /// The node it belongs to; that node may have no memory.
    pub node: NodeId,
    /// The package it belongs to.
    pub package: PackageId,
    /// The online CPUs of its core, itself included (SMT siblings).
    pub core: CpuSet,
}

/// A NUMA node that is online.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node {
    /// Its number.
    pub id: NodeId,
    /// Its online CPUs; empty for a node of memory only.
    pub cpus: CpuSet,
    /// Its memory in bytes; 0 for a node of CPUs only.
    pub memory_bytes: u64,
    /// Distances to all online nodes in ascending order of their ids; 10 is local.
    pub distances: Vec<u32>,
}

/// A package (socket) with online CPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Package {
    /// Its number; 0 where the kernel does not tell.
    pub id: PackageId,
    /// Its online CPUs.
    pub cpus: CpuSet,
}

/// What a cache holds. Instruction caches are left out of the topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CacheKind {
    /// Data only.
    Data,
    /// Data and instructions.
    Unified,
}

/// A cache with the online CPUs that share it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cache {
    /// 1 is nearest to the core.
    pub level: u8,
    /// What it holds.
    pub kind: CacheKind,
    /// Its size in bytes, where the kernel tells.
    pub size_bytes: Option<u64>,
    /// Its line in bytes, where the kernel tells.
    pub line_bytes: Option<u32>,
    /// The online CPUs that share it.
    pub cpus: CpuSet,
}
