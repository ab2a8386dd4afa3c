//! The regions of all CPUs and the table through which the critical sections find them.
//!
//! A region is opened by the first miss on its CPU: so its memory is touched first where it is used, and
//! that of a CPU which is never used not at all.

use super::entry::Entry;
use super::layout::Layout;
use super::region::Region;
use crate::os::{Result, cpu::cpu_limit, memory};
use crate::rseq::{Regions, empty_region, unopened_region};
use crate::units::{CpuId, NodeId, PAGE_BYTES};
use core::ptr::NonNull;

/// Entries of the table below CPU 0: for the values -1 and -2 of `cpu_id`.
const BELOW: usize = 2;
/// Entries of the table at least: room for CPU numbers that a migrated process may come to see.
const LEAST_ENTRIES: usize = 1024;

/// All CPUs' regions.
pub(crate) struct PerCpu {
    cpus: usize,
    stride: usize,
    regions: NonNull<u8>,
    /// Entry `BELOW + cpu` is the CPU's.
    table: NonNull<Entry>,
    entries: usize,
}

// SAFETY: the table holds atomics; the regions follow the protocol of `rseq`.
unsafe impl Send for PerCpu {}
// SAFETY: as above.
unsafe impl Sync for PerCpu {}

impl PerCpu {
    /// Maps regions for `cpus` CPUs, whose nodes `node_of` tells, and calls `bind` with the memory of
    /// each.
    pub(crate) fn map(
        cpus: usize,
        layout: &Layout,
        node_of: impl Fn(CpuId) -> NodeId,
        bind: impl Fn(NodeId, NonNull<u8>, usize),
    ) -> Result<Self> {
        let stride = Region::stride(layout);
        let regions = memory::map(cpus * stride)?;
        // SAFETY: a fresh mapping; the advice changes no contents. Regions are touched here and there.
        let _ = unsafe { memory::advise(regions, cpus * stride, memory::Advice::NoHugePage) };
        // The table must have every number that the kernel may store, also where sysfs tells of fewer.
        let entries = cpus.max(cpu_limit()).max(LEAST_ENTRIES) + BELOW;
        let table_bytes = (entries * size_of::<Entry>()).next_multiple_of(PAGE_BYTES);
        let table = match memory::map(table_bytes) {
            Ok(table) => table.cast(),
            Err(error) => {
                // SAFETY: mapped above, seen by nobody else.
                let _ = unsafe { memory::unmap(regions, cpus * stride) };
                return Err(error);
            }
        };
        let all = Self { cpus, stride, regions, table, entries };
        for entry in 0..entries {
            all.entry(entry).init(empty_region());
        }
        for cpu in 0..cpus {
            let (id, start) = (CpuId(cpu as u32), all.start(cpu));
            bind(node_of(id), start, stride);
            all.entry(BELOW + cpu).init(unopened_region());
        }
        Ok(all)
    }

    /// Opens the region of a CPU, whose node is `node`, if nobody has yet; the region if it is in use then.
    pub(crate) fn open(&self, cpu: CpuId, node: NodeId) -> Option<Region> {
        let slot = self.slot(cpu)?;
        if self.is_unopened(cpu) {
            // SAFETY: `stride` zeroed bytes of the mapping, for this CPU alone, never unmapped once the heap
            // is published. Others who come here at the same moment write the same.
            let region = unsafe { Region::new(self.start(cpu.index()), node) };
            slot.open(unopened_region(), region.base());
        }
        self.in_use(cpu)
    }

    /// Puts the region of a CPU back, if it is taken away. For who knows that the one who took it is gone.
    pub(crate) fn put_back(&self, cpu: CpuId) {
        if let (Some(slot), Some(region)) = (self.slot(cpu), self.region(cpu)) {
            slot.put_back(empty_region(), region.base());
        }
    }

    /// Whether nobody has missed on the CPU yet. Once that is false it stays so.
    pub(super) fn is_unopened(&self, cpu: CpuId) -> bool {
        self.slot(cpu).is_some_and(|slot| slot.in_use(empty_region()) == Some(unopened_region()))
    }

    /// Unmaps everything.
    ///
    /// # Safety
    /// Nobody else has seen it.
    pub(crate) unsafe fn unmap(&self) {
        let table_bytes = (self.entries * size_of::<Entry>()).next_multiple_of(PAGE_BYTES);
        // SAFETY: both were mapped in `map`.
        unsafe {
            let _ = memory::unmap(self.regions, self.cpus * self.stride);
            let _ = memory::unmap(self.table.cast(), table_bytes);
        }
    }

    fn start(&self, cpu: usize) -> NonNull<u8> {
        // SAFETY: the mapping has `cpus * stride` bytes.
        unsafe { self.regions.add(cpu * self.stride) }
    }

    fn entry(&self, entry: usize) -> &Entry {
        debug_assert!(entry < self.entries);
        // SAFETY: the table has `entries` entries.
        unsafe { self.table.add(entry).as_ref() }
    }

    /// The table, as the critical sections take it.
    pub(crate) fn table(&self) -> Regions {
        Regions(self.entry(BELOW).as_ptr())
    }

    /// How many CPUs have a region.
    pub(crate) const fn cpus(&self) -> usize {
        self.cpus
    }

    /// The table's entry for a CPU.
    pub(super) fn slot(&self, cpu: CpuId) -> Option<&Entry> {
        (cpu.index() < self.cpus).then(|| self.entry(BELOW + cpu.index()))
    }

    /// The region that a CPU uses at this moment; `None` if it is revoked, unopened, or there is none.
    pub(crate) fn in_use(&self, cpu: CpuId) -> Option<Region> {
        let base = self.slot(cpu)?.in_use(empty_region()).filter(|base| *base != unopened_region())?;
        // SAFETY: entries are bases of regions or the empty region.
        unsafe { Region::from_base(base) }
    }

    /// The memory of a CPU's region, control included, and its bytes.
    pub(crate) fn memory(&self, cpu: CpuId) -> Option<(NonNull<u8>, usize)> {
        (cpu.index() < self.cpus).then(|| (self.start(cpu.index()), self.stride))
    }

    /// The region that was made for a CPU, whether it is in use or not: for statistics.
    pub(crate) fn region(&self, cpu: CpuId) -> Option<Region> {
        if cpu.index() >= self.cpus {
            return None;
        }
        let start = self.start(cpu.index());
        // SAFETY: `map` made a region there.
        unsafe { Region::from_base(start.as_ptr().add(super::region::CONTROL_BYTES)) }
    }
}
