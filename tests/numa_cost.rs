//! What many CPUs and nodes cost, in numbers that carry over from an emulated machine to a real one: lost
//! exchanges and system calls for each operation.

mod support;

use numaslab::telemetry::Event;
use numaslab::{NumaSlab, Stats, stats};
use std::alloc::{GlobalAlloc, Layout};
use std::sync::{Barrier, Mutex};
use support::child;
use support::mode::start;
use support::nodes;
use support::rng::Rng;
use support::threads::{pin, run};

static HEAP: NumaSlab = NumaSlab::new();

/// Live blocks of each thread.
const SLOTS: usize = 1000;
/// Operations of each thread in a round; an operation is a block given back and another one taken.
const OPERATIONS: usize = 10_000;
/// Rounds before it counts.
const WARM: usize = 10;

struct Slot(*mut u8, Layout);

// SAFETY: a block has one owner.
unsafe impl Send for Slot {}

impl Slot {
    fn take(rng: &mut Rng) -> Self {
        let layout = Layout::from_size_align(10 + rng.below(500), 8).expect("a layout");
        // SAFETY: the layout has a size.
        let block = unsafe { HEAP.alloc(layout) };
        assert!(!block.is_null());
        Self(block, layout)
    }

    fn give(self) {
        // SAFETY: allocated with this layout, and given up here.
        unsafe { HEAP.dealloc(self.0, self.1) };
    }
}

/// Who works on a thread's blocks in the next round.
#[derive(Clone, Copy)]
enum Next {
    /// It does.
    Itself,
    /// A thread `n` places further does.
    Other(usize),
}

/// Larson's benchmark with a pinned thread on each CPU; the statistics before and after `rounds` rounds, after the
/// warm ones, and the operations in them.
fn larson(cpus: &[usize], rounds: usize, next: Next) -> (Stats, Stats, u64) {
    let count = cpus.len();
    let (barrier, snapshots) = (Barrier::new(count), Mutex::new(Vec::new()));
    let hand_over: Vec<Mutex<Vec<Slot>>> = (0..count).map(|_| Mutex::new(Vec::new())).collect();
    run(count, |number| {
        pin(&[cpus[number]]);
        let mut rng = Rng::new(number as u64);
        *hand_over[number].lock().unwrap() = (0..SLOTS).map(|_| Slot::take(&mut rng)).collect();
        for round in 0..WARM + rounds {
            barrier.wait();
            if number == 0 && (round == WARM || round == 0) {
                snapshots.lock().unwrap().push(stats());
            }
            barrier.wait();
            let from = match next {
                Next::Itself => number,
                Next::Other(places) => (number + round * places) % count,
            };
            let mut slots = std::mem::take(&mut *hand_over[from].lock().unwrap());
            for _ in 0..OPERATIONS {
                let slot = rng.below(SLOTS);
                slots.swap_remove(slot).give();
                slots.push(Slot::take(&mut rng));
            }
            *hand_over[from].lock().unwrap() = slots;
        }
        barrier.wait();
    });
    let after = stats();
    hand_over.into_iter().for_each(|slots| slots.into_inner().unwrap().into_iter().for_each(Slot::give));
    let before = snapshots.into_inner().unwrap().pop().expect("two snapshots");
    (before, after, (count * rounds * OPERATIONS) as u64)
}

/// Rounds: a few, or as many as the variable says.
fn rounds() -> usize {
    std::env::var("NUMA_COST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(10)
}

/// Measures and tells; returns lost exchanges and system calls, and the operations.
fn measure(next: Next) -> Option<(u64, u64, u64)> {
    let nodes = nodes::several()?;
    let cpus: Vec<usize> = nodes.into_iter().flat_map(|node| node.cpus).collect();
    start(&HEAP);
    let (before, after, operations) = larson(&cpus, rounds(), next);
    let lost = after.lost_exchanges - before.lost_exchanges;
    let calls = after.calls.since(&before.calls);
    let events = |event| after.event(event) - before.event(event);
    child::measured(format_args!(
        "{} CPUs, {operations} operations: {lost} lost exchanges, {} system calls, {} allocations and {} frees \
         missed, {} blocks freed at home and {} elsewhere left the caches",
        cpus.len(),
        calls.total(),
        events(Event::PopMiss),
        events(Event::PushMiss),
        events(Event::BlocksLocal),
        events(Event::BlocksReturned),
    ));
    Some((lost, calls.total(), operations))
}

#[test]
fn hardly_an_exchange_is_lost_when_blocks_go_from_node_to_node() {
    child::succeed(
        "larson",
        |_| {},
        || {
            let Some((lost, _, operations)) = measure(Next::Other(3)) else { return };
            assert!(lost * 1000 < operations, "{lost} of {operations}\n{}", stats());
        },
    );
}

#[test]
fn a_program_in_its_stride_does_not_call_the_kernel() {
    child::succeed(
        "stride",
        |_| {},
        || {
            let Some((_, calls, operations)) = measure(Next::Itself) else { return };
            // One now and then is for slabs that were never needed before.
            assert!(calls <= 1 + operations / 1_000_000, "{calls} calls in {operations}\n{}", stats());
        },
    );
}
