//! Where the calling thread works.

use super::{CacheMode, Heap};
use crate::cache::control::Event;
use crate::cache::seat::{CpuSeat, Seat};
use crate::os::cpu;
use crate::rseq::area::{self, Owner};
use crate::rseq::thread_block::{self, Life};
use crate::units::{CpuId, NodeId};

impl Heap {
    /// The calling thread's seat at this moment.
    pub(crate) fn seat(&self) -> Seat {
        match self.cache_mode {
            CacheMode::PerCpu { .. } => self.cpu_seat(),
            CacheMode::PerThread(_) => self.thread_seat(),
        }
    }

    fn cpu_seat(&self) -> Seat {
        let id = area::cpu_id(self.area).or_else(|| self.register());
        let Some(cpu) = id.map(CpuId) else { return self.thread_seat() };
        let all = self.per_cpu.as_ref();
        match all.and_then(|all| all.in_use(cpu).map(|region| (all, region))) {
            // SAFETY: the table has a region for each possible CPU and entries for -1 and -2, for ever;
            // the area is from `rseq::area`.
            Some((all, region)) => Seat::Cpu(unsafe { CpuSeat::new(region, all.table(), self.area) }),
            None => Seat::Bare(self.node_of_cpu(cpu)),
        }
    }

    /// Registers the thread's own area, if this crate is the one to do it and the thread lives on.
    fn register(&self) -> Option<u32> {
        if self.owner != Owner::Numaslab {
            return None;
        }
        let block = thread_block::current();
        if block.life() != Life::Unknown {
            return None;
        }
        // Before arming, which may allocate and come back here.
        block.set_life(Life::Served);
        area::register_own().ok()?;
        if self.arm_exit(None) {
            return area::cpu_id(self.area);
        }
        area::unregister_own();
        None
    }

    fn thread_seat(&self) -> Seat {
        match self.thread_region() {
            Some(region) => Seat::Thread(region),
            None => Seat::Bare(self.current_node()),
        }
    }

    /// The node of the CPU on which the thread is.
    pub(crate) fn current_node(&self) -> NodeId {
        if self.nodes == 1 {
            return NodeId::ZERO;
        }
        cpu::current_cpu().map_or(NodeId::ZERO, |cpu| self.node_of_cpu(cpu))
    }

    /// The home node of a CPU.
    pub(crate) fn node_of_cpu(&self, cpu: CpuId) -> NodeId {
        if self.nodes == 1 { NodeId::ZERO } else { self.topology.home(cpu) }
    }

    /// Counts an event at a seat.
    #[inline]
    pub(crate) fn count(&self, seat: &Seat, event: Event) {
        seat.count(event, &self.shared.bare_events);
    }
}
