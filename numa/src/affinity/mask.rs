//! The affinity mask of the current thread: the system side of pinning.
//!
//! One CPU goes through `core_affinity`, a set through `nix`; see `sched_setaffinity(2)`.

use std::io;

use nix::sched::{CpuSet as FixedMask, sched_setaffinity};
use nix::unistd::Pid;

use crate::error::{Error, Result};
use crate::id::{CpuId, Id, NodeId};
use crate::id_set::{CpuSet, NodeSet};
use crate::limits;
use crate::topology::Topology;
use crate::tree::Tree;

/// The calling thread, to the system call.
const CURRENT: Pid = Pid::from_raw(0);

/// Reads the mask as it must be written again to restore it.
///
/// The system call leaves out CPUs that are switched off, `/proc` does not. A kernel that remembers the mask
/// it was asked for uses such a CPU again when it comes back, so it is asked for the whole.
pub(super) fn get_whole() -> Result<CpuSet> {
    let whole = limits::allowed_cpus(&Tree::new("/")).ok().flatten();
    let whole = whole.filter(|cpus| check(cpus).is_ok()).map_or_else(get, Ok)?;
    check(&whole)?;
    Ok(whole)
}

/// Reads the mask, less the CPUs that are switched off.
pub(super) fn get() -> Result<CpuSet> {
    // It fails where the kernel was built for more CPUs than `cpu_set_t` holds.
    if let Some(cores) = core_affinity::get_core_ids() {
        return Ok(cores.into_iter().filter_map(|core| u32::try_from(core.id).ok()).map(CpuId).collect());
    }
    let tree = Tree::new("/");
    limits::allowed_cpus(&tree)?.ok_or_else(|| {
        tree.malformed("proc/thread-self/status", "", "a line 'Cpus_allowed_list:' (is /proc mounted?)")
    })
}

/// Writes the mask.
pub(crate) fn set(cpus: &CpuSet) -> Result<()> {
    check(cpus)?;
    let answer = match (cpus.len(), cpus.first()) {
        (_, None) => return Err(Error::NoCpus),
        (1, Some(cpu)) => set_one(cpu),
        _ => set_many(cpus),
    };
    answer.map_err(|cause| explain(cpus, cause))
}

/// # Errors
/// [`Error::CpuBeyondMask`] for the first CPU that no fixed-size mask can name.
fn check(cpus: &CpuSet) -> Result<()> {
    let limit = u32::try_from(FixedMask::count()).unwrap_or(u32::MAX);
    match cpus.iter().find(|cpu| cpu.number() >= limit) {
        Some(cpu) => Err(Error::CpuBeyondMask { cpu, limit }),
        None => Ok(()),
    }
}

fn set_one(cpu: CpuId) -> io::Result<()> {
    let core = core_affinity::CoreId { id: cpu.0 as usize };
    // It makes the system call last and returns at once, so its error is still there.
    if core_affinity::set_for_current(core) { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn set_many(cpus: &CpuSet) -> io::Result<()> {
    let mut mask = FixedMask::new();
    cpus.iter().try_for_each(|cpu| mask.set(cpu.0 as usize))?;
    Ok(sched_setaffinity(CURRENT, &mask)?)
}

/// Finds out why the kernel refused: it says `EINVAL` for a CPU that is switched off and for
/// one outside the cpuset alike.
fn explain(cpus: &CpuSet, cause: io::Error) -> Error {
    let Ok(topology) = Topology::discover() else {
        return Error::Pin { cpus: cpus.clone(), nodes: NodeSet::new(), cause };
    };
    let online = topology.online_cpus();
    match cpus.first() {
        Some(cpu) if cpus.intersection(online).is_empty() => {
            Error::CpuOffline { cpu, online: online.clone() }
        }
        _ => {
            let node = |cpu| -> Option<NodeId> { Some(topology.cpu(cpu)?.node) };
            Error::Pin { cpus: cpus.clone(), nodes: cpus.iter().filter_map(node).collect(), cause }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_beyond_the_fixed_mask_is_named() {
        let error = set(&CpuSet::only(CpuId(1024))).unwrap_err();
        assert!(matches!(error, Error::CpuBeyondMask { cpu: CpuId(1024), limit: 1024 }), "{error}");
        let error = set(&CpuSet::from_iter([CpuId(0), CpuId(5000)])).unwrap_err();
        assert!(matches!(error, Error::CpuBeyondMask { cpu: CpuId(5000), .. }), "{error}");
    }

    #[test]
    fn a_cpu_that_is_not_there_is_offline() {
        let error = set(&CpuSet::only(CpuId(1023))).unwrap_err();
        assert!(matches!(error, Error::CpuOffline { cpu: CpuId(1023), .. }), "{error}");
    }

    #[test]
    fn both_ways_of_reading_agree() {
        let online = Topology::discover().unwrap().online_cpus().clone();
        let from_proc = limits::allowed_cpus(&Tree::new("/")).unwrap().unwrap();
        assert_eq!(from_proc.intersection(&online), get().unwrap());
    }
}
