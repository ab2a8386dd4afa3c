//! `soak`: the same load for minutes, in epochs, as HAKMEM's: whether speed and memory stay as they are.
//!
//! The threads run `mixed`'s loop, all of them a fixed number of operations in each epoch. Every epoch is
//! timed from its first thread's start to its last one's end, and memory is read after it.
//!
//! *Measured:* mean throughput over all epochs; the variation of epoch times (standard deviation as a part
//! of the mean) and their percentiles; the drift of memory, the median of the last quarter of the time
//! against that of the second one; and system calls per 100 million operations, in two ways. `own` is what
//! the allocator itself counted from the second quarter on, which only numaslab does. `traced` is counted
//! from outside, for every allocator alike, in one more run of `--traced` operations after the soak (see
//! `syscalls`), because tracing all of it would slow down whoever calls often; it sees nothing that happens
//! only once in minutes. Where tracing is forbidden, and for the ceiling, it is left out. *Not measured:* a
//! load that changes (see `phases`).
//!
//! *Honest because* the ceiling runs the same epochs on the same machine, so its variation is what the
//! machine and the loop contribute. Allocators take their turns one after another, each for all its
//! minutes: for turns closer together take fewer minutes and more `--rounds`. Waiting for the last thread
//! of an epoch is in no epoch's time but its own.

use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{Case, Job, Load, Syscalls, Workload, mixed::churn};
use crate::{
    block::{Block, Bounds, Contestant},
    machine,
    outcome::{Course, Figures, Findings, Metric, figures},
    race::{Lap, drill, share},
    resources::rss_kib,
    rng::Rng,
    sizes::SizeRange,
    stats::{median, variation},
};

const VARIATION: Metric = Metric::lower("variation", "CV %").unranked();
const P50: Metric = Metric::lower("p50_ms", "p50 ms").unranked();
const P90: Metric = Metric::lower("p90_ms", "p90 ms").unranked();
const P99: Metric = Metric::lower("p99_ms", "p99 ms").unranked();
const P99_9: Metric = Metric::lower("p99_9_ms", "p99.9 ms").unranked();
const DRIFT: Metric = Metric::lower("drift", "RSS drift %").unranked();
const OWN_CALLS: Metric = Metric::lower("own_calls", "own calls/100 Mops").unranked();

/// System calls in the traced run after the soak, per 100 million operations.
pub const TRACED_CALLS: Metric = Metric::lower("traced_calls", "traced calls/100 Mops").unranked();

/// The longest epoch that is told apart from longer ones: ten minutes.
const LONGEST_NS: u64 = 600_000_000_000;

/// The columns of the course after seconds and throughput.
const EPOCH_MS: usize = 2;
const RSS: usize = 3;

/// The command-line options.
#[derive(Args, Clone, Debug)]
pub struct SoakArgs {
    /// Minutes for each allocator, also parts of one
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0, value_parser = minutes)]
    minutes: f64,

    /// Range of block sizes in bytes, KiB or MiB
    #[arg(long, value_name = "MIN-MAX", default_value = "16-1024")]
    sizes: SizeRange,

    /// Threads [default: as many as CPUs, at most 8]
    #[arg(long, value_name = "N", default_value_t = machine::cpus().min(8), hide_default_value = true,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    threads: u32,

    /// Slots per thread
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    slots: u32,

    /// Operations per epoch, shared by the threads
    #[arg(long, value_name = "N", default_value_t = 20_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    epoch: u64,

    /// Operations of the traced run after the soak
    #[arg(long, value_name = "N", default_value_t = 200_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    traced: u64,

    /// Seed of the random sizes and slots
    #[arg(long, value_name = "N", default_value_t = 4242)]
    seed: u64,
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse::<f64>().ok().filter(|minutes| (0.001..=1440.0).contains(minutes));
    minutes.ok_or_else(|| "a soak takes 0.001 to 1440 minutes".into())
}

