//! Restartable sequences: whose area, how large, and whether they work.

use numaslab::telemetry::sequences;

use super::files::Files;
use crate::report::{Area, Rseq};

/// `AT_RSEQ_FEATURE_SIZE` of the auxiliary vector (`linux/auxvec.h`).
const FEATURE_BYTES: u64 = 27;

/// Asks numaslab, and the auxiliary vector.
pub(super) fn rseq(files: &Files) -> Rseq {
    let found = sequences();
    Rseq {
        works: found.self_test.is_ok(),
        self_test: found.self_test.map_or_else(|why| why.to_string(), |()| "passed".to_owned()),
        area: if found.libc_area_bytes.is_some_and(|bytes| bytes > 0) { Area::Libc } else { Area::Own },
        libc_area_bytes: found.libc_area_bytes,
        kernel_feature_bytes: auxiliary(&files.bytes("proc/self/auxv").unwrap_or_default(), FEATURE_BYTES),
    }
}

/// The value of `kind` in an auxiliary vector: pairs of words, `getauxval(3)`.
fn auxiliary(vector: &[u8], kind: u64) -> Option<u64> {
    let words = vector.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().expect("8 bytes")));
    let words: Vec<u64> = words.collect();
    words.chunks_exact(2).find(|pair| pair[0] == kind).map(|pair| pair[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_auxiliary_vector_is_pairs_of_words() {
        let vector: Vec<u8> = [6u64, 27, 27, 28, 0, 0].iter().flat_map(|word| word.to_ne_bytes()).collect();
        assert_eq!(auxiliary(&vector, 27), Some(28));
        assert_eq!(auxiliary(&vector, 6), Some(27));
        assert_eq!(auxiliary(&vector, 5), None);
    }
}
