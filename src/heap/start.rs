//! Building the heap, at the first request, without a lock.
//!
//! Whoever finds no heap builds one and publishes it with one exchange; if two threads build at the
//! same moment, the loser unmaps its own and uses the other. Nothing is touched that a fork, a signal
//! or a killed thread could leave half done.

use super::forks::ForkMark;
use super::threads;
use super::{CacheMode, HEAP, Heap, PlacementMode, Shared, WhyPerThread};
use crate::cache::gate;
use crate::cache::layout::Layout;
use crate::cache::per_cpu::PerCpu;
use crate::config::{Config, HugeMode, Limit, NumaMode, Prefault, RseqMode};
use crate::os::memory::{self, Advice};
use crate::os::policy::{self, Binding, NodeMask};
use crate::os::thread_exit::ThreadExit;
use crate::os::topology::Topology;
use crate::os::{self, ErrnoGuard, Result, membarrier, thread};
use crate::pool::backing::{HugePages, advise_huge, bind};
use crate::pool::budget::Budget;
use crate::pool::surplus::Slack;
use crate::pool::transfer::{Bounds, MAX_PARCELS, Parcel};
use crate::pool::{NodePool, Settings};
use crate::rseq::area::{self, Owner};
use crate::rseq::self_test;
use crate::size_class::TINY_MAX;
use crate::slab::space::Space;
use crate::sync::{AtomicPtr, AtomicU64, Ordering};
use crate::units::{CpuId, MAX_NODES, NodeId, PAGE_BYTES, SUPERSLAB_BYTES};
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

/// Bytes of address space for a node, at least, if the kernel gives them.
const NODE_BYTES: usize = 64 << 30;
/// A node's range is this many times its memory, at least.
const RANGE_FACTOR: usize = 4;
/// Bytes at the beginning of a node's range that transparent huge pages are not asked for: a small
/// program stays small.
const SMALL_BYTES: usize = 16 << 20;
/// The part of the bytes of FREE SuperSlabs that may lie in freed Huge blocks as well.
const HUGE_CACHE: usize = 8;
/// The part of them that is the least slack.
const LEAST_SLACK: usize = 64;

/// The largest size that `alloc` tries on the CPU's region at once.
pub(super) const ALLOC_LIMIT: isize = TINY_MAX as isize;

/// The memory of one node's pool: `[NodePool | used | committed | parcels]`.
#[derive(Clone, Copy)]
pub(crate) struct NodeMemory(Option<NonNull<u8>>);

impl NodeMemory {
    const POOL_BYTES: usize = size_of::<NodePool>().next_multiple_of(64);

    fn bytes(space: &Space) -> usize {
        let maps = 2 * Self::words(space) * size_of::<AtomicU64>();
        (Self::POOL_BYTES + maps + MAX_PARCELS * size_of::<Parcel>()).next_multiple_of(PAGE_BYTES)
    }

    fn words(space: &Space) -> usize {
        space.node_superslabs().div_ceil(64)
    }

    fn map(space: &Space) -> Result<Self> {
        let memory = memory::map(Self::bytes(space))?;
        // Most parcels are never used, and who uses one first may be on another node.
        // SAFETY: a fresh mapping; the advice changes no contents.
        let _ = unsafe { memory::advise(memory, Self::bytes(space), Advice::NoHugePage) };
        Ok(Self(Some(memory)))
    }

    /// The part at `offset`.
    fn part<T>(&self, offset: usize) -> NonNull<T> {
        // SAFETY: callers' offsets lie in the mapping; a node without memory is never asked (its
        // dangling pointer would be), since nodes are counted in `Heap::nodes`.
        unsafe { self.0.unwrap_or(NonNull::dangling()).add(offset) }.cast()
    }

    /// Where it lies, and its bytes.
    pub(crate) fn memory(&self, space: &Space) -> (NonNull<u8>, usize) {
        (self.part(0), Self::bytes(space))
    }

    pub(crate) fn pool(&self) -> &NodePool {
        // SAFETY: the mapping begins with a zeroed, valid pool, for ever.
        unsafe { self.part(0).as_ref() }
    }

