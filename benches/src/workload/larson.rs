//! `larson`: a server whose work moves from thread to thread (Larson and Krishnan, 1998).
//!
//! Each lane is an array of blocks that the main thread fills. A thread replaces random blocks of
//! its lane (free one, allocate another of random size), `blocks` times `rounds`, then starts a
//! *new* thread, hands it the lane and ends. So most blocks are freed by another thread than the
//! one that allocated them, and that thread is usually dead. This goes on for a given time, or for
//! a given number of generations.
//!
//! *Measured:* allocation, frees of other threads' blocks, and how an allocator takes over the
//! caches of threads that end; also the start of a thread per generation, for all the same. *Not
//! measured:* first touch of the initial blocks (filled before the clock starts) and the final
//! clean-up.
//!
//! *Honest because* a replacement does nothing but two draws' worth of arithmetic, one free and one
//! allocation; the lane's array is moved, never copied; the clock runs from the start of the first
//! generation to the end of the last thread. An operation is one call of `alloc` or `dealloc`.
//!
//! With `--pin`, `--nodes` or `--per-node` the threads of all allocators have the same places, and it is also
//! told on which nodes the blocks lie that they hold at the end: see [`super::lanes`]. Then each lane is
//! filled by its first thread, in its place, so that nothing lies elsewhere from the beginning.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::Args;
use serde::{Deserialize, Serialize};

use super::{
    Case, Workload,
    lanes::{Locality, Turns},
};
use crate::{
    block::{Block, Bounds, Contestant},
    machine,
    outcome::{Figures, Metric, figures},
    placement::{self, NodeMap, Pin},
    race::process_cpu_time,
    rng::{Rng, scale},
    sizes::SizeRange,
};

/// How many threads a run started, the first ones included.
const GENERATIONS: Metric = Metric::higher("generations", "threads started").unranked();

/// A thread looks at the stop flag every so many replacements.
const STRIDE: u32 = 256;

/// The command-line options.
#[derive(Args, Clone, Debug)]
pub struct LarsonArgs {
    /// Ranges of block sizes in bytes, KiB or MiB, for example 8-1024,4KiB-32KiB
    #[arg(long = "sizes", value_name = "MIN-MAX", value_delimiter = ',', default_value = "8-1024")]
    ranges: Vec<SizeRange>,

    /// Threads that run at the same time [default: 1, 2, 4 ... up to four times the CPUs]
    #[arg(long, value_name = "N", value_delimiter = ',',
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    threads: Vec<u32>,

    /// How threads are tied to CPUs, for all allocators alike
    #[arg(long, value_name = "HOW")]
    pin: Option<Pin>,

    /// Run on so many nodes, those nearest to each other; a panel for each number
    #[arg(long, value_name = "N", value_delimiter = ',')]
    nodes: Vec<u32>,

    /// Show the throughput on each node too
    #[arg(long)]
    per_node: bool,

    /// Blocks that each thread holds
    #[arg(long, value_name = "N", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    blocks: u32,

    /// Replacements of the whole array before it passes to a new thread
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..))]
    passes: u32,

    /// How long a run takes
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    seconds: f64,

    /// End each lane after so many threads instead of after a time
    #[arg(long, value_name = "N", conflicts_with = "seconds",
          value_parser = clap::value_parser!(u32).range(1..))]
    generations: Option<u32>,

    /// Seed of the random sizes and positions
    #[arg(long, value_name = "N", default_value_t = 4242)]
    seed: u64,
}

/// A time that can be waited for.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.001..=3600.0).contains(&seconds) => Ok(seconds),
        Ok(_) => Err("a run takes between 0.001 and 3600 seconds".into()),
        Err(_) => Err("not a number of seconds".into()),
    }
}

