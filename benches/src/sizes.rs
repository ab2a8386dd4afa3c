//! Ranges of block sizes, as the user writes them (`16-1024`, `64KiB-1MiB`) and as loops draw them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::rng::scale;

/// The size of one block in bytes: at least 1, at most [`SizeRange::LIMIT`], so that together with
/// a small alignment it always makes a valid `Layout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockSize(u32);

impl BlockSize {
    /// A size fixed in the source of a workload. Panics (while compiling, in a const) if it is 0.
    pub const fn new(bytes: u32) -> Self {
        assert!(bytes > 0 && bytes <= SizeRange::LIMIT, "a block has 1 byte to 1 GiB");
        Self(bytes)
    }

    /// The size in bytes.
    #[inline(always)]
    pub fn bytes(self) -> usize {
        self.0 as usize
    }
}

/// An inclusive range of block sizes, drawn from evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "(u32, u32)", into = "(u32, u32)")]
pub struct SizeRange {
    min: u32,
    /// How many different sizes there are: `max - min + 1`.
    span: u32,
}

impl SizeRange {
    /// The largest size a range may contain, in bytes.
    pub const LIMIT: u32 = 1 << 30;

    /// The range `min..=max`, in bytes.
    pub fn new(min: u32, max: u32) -> Result<Self, String> {
        if min == 0 {
            return Err("a block has at least 1 byte".into());
        }
        if min > max {
            return Err(format!("the smallest size {min} is above the largest {max}"));
        }
        if max > Self::LIMIT {
            return Err(format!("{max} bytes is more than the largest block allowed here, 1 GiB"));
        }
        Ok(Self { min, span: max - min + 1 })
    }

    /// The smallest size.
    pub fn min(self) -> BlockSize {
        BlockSize(self.min)
    }

    /// The largest size.
    pub fn max(self) -> BlockSize {
        BlockSize(self.min + self.span - 1)
    }

    /// The size that 32 random bits stand for.
    #[inline(always)]
    pub fn pick(self, bits: u32) -> BlockSize {
        BlockSize(self.min + scale(bits, self.span))
    }
}

impl FromStr for SizeRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (min, max) = match text.split_once('-') {
            Some((min, max)) => (parse_bytes(min)?, parse_bytes(max)?),
            None => {
                let only = parse_bytes(text)?;
                (only, only)
            }
        };
        Self::new(min, max)
    }
}

impl TryFrom<(u32, u32)> for SizeRange {
    type Error = String;

    fn try_from((min, max): (u32, u32)) -> Result<Self, String> {
        Self::new(min, max)
    }
}

impl From<SizeRange> for (u32, u32) {
    fn from(range: SizeRange) -> Self {
        (range.min, range.min + (range.span - 1))
    }
}

/// Shows `64 B`, `16-1024 B`, `1-32 KiB`, `64 KiB-1 MiB`.
impl fmt::Display for SizeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (min, max): (u32, u32) = (*self).into();
        // Up to 1 KiB, bytes are what people say.
        let in_bytes = max <= 1024;
        let (low, low_unit) = if in_bytes { (min, "B") } else { in_units(min) };
        let (high, high_unit) = if in_bytes { (max, "B") } else { in_units(max) };
        match () {
            () if min == max => write!(f, "{high} {high_unit}"),
            () if low_unit == high_unit => write!(f, "{low}-{high} {high_unit}"),
            () => write!(f, "{low} {low_unit}-{high} {high_unit}"),
        }
    }
}

/// Reads `4096`, `4K`, `4KiB`, `1M`, `1MiB`, `1G` or `1GiB`.
///
/// # Errors
/// If it is none of these, or 4 GiB and more.
pub fn parse_bytes(text: &str) -> Result<u32, String> {
    let text = text.trim();
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let unit: u64 = match text[digits.len()..].trim() {
        "" | "B" => 1,
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        other => return Err(format!("unknown unit '{other}' in '{text}' (B, KiB, MiB or GiB)")),
    };
    let count: u64 =
        digits.parse().map_err(|_| format!("'{text}' is not a size (write 16-1024 or 64KiB-1MiB)"))?;
    count
        .checked_mul(unit)
        .and_then(|bytes| u32::try_from(bytes).ok())
        .ok_or_else(|| format!("'{text}' is too large a size"))
}

/// The number in the largest unit of which it is a multiple.
fn in_units(bytes: u32) -> (u32, &'static str) {
    match bytes.trailing_zeros() {
        20.. => (bytes >> 20, "MiB"),
        10.. => (bytes >> 10, "KiB"),
        _ => (bytes, "B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_shown() {
        for (text, min, max, shown) in [
            ("16-1024", 16, 1024, "16-1024 B"),
            ("1KiB-32KiB", 1024, 32768, "1-32 KiB"),
            ("1M-1G", 1 << 20, 1 << 30, "1-1024 MiB"),
            ("64K-1M", 65536, 1 << 20, "64 KiB-1 MiB"),
            ("100-5000", 100, 5000, "100-5000 B"),
            ("64", 64, 64, "64 B"),
        ] {
            let range: SizeRange = text.parse().expect(text);
            assert_eq!((range.min().bytes(), range.max().bytes()), (min, max));
            assert_eq!(range.to_string(), shown);
            let json = serde_json::to_string(&range).expect("serialises");
            assert_eq!(serde_json::from_str::<SizeRange>(&json).expect("reads back"), range);
        }
        assert!(serde_json::from_str::<SizeRange>("[8,4]").is_err());
    }

    #[test]
    fn wrong_ranges_say_what_is_wrong() {
        for (text, complaint) in [
            ("0-8", "at least 1 byte"),
            ("9-8", "above the largest"),
            ("8-x", "unknown unit"),
            ("-8", "not a size"),
            ("1-5000MiB", "too large"),
            ("1-2000MiB", "1 GiB"),
        ] {
            let error = text.parse::<SizeRange>().expect_err(text);
            assert!(error.contains(complaint), "{text}: {error}");
        }
    }

    #[test]
    fn picks_cover_the_range_and_nothing_else() {
        let range = SizeRange::new(5, 8).expect("valid");
        assert_eq!(range.pick(0), range.min());
        assert_eq!(range.pick(u32::MAX), range.max());
    }
}
