//! The allocator against a model of live blocks: aligned, disjoint, contents kept, zeroes where promised,
//! for every size and alignment, in both modes.

mod support;

use numaslab::NumaSlab;
use numaslab::size_class::{LARGE_MAX, MID_MAX, SizeClass, TINY_MAX};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::alloc::{GlobalAlloc, Layout};
use std::collections::BTreeMap;
use support::accounts::balance;
use support::block::Block;
use support::child;
use support::effort::{one_in, scale};
use support::mode::in_both_modes;
use support::rng::Rng;

static HEAP: NumaSlab = NumaSlab::new();

const MIB: usize = 1 << 20;
/// Alignments 1 to 8 MiB.
const ALIGN_SHIFTS: u32 = 24;

/// The live blocks, by address.
#[derive(Default)]
struct Model {
    blocks: BTreeMap<usize, Block>,
    stamps: u64,
}

impl Model {
    fn stamp(&mut self) -> u64 {
        self.stamps += 1;
        self.stamps << 32 | self.stamps
    }

    /// Allocates a block, which must not be refused, and checks that it overlaps no other.
    fn allocate(&mut self, layout: Layout, zeroed: bool) -> usize {
        let stamp = self.stamp();
        let block = match zeroed {
            true => Block::zeroed(&HEAP, layout, stamp),
            false => Block::new(&HEAP, layout, stamp),
        };
        self.insert(block.unwrap_or_else(|| panic!("no memory for {layout:?}")))
    }

    fn insert(&mut self, block: Block) -> usize {
        let start = block.address();
        // A block without bytes has an address of its own all the same.
        let end = start + block.size().max(1);
        if let Some((below, other)) = self.blocks.range(..end).next_back() {
            assert!(below + other.size().max(1) <= start, "{block:?} lies on {other:?}");
        }
        self.blocks.insert(start, block);
        start
    }

    fn resize(&mut self, address: usize, size: usize) -> usize {
        let mut block = self.blocks.remove(&address).expect("a live block");
        assert!(block.resize(&HEAP, size), "no memory for {size} bytes");
        self.insert(block)
    }

    fn free(&mut self, address: usize) {
        self.blocks.remove(&address).expect("a live block").free(&HEAP);
    }

    /// The address of some live block.
    fn pick(&self, which: usize) -> Option<usize> {
        let count = self.blocks.len();
        (count > 0).then(|| *self.blocks.keys().nth(which % count).expect("fewer than there are"))
    }

    fn free_all(&mut self, rng: &mut Rng) {
        while let Some(address) = self.pick(rng.next() as usize) {
            self.free(address);
        }
    }
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a layout")
}

/// The sizes at which something changes: around the end of every class, and beyond the classes.
fn border_sizes() -> impl Iterator<Item = usize> {
    let classes = SizeClass::all().flat_map(|class| [class.bytes() - 1, class.bytes(), class.bytes() + 1]);
    let huge = [2 * MIB - 1, 2 * MIB, 2 * MIB + 1, 3 * MIB + 12_345, 4 * MIB, 9 * MIB + 1];
    std::iter::once(1).chain(classes).chain(huge)
}

#[test]
fn every_size_and_alignment_gives_aligned_disjoint_blocks() {
    in_both_modes(|| {
        balance(|| {
            let (mut model, mut rng) = (Model::default(), Rng::new(1));
            for align in (0..ALIGN_SHIFTS).map(|shift| 1usize << shift) {
                // Large blocks with each alignment would only make the same few runs again and again.
                let step = if align.ilog2().is_multiple_of(6) { 1 } else { 7 };
                for (at, size) in border_sizes().enumerate() {
                    if size > MID_MAX && at % step != 0 {
                        continue;
                    }
                    // A block is at least as long as its alignment.
                    if size.max(align) > MID_MAX && at % one_in() != 0 {
                        continue;
                    }
                    let copies = if size <= TINY_MAX { 3 } else { 2 };
                    for _ in 0..copies {
                        model.allocate(layout(size, align), false);
                    }
                    // Keep some for a while, so that new blocks have neighbours.
                    while model.blocks.len() > 64 {
                        let address = model.pick(rng.next() as usize).unwrap();
                        model.free(address);
                    }
                }
            }
            model.free_all(&mut rng);
        });
    });
}

