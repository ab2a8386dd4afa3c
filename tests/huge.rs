//! Huge blocks: a few that were freed are kept for the next request, within bounds, and no longer than they may.

mod support;

use numaslab::config::Config;
use numaslab::{NumaSlab, maintain, stats, trim};
use std::alloc::{GlobalAlloc, Layout};
use std::time::{Duration, Instant};
use support::block::Block;
use support::child::{fork, skip};
use support::confine::{forbid, status_bytes, use_up_mappings};
use support::mode::{in_both_modes, on_heap};
use support::rng::Rng;
use support::threads::{allowed_cpus, pin, run};

static HEAP: NumaSlab = NumaSlab::new();

const MIB: usize = 1 << 20;

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a layout")
}

fn block(heap: &NumaSlab, size: usize) -> Block {
    Block::new(heap, layout(size), size as u64).expect("memory")
}

fn kept() -> usize {
    stats().sum(|node| node.huge_cached_bytes) as usize
}

#[test]
fn a_freed_block_serves_the_next_request_of_its_size() {
    in_both_modes(|| {
        pin(&allowed_cpus()[..1]);
        let first = block(&HEAP, 8 * MIB);
        let address = first.address();
        first.free(&HEAP);
        let before = stats();
        assert_eq!(before.sum(|node| node.huge_cached_bytes), 8 * MIB as u64);
        assert_eq!((before.sum(|node| node.huge_blocks), before.in_use_bytes()), (0, 0));
        let second = block(&HEAP, 8 * MIB - 5);
        let after = stats();
        assert_eq!(second.address(), address);
        assert_eq!(after.calls.total(), before.calls.total(), "the kernel was not asked");
        assert_eq!((kept(), after.sum(|node| node.huge_bytes)), (0, 8 * MIB as u64));
        second.free(&HEAP);
        // Much less than was kept, and more: another place.
        for other in [block(&HEAP, 5 * MIB), block(&HEAP, 9 * MIB)] {
            assert_ne!(other.address(), address);
            other.free(&HEAP);
        }
        // A little less: the rest goes back.
        let most = block(&HEAP, 8 * MIB);
        most.free(&HEAP);
        assert_eq!(kept(), 24 * MIB);
        assert!(trim().released_bytes >= 24 * MIB);
        assert_eq!((kept(), stats().mapped_bytes()), (0, 0), "{}", stats());
    });
}

#[test]
fn a_kept_block_that_must_read_as_zero_does() {
    in_both_modes(|| {
        pin(&allowed_cpus()[..1]);
        for size in [2 * MIB, 3 * MIB + 5, 30 * MIB] {
            block(&HEAP, size).free(&HEAP);
            assert!(kept() >= size);
            // Checks every byte.
            Block::zeroed(&HEAP, layout(size), 1).expect("memory").free(&HEAP);
        }
    });
}

#[test]
fn a_longer_block_gives_its_rest_back() {
    in_both_modes(|| {
        pin(&allowed_cpus()[..1]);
        let resident = status_bytes("VmRSS");
        block(&HEAP, 50 * MIB).free(&HEAP);
        let shorter = block(&HEAP, 42 * MIB);
        assert_eq!((kept(), stats().sum(|node| node.huge_bytes)), (0, 42 * MIB as u64));
        assert!(status_bytes("VmRSS") < resident + 45 * MIB as u64);
        shorter.free(&HEAP);
    });
}

#[test]
fn what_is_beyond_the_bound_goes_back_at_once() {
    const SPARE: NumaSlab = NumaSlab::with_config(Config::new().with_free_cache_bytes(64 * MIB));
    on_heap(SPARE, || {
        let resident = status_bytes("VmRSS");
        block(&SPARE, 40 * MIB).free(&SPARE);
        assert_eq!(kept(), 0, "8 MiB may be kept");
        assert!(status_bytes("VmRSS") < resident + 20 * MIB as u64);
        let blocks: Vec<Block> = (0..6).map(|_| block(&SPARE, 4 * MIB)).collect();
        blocks.into_iter().for_each(|block| block.free(&SPARE));
        assert_eq!(kept(), 8 * MIB);
    });
}

#[test]
fn what_is_kept_leaves_for_its_age_or_as_surplus() {
    const QUICK: NumaSlab = NumaSlab::with_config(Config::new().with_free_cache_age_ms(100));
    on_heap(QUICK, || {
        block(&QUICK, 6 * MIB).free(&QUICK);
        assert_eq!(kept(), 6 * MIB);
        let start = Instant::now();
        while kept() > 0 {
            maintain();
            assert!(start.elapsed() < Duration::from_secs(60), "{}", stats());
        }
    });
    in_both_modes(|| {
        // More than the slack of a heap of which nothing is in use.
        block(&HEAP, 60 * MIB).free(&HEAP);
        let start = Instant::now();
        while kept() > 0 {
            maintain();
            assert!(start.elapsed() < Duration::from_secs(60), "{}", stats());
        }
    });
}

