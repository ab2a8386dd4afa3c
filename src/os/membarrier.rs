//! Restarting the restartable sequences of other CPUs: `membarrier(2)`.
//!
//! After [`fence_rseq`] returns, every thread that was inside a critical section on the named CPUs
//! has been restarted, and every later one sees the memory written before the call. This is what
//! makes a region revocable.

use super::errno::{Errno, Result, check};
use super::fault::{Call, gate};
use crate::units::CpuId;

const PRIVATE_EXPEDITED_RSEQ: i32 = 1 << 7;
const REGISTER_PRIVATE_EXPEDITED_RSEQ: i32 = 1 << 8;
const FLAG_CPU: u32 = 1;

/// Declares that this process will use [`fence_rseq`]. Needed once; a forked child inherits it.
///
/// Errors: `EINVAL` before Linux 5.10 or without rseq; `ENOSYS` without membarrier; `EPERM` by
/// seccomp. membarrier(2).
pub fn register_rseq() -> Result<()> {
    membarrier(REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0)
}

/// Restarts the critical sections of this process that run on `cpu`, or on all CPUs for `None`, and
/// makes all memory written before the call visible to what they do next. A CPU that is offline, or
/// does not exist, has nothing to restart: that is a success. Kernels that cannot name one CPU
/// restart all.
///
/// Errors: `EPERM` before [`register_rseq`]; else as there. membarrier(2).
pub fn fence_rseq(cpu: Option<CpuId>) -> Result<()> {
    if let Some(CpuId(cpu)) = cpu {
        match membarrier(PRIVATE_EXPEDITED_RSEQ, FLAG_CPU, cpu) {
            Err(Errno::EINVAL) => {}
            result => return result,
        }
    }
    membarrier(PRIVATE_EXPEDITED_RSEQ, 0, 0)
}

fn membarrier(command: i32, flags: u32, cpu: u32) -> Result<()> {
    gate(Call::Membarrier)?;
    // SAFETY: membarrier takes numbers only and touches no memory of the caller.
    check(unsafe { libc::syscall(libc::SYS_membarrier, command, flags, cpu) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::fault::{self, calls};
    use crate::os::testing::in_child;

    #[test]
    fn fences_work_after_registration_and_not_before() {
        in_child(|| {
            let early = fence_rseq(None);
            if matches!(early, Err(Errno::EINVAL | Errno::ENOSYS)) {
                return;
            }
            assert_eq!(early, Err(Errno::EPERM));
            assert_eq!(fence_rseq(Some(CpuId(0))), Err(Errno::EPERM));
            register_rseq().unwrap();
            fence_rseq(None).unwrap();
            fence_rseq(Some(CpuId(0))).unwrap();
            fence_rseq(Some(CpuId(9_999))).unwrap();
        });
    }

    #[test]
    fn a_kernel_that_cannot_name_one_cpu_fences_all() {
        in_child(|| {
            if register_rseq().is_err() {
                return;
            }
            let before = calls();
            fault::fail_nth(Call::Membarrier, 1, Errno::EINVAL);
            assert_eq!(fence_rseq(Some(CpuId(0))), Ok(()));
            assert_eq!(calls().since(&before).of(Call::Membarrier), 2);
            fault::fail_nth(Call::Membarrier, 1, Errno::EPERM);
            assert_eq!(fence_rseq(Some(CpuId(0))), Err(Errno::EPERM));
        });
    }
}
