//! What would be better, from a report: pure functions, one for each part.
//!
//! A piece of advice says what is the matter, what would be gained, and the command. Files it names lie in the
//! project's folder `deploy/`.

mod memory;
mod mode;
mod place;

use crate::report::{Advice, Report, Weight};

/// All advice for a report, what matters most first.
pub fn advice(report: &Report) -> Vec<Advice> {
    let mut all: Vec<Advice> =
        [mode::advice(report), place::advice(report), memory::advice(report)].into_iter().flatten().collect();
    all.sort_by_key(|advice| advice.weight);
    all
}

fn say(topic: &'static str, weight: Weight, why: impl Into<String>, command: impl Into<String>) -> Advice {
    Advice { topic, weight, why: why.into(), command: command.into() }
}

#[cfg(test)]
mod testing;
