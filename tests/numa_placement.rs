//! On a machine with several nodes: every page lies where it should, page by page as the kernel says.

mod support;

use numaslab::config::{Config, NumaMode};
use numaslab::telemetry::{CacheMode, PlacementMode, Purpose, residence};
use numaslab::{NumaSlab, stats};
use std::alloc::Layout;
use std::sync::{Barrier, Mutex};
use support::block::Block;
use support::child;
use support::mode::start;
use support::nodes::{self, Node, Tally};
use support::owned::any_layout;
use support::rng::Rng;
use support::threads::{pin, run};

const KIB: usize = 1 << 10;
/// Operations of each thread.
const OPERATIONS: usize = 2000;
/// Live blocks of each thread.
const SLOTS: usize = 64;

/// A block, and the node on which it was asked for.
struct Local {
    block: Block,
    node: u16,
}

/// Blocks of a thread.
type Slots = Vec<Option<Local>>;

fn tally(slots: &Slots) -> Tally {
    let mut tally = Tally::default();
    for local in slots.iter().flatten() {
        tally.add(local.block.address(), local.block.size(), local.node);
    }
    tally
}

fn free(heap: &NumaSlab, slots: Slots) {
    slots.into_iter().flatten().for_each(|local| local.block.free(heap));
}

/// One block of each kind: Tiny, Mid, Large, Huge.
fn one_of_each(heap: &NumaSlab, node: u16) -> Slots {
    let block = |size: usize| {
        let layout = Layout::from_size_align(size, 8).expect("a layout");
        Some(Local { block: Block::new(heap, layout, size as u64).expect("memory"), node })
    };
    [8, 100, 1000, 2 * KIB, 20 * KIB, 100 * KIB, 1000 * KIB, 1100 * KIB, 3000 * KIB].map(block).into()
}

/// Frees and asks for blocks of all sizes in random order, in the calling thread, which is on `node`.
fn churn(heap: &NumaSlab, rng: &mut Rng, slots: &mut Slots, node: u16) {
    slots.resize_with(SLOTS.max(slots.len()), || None);
    for _ in 0..OPERATIONS {
        let (slot, layout, stamp) = (rng.below(SLOTS), any_layout(rng), rng.next());
        if let Some(old) = slots[slot].take() {
            old.block.free(heap);
        } else {
            let block = Block::new(heap, layout, stamp).expect("memory");
            slots[slot] = Some(Local { block, node });
        }
    }
}

/// A thread on each CPU, pinned, works for itself.
fn mixed(heap: &NumaSlab, nodes: &[Node]) -> Tally {
    let homes = nodes::homes(nodes);
    let tallies = run(homes.len(), |number| {
        let (cpu, node) = homes[number];
        pin(&[cpu]);
        let mut slots = one_of_each(heap, node);
        churn(heap, &mut Rng::new(number as u64), &mut slots, node);
        let tally = tally(&slots);
        free(heap, slots);
        tally
    });
    tallies.into_iter().fold(Tally::default(), Tally::and)
}

/// As Larson's benchmark: a thread on each CPU, pinned; after each round it takes over another one's
/// blocks, on another node, and frees those.
fn larson(heap: &NumaSlab, nodes: &[Node]) -> Tally {
    const ROUNDS: usize = 3;
    let homes = nodes::homes(nodes);
    let (barrier, count) = (Barrier::new(homes.len()), homes.len());
    let hand_over: Vec<Mutex<Slots>> = homes.iter().map(|_| Mutex::new(Slots::new())).collect();
    let tallies = run(count, |number| {
        let (cpu, node) = homes[number];
        pin(&[cpu]);
        let (mut rng, mut sum) = (Rng::new(number as u64 + 99), Tally::default());
        for round in 0..ROUNDS {
            let from = (number + round * (1 + count / nodes.len())) % count;
            let mut slots = std::mem::take(&mut *hand_over[from].lock().unwrap());
            barrier.wait();
            churn(heap, &mut rng, &mut slots, node);
            sum = sum.and(tally(&slots));
            *hand_over[number].lock().unwrap() = slots;
            barrier.wait();
        }
        sum
    });
    hand_over.into_iter().for_each(|slots| free(heap, slots.into_inner().unwrap()));
    tallies.into_iter().fold(Tally::default(), Tally::and)
}

