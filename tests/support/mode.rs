//! The same test in both modes of the allocator: per CPU and per thread.
//!
//! The mode is chosen once a process, so each runs in a child, which checks that it has what it asked
//! for. Where there is no rseq, the first is skipped, and says so.

use super::child::{self, test_of};
use numaslab::telemetry::{CacheMode, WhyPerThread};
use numaslab::{NumaSlab, stats};
use std::alloc::{GlobalAlloc, Layout};
use std::process::{Command, Output};

/// The variable that chooses the mode.
pub(crate) const VARIABLE: &str = "NUMASLAB_RSEQ";

/// Which caches a child is meant to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One for each CPU.
    PerCpu,
    /// One for each thread.
    PerThread,
}

impl Mode {
    /// Both.
    pub(crate) const BOTH: [Self; 2] = [Self::PerCpu, Self::PerThread];

    /// The name of the child.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::PerCpu => "per-cpu",
            Self::PerThread => "per-thread",
        }
    }

    /// Makes the child use this mode, if it can.
    pub(crate) fn choose(self, child: &mut Command) {
        child.env(VARIABLE, if self == Self::PerCpu { "auto" } else { "off" });
    }

    /// Whether this process has the mode; panics if it has another without reason. Skips where there
    /// is no rseq.
    pub(crate) fn is_on(self) -> bool {
        match (self, stats().cache_mode) {
            (Self::PerCpu, Some(CacheMode::PerCpu { .. })) => true,
            (Self::PerThread, Some(CacheMode::PerThread(WhyPerThread::Configured))) => true,
            (Self::PerCpu, Some(CacheMode::PerThread(WhyPerThread::Rseq(why)))) => {
                child::skip(&format!("no restartable sequences here: {why}"));
                false
            }
            (_, mode) => panic!("wanted {self:?}, got {mode:?}"),
        }
    }
}

/// Runs `body` (a closure written in the test itself) in a child of each mode, on a heap with the
/// default configuration that has been started already.
pub(crate) fn in_both_modes<F: Fn()>(body: F) {
    on_heap(NumaSlab::new(), body);
}

/// As [`in_both_modes`], with `heap` as the first one to be used.
pub(crate) fn on_heap<F: Fn()>(heap: NumaSlab, body: F) {
    for mode in Mode::BOTH {
        child::succeed_test(
            test_of::<F>(),
            mode.key(),
            |command| mode.choose(command),
            || {
                start(&heap);
                if mode.is_on() {
                    body();
                }
            },
        );
    }
}

/// As [`in_both_modes`], without starting the heap: `body` does it, and checks the mode it is given.
pub(crate) fn before_start<F: Fn(Mode)>(body: F) {
    for mode in Mode::BOTH {
        child::succeed_test(test_of::<F>(), mode.key(), |command| mode.choose(command), || body(mode));
    }
}

/// As [`in_both_modes`], for the test called `name`; the parent gets how each child ended that was not
/// skipped.
pub(crate) fn outcomes(name: &str, body: impl Fn()) -> Vec<(Mode, Output)> {
    let run = |mode: Mode| {
        let whole = || {
            start(&NumaSlab::new());
            if mode.is_on() {
                body();
            }
        };
        child::run_test(name, mode.key(), |command| mode.choose(command), whole)
            .filter(|output| !child::was_skipped(name, mode.key(), output))
            .map(|output| (mode, output))
    };
    Mode::BOTH.into_iter().filter_map(run).collect()
}

/// Makes `heap` the one that builds the heap, by its first request.
pub(crate) fn start(heap: &NumaSlab) {
    let layout = Layout::new::<u64>();
    // SAFETY: the layout has a size; the block is given back as it was got.
    unsafe {
        let block = heap.alloc(layout);
        assert!(!block.is_null(), "the heap does not start");
        heap.dealloc(block, layout);
    }
}
