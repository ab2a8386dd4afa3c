//! Floor 5: the cold routes. Carries batches between `cache` and `pool`, and serves what no cache
//! holds.
//!
//! | file | concept |
//! | --- | --- |
//! | [`start`] | building the one heap, without a lock |
//! | [`seats`], [`threads`] | where the calling thread works; threads that come and go |
//! | [`refill`], [`flush`], [`room`] | a list ran empty, ran full, needs room |
//! | [`large`] | blocks of 33 KiB to 1 MiB |
//! | [`huge`], [`mappings`] | blocks beyond 1 MiB |
//! | [`homing`] | blocks of other nodes go home for their age |
//! | [`resize`] | `realloc` |
//! | [`by_address`] | blocks whose size the caller does not name |
//! | [`on_node`], [`striped`] | blocks of a node that is asked for, and of all of them in turn |
//! | [`forks`], [`vforks`] | what a forked child puts right; a thread is lent to a child |
//! | [`drain`], [`maintain`] | giving back what the caches hold, at once or by and by |
//! | [`corruption`] | the last words |

pub(crate) mod by_address;
pub(crate) mod corruption;
pub(crate) mod drain;
pub(crate) mod flush;
pub(crate) mod forks;
pub(crate) mod homing;
pub(crate) mod huge;
pub(crate) mod large;
pub(crate) mod maintain;
pub(crate) mod mappings;
pub(crate) mod on_node;
pub(crate) mod refill;
pub(crate) mod resize;
pub(crate) mod room;
pub(crate) mod seats;
pub(crate) mod start;
pub(crate) mod striped;
pub(crate) mod threads;
pub(crate) mod vforks;

use crate::cache::control::Events;
use crate::cache::gate;
use crate::cache::layout::Layout;
use crate::cache::per_cpu::PerCpu;
use crate::cache::per_thread;
use crate::config::{Config, HugeMode, NumaMode};
use crate::os::thread_exit::ThreadExit;
use crate::os::topology::{Source, Topology};
use crate::pool::budget::Budget;
use crate::pool::reserved::PageSource;
use crate::pool::{Pool, Settings};
use crate::rseq::Area;
use crate::rseq::area::Owner;
use crate::size_class::{LARGE_MAX, MID_MAX, SizeClass};
use crate::slab::space::Space;
use crate::sync::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use crate::units::{MAX_NODES, NodeId, PIECE_BYTES};
use core::ptr;

/// Why caches are per thread and not per CPU.
pub use crate::rseq::self_test::Distrust;

/// Which caches the process uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheMode {
    /// Per CPU, by restartable sequences.
    PerCpu {
        /// Whether the C library registers the rseq areas (else this crate does).
        libc_area: bool,
        /// Whether another CPU's region can be drained (membarrier works).
        revocable: bool,
    },
    /// Per thread.
    PerThread(WhyPerThread),
}

/// Why caches are per thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyPerThread {
    /// The configuration or `NUMASLAB_RSEQ=off` says so.
    Configured,
    /// Restartable sequences are missing or can't be trusted.
    Rseq(Distrust),
    /// No memory for the CPUs' regions.
    NoMemory,
}

/// How memory is tied to its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlacementMode {
    /// There is one node, or the machine is taken as one.
    OneNode,
    /// The kernel holds the policy (`mbind`).
    Bound,
    /// The CPU that carves a slab touches it first; by choice, or because the kernel refused to bind
    /// with this errno.
    FirstTouch(Option<i32>),
}

/// Everything that is decided at start. Lives for ever once published.
pub(crate) struct Heap {
    pub(crate) config: Config,
    pub(crate) topology: &'static Topology,
    pub(crate) nodes: usize,
    pub(crate) space: Space,
    pub(crate) layout: Layout,
    pub(crate) cache_mode: CacheMode,
    pub(crate) placement: PlacementMode,
    pub(crate) area: Area,
    pub(crate) owner: Owner,
    pub(crate) per_cpu: Option<PerCpu>,
    pub(crate) pools: [start::NodeMemory; MAX_NODES],
    pub(crate) budget: Budget,
    pub(crate) settings: Settings,
    pub(crate) exit: Option<ThreadExit>,
    pub(crate) shared: &'static Shared,
    pub(crate) fork_mark: forks::ForkMark,
}

/// What a request got.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// Null if there is no memory.
    pub(crate) block: *mut u8,
    /// Whether nobody has written to the block since the kernel gave its memory.
    pub(crate) reads_zero: bool,
}

impl Answer {
    /// There is no memory.
    pub(crate) const NOTHING: Self = Self::used(ptr::null_mut());

    /// A block that somebody may have written to.
    pub(crate) const fn used(block: *mut u8) -> Self {
        Self { block, reads_zero: false }
    }

    /// A block that reads as zero, if it is one.
    pub(crate) const fn fresh(block: *mut u8) -> Self {
        Self { block, reads_zero: true }
    }
}

/// What threads share beside the pools. Zeroed memory is valid; lies behind the heap.
pub(crate) struct Shared {
    pub(crate) threads: threads::ThreadRegions,
    pub(crate) mappings: mappings::Mappings,
    /// Events of threads without a seat.
    pub(crate) bare_events: Events,
    /// The CPU whose outboxes are looked at next, modulo the number of CPUs.
    pub(crate) next_neighbour: AtomicU32,
    /// Passes that misses have made.
    pub(crate) turns: AtomicU32,
    /// When a maintenance pass was last begun, in milliseconds of the clock.
    pub(crate) maintained_ms: AtomicU64,
}

