//! Large blocks: a cached one serves requests that are somewhat smaller, keeps the alignment that was asked
//! for, and stays in place when it is resized within what it serves.

mod support;

use numaslab::NumaSlab;
use std::alloc::{GlobalAlloc, Layout};
use support::mode::in_both_modes;
use support::rng::Rng;
use support::threads::{allowed_cpus, pin};

static HEAP: NumaSlab = NumaSlab::new();

const KIB: usize = 1 << 10;

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a layout")
}

fn allocate(layout: Layout) -> *mut u8 {
    // SAFETY: the layout has a size.
    let block = unsafe { HEAP.alloc(layout) };
    assert!(!block.is_null());
    // SAFETY: the block has that many bytes.
    unsafe { block.write_bytes(0xa5, layout.size()) };
    block
}

fn release(block: *mut u8, layout: Layout) {
    // SAFETY: the tests release what they allocated, once.
    unsafe { HEAP.dealloc(block, layout) };
}

/// Stays on one CPU, so that a block that was released lies in the cache that is asked next.
fn stay_here() {
    pin(&allowed_cpus()[..1]);
}

#[test]
fn a_cached_block_serves_smaller_requests_but_not_much_smaller_ones() {
    in_both_modes(|| {
        stay_here();
        let big = layout(144 * KIB, 8);
        let block = allocate(big);
        for (size, serves) in [(144, true), (130, true), (97, true), (96, false), (64, false), (145, false)] {
            release(block, big);
            let smaller = layout(size * KIB, 8);
            let found = allocate(smaller);
            assert_eq!(found == block, serves, "{size} KiB");
            release(found, smaller);
            if !serves {
                assert_eq!(allocate(big), block);
                continue;
            }
            assert_eq!(allocate(big), block, "it went back where its own size finds it");
        }
        release(block, big);
    });
}

#[test]
fn a_resize_within_what_the_block_serves_stays_in_place() {
    in_both_modes(|| {
        stay_here();
        let (big, small) = (layout(144 * KIB, 8), layout(100 * KIB, 8));
        let block = allocate(big);
        release(block, big);
        assert_eq!(allocate(small), block);
        // SAFETY: the block is live, with that layout; likewise below.
        let grown = unsafe { HEAP.realloc(block, small, 140 * KIB) };
        assert_eq!(grown, block);
        // SAFETY: 140 KiB now.
        let moved = unsafe { HEAP.realloc(grown, layout(140 * KIB, 8), 40 * KIB) };
        assert_ne!(moved, block, "a block four times as large is not kept for a small one");
        // SAFETY: the first bytes were copied.
        assert!((0..40 * KIB).all(|at| unsafe { moved.add(at).read() } == 0xa5));
        release(moved, layout(40 * KIB, 8));
    });
}

#[test]
fn requests_get_the_alignment_they_ask_for_whatever_lies_in_the_cache() {
    in_both_modes(|| {
        let mut rng = Rng::new(7);
        let mut live: Vec<(*mut u8, Layout)> = Vec::new();
        for _ in 0..20_000 {
            if live.len() < 40 || rng.below(2) == 0 {
                let layout = layout(33 * KIB + rng.below(400 * KIB), 8 << rng.below(14));
                // SAFETY: the layout has a size.
                let block = unsafe { HEAP.alloc(layout) };
                assert!(!block.is_null());
                assert_eq!(block.addr() % layout.align(), 0, "{layout:?}");
                live.push((block, layout));
            } else {
                let (block, layout) = live.swap_remove(rng.below(live.len()));
                release(block, layout);
            }
        }
        live.into_iter().for_each(|(block, layout)| release(block, layout));
    });
}
