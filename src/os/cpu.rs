//! On which CPU we run, and how many the kernel can have; going to others for a moment.

use super::errno::{Result, check};
use super::fault::{Call, gate, inject};
use crate::units::{CpuId, KernelNode, MAX_CPUS};
use core::ptr;

/// The CPU the calling thread runs on at this moment; it may be another one right after.
///
/// Errors: `ENOSYS` under an emulator without it. sched_getcpu(3), usually without a system call.
pub fn current_cpu() -> Result<CpuId> {
    inject(Call::GetCpu)?;
    // SAFETY: takes no argument, touches no memory of ours.
    check(unsafe { libc::sched_getcpu() }.into()).map(|cpu| CpuId(cpu as u32))
}

/// The CPU the calling thread runs on, and its node as the kernel numbers it. The node may be one
/// without memory.
///
/// Errors: `ENOSYS` under an emulator without it. getcpu(2), always a system call.
pub fn current_cpu_and_node() -> Result<(CpuId, KernelNode)> {
    let (mut cpu, mut node) = (0u32, 0u32);
    gate(Call::GetCpu)?;
    // SAFETY: the kernel writes the two numbers; the third argument has been unused since 2.6.24.
    check(unsafe { libc::syscall(libc::SYS_getcpu, &raw mut cpu, &raw mut node, ptr::null_mut::<u8>()) })?;
    Ok((CpuId(cpu), KernelNode(node as u16)))
}

/// A set of CPUs as the kernel takes it: one bit each.
type CpuMask = [u64; MAX_CPUS / 64];

/// While this lives, the calling thread runs on certain CPUs; then on those that it might run on before.
#[derive(Debug)]
pub struct Visit {
    before: CpuMask,
    /// What the kernel made of the wish.
    meanwhile: CpuMask,
    /// How many bytes of it the kernel has filled.
    len: usize,
}

impl Visit {
    /// Sends the calling thread to one of `cpus`; it runs there when this returns.
    ///
    /// Errors: `EINVAL` if none of them is online and allowed; `EPERM` by seccomp. sched_getaffinity(2),
    /// sched_setaffinity(2).
    pub fn to(cpus: impl Iterator<Item = CpuId>) -> Result<Self> {
        let mut wanted: CpuMask = [0; MAX_CPUS / 64];
        for cpu in cpus {
            if let Some(word) = wanted.get_mut(cpu.index() / 64) {
                *word |= 1 << (cpu.index() % 64);
            }
        }
        let mut before: CpuMask = [0; MAX_CPUS / 64];
        let len = affinity(&mut before)?;
        set_affinity(&wanted, size_of_val(&wanted))?;
        let mut meanwhile: CpuMask = [0; MAX_CPUS / 64];
        let _ = affinity(&mut meanwhile);
        Ok(Self { before, meanwhile, len })
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut now: CpuMask = [0; MAX_CPUS / 64];
        if affinity(&mut now).is_ok() && now != self.meanwhile {
            // Another thread has pinned this one since: that holds.
            return;
        }
        // If it fails, none of those CPUs is allowed any more: the thread may as well stay.
        let _ = set_affinity(&self.before, self.len);
    }
}

/// The CPUs on which the calling thread may run; returns the bytes of the mask that were filled.
fn affinity(mask: &mut CpuMask) -> Result<usize> {
    gate(Call::GetAffinity)?;
    // SAFETY: the kernel writes at most the given number of bytes, which the mask has.
    check(unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, size_of_val(mask), mask.as_mut_ptr()) })
}

fn set_affinity(mask: &CpuMask, len: usize) -> Result<()> {
    gate(Call::SetAffinity)?;
    // SAFETY: the kernel reads `len` bytes, at most what the mask has.
    check(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, len, mask.as_ptr()) }).map(drop)
}

/// An upper bound for the CPU numbers of this machine, plus one, without `/sys`: the size of the
/// kernel's CPU masks, which it rounds up to 64. At most [`MAX_CPUS`], at least 1.
///
/// sched_getaffinity(2).
pub fn cpu_limit() -> usize {
    match affinity(&mut [0; MAX_CPUS / 64]) {
        Ok(bytes) => (bytes * 8).clamp(1, MAX_CPUS),
        // A kernel with more CPUs than MAX_CPUS, or none at all that would say.
        Err(_) => MAX_CPUS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::errno::Errno;
    use crate::os::fault;
    use crate::os::testing::in_child;

    /// The CPUs this thread may run on.
    fn allowed_cpus() -> libc::cpu_set_t {
        // SAFETY: a cpu_set_t of zeroes is an empty set; the kernel fills it in.
        unsafe {
            let mut set = core::mem::zeroed();
            assert_eq!(libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set), 0);
            set
        }
    }

    #[test]
    fn a_pinned_thread_is_where_it_was_pinned() {
        std::thread::spawn(|| {
            let allowed = allowed_cpus();
            // SAFETY: plain bit operations on sets; the numbers stay below the size of the set.
            let cpus = (0..1024).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &allowed) });
            for cpu in cpus {
                // SAFETY: as above; the kernel copies the set.
                unsafe {
                    let mut only: libc::cpu_set_t = core::mem::zeroed();
                    libc::CPU_SET(cpu, &mut only);
                    assert_eq!(libc::sched_setaffinity(0, size_of_val(&only), &raw const only), 0);
                }
                assert_eq!(current_cpu(), Ok(CpuId(cpu as u32)));
                assert_eq!(current_cpu_and_node().unwrap().0, CpuId(cpu as u32));
                assert!(cpu < cpu_limit());
            }
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_visit_ends_where_it_began() {
        std::thread::spawn(|| {
            let before = allowed_cpus();
            // SAFETY: plain bit operations on sets; the numbers stay below the size of the set.
            let cpus: std::vec::Vec<_> =
                (0..1024).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &before) }).collect();
            for cpu in cpus {
                let visit = Visit::to([CpuId(cpu as u32)].into_iter()).unwrap();
                assert_eq!(current_cpu(), Ok(CpuId(cpu as u32)));
                drop(visit);
                // SAFETY: as above.
                assert!(unsafe { libc::CPU_EQUAL(&before, &allowed_cpus()) });
            }
            let nowhere = Visit::to(core::iter::empty());
            assert_eq!(nowhere.err(), Some(Errno::EINVAL));
        })
        .join()
        .unwrap();
    }

    #[test]
    fn without_an_answer_the_limit_is_the_largest() {
        in_child(|| {
            assert_eq!(cpu_limit() % 64, 0);
            fault::fail_all(Call::GetAffinity, Errno::EINVAL);
            assert_eq!(cpu_limit(), MAX_CPUS);
            fault::fail_nth(Call::GetCpu, 1, Errno::ENOSYS);
            assert_eq!(current_cpu(), Err(Errno::ENOSYS));
        });
    }
}