    pub(crate) fn used(&self, space: &Space) -> &[AtomicU64] {
        // SAFETY: the words follow the pool, zeroed, for ever.
        unsafe { core::slice::from_raw_parts(self.part(Self::POOL_BYTES).as_ptr(), Self::words(space)) }
    }

    pub(crate) fn committed(&self, space: &Space) -> &[AtomicU64] {
        let at = Self::POOL_BYTES + Self::words(space) * size_of::<AtomicU64>();
        // SAFETY: as in `used`.
        unsafe { core::slice::from_raw_parts(self.part(at).as_ptr(), Self::words(space)) }
    }

    pub(crate) fn parcels(&self, space: &Space) -> &[Parcel] {
        let at = Self::POOL_BYTES + 2 * Self::words(space) * size_of::<AtomicU64>();
        // SAFETY: as in `used`; a zeroed parcel is valid.
        unsafe { core::slice::from_raw_parts(self.part(at).as_ptr(), MAX_PARCELS) }
    }
}

/// The mapping in which the heap lives.
struct HeapMemory {
    heap: MaybeUninit<Heap>,
    shared: Shared,
}

/// Behind it lies the page of the [`ForkMark`].
const MARK_AT: usize = size_of::<HeapMemory>().next_multiple_of(PAGE_BYTES);
const HEAP_BYTES: usize = MARK_AT + PAGE_BYTES;

/// The heap: built now, or by another thread meanwhile; `None` if the kernel gives no memory for it.
#[cold]
pub(crate) fn start(config: &Config) -> Option<&'static Heap> {
    let _errno = ErrnoGuard::new();
    let config = config.with_environment();
    let memory = memory::map(HEAP_BYTES).ok()?.cast::<HeapMemory>();
    // SAFETY: large enough, aligned, zeroed, which is a valid `Shared`; for ever once published, and
    // if it is not, the reference dies with the heap that holds it.
    let shared: &'static Shared = unsafe { &(*memory.as_ptr()).shared };
    // SAFETY: the last page of the mapping.
    let fork_mark = unsafe { ForkMark::new(memory.cast::<u8>().add(MARK_AT)) };
    match build(config, shared, fork_mark) {
        Ok(heap) => {
            // SAFETY: the mapping is nobody else's; the two fields do not overlap.
            let place = unsafe { (*memory.as_ptr()).heap.write(heap) };
            publish(NonNull::from(place), memory)
        }
        Err(_) => {
            // SAFETY: mapped above; nothing refers to it any more.
            let _ = unsafe { memory::unmap(memory.cast(), HEAP_BYTES) };
            None
        }
    }
}

/// Makes `place` the heap, or unmaps it if there is one already.
fn publish(place: NonNull<Heap>, memory: NonNull<HeapMemory>) -> Option<&'static Heap> {
    // SAFETY: just written.
    let heap: &'static Heap = unsafe { place.as_ref() };
    // The gate is opened after: until then others find it closed and take the slow path, which does
    // not need it.
    match HEAP.compare_exchange(ptr::null_mut(), place.as_ptr(), Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            open_gate(heap);
            heap.nodes().for_each(|node| heap.pool(node).prewarm(heap.config.prewarm_superslabs()));
            crate::telemetry::at_exit(heap);
            Some(heap)
        }
        Err(winner) => {
            unmap(heap);
            // SAFETY: nobody has seen it.
            let _ = unsafe { memory::unmap(memory.cast(), HEAP_BYTES) };
            // SAFETY: a published heap lives for ever.
            let heap: &'static Heap = unsafe { &*winner };
            Some(heap)
        }
    }
}

/// Opens the hit path. Doing it again changes nothing.
pub(super) fn open_gate(heap: &Heap) {
    if let Some(per_cpu) = &heap.per_cpu {
        let free_limit = if heap.nodes == 1 { ALLOC_LIMIT } else { -1 };
        // SAFETY: the table has a region for each possible CPU, and entries for -1 and -2; `area` is
        // from `rseq::area`; headers exist for all classes; the page map is never unmapped.
        unsafe {
            gate::open(per_cpu.table(), heap.area, ALLOC_LIMIT, free_limit);
            if heap.nodes == 1 {
                gate::open_view(&heap.space.view());
            }
        }
    }
}

