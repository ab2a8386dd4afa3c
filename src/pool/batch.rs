//! Blocks that travel together: a short list on the stack of whoever carries it.

use core::mem::MaybeUninit;

/// The most blocks in a batch.
pub(crate) const MAX_BATCH: usize = if cfg!(loom) { 2 } else { 128 };

/// Up to [`MAX_BATCH`] blocks. Cells beyond the length are not initialised: most batches are short.
pub(crate) struct Batch {
    len: usize,
    reads_zero: bool,
    blocks: [MaybeUninit<*mut u8>; MAX_BATCH],
}

impl Batch {
    /// An empty batch.
    #[inline]
    pub(crate) const fn new() -> Self {
        Self { len: 0, reads_zero: false, blocks: [const { MaybeUninit::uninit() }; MAX_BATCH] }
    }

    /// The blocks.
    #[inline]
    pub(crate) fn blocks(&mut self) -> &mut [*mut u8] {
        // SAFETY: `len` is at most MAX_BATCH, and the cells below it are initialised: `push` and
        // `fill` see to both.
        unsafe { core::slice::from_raw_parts_mut(self.blocks.as_mut_ptr().cast(), self.len) }
    }

    /// How many blocks there are.
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody has written to the blocks since the kernel gave their memory.
    #[inline]
    pub(crate) const fn reads_zero(&self) -> bool {
        self.reads_zero
    }

    /// Notes whether nobody has.
    #[inline]
    pub(crate) const fn set_reads_zero(&mut self, reads_zero: bool) {
        self.reads_zero = reads_zero;
    }

    /// Adds a block; does nothing if the batch is full.
    #[inline]
    pub(crate) fn push(&mut self, block: *mut u8) {
        if let Some(cell) = self.blocks.get_mut(self.len) {
            cell.write(block);
            self.len += 1;
        }
    }

    /// Takes the last block off.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<*mut u8> {
        let last = self.blocks().last().copied()?;
        self.len -= 1;
        Some(last)
    }

    /// Replaces the content: `write(cells, most)` writes up to `most` blocks to `cells` and returns
    /// how many. Returns that too.
    ///
    /// # Safety
    /// `write` must have initialised as many cells as it says, and no more than `most`.
    #[inline]
    pub(crate) unsafe fn fill(
        &mut self,
        most: usize,
        write: impl FnOnce(*mut *mut u8, usize) -> usize,
    ) -> usize {
        self.len = write(self.blocks.as_mut_ptr().cast(), most.min(MAX_BATCH)).min(MAX_BATCH);
        self.len
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn block(n: usize) -> *mut u8 {
        core::ptr::without_provenance_mut(n)
    }

    #[test]
    fn holds_what_was_pushed_and_no_more_than_fits() {
        let mut batch = Batch::new();
        assert_eq!((batch.len(), batch.pop()), (0, None));
        (1..=MAX_BATCH + 3).for_each(|n| batch.push(block(n)));
        assert_eq!((batch.len(), batch.pop()), (MAX_BATCH, Some(block(MAX_BATCH))));
        assert_eq!(batch.blocks()[..2], [block(1), block(2)]);
    }

    #[test]
    fn fill_replaces_the_content() {
        let mut batch = Batch::new();
        batch.push(block(9));
        // SAFETY: writes two cells and says so.
        let filled = unsafe {
            batch.fill(5, |cells, most| {
                assert_eq!(most, 5);
                cells.write(block(1));
                cells.add(1).write(block(2));
                2
            })
        };
        assert_eq!((filled, &*batch.blocks()), (2, &[block(1), block(2)][..]));
    }
}
