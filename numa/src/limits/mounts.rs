//! Where the cgroup hierarchies are mounted, from `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`).

use std::path::{Path, PathBuf};

/// One line of mountinfo, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// The directory of the filesystem that is mounted.
    root: PathBuf,
    /// Where it is mounted.
    point: PathBuf,
    /// The filesystem's type.
    kind: String,
    /// The filesystem's own options; for a v1 hierarchy they name its controllers.
    options: String,
}

impl Mount {
    /// Reads one line; `None` if it is not understood.
    fn parse(line: &str) -> Option<Self> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, point) = (unescape(mount.next()?), unescape(mount.next()?));
        let mut filesystem = filesystem.split(' ');
        let kind = filesystem.next()?.to_owned();
        let options = filesystem.nth(1).unwrap_or_default().to_owned();
        Some(Self { root, point, kind, options })
    }

    /// Whether this is the version 2 hierarchy.
    pub(super) fn is_v2(&self) -> bool {
        self.kind == "cgroup2"
    }

    /// Whether this is the version 1 hierarchy of `controller`.
    pub(super) fn is_v1_of(&self, controller: &str) -> bool {
        self.kind == "cgroup" && self.options.split(',').any(|option| option == controller)
    }

    /// The directories of the cgroup `path` and of its ancestors, innermost first.
    ///
    /// `path` is as `/proc/self/cgroup` gives it, so relative to the hierarchy's root, while the
    /// mount may begin deeper (a container sees its own cgroup as the mount point). A path that
    /// is not below the mount's root is invisible from here; then only the mount point counts.
    pub(super) fn directories(&self, path: &str) -> Vec<PathBuf> {
        let inside = Path::new(path).strip_prefix(&self.root).unwrap_or(Path::new(""));
        let leaf = if path.starts_with("/..") { self.point.clone() } else { self.point.join(inside) };
        leaf.ancestors().take_while(|d| d.starts_with(&self.point)).map(Path::to_path_buf).collect()
    }
}

/// All mounts in the text of a mountinfo file.
pub(super) fn parse(text: &str) -> Vec<Mount> {
    text.lines().filter_map(Mount::parse).collect()
}

/// Undoes the octal escapes (`\040` for a blank) of mountinfo.
fn unescape(text: &str) -> PathBuf {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        plain.push_str(before);
        let code = escape.get(1..4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(code.map_or('\\', char::from));
        rest = &escape[if code.is_some() { 4 } else { 1 }..];
    }
    plain.push_str(rest);
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(line: &str) -> Mount {
        parse(line).pop().unwrap()
    }

    fn paths<const N: usize>(paths: [&str; N]) -> Vec<PathBuf> {
        paths.map(PathBuf::from).to_vec()
    }

    #[test]
    fn tells_the_hierarchies_apart() {
        let v2 = only("30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate");
        assert!(v2.is_v2() && !v2.is_v1_of("cpu"));
        let v1 = only("33 32 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct");
        assert!(v1.is_v1_of("cpu") && !v1.is_v1_of("cpuset") && !v1.is_v2());
        assert!(parse("rubbish\n").is_empty());
    }

    #[test]
    fn walks_from_the_leaf_to_the_mount_point() {
        let mount = only("30 24 0:26 / /cg rw - cgroup2 none rw");
        assert_eq!(mount.directories("/a/b"), paths(["/cg/a/b", "/cg/a", "/cg"]));
        assert_eq!(mount.directories("/"), paths(["/cg"]));
    }

    #[test]
    fn a_container_sees_its_own_cgroup_at_the_mount_point() {
        let mount = only("30 24 0:26 /docker/x /cg rw - cgroup2 none rw");
        assert_eq!(mount.directories("/docker/x/app"), paths(["/cg/app", "/cg"]));
        assert_eq!(mount.directories("/elsewhere"), paths(["/cg"]));
        assert_eq!(mount.directories("/../../elsewhere"), paths(["/cg"]));
    }

    #[test]
    fn undoes_escapes() {
        assert_eq!(unescape(r"/a\040b\134c\x"), PathBuf::from(r"/a b\c\x"));
    }
}
