//! Filling in the [`Topology`] from `/sys/devices/system`.
//!
//! Steps, each with its answer to missing files:
//! 1. possible CPUs (else the size of the kernel's CPU masks);
//! 2. online nodes (else: one node, done);
//! 3. usable nodes: online, with memory, allowed; these become the dense ones;
//! 4. if there are several: distance rows, which also find the nearest usable node of the others;
//! 5. the home of each CPU from the CPU lists of all online nodes; the CPUs in none of them, because
//!    they are offline, from the links in their directories;
//! 6. the order of nodes around each node.

use super::node::{ROOT, meminfo_bytes, node_path};
use super::{LOCAL_DISTANCE, REMOTE_DISTANCE, Source, Topology};
use crate::os::cpu::cpu_limit;
use crate::os::errno::{Errno, Result};
use crate::os::file::{Path, Reader};
use crate::os::policy::{NodeMask, allowed_nodes};
use crate::units::{KernelNode, MAX_CPUS, MAX_NODES};
use core::ffi::CStr;

const LAST: usize = MAX_NODES - 1;

impl Topology {
    /// Fills the table in from this machine's sysfs, and the nodes that the cpuset allows. Never
    /// fails: what cannot be read is guessed (see [`Source`]).
    pub fn fill(&mut self) {
        let allowed = allowed_nodes().or_else(|_| allowed_by_status(c"/proc/self/status"));
        self.fill_from(ROOT, allowed.ok().as_ref());
    }

    /// As [`fill`](Self::fill), from the tree under `root` (as `/sys/devices/system`), with only the
    /// nodes of `allowed`; all of them if it is `None`, or if none would be left.
    pub fn fill_from(&mut self, root: &CStr, allowed: Option<&NodeMask>) {
        self.cpus = possible_cpus(root).unwrap_or_else(|_| cpu_limit()) as u32;
        self.home.fill(0);
        self.nearest_dense.fill(0);
        let online = node_set(root, b"/node/online").unwrap_or(NodeMask::EMPTY);
        let usable = usable_nodes(root, &online, allowed);
        self.number_nodes(root, &usable);
        self.forget_distances();
        // Of one node everything is known: it is the home of each CPU and the nearest to all others.
        if self.node_count() > 1 {
            self.read_distances(root, &online, &usable);
            self.read_homes(root, &online);
        }
        self.sort_neighbours();
    }

    /// Numbers the usable nodes densely. None: node 0, of which nothing is known, is the only one.
    fn number_nodes(&mut self, root: &CStr, usable: &NodeMask) {
        self.kernel.fill(0);
        self.memory_bytes.fill(0);
        let mut count = 0;
        for node in usable.iter() {
            let dense = count.min(LAST);
            if count <= LAST {
                self.kernel[dense] = node.0;
            }
            self.nearest_dense[node.0 as usize] = dense as u8;
            let bytes = meminfo_bytes(root, node, b"MemTotal:").unwrap_or(0);
            self.memory_bytes[dense] = self.memory_bytes[dense].saturating_add(bytes);
            count += 1;
        }
        self.source = if count == 0 { Source::OneNode } else { Source::Sysfs };
        self.nodes = count.clamp(1, MAX_NODES) as u8;
    }

    fn forget_distances(&mut self) {
        for (from, row) in self.distance.iter_mut().enumerate() {
            row.fill(REMOTE_DISTANCE);
            row[from] = LOCAL_DISTANCE;
        }
    }

    /// Reads the distances between dense nodes, and the dense node nearest to each other one.
    fn read_distances(&mut self, root: &CStr, online: &NodeMask, usable: &NodeMask) {
        let with_cpus = node_set(root, b"/node/has_cpu").unwrap_or(NodeMask::EMPTY);
        for from in online.iter() {
            let mut nearest = (u64::MAX, 0);
            // A row that ends early leaves the rest as it is.
            let _ = read_row(root, from, online, |to, distance| {
                if !usable.contains(to) {
                    return;
                }
                let dense = self.nearest_dense[to.0 as usize];
                // Among equals the one that the kernel takes (find_next_best_node() in mm/page_alloc.c).
                let handicap = u64::from(to < from) + u64::from(with_cpus.contains(to));
                nearest = nearest.min((distance.saturating_add(handicap), dense));
                if let (Some(row), Some(column)) = (self.owner(from, usable), self.owner(to, usable)) {
                    self.distance[row][column] = distance.min(u8::MAX.into()) as u8;
                }
            });
            if !usable.contains(from) {
                self.nearest_dense[from.0 as usize] = nearest.1;
            }
        }
    }

    /// The dense node that stands for `node` alone, not for several: the last one stands for the
    /// first of those that share it.
    fn owner(&self, node: KernelNode, usable: &NodeMask) -> Option<usize> {
        let dense = self.nearest_dense[node.0 as usize] as usize;
        (usable.contains(node) && self.kernel[dense] == node.0).then_some(dense)
    }

