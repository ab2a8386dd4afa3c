//! How much of a test's work is done: all of it, or a part on machines that are slow.
//!
//! On an emulated machine everything takes ten to thirty times as long. The lane that runs the tests there
//! (`ci/rig/payload.sh`) sets [`VARIABLE`] to a number N: then rounds, threads' steps and the like are made
//! an Nth as often. Nobody else sets it, and without it nothing is left out. What a test demands is the
//! same with any N, and so is what it covers in kind: sizes, alignments, kinds of calls, modes.

use std::num::NonZeroUsize;

/// The variable that asks for a part of the work. A positive number; a child inherits it.
pub(crate) const VARIABLE: &str = "TEST_ONE_IN";

/// N: an Nth of the work is asked for; 1 for all of it. Panics if the variable holds anything else.
pub(crate) fn one_in() -> usize {
    match std::env::var(VARIABLE) {
        Ok(number) => {
            number.parse::<NonZeroUsize>().unwrap_or_else(|_| panic!("{VARIABLE}={number}: no number")).get()
        }
        Err(_) => 1,
    }
}

/// How often to do what is done `full` times where nothing is left out; at least once.
pub(crate) fn scale(full: usize) -> usize {
    full.div_ceil(one_in())
}

/// 1, 2, 3 and so on; where a part of the work is asked for the first few all the same, then the larger
/// they get the fewer, down to one in N.
pub(crate) fn numbers() -> impl Iterator<Item = usize> {
    std::iter::successors(Some(1), |number| Some(next(*number)))
}

/// The number after `number` in [`numbers`].
pub(crate) fn next(number: usize) -> usize {
    number + 1 + (one_in() - 1) * number.min(32) / 32
}
