//! Free blocks that are not at home, by walking: each cached block is asked by its address.

use crate::heap::Heap;
use crate::sync::Ordering;

/// Free blocks in the regions of CPUs (or threads) of other nodes than their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strays {
    /// They lie in the outbox for their home, on their way there.
    pub waiting: u64,
    /// They lie where they don't belong, and would be handed out there: on the list of another node.
    pub settled: u64,
}

/// Walks the lists of all regions. Other threads should not work meanwhile: else the numbers are off by what
/// they do.
pub fn strays() -> Strays {
    let mut strays = Strays::default();
    let Some(heap) = Heap::get() else { return strays };
    heap.for_each_region(|region| {
        for (list, _) in heap.layout.lists() {
            let target = region.node().index() ^ heap.layout.slot(list);
            for cell in heap.layout.first(list)..region.header(list).len() {
                // Relaxed: see above.
                let address = region.cell(cell).load(Ordering::Relaxed) as usize;
                match heap.space.node_of(address) {
                    Some(home) if home.index() != target => strays.settled += 1,
                    Some(_) if list.is_outbox() => strays.waiting += 1,
                    _ => {}
                }
            }
        }
    });
    strays
}
