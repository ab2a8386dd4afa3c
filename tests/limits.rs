//! Memory runs out: at the configured limit, or because the kernel has one. A request is then answered
//! with null, nothing is lost, smaller requests go on while there is room, and what is given back makes
//! room again.

mod support;

use numaslab::config::{Config, Limit};
use numaslab::{NumaSlab, stats, trim};
use std::alloc::Layout;
use support::accounts::balance;
use support::block::Block;
use support::child::fork;
use support::confine::{limit, status_bytes};
use support::effort::{one_in, scale};
use support::mode::{before_start, on_heap, start};
use support::rng::Rng;
use support::threads;

const MIB: usize = 1 << 20;
const LIMIT: usize = 24 * MIB;
static HEAP: NumaSlab = NumaSlab::with_config(Config::new().with_limit_hard(Limit::Bytes(LIMIT)));

fn block(size: usize) -> Option<Block> {
    Block::new(&HEAP, Layout::from_size_align(size, 8).expect("a layout"), size as u64)
}

/// Allocates until there is no more.
fn fill(size: usize) -> Vec<Block> {
    std::iter::from_fn(|| block(size)).take(10 * LIMIT / size.max(8)).collect()
}

fn free(blocks: Vec<Block>) {
    blocks.into_iter().for_each(|block| block.free(&HEAP));
}

/// All kinds of sizes.
const SIZES: [usize; 8] = [64, 200, 1024, 9000, 32 << 10, 300_000, MIB, 3 * MIB];

#[test]
fn the_limit_is_reached_and_not_passed_with_blocks_of_every_size() {
    on_heap(HEAP, || {
        for size in SIZES {
            balance(|| {
                let blocks = fill(size);
                let bytes = blocks.len() * size;
                assert!((LIMIT / 2..=LIMIT).contains(&bytes), "{bytes} bytes of {size}");
                assert!(stats().mapped_bytes() <= LIMIT as u64);
                free(blocks);
            });
        }
    });
}

#[test]
fn one_block_given_back_makes_room_for_one() {
    on_heap(HEAP, || {
        for size in SIZES {
            balance(|| {
                let mut blocks = fill(size);
                for _ in 0..scale(100) {
                    let freed = blocks.swap_remove(blocks.len() / 2);
                    freed.free(&HEAP);
                    blocks.push(block(size).expect("the room of the one given back"));
                }
                free(blocks);
            });
        }
    });
}

#[test]
fn what_was_given_back_in_one_size_makes_room_for_every_other() {
    on_heap(HEAP, || {
        balance(|| {
            for (row, first) in SIZES.into_iter().enumerate() {
                // On a slow machine some pairs, in which each size comes first and last as often.
                for then in SIZES.into_iter().skip(row % one_in()).step_by(one_in()) {
                    free(fill(first));
                    let blocks = fill(then);
                    let bytes = blocks.len() * then;
                    assert!(bytes >= LIMIT / 2, "{bytes} bytes of {then} after {first}");
                    free(blocks);
                }
            }
        });
    });
}

#[test]
fn smaller_requests_go_on_where_a_larger_one_has_failed() {
    on_heap(HEAP, || {
        balance(|| {
            assert!(block(LIMIT + 1).is_none());
            let most = block(LIMIT - 10 * MIB).expect("within the limit");
            assert!(block(LIMIT / 2).is_none());
            let smaller = SIZES.map(|size| block(size).expect("still room"));
            free(Vec::from(smaller));
            most.free(&HEAP);
        });
    });
}

#[test]
fn a_block_that_can_not_grow_stays_as_it_is() {
    on_heap(HEAP, || {
        balance(|| {
            for size in SIZES {
                let mut growing = block(size).expect("memory");
                assert!(!growing.resize(&HEAP, LIMIT + MIB));
                let filled = fill(MIB);
                assert!(!growing.resize(&HEAP, LIMIT / 2));
                free(filled);
                growing.free(&HEAP);
            }
        });
    });
}

#[test]
fn many_threads_at_the_limit_lose_nothing() {
    on_heap(HEAP, || {
        balance(|| {
            let refused: usize = threads::run(16, |number| {
                let (mut rng, mut refused, mut blocks) = (Rng::new(number as u64), 0, Vec::new());
                for _ in 0..scale(1500) {
                    match block(rng.size(2 * MIB)) {
                        Some(block) => blocks.push(block),
                        None => {
                            refused += 1;
                            blocks.drain(blocks.len() / 2..).for_each(|block: Block| block.free(&HEAP));
                        }
                    }
                }
                free(blocks);
                refused
            })
            .into_iter()
            .sum();
            assert!(refused > 0);
            assert!(stats().mapped_bytes() <= LIMIT as u64);
        });
    });
}

