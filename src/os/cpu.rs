//! On which CPU we run, and how many the kernel can have.

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

/// An upper bound for the CPU numbers of this machine, plus one, without `/sys`: the size of the
/// kernel's CPU masks, which it rounds up to 64. At most [`MAX_CPUS`], at least 1.
///
/// sched_getaffinity(2).
pub fn cpu_limit() -> usize {
    let mut mask = [0u64; MAX_CPUS / 64];
    let bytes = gate(Call::GetAffinity).and_then(|()| {
        // SAFETY: the kernel writes at most the given number of bytes, which the mask has.
        check(unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, size_of_val(&mask), mask.as_mut_ptr()) })
    });
    match bytes {
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
    fn affinity() -> libc::cpu_set_t {
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
            let allowed = affinity();
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
