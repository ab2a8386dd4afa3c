//! How much memory numaslab really has, by the kernel's word: its resident pages, counted by mincore(2).
//!
//! [`stats`](super::stats) is cheaper, and knows `mapped_bytes` (what may be touched) and `backed_bytes` (what
//! may have been touched). But pages come with their first touch, one by one or 2 MiB at once, so only the
//! kernel knows which there are. This asks it about every SuperSlab in use and all of the tables: some 10
//! microseconds for each SuperSlab of a node's range, whether in use or not, for the tables, and as many for
//! each MiB in use.

use super::Purpose;
use crate::heap::Heap;
use crate::os::{ErrnoGuard, Result, memory};
use crate::slab::space::Space;
use crate::units::{CpuId, MAX_NODES, NodeId, PAGE_BYTES, SUPERSLAB_BYTES};
use core::ptr::NonNull;

/// Resident bytes, by the node to which they belong (wherever they lie) and by purpose.
#[derive(Clone, Copy, Debug)]
pub struct Resident {
    /// By dense node, then by [`Purpose`].
    pub node: [[u64; Purpose::COUNT]; MAX_NODES],
    /// In Huge blocks with a mapping of their own.
    pub mapping_bytes: u64,
}

impl Resident {
    /// The bytes of all nodes for one purpose.
    pub fn of(&self, purpose: Purpose) -> u64 {
        self.node.iter().map(|node| node[purpose as usize]).sum()
    }

    /// All bytes.
    pub fn bytes(&self) -> u64 {
        self.node.iter().flatten().sum::<u64>() + self.mapping_bytes
    }
}

/// Counts the resident bytes of all of numaslab's memory but a few pages: the heap's own. Includes 2 MiB pages
/// that were reserved, which the kernel leaves out of a process's resident memory. Allocates nothing. If other
/// threads work meanwhile, it is off by what they do.
///
/// Errors: those of mincore(2), and `EPERM` if something forbids it.
pub fn resident() -> Result<Resident> {
    let _errno = ErrnoGuard::new();
    let mut count = Resident { node: [[0; Purpose::COUNT]; MAX_NODES], mapping_bytes: 0 };
    if let Some(heap) = Heap::get() {
        count.add_heap(heap)?;
    }
    Ok(count)
}

impl Resident {
    fn add_heap(&mut self, heap: &Heap) -> Result<()> {
        for node in heap.nodes() {
            self.add_node(heap, node)?;
        }
        if let Some(per_cpu) = &heap.per_cpu {
            for cpu in (0..per_cpu.cpus() as u32).map(CpuId) {
                if let Some((at, bytes)) = per_cpu.memory(cpu) {
                    self.add(heap.node_of_cpu(cpu), Purpose::Regions, at, bytes)?;
                }
            }
        }
        let mut result = Ok(());
        heap.for_each_thread_chunk(|at, bytes| {
            // Chunks are shared by threads of all nodes.
            let added = self.add(NodeId::ZERO, Purpose::Regions, at, bytes);
            result = result.and(added);
        });
        heap.shared.mappings.for_each(|at, bytes| {
            // It may be unmapped at this moment.
            self.mapping_bytes += pages(at, bytes).unwrap_or(0);
        });
        result
    }

    fn add_node(&mut self, heap: &Heap, node: NodeId) -> Result<()> {
        let (at, bytes) = heap.pools[node.index()].memory(&heap.space);
        self.add(node, Purpose::Pools, at, bytes)?;
        self.add_tables(&heap.space, node)?;
        let pool = heap.pool(node);
        let mut result = Ok(());
        pool.range().for_each_used(|number| {
            let at = heap.space.pointer(heap.space.superslab_address(pool.superslab(number)));
            let added = self.add(node, Purpose::Blocks, at, SUPERSLAB_BYTES);
            result = result.and(added);
        });
        result
    }

    /// A node's share of each table, whole: what was touched once stays.
    fn add_tables(&mut self, space: &Space, node: NodeId) -> Result<()> {
        let range = space.pointer(space.superslab_address(space.first_superslab(node)));
        let mut result = Ok(());
        space.for_each_share(node, |at, bytes| {
            if at != range {
                let added = self.add(node, Purpose::Tables, at, bytes);
                result = result.and(added);
            }
        });
        result
    }

    fn add(&mut self, node: NodeId, purpose: Purpose, at: NonNull<u8>, bytes: usize) -> Result<()> {
        self.node[node.index() % MAX_NODES][purpose as usize] += pages(at, bytes)?;
        Ok(())
    }
}

/// The resident bytes of the pages of which `bytes` bytes at `at` have a part. Pages that two ranges share
/// belong to the one in which they begin.
fn pages(at: NonNull<u8>, bytes: usize) -> Result<u64> {
    let begin = at.addr().get().next_multiple_of(PAGE_BYTES);
    let end = (at.addr().get() + bytes).next_multiple_of(PAGE_BYTES);
    if begin >= end {
        return Ok(0);
    }
    // SAFETY: a multiple of the page size above the address of a mapping is not 0, and never read.
    let begin = unsafe { NonNull::new_unchecked(at.as_ptr().wrapping_add(begin - at.addr().get())) };
    Ok((memory::resident(begin, end - begin.addr().get())? * PAGE_BYTES) as u64)
}