fn build(config: Config, shared: &'static Shared, fork_mark: ForkMark) -> Result<Heap> {
    let topology = topology()?;
    let nodes = if config.numa() == NumaMode::Off { 1 } else { topology.node_count().min(MAX_NODES) };
    let space = Space::reserve(nodes, node_bytes(&config, topology))?;
    match build_in(config, shared, fork_mark, topology, nodes, space) {
        Ok(heap) => Ok(heap),
        Err((space, error)) => {
            // SAFETY: nobody has seen it.
            unsafe { space.unmap() };
            Err(error)
        }
    }
}

/// The topology of this machine, read once: a start that fails is tried again, and must leave nothing.
fn topology() -> Result<&'static Topology> {
    static TOPOLOGY: AtomicPtr<Topology> = AtomicPtr::new(ptr::null_mut());
    // SAFETY: null, or a topology that lives for ever. Acquire: pairs with the Release below.
    if let Some(known) = unsafe { TOPOLOGY.load(Ordering::Acquire).as_ref() } {
        return Ok(known);
    }
    let read = Topology::read()?;
    // Release: publishes what was read. Threads that read at the same moment read the same.
    TOPOLOGY.store(ptr::from_ref(read).cast_mut(), Ordering::Release);
    Ok(read)
}

fn build_in(
    config: Config,
    shared: &'static Shared,
    fork_mark: ForkMark,
    topology: &'static Topology,
    nodes: usize,
    space: Space,
) -> core::result::Result<Heap, (Space, os::Errno)> {
    let mut pools = [NodeMemory(None); MAX_NODES];
    for at in 0..nodes {
        match NodeMemory::map(&space) {
            Ok(memory) => pools[at] = memory,
            Err(error) => {
                unmap_pools(&pools, &space);
                return Err((space, error));
            }
        }
    }
    let binding = match config.numa() {
        NumaMode::Interleave => Binding::Interleave,
        // Not MPOL_BIND, see `pool::strict`.
        _ => Binding::Preferred,
    };
    let huge = allow_huge(&config, nodes, &space);
    let placement = place(&config, binding, topology, nodes, &space, &pools);
    let layout = Layout::new(nodes);
    let (area, owner) = area::find();
    let node_of = |cpu: CpuId| if nodes == 1 { NodeId::ZERO } else { topology.home(cpu) };
    let (cache_mode, per_cpu) = match trust(&config, area, owner) {
        Ok(mode) => {
            let bind = |node, at, bytes| {
                if placement == PlacementMode::Bound {
                    let _ = policy::bind(at, bytes, Binding::Preferred, &mask_of(topology, node));
                }
            };
            match PerCpu::map(topology.cpu_count(), &layout, node_of, bind) {
                Ok(per_cpu) => (mode, Some(per_cpu)),
                Err(_) => (CacheMode::PerThread(WhyPerThread::NoMemory), None),
            }
        }
        Err(why) => (CacheMode::PerThread(why), None),
    };
    // A dozen calls into the kernel, which short programs would feel.
    let is_asked = [config.limit_hard(), config.limit_soft()].contains(&Limit::Cgroup);
    let limits = if is_asked { os::cgroup::memory_limits().ok() } else { None };
    let hard = config.limit_hard().resolve(limits.and_then(|limits| limits.max_bytes));
    let soft = config.limit_soft().resolve(limits.and_then(|limits| limits.high_bytes));
    Ok(Heap {
        config,
        topology,
        nodes,
        space,
        layout,
        cache_mode,
        placement,
        area,
        owner,
        per_cpu,
        pools,
        budget: Budget::new(hard, soft),
        settings: Settings {
            touch_on_carve: matches!(placement, PlacementMode::FirstTouch(_)),
            prefault: config.prefault() == Prefault::On,
            page_bytes: memory::page_bytes(),
            huge_cache_superslabs: config.free_cache_bytes() / HUGE_CACHE / SUPERSLAB_BYTES,
            slack: Slack {
                percent: config.slack_percent() as usize,
                least_bytes: config.free_cache_bytes() / LEAST_SLACK,
            },
            binding: (placement == PlacementMode::Bound).then_some(binding),
            huge,
            spare_pages: config.huge_spare_pages(),
            transfer: Bounds {
                class_bytes: config.transfer_class_bytes(),
                node_bytes: config.transfer_node_bytes(),
            },
        },
        exit: ThreadExit::create(threads::on_exit).ok(),
        shared,
        fork_mark,
    })
}

