//! `push`: a `Vec<u64>` of the standard library grows to 1 GiB by `push` alone, the global allocator being on
//! trial.
//!
//! The vector doubles its capacity whenever it is full, so there are some thirty calls of `realloc`, of which
//! the last ones decide everything: who copies moves twice the final size in all. The vector may be grown
//! and dropped several times: the first time its memory is fresh, then it is whatever was kept of it.
//!
//! *Measured:* the time from the empty vector to the full one, page faults included; the time of dropping it;
//! bytes whose address changed in a `realloc`; and bytes that were *copied*, that is that lie on another page
//! frame afterwards than before. For a sample of at most 64 pages of the block the frames are read from
//! `/proc/self/pagemap` before and after each `realloc`; reading is not in the time. The column counts blocks
//! beyond 1 MiB only, and is left out where the kernel does not show frames (it does to root). Huge page
//! collapse during a `realloc` would count as copying. *Not measured:* several threads, other growth.
//!
//! *Honest because* the vector is the real one in a process whose global allocator is the allocator on trial;
//! and each of its bytes is written once, by `push`.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Case, GlobalWorkload};
use crate::{
    frames,
    outcome::{Figures, Metric, figures},
    race::process_cpu_time,
    sizes::parse_bytes,
};

const TIME: Metric = Metric::lower("grow_ms", "grow ms");
const DROP: Metric = Metric::lower("drop_ms", "drop ms").unranked();
const MOVED: Metric = Metric::lower("moved_mib", "moved MiB").unranked();
const COPIED: Metric = Metric::lower("copied_mib", "copied MiB").unranked();
const CPU: Metric = Metric { title: "CPU ms", ..Metric::CPU_TIME };

/// Blocks up to this size may be copied and do not count.
const FIRST: usize = 1 << 20;

/// The command-line options.
#[derive(Args, Clone, Debug)]
pub struct PushArgs {
    /// Bytes in the full vector, 1 MiB to 3 GiB
    #[arg(long, value_name = "BYTES", default_value = "1GiB", value_parser = bytes)]
    bytes: u32,

    /// Which vectors of a process to time: the first, the second, ...
    #[arg(long = "nth", value_name = "N", value_delimiter = ',', default_values_t = [1, 3], value_parser = clap::value_parser!(u32).range(1..=100))]
    nth: Vec<u32>,
}

fn bytes(text: &str) -> Result<u32, String> {
    let bytes = parse_bytes(text)?;
    (1 << 20..=3 << 30).contains(&bytes).then_some(bytes).ok_or_else(|| "a vector has 1 MiB to 3 GiB".into())
}

impl PushArgs {
    /// The rows of the experiment.
    pub fn cases(&self) -> Vec<Case> {
        let case = |&nth: &u32| {
            let name = match nth {
                1 => "first vector".to_owned(),
                _ => format!("vector {nth}"),
            };
            Case::alone(format!("{name}, to {} MiB", self.bytes >> 20), Push { numbers: self.bytes / 8, nth })
        };
        self.nth.iter().map(case).collect()
    }
}

/// One run: the last one of some vectors counts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Push {
    /// Elements of 8 bytes.
    numbers: u32,
    nth: u32,
}

impl GlobalWorkload for Push {
    const METRICS: &'static [Metric] = &[TIME, DROP, MOVED, COPIED, Metric::RSS_PEAK, CPU];

    fn run(&self) -> Figures {
        let mut growth = self.grow();
        for _ in 1..self.nth {
            growth = self.grow();
        }
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let mib = |bytes: f64| bytes / f64::from(1 << 20);
        let mut figures = figures([
            (TIME, milliseconds(growth.growing)),
            (DROP, milliseconds(growth.dropping)),
            (MOVED, mib(growth.moved as f64)),
            (CPU, milliseconds(growth.cpu)),
        ]);
        figures.extend(growth.copied.map(|bytes| (COPIED.name.to_owned(), mib(bytes))));
        figures
    }
}

/// What happened to one vector.
#[derive(Debug, Default)]
struct Growth {
    growing: Duration,
    dropping: Duration,
    cpu: Duration,
    /// Bytes whose address changed.
    moved: usize,
    /// Bytes that lie on other frames, estimated from a sample; `None` if frames are not shown.
    copied: Option<f64>,
}

impl Push {
    fn grow(&self) -> Growth {
        let mut growth = Growth { copied: Some(0.0), ..Growth::default() };
        let mut vec: Vec<u64> = Vec::new();
        while vec.len() < self.numbers as usize {
            self.grow_once(&mut vec, &mut growth);
        }
        let begun = Instant::now();
        drop(black_box(vec));
        growth.dropping = begun.elapsed();
        growth
    }

    /// Pushes until the vector is full once more.
    fn grow_once(&self, vec: &mut Vec<u64>, growth: &mut Growth) {
        let (before, bytes) = (vec.as_ptr(), size_of_val(&vec[..]));
        let watched = bytes > FIRST;
        let frames_before = if watched { frames::sample(before.addr(), bytes) } else { Vec::new() };

        let (begun, cpu_begun) = (Instant::now(), process_cpu_time());
        vec.push(vec.len() as u64);
        growth.growing += begun.elapsed();
        growth.cpu += process_cpu_time() - cpu_begun;

        if vec.as_ptr() != before {
            growth.moved += bytes;
        }
        if watched {
            let frames_after = frames::sample(vec.as_ptr().addr(), bytes);
            let share = frames::changed(&frames_before, &frames_after);
            growth.copied = growth.copied.zip(share).map(|(sum, share)| sum + share * bytes as f64);
        }

        let full = vec.capacity().min(self.numbers as usize);
        let (begun, cpu_begun) = (Instant::now(), process_cpu_time());
        fill(vec, full);
        growth.growing += begun.elapsed();
        growth.cpu += process_cpu_time() - cpu_begun;
    }
}

/// Pushes until there are so many.
#[inline(never)]
fn fill(vec: &mut Vec<u64>, numbers: usize) {
    while vec.len() < numbers {
        vec.push(vec.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vector_is_grown_by_itself() {
        let growth = Push { numbers: 1 << 20, nth: 1 }.grow();
        assert!(growth.growing > Duration::ZERO);
        // Whatever the allocator does, no byte is moved more than once for each doubling.
        assert!(growth.moved < 2 * (8 << 20), "{growth:?}");
        assert!(growth.copied.is_none_or(|copied| copied <= growth.moved as f64), "{growth:?}");
        assert!(Push { numbers: 1000, nth: 2 }.run()["grow_ms"] > 0.0);
    }
}
