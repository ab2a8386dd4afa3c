//! Counts what larson makes the machine do beside the work itself: which cache lines travel between CPUs and
//! between nodes, and how often a compare-and-exchange fails, for each operation. See docs/cost-model.md.
//!
//! ```text
//! cargo run --release --features line-counts --example cost_model -- [PASSES] [BLOCKS]
//! ```
//!
//! As in larson, each thread replaces random blocks of its lane, then a new thread takes the lane over. The
//! new one runs where the old one did (`stay`), on the next CPU (`next`), or on the next node (`far`).
//! Figures are for 1,000 operations, an operation being one `alloc` or `dealloc`, after a warm-up.

use numaslab::placement::node_of;
use numaslab::telemetry::Event;
use numaslab::telemetry::line_counts::{Lines, MOST_CPUS, lines, set_counting, set_nodes};
use numaslab::{NumaSlab, stats};
use numaslab_numa::{CpuId, NodeId, Placement, Topology, pin_current};
use std::alloc::{GlobalAlloc, Layout};
use std::error::Error;
use std::ptr::NonNull;
use std::thread;

/// Not the global allocator: nothing but the loop below uses it.
static HEAP: NumaSlab = NumaSlab::new();

/// Threads that work on a lane one after the other, before and while counting.
const WARM_UP: usize = 4;
const COUNTED: usize = 6;

/// Where the next thread of a lane runs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Stay,
    Next,
    Far,
}

/// What is run.
#[derive(Clone, Copy)]
struct Load {
    passes: usize,
    blocks: usize,
}

/// A lane's blocks, each with its size, and its random numbers.
struct Lane {
    blocks: Vec<(NonNull<u8>, usize)>,
    random: u64,
    /// Blocks that were freed on another node than their home.
    foreign: u64,
}

// SAFETY: blocks belong to their lane, and any thread may free them.
unsafe impl Send for Lane {}

impl Lane {
    fn new(number: u64, blocks: usize) -> Self {
        let mut lane = Self { blocks: Vec::new(), random: number * 7919 + 1, foreign: 0 };
        for _ in 0..blocks {
            let size = lane.size();
            lane.blocks.push((allocate(size), size));
        }
        lane
    }

    /// SplitMix64.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ self.random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ mixed >> 27
    }

    /// 8 to 1024 bytes.
    fn size(&mut self) -> usize {
        8 + (self.draw() >> 32) as usize % 1017
    }

    fn work(&mut self, load: Load) {
        let here = HEAP.current_node().ok();
        for _ in 0..load.passes * load.blocks {
            let (at, size) = ((self.draw() >> 32) as usize % load.blocks, self.size());
            let (block, old) = self.blocks[at];
            self.foreign += u64::from(node_of(block.as_ptr()) != here);
            release(block, old);
            self.blocks[at] = (allocate(size), size);
        }
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a layout")
}

fn allocate(size: usize) -> NonNull<u8> {
    // SAFETY: the size is not 0.
    NonNull::new(unsafe { HEAP.alloc(layout(size)) }).expect("memory")
}

fn release(block: NonNull<u8>, size: usize) {
    // SAFETY: allocated with this layout, and given up here.
    unsafe { HEAP.dealloc(block.as_ptr(), layout(size)) };
}

/// One thread for each lane: they work at the same time.
fn generation(lanes: Vec<Lane>, load: Load, place: impl Fn(usize) -> CpuId) -> Vec<Lane> {
    let threads: Vec<_> = lanes
        .into_iter()
        .enumerate()
        .map(|(number, mut lane)| {
            let cpu = place(number);
            thread::spawn(move || {
                pin_current(cpu).expect("an allowed CPU").keep();
                lane.work(load);
                lane
            })
        })
        .collect();
    threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
}

/// What was counted up to some moment.
struct Counts {
    foreign: u64,
    lines: Lines,
    misses: u64,
    outboxes: u64,
}

impl Counts {
    fn now(lanes: &[Lane]) -> Self {
        set_counting(false);
        let (lines, stats) = (lines(), stats());
        let misses = stats.event(Event::PopMiss) + stats.event(Event::PushMiss);
        set_counting(true);
        let foreign = lanes.iter().map(|lane| lane.foreign).sum();
        Self { foreign, lines, misses, outboxes: stats.event(Event::FlushOutbox) }
    }
}

