//! On which nodes the lanes of a run worked, and how near their blocks lie.
//!
//! *Measured:* operations on each node, by where the thread is now and then; and for a sample of the blocks
//! that each lane holds at the end, whether the page lies on the node where the lane's last thread was
//! (the kernel's word), and whether the allocator itself says that the block belongs there.

use std::collections::BTreeMap;

use crate::{
    block::{Block, Contestant},
    outcome::{Figures, Metric},
    placement::{Field, NodeMap},
    residence,
};

/// How many blocks of each lane are looked at.
const SAMPLE: usize = 512;

/// Where one lane's threads worked.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    /// Operations by node.
    operations: BTreeMap<u32, u64>,
    /// Where the last thread was.
    last: Option<u32>,
}

impl Turns {
    /// Counts operations of the calling thread on the node where it is now.
    pub(super) fn count(&mut self, map: &NodeMap, operations: u64) {
        self.last = map.here();
        if let Some(node) = self.last {
            *self.operations.entry(node).or_default() += operations;
        }
    }
}

/// A share, as a part of a whole.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    part: usize,
    whole: usize,
}

impl Share {
    /// Counts those of `nodes` that are known, and which of them are `here`.
    fn add(&mut self, nodes: impl Iterator<Item = Option<u32>>, here: u32) {
        for node in nodes.flatten() {
            self.whole += 1;
            self.part += usize::from(node == here);
        }
    }

    fn percent(self) -> Option<f64> {
        (self.whole > 0).then(|| 100.0 * self.part as f64 / self.whole as f64)
    }
}

/// What all lanes came to.
#[derive(Debug, Default)]
pub(super) struct Locality {
    operations: BTreeMap<u32, u64>,
    pages: Share,
    homes: Share,
}

impl Locality {
    /// Adds a lane that holds `blocks`.
    pub(super) fn add<A: Contestant>(&mut self, blocks: &[Block<A>], turns: &Turns) {
        for (node, operations) in &turns.operations {
            *self.operations.entry(*node).or_default() += operations;
        }
        let Some(here) = turns.last else { return };
        let apart = blocks.len().div_ceil(SAMPLE).max(1);
        let sample: Vec<usize> = blocks.iter().step_by(apart).map(Block::address).collect();
        self.pages.add(residence::nodes_of(&sample).into_iter(), here);
        self.homes.add(sample.into_iter().map(A::home), here);
    }

    /// The figures of a run on `field` that took so many seconds.
    pub(super) fn figures(&self, field: &Field, seconds: f64) -> Figures {
        let throughput = |node| {
            let operations = self.operations.get(&node).copied().unwrap_or(0);
            (Metric::throughput_on(node).name.to_owned(), operations as f64 / seconds / 1e6)
        };
        let shares = [(Metric::LOCAL_PAGES, self.pages), (Metric::LOCAL_HOMES, self.homes)];
        let shares =
            shares.into_iter().filter_map(|(metric, share)| Some((metric.name.to_owned(), share.percent()?)));
        field.nodes().map(throughput).chain(shares).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_those_that_are_known() {
        let mut share = Share::default();
        assert_eq!(share.percent(), None);
        share.add([Some(1), None, Some(0), Some(1), Some(1)].into_iter(), 1);
        assert_eq!(share.percent(), Some(75.0));
    }
}
