//! A CPU quota: so much CPU time in so much time.

use std::cmp::Ordering;
use std::fmt;
use std::num::NonZero;

/// CPU time that a cgroup may use per period, over all CPUs (the kernel's CFS bandwidth control).
///
/// Quotas compare by the share of CPU time that they give.
#[derive(Clone, Copy, Debug)]
pub struct CpuQuota {
    time_us: u64,
    period_us: NonZero<u64>,
}

impl CpuQuota {
    /// `time_us` microseconds of CPU time in every `period_us` microseconds.
    pub const fn new(time_us: u64, period_us: NonZero<u64>) -> Self {
        Self { time_us, period_us }
    }

    /// How many CPUs could run all the time, as a fraction.
    pub fn cpus(self) -> f64 {
        self.time_us as f64 / self.period_us.get() as f64
    }

    /// How many CPUs can run all the time: rounded down, and at least 1.
    ///
    /// [`std::thread::available_parallelism`] rounds in the same way. Rounding up would let the
    /// kernel stop every worker for a part of each period.
    pub fn whole_cpus(self) -> usize {
        usize::try_from(self.time_us / self.period_us).unwrap_or(usize::MAX).max(1)
    }
}

impl Ord for CpuQuota {
    fn cmp(&self, other: &Self) -> Ordering {
        let cross = |a: &Self, b: &Self| u128::from(a.time_us) * u128::from(b.period_us.get());
        cross(self, other).cmp(&cross(other, self))
    }
}

impl PartialOrd for CpuQuota {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for CpuQuota {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for CpuQuota {}

impl fmt::Display for CpuQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} CPUs ({} us per {} us)", self.cpus(), self.time_us, self.period_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(time_us: u64, period_us: u64) -> CpuQuota {
        CpuQuota::new(time_us, NonZero::new(period_us).unwrap())
    }

    #[test]
    fn whole_cpus_round_down_but_not_to_zero() {
        let whole = [(10_000, 1), (100_000, 1), (199_999, 1), (250_000, 2), (800_000, 8)];
        for (time, cpus) in whole {
            assert_eq!(quota(time, 100_000).whole_cpus(), cpus, "{time}");
        }
    }

    #[test]
    fn quotas_compare_by_share() {
        assert_eq!(quota(50, 100), quota(1, 2));
        assert!(quota(u64::MAX, 1) > quota(u64::MAX, 2));
        assert!(quota(1, 3) < quota(1, 2));
    }

    #[test]
    fn prints_cpus_and_the_kernels_numbers() {
        assert_eq!(quota(150_000, 100_000).to_string(), "1.50 CPUs (150000 us per 100000 us)");
    }
}
