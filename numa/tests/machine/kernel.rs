//! The kernel's own word on masks and CPUs, past the crate under test.

use nix::sched::{CpuSet as FixedMask, sched_getaffinity, sched_getcpu};
use nix::unistd::Pid;
use numaslab_numa::{CpuId, CpuSet};

/// The affinity mask of the current thread.
pub(crate) fn mask() -> CpuSet {
    let mask = sched_getaffinity(Pid::from_raw(0)).unwrap();
    (0..FixedMask::count()).filter(|&cpu| mask.is_set(cpu).unwrap()).map(|cpu| CpuId(cpu as u32)).collect()
}

/// The CPU on which the current thread runs now.
pub(crate) fn cpu() -> CpuId {
    CpuId(sched_getcpu().unwrap() as u32)
}

/// The name of the emulated machine, if this is one. Says so on stderr if not.
pub(crate) fn rig() -> Option<String> {
    let rig = std::env::var("NUMA_RIG").ok();
    if rig.is_none() {
        eprintln!("skipped: needs one of the machines of ci/numa.sh");
    }
    rig
}
