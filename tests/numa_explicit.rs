//! Memory of nodes that are asked for by name: blocks, collections, interleaving, preferences. On a machine
//! with one node everything is asked of node 0.

mod support;

use allocator_api2::alloc::{Allocator, Layout};
use allocator_api2::vec::Vec as NodeVec;
use hashbrown::{DefaultHashBuilder, HashMap};
use numaslab::config::{Config, NumaMode};
use numaslab::os::policy::node_of_page;
use numaslab::placement::{KernelNode, NodeId, PlacementError, PlacementMode, node_of};
use numaslab::{NumaSlab, stats};
use std::alloc::GlobalAlloc;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::accounts::balance;
use support::block::Block;
use support::confine::forbid;
use support::mode::{before_start, in_both_modes, on_heap, start};
use support::rng::Rng;
use support::threads::{self, allowed_cpus, pin};
use support::ticker::{self, Ticker};

static HEAP: NumaSlab = NumaSlab::new();

const MIB: usize = 1 << 20;
const SUPERSLAB: usize = 2 * MIB;
/// Bytes between the pages that are looked at: not all, since the kernel takes its time.
const PAGES_APART: usize = 200 << 10;
/// From Tiny to Huge.
const SIZES: [usize; 9] = [1, 40, 1000, 3000, 20_000, 100_000, 700_000, 3 * MIB, 5 * MIB];

fn nodes() -> impl Iterator<Item = NodeId> {
    (0..HEAP.nodes().unwrap() as u8).map(NodeId)
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a layout")
}

/// Demands that the page at `at`, which has been touched, lies on `node`, if pages can be bound.
fn demand_page(at: *const u8, node: NodeId) {
    if matches!(stats().placement, PlacementMode::Bound | PlacementMode::FirstTouch(_)) {
        let page = at.map_addr(|address| address & !4095);
        assert_eq!(node_of_page(page), Ok(HEAP.kernel_node(node).unwrap()), "the page at {at:p}");
    }
}

/// Demands that a block is at home on `node`, and that pages of it lie there once they are written.
fn demand(block: NonNull<u8>, size: usize, node: NodeId) {
    assert_eq!(node_of(block.as_ptr()), Some(node));
    for at in (0..size).step_by(PAGES_APART).chain([size - 1]) {
        // SAFETY: inside the block, which is the test's own.
        let byte = unsafe { block.add(at) };
        // SAFETY: as above.
        unsafe { byte.write(0x5a) };
        demand_page(byte.as_ptr(), node);
    }
}

fn give_back(block: NonNull<u8>, size: usize) {
    // SAFETY: allocated with this layout, given back once.
    unsafe { HEAP.dealloc(block.as_ptr(), layout(size)) };
}

/// Lets the calling thread run on each CPU that it may run on, or four of them, and does something there.
fn on_each_cpu(mut work: impl FnMut()) {
    let all = allowed_cpus();
    for cpu in all.iter().step_by(all.len().div_ceil(4)) {
        pin(&[*cpu]);
        work();
    }
    pin(&all);
}

#[test]
fn blocks_come_from_the_node_that_was_asked_for() {
    in_both_modes(|| {
        balance(|| {
            on_each_cpu(|| {
                for (node, size) in nodes().flat_map(|node| SIZES.map(|size| (node, size))) {
                    let count = if size > 50_000 { 1 } else { 20 };
                    let blocks: Vec<_> =
                        (0..count).map(|_| HEAP.alloc_on(node, layout(size)).unwrap()).collect();
                    blocks.iter().for_each(|block| demand(*block, size, node));
                    blocks.into_iter().for_each(|block| give_back(block, size));
                }
            });
        });
    });
}

#[test]
fn where_memory_cannot_be_bound_it_is_touched_by_its_node() {
    before_start(|mode| {
        forbid(libc::SYS_mbind, libc::EPERM);
        start(&HEAP);
        if !mode.is_on() || HEAP.nodes() == Ok(1) {
            return;
        }
        assert_eq!(stats().placement, PlacementMode::FirstTouch(Some(libc::EPERM)));
        let allowed = allowed_cpus();
        on_each_cpu(|| {
            for node in nodes().filter(|node| has_cpus(*node)) {
                for size in SIZES.into_iter().filter(|size| *size < MIB) {
                    let blocks: Vec<_> =
                        (0..10).map(|_| HEAP.alloc_on(node, layout(size)).unwrap()).collect();
                    blocks.iter().for_each(|block| demand(*block, size, node));
                    blocks.into_iter().for_each(|block| give_back(block, size));
                }
            }
        });
        assert_eq!(allowed_cpus(), allowed, "a visit has not ended");
    });
}

