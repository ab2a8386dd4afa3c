//! `phases`: a heap that grows, falls to a tenth, idles and grows again, and the memory of the process all
//! the while.
//!
//! A few threads fill their shares of `bytes` with blocks of random sizes; give back 90 % of them in random
//! order, so that random ones survive; idle; and fill the gaps with new blocks. In the end everything is
//! given back. Memory is read every 50 ms, and at the end of each phase.
//!
//! **Idling is not sleeping**: every 10 ms each thread takes 16 blocks of random sizes and gives them back,
//! as a server does that has little to do; every allocator alike. One that only gives memory back when it
//! is called gets its chance, and one that does so from a thread of its own has no advantage but that.
//! These few operations do not count.
//!
//! *Measured:* the peak of memory; what is left after falling and idling, that is how much of a heap full
//! of holes goes back to the system, and how soon; what growing again costs in memory; and operations per
//! second of growing, falling and growing again together, most of which is page faults. *Not measured:*
//! speed of a heap that stays as it is.
//!
//! *Honest because* every page of a block is written, so that live bytes are resident whoever gave them;
//! the arrays of blocks and their random order are made and touched before the first block; and memory is
//! that of the whole process for everybody.

use std::{
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Case, Workload};
use crate::{
    block::{Block, Bounds, Contestant},
    outcome::{Course, Findings, Metric, figures},
    race::{Lap, drill},
    resources::rss_kib,
    rng::Rng,
    sizes::{SizeRange, parse_bytes},
};

/// Memory right after falling, after idling, and after growing again.
const FALLEN: Metric = Metric::lower("fallen_mib", "fallen MiB").unranked();
const IDLE: Metric = Metric::lower("idle_mib", "idle MiB");
const AGAIN: Metric = Metric::lower("again_mib", "again MiB").unranked();

/// How often memory is read.
const SAMPLE: Duration = Duration::from_millis(50);

/// How often an idle thread does something, and how many blocks it takes then.
const PULSE: Duration = Duration::from_millis(10);
const PULSE_BLOCKS: usize = 16;

/// The command-line options.
#[derive(Args, Clone, Debug)]
pub struct PhasesArgs {
    /// Live bytes when grown, 1 MiB to 3 GiB [default: 1GiB, with --quick 64MiB]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    bytes: Option<u32>,

    /// Seconds of idling [default: 5, with --quick 1]
    #[arg(long, value_name = "SECONDS", value_parser = idle)]
    idle: Option<f64>,

    /// A small heap and a short rest
    #[arg(long)]
    quick: bool,

    /// Ranges of block sizes in bytes, KiB or MiB
    #[arg(long = "sizes", value_name = "MIN-MAX", value_delimiter = ',', default_values = ["16-1024", "1KiB-32KiB", "64KiB-1MiB"])]
    ranges: Vec<SizeRange>,

    /// Threads
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1000))]
    threads: u32,

    /// Seed of the random sizes and survivors
    #[arg(long, value_name = "N", default_value_t = 4242)]
    seed: u64,
}

fn bytes(text: &str) -> Result<u32, String> {
    let bytes = parse_bytes(text)?;
    (1 << 20..=3 << 30).contains(&bytes).then_some(bytes).ok_or_else(|| "a heap has 1 MiB to 3 GiB".into())
}

fn idle(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.0..=600.0).contains(seconds));
    seconds.ok_or_else(|| "idling takes 0 to 600 seconds".into())
}

impl PhasesArgs {
    /// The rows of the experiment.
    pub fn cases(&self) -> Vec<Case> {
        let (usual_bytes, usual_idle) = if self.quick { (64 << 20, 1.0) } else { (1 << 30, 5.0) };
        let bytes = self.bytes.unwrap_or(usual_bytes);
        let idle_s = self.idle.unwrap_or(usual_idle);
        let case = |&sizes: &SizeRange| {
            let Self { threads, seed, .. } = *self;
            let name = format!("{sizes}, {} MiB, {threads} threads", bytes >> 20);
            Case::alone(name, Phases { bytes, sizes, idle_s, threads, seed })
        };
        self.ranges.iter().map(case).collect()
    }
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Phases {
    bytes: u32,
    sizes: SizeRange,
    idle_s: f64,
    threads: u32,
    seed: u64,
}

/// What all threads do together.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Fill every empty slot.
    Grow,
    /// Empty nine slots in ten.
    Fall,
    /// Do next to nothing until then.
    Idle { until: Instant },
}

impl Workload for Phases {
    type Yield = Findings;

    const METRICS: &'static [Metric] =
        &[Metric::THROUGHPUT, IDLE, FALLEN, AGAIN, Metric::RSS_PEAK, Metric::CPU_TIME];

    fn run<A: Contestant>(&self) -> Findings {
        thread::scope(|scope| {
            let (end, ended) = mpsc::channel();
            let sampler = scope.spawn(move || sample(&ended));
            let memory = self.all_phases::<A>();
            drop(end);
            let course = sampler.join().expect("reading memory does not panic");
            let figures = figures([
                (Metric::THROUGHPUT, memory.busy.mops()),
                (FALLEN, memory.fallen_mib),
                (IDLE, memory.idle_mib),
                (AGAIN, memory.again_mib),
                (Metric::CPU_TIME, memory.busy.cpu_nanoseconds()),
            ]);
            Findings { figures, course: Some(course) }
        })
    }
}

