//! On which page frames memory lies, by the kernel's word: so it shows whether a `realloc` moved pages or
//! copied bytes.

use std::{fs::File, os::unix::fs::FileExt};

/// Pages of a block that are looked at.
const SAMPLE: usize = 64;

/// The page size in bytes; a larger one would only be asked about more often.
const PAGE: usize = 4096;

/// The frame of each page of a sample spread over `bytes` bytes at `address`, which is the same for the same
/// length; empty where `/proc/self/pagemap` can't be read. A page that is not there, or whose frame is not
/// shown (to anybody without CAP_SYS_ADMIN), is `None`.
pub fn sample(address: usize, bytes: usize) -> Vec<Option<u64>> {
    let Ok(pagemap) = File::open("/proc/self/pagemap") else { return Vec::new() };
    let first = address.next_multiple_of(PAGE);
    let pages = (address + bytes).saturating_sub(first) / PAGE;
    let apart = pages.div_ceil(SAMPLE).max(1);
    (0..pages).step_by(apart).map(|page| frame(&pagemap, first / PAGE + page)).collect()
}

/// Bits 0 to 54 of an entry are the frame, bit 63 says that it is there (proc_pid_pagemap(5)).
fn frame(pagemap: &File, page: usize) -> Option<u64> {
    let mut entry = [0; 8];
    pagemap.read_exact_at(&mut entry, page as u64 * 8).ok()?;
    let entry = u64::from_ne_bytes(entry);
    let frame = entry & ((1 << 55) - 1);
    (entry >> 63 == 1 && frame != 0).then_some(frame)
}

/// The share of pages that lie on another frame than before; `None` if no frame is known both times.
pub fn changed(before: &[Option<u64>], after: &[Option<u64>]) -> Option<f64> {
    let known: Vec<bool> =
        before.iter().zip(after).filter_map(|(before, after)| Some((*before)? != (*after)?)).collect();
    let changed = known.iter().filter(|changed| **changed).count();
    (!known.is_empty()).then(|| changed as f64 / known.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_stays_keeps_its_frames_and_a_copy_has_others() {
        let original = vec![7_u8; 1 << 20];
        let at = |bytes: &[u8]| sample(bytes.as_ptr().addr(), bytes.len());
        let before = at(&original);
        assert_eq!(before.len(), 64);
        let copy = original.clone();
        if let Some(share) = changed(&before, &at(&original)) {
            // The kernel may move a page now and then.
            assert!(share < 0.5, "{share}");
            assert_eq!(changed(&before, &at(&copy)), Some(1.0));
        } else {
            eprintln!("skipped: the kernel does not show page frames here (CAP_SYS_ADMIN)");
        }
    }

    #[test]
    fn unknown_frames_count_neither_way() {
        assert_eq!(changed(&[None, Some(1), Some(2)], &[Some(9), Some(1), Some(3)]), Some(0.5));
        assert_eq!(changed(&[None], &[Some(1)]), None);
        assert_eq!(changed(&[], &[]), None);
    }
}
