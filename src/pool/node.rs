//! The state of one node's pool, and the view through which it is used.

use super::backing::HugePages;
use super::budget::Budget;
use super::huge_cache::HugeCache;
use super::reserved::{FreePages, PageSource};
use super::surplus::Slack;
use super::transfer::{Bounds, Parcel, Parcels, TransferCache};
use super::zone::ZoneLists;
use crate::os::cpu::current_cpu;
use crate::os::policy::Binding;
use crate::os::topology::Topology;
use crate::size_class::CLASSES;
use crate::slab::space::Space;
use crate::sync::tagged_stack::TaggedStack;
use crate::sync::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use crate::units::{KernelNode, NodeId};

/// How many bytes a node takes from others before it asks the kernel again.
const ALLOWANCE_BYTES: usize = 4 << 20;

/// What threads share of a node. Zeroed memory is a valid, empty pool; it lies on its node.
#[repr(C)]
pub(crate) struct NodePool {
    /// Slabs with free blocks, for each class.
    pub(super) shelves: [TaggedStack; CLASSES],
    /// SuperSlabs with free pieces, by [`Zone`](super::zone::Zone).
    pub(super) zones: [ZoneLists; 2],
    /// About how many slabs have become empty since the last walk. Givers add, walkers reset.
    pub(super) empties: AtomicU32,
    /// Bytes that CPUs of this node may take from other nodes before the kernel is asked for memory of this
    /// one again. Written by those who took some, and by those who found none anywhere.
    allowance: AtomicUsize,
    /// How many SuperSlabs had been wanted when the maintenance last looked. Written by it.
    pub(super) wanted: AtomicU64,
    /// How many were between the last two looks, two at most. Likewise.
    pub(super) wanted_before: AtomicU64,
    /// When surplus was last looked for, in milliseconds of the clock. Written by who does; see
    /// [`super::surplus`], here and below.
    pub(super) looked_ms: AtomicU64,
    /// Bytes taken since that had gone back to the kernel. Takers add, who looks resets.
    pub(super) regretted: AtomicU64,
    /// Likewise before that, fading. Written by who looks.
    pub(super) regret: AtomicU64,
    /// SuperSlabs released as surplus and not mapped again since. Who looks adds and resets, mappers subtract.
    pub(super) released: AtomicU64,
    /// Huge blocks that were freed a short while ago.
    pub(crate) huge_cache: HugeCache,
    /// What is known of the free pages in the reserved pool.
    pub(super) free_pages: FreePages,
    /// Batches between CPUs.
    pub(crate) transfer: TransferCache,
    /// Statistics.
    pub(crate) counts: NodeCounts,
}

/// What happened on a node. All are written with Relaxed additions and read by the statistics.
#[derive(Default)]
#[repr(C)]
pub(crate) struct NodeCounts {
    /// SuperSlabs that hold slabs now.
    pub(crate) superslabs: AtomicU32,
    /// SuperSlabs taken from the kernel so far.
    pub(crate) superslabs_mapped: AtomicU64,
    /// FREE SuperSlabs taken back into use so far.
    pub(crate) superslabs_reused: AtomicU64,
    /// How often a SuperSlab was not to be had.
    pub(crate) superslabs_refused: AtomicU64,
    /// SuperSlabs on a page of the reserved pool now.
    pub(crate) superslabs_reserved: AtomicU32,
    /// How often a SuperSlab got a page of the reserved pool.
    pub(crate) huge_alloc: AtomicU64,
    /// How often one should have got one, and did not.
    pub(crate) huge_fail: AtomicU64,
    /// Slabs carved so far.
    pub(crate) slabs_carved: AtomicU64,
    /// Slabs retired so far.
    pub(crate) slabs_retired: AtomicU64,
    /// Bytes in Huge blocks now.
    pub(crate) huge_bytes: AtomicU64,
    /// Huge blocks now.
    pub(crate) huge_blocks: AtomicU64,
}