#[test]
fn a_block_of_no_bytes_is_a_block_like_any_other() {
    in_both_modes(|| {
        balance(|| {
            let mut model = Model::default();
            for align in [1, 2, 4, 8] {
                for zeroed in [false, true] {
                    let empty = model.allocate(layout(0, align), zeroed);
                    let grown = model.resize(empty, 100);
                    model.resize(grown, 0);
                }
            }
            model.free_all(&mut Rng::new(2));
        });
    });
}

#[test]
fn realloc_keeps_contents_across_all_borders() {
    let sizes = [
        1,
        8,
        100,
        TINY_MAX,
        TINY_MAX + 1,
        10_000,
        MID_MAX,
        MID_MAX + 1,
        200_000,
        LARGE_MAX,
        LARGE_MAX + 1,
        2 * MIB,
        2 * MIB + 1,
        7 * MIB,
    ];
    in_both_modes(move || {
        balance(|| {
            let mut model = Model::default();
            for (turn, align) in [1, 64, 4096, 1 << 16, 1 << 17, 4 * MIB].into_iter().enumerate() {
                // A neighbour on each side of a Huge block makes growing in place impossible for some.
                let fence = model.allocate(layout(2 * MIB, align), false);
                for (row, from) in sizes.into_iter().enumerate() {
                    // On a slow machine each pair with some of the alignments.
                    for to in sizes.into_iter().skip((row + turn) % one_in()).step_by(one_in()) {
                        let block = model.allocate(layout(from, align), from % 2 == 0);
                        let moved = model.resize(block, to);
                        let back = model.resize(moved, from);
                        model.free(back);
                    }
                }
                model.free(fence);
            }
        });
    });
}

#[test]
fn growing_step_by_step_keeps_contents() {
    in_both_modes(|| {
        balance(|| {
            let mut model = Model::default();
            let mut grown = [layout(1, 1), layout(3, 1)].map(|layout| model.allocate(layout, false));
            // Two that grow in turn stand in each other's way.
            while model.blocks[&grown[1]].size() < 24 * MIB {
                for block in &mut grown {
                    let size = model.blocks[block].size();
                    *block = model.resize(*block, size + size / 2 + 1);
                }
            }
            for size in [20 * MIB, 4 * MIB + 1, MIB + 1, MIB, 70_000, 3_000, 9] {
                grown = grown.map(|block| model.resize(block, size));
            }
            model.free_all(&mut Rng::new(3));
        });
    });
}

#[test]
fn zeroed_blocks_are_zero_where_memory_was_dirty_before() {
    in_both_modes(|| {
        balance(|| {
            let (mut model, mut rng) = (Model::default(), Rng::new(4));
            let sizes = [1, 8, 24, 1000, 1024, 5000, 32 << 10, 100_000, MIB, MIB + 1, 2 * MIB, 5 * MIB];
            for round in 0..4 {
                // Dirty memory of every size, given back; then the same sizes as zeroes.
                for zeroed in [false, true] {
                    for (size, align) in sizes.into_iter().zip([1, 8, 16, 256, 1 << 17].into_iter().cycle()) {
                        for _ in 0..if size < MIB { 20 } else { 2 } {
                            model.allocate(layout(size, align), zeroed);
                        }
                    }
                    model.free_all(&mut rng);
                }
                // What was Tiny becomes Huge, and the other way round.
                if round % 2 == 1 {
                    numaslab::trim();
                }
            }
        });
    });
}

#[test]
fn a_huge_block_that_shrank_and_grew_is_given_back_clean() {
    in_both_modes(|| {
        balance(|| {
            let mut model = Model::default();
            for (from, to) in [(8 * MIB, 2 * MIB), (8 * MIB, MIB + 1), (3 * MIB + 5, 2 * MIB + 5)] {
                let block = model.allocate(layout(from, 8), false);
                let block = model.resize(block, to);
                let block = model.resize(block, from);
                model.free(block);
                let clean = model.allocate(layout(from, 8), true);
                model.free(clean);
            }
        });
    });
}

