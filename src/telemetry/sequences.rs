//! Restartable sequences of this process, asked anew: what the C library registers, and whether they work.
//!
//! The heap asked the same at start (`Stats::cache_mode` has the outcome), but not where the configuration says
//! per-thread caches; this asks in any case.

use crate::rseq::area::{self, Owner};
use crate::rseq::self_test::{self, Distrust};

/// What there is of restartable sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequences {
    /// Bytes of the area that the C library registers for each thread (`__rseq_size`); 0 if it registers none
    /// here, `None` if it knows nothing of areas (before glibc 2.35; musl). Where it registers none,
    /// numaslab registers its own.
    pub libc_area_bytes: Option<u32>,
    /// Whether they work in the calling thread: registration, the CPU number, each critical section.
    pub self_test: Result<(), Distrust>,
}

/// Asks the C library and the kernel, and runs the self-test; some microseconds. An area of numaslab's own is
/// registered for that time if it was not already.
pub fn sequences() -> Sequences {
    let (area, owner): (_, Owner) = area::find();
    Sequences { libc_area_bytes: area::libc_bytes(), self_test: self_test::probe(area, owner) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_changes_no_registration() {
        std::thread::spawn(|| {
            let registered = || area::cpu_id(area::find().0).is_some();
            let before = registered();
            let found = sequences();
            assert_eq!(registered(), before);
            assert_eq!(found, sequences());
            // The C library's area is registered before the thread runs.
            assert!(found.libc_area_bytes.unwrap_or(0) == 0 || found.self_test.is_ok(), "{found:?}");
        })
        .join()
        .unwrap();
    }
}
