//! Newtypes for the ids and the sizes that the whole crate speaks in.
//!
//! Floor 0: plain data, no neighbours.

/// Bytes in one piece, the unit in which a [`SuperSlab`](crate::units::SUPERSLAB_BYTES) is divided.
pub const PIECE_BYTES: usize = 64 << 10;
/// `log2(PIECE_BYTES)`.
pub const PIECE_SHIFT: u32 = 16;
/// Bytes in one SuperSlab; also its alignment.
pub const SUPERSLAB_BYTES: usize = 2 << 20;
/// `log2(SUPERSLAB_BYTES)`.
pub const SUPERSLAB_SHIFT: u32 = 21;
/// Pieces in one SuperSlab.
pub const PIECES: usize = SUPERSLAB_BYTES / PIECE_BYTES;
/// Bytes in a base page. Both supported architectures are run with 4 KiB pages here; larger base
/// pages work as long as they divide [`PIECE_BYTES`].
pub const PAGE_BYTES: usize = 4096;
/// Bytes in a cache line, for padding.
pub const CACHE_LINE_BYTES: usize = 64;
/// The largest number of nodes with memory that is told apart. More nodes than this share the last.
pub const MAX_NODES: usize = 64;
/// The largest CPU number that is served from a region of its own, plus one (Linux: `NR_CPUS` is
/// at most 8192).
pub const MAX_CPUS: usize = 8192;

/// A CPU number as the kernel counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuId(pub u32);

/// A memory node, numbered densely from 0 over the nodes that have memory this process may use.
///
/// Not the kernel's number: that one may have holes (see [`KernelNode`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u8);

/// A memory node as the kernel numbers it (`/sys/devices/system/node/nodeN`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelNode(pub u16);

impl NodeId {
    /// The only node of a one-node machine.
    pub const ZERO: Self = Self(0);

    /// The node's number as an index into arrays of [`MAX_NODES`].
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl CpuId {
    /// The CPU's number as an index.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

const _: () = assert!(1 << PIECE_SHIFT == PIECE_BYTES);
const _: () = assert!(1 << SUPERSLAB_SHIFT == SUPERSLAB_BYTES);
const _: () = assert!(PIECES == 32);
