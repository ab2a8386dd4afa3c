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

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Case, Workload};
use crate::{
    block::{Block, Bounds, Contestant},
    machine,
    outcome::{Figures, Metric, figures},
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

    /// Threads that run at the same time
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = machine::scaling(),
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    threads: Vec<u32>,

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
    pub fn cases(&self) -> Vec<Case> {
        let until = match self.generations {
            Some(count) => Until::Generations(count),
            None => Until::Seconds(self.seconds),
        };
        let each = |&sizes: &SizeRange, &threads: &u32| Larson {
            sizes,
            blocks: self.blocks,
            passes: self.passes,
            until,
            seed: self.seed,
            threads,
        };
        let pairs = self.ranges.iter().flat_map(|range| self.threads.iter().map(move |n| (range, n)));
        pairs.map(|(range, threads)| each(range, threads).case()).collect()
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
}

impl Larson {
    /// The row of this run.
    fn case(self) -> Case {
        Case::over_threads(self.sizes.to_string(), self.threads, self)
    }
}

impl Workload for Larson {
    const METRICS: &'static [Metric] = &[Metric::THROUGHPUT, GENERATIONS, Metric::CPU_TIME];

    fn run<A: Contestant>(&self) -> Figures {
        let bounds = Bounds { largest: self.sizes.max(), live_blocks: self.blocks };
        let field = Arc::new(Field {
            plan: self.clone(),
            bounds,
            line: Barrier::new(self.threads as usize + 1),
            stop: AtomicBool::new(false),
        });
        let (home, arrivals) = mpsc::channel();
        for index in 0..self.threads {
            let mut lane = Lane::<A>::filled(self, index);
            let (field, home) = (Arc::clone(&field), home.clone());
            start(move || {
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
    let heap = A::for_this_thread(Bounds { largest: plan.sizes.max(), live_blocks: plan.blocks });
    lanes.into_iter().flat_map(|lane| lane.blocks).for_each(|block| block.give_back(heap));
    let mops = operations as f64 / (ended - begun).as_secs_f64() / 1e6;
    let cpu_ns = cpu.as_secs_f64() * 1e9 / operations as f64;
    figures([(Metric::THROUGHPUT, mops), (GENERATIONS, generations as f64), (Metric::CPU_TIME, cpu_ns)])
}

/// An array of blocks on its way from thread to thread.
struct Lane<A> {
    blocks: Box<[Block<A>]>,
    rng: Rng,
    replacements: u64,
    generations: u32,
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
        Self { blocks, rng, replacements: 0, generations: 0, begun: now, ended: now }
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
            left -= now;
        }
    }
}

/// The loop: frees a random block and puts a new one in its place, `count` times.
#[inline(never)]
fn replace<A: Contestant>(heap: A, blocks: &mut [Block<A>], rng: &mut Rng, sizes: SizeRange, count: u32) {
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
        Larson { sizes, blocks: 100, passes: 3, until, seed: 1, threads: 3 }
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
    fn most_blocks_are_freed_by_another_thread_than_took_them() {
        let counts = Counted::counts_of(|| {
            plan(Until::Generations(4)).run::<Counted>();
        });
        // A generation replaces 300 times in 100 blocks: some 95 of them have a foreign owner once.
        assert!(counts.foreign_frees > 3 * 4 * 80, "{counts:?}");
    }
}