/// Threads that go from node to node as they work.
fn wandering(heap: &NumaSlab, nodes: &[Node]) -> Vec<Slots> {
    let homes = nodes::homes(nodes);
    run(homes.len().min(8), |number| {
        let (mut rng, mut slots) = (Rng::new(number as u64 + 7), Slots::new());
        for _ in 0..6 {
            let (cpu, node) = homes[rng.below(homes.len())];
            pin(&[cpu]);
            free(heap, slots.split_off(slots.len().min(SLOTS)));
            slots.extend(one_of_each(heap, node));
            churn(heap, &mut rng, &mut slots, node);
        }
        slots
    })
}

/// Demands that the allocator's own memory lies where it should, and says what does not.
fn everything_is_home(purposes: &[Purpose]) {
    let residence = residence().expect("the kernel answers");
    for purpose in purposes {
        let pages = residence.of(*purpose);
        let per_thread = matches!(stats().cache_mode, Some(CacheMode::PerThread(_)));
        assert!(pages.home > 0 || (per_thread && *purpose == Purpose::Regions), "{purpose:?}: no pages");
        let of_nodes = residence.node.map(|node| node[*purpose as usize]);
        assert_eq!(
            pages.away,
            0,
            "{purpose:?}: {:?}\n{}\n{}",
            &of_nodes[..stats().nodes],
            nodes::free_memory(),
            stats()
        );
    }
}

const ALL: [Purpose; 4] = [Purpose::Blocks, Purpose::Tables, Purpose::Regions, Purpose::Pools];

/// The heap as configured by default. Static, since threads use it.
static BOUND: NumaSlab = NumaSlab::new();
static FIRST_TOUCH: NumaSlab = NumaSlab::with_config(Config::new().with_numa(NumaMode::FirstTouch));

/// Starts the heap, and demands that it places memory as `wanted`.
fn started(heap: &NumaSlab, wanted: PlacementMode) {
    start(heap);
    assert_eq!(stats().placement, wanted);
}

#[test]
fn pinned_threads_get_memory_of_their_own_node() {
    child::succeed(
        "bound",
        |_| {},
        || {
            let Some(nodes) = nodes::several() else { return };
            started(&BOUND, PlacementMode::Bound);
            for (name, work) in [("mixed", mixed as fn(&_, &_) -> Tally), ("larson", larson)] {
                let tally = work(&BOUND, &nodes);
                child::measured(format_args!("{name}: {tally:?}"));
                assert_eq!(tally.wrong, 0, "{name}: {tally:?}\n{}", stats());
                everything_is_home(&ALL);
            }
        },
    );
}

#[test]
fn where_binding_is_refused_the_first_touch_does_as_well() {
    child::succeed(
        "first-touch",
        |_| {},
        || {
            let Some(nodes) = nodes::several() else { return };
            started(&FIRST_TOUCH, PlacementMode::FirstTouch(None));
            for (name, work) in [("mixed", mixed as fn(&_, &_) -> Tally), ("larson", larson)] {
                let tally = work(&FIRST_TOUCH, &nodes);
                let all = residence().expect("the kernel answers");
                child::measured(format_args!("{name}: {tally:?}, {:?}", &all.node[..nodes.len()]));
                assert!(tally.share() >= 0.99, "{name}: {tally:?}\n{}", stats());
                everything_is_home(&[Purpose::Regions]);
            }
        },
    );
}

#[test]
fn blocks_of_wandering_threads_lie_on_their_home_nodes() {
    child::succeed(
        "bound",
        |_| {},
        || {
            let Some(nodes) = nodes::several() else { return };
            started(&BOUND, PlacementMode::Bound);
            let slots = wandering(&BOUND, &nodes);
            everything_is_home(&ALL);
            slots.into_iter().for_each(|slots| free(&BOUND, slots));
            everything_is_home(&ALL);
        },
    );
}

#[test]
fn first_touch_follows_wandering_threads() {
    child::succeed(
        "first-touch",
        |_| {},
        || {
            let Some(nodes) = nodes::several() else { return };
            started(&FIRST_TOUCH, PlacementMode::FirstTouch(None));
            let slots = wandering(&FIRST_TOUCH, &nodes);
            let pages = residence().expect("the kernel answers").of(Purpose::Blocks);
            child::measured(format_args!("{pages:?}"));
            assert!(pages.away * 100 <= pages.home, "{pages:?}\n{}\n{}", nodes::free_memory(), stats());
            slots.into_iter().for_each(|slots| free(&FIRST_TOUCH, slots));
        },
    );
}