/// Whether a node has CPUs of its own, on which its memory can be touched.
fn has_cpus(node: NodeId) -> bool {
    let number = HEAP.kernel_node(node).unwrap().0;
    let cpus = std::fs::read_to_string(format!("/sys/devices/system/node/node{number}/cpulist"));
    cpus.is_ok_and(|cpus| !cpus.trim().is_empty())
}

#[test]
fn what_was_freed_here_is_allocated_there_again_without_a_visit() {
    in_both_modes(|| {
        let far = NodeId(HEAP.nodes().unwrap() as u8 - 1);
        let mut cached = 0;
        for _ in 0..100 {
            let blocks: Vec<_> = (0..8).map(|_| HEAP.alloc_on(far, layout(64)).unwrap()).collect();
            blocks.into_iter().for_each(|block| give_back(block, 64));
            cached = stats().sum(|node| node.region_bytes);
        }
        let carved = stats().sum(|node| node.slabs_carved);
        assert!(carved <= 8 && cached > 0, "{}", stats());
    });
}

#[test]
fn a_node_that_is_not_there_is_an_error() {
    in_both_modes(|| {
        let none = NodeId(HEAP.nodes().unwrap() as u8);
        let error = PlacementError::NoSuchNode(none);
        assert_eq!(HEAP.alloc_on(none, layout(8)), Err(error));
        assert_eq!(HEAP.on(none), Err(error));
        assert_eq!(HEAP.prefer(none).err(), Some(error));
        assert_eq!(HEAP.kernel_node(none), Err(error));
        assert_eq!(error.to_string(), format!("there is no node {}", none.0));
        let absent = KernelNode(999);
        assert_eq!(HEAP.node_numbered(absent), Err(PlacementError::NoSuchKernelNode(absent)));
        assert_eq!(HEAP.nearest_node(absent), Ok(NodeId(0)));
        for node in nodes() {
            let kernel = HEAP.kernel_node(node).unwrap();
            assert_eq!((HEAP.node_numbered(kernel), HEAP.nearest_node(kernel)), (Ok(node), Ok(node)));
        }
        assert_eq!(node_of(std::ptr::null()), None);
        assert_eq!(node_of((&raw const HEAP).cast()), None);
        assert_eq!(HEAP.alloc_on(NodeId(0), layout(1 << 60)), Err(PlacementError::NoMemory));
    });
}

#[test]
fn a_machine_taken_as_one_node_has_node_0() {
    let heap = NumaSlab::with_config(Config::new().with_numa(NumaMode::Off));
    on_heap(heap, || {
        assert_eq!((HEAP.nodes(), HEAP.current_node()), (Ok(1), Ok(NodeId(0))));
        let kernel = HEAP.kernel_node(NodeId(0)).unwrap();
        assert_eq!(HEAP.node_numbered(kernel), Ok(NodeId(0)));
        let _here = HEAP.prefer(NodeId(0)).unwrap();
        on_each_cpu(|| {
            let block = HEAP.alloc_on(NodeId(0), layout(100)).unwrap();
            assert_eq!(node_of(block.as_ptr()), Some(NodeId(0)));
            give_back(block, 100);
        });
    });
}

#[test]
fn collections_live_on_their_node() {
    in_both_modes(|| {
        balance(|| {
            for node in nodes() {
                let there = HEAP.on(node).unwrap();
                let mut numbers = NodeVec::new_in(there);
                let mut squares = HashMap::with_hasher_in(DefaultHashBuilder::default(), there);
                for n in 0..10_000u64 {
                    numbers.push(n);
                    squares.insert(n, n * n);
                }
                numbers.retain(|n| n % 3 == 0);
                numbers.shrink_to_fit();
                squares.retain(|n, _| n % 3 == 0);
                assert_eq!((numbers.len(), squares.len()), (3334, 3334));
                for n in &numbers {
                    assert_eq!(squares.get(n), Some(&(n * n)));
                    demand_page((&raw const squares[n]).cast(), node);
                }
                let mut places = numbers.iter().map(|n| (&raw const *n).cast());
                assert!(places.all(|at| node_of(at) == Some(node)));
                // One that grew so far that it became Huge, and moved as such.
                let mut bytes = NodeVec::new_in(there);
                (0..40u8).for_each(|n| bytes.extend_from_slice(&[n; MIB / 10]));
                assert!(bytes.chunks(MIB / 10).zip(0..).all(|(chunk, n)| chunk == [n; MIB / 10]));
                demand(NonNull::new(bytes.as_mut_ptr()).unwrap(), bytes.len(), node);
                let empty: NodeVec<u64, _> = NodeVec::with_capacity_in(0, there);
                assert!(empty.is_empty());
            }
        });
    });
}