/// A run with a lane for each of `cpus`, which are sorted by node, `each` on every one.
fn run(way: Way, cpus: &[CpuId], each: usize, load: Load) {
    let nodes = cpus.len() / each;
    let place = |generation: usize, lane: usize| match way {
        Way::Stay => cpus[lane],
        Way::Next => cpus[(lane + generation) % cpus.len()],
        Way::Far => cpus[(lane + generation * each) % cpus.len()],
    };
    let mut lanes: Vec<Lane> = (0..cpus.len()).map(|n| Lane::new(n as u64, load.blocks)).collect();
    for step in 0..WARM_UP {
        lanes = generation(lanes, load, |lane| place(step, lane));
    }
    let before = Counts::now(&lanes);
    for step in WARM_UP..WARM_UP + COUNTED {
        lanes = generation(lanes, load, |lane| place(step, lane));
    }
    let after = Counts::now(&lanes);
    let operations = 2 * COUNTED * load.passes * load.blocks * cpus.len();
    let each_1000 = |count: &dyn Fn(&Counts) -> u64| {
        let value = 1000.0 * (count(&after) - count(&before)) as f64 / operations as f64;
        format!("{value:>9.3}")
    };
    println!(
        "{:>5} {nodes:>5} {:>4} {} {} {} {} {} {} {} {} {} {}",
        format!("{way:?}").to_lowercase(),
        cpus.len(),
        each_1000(&|counts| counts.foreign),
        each_1000(&|counts| counts.misses),
        each_1000(&|counts| counts.outboxes),
        each_1000(&|counts| counts.lines.updates),
        each_1000(&|counts| counts.lines.written_near),
        each_1000(&|counts| counts.lines.written_far),
        each_1000(&|counts| counts.lines.read_near),
        each_1000(&|counts| counts.lines.read_far),
        each_1000(&|counts| counts.lines.cold),
        each_1000(&|counts| counts.lines.failed_updates),
    );
    for (block, size) in lanes.into_iter().flat_map(|lane| lane.blocks) {
        release(block, size);
    }
}

/// The first CPUs of each node, nodes in the order of a compact plan.
fn cpus_by_node(topology: &Topology) -> Result<Vec<Vec<CpuId>>, numaslab_numa::Error> {
    let plan = Placement::PerNode(1).plan(topology)?;
    let nodes: Vec<NodeId> = plan.slots().iter().map(|slot| slot.node).collect();
    let usable =
        |node: &NodeId| Ok(topology.usable_cpus(*node)?.iter().filter(|c| c.0 < MOST_CPUS as u32).collect());
    nodes.iter().map(usable).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse::<usize>());
    let passes = numbers.next().unwrap_or(Ok(20))?;
    let load = Load { passes, blocks: numbers.next().unwrap_or(Ok(1000))? };
    let topology = Topology::discover()?.without_quota();
    let node_of = |cpu| topology.cpu(CpuId(cpu)).map_or(0, |cpu| cpu.node.0 as u8);
    set_nodes(&(0..MOST_CPUS as u32).map(node_of).collect::<Vec<_>>());
    let by_node = cpus_by_node(&topology)?;
    println!("{} blocks of 8-1024 B a lane, {passes} passes a thread; for 1,000 operations:", load.blocks);
    println!(
        "  way nodes cpus   foreign    misses  outboxes   updates    w-near     w-far    r-near     r-far      cold    failed"
    );
    let doubled =
        |most: usize| std::iter::successors(Some(1), |n| Some(2 * n)).take_while(move |n| *n <= most);
    for way in [Way::Stay, Way::Next, Way::Far] {
        for nodes in doubled(by_node.len()).filter(|nodes| way != Way::Far || *nodes > 1) {
            let least = by_node[..nodes].iter().map(Vec::len).min().unwrap_or(0);
            for each in doubled(least) {
                let cpus: Vec<CpuId> =
                    by_node[..nodes].iter().flat_map(|cpus| cpus[..each].to_vec()).collect();
                run(way, &cpus, each, load);
            }
        }
    }
    Ok(())
}