impl LarsonArgs {
    /// The rows of the experiment.
    ///
    /// # Errors
    /// If threads can't be placed as asked for.
    pub fn cases(&self) -> Result<Vec<Case>> {
        let until = match self.generations {
            Some(count) => Until::Generations(count),
            None => Until::Seconds(self.seconds),
        };
        let each = |sizes, threads, field| Larson {
            sizes,
            blocks: self.blocks,
            passes: self.passes,
            until,
            seed: self.seed,
            threads,
            field,
        };
        let fields = self.fields()?;
        let mut cases = Vec::new();
        for &sizes in &self.ranges {
            for (field, cpus) in &fields {
                for threads in self.threads_on(*cpus) {
                    cases.push(each(sizes, threads, field.clone()).case(self.pin));
                }
            }
        }
        self.extend_metrics(&mut cases, &fields);
        Ok(cases)
    }

    /// Where the runs take place, and the CPUs there.
    fn fields(&self) -> Result<Vec<(Option<placement::Field>, u32)>> {
        if self.pin.is_none() && self.nodes.is_empty() && !self.per_node {
            return Ok(vec![(None, machine::cpus())]);
        }
        let fields = placement::Field::plan(self.pin.unwrap_or(Pin::None), &self.nodes)?;
        Ok(fields.into_iter().map(|(field, cpus)| (Some(field), cpus)).collect())
    }

    fn threads_on(&self, cpus: u32) -> Vec<u32> {
        if self.threads.is_empty() { machine::scaling_for(cpus) } else { self.threads.clone() }
    }

    /// Gives all rows the same figures: those of all nodes that one of them runs on.
    fn extend_metrics(&self, cases: &mut [Case], fields: &[(Option<placement::Field>, u32)]) {
        let nodes: BTreeSet<u32> =
            fields.iter().filter_map(|(field, _)| field.as_ref()).flat_map(placement::Field::nodes).collect();
        if nodes.is_empty() {
            return;
        }
        let mut metrics = vec![Metric::LOCAL_PAGES, Metric::LOCAL_HOMES];
        metrics.extend(nodes.into_iter().filter(|_| self.per_node).map(Metric::throughput_on));
        cases.iter_mut().for_each(|case| case.metrics.extend_from_slice(&metrics));
    }
}

/// When a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Until {
    /// After a time.
    Seconds(f64),
    /// When each lane has been through so many threads.
    Generations(u32),
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Larson {
    sizes: SizeRange,
    blocks: u32,
    passes: u32,
    until: Until,
    seed: u64,
    threads: u32,
    /// Where it takes place, if that is not left to the system.
    field: Option<placement::Field>,
}

impl Larson {
    /// The row of this run.
    fn case(self, pin: Option<Pin>) -> Case {
        let place = self.field.as_ref().map_or_else(String::new, |field| match field.nodes().len() {
            1 => ", 1 node".to_owned(),
            count => format!(", {count} nodes"),
        });
        let pin = pin.map_or_else(String::new, |pin| format!(", {}", pin.name()));
        Case::over_threads(format!("{}{place}{pin}", self.sizes), self.threads, self)
    }
}

impl Workload for Larson {
    type Yield = Figures;

    const METRICS: &'static [Metric] = &[Metric::THROUGHPUT, GENERATIONS, Metric::CPU_TIME];

    fn run<A: Contestant>(&self) -> Figures {
        let bounds = Bounds { largest: self.sizes.max(), live_blocks: self.blocks };
        let field = Arc::new(Field {
            plan: self.clone(),
            bounds,
            line: Barrier::new(self.threads as usize + 1),
            stop: AtomicBool::new(false),
            map: self.field.as_ref().map(placement::Field::map),
        });
        let (home, arrivals) = mpsc::channel();
        for index in 0..self.threads {
            let by_main = self.field.is_none().then(|| Lane::<A>::filled(self, index));
            let (field, home) = (Arc::clone(&field), home.clone());
            start(move || {
                if let Some(place) = &field.plan.field {
                    place.take_place(index).expect("the CPUs that the parent found can be used");
                }
                let mut lane = by_main.unwrap_or_else(|| Lane::filled(&field.plan, index));
                field.line.wait();
                lane.begun = Instant::now();
                field.generation(lane, home);
            });
        }
        drop(home);
        let cpu_begun = process_cpu_time();
        field.line.wait();
        if let Until::Seconds(seconds) = self.until {
            thread::sleep(Duration::from_secs_f64(seconds));
            field.stop.store(true, Ordering::Relaxed);
        }
        let lanes = arrivals.iter().collect();
        let cpu = process_cpu_time() - cpu_begun;
        summarise(self, cpu, lanes)
    }
}