/// How the pools behave; the same for all nodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Whether a new slab's pages are backed at once by the CPU that carves it.
    pub(crate) touch_on_carve: bool,
    /// Whether a new SuperSlab's pages are backed at once.
    pub(crate) prefault: bool,
    /// Bytes of the kernel's pages: 4, 16 or 64 KiB.
    pub(crate) page_bytes: usize,
    /// How memory is tied to its node; `None`: by nothing.
    pub(crate) binding: Option<Binding>,
    /// Which part of a node's range may lie on transparent huge pages.
    pub(crate) huge: HugePages,
    /// How many SuperSlabs a node's cache of Huge blocks may hold.
    pub(crate) huge_cache_superslabs: usize,
    /// How much free memory a node keeps.
    pub(crate) slack: Slack,
    /// How many pages of the reserved pool are left free on the machine.
    pub(crate) spare_pages: u32,
    /// Bounds of each node's transfer cache.
    pub(crate) transfer: Bounds,
}

/// From where blocks came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The slab that the CPU held.
    Held,
    /// A slab from the shelf.
    Shelf,
    /// A slab newly carved.
    Carve,
}

/// One node's pool with all that its functions need.
#[derive(Clone, Copy)]
pub(crate) struct Pool<'a> {
    pub(crate) id: NodeId,
    pub(crate) space: &'a Space,
    pub(crate) node: &'a NodePool,
    /// Bit set = SuperSlab of the node's range in use.
    pub(crate) used: &'a [AtomicU64],
    /// Bit set = SuperSlab is readable and writable. Set after the mapping is changed, never cleared.
    pub(crate) committed: &'a [AtomicU64],
    pub(crate) parcels: &'a [Parcel],
    pub(crate) budget: &'a Budget,
    pub(crate) settings: &'a Settings,
    pub(crate) topology: &'static Topology,
    /// Where pages lie on the node of the CPU that touches them first, this tells the CPUs of this node,
    /// and only those carve slabs. `None`: all do.
    pub(crate) carvers: Option<&'static Topology>,
    /// The kernel's number of the node, if memory must lie on it and nowhere else.
    pub(crate) strict: Option<KernelNode>,
    /// Where SuperSlabs get pages of the reserved pool from; `None`: they get none.
    pub(crate) reserved: Option<PageSource>,
    /// Whether the kernel may be asked for memory.
    pub(crate) may_map: bool,
}

impl<'a> Pool<'a> {
    /// The table of parcels, as links.
    pub(crate) fn parcels(&self) -> Parcels<'a> {
        Parcels(self.parcels)
    }

    /// Whether the calling thread is on a CPU that may carve slabs here.
    pub(crate) fn may_carve(&self) -> bool {
        match self.carvers {
            None => true,
            Some(topology) => current_cpu().is_ok_and(|cpu| topology.home(cpu) == self.id),
        }
    }

    /// The same pool, which does not ask the kernel while its CPUs may take from other nodes instead.
    pub(crate) fn within_allowance(self) -> Self {
        // Relaxed: a hint.
        Self { may_map: self.node.allowance.load(Ordering::Relaxed) == 0, ..self }
    }

    /// Notes that a CPU of this node has taken a block of `bytes` bytes from another one.
    pub(crate) fn took_elsewhere(&self, bytes: usize) {
        // Relaxed, and not one operation: a hint.
        let left = match self.node.allowance.load(Ordering::Relaxed) {
            0 => ALLOWANCE_BYTES,
            left => left,
        };
        self.node.allowance.store(left.saturating_sub(bytes), Ordering::Relaxed);
    }

    /// Notes that other nodes have nothing either.
    pub(crate) fn found_nothing_elsewhere(&self) {
        // Relaxed: a hint.
        self.node.allowance.store(0, Ordering::Relaxed);
    }

    /// The same pool, for threads of all nodes.
    pub(crate) fn open_to_all(self) -> Self {
        Self { carvers: None, ..self }
    }
}
