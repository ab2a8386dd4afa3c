//! The numbers by which the kernel knows CPUs, nodes and packages.
//!
//! They are newtypes so that a CPU is never taken for a node. All of them are the kernel's own
//! numbers: they may have holes, and say nothing about nearness.

use std::fmt;

/// A number that the kernel gives to one kind of thing, and that an [`IdSet`](crate::IdSet) holds.
pub trait Id: Copy + Ord + fmt::Debug + fmt::Display {
    /// The first number that is no longer believed to be one of this kind.
    ///
    /// It keeps a damaged or hostile list such as `0-4294967295` from filling the memory.
    const LIMIT: u32;

    /// The id with the number `number`.
    fn from_number(number: u32) -> Self;

    /// The kernel's number.
    fn number(self) -> u32;
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $word:literal, $limit:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl Id for $name {
            const LIMIT: u32 = $limit;

            fn from_number(number: u32) -> Self {
                Self(number)
            }

            fn number(self) -> u32 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($word, " {}"), self.0)
            }
        }
    };
}

id! {
    /// A logical CPU (a hardware thread), as in `/sys/devices/system/cpu/cpuN`.
    CpuId, "CPU", 1 << 16
}

id! {
    /// A NUMA node, as in `/sys/devices/system/node/nodeN`.
    NodeId, "node", 1 << 12
}

id! {
    /// A package (socket), as in `topology/physical_package_id`.
    PackageId, "package", 1 << 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_prints_its_kind() {
        assert_eq!(CpuId(3).to_string(), "CPU 3");
        assert_eq!(NodeId(0).to_string(), "node 0");
        assert_eq!(PackageId(1).to_string(), "package 1");
    }
}
