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