#[test]
fn a_handle_gives_zeroes_and_changes_alignments() {
    in_both_modes(|| {
        balance(|| {
            let there = HEAP.on(NodeId(HEAP.nodes().unwrap() as u8 - 1)).unwrap();
            let (old, new) = (layout(100), Layout::from_size_align(200, 256).unwrap());
            for size in SIZES {
                // SAFETY: each block is read and written inside its size, and given back as it is by then.
                unsafe {
                    let dirty = there.allocate(layout(size)).unwrap();
                    dirty.write_bytes(1, size);
                    Allocator::deallocate(&there, dirty, layout(size));
                    let block = there.allocate_zeroed(layout(size)).unwrap();
                    assert!(block.as_ref().iter().all(|byte| *byte == 0), "{size}");
                    Allocator::deallocate(&there, block.cast(), layout(size));
                }
            }
            // SAFETY: as above.
            unsafe {
                let block = there.allocate(old).unwrap();
                block.write_bytes(7, 100);
                let grown = there.grow(block, old, new).unwrap();
                assert!(grown.cast::<u8>().addr().get().is_multiple_of(256));
                assert!(grown.as_ref()[..100].iter().all(|byte| *byte == 7));
                let nothing =
                    there.shrink(grown.cast(), new, Layout::from_size_align(0, 1).unwrap()).unwrap();
                Allocator::deallocate(&there, nothing.cast(), Layout::from_size_align(0, 1).unwrap());
            }
        });
    });
}

#[test]
fn interleaved_blocks_go_round_the_nodes() {
    in_both_modes(|| {
        balance(|| {
            let spread = HEAP.interleaved().unwrap();
            let count = HEAP.nodes().unwrap();
            for size in [40, 3000, 100_000, 3 * MIB / 2] {
                let blocks: Vec<_> = (0..4 * count).map(|_| spread.allocate(layout(size)).unwrap()).collect();
                for node in nodes() {
                    let there = blocks.iter().filter(|block| node_of(block.as_ptr()) == Some(node)).count();
                    assert_eq!(there, 4, "{size} bytes on {node:?}");
                }
                for block in blocks {
                    demand(block, size, node_of(block.as_ptr()).unwrap());
                    give_back(block, size);
                }
            }
            let mut words = NodeVec::with_capacity_in(10, spread.clone());
            words.extend_from_slice(&[1, 2, 3]);
            let mut shared = NodeVec::new_in(&spread);
            shared.extend_from_slice(&words);
            assert_eq!(shared, [1, 2, 3]);
        });
    });
}

#[test]
fn a_huge_interleaved_block_lies_on_all_nodes_in_turn() {
    in_both_modes(|| {
        balance(|| {
            let (spread, count) = (HEAP.interleaved().unwrap(), HEAP.nodes().unwrap());
            let size = 2 * count * SUPERSLAB - 1000;
            let block = spread.allocate(layout(size)).unwrap();
            // SAFETY: a block of that size, of the test's own.
            let bytes = unsafe { std::slice::from_raw_parts_mut(block.as_ptr(), size) };
            assert!(bytes.iter().all(|byte| *byte == 0));
            bytes.fill(1);
            let first = match stats().placement {
                PlacementMode::Bound => node_of_page(block.as_ptr()),
                _ => Ok(KernelNode(0)),
            };
            let first = HEAP.node_numbered(first.unwrap()).unwrap().index();
            for (number, stripe) in bytes.chunks(SUPERSLAB).enumerate() {
                let node = NodeId(((first + number) % count) as u8);
                demand_page(stripe.as_ptr(), node);
                demand_page(&raw const stripe[stripe.len() - 1], node);
            }
            give_back(block, size);
        });
    });
}

#[test]
fn a_thread_gets_what_it_prefers_wherever_it_runs() {
    in_both_modes(|| {
        balance(|| {
            for node in nodes() {
                let preference = HEAP.prefer(node).unwrap();
                assert_eq!((preference.node(), HEAP.current_node()), (node, Ok(node)));
                let mut blocks = Vec::new();
                on_each_cpu(|| {
                    for size in SIZES {
                        let block = Block::new(&HEAP, layout(size), 1).unwrap();
                        assert_eq!(node_of(block.pointer()), Some(node), "{size} bytes");
                        demand_page(block.pointer(), node);
                        blocks.push(block);
                    }
                    let mut grown = Block::zeroed(&HEAP, layout(10), 2).unwrap();
                    for size in [100, 5000, 2 * MIB, 8 * MIB, 300] {
                        assert!(grown.resize(&HEAP, size));
                        assert_eq!(node_of(grown.pointer()), Some(node), "{size} bytes");
                    }
                    grown.free(&HEAP);
                });
                blocks.into_iter().for_each(|block| block.free(&HEAP));
            }
        });
    });
}

