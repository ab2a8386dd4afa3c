//! The contestants by name: how the user writes them, and what their children need.
//!
//! This module knows no allocator's code: each one is linked by a program of its own
//! (`contestants/`), which exists if the cargo feature of that name is on.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// An allocator that can take part, in the order of tables and pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allocator {
    /// This project, as it is by default.
    Numaslab,
    /// This project with the profile `speed`.
    NumaslabSpeed,
    /// This project with the profile `lean`.
    NumaslabLean,
    /// This project with 64 MiB per node made ready at start.
    NumaslabPrewarmed,
    /// This project with memory behind every SuperSlab from the first moment, and 64 MiB ready at start.
    NumaslabPrefaulted,
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
    /// Every allocator, without the ceiling and the [variants](Self::VARIANTS).
    pub const ALL: [Self; 7] = [
        Self::Numaslab,
        Self::Glibc,
        Self::Mimalloc,
        Self::Jemalloc,
        Self::Snmalloc,
        Self::Rpmalloc,
        Self::Tcmalloc,
    ];

    /// This project in other settings. They take part where they are named.
    pub const VARIANTS: [Self; 4] =
        [Self::NumaslabSpeed, Self::NumaslabLean, Self::NumaslabPrewarmed, Self::NumaslabPrefaulted];

    /// The allocator whose programs it is, which is another one only for a variant.
    pub fn program(self) -> Self {
        if Self::VARIANTS.contains(&self) { Self::Numaslab } else { self }
    }

    /// The name on the command line, in tables and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Numaslab => "numaslab",
            Self::NumaslabSpeed => "numaslab-speed",
            Self::NumaslabLean => "numaslab-lean",
            Self::NumaslabPrewarmed => "numaslab-prewarmed",
            Self::NumaslabPrefaulted => "numaslab-prefaulted",
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
        !self.is_optional()
            || match self {
                Self::Jemalloc => cfg!(feature = "jemalloc"),
                Self::Snmalloc => cfg!(feature = "snmalloc"),
                Self::Rpmalloc => cfg!(feature = "rpmalloc"),
                _ => cfg!(feature = "tcmalloc"),
            }
    }

    /// Whether a cargo feature of its name brought it in.
    pub fn is_optional_and_present(self) -> bool {
        self.is_optional() && self.is_present()
    }

    fn is_optional(self) -> bool {
        matches!(self, Self::Jemalloc | Self::Snmalloc | Self::Rpmalloc | Self::Tcmalloc)
    }

    /// The environment its children get on top of the parent's.
    ///
    /// TCMalloc registers its own rseq area, which the kernel refuses while glibc's is registered.
    pub fn environment(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Tcmalloc => &[("GLIBC_TUNABLES", "glibc.pthread.rseq=0")],
            Self::NumaslabSpeed => &[("NUMASLAB_PROFILE", "speed")],
            Self::NumaslabLean => &[("NUMASLAB_PROFILE", "lean")],
            Self::NumaslabPrewarmed => &[("NUMASLAB_PREWARM", "32")],
            Self::NumaslabPrefaulted => &[("NUMASLAB_PREWARM", "32"), ("NUMASLAB_PREFAULT", "on")],
            _ => &[],
        }
    }

    /// Its colour in pictures, as red, green and blue.
    pub fn colour(self) -> (u8, u8, u8) {
        match self {
            Self::Numaslab => (214, 39, 40),
            Self::NumaslabSpeed => (255, 152, 150),
            Self::NumaslabLean => (127, 0, 0),
            Self::NumaslabPrewarmed => (247, 182, 210),
            Self::NumaslabPrefaulted => (227, 119, 194),
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
        let named = || Self::ALL.into_iter().chain(Self::VARIANTS);
        let names = || named().map(Self::name).collect::<Vec<_>>().join(", ");
        named()
            .chain([Self::Ceiling])
            .find(|allocator| allocator.name() == name)
            .ok_or_else(|| format!("no allocator is called '{name}' (there are {})", names()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_this_project_in_an_environment_of_their_own() {
        for variant in Allocator::VARIANTS {
            assert_eq!(variant.program(), Allocator::Numaslab);
            assert!(!variant.environment().is_empty() && variant.is_present());
            assert!(!variant.is_optional_and_present());
        }
        assert_eq!(Allocator::Tcmalloc.program(), Allocator::Tcmalloc);
    }

    #[test]
    fn names_are_read_back() {
        for allocator in Allocator::ALL.into_iter().chain(Allocator::VARIANTS) {
            assert_eq!(allocator.name().parse(), Ok(allocator));
            let quoted = format!("\"{allocator}\"");
            assert_eq!(serde_json::to_string(&allocator).expect("a name"), quoted);
        }
        assert!("malloc".parse::<Allocator>().expect_err("unknown").contains("mimalloc"));
    }
}
