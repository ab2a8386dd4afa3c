//! Blocks of other nodes go home: those in outboxes that have not run full for long.
//!
//! An outbox that runs full sends its blocks home itself ([`super::flush`]). What is left in others is
//! bounded by age: each miss now and then looks at the clock, and when the outboxes of its region have not
//! been emptied for [`AGE_MS`], it empties them. Then it also looks at a few other CPUs, and empties the
//! outboxes of those that have not missed for long: their regions are taken away for that moment, in
//! processes where that has been done before (by `trim`, `send_home` or `maintain`). So while anybody misses,
//! no block stays away from home for long.

use super::drain::Drained;
use super::{CacheMode, Heap};
use crate::cache::control::{Control, Event};
use crate::cache::region::Region;
use crate::cache::seat::Seat;
use crate::os::{ErrnoGuard, clock, membarrier};
use crate::pool::batch::Batch;
use crate::sync::Ordering;
use crate::units::CpuId;

/// How long the outboxes of a CPU that misses may keep their blocks, in milliseconds.
const AGE_MS: u64 = 1000;
/// Likewise for a CPU that hardly misses: another one has to disturb it, by a system call.
const IDLE_AGE_MS: u64 = 10 * AGE_MS;
/// How many other CPUs are looked at each time.
const NEIGHBOURS: usize = 16;

impl Heap {
    /// To be called at each miss.
    #[inline]
    pub(super) fn send_home_the_old(&self, seat: &Seat) {
        if let Some(control) = seat.control().filter(|control| control.is_time_for_the_clock()) {
            self.look_at_the_clock(seat, control);
        }
    }

    #[cold]
    fn look_at_the_clock(&self, seat: &Seat, control: &Control) {
        let _errno = ErrnoGuard::new();
        let now = clock::monotonic_ms();
        self.maintain_at_miss(seat, control, now);
        if self.nodes == 1 || now.saturating_sub(control.emptied_ms()) < AGE_MS {
            return;
        }
        control.set_emptied_ms(now);
        self.send_home_from_seat(seat);
        // The first revocation of a process may take the kernel some milliseconds: not here.
        if let (Seat::Cpu(_), Some(per_cpu), true) = (seat, &self.per_cpu, membarrier::is_registered()) {
            for _ in 0..NEIGHBOURS.min(per_cpu.cpus()) {
                // Relaxed: any order will do.
                let next = self.shared.next_neighbour.fetch_add(1, Ordering::Relaxed);
                self.send_home_from_idle(CpuId(next % per_cpu.cpus() as u32), now);
            }
        }
    }

    /// Empties the outboxes of the region at which the calling thread sits; returns how many blocks went home.
    fn send_home_from_seat(&self, seat: &Seat) -> usize {
        let Some(region) = seat.region() else { return 0 };
        let mut sent = 0;
        for (list, class) in self.layout.lists().filter(|(list, _)| list.is_outbox()) {
            if region.count(&self.layout, list) == 0 {
                continue;
            }
            let mut batch = Batch::new();
            seat.pop_batch(list, self.layout.most(list), &mut batch);
            self.count_blocks(seat, Event::BlocksReturned, batch.len());
            self.give_home(class, batch.blocks());
            sent += batch.len();
        }
        sent
    }

    fn send_home_from_idle(&self, cpu: CpuId, now: u64) {
        let Some(region) = self.per_cpu.as_ref().and_then(|all| all.in_use(cpu)) else { return };
        if now.saturating_sub(region.control().emptied_ms()) >= IDLE_AGE_MS {
            region.control().set_emptied_ms(now);
            self.send_home_from_cpu(cpu, region, &mut Drained::default());
        }
    }

    /// Empties the outboxes of a CPU's region, if there is something in them.
    fn send_home_from_cpu(&self, cpu: CpuId, region: Region, drained: &mut Drained) {
        let outboxes = self.layout.lists().filter(|(list, _)| list.is_outbox());
        let CacheMode::PerCpu { revocable: true, .. } = self.cache_mode else { return };
        if outboxes.map(|(list, _)| region.count(&self.layout, list)).all(|count| count == 0) {
            return;
        }
        let Some(revoked) = self.per_cpu.as_ref().and_then(|all| self.revoke(all, cpu)) else { return };
        revoked.take_outboxes(&self.layout, |class, blocks| {
            drained.blocks += blocks.len();
            // The region is ours, so nobody else adds to its counters.
            region.control().events.add(Event::BlocksReturned, blocks.len());
            self.give_home(class, blocks);
        });
        drained.regions += 1;
    }

    /// Sends home what waits in the outboxes of all CPUs and of the calling thread.
    pub(crate) fn send_home(&self) -> Drained {
        let mut drained = Drained::default();
        if self.nodes == 1 {
            return drained;
        }
        let seat = self.seat();
        let _stay = seat.stay();
        drained.blocks += self.send_home_from_seat(&seat);
        let Some(per_cpu) = &self.per_cpu else { return drained };
        for cpu in (0..per_cpu.cpus() as u32).map(CpuId) {
            if let Some(region) = per_cpu.in_use(cpu) {
                self.send_home_from_cpu(cpu, region, &mut drained);
            }
        }
        drained
    }
}

/// Sends the blocks home that wait in outboxes: those that were freed on CPUs of other nodes than
/// theirs, and have not gone home by themselves yet. Much cheaper than [`trim`](super::drain::trim): other
/// cached blocks stay where they are. Other threads may work meanwhile. In fallback mode other threads'
/// outboxes stay as they are.
pub fn send_home() -> Drained {
    let _errno = ErrnoGuard::new();
    Heap::get().map_or_else(Drained::default, Heap::send_home)
}
