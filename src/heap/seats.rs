//! Where the calling thread works.

use super::{CacheMode, Heap, start};
use crate::cache::control::Event;
use crate::cache::gate;
use crate::cache::per_cpu::PerCpu;
use crate::cache::seat::{CpuSeat, Seat};
use crate::os::{ErrnoGuard, cpu};
use crate::rseq::area::{self, Owner};
use crate::rseq::thread_block::{self, Life};
use crate::sync::{Ordering, compiler_fence};
use crate::units::{CpuId, NodeId};

impl Heap {
    /// The calling thread's seat at this moment.
    #[inline]
    pub(crate) fn seat(&self) -> Seat {
        self.usual_seat().unwrap_or_else(|| self.other_seat())
    }

    /// A seat at the region of the thread's CPU, if nothing stands in the way.
    #[inline(always)]
    fn usual_seat(&self) -> Option<Seat> {
        let all = self.per_cpu.as_ref()?;
        if !gate::is_open() || thread_block::current().preference().is_some() {
            return None;
        }
        let region = all.in_use(CpuId(area::cpu_id(self.area)?))?;
        // SAFETY: the table has a region for each possible CPU and entries for -1 and -2, for ever; the area
        // is from `rseq::area`.
        Some(Seat::Cpu(unsafe { CpuSeat::new(region, all.table(), self.area) }))
    }

    #[cold]
    #[inline(never)]
    fn other_seat(&self) -> Seat {
        match self.cache_mode {
            CacheMode::PerCpu { .. } => self.cpu_seat(),
            CacheMode::PerThread(_) => self.thread_seat(),
        }
    }

    fn cpu_seat(&self) -> Seat {
        if !gate::is_open() {
            // The one who published the heap has not come to it yet; in a forked child it never will.
            start::open_gate(self);
        }
        if thread_block::current().preference().is_some() {
            return self.thread_seat();
        }
        if thread_block::current().lent.get() != 0 {
            return Seat::Bare(self.current_node());
        }
        let id = area::cpu_id(self.area).or_else(|| self.register());
        let Some(cpu) = id.map(CpuId) else { return self.thread_seat() };
        let all = self.per_cpu.as_ref();
        let region = |all: &PerCpu| all.in_use(cpu).or_else(|| all.open(cpu, self.node_of_cpu(cpu)));
        match all.and_then(|all| region(all).map(|region| (all, region))) {
            // SAFETY: as in `usual_seat`.
            Some((all, region)) => Seat::Cpu(unsafe { CpuSeat::new(region, all.table(), self.area) }),
            None => {
                self.put_back_regions();
                Seat::Bare(self.node_of_cpu(cpu))
            }
        }
    }

    /// Registers the thread's own area, if this crate is the one to do it and the thread lives on.
    #[cold]
    fn register(&self) -> Option<u32> {
        if self.owner != Owner::Numaslab {
            return None;
        }
        let block = thread_block::current();
        if block.life() != Life::Unknown {
            return None;
        }
        let _errno = ErrnoGuard::new();
        // Arming may allocate: such a request, and a handler's, finds the thread settling. A handler that
        // gave it a region now would lose the region when this arms the hook anew.
        block.set_life(Life::Settling);
        compiler_fence(Ordering::SeqCst);
        let armed = area::register_own().is_ok() && self.arm_exit(None);
        if !armed {
            area::unregister_own();
        }
        compiler_fence(Ordering::SeqCst);
        block.set_life(Life::Served);
        if armed { area::cpu_id(self.area) } else { None }
    }

    #[inline(never)]
    fn thread_seat(&self) -> Seat {
        match self.thread_region() {
            Some(region) => Seat::Thread(region),
            None => Seat::Bare(self.current_node()),
        }
    }

    /// The node for which the thread works: the one that it prefers, else that of the CPU on which it is.
    pub(crate) fn current_node(&self) -> NodeId {
        if self.nodes == 1 {
            return NodeId::ZERO;
        }
        if let Some(node) = thread_block::current().preference() {
            return node;
        }
        let _errno = ErrnoGuard::new();
        cpu::current_cpu().map_or(NodeId::ZERO, |cpu| self.node_of_cpu(cpu))
    }

    /// The home node of a CPU.
    pub(crate) fn node_of_cpu(&self, cpu: CpuId) -> NodeId {
        if self.nodes == 1 { NodeId::ZERO } else { self.topology.home(cpu) }
    }

    /// Counts an event at a seat.
    #[inline]
    pub(crate) fn count(&self, seat: &Seat, event: Event) {
        seat.count(event, 1, &self.shared.bare_events);
    }

    /// Counts blocks at a seat.
    #[inline]
    pub(crate) fn count_blocks(&self, seat: &Seat, event: Event, blocks: usize) {
        seat.count(event, blocks, &self.shared.bare_events);
    }
}