/// Bytes of address space for each node.
fn node_bytes(config: &Config, topology: &Topology) -> usize {
    if config.node_reserve_bytes() > 0 {
        return config.node_reserve_bytes();
    }
    let most = topology.nodes().map(|node| topology.memory_bytes(node)).max().unwrap_or(0);
    usize::try_from(most).unwrap_or(0).saturating_mul(RANGE_FACTOR).max(NODE_BYTES)
}

/// Whether restartable sequences are to be used and can be.
fn trust(
    config: &Config,
    area: crate::rseq::Area,
    owner: Owner,
) -> core::result::Result<CacheMode, WhyPerThread> {
    if config.rseq() == RseqMode::Off {
        return Err(WhyPerThread::Configured);
    }
    self_test::probe(area, owner).map_err(WhyPerThread::Rseq)?;
    let revocable = membarrier::has_fence_rseq() == Ok(true);
    // Most often there is but one thread yet. Elsewhere the first revocation registers the process.
    if revocable && thread::is_main() {
        let _ = membarrier::register_rseq();
    }
    Ok(CacheMode::PerCpu { libc_area: owner == Owner::Libc, revocable })
}

fn mask_of(topology: &Topology, node: NodeId) -> NodeMask {
    NodeMask::only(topology.kernel_node(node))
}

/// Asks for transparent huge pages in the nodes' ranges, or declines them, and says which.
fn allow_huge(config: &Config, nodes: usize, space: &Space) -> HugePages {
    let from = SMALL_BYTES / SUPERSLAB_BYTES;
    let pages = match config.huge() {
        HugeMode::Never => HugePages::Declined,
        _ if nodes > 1 && memory::huge_pages_come_unasked().unwrap_or(false) => HugePages::Unasked(from),
        HugeMode::Transparent | HugeMode::Reserved => HugePages::Asked(from),
    };
    let mut granted = true;
    for node in (0..nodes as u8).map(NodeId) {
        let range = space.pointer(space.superslab_address(space.first_superslab(node)));
        granted &= advise_huge(space, node, pages, range, space.node_bytes()).is_ok();
    }
    if granted { pages } else { HugePages::Declined }
}

/// Ties the ranges, the tables and the pools to their nodes, and says how far that went.
fn place(
    config: &Config,
    binding: Binding,
    topology: &Topology,
    nodes: usize,
    space: &Space,
    pools: &[NodeMemory; MAX_NODES],
) -> PlacementMode {
    if nodes == 1 {
        return PlacementMode::OneNode;
    }
    if config.numa() == NumaMode::FirstTouch {
        return PlacementMode::FirstTouch(None);
    }
    let mut refused = None;
    for node in (0..nodes as u8).map(NodeId) {
        let only = mask_of(topology, node);
        let range = space.superslab_address(space.first_superslab(node));
        space.for_each_share(node, |at, bytes| {
            // The tables are always near their node; the memory itself as configured.
            let bound = match at.addr().get() == range {
                true => bind(binding, topology, node, at, bytes),
                false => policy::bind(at, bytes, Binding::Preferred, &only),
            };
            refused = refused.or(bound.err());
        });
        if let Some(memory) = pools[node.index()].0 {
            let _ = policy::bind(memory, NodeMemory::bytes(space), Binding::Preferred, &only);
        }
    }
    match refused {
        None => PlacementMode::Bound,
        Some(error) => PlacementMode::FirstTouch(Some(error.0)),
    }
}

fn unmap_pools(pools: &[NodeMemory; MAX_NODES], space: &Space) {
    for memory in pools.iter().filter_map(|memory| memory.0) {
        // SAFETY: mapped in `build_in`, seen by nobody else.
        let _ = unsafe { memory::unmap(memory, NodeMemory::bytes(space)) };
    }
}

/// Unmaps a heap that nobody has seen.
fn unmap(heap: &Heap) {
    unmap_pools(&heap.pools, &heap.space);
    // SAFETY: the heap lost the race to be published, so nobody has seen any of it.
    unsafe {
        if let Some(per_cpu) = &heap.per_cpu {
            per_cpu.unmap();
        }
        heap.space.unmap();
    }
}
