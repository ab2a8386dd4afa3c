//! Taking a snapshot.

use super::{CacheMode, Calls, Event, PlacementMode};
use crate::cache::layout::{Layout, SLOT_HEADERS};
use crate::cache::region::Region;
use crate::heap::Heap;
use crate::os::fault;
use crate::pool::Pool;
use crate::size_class::SizeClass;
use crate::slab::page_map::Tenant;
use crate::slab::shape::Shape;
use crate::slab::space::SuperIndex;
use crate::sync::{AtomicU64, Ordering, lost};
use crate::units::{CpuId, MAX_NODES, PIECE_BYTES, PIECES, SUPERSLAB_BYTES};

/// A snapshot of the whole allocator.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Which caches the process uses, and why; `None` before the first request.
    pub cache_mode: Option<CacheMode>,
    /// How memory is tied to its node.
    pub placement: PlacementMode,
    /// Nodes in use; the first so many entries of `node` are filled.
    pub nodes: usize,
    /// Each node, by its dense number.
    pub node: [NodeStats; MAX_NODES],
    /// Bytes in Huge blocks that found no room in any node's range.
    pub mapping_bytes: u64,
    /// How often each thing happened on the slow path, by [`Event`].
    pub events: [u64; Event::COUNT],
    /// Calls into the kernel so far.
    pub calls: Calls,
    /// How often a compare-exchange was lost to another thread and tried again, so far.
    pub lost_exchanges: u64,
}

/// A snapshot of one node. All bytes are of blocks that live on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeStats {
    /// Bytes taken from the kernel for SuperSlabs and Huge blocks.
    pub mapped_bytes: u64,
    /// Bytes of those that somebody may have touched since the kernel gave them or got them back: not more are
    /// resident. Pieces of slabs whose blocks are handed out for the first time, and Huge blocks that the
    /// program has, count in full. [`resident`](super::resident) asks the kernel.
    pub backed_bytes: u64,
    /// Bytes in blocks that the program has, rounded up to their class.
    pub in_use_bytes: u64,
    /// Bytes in blocks that lie in regions of CPUs or threads.
    pub region_bytes: u64,
    /// Bytes of those that lie in outboxes, on other nodes' CPUs.
    pub outbox_bytes: u64,
    /// Bytes in blocks that lie in the transfer cache.
    pub transfer_bytes: u64,
    /// Bytes in free blocks of slabs.
    pub slab_free_bytes: u64,
    /// Bytes in slabs.
    pub slab_bytes: u64,
    /// Bytes in Huge blocks.
    pub huge_bytes: u64,
    /// Huge blocks.
    pub huge_blocks: u64,
    /// Bytes of freed Huge blocks that are kept for the next one.
    pub huge_cached_bytes: u64,
    /// SuperSlabs that hold slabs.
    pub superslabs: u64,
    /// SuperSlabs taken from the kernel so far.
    pub superslabs_mapped: u64,
    /// How often a SuperSlab was not to be had: a limit, the range, the kernel, or a full node.
    pub superslabs_refused: u64,
    /// SuperSlabs that lie on a page of the kernel's reserved pool now.
    pub superslabs_reserved: u64,
    /// How often a SuperSlab got a page of the reserved pool
    /// ([`HugeMode::Reserved`](crate::config::HugeMode::Reserved)).
    pub huge_alloc: u64,
    /// How often one should have got such a page and did not: the pool was dry, the kernel refused, or the
    /// page would have been on another node.
    pub huge_fail: u64,
    /// SuperSlabs, those of Huge blocks included, for which transparent huge pages were asked for and
    /// granted. Whether the kernel uses them is its affair: see [`huge_pages`](super::huge_pages).
    pub thp: u64,
    /// Slabs carved so far.
    pub slabs_carved: u64,
    /// Slabs retired so far.
    pub slabs_retired: u64,
    /// Blocks that were freed on CPUs of this node, live on it, and have left the caches there.
    pub blocks_local: u64,
    /// Blocks that were freed on CPUs of this node, live on another one, and have gone home.
    pub blocks_returned: u64,
    /// Blocks that CPUs of this node took from other nodes, because this one had no memory.
    pub blocks_stolen: u64,
}

/// Takes a snapshot. Reads every slab descriptor, so it takes some microseconds for each MiB in use;
/// allocates nothing.
pub fn stats() -> Stats {
    let mut stats = Stats {
        cache_mode: None,
        placement: PlacementMode::OneNode,
        nodes: 0,
        node: [NodeStats::default(); MAX_NODES],
        mapping_bytes: 0,
        events: [0; Event::COUNT],
        calls: fault::calls(),
        lost_exchanges: lost::so_far(),
    };
    if let Some(heap) = Heap::get() {
        stats.fill(heap);
    }
    stats
}

impl Stats {
    /// How often a thing happened on the slow path.
    pub fn event(&self, event: Event) -> u64 {
        self.events[event as usize]
    }

    /// The sum over all nodes of one of their numbers.
    pub fn sum(&self, number: impl Fn(&NodeStats) -> u64) -> u64 {
        self.node.iter().take(self.nodes).map(number).sum()
    }