impl SoakArgs {
    /// The rows of the experiment.
    pub fn cases(&self) -> Vec<Case> {
        let Self { minutes, sizes, threads, slots, epoch, traced, seed } = *self;
        let soak = Soak { seconds: 60.0 * minutes, sizes, threads, slots, epoch, traced, seed };
        vec![
            Case::alone(format!("{sizes}, {threads} threads, {minutes} min"), Job::Soak(soak)).with_ceiling(),
        ]
    }
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Soak {
    seconds: f64,
    sizes: SizeRange,
    threads: u32,
    slots: u32,
    epoch: u64,
    traced: u64,
    seed: u64,
}

impl Soak {
    /// How long the epochs take, in seconds rounded up.
    pub fn seconds(&self) -> u32 {
        self.seconds.ceil() as u32
    }

    /// The run in which system calls are counted: the same load, for a while.
    pub fn traced(&self) -> Syscalls {
        let Self { sizes, threads, slots, seed, traced: iterations, .. } = *self;
        Syscalls { load: Load::Mixed, sizes, slots, iterations, seed, threads }
    }
}

impl Workload for Soak {
    type Yield = Findings;

    const METRICS: &'static [Metric] = &[
        Metric::THROUGHPUT,
        VARIATION,
        P50,
        P90,
        P99,
        P99_9,
        DRIFT,
        OWN_CALLS,
        TRACED_CALLS,
        Metric::CPU_TIME,
    ];

    fn run<A: Contestant>(&self) -> Findings {
        let bounds = Bounds { largest: self.sizes.max(), live_blocks: self.slots };
        let log = drill(
            self.threads,
            |index| {
                let heap = A::for_this_thread(bounds);
                let slots: Box<[Option<Block<A>>]> = (0..self.slots).map(|_| None).collect();
                (heap, slots, Rng::new(self.seed, index), share(self.epoch, self.threads, index))
            },
            |(heap, slots, rng, operations), ()| {
                churn(*heap, slots, rng, self.sizes, *operations);
                *operations
            },
            |(heap, slots, ..)| slots.into_iter().flatten().for_each(|block| block.give_back(heap)),
            |go| self.log::<A>(|| go(())),
        );
        Findings { figures: log.figures(), course: Some(log.course) }
    }
}

impl Soak {
    /// Lets epochs pass until the time is over.
    fn log<A: Contestant>(&self, mut epoch: impl FnMut() -> Lap) -> Log {
        // The first epoch fills slots and caches.
        epoch();
        let mut log =
            Log { laps: Vec::new(), course: Course::of(["Mops/s", "epoch ms", "RSS MiB"]), settled: None };
        let begun = Instant::now();
        loop {
            let lap = epoch();
            let passed = begun.elapsed();
            let rss_mib = rss_kib() as f64 / 1024.0;
            let epoch_ms = lap.elapsed.as_secs_f64() * 1e3;
            log.course.rows.push(vec![passed.as_secs_f64(), lap.mops(), epoch_ms, rss_mib]);
            log.laps.push(lap);
            if passed.as_secs_f64() >= self.seconds {
                break;
            }
            if log.settled.is_none() && passed.as_secs_f64() >= self.seconds / 4.0 {
                log.settled =
                    A::system_calls().map(|calls| Settled { calls, epochs: log.laps.len(), own: 0 });
            }
        }
        if let (Some(settled), Some(calls)) = (&mut log.settled, A::system_calls()) {
            settled.own = calls - settled.calls;
        }
        log
    }
}

/// What an allocator itself counted since it was warm.
#[derive(Debug)]
struct Settled {
    /// Calls before.
    calls: u64,
    /// Epochs before.
    epochs: usize,
    /// Calls since.
    own: u64,
}

/// The epochs of a run.
#[derive(Debug)]
struct Log {
    laps: Vec<Lap>,
    course: Course,
    /// None if the allocator does not count, or the soak was too short.
    settled: Option<Settled>,
}

