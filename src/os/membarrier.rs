//! Restarting the restartable sequences of other CPUs: `membarrier(2)`.
//!
//! After [`fence_rseq`] returns, every thread that was inside a critical section on the named CPUs
//! has been restarted, and every later one sees the memory written before the call. This is what
//! makes a region revocable.

use super::errno::{Errno, Result, check};
use super::fault::{Call, gate};
use crate::sync::{AtomicBool, Ordering};
use crate::units::CpuId;

const QUERY: i32 = 0;
const PRIVATE_EXPEDITED_RSEQ: i32 = 1 << 7;
const REGISTER_PRIVATE_EXPEDITED_RSEQ: i32 = 1 << 8;
const FLAG_CPU: u32 = 1;

/// Whether the kernel has [`fence_rseq`].
///
/// Errors: `ENOSYS` without membarrier; `EPERM` by seccomp. membarrier(2).
pub fn has_fence_rseq() -> Result<bool> {
    Ok(membarrier(QUERY, 0, 0)? & PRIVATE_EXPEDITED_RSEQ != 0)
}

/// Whether this process has been registered: a fence costs microseconds from then on.
static REGISTERED: AtomicBool = AtomicBool::new(false);

/// Registers the process for [`fence_rseq`]. Needed once; a forked child inherits it. At once in a process
/// of one thread; in others the kernel waits some milliseconds for its CPUs.
///
/// Errors: as [`fence_rseq`]. membarrier(2).
pub fn register_rseq() -> Result<()> {
    membarrier(REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0)?;
    // Relaxed: a hint.
    REGISTERED.store(true, Ordering::Relaxed);
    Ok(())
}

/// Whether [`register_rseq`] was called, and succeeded.
pub fn is_registered() -> bool {
    // Relaxed: a hint.
    REGISTERED.load(Ordering::Relaxed)
}

/// Restarts the critical sections of this process that run on `cpu`, or on all CPUs for `None`, and
/// makes all memory written before the call visible to what they do next. A CPU that is offline, or
/// does not exist, has nothing to restart: that is a success. Kernels that cannot name one CPU
/// restart all.
///
/// The first fence of a process that has not been registered does that first.
///
/// Errors: `EINVAL` before Linux 5.10 or without rseq; `ENOSYS` without membarrier; `EPERM` by
/// seccomp. membarrier(2).
pub fn fence_rseq(cpu: Option<CpuId>) -> Result<()> {
    match fence(cpu) {
        Err(Errno::EPERM) => {
            register_rseq()?;
            fence(cpu)
        }
        Ok(()) => {
            // Somebody else may have registered the process. Relaxed: a hint.
            REGISTERED.store(true, Ordering::Relaxed);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn fence(cpu: Option<CpuId>) -> Result<()> {
    if let Some(CpuId(cpu)) = cpu {
        match membarrier(PRIVATE_EXPEDITED_RSEQ, FLAG_CPU, cpu) {
            Err(Errno::EINVAL) => {}
            result => return result.map(drop),
        }
    }
    membarrier(PRIVATE_EXPEDITED_RSEQ, 0, 0).map(drop)
}

fn membarrier(command: i32, flags: u32, cpu: u32) -> Result<i32> {
    gate(Call::Membarrier)?;
    // SAFETY: membarrier takes numbers only and touches no memory of the caller.
    check(unsafe { libc::syscall(libc::SYS_membarrier, command, flags, cpu) }).map(|answer| answer as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::fault::{self, calls};
    use crate::os::testing::in_child;

    #[test]
    fn the_first_fence_registers_the_process() {
        in_child(|| {
            if has_fence_rseq() != Ok(true) {
                return;
            }
            assert_eq!(fence(None), Err(Errno::EPERM));
            fence_rseq(Some(CpuId(0))).unwrap();
            fence(None).unwrap();
            fence(Some(CpuId(0))).unwrap();
            fence_rseq(Some(CpuId(9_999))).unwrap();
        });
    }

    #[test]
    fn a_kernel_that_cannot_name_one_cpu_fences_all() {
        in_child(|| {
            if has_fence_rseq() != Ok(true) || fence_rseq(None).is_err() {
                return;
            }
            let before = calls();
            fault::fail_nth(Call::Membarrier, 1, Errno::EINVAL);
            assert_eq!(fence_rseq(Some(CpuId(0))), Ok(()));
            assert_eq!(calls().since(&before).of(Call::Membarrier), 2);
        });
    }

    #[test]
    fn a_fence_that_is_refused_after_registration_is_an_error() {
        in_child(|| {
            fault::fail_all(Call::Membarrier, Errno::EPERM);
            assert_eq!(has_fence_rseq(), Err(Errno::EPERM));
            assert_eq!(fence_rseq(Some(CpuId(0))), Err(Errno::EPERM));
        });
    }
}
