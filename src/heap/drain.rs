//! Giving back what the caches hold: regions, held slabs, transfer caches, empty slabs, free
//! SuperSlabs. What can't be taken away from its owner (another thread's fallback cache) stays.

use super::flush::left;
use super::{CacheMode, Heap};
use crate::size_class::SizeClass;
use crate::units::{CpuId, NodeId};

/// What a drain gave back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Regions of CPUs that were emptied.
    pub regions: usize,
    /// Blocks that went from caches back to their slabs.
    pub blocks: usize,
    /// Slabs of which every block was free, given back to their SuperSlabs.
    pub slabs: usize,
    /// Bytes of SuperSlabs given back to the kernel.
    pub released_bytes: usize,
}

impl Heap {
    /// Gives back all that can be given back, from every CPU and node.
    pub(crate) fn trim(&self) -> Drained {
        let mut drained = Drained::default();
        if let Some(per_cpu) = &self.per_cpu {
            for cpu in (0..per_cpu.cpus() as u32).map(CpuId) {
                self.drain_cpu(cpu, &mut drained);
            }
        }
        self.drain_own_thread();
        for node in self.nodes() {
            self.drain_transfer(node, &mut drained);
            let pool = self.pool(node);
            drained.slabs += pool.retire_empty();
            drained.released_bytes += pool.release_all();
        }
        drained
    }

    /// The last resort before a request fails: what lies in caches, in slabs of other classes, and in
    /// SuperSlabs whose pieces are free goes back, and the request is tried once more.
    #[cold]
    pub(super) fn reclaim(&self) {
        self.trim();
    }

    /// Empties the region of one CPU and lists its held slabs.
    pub(crate) fn drain_cpu(&self, cpu: CpuId, drained: &mut Drained) {
        let Some(per_cpu) = &self.per_cpu else { return };
        let CacheMode::PerCpu { revocable: true, .. } = self.cache_mode else { return };
        if let Some(revoked) = self.revoke(per_cpu, cpu) {
            let region = per_cpu.region(cpu);
            revoked.drain(&self.layout, |list, class, blocks| {
                drained.blocks += blocks.len();
                if let Some(region) = region {
                    // The region is ours, so nobody else adds to its counters.
                    region.control().events.add(left(list), blocks.len());
                }
                self.give_to_home_slabs(class, blocks);
            });
            drained.regions += 1;
        }
        if let Some(region) = per_cpu.region(cpu) {
            for class in SizeClass::all() {
                self.let_go_of_held(region, class);
            }
        }
    }

    fn drain_transfer(&self, node: NodeId, drained: &mut Drained) {
        for class in SizeClass::all() {
            self.drain_transfer_of(node, class, drained);
        }
    }

    /// Gives blocks of one home node to their slabs, past the transfer cache.
    fn give_to_home_slabs(&self, class: SizeClass, blocks: &mut [*mut u8]) {
        let Some(first) = blocks.first() else { return };
        match self.space.node_of(first.addr()) {
            Some(home) => self.give_to_slabs(class, home, blocks),
            None => super::corruption::foreign(*first),
        }
    }
}

/// Gives back to the kernel all that the caches hold and nobody uses, at once: regions of all CPUs,
/// the calling thread's own cache, transfer caches, empty slabs, free SuperSlabs. Other threads may
/// work meanwhile. In fallback mode other threads' caches stay as they are.
pub fn trim() -> Drained {
    let _errno = crate::os::ErrnoGuard::new();
    Heap::get().map_or_else(Drained::default, Heap::trim)
}
