//! On a machine with several nodes: blocks that are freed on another node than their own go home.

mod support;

use numaslab::telemetry::{CacheMode, Strays, strays};
use numaslab::{NumaSlab, send_home, stats, trim};
use std::alloc::Layout;
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};
use support::accounts::balance;
use support::block::Block;
use support::child;
use support::mode::start;
use support::nodes::{self, Node};
use support::owned::any_layout;
use support::rng::Rng;
use support::threads::{pin, run};

static HEAP: NumaSlab = NumaSlab::new();

/// The nodes, with the heap started.
fn machine() -> Option<Vec<Node>> {
    let nodes = nodes::several()?;
    start(&HEAP);
    assert_eq!(stats().nodes, nodes.len());
    Some(nodes)
}

fn block(size: usize) -> Block {
    Block::new(&HEAP, Layout::from_size_align(size, 8).expect("a layout"), size as u64).expect("memory")
}

fn any_block(rng: &mut Rng) -> Block {
    let (layout, stamp) = (any_layout(rng), rng.next());
    Block::new(&HEAP, layout, stamp).expect("memory")
}

/// A CPU of each node that has any, in the order of the nodes.
fn one_cpu_each(nodes: &[Node]) -> Vec<usize> {
    nodes.iter().filter_map(|node| node.cpus.first().copied()).collect()
}

/// A thread on each CPU frees what a thread on another node has allocated, again and again.
fn storm(nodes: &[Node]) {
    const ROUNDS: usize = 4;
    const BLOCKS: usize = 400;
    let homes = nodes::homes(nodes);
    let count = homes.len();
    let (barrier, pools) = (Barrier::new(count), homes.iter().map(|_| Mutex::new(Vec::new())));
    let pools: Vec<Mutex<Vec<Block>>> = pools.collect();
    run(count, |number| {
        pin(&[homes[number].0]);
        let mut rng = Rng::new(number as u64);
        for round in 0..ROUNDS {
            let blocks: Vec<Block> = (0..BLOCKS).map(|_| any_block(&mut rng)).collect();
            *pools[number].lock().unwrap() = blocks;
            barrier.wait();
            let other = (number + count / nodes.len() * (1 + round % (nodes.len() - 1))) % count;
            let blocks = std::mem::take(&mut *pools[other].lock().unwrap());
            blocks.into_iter().for_each(|block| block.free(&HEAP));
            barrier.wait();
        }
    });
}

#[test]
fn after_a_storm_and_a_trim_every_free_block_is_at_home() {
    child::succeed(
        "storm",
        |_| {},
        || {
            let Some(nodes) = machine() else { return };
            balance(|| {
                storm(&nodes);
                assert_eq!(strays().settled, 0, "before the trim\n{}", stats());
            });
            trim();
            let after = stats();
            assert_eq!(strays(), Strays::default(), "{after}");
            assert_eq!(after.sum(|node| node.outbox_bytes), 0, "{after}");
            if one_cpu_each(&nodes).len() > 1 {
                assert!(after.sum(|node| node.blocks_returned) > 0, "{after}");
            }
        },
    );
}

#[test]
fn what_waits_is_sent_home_without_emptying_the_caches() {
    child::succeed(
        "send-home",
        |_| {},
        || {
            let Some(nodes) = machine() else { return };
            storm(&nodes);
            let before = strays();
            let sent = send_home();
            let after = stats();
            child::measured(format_args!("{before:?} before, {sent:?}, {:?} after", strays()));
            assert_eq!(strays(), Strays::default(), "{after}");
            assert_eq!(after.sum(|node| node.outbox_bytes), 0, "{after}");
            if matches!(after.cache_mode, Some(CacheMode::PerCpu { .. })) {
                assert_eq!(before.waiting, sent.blocks as u64);
                assert!(after.sum(|node| node.region_bytes) > 0, "{after}");
            }
            trim();
            assert_eq!(stats().in_use_bytes(), 0);
        },
    );
}

/// Works on its own node for so long that its list must run empty and full again and again.
fn work_at_home(seconds: f64) {
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    while Instant::now() < end {
        let blocks: Vec<Block> = (0..3000).map(|n| block(if n % 2 == 0 { 64 } else { 4000 })).collect();
        blocks.into_iter().for_each(|block| block.free(&HEAP));
    }
}

/// Lets a thread on another node allocate a few blocks, which the calling thread then frees.
fn free_foreign_blocks(cpu: usize) {
    let blocks = std::thread::scope(|scope| {
        let allocate = || {
            pin(&[cpu]);
            (0..10).map(|n| block(40 + 100 * n)).collect::<Vec<Block>>()
        };
        scope.spawn(allocate).join().unwrap()
    });
    blocks.into_iter().for_each(|block| block.free(&HEAP));
}

#[test]
fn an_outbox_that_never_runs_full_is_emptied_for_its_age() {
    child::succeed(
        "age",
        |_| {},
        || {
            let Some(nodes) = machine() else { return };
            let &[one, other, ..] = one_cpu_each(&nodes).as_slice() else {
                return child::skip("only one node has CPUs");
            };
            pin(&[one]);
            free_foreign_blocks(other);
            assert_eq!(strays(), Strays { waiting: 10, settled: 0 }, "{}", stats());
            work_at_home(3.0);
            assert_eq!(strays(), Strays::default(), "{}", stats());
        },
    );
}

#[test]
fn the_outboxes_of_an_idle_cpu_are_emptied_by_others() {
    child::succeed(
        "idle",
        |_| {},
        || {
            let Some(nodes) = machine() else { return };
            let &[one, other, ..] = one_cpu_each(&nodes).as_slice() else {
                return child::skip("only one node has CPUs");
            };
            if !matches!(stats().cache_mode, Some(CacheMode::PerCpu { revocable: true, .. })) {
                return child::skip("no regions that can be taken away");
            }
            // Misses take a region away only in processes that have done so before.
            trim();
            pin(&[one]);
            free_foreign_blocks(other);
            assert_eq!(strays().waiting, 10);
            pin(&[other]);
            work_at_home(15.0);
            assert_eq!(strays(), Strays::default(), "{}", stats());
        },
    );
}
