//! Maintenance: what lies idle goes one layer down, and at last back to the kernel.
//!
//! A pass sends blocks home that wait in outboxes, empties the regions of CPUs that have not changed since
//! the pass before (idle ones, and those that are offline), takes batches out of the transfer cache that
//! nobody has asked for meanwhile, retires empty slabs, sorts SuperSlabs by their free runs, and gives FREE
//! ones back that are beyond the bounds of the configuration. Free memory beyond the slack goes back too
//! ([`crate::pool::surplus`]).
//!
//! Who makes it: whoever calls [`maintain`], once a second or so. If nobody does, the misses do a little of
//! it, on one node and one CPU each second, and look for surplus on their own node as often as that may be:
//! so memory is given back in any program that still misses. One that goes to sleep, or lives on its cached
//! blocks, keeps what it has until somebody calls [`maintain`] or [`trim`](crate::trim).
//!
//! What a miss does is bounded by the calls into the kernel and the SuperSlabs released; walking shelves and
//! lists is not, and takes some 50 ns for each slab or SuperSlab that is on one.

use super::drain::Drained;
use super::{CacheMode, Heap};
use crate::cache::control::{Control, Event};
use crate::cache::region::Region;
use crate::cache::seat::Seat;
use crate::os::{ErrnoGuard, clock, membarrier};
use crate::pool::batch::Batch;
use crate::pool::tiers::FreeBounds;
use crate::size_class::SizeClass;
use crate::sync::Ordering;
use crate::units::{CpuId, NodeId, SUPERSLAB_BYTES};

/// How long nobody must have made a pass before misses do, in milliseconds.
const PASS_MS: u64 = 1000;
/// SuperSlabs that a miss gives back at most, and classes of the transfer cache that it empties.
const LITTLE: usize = 4;
/// SuperSlabs of a node that a whole pass gives back for their age at most: 512 MiB.
const MOST: usize = 256;
/// Calls into the kernel with which a miss gives back surplus at most, and a whole pass.
const LITTLE_CALLS: usize = 64;
const MOST_CALLS: usize = 64 * LITTLE_CALLS;

impl Heap {
    /// A whole pass.
    pub(crate) fn maintain(&self) -> Drained {
        let now_ms = clock::monotonic_ms();
        // Relaxed: a hint.
        self.shared.maintained_ms.store(now_ms, Ordering::Relaxed);
        let mut drained = self.send_home();
        for cpu in self.per_cpu.iter().flat_map(|all| (0..all.cpus() as u32).map(CpuId)) {
            self.drain_if_idle(cpu, &mut drained);
        }
        for node in self.nodes() {
            self.maintain_node(node, now_ms, usize::MAX, MOST, &mut drained);
            drained.released_bytes += self.pool(node).release_surplus(now_ms, MOST_CALLS);
        }
        drained
    }

    /// What a miss does that has looked at the clock.
    pub(super) fn maintain_at_miss(&self, seat: &Seat, control: &Control, now_ms: u64) {
        let pool = self.pool(seat.node());
        match control.growth(pool.worthwhile_growth()) {
            None => {
                pool.release_surplus(now_ms, LITTLE_CALLS);
            }
            Some(growth) => {
                control.note_use_of_growth(pool.release_grown(now_ms, growth));
            }
        }
        self.maintain_a_little(now_ms);
    }