/// What the run came to; gives back all blocks.
fn summarise<A: Contestant>(plan: &Larson, cpu: Duration, lanes: Vec<Lane<A>>) -> Figures {
    assert_eq!(lanes.len(), plan.threads as usize, "a lane was lost: its thread died");
    let begun = lanes.iter().map(|lane| lane.begun).min().expect("at least one lane");
    let ended = lanes.iter().map(|lane| lane.ended).max().expect("at least one lane");
    let operations: u64 = lanes.iter().map(|lane| 2 * lane.replacements).sum();
    let generations: u64 = lanes.iter().map(|lane| u64::from(lane.generations)).sum();
    let seconds = (ended - begun).as_secs_f64();
    let mut more = Figures::new();
    if let Some(field) = &plan.field {
        let mut locality = Locality::default();
        lanes.iter().for_each(|lane| locality.add(&lane.blocks, &lane.turns));
        more = locality.figures(field, seconds);
    }
    let heap = A::for_this_thread(Bounds { largest: plan.sizes.max(), live_blocks: plan.blocks });
    lanes.into_iter().flat_map(|lane| lane.blocks).for_each(|block| block.give_back(heap));
    let mops = operations as f64 / seconds / 1e6;
    let cpu_ns = cpu.as_secs_f64() * 1e9 / operations as f64;
    more.extend(figures([
        (Metric::THROUGHPUT, mops),
        (GENERATIONS, generations as f64),
        (Metric::CPU_TIME, cpu_ns),
    ]));
    more
}

/// An array of blocks on its way from thread to thread.
struct Lane<A> {
    blocks: Box<[Block<A>]>,
    rng: Rng,
    replacements: u64,
    generations: u32,
    /// On which nodes its threads worked.
    turns: Turns,
    /// When its first thread began, by that thread's clock: the main thread may be late.
    begun: Instant,
    ended: Instant,
}

impl<A: Contestant> Lane<A> {
    /// A lane whose blocks the calling thread allocates.
    fn filled(plan: &Larson, index: u32) -> Self {
        let bounds = Bounds { largest: plan.sizes.max(), live_blocks: plan.blocks };
        let heap = A::for_this_thread(bounds);
        let mut rng = Rng::new(plan.seed, index);
        let blocks =
            (0..plan.blocks).map(|_| Block::take(heap, plan.sizes.pick(rng.draw() as u32))).collect();
        let now = Instant::now();
        Self { blocks, rng, replacements: 0, generations: 0, turns: Turns::default(), begun: now, ended: now }
    }
}

/// What all threads of a run share.
struct Field {
    plan: Larson,
    bounds: Bounds,
    /// All first threads and the main thread meet here before the clock starts.
    line: Barrier,
    /// Set once by the main thread when the time is up. Relaxed everywhere: it publishes nothing.
    stop: AtomicBool,
    /// The nodes, if it is to be told what happened on each.
    map: Option<NodeMap>,
}

impl Field {
    /// The life of one thread: work on the lane, then hand it on to a new thread or home.
    ///
    /// `home` travels beside the lane: if a thread dies, the main thread sees the channel close.
    fn generation<A: Contestant>(self: Arc<Self>, mut lane: Lane<A>, home: Sender<Lane<A>>) {
        self.work(&mut lane);
        lane.generations += 1;
        if self.is_over(&lane) {
            lane.ended = Instant::now();
            // The main thread waits for every lane; if it is gone, so is the process.
            let _ = home.send(lane);
        } else {
            start(move || self.generation(lane, home));
        }
    }

