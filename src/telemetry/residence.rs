//! Where the kernel has put the pages of numaslab's memory, asked page by page.
//!
//! Unlike the statistics this asks the kernel, about every page of every SuperSlab in use: some
//! milliseconds for each 100 MiB. Pages that were never touched lie nowhere, and asking does not change
//! that.

use crate::heap::Heap;
use crate::os::Result;
use crate::os::policy::pages_nodes;
use crate::slab::page_map::Tenant;
use crate::slab::space::{SuperIndex, TABLES};
use crate::units::{CpuId, KernelNode, MAX_NODES, NodeId, PAGE_BYTES, SUPERSLAB_BYTES};
use core::ptr;

/// How many pages the kernel is asked about at once.
const AT_ONCE: usize = 128;

/// What memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Purpose {
    /// Blocks of all sizes: SuperSlabs, whether a block lies there or not, and Huge blocks.
    Blocks,
    /// Descriptors, page map and bitmaps of those SuperSlabs.
    Tables,
    /// The regions of CPUs. Those of threads, in fallback mode, are left out: threads come and go.
    Regions,
    /// The state of each node's pool: shelves, lists, transfer cache.
    Pools,
}

impl Purpose {
    /// How many there are.
    pub const COUNT: usize = 4;
}

/// Pages of memory that belongs to one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// They lie on that node.
    pub home: u64,
    /// They lie on another one.
    pub away: u64,
}

/// Where pages lie: by the node to which they belong, and by purpose.
#[derive(Clone, Debug)]
pub struct Residence {
    /// By dense node, then by [`Purpose`].
    pub node: [[Pages; Purpose::COUNT]; MAX_NODES],
}

impl Residence {
    /// The pages of all nodes for one purpose.
    pub fn of(&self, purpose: Purpose) -> Pages {
        self.node.iter().fold(Pages::default(), |sum, node| {
            let pages = node[purpose as usize];
            Pages { home: sum.home + pages.home, away: sum.away + pages.away }
        })
    }
}

/// Asks the kernel where all of numaslab's pages lie. Allocates nothing; on its way needs some 20 KiB of
/// stack.
///
/// Errors: `EPERM` where a container forbids move_pages(2); `ENOSYS` without NUMA support.
pub fn residence() -> Result<Residence> {
    let mut survey =
        Survey { residence: Residence { node: [[Pages::default(); Purpose::COUNT]; MAX_NODES] } };
    if let Some(heap) = Heap::get() {
        survey.of_heap(heap)?;
    }
    Ok(survey.residence)
}

struct Survey {
    residence: Residence,
}

impl Survey {
    fn of_heap(&mut self, heap: &Heap) -> Result<()> {
        for node in heap.nodes() {
            self.of_node(heap, node)?;
        }
        let Some(per_cpu) = &heap.per_cpu else { return Ok(()) };
        for cpu in (0..per_cpu.cpus() as u32).map(CpuId) {
            let Some((at, bytes)) = per_cpu.memory(cpu) else { continue };
            self.ask(heap, heap.node_of_cpu(cpu), Purpose::Regions, at.addr().get(), bytes)?;
        }
        Ok(())
    }

    fn of_node(&mut self, heap: &Heap, node: NodeId) -> Result<()> {
        let pool = heap.pool(node);
        let (at, bytes) = heap.pools[node.index()].memory(&heap.space);
        self.ask(heap, node, Purpose::Pools, at.addr().get(), bytes)?;
        // The end of what was asked about of each table: SuperSlabs come in rising order, and several share
        // a page.
        let (mut asked, mut result) = ([0; TABLES], Ok(()));
        pool.range().for_each_used(|number| {
            if result.is_ok() {
                result = self.of_superslab(heap, node, pool.superslab(number), &mut asked);
            }
        });
        result
    }

    fn of_superslab(
        &mut self,
        heap: &Heap,
        node: NodeId,
        superslab: SuperIndex,
        asked: &mut [usize; TABLES],
    ) -> Result<()> {
        let at = heap.space.superslab_address(superslab);
        self.ask(heap, node, Purpose::Blocks, at, SUPERSLAB_BYTES)?;
        if heap.space.tenant(superslab.piece(0)) == Tenant::Huge {
            return Ok(());
        }
        for ((at, bytes), asked) in heap.space.entries_of(superslab).into_iter().zip(asked) {
            let from = (at / PAGE_BYTES * PAGE_BYTES).max(*asked);
            *asked = (at + bytes).next_multiple_of(PAGE_BYTES);
            self.ask(heap, node, Purpose::Tables, from, asked.saturating_sub(from))?;
        }
        Ok(())
    }

    /// Asks about whole pages that belong to `node`.
    fn ask(&mut self, heap: &Heap, node: NodeId, purpose: Purpose, at: usize, bytes: usize) -> Result<()> {
        let kernel = heap.topology.kernel_node(node);
        let sum = &mut self.residence.node[node.index() % MAX_NODES][purpose as usize];
        let (mut from, end) = (at, at + bytes);
        while from < end {
            let count = ((end - from) / PAGE_BYTES).clamp(1, AT_ONCE);
            let pages: [*const u8; AT_ONCE] =
                core::array::from_fn(|page| ptr::without_provenance(from + page * PAGE_BYTES));
            let mut status = [-1; AT_ONCE];
            pages_nodes(&pages[..count], &mut status[..count])?;
            for on in status[..count].iter().filter_map(|status| u16::try_from(*status).ok()) {
                match KernelNode(on) == kernel {
                    true => sum.home += 1,
                    false => sum.away += 1,
                }
            }
            from += count * PAGE_BYTES;
        }
        Ok(())
    }
}