    /// What misses do of a pass, if nobody else has for a while.
    fn maintain_a_little(&self, now_ms: u64) {
        let shared = self.shared;
        // Relaxed: a hint; the exchange lets one thread in.
        let last = shared.maintained_ms.load(Ordering::Relaxed);
        if now_ms.saturating_sub(last) < PASS_MS
            || shared
                .maintained_ms
                .compare_exchange(last, now_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_err()
        {
            return;
        }
        let mut drained = Drained::default();
        // Relaxed: any order will do.
        let turn = shared.turns.fetch_add(1, Ordering::Relaxed) as usize;
        let cpus = self.per_cpu.as_ref().map_or(0, |all| all.cpus());
        // The first revocation of a process may take the kernel some milliseconds: not here.
        if cpus > 0 && membarrier::is_registered() {
            self.drain_if_idle(CpuId((turn % cpus) as u32), &mut drained);
        }
        self.maintain_node(NodeId((turn % self.nodes) as u8), now_ms, LITTLE, LITTLE, &mut drained);
    }

    fn maintain_node(
        &self,
        node: NodeId,
        now_ms: u64,
        classes: usize,
        superslabs: usize,
        drained: &mut Drained,
    ) {
        let pool = self.pool(node);
        let idle =
            |class: &SizeClass| pool.node.transfer.bytes_of(*class) > 0 && pool.node.transfer.is_idle(*class);
        for class in SizeClass::all().filter(idle).take(classes) {
            self.drain_transfer_of(node, class, drained);
        }
        drained.slabs += pool.retire_returned();
        pool.sort_returned();
        drained.released_bytes += pool.release_aged(self.free_bounds(), now_ms, superslabs);
    }

    /// Empties the part of a node's transfer cache that holds blocks of `class`.
    pub(super) fn drain_transfer_of(&self, node: NodeId, class: SizeClass, drained: &mut Drained) {
        let pool = self.pool(node);
        let mut batch = Batch::new();
        while pool.node.transfer.pop(&pool.parcels(), class, &mut batch) > 0 {
            drained.blocks += batch.len();
            self.give_to_slabs(class, node, batch.blocks());
            batch = Batch::new();
        }
    }

    /// What a node may keep of FREE SuperSlabs.
    fn free_bounds(&self) -> FreeBounds {
        let (count, bytes) = (self.config.free_cache_superslabs(), self.config.free_cache_bytes());
        FreeBounds {
            superslabs: (count as usize).min(bytes / SUPERSLAB_BYTES),
            age_ms: u32::try_from(self.config.free_cache_age_ms()).unwrap_or(u32::MAX),
        }
    }

    /// Empties the region of a CPU that has not changed since this was last called, if anything is in it.
    fn drain_if_idle(&self, cpu: CpuId, drained: &mut Drained) {
        let CacheMode::PerCpu { revocable: true, .. } = self.cache_mode else { return };
        let Some(region) = self.per_cpu.as_ref().and_then(|all| all.in_use(cpu)) else { return };
        let Some(state) = self.state_of(region) else { return };
        if region.control().exchange_state(state) == state {
            self.drain_cpu(cpu, drained);
        }
    }

    /// A number that stands for the content and the misses of a region; `None` if nothing is in it, and its
    /// CPU holds no slab.
    fn state_of(&self, region: Region) -> Option<u64> {
        let events = &region.control().events;
        let misses = events.of(Event::PopMiss).wrapping_add(events.of(Event::PushMiss));
        let mut blocks =
            SizeClass::all().filter(|class| region.control().held[class.index()].is_there()).count();
        let state = self.layout.lists().fold(misses, |state, (list, _)| {
            let count = region.count(&self.layout, list);
            blocks += count;
            // Any odd constant will do: the order of the lists has to matter.
            (state.rotate_left(7) ^ count as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        (blocks > 0).then_some(state)
    }
}

/// Makes a maintenance pass over the whole allocator: blocks on their way to other nodes, caches of idle and
/// offline CPUs, idle parts of the transfer caches, and empty slabs go back, and so do SuperSlabs to the
/// kernel that have been free for longer, or are more, than the configuration lets stay.
///
/// To be called from time to time, once a second or so, by a thread of the program's; other threads may work
/// meanwhile, and call it too. Where nobody calls it, allocations do a little of it now and then.
pub fn maintain() -> Drained {
    let _errno = ErrnoGuard::new();
    Heap::get().map_or_else(Drained::default, Heap::maintain)
}
