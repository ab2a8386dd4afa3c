//! Huge blocks: a few that were freed are kept for the next request, within bounds, and no longer than they may.

mod support;

use numaslab::config::Config;
use numaslab::{NumaSlab, maintain, stats, trim};
use std::alloc::Layout;
use std::time::{Duration, Instant};
use support::block::Block;
use support::confine::status_bytes;
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