#[test]
fn nothing_is_kept_that_the_limit_has_no_room_for() {
    const TIGHT: NumaSlab =
        NumaSlab::with_config(Config::new().with_limit_hard(numaslab::config::Limit::Bytes(64 << 20)));
    on_heap(TIGHT, || {
        block(&TIGHT, 40 * MIB).free(&TIGHT);
        assert_eq!(kept(), 40 * MIB);
        block(&TIGHT, 60 * MIB).free(&TIGHT);
        // Small ones find room too.
        let blocks: Vec<Block> = (0..55).map(|_| block(&TIGHT, MIB)).collect();
        blocks.into_iter().for_each(|block| block.free(&TIGHT));
    });
}

#[test]
fn many_threads_never_get_the_same_block() {
    in_both_modes(|| {
        run(8, |number| {
            let mut rng = Rng::new(number as u64);
            let mut live: Vec<Block> = Vec::new();
            for step in 0..400 {
                if live.len() > 3 {
                    // Verifies what was written to it.
                    live.swap_remove(rng.below(live.len())).free(&HEAP);
                }
                let stamp = (number * 1000 + step) as u64;
                let size = MIB + 1 + rng.below(6 * MIB);
                live.push(Block::new(&HEAP, layout(size), stamp).expect("memory"));
            }
            live.into_iter().for_each(|block| block.free(&HEAP));
        });
        assert_eq!(stats().in_use_bytes(), 0, "{}", stats());
    });
}

/// A block of 11 SuperSlabs that has been moved as it grew, and whose pages are of several mappings therefore;
/// and what is in the way of its growth.
fn patched() -> (Block, Vec<Block>) {
    let mut walls = Vec::new();
    let mut patched = block(&HEAP, 4 * MIB);
    for superslabs in [4, 7, 11] {
        walls.push(block(&HEAP, 2 * MIB));
        assert!(patched.resize(&HEAP, superslabs * 2 * MIB));
    }
    walls.push(block(&HEAP, 2 * MIB));
    (patched, walls)
}

#[test]
fn a_block_of_which_the_kernel_moves_a_part_only_keeps_its_contents() {
    in_both_modes(|| {
        let (mut patched, _walls) = patched();
        let Some(used_up) = use_up_mappings() else { return skip("vm.max_map_count is too large") };
        // One more than the kernel can give in each: so it fails at every step of the move once.
        for spare in 0..16 {
            let child = fork(|| {
                used_up.spare(spare);
                // Checks the contents, also if there is no memory.
                let resized = patched.resize(&HEAP, 34 * MIB);
                i32::from(resized)
            });
            child.exits_with(&[0, 1], format!("{spare} to spare"));
        }
    });
}

#[test]
fn blocks_that_were_moved_leave_no_mappings_behind() {
    let count = || std::fs::read_to_string("/proc/self/maps").expect("/proc").lines().count();
    in_both_modes(|| {
        block(&HEAP, 2 * MIB).free(&HEAP);
        let (before, mut rng) = (count(), Rng::new(3));
        let mut live: Vec<Block> = Vec::new();
        for _ in 0..600 {
            if live.len() < 40 {
                live.push(block(&HEAP, MIB + 1 + rng.below(4 * MIB)));
            }
            let at = rng.below(live.len());
            let size = live[at].size();
            if size > 20 * MIB {
                live.swap_remove(at).free(&HEAP);
            } else {
                assert!(live[at].resize(&HEAP, size + size / 2));
            }
        }
        let most = count();
        live.into_iter().for_each(|block| block.free(&HEAP));
        trim();
        assert!(most > before + 40, "blocks have been moved: {most} mappings, {before} before");
        assert!(count() < before + 20, "{} mappings, {before} before", count());
    });
}

#[test]
fn where_the_kernel_moves_no_pages_no_addresses_are_lost() {
    const NARROW: NumaSlab = NumaSlab::with_config(Config::new().with_node_reserve_bytes(1 << 30));
    on_heap(NARROW, || {
        pin(&allowed_cpus()[..1]);
        forbid(libc::SYS_mremap, libc::EPERM);
        for _ in 0..30 {
            let mut moved = block(&NARROW, 20 * MIB);
            let (at, wall) = (moved.address(), block(&NARROW, 2 * MIB));
            assert!(moved.resize(&NARROW, 24 * MIB));
            assert_ne!(moved.address(), at);
            [moved, wall].into_iter().for_each(|block| block.free(&NARROW));
        }
        // SAFETY: a block of the test's own.
        unsafe {
            let most = NARROW.alloc(layout(800 * MIB));
            assert_eq!((most.is_null(), stats().mapping_bytes), (false, 0), "no room in the range");
            NARROW.dealloc(most, layout(800 * MIB));
        }
    });
}

#[test]
fn a_block_that_lies_in_no_range_stays_where_it_is_if_it_needs_no_more_of_it() {
    const NARROW: NumaSlab = NumaSlab::with_config(Config::new().with_node_reserve_bytes(1 << 30));
    on_heap(NARROW, || {
        let (small, large) = (layout(1100 * MIB + 5), 1101 * MIB);
        let resident = status_bytes("VmRSS");
        // SAFETY: a block of the test's own, given back as it was resized.
        unsafe {
            let at = NARROW.alloc(small);
            assert!(!at.is_null());
            assert!(stats().mapping_bytes > 0);
            assert_eq!(NARROW.realloc(at, small, large), at);
            assert!(status_bytes("VmRSS") < resident + 100 * MIB as u64, "it was copied");
            NARROW.dealloc(at, layout(large));
        }
    });
}
