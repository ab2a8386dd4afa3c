//! The control groups of the calling process, of version 2 and of version 1, which may be mounted side by side.
//!
//! Which they are stands in `/proc/self/cgroup`, where they are to be found in `/proc/self/mountinfo`
//! (`cgroups(7)`, kernel document `admin-guide/cgroup-v2.rst`).

use std::path::{Path, PathBuf};

use super::mounts::{self, Mount};
use crate::error::Result;
use crate::tree::Tree;

/// A control group of the calling process: one for version 2, one for each mounted hierarchy of version 1.
#[derive(Clone, Debug)]
pub struct ControlGroup {
    tree: Tree,
    version: u8,
    controllers: Vec<String>,
    directories: Vec<PathBuf>,
}

impl ControlGroup {
    /// The groups of the calling process; none where `/proc` does not tell.
    ///
    /// # Errors
    /// [`Error::Read`](crate::Error::Read) for files of `/proc` that are there and can't be read.
    pub fn of_this_process() -> Result<Vec<Self>> {
        Self::from_root("/")
    }

    /// The same from a copy of `/proc/self` and of the mounted hierarchies below `root`.
    ///
    /// # Errors
    /// As [`of_this_process`](Self::of_this_process).
    pub fn from_root(root: impl AsRef<Path>) -> Result<Vec<Self>> {
        Self::read(&Tree::new(root.as_ref()))
    }

    pub(super) fn read(tree: &Tree) -> Result<Vec<Self>> {
        let Some(groups) = tree.text_if_any("proc/self/cgroup")? else { return Ok(Vec::new()) };
        let Some(table) = tree.text_if_any("proc/self/mountinfo")? else { return Ok(Vec::new()) };
        let mounts = mounts::parse(&table);
        Ok(groups.lines().filter_map(|line| Self::of_line(tree, &mounts, line)).collect())
    }

    /// The group of one line of `/proc/self/cgroup`: `ID:CONTROLLERS:PATH`, version 2 without controllers.
    /// `None` if its hierarchy is not mounted.
    fn of_line(tree: &Tree, mounts: &[Mount], line: &str) -> Option<Self> {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let named: Vec<String> =
            controllers.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let is_mount = |mount: &&Mount| match named.first() {
            None => mount.is_v2(),
            Some(controller) => mount.is_v1_of(controller),
        };
        let directories = mounts.iter().find(is_mount)?.directories(path);
        let version = if named.is_empty() { 2 } else { 1 };
        Some(Self { tree: tree.clone(), version, controllers: named, directories })
    }

    /// 1 or 2.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// Whether `controller` (such as `cpu` or `memory`) may be found here. A group of version 2 may have any
    /// controller; which of them it has shows in its files.
    pub fn may_control(&self, controller: &str) -> bool {
        self.version == 2 || self.controllers.iter().any(|name| name == controller)
    }

    /// The directories of the group and of its ancestors, as far as they can be seen, innermost first. A limit
    /// of any of them holds.
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// What the file `name` of the group and of each ancestor says, without the end of line, innermost first;
    /// with its path.
    ///
    /// # Errors
    /// [`Error::Read`](crate::Error::Read) for a file that is there and can't be read.
    pub fn values(&self, name: &str) -> Result<Vec<(PathBuf, String)>> {
        let paths = self.directories.iter().map(|directory| directory.join(name));
        let text = |path: PathBuf| match self.tree.text_if_any(&path) {
            Ok(text) => text.map(|text| Ok((path, text.trim_end().to_owned()))),
            Err(error) => Some(Err(error)),
        };
        paths.filter_map(text).collect()
    }
}