static UNLIMITED: NumaSlab = NumaSlab::new();

/// About how many nodes the heap is going to have.
fn nodes() -> usize {
    let nodes = std::fs::read_dir("/sys/devices/system/node").into_iter().flatten().flatten();
    let names = nodes.filter_map(|entry| entry.file_name().into_string().ok());
    let is_node = |name: &String| name.strip_prefix("node").is_some_and(|id| id.parse::<u32>().is_ok());
    names.filter(is_node).count().max(1)
}

/// Runs requests in a fork whose `resource` is limited to `room` bytes more than it uses; then lifts the
/// limit again, and everything must work. `enough`: whether the heap is to start within the limit.
fn under_limit(resource: libc::__rlimit_resource_t, used: &str, room: usize, enough: bool) {
    let child = fork(|| {
        limit(resource, status_bytes(used) + room as u64);
        let layout = |size| Layout::from_size_align(size, 8).expect("a layout");
        let request = |size| Block::new(&UNLIMITED, layout(size), 1);
        assert_eq!(request(100).map(|block| block.free(&UNLIMITED)).is_some(), enough);
        let mut blocks: Vec<Block> = (0..20).flat_map(|_| SIZES).filter_map(request).collect();
        assert!(request(room + MIB).is_none());
        blocks.extend(SIZES.into_iter().filter_map(request));
        for block in blocks.iter_mut().take(40) {
            let _ = block.resize(&UNLIMITED, 5 * MIB);
        }
        limit(resource, u64::MAX);
        blocks.extend(SIZES.map(|size| request(size).expect("memory again")));
        blocks.into_iter().for_each(|block| block.free(&UNLIMITED));
        trim();
        assert_eq!(stats().in_use_bytes(), 0);
        0
    });
    child.exits_with(&[0], format_args!("{room} bytes of {used}"));
}

#[test]
fn a_limit_on_address_space_leaves_a_smaller_heap_or_none() {
    before_start(|_| {
        for (room, enough) in [(0, false), (64 * MIB, false), (1600 * MIB, true), (5000 * MIB, true)] {
            under_limit(libc::RLIMIT_AS, "VmSize", room * nodes(), enough);
        }
    });
}

#[test]
fn a_limit_on_data_leaves_a_smaller_heap_or_none() {
    before_start(|_| {
        for (room, enough) in [(0, false), (48 * MIB, true), (200 * MIB, true)] {
            under_limit(libc::RLIMIT_DATA, "VmData", room * nodes(), enough);
        }
    });
}

#[test]
fn a_limit_set_later_is_met_by_a_running_heap() {
    before_start(|mode| {
        start(&UNLIMITED);
        if mode.is_on() {
            under_limit(libc::RLIMIT_DATA, "VmData", 0, true);
            under_limit(libc::RLIMIT_DATA, "VmData", 20 * MIB, true);
        }
    });
}

#[test]
fn a_running_heap_needs_no_more_address_space() {
    before_start(|mode| {
        start(&UNLIMITED);
        if mode.is_on() {
            limit(libc::RLIMIT_AS, status_bytes("VmSize"));
            balance(|| {
                let blocks = SIZES.map(|size| {
                    let layout = Layout::from_size_align(size, 8).expect("a layout");
                    Block::new(&UNLIMITED, layout, 1).expect("memory")
                });
                blocks.into_iter().for_each(|block| block.free(&UNLIMITED));
            });
        }
    });
}

#[test]
fn a_huge_block_across_half_the_range_leaves_room_for_small_ones() {
    let heap = NumaSlab::with_config(Config::new().with_node_reserve_bytes(1 << 30));
    on_heap(heap, || {
        balance(|| {
            let mut blocks: Vec<Block> = [700 * MIB].into_iter().filter_map(block).collect();
            assert_eq!(blocks.len(), 1);
            for size in [64, 9000, 300_000] {
                let some: Vec<Block> = (0..8 * MIB / size).map_while(|_| block(size)).collect();
                assert_eq!(some.len(), 8 * MIB / size, "blocks of {size}");
                blocks.extend(some);
            }
            free(blocks);
        });
    });
}
