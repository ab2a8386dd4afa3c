//! The contestants by name: how the user writes them, and what their children need.
//!
//! This module knows no allocator's code: each one is linked by a program of its own
//! (`contestants/`), which exists if the cargo feature of that name is on.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// An allocator that can take part, in the order of tables and pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Allocator {
    /// This project.
    Numaslab,
    /// The C library's `malloc`: Rust's `System`.
    Glibc,
    /// Microsoft's mimalloc, version 3.
    Mimalloc,
    /// jemalloc, as kept by TiKV.
    Jemalloc,
    /// Microsoft Research's snmalloc.
    Snmalloc,
    /// Mattias Jansson's rpmalloc.
    Rpmalloc,
    /// Google's TCMalloc (not the one of gperftools).
    Tcmalloc,
    /// No allocator: bare stacks of pointers, the bound that a loop sets.
    Ceiling,
}

impl Allocator {
    /// Every allocator, without the ceiling.
    pub const ALL: [Self; 7] = [
        Self::Numaslab,
        Self::Glibc,
        Self::Mimalloc,
        Self::Jemalloc,
        Self::Snmalloc,
        Self::Rpmalloc,
        Self::Tcmalloc,
    ];

    /// The name on the command line, in tables and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Numaslab => "numaslab",
            Self::Glibc => "glibc",
            Self::Mimalloc => "mimalloc",
            Self::Jemalloc => "jemalloc",
            Self::Snmalloc => "snmalloc",
            Self::Rpmalloc => "rpmalloc",
            Self::Tcmalloc => "tcmalloc",
            Self::Ceiling => "ceiling",
        }
    }

    /// The allocators whose children are built along with this program.
    pub fn present() -> Vec<Self> {
        Self::ALL.into_iter().filter(|allocator| allocator.is_present()).collect()
    }

    fn is_present(self) -> bool {
        match self {
            Self::Numaslab | Self::Glibc | Self::Mimalloc | Self::Ceiling => true,
            Self::Jemalloc => cfg!(feature = "jemalloc"),
            Self::Snmalloc => cfg!(feature = "snmalloc"),
            Self::Rpmalloc => cfg!(feature = "rpmalloc"),
            Self::Tcmalloc => cfg!(feature = "tcmalloc"),
        }
    }

    /// Whether a cargo feature of its name brought it in.
    pub fn is_optional_and_present(self) -> bool {
        let always = matches!(self, Self::Numaslab | Self::Glibc | Self::Mimalloc | Self::Ceiling);
        !always && self.is_present()
    }

    /// The environment its children get on top of the parent's.
    ///
    /// TCMalloc registers its own rseq area, which the kernel refuses while glibc's is registered.
    pub fn environment(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Tcmalloc => &[("GLIBC_TUNABLES", "glibc.pthread.rseq=0")],
            _ => &[],
        }
    }

    /// Its colour in pictures, as red, green and blue.
    pub fn colour(self) -> (u8, u8, u8) {
        match self {
            Self::Numaslab => (214, 39, 40),
            Self::Glibc => (120, 120, 120),
            Self::Mimalloc => (31, 119, 180),
            Self::Jemalloc => (44, 160, 44),
            Self::Snmalloc => (255, 127, 14),
            Self::Rpmalloc => (148, 103, 189),
            Self::Tcmalloc => (140, 86, 75),
            Self::Ceiling => (190, 190, 190),
        }
    }
}

impl fmt::Display for Allocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Allocator {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .chain([Self::Ceiling])
            .find(|allocator| allocator.name() == name)
            .ok_or_else(|| format!("no allocator is called '{name}' (there are {})", names()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for allocator in Allocator::ALL {
            assert_eq!(allocator.name().parse(), Ok(allocator));
        }
        assert!("malloc".parse::<Allocator>().expect_err("unknown").contains("mimalloc"));
    }
}