    fn is_over<A>(&self, lane: &Lane<A>) -> bool {
        match self.plan.until {
            Until::Seconds(_) => self.stop.load(Ordering::Relaxed),
            Until::Generations(count) => lane.generations >= count,
        }
    }

    /// One thread's replacements.
    fn work<A: Contestant>(&self, lane: &mut Lane<A>) {
        let heap = A::for_this_thread(self.bounds);
        let mut left = u64::from(self.plan.blocks) * u64::from(self.plan.passes);
        while left > 0 && !self.stop.load(Ordering::Relaxed) {
            let now = left.min(u64::from(STRIDE));
            replace(heap, &mut lane.blocks, &mut lane.rng, self.plan.sizes, now as u32);
            lane.replacements += now;
            if let Some(map) = &self.map {
                lane.turns.count(map, 2 * now);
            }
            left -= now;
        }
    }
}

/// The loop: frees a random block and puts a new one in its place, `count` times.
#[inline(never)]
pub(super) fn replace<A: Contestant>(
    heap: A,
    blocks: &mut [Block<A>],
    rng: &mut Rng,
    sizes: SizeRange,
    count: u32,
) {
    let len = blocks.len() as u32;
    for _ in 0..count {
        let bits = rng.draw();
        let block = &mut blocks[scale((bits >> 32) as u32, len) as usize];
        block.replace(heap, sizes.pick(bits as u32));
    }
}

/// Starts a thread that nobody joins.
fn start(work: impl FnOnce() + Send + 'static) {
    thread::Builder::new().spawn(work).expect("the system starts another thread");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::testing::Counted;

    fn plan(until: Until) -> Larson {
        let sizes = "8-1024".parse().expect("valid");
        Larson { sizes, blocks: 100, passes: 3, until, seed: 1, threads: 3, field: None }
    }

    #[test]
    fn blocks_are_conserved_over_generations() {
        let counts = Counted::counts_of(|| {
            let figures = plan(Until::Generations(5)).run::<Counted>();
            assert_eq!(figures["generations"], 15.0);
        });
        let replacements = 3 * 5 * 300;
        assert_eq!(counts.taken, 3 * 100 + replacements);
        assert_eq!(counts.live, 0);
    }

    #[test]
    fn time_ends_a_run_and_every_block_is_given_back() {
        let counts = Counted::counts_of(|| {
            let figures = plan(Until::Seconds(0.02)).run::<Counted>();
            assert!(figures["generations"] >= 3.0);
            assert!(figures["mops"] > 0.0);
        });
        assert_eq!(counts.live, 0);
    }

    #[test]
    fn what_was_done_on_each_node_adds_up() {
        let (field, _) = placement::Field::plan(Pin::Compact, &[]).expect("a machine").remove(0);
        let nodes: Vec<u32> = field.nodes().collect();
        let plan = Larson { field: Some(field), ..plan(Until::Generations(5)) };
        Counted::counts_of(|| {
            let figures = plan.run::<Counted>();
            let sum: f64 = nodes.iter().map(|&node| figures[Metric::throughput_on(node).name]).sum();
            assert!((sum / figures["mops"] - 1.0).abs() < 1e-9, "{figures:?}");
            assert!(figures.get("local_pages").is_none_or(|share| (0.0..=100.0).contains(share)));
            assert!(!figures.contains_key("local_homes"), "the system's allocator does not tell");
        });
    }

    #[test]
    fn most_blocks_are_freed_by_another_thread_than_took_them() {
        let counts = Counted::counts_of(|| {
            plan(Until::Generations(4)).run::<Counted>();
        });
        // A generation replaces 300 times in 100 blocks: some 95 of them have a foreign owner once.
        assert!(counts.foreign_frees > 3 * 4 * 80, "{counts:?}");
    }
}
