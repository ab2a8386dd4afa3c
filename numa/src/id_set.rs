//! Sets of CPUs and of nodes, in the kernel's own notation.
//!
//! [`IdSet`] is an ordered set that reads and writes the list format of sysfs and of cpusets
//! (`0-3,8,10-11`; see `cpuset(7)`, "List format"). Neighbours: [`crate::id`] below it, everything
//! else above.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::id::{CpuId, Id, NodeId};

/// An ordered set of ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdSet<T: Id>(BTreeSet<T>);

/// A set of CPUs.
pub type CpuSet = IdSet<CpuId>;
/// A set of NUMA nodes.
pub type NodeSet = IdSet<NodeId>;

impl<T: Id> IdSet<T> {
    /// The empty set.
    pub const fn new() -> Self {
        Self(BTreeSet::new())
    }

    /// The set of `id` alone.
    pub fn only(id: T) -> Self {
        Self(BTreeSet::from([id]))
    }

    /// How many ids are in the set.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `id` is in the set.
    pub fn contains(&self, id: T) -> bool {
        self.0.contains(&id)
    }

    /// Adds `id`; tells whether it was new.
    pub fn insert(&mut self, id: T) -> bool {
        self.0.insert(id)
    }

    /// The smallest id.
    pub fn first(&self) -> Option<T> {
        self.0.first().copied()
    }

    /// The largest id.
    pub fn last(&self) -> Option<T> {
        self.0.last().copied()
    }

    /// The ids in ascending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = T> + '_ {
        self.0.iter().copied()
    }

    /// What is in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).copied().collect())
    }

    /// What is in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).copied().collect())
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).copied().collect())
    }

    /// Whether every id of this set is in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }
}

impl<T: Id> Default for IdSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Id> FromIterator<T> for IdSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(ids: I) -> Self {
        Self(ids.into_iter().collect())
    }
}

impl<T: Id> fmt::Display for IdSet<T> {
    /// The kernel's list format; nothing for the empty set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut numbers = self.iter().map(Id::number).peekable();
        let mut separator = "";
        while let Some(first) = numbers.next() {
            let mut last = first;
            while let Some(next) = numbers.next_if(|&n| n == last + 1) {
                last = next;
            }
            match last - first {
                0 => write!(f, "{separator}{first}")?,
                _ => write!(f, "{separator}{first}-{last}")?,
            }
            separator = ",";
        }
        Ok(())
    }
}

/// A text that is not in the kernel's list format, or names an id that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a list such as 0-3,8")]
pub struct ParseIdSetError(String);

impl<T: Id> FromStr for IdSet<T> {
    type Err = ParseIdSetError;

    /// Reads the kernel's list format; white space around the list and an empty list are fine.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let mut set = Self::new();
        for part in text.split(',').filter(|_| !text.is_empty()) {
            let (first, last) = parse_range(part)
                .filter(|r| r.1 < T::LIMIT)
                .ok_or_else(|| ParseIdSetError(text.to_owned()))?;
            set.0.extend((first..=last).map(T::from_number));
        }
        Ok(set)
    }
}

/// `a` or `a-b` with `a <= b`.
fn parse_range(part: &str) -> Option<(u32, u32)> {
    let (first, last) = part.split_once('-').unwrap_or((part, part));
    let (first, last) = (parse_number(first)?, parse_number(last)?);
    (first <= last).then_some((first, last))
}

/// Digits only: `u32::from_str` would also take a sign.
fn parse_number(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cpus(numbers: &[u32]) -> CpuSet {
        numbers.iter().copied().map(CpuId).collect()
    }

    #[test]
    fn reads_the_kernels_list_format() {
        assert_eq!("0-3,8,10-11\n".parse(), Ok(cpus(&[0, 1, 2, 3, 8, 10, 11])));
        assert_eq!("\n".parse(), Ok(CpuSet::new()));
        assert_eq!("7".parse(), Ok(cpus(&[7])));
    }

    #[test]
    fn refuses_what_is_no_list() {
        for text in ["a", "1-", "-1", "3-1", "0,,1", "+1", "0-4294967295", "99999", "1;2", "0x1"] {
            assert!(text.parse::<CpuSet>().is_err(), "{text}");
        }
    }

    #[test]
    fn writes_the_kernels_list_format() {
        assert_eq!(cpus(&[0, 1, 2, 3, 8, 10, 11]).to_string(), "0-3,8,10-11");
        assert_eq!(CpuSet::new().to_string(), "");
    }

    #[test]
    fn set_algebra() {
        let (a, b) = (cpus(&[0, 1, 2]), cpus(&[2, 3]));
        assert_eq!(a.intersection(&b), cpus(&[2]));
        assert_eq!(a.union(&b), cpus(&[0, 1, 2, 3]));
        assert_eq!(a.difference(&b), cpus(&[0, 1]));
        assert!(cpus(&[1]).is_subset(&a) && !b.is_subset(&a));
        assert_eq!((a.first(), b.last()), (Some(CpuId(0)), Some(CpuId(3))));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(numbers in prop::collection::btree_set(0_u32..4096, 0..64)) {
            let set: NodeSet = numbers.into_iter().filter(|&n| n < NodeId::LIMIT).map(NodeId).collect();
            prop_assert_eq!(set.to_string().parse(), Ok(set));
        }
    }
}
