//! Threads that are really joined, and CPUs to run them on.

use std::thread;

/// Runs `work(0)` to `work(count - 1)` in a thread each, and joins them all: when this returns the threads
/// have ended, exit hooks included (the end of a scope alone waits for their closures only).
pub(crate) fn run<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let work = &work;
        let handles: Vec<_> = (0..count)
            .map(|number| {
                let builder = thread::Builder::new().stack_size(256 << 10);
                builder.spawn_scoped(scope, move || work(number)).expect("a thread")
            })
            .collect();
        handles.into_iter().map(|handle| handle.join().expect("a thread panicked")).collect()
    })
}

/// The CPUs that the calling thread may run on.
pub(crate) fn allowed_cpus() -> Vec<usize> {
    // SAFETY: a set of zeroes is empty; the kernel fills it in; the numbers asked for are within it.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        assert_eq!(libc::sched_getaffinity(0, size_of_val(&set), &raw mut set), 0);
        (0..8 * size_of_val(&set)).filter(|cpu| libc::CPU_ISSET(*cpu, &set)).collect()
    }
}

/// Lets the calling thread run on `cpus` only.
pub(crate) fn pin(cpus: &[usize]) {
    // SAFETY: the numbers come from `allowed_cpus`; the kernel copies the set.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        cpus.iter().for_each(|cpu| libc::CPU_SET(*cpu, &mut set));
        assert_eq!(libc::sched_setaffinity(0, size_of_val(&set), &raw const set), 0);
    }
}
