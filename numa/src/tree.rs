//! Reading the small text files of sysfs and procfs below a root that tests can move.
//!
//! [`Tree`] turns "no such file" into `None` where a file is optional, and every other trouble into
//! an [`Error`] that names the file. It reads; it interprets nothing but numbers and lists.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::id::Id;
use crate::id_set::IdSet;

/// A directory that stands for `/`.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    root: PathBuf,
}

impl Tree {
    /// The tree below `root`.
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where `path` (absolute or not) lies in this tree.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The text of a file that must be there.
    pub(crate) fn text(&self, path: impl AsRef<Path>) -> Result<String> {
        let path = self.path(path);
        fs::read_to_string(&path).map_err(|cause| Error::Read { path, cause })
    }

    /// The text of a file that may be missing.
    ///
    /// A CPU that is switched off between two reads takes its files along, also while they are
    /// open (`ENODEV`); that counts as missing.
    pub(crate) fn text_if_any(&self, path: impl AsRef<Path>) -> Result<Option<String>> {
        const ENODEV: i32 = 19;
        match self.text(path) {
            Ok(text) => Ok(Some(text)),
            Err(Error::Read { cause, .. })
                if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
                    || cause.raw_os_error() == Some(ENODEV) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The list in a file that must be there.
    pub(crate) fn set<T: Id>(&self, path: &str) -> Result<IdSet<T>> {
        self.parse_set(path, &self.text(path)?)
    }

    /// The list in a file that may be missing.
    pub(crate) fn set_if_any<T: Id>(&self, path: &str) -> Result<Option<IdSet<T>>> {
        self.text_if_any(path)?.map(|text| self.parse_set(path, &text)).transpose()
    }

    /// The number in a file that may be missing.
    pub(crate) fn number_if_any(&self, path: impl AsRef<Path>) -> Result<Option<i64>> {
        let path = path.as_ref();
        let Some(text) = self.text_if_any(path)? else { return Ok(None) };
        text.trim().parse().map(Some).map_err(|_| self.malformed(path, &text, "a number"))
    }

    /// The error for a file whose text is not understood.
    pub(crate) fn malformed(&self, path: impl AsRef<Path>, text: &str, expected: &'static str) -> Error {
        let text = text.lines().next().unwrap_or_default().to_owned();
        Error::Malformed { path: self.path(path), text, expected }
    }

    fn parse_set<T: Id>(&self, path: &str, text: &str) -> Result<IdSet<T>> {
        text.parse().map_err(|_| self.malformed(path, text, "a list such as 0-3,8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id_set::CpuSet;

    fn tree(file: &str, text: &str) -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(file), text).unwrap();
        let tree = Tree::new(dir.path());
        (dir, tree)
    }

    #[test]
    fn an_absolute_path_stays_below_the_root() {
        let (_dir, tree) = tree("online", "0-1\n");
        assert_eq!(tree.set::<crate::CpuId>("/online").unwrap(), "0-1".parse::<CpuSet>().unwrap());
    }

    #[test]
    fn a_missing_file_is_none_or_an_error_with_its_path() {
        let (_dir, tree) = tree("online", "0\n");
        assert!(tree.text_if_any("online/below").unwrap().is_none());
        assert!(tree.number_if_any("absent").unwrap().is_none());
        let error = tree.text("absent").unwrap_err().to_string();
        assert!(error.contains("absent") && error.contains("No such file"), "{error}");
    }

    #[test]
    fn a_damaged_file_is_named_with_its_text() {
        let (_dir, tree) = tree("online", "zero\nmore\n");
        let error = tree.set::<crate::CpuId>("online").unwrap_err().to_string();
        assert!(error.contains("online says 'zero', expected a list"), "{error}");
    }
}