#[test]
fn preferences_nest_and_end() {
    in_both_modes(|| {
        let fresh = || {
            let block = Block::new(&HEAP, layout(100), 3).unwrap();
            let node = node_of(block.pointer());
            block.free(&HEAP);
            node
        };
        let last = NodeId(HEAP.nodes().unwrap() as u8 - 1);
        pin(&allowed_cpus()[..1]);
        let here = fresh();
        assert_eq!(here, HEAP.current_node().ok());
        let outer = HEAP.prefer(last).unwrap();
        assert_eq!(fresh(), Some(last));
        {
            let _inner = HEAP.prefer(NodeId(0)).unwrap();
            assert_eq!(fresh(), Some(NodeId(0)));
            // It is this thread's affair.
            let cpu = allowed_cpus()[0];
            let theirs = std::thread::scope(|scope| {
                let work = move || {
                    pin(&[cpu]);
                    (HEAP.current_node().ok(), fresh())
                };
                scope.spawn(work).join().unwrap()
            });
            assert_eq!(theirs, (here, here));
        }
        assert_eq!(fresh(), Some(last));
        drop(outer);
        assert_eq!((fresh(), HEAP.current_node().ok()), (here, here));
    });
}

#[test]
fn threads_that_ask_for_all_nodes_at_once_lose_nothing() {
    in_both_modes(|| {
        balance(|| {
            let count = HEAP.nodes().unwrap();
            let (all, mail) = (allowed_cpus(), std::sync::Mutex::new(Vec::new()));
            threads::run(16, |number| {
                let mut rng = Rng::new(number as u64);
                let mut own: Vec<(Block, Option<NodeId>)> = Vec::new();
                for step in 0..1500 {
                    if rng.one_in(50) {
                        pin(&[all[rng.below(all.len())]]);
                    }
                    let (node, size) = (NodeId(rng.below(count) as u8), rng.size(50_000));
                    let _preference = rng.one_in(20).then(|| HEAP.prefer(node).unwrap());
                    let fresh = match rng.one_in(2) {
                        true => (Block::on(&HEAP, node, layout(size), step), Some(node)),
                        false => (Block::new(&HEAP, layout(size), step).unwrap(), None),
                    };
                    own.push(fresh);
                    if rng.one_in(3) {
                        let moved = own.swap_remove(rng.below(own.len()));
                        let mut mail = mail.lock().unwrap();
                        mail.push(moved);
                        if mail.len() > 100 {
                            let at = rng.below(mail.len());
                            own.push(mail.swap_remove(at));
                        }
                    }
                    if own.len() > 40 {
                        check_and_free(own.swap_remove(rng.below(own.len())));
                    }
                }
                own.into_iter().for_each(check_and_free);
            });
            mail.into_inner().unwrap().into_iter().for_each(check_and_free);
        });
    });
}

/// How often the handler below has run.
static RUNS: AtomicUsize = AtomicUsize::new(0);

/// Allocates at once and on a node by turns, and with a preference of its own, and gives all back.
extern "C" fn allocate_in_handler(_: i32) {
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let node = NodeId((run % HEAP.nodes().unwrap()) as u8);
    let size = [16, 300, 5000, 70_000][run % 4];
    let there = HEAP.alloc_on(node, layout(size)).unwrap();
    let preference = run.is_multiple_of(3).then(|| HEAP.prefer(node).unwrap());
    // SAFETY: the layout has a size; both blocks are given back once.
    unsafe {
        let here = HEAP.alloc(layout(size));
        if here.is_null() || node_of(there.as_ptr()) != Some(node) {
            libc::abort();
        }
        HEAP.dealloc(here, layout(size));
    }
    drop(preference);
    give_back(there, size);
}

#[test]
fn signal_handlers_may_ask_for_nodes_and_prefer_them_in_between() {
    in_both_modes(|| {
        balance(|| {
            ticker::install(allocate_in_handler);
            let count = HEAP.nodes().unwrap();
            threads::run(4, |number| {
                let _ticker = Ticker::start();
                let mut rng = Rng::new(number as u64);
                let mut own: Vec<(Block, Option<NodeId>)> = Vec::new();
                let mut step = 0;
                while step < 300 || RUNS.load(Ordering::Relaxed) < 300 {
                    step += 1;
                    let (node, size) = (NodeId(rng.below(count) as u8), rng.size(20_000));
                    let _preference = rng.one_in(5).then(|| HEAP.prefer(node).unwrap());
                    own.push(match rng.one_in(2) {
                        true => (Block::on(&HEAP, node, layout(size), step), Some(node)),
                        false => (Block::new(&HEAP, layout(size), step).unwrap(), None),
                    });
                    if own.len() > 20 {
                        check_and_free(own.swap_remove(rng.below(own.len())));
                    }
                }
                own.into_iter().for_each(check_and_free);
            });
        });
    });
}

fn check_and_free((block, node): (Block, Option<NodeId>)) {
    assert!(node.is_none() || node_of(block.pointer()) == node);
    block.free(&HEAP);
}
