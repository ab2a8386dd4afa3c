//! Parsing one value of an environment variable. `None` is a bad value.

use super::Limit;

/// A size in bytes: decimal digits, then nothing, `K`, `M` or `G` (1024, 1024^2, 1024^3), in either
/// case.
pub(super) fn size(text: &[u8]) -> Option<usize> {
    let (number, unit) = leading_number(text)?;
    let shift = match unit {
        b"" => 0,
        b"K" | b"k" => 10,
        b"M" | b"m" => 20,
        b"G" | b"g" => 30,
        _ => return None,
    };
    usize::try_from(number).ok()?.checked_mul(1 << shift)
}

/// A count: decimal digits.
pub(super) fn count(text: &[u8]) -> Option<u32> {
    match leading_number(text)? {
        (number, b"") => u32::try_from(number).ok(),
        _ => None,
    }
}

/// A time in milliseconds: decimal digits, then `ms`, `s`, `m` (minutes), or nothing for seconds.
pub(super) fn age_ms(text: &[u8]) -> Option<u64> {
    let (number, unit) = leading_number(text)?;
    let unit_ms = match unit {
        b"ms" => 1,
        b"" | b"s" => 1_000,
        b"m" => 60_000,
        _ => return None,
    };
    number.checked_mul(unit_ms)
}

/// A limit: `none`, `cgroup`, or a size, of which 0 is none.
pub(super) fn limit(text: &[u8]) -> Option<Limit> {
    match choice(text, &[("none", Limit::None), ("cgroup", Limit::Cgroup)]) {
        Some(limit) => Some(limit),
        None => match size(text)? {
            0 => Some(Limit::None),
            bytes => Some(Limit::Bytes(bytes)),
        },
    }
}

/// One of several words, in either case.
pub(super) fn choice<T: Copy>(text: &[u8], words: &[(&str, T)]) -> Option<T> {
    let found = words.iter().find(|(word, _)| word.as_bytes().eq_ignore_ascii_case(text));
    found.map(|(_, value)| *value)
}

/// The number that the text begins with, and what follows it.
fn leading_number(text: &[u8]) -> Option<(u64, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() {
        return None;
    }
    let number = digits
        .iter()
        .try_fold(0u64, |number, digit| number.checked_mul(10)?.checked_add((digit - b'0').into()))?;
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65536),
            ("64K", 64 << 10),
            ("64k", 64 << 10),
            ("2M", 2 << 20),
            ("3g", 3 << 30),
            ("18446744073709551615", usize::MAX),
        ] {
            assert_eq!(size(text.as_bytes()), Some(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "",
            "K",
            "-1",
            "+1",
            " 1",
            "1 ",
            "1KB",
            "1KiB",
            "1T",
            "0x10",
            "1.5M",
            "1e6",
            "M2",
            "18446744073709551616",
            "17179869184G",
            "99999999999999999999999",
        ] {
            assert_eq!(size(text.as_bytes()), None, "{text}");
        }
        assert_eq!(size(b"1\xff"), None);
    }

    #[test]
    fn ages_are_seconds_unless_they_say_otherwise() {
        for (text, age) in [
            ("60", Some(60_000)),
            ("60s", Some(60_000)),
            ("500ms", Some(500)),
            ("5m", Some(300_000)),
            ("0", Some(0)),
            ("5h", None),
            ("s", None),
            ("18446744073709551615", None),
        ] {
            assert_eq!(age_ms(text.as_bytes()), age, "{text}");
        }
    }

    #[test]
    fn counts_are_plain_numbers() {
        assert_eq!(count(b"12"), Some(12));
        assert_eq!(count(b"4294967295"), Some(u32::MAX));
        assert_eq!(count(b"4294967296"), None);
        assert_eq!(count(b"1K"), None);
    }

    #[test]
    fn a_limit_is_a_size_or_a_word() {
        assert_eq!(limit(b"8G"), Some(Limit::Bytes(8 << 30)));
        assert_eq!(limit(b"0"), Some(Limit::None));
        assert_eq!(limit(b"none"), Some(Limit::None));
        assert_eq!(limit(b"CGroup"), Some(Limit::Cgroup));
        assert_eq!(limit(b"cgroups"), None);
    }
}