/// The work of a run and the memory at the end of its phases.
struct Summary {
    busy: Lap,
    fallen_mib: f64,
    idle_mib: f64,
    again_mib: f64,
}

impl Phases {
    fn all_phases<A: Contestant>(&self) -> Summary {
        drill(
            self.threads,
            |index| Herd::<A>::new(self, index),
            Herd::live_through,
            Herd::give_back,
            |go| {
                let growing = go(Phase::Grow);
                let falling = go(Phase::Fall);
                let fallen_mib = rss_mib();
                go(Phase::Idle { until: Instant::now() + Duration::from_secs_f64(self.idle_s) });
                let idle_mib = rss_mib();
                let busy = Lap::sum(&[growing, falling, go(Phase::Grow)]);
                Summary { busy, fallen_mib, idle_mib, again_mib: rss_mib() }
            },
        )
    }

    /// The blocks of each thread: as many as make its share of the bytes on average.
    fn blocks(&self) -> u32 {
        let mean = (self.sizes.min().bytes() + self.sizes.max().bytes()) / 2;
        (self.bytes as usize / mean.max(1) / self.threads as usize).max(10) as u32
    }
}

/// Reads memory until nobody can end it any more.
fn sample(ended: &Receiver<()>) -> Course {
    let begun = Instant::now();
    let mut course = Course::of(["RSS MiB"]);
    loop {
        course.rows.push(vec![begun.elapsed().as_secs_f64(), rss_mib()]);
        if ended.recv_timeout(SAMPLE) != Err(RecvTimeoutError::Timeout) {
            return course;
        }
    }
}

fn rss_mib() -> f64 {
    rss_kib() as f64 / 1024.0
}

/// The blocks of one thread.
struct Herd<A> {
    heap: A,
    sizes: SizeRange,
    rng: Rng,
    slots: Box<[Option<Block<A>>]>,
    /// The slots in the order in which they are emptied: the last tenth survives.
    order: Box<[u32]>,
}

impl<A: Contestant> Herd<A> {
    fn new(plan: &Phases, index: u32) -> Self {
        let (blocks, sizes) = (plan.blocks(), plan.sizes);
        let mut rng = Rng::new(plan.seed, index);
        let mut slots: Box<[Option<Block<A>>]> = (0..blocks).map(|_| None).collect();
        // A new array may be untouched pages of zeros; what is written here stays `None`.
        std::hint::black_box(&mut slots).iter_mut().for_each(|slot| *slot = None);
        let mut order: Box<[u32]> = (0..blocks).collect();
        rng.shuffle(&mut order);
        let heap = A::for_this_thread(Bounds { largest: sizes.max(), live_blocks: blocks });
        Self { heap, sizes, rng, slots, order }
    }

    /// Does a phase; returns the operations.
    fn live_through(&mut self, phase: Phase) -> u64 {
        match phase {
            Phase::Grow => self.grow(),
            Phase::Fall => self.fall(),
            Phase::Idle { until } => self.idle(until),
        }
    }

    #[inline(never)]
    fn grow(&mut self) -> u64 {
        let mut operations = 0;
        for slot in self.slots.iter_mut().filter(|slot| slot.is_none()) {
            let mut block = Block::take(self.heap, self.sizes.pick(self.rng.draw() as u32));
            block.use_all();
            *slot = Some(block);
            operations += 1;
        }
        operations
    }

    #[inline(never)]
    fn fall(&mut self) -> u64 {
        let mut operations = 0;
        for &slot in &self.order[..self.order.len() / 10 * 9] {
            if let Some(block) = self.slots[slot as usize].take() {
                block.give_back(self.heap);
                operations += 1;
            }
        }
        operations
    }

    fn idle(&mut self, until: Instant) -> u64 {
        let mut operations = 0;
        while let left = until.saturating_duration_since(Instant::now())
            && !left.is_zero()
        {
            thread::sleep(left.min(PULSE));
            let taken =
                [(); PULSE_BLOCKS].map(|()| Block::take(self.heap, self.sizes.pick(self.rng.draw() as u32)));
            taken.into_iter().for_each(|block| block.give_back(self.heap));
            operations += 2 * PULSE_BLOCKS as u64;
        }
        operations
    }

    fn give_back(self) {
        self.slots.into_iter().flatten().for_each(|block| block.give_back(self.heap));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::testing::Counted;

    fn plan(idle_s: f64) -> Phases {
        let sizes = "1KiB-1KiB".parse().expect("valid");
        Phases { bytes: 1 << 20, sizes, idle_s, threads: 2, seed: 1 }
    }

    #[test]
    fn nine_blocks_in_ten_are_replaced_and_all_given_back() {
        let counts = Counted::counts_of(|| {
            let findings = plan(0.0).run::<Counted>();
            assert!(findings.figures["mops"] > 0.0);
            assert!(!findings.course.expect("looked").rows.is_empty());
        });
        assert_eq!((counts.taken, counts.live), (1024 + 2 * 459, 0));
    }

    #[test]
    fn idle_threads_do_a_little() {
        let counts = Counted::counts_of(|| {
            plan(0.03).run::<Counted>();
        });
        let little = counts.taken - (1024 + 2 * 459);
        assert!((32..=8 * 32).contains(&little), "{little}");
        assert_eq!(little % 16, 0);
    }
}