#[test]
fn absurd_sizes_fail_and_the_heap_works_on() {
    in_both_modes(|| {
        balance(|| {
            let mut model = Model::default();
            let keeper = model.allocate(layout(5000, 8), false);
            let huge_keeper = model.allocate(layout(3 * MIB, 8), false);
            let most = isize::MAX as usize;
            // Beyond what 47 bits of addresses can hold, and up to the largest size that there is.
            for size in
                [1 << 47, 1 << 48, 1 << 60, most / 2, most - (8 * MIB - 1), most - 4095, most - 7, most]
            {
                for align in [1, 8, 4096, 8 * MIB] {
                    let Ok(absurd) = Layout::from_size_align(size, align) else { continue };
                    // SAFETY: null, or else given back at once by the failing test's end.
                    unsafe {
                        assert!(HEAP.alloc(absurd).is_null(), "{absurd:?}");
                        assert!(HEAP.alloc_zeroed(absurd).is_null(), "{absurd:?}");
                    }
                }
                for address in [keeper, huge_keeper] {
                    if Layout::from_size_align(size, 8).is_ok() {
                        assert!(!model.blocks.get_mut(&address).unwrap().resize(&HEAP, size));
                    }
                }
                let small = model.allocate(layout(100, 8), false);
                model.free(small);
            }
            model.free_all(&mut Rng::new(5));
        });
    });
}

#[test]
fn more_than_the_machine_can_have_fails() {
    in_both_modes(|| {
        if overcommits_anything() {
            return child::skip("the kernel promises any amount of memory (vm.overcommit_memory = 1)");
        }
        balance(|| {
            let mut model = Model::default();
            let keeper = model.allocate(layout(3 * MIB, 8), false);
            for size in [2 << 40, 16 << 40, 100 << 40].into_iter().filter(|size| *size > 8 * memory_bytes()) {
                // SAFETY: null; a failing test does not go on with it.
                let block = unsafe { HEAP.alloc(layout(size, 8)) };
                assert!(block.is_null(), "{} TiB", size >> 40);
                assert!(!model.blocks.get_mut(&keeper).unwrap().resize(&HEAP, size));
                let small = model.allocate(layout(100, 8), false);
                model.free(small);
            }
            model.free_all(&mut Rng::new(6));
        });
    });
}

fn overcommits_anything() -> bool {
    std::fs::read_to_string("/proc/sys/vm/overcommit_memory").is_ok_and(|mode| mode.trim() == "1")
}

fn memory_bytes() -> usize {
    // SAFETY: asks for two numbers.
    unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES) * libc::sysconf(libc::_SC_PAGESIZE)) as usize }
}

#[derive(Clone, Debug)]
enum Op {
    Allocate { size: usize, align: usize, zeroed: bool },
    Resize { which: usize, size: usize },
    Free { which: usize },
    Trim,
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 1..=TINY_MAX,
        4 => TINY_MAX + 1..=MID_MAX,
        2 => MID_MAX + 1..=LARGE_MAX,
        1 => LARGE_MAX + 1..=6 * MIB,
        4 => (0..SizeClass::all().count(), 0..3usize)
            .prop_map(|(class, more)| SizeClass::from_index(class).unwrap().bytes() - 1 + more),
    ]
}

fn ops() -> impl Strategy<Value = Op> {
    let aligns =
        prop_oneof![6 => Just(0u32), 4 => 0..7u32, 1 => 0..ALIGN_SHIFTS].prop_map(|shift| 1 << shift);
    prop_oneof![
        10 => (sizes(), aligns, any::<bool>()).prop_map(|(size, align, zeroed)| Op::Allocate { size, align, zeroed }),
        4 => (any::<usize>(), sizes()).prop_map(|(which, size)| Op::Resize { which, size }),
        8 => any::<usize>().prop_map(|which| Op::Free { which }),
        1 => Just(Op::Trim),
    ]
}

#[test]
fn any_history_agrees_with_the_model() {
    in_both_modes(|| {
        let config = ProptestConfig {
            cases: scale(40) as u32,
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        let histories = prop::collection::vec(ops(), 1..250);
        let agrees = |history| {
            balance(|| replay(history));
            Ok(())
        };
        TestRunner::new(config).run(&histories, agrees).unwrap();
    });
}

fn replay(history: Vec<Op>) {
    let mut model = Model::default();
    for op in history {
        match op {
            Op::Allocate { size, align, zeroed } => drop(model.allocate(layout(size, align), zeroed)),
            Op::Resize { which, size } => drop(model.pick(which).map(|block| model.resize(block, size))),
            Op::Free { which } => drop(model.pick(which).map(|block| model.free(block))),
            Op::Trim => drop(numaslab::trim()),
        }
    }
    model.free_all(&mut Rng::new(7));
}
