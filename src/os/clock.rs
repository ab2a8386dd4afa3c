//! A cheap clock for ages.

use super::fault::{Call, inject};

/// Milliseconds since some fixed moment. Never goes back, stands still while the machine sleeps, and
/// is a few milliseconds coarse. 0 if there is no such clock: then nothing ever ages.
///
/// clock_gettime(2) with `CLOCK_MONOTONIC_COARSE`, usually without a system call.
pub fn monotonic_ms() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    if inject(Call::Clock).is_err() {
        return 0;
    }
    // SAFETY: writes one timespec, which `now` is.
    if unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) } != 0 {
        return 0;
    }
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::sleep;
    use std::time::Duration;

    #[test]
    fn time_passes_in_milliseconds_and_never_back() {
        let start = monotonic_ms();
        let mut last = start;
        for _ in 0..5 {
            sleep(Duration::from_millis(20));
            let now = monotonic_ms();
            assert!(now >= last);
            last = now;
        }
        // At least the 100 ms slept, less one tick; at most what a loaded machine makes of them.
        assert!((90..60_000).contains(&(last - start)), "{} ms", last - start);
    }
}