impl Log {
    fn figures(&self) -> Figures {
        let total = Lap::sum(&self.laps);
        let mut times = Histogram::<u32>::new_with_bounds(1, LONGEST_NS, 3).expect("valid bounds");
        self.laps.iter().for_each(|lap| times.saturating_record(lap.elapsed.as_nanos() as u64));
        let at_ms = |quantile| Duration::from_nanos(times.value_at_quantile(quantile)).as_secs_f64() * 1e3;
        let mut figures = figures([
            (Metric::THROUGHPUT, total.mops()),
            (P50, at_ms(0.5)),
            (P90, at_ms(0.9)),
            (P99, at_ms(0.99)),
            (P99_9, at_ms(0.999)),
            (Metric::CPU_TIME, total.cpu_nanoseconds()),
        ]);
        let epoch_ms: Vec<f64> = self.course.points(EPOCH_MS).into_iter().map(|(_, time)| time).collect();
        let more = [
            (VARIATION, variation(&epoch_ms).map(|variation| 100.0 * variation)),
            (DRIFT, drift_percent(&self.course.points(RSS))),
            (OWN_CALLS, self.own_calls()),
        ];
        figures.extend(more.into_iter().filter_map(|(metric, value)| Some((metric.name.to_owned(), value?))));
        figures
    }

    /// The calls of the allocator per 100 million operations since it was warm.
    fn own_calls(&self) -> Option<f64> {
        let settled = self.settled.as_ref()?;
        let operations: u64 = self.laps[settled.epochs..].iter().map(|lap| lap.operations).sum();
        Some(settled.own as f64 * 1e8 / operations as f64)
    }
}

/// How much higher the median of the last quarter of the time is than that of the second quarter, in
/// percent; `None` if one of them has no points.
fn drift_percent(points: &[(f64, f64)]) -> Option<f64> {
    let (last, _) = points.last()?;
    let of = |from: f64, to: f64| {
        let within = points.iter().filter(|(at, _)| (from * last..=to * last).contains(at));
        median(within.map(|&(_, value)| value).collect())
    };
    Some(100.0 * (of(0.75, 1.0)? / of(0.25, 0.5)? - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ceiling::BareStack, workload::testing::Counted};

    fn plan(seconds: f64) -> Soak {
        let sizes = "16-64".parse().expect("valid");
        Soak { seconds, sizes, threads: 2, slots: 20, epoch: 2000, traced: 1, seed: 1 }
    }

    #[test]
    fn every_epoch_is_in_the_course_and_every_block_is_given_back() {
        let counts = Counted::counts_of(|| {
            let findings = plan(0.05).run::<Counted>();
            let figures = findings.figures;
            let rising = [P50, P90, P99, P99_9].map(|metric| figures[metric.name]);
            assert!(rising.is_sorted() && rising[0] > 0.0, "{figures:?}");
            assert!(figures["variation"] >= 0.0);
            assert!(!figures.contains_key("own_calls"), "the system's allocator does not count");
            let course = findings.course.expect("looked");
            let throughput = course.points(1);
            assert!(throughput.iter().all(|&(_, mops)| mops > 0.0));
            assert!(throughput.last().is_some_and(|&(seconds, _)| seconds >= 0.05));
        });
        assert_eq!(counts.live, 0);
    }

    #[test]
    fn ceiling_runs_the_same_epochs() {
        assert!(plan(0.001).run::<BareStack>().figures["mops"] > 0.0);
    }

    #[test]
    fn drift_compares_the_last_quarter_with_the_second() {
        let points: Vec<(f64, f64)> = (0..=100).map(|at| (f64::from(at), f64::from(at.max(40)))).collect();
        let drift = drift_percent(&points).expect("has points");
        // 88 in the middle of the last quarter, 40 in that of the second.
        assert!((drift - 120.0).abs() < 2.0, "{drift}");
        assert_eq!(drift_percent(&[]), None);
        assert_eq!(drift_percent(&[(1.0, 5.0)]), None);
    }

    #[test]
    fn own_calls_are_those_since_it_was_warm() {
        let lap = Lap { operations: 1000, elapsed: Duration::from_secs(1), cpu: Duration::ZERO };
        let settled = Some(Settled { calls: 7, epochs: 2, own: 3 });
        let log = Log { laps: vec![lap; 5], course: Course::default(), settled };
        assert_eq!(log.own_calls(), Some(1e5));
    }
}
