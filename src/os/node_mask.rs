//! A set of kernel nodes, in the form in which the kernel reads and writes it.

use crate::units::KernelNode;

/// A set of kernel nodes, numbers 0 to [`NodeMask::BITS`] - 1. Laid out as the kernel wants it: an
/// array of 64-bit words, node n is bit n % 64 of word n / 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct NodeMask {
    words: [u64; Self::WORDS],
}

impl NodeMask {
    /// How many nodes the set can tell apart; Linux has at most 1024 (`CONFIG_NODES_SHIFT` 10).
    pub const BITS: usize = 1024;
    const WORDS: usize = Self::BITS / 64;
    /// What the kernel wants to hear as the length of the mask: it takes one off.
    pub(super) const KERNEL_BITS: usize = Self::BITS + 1;

    /// No node.
    pub const EMPTY: Self = Self { words: [0; Self::WORDS] };

    /// One node.
    pub const fn only(node: KernelNode) -> Self {
        let mut mask = Self::EMPTY;
        mask.insert(node);
        mask
    }

    /// Adds a node; a number beyond [`BITS`](Self::BITS) is ignored.
    pub const fn insert(&mut self, node: KernelNode) {
        let bit = node.0 as usize;
        if bit < Self::BITS {
            self.words[bit / 64] |= 1 << (bit % 64);
        }
    }

    /// Whether the node is in the set.
    pub const fn contains(&self, node: KernelNode) -> bool {
        let bit = node.0 as usize;
        bit < Self::BITS && self.words[bit / 64] >> (bit % 64) & 1 != 0
    }

    /// The nodes that are in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        let mut mask = *self;
        for (word, with) in mask.words.iter_mut().zip(&other.words) {
            *word &= with;
        }
        mask
    }

    /// Whether no node is in the set.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// How many nodes are in the set.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The nodes of the set, in rising order.
    pub fn iter(&self) -> impl Iterator<Item = KernelNode> + '_ {
        (0..Self::BITS as u16).map(KernelNode).filter(|node| self.contains(*node))
    }

    /// The words as the kernel reads them; good for [`KERNEL_BITS`](Self::KERNEL_BITS).
    pub(super) const fn as_ptr(&self) -> *const u64 {
        self.words.as_ptr()
    }

    /// The words as the kernel writes them; good for [`KERNEL_BITS`](Self::KERNEL_BITS).
    pub(super) const fn as_mut_ptr(&mut self) -> *mut u64 {
        self.words.as_mut_ptr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_hold_what_was_put_in() {
        let mut mask = NodeMask::only(KernelNode(1023));
        mask.insert(KernelNode(64));
        mask.insert(KernelNode(1024));
        mask.insert(KernelNode(u16::MAX));
        assert!(mask.iter().eq([KernelNode(64), KernelNode(1023)]));
        assert!(!mask.contains(KernelNode(0)) && !mask.contains(KernelNode(1024)));
        assert_eq!(mask.count(), 2);
        assert_eq!(mask.intersection(&NodeMask::only(KernelNode(64))).count(), 1);
        assert!(mask.intersection(&NodeMask::only(KernelNode(65))).is_empty());
    }
}