    /// Finds the home of each CPU.
    fn read_homes(&mut self, root: &CStr, online: &NodeMask) {
        let mut listed = [0u64; MAX_CPUS / 64];
        for node in online.iter() {
            let home = self.nearest_dense[node.0 as usize];
            let _ = read_list(&node_path(root, node, b"/cpulist"), MAX_CPUS, |cpu| {
                self.home[cpu] = home;
                listed[cpu / 64] |= 1 << (cpu % 64);
            });
        }
        let mut path = Path::new(root);
        let _ = read_list(path.push(b"/cpu/present"), MAX_CPUS, |cpu| {
            if listed[cpu / 64] >> (cpu % 64) & 1 == 0 {
                let node = online.iter().find(|node| is_linked(root, cpu, *node));
                self.home[cpu] = node.map_or(0, |node| self.nearest_dense[node.0 as usize]);
            }
        });
    }

    /// Sorts the nodes around each node: by distance, then by number from the node's own on.
    fn sort_neighbours(&mut self) {
        let nodes = self.node_count();
        for from in 0..nodes {
            let order = &mut self.order[from][..nodes];
            for (dense, place) in order.iter_mut().enumerate() {
                *place = dense as u8;
            }
            let distance = &self.distance[from];
            order.sort_unstable_by_key(|to| {
                let to = *to as usize;
                let turn = (to + nodes - from) % nodes;
                // A node is its own nearest even where the firmware says otherwise.
                (if to == from { 0 } else { distance[to] }, turn)
            });
        }
    }
}

/// The highest possible CPU number plus one, at most [`MAX_CPUS`].
fn possible_cpus(root: &CStr) -> Result<usize> {
    let mut count = 0;
    let mut path = Path::new(root);
    Reader::open(path.push(b"/cpu/possible"))?.list(|_, last| {
        count = count.max(last.saturating_add(1));
    })?;
    if count == 0 { Err(Errno::EINVAL) } else { Ok(count.min(MAX_CPUS as u64) as usize) }
}

/// The online nodes that have memory and are allowed. Empty only if no online node has memory.
fn usable_nodes(root: &CStr, online: &NodeMask, allowed: Option<&NodeMask>) -> NodeMask {
    let with_memory = node_set(root, b"/node/has_memory")
        .unwrap_or_else(|_| nodes_with_meminfo(root, online))
        .intersection(online);
    match allowed.map(|allowed| allowed.intersection(&with_memory)) {
        Some(usable) if !usable.is_empty() => usable,
        _ => with_memory,
    }
}

/// The nodes whose `meminfo` tells of memory.
fn nodes_with_meminfo(root: &CStr, online: &NodeMask) -> NodeMask {
    let mut mask = NodeMask::EMPTY;
    for node in online.iter() {
        if meminfo_bytes(root, node, b"MemTotal:").is_ok_and(|bytes| bytes != 0) {
            mask.insert(node);
        }
    }
    mask
}

/// Reads the distance row of one node: one number for each *online* node, in rising order.
fn read_row(
    root: &CStr,
    from: KernelNode,
    online: &NodeMask,
    mut entry: impl FnMut(KernelNode, u64),
) -> Result<()> {
    let mut reader = Reader::open(&node_path(root, from, b"/distance"))?;
    for to in online.iter() {
        entry(to, reader.number()?.ok_or(Errno::EINVAL)?);
    }
    Ok(())
}

/// Whether `cpu/cpuN/nodeM` exists: the link that an offline CPU keeps to its node.
fn is_linked(root: &CStr, cpu: usize, node: KernelNode) -> bool {
    let mut path = Path::new(root);
    path.push(b"/cpu/cpu").push_dec(cpu).push(b"/node").push_dec(node.0.into());
    path.exists()
}

/// Reads a list file as a set of nodes.
fn node_set(root: &CStr, file: &[u8]) -> Result<NodeMask> {
    let mut mask = NodeMask::EMPTY;
    let mut path = Path::new(root);
    read_list(path.push(file), NodeMask::BITS, |node| mask.insert(KernelNode(node as u16)))?;
    Ok(mask)
}

/// Calls `each` with every number below `limit` in a list file.
fn read_list(path: &Path, limit: usize, mut each: impl FnMut(usize)) -> Result<()> {
    Reader::open(path)?.list(|first, last| {
        let end = last.saturating_add(1).min(limit as u64);
        (first..end).for_each(|number| each(number as usize));
    })
}

/// The allowed nodes from a status file: what is left where seccomp forbids get_mempolicy(2).
pub(super) fn allowed_by_status(path: &CStr) -> Result<NodeMask> {
    let mut mask = NodeMask::EMPTY;
    let mut reader = Reader::open(&Path::new(path))?;
    if !reader.skip_past(b"Mems_allowed_list:")? {
        return Err(Errno::ENOENT);
    }
    reader.list(|first, last| {
        let end = last.saturating_add(1).min(NodeMask::BITS as u64);
        (first..end).for_each(|node| mask.insert(KernelNode(node as u16)));
    })?;
    Ok(mask)
}