/// The heap, once it is built. Null before; written once, by whoever is first.
static HEAP: AtomicPtr<Heap> = AtomicPtr::new(ptr::null_mut());

impl Heap {
    /// The heap, if it has been built.
    #[inline]
    pub(crate) fn get() -> Option<&'static Self> {
        // Acquire: pairs with the Release that published it.
        let heap = HEAP.load(Ordering::Acquire);
        // SAFETY: null, or a heap that lives for ever and is only shared from then on.
        unsafe { heap.as_ref() }
    }

    /// The heap, built with `config` if there is none yet; `None` if there is no memory for it.
    pub(crate) fn started(config: &Config) -> Option<&'static Self> {
        Self::get().or_else(|| start::start(config))
    }

    /// The pool of a node.
    pub(crate) fn pool(&self, node: NodeId) -> Pool<'_> {
        let memory = &self.pools[node.index() % MAX_NODES];
        Pool {
            id: node,
            space: &self.space,
            node: memory.pool(),
            used: memory.used(&self.space),
            committed: memory.committed(&self.space),
            parcels: memory.parcels(&self.space),
            budget: &self.budget,
            settings: &self.settings,
            topology: self.topology,
            carvers: self.settings.touch_on_carve.then_some(self.topology),
            strict: self.is_strict().then(|| self.topology.kernel_node(node)),
            reserved: self.page_source(node),
            may_map: true,
        }
    }

    /// Where a node's SuperSlabs get pages of the reserved pool from, if they get any. With interleaving they
    /// get none: each is a mapping of its own, and the kernel would begin each on the same node.
    fn page_source(&self, node: NodeId) -> Option<PageSource> {
        let is_wanted =
            self.config.huge() == HugeMode::Reserved && self.config.numa() != NumaMode::Interleave;
        // A child leaves what is free to the copies that it and its parent need.
        if !is_wanted || self.fork_mark.is_child() {
            return None;
        }
        let is_one_of_several = self.nodes > 1 || self.topology.node_count() == 1;
        Some(match self.topology.source() {
            Source::Sysfs if is_one_of_several => PageSource::Node(self.topology.kernel_node(node)),
            _ => PageSource::Machine,
        })
    }

    /// Whether memory must lie on its node and nowhere else.
    fn is_strict(&self) -> bool {
        self.config.numa() == NumaMode::Bind && self.placement == PlacementMode::Bound
    }

    /// All nodes.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes as u8).map(NodeId)
    }

    /// Whether a request is Huge: beyond the classes, or aligned to more than a piece.
    #[inline]
    pub(crate) const fn is_huge(size: usize, align: usize) -> bool {
        size > LARGE_MAX || align > PIECE_BYTES
    }
}

/// A block of at least `size` bytes (rounded up to `align` already), for what the hit path does not
/// serve; null if there is no memory.
#[inline(never)]
pub(crate) fn allocate(config: &Config, size: usize, align: usize) -> *mut u8 {
    match pop_again(size, align) {
        block if block.is_null() => allocate_slowly(config, size, align).block,
        block => block,
    }
}

/// As [`allocate`], and the first `bytes` bytes of the block are zero.
#[inline(never)]
pub(crate) fn allocate_zeroed(config: &Config, size: usize, align: usize, bytes: usize) -> *mut u8 {
    let answer = match pop_again(size, align) {
        block if block.is_null() => allocate_slowly(config, size, align),
        block => Answer::used(block),
    };
    if !answer.block.is_null() && !answer.reads_zero {
        // SAFETY: the block has that many bytes.
        unsafe { answer.block.write_bytes(0, bytes) };
    }
    answer.block
}

/// A block off a list, for a request that the hit path was not sure of; null if there is none.
#[inline]
fn pop_again(size: usize, align: usize) -> *mut u8 {
    if size <= MID_MAX && align <= PIECE_BYTES {
        let class = SizeClass::of(size);
        // SAFETY: the gate is open.
        if gate::is_direct() { unsafe { gate::pop(class) } } else { on_node::pop(class) }
    } else {
        ptr::null_mut()
    }
}

#[cold]
#[inline(never)]
fn allocate_slowly(config: &Config, size: usize, align: usize) -> Answer {
    match Heap::started(config) {
        None => Answer::NOTHING,
        Some(heap) if Heap::is_huge(size, align) => heap.allocate_huge(size, align),
        Some(heap) if size > MID_MAX => heap.allocate_large(SizeClass::of(size), align),
        Some(heap) => heap.refill(SizeClass::of(size)),
    }
}

/// Takes back a block that the hit path does not.
///
/// # Safety
/// `block` was allocated with `size` (rounded up to `align`) and `align`, and is not in use any more.
#[inline(never)]
pub(crate) unsafe fn release(block: *mut u8, size: usize, align: usize) {
    let Some(heap) = Heap::get() else { corruption::foreign(block) };
    if Heap::is_huge(size, align) {
        return heap.release_huge(block, size);
    }
    let class = SizeClass::of(size);
    if size > MID_MAX {
        return heap.release_large(class, block);
    }
    let Some(home) = heap.space.node_of(block.addr()) else { corruption::foreign(block) };
    let pushed = match heap.nodes {
        _ if !gate::is_open() => per_thread::push(class, home.index(), block),
        // SAFETY: the gate is open; the caller gives up the block.
        1 => unsafe { gate::push(class, block) },
        // SAFETY: likewise.
        _ => unsafe { gate::push_homed(class, home.index(), block) },
    };
    if !pushed {
        heap.flush(class, home, block);
    }
}