    /// Bytes in blocks that the program has, Huge ones included.
    pub fn in_use_bytes(&self) -> u64 {
        self.sum(|node| node.in_use_bytes) + self.mapping_bytes
    }

    /// Bytes taken from the kernel for blocks.
    pub fn mapped_bytes(&self) -> u64 {
        self.sum(|node| node.mapped_bytes) + self.mapping_bytes
    }

    fn fill(&mut self, heap: &Heap) {
        self.cache_mode = Some(heap.cache_mode);
        self.placement = heap.placement;
        self.nodes = heap.nodes;
        self.mapping_bytes = heap.shared.mappings.bytes() as u64;
        for node in heap.nodes() {
            self.node[node.index()].read_pool(&heap.pool(node));
        }
        let events = |counters: &crate::cache::control::Events, sums: &mut [u64; Event::COUNT]| {
            for (event, _) in Event::ALL {
                sums[event as usize] += counters.of(event);
            }
        };
        events(&heap.shared.bare_events, &mut self.events);
        heap.for_each_region(|region| {
            events(&region.control().events, &mut self.events);
            self.read_region(region, &heap.layout);
            self.read_blocks(region);
        });
        for node in &mut self.node[..heap.nodes] {
            let free = node.slab_free_bytes + node.region_bytes + node.transfer_bytes;
            node.in_use_bytes = (node.slab_bytes + node.huge_bytes).saturating_sub(free);
        }
    }

    fn read_blocks(&mut self, region: Region) {
        let of = |event| region.control().events.of(event);
        if let Some(node) = self.node.get_mut(region.node().index()) {
            node.blocks_local += of(Event::BlocksLocal);
            node.blocks_returned += of(Event::BlocksReturned);
            node.blocks_stolen += of(Event::BlocksStolen);
        }
    }

    fn read_region(&mut self, region: Region, layout: &Layout) {
        for (list, class) in layout.lists() {
            let slot = list.index() / SLOT_HEADERS;
            if let Some(node) = self.node.get_mut(region.node().index() ^ slot) {
                let bytes = (region.count(layout, list) * class.bytes()) as u64;
                node.region_bytes += bytes;
                node.outbox_bytes += if list.is_outbox() { bytes } else { 0 };
            }
        }
    }
}

impl NodeStats {
    fn read_pool(&mut self, pool: &Pool<'_>) {
        let counts = &pool.node.counts;
        // Relaxed: statistics.
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.superslabs = u64::from(counts.superslabs.load(Ordering::Relaxed));
        self.superslabs_mapped = of(&counts.superslabs_mapped);
        self.superslabs_refused = of(&counts.superslabs_refused);
        self.superslabs_reserved = u64::from(counts.superslabs_reserved.load(Ordering::Relaxed));
        self.huge_alloc = of(&counts.huge_alloc);
        self.huge_fail = of(&counts.huge_fail);
        self.slabs_carved = of(&counts.slabs_carved);
        self.slabs_retired = of(&counts.slabs_retired);
        self.huge_bytes = of(&counts.huge_bytes);
        self.huge_blocks = of(&counts.huge_blocks);
        self.huge_cached_bytes = (pool.node.huge_cache.superslabs() * SUPERSLAB_BYTES) as u64;
        self.mapped_bytes =
            self.superslabs * SUPERSLAB_BYTES as u64 + self.huge_bytes + self.huge_cached_bytes;
        self.transfer_bytes = SizeClass::all().map(|c| pool.node.transfer.bytes_of(c) as u64).sum();
        self.backed_bytes = self.huge_bytes + self.huge_cached_bytes;
        pool.range().for_each_used(|number| {
            self.thp += u64::from(pool.is_transparent(number));
            self.read_superslab(pool, pool.superslab(number));
        });
    }

    fn read_superslab(&mut self, pool: &Pool<'_>, superslab: SuperIndex) {
        let backed = pool.space.superslab(superslab).backed();
        self.backed_bytes += u64::from(backed.count_ones()) * PIECE_BYTES as u64;
        for piece in (0..PIECES as u32).map(|piece| superslab.piece(piece)) {
            if let Tenant::Slab { class, distance: 0 } = pool.space.tenant(piece) {
                let shape = Shape::of(class);
                let free = u64::from(pool.space.blocks(piece, shape).avail().count());
                self.slab_bytes += u64::from(shape.blocks) * class.bytes() as u64;
                self.slab_free_bytes += free.min(u64::from(shape.blocks)) * class.bytes() as u64;
                // A hint, as all of this: the holder may be at it.
                let purged = u64::from(pool.space.slab(piece).purged().count_ones()) * class.bytes() as u64;
                self.backed_bytes = self.backed_bytes.saturating_sub(purged);
            }
        }
    }
}

impl Heap {
    /// Calls `visit` with every region that was made.
    pub(super) fn for_each_region(&self, mut visit: impl FnMut(Region)) {
        if let Some(per_cpu) = &self.per_cpu {
            (0..per_cpu.cpus() as u32).filter_map(|cpu| per_cpu.region(CpuId(cpu))).for_each(&mut visit);
        }
        (0..self.shared.threads.made()).filter_map(|index| self.region_at(index)).for_each(visit);
    }
}
