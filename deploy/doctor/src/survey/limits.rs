//! Resource limits, from `/proc/self/limits` (`proc_pid_limits(5)`).

use super::files::Files;
use crate::report::Limits;

/// Reads the soft limits.
pub(super) fn limits(files: &Files) -> Limits {
    let text = files.text("proc/self/limits").unwrap_or_default();
    let soft = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Limits {
        address_space_bytes: soft("Max address space"),
        data_bytes: soft("Max data size"),
        locked_bytes: soft("Max locked memory"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_limits_are_numbers_or_none() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("proc/self")).unwrap();
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max data size             unlimited            unlimited            bytes     \n\
                    Max locked memory         8388608              8388608              bytes     \n\
                    Max address space         1073741824           unlimited            bytes     \n";
        std::fs::write(dir.path().join("proc/self/limits"), text).unwrap();
        let expected =
            Limits { address_space_bytes: Some(1 << 30), data_bytes: None, locked_bytes: Some(8 << 20) };
        assert_eq!(limits(&Files::below(dir.path())), expected);
    }
}
