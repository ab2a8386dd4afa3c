//! SuperSlabs that a thread has taken off their lists, in the order in which it added them.

use crate::slab::space::{SuperIndex, SuperLinks};
use crate::sync::Ordering;
use crate::sync::tagged_stack::{Links, TaggedStack};

/// A chain that only its owner sees; linked like the lists, so it needs no memory of its own.
#[derive(Default)]
pub(super) struct Queue {
    /// The first and the last.
    ends: Option<(u32, u32)>,
    count: usize,
}

impl Queue {
    /// Adds a SuperSlab, which the caller owns, at the end.
    pub(super) fn add(&mut self, links: &SuperLinks<'_>, superslab: SuperIndex) {
        self.ends = Some(match self.ends {
            None => (superslab.0, superslab.0),
            Some((first, last)) => {
                // Relaxed: the chain is the caller's; a push publishes.
                links.link(last).store(superslab.0 + 1, Ordering::Relaxed);
                (first, superslab.0)
            }
        });
        self.count += 1;
    }

    /// Adds a SuperSlab, which the caller owns, at the beginning.
    pub(super) fn add_first(&mut self, links: &SuperLinks<'_>, superslab: SuperIndex) {
        self.ends = Some(match self.ends {
            None => (superslab.0, superslab.0),
            Some((first, last)) => {
                // Relaxed: as in `add`.
                links.link(superslab.0).store(first + 1, Ordering::Relaxed);
                (superslab.0, last)
            }
        });
        self.count += 1;
    }

    /// Takes the first.
    pub(super) fn take(&mut self, links: &SuperLinks<'_>) -> Option<SuperIndex> {
        let (first, last) = self.ends?;
        // Relaxed: as in `add`. Every link but the last one's was written there.
        self.ends = (first != last).then(|| (links.link(first).load(Ordering::Relaxed) - 1, last));
        self.count -= 1;
        Some(SuperIndex(first))
    }

    /// Puts all of them on top of a list, the first uppermost; returns how many.
    pub(super) fn push_all(self, links: &SuperLinks<'_>, list: &TaggedStack) -> usize {
        if let Some((first, last)) = self.ends {
            list.push_chain(links, first, last);
        }
        self.count
    }
}
