//! What a container or an administrator may do to a process: forbidden system calls, limits.

/// Makes the system call `number` fail with `errno` from now on, in this thread and those that it makes.
pub(crate) fn forbid(number: libc::c_long, errno: i32) {
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let load_number = step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0);
    let skip_unless_it = step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number as u32);
    let refuse = step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32);
    let allow = step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW);
    let mut program = [load_number, skip_unless_it, refuse, allow];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the kernel copies the filter.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter), 0);
    }
}

/// Sets the soft limit of a resource.
pub(crate) fn limit(resource: libc::__rlimit_resource_t, bytes: u64) {
    // SAFETY: reads and writes one struct.
    unsafe {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        assert_eq!(libc::getrlimit(resource, &raw mut limit), 0);
        limit.rlim_cur = bytes.min(limit.rlim_max);
        assert_eq!(libc::setrlimit(resource, &raw const limit), 0);
    }
}

/// Mappings that leave the process no other one.
#[must_use]
pub(crate) struct UsedUp {
    at: usize,
    pages: usize,
}

/// Makes as many mappings as the process may have; `None` where those are more than is reasonable.
pub(crate) fn use_up_mappings() -> Option<UsedUp> {
    const PAGES: usize = 200_000;
    // SAFETY: asks for a constant.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a mapping of its own, of which every other page is made another one.
    unsafe {
        let at = libc::mmap(std::ptr::null_mut(), PAGES * page, libc::PROT_NONE, flags, -1, 0);
        assert_ne!(at, libc::MAP_FAILED);
        let full = (1..PAGES - 1)
            .step_by(2)
            .find(|number| libc::mprotect(at.byte_add(number * page), page, libc::PROT_READ) != 0);
        let pages = full.unwrap_or(0);
        assert_eq!(libc::munmap(at.byte_add(pages * page), (PAGES - pages) * page), 0);
        full.map(|pages| UsedUp { at: at.expose_provenance(), pages })
    }
}

impl UsedUp {
    /// Gives `mappings` of them back, in this process.
    pub(crate) fn spare(&self, mappings: usize) {
        // SAFETY: as above.
        unsafe {
            let page = libc::sysconf(libc::_SC_PAGESIZE) as usize;
            let last = self.at + (self.pages - mappings) * page;
            if mappings > 0 {
                assert_eq!(libc::munmap(std::ptr::with_exposed_provenance_mut(last), mappings * page), 0);
            }
        }
    }
}

/// A field of `/proc/self/status`, in bytes.
pub(crate) fn status_bytes(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find(|line| line.starts_with(field)).expect("the field");
    let kib = line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
    kib.expect("a number") << 10
}

/// A control group (v2) with a set of CPUs and of nodes. On the emulated machines only, which belong to
/// the tests.
#[must_use]
pub(crate) struct Cpuset(std::path::PathBuf);

impl Cpuset {
    /// Makes one; `None`, and a loud word, where that can't be.
    pub(crate) fn make(name: &str) -> Option<Self> {
        let root = std::path::Path::new("/sys/fs/cgroup");
        if std::env::var_os("NUMA_RIG").is_none() {
            super::child::skip("no emulated machine: cpusets are left alone");
            return None;
        }
        std::fs::write(root.join("cgroup.subtree_control"), "+cpuset").expect("a cpuset controller");
        let path = root.join(name);
        std::fs::create_dir_all(&path).expect("a control group");
        Some(Self(path))
    }

    /// Sets the nodes of which memory may come.
    pub(crate) fn set_nodes(&self, nodes: &[u16]) {
        self.set("cpuset.mems", nodes.iter().map(ToString::to_string));
    }

    /// Sets the CPUs.
    pub(crate) fn set_cpus(&self, cpus: &[usize]) {
        self.set("cpuset.cpus", cpus.iter().map(ToString::to_string));
    }

    fn set(&self, file: &str, numbers: impl Iterator<Item = String>) {
        let list = numbers.collect::<Vec<_>>().join(",");
        std::fs::write(self.0.join(file), &list).unwrap_or_else(|error| panic!("{file} {list}: {error}"));
    }

    /// Puts the calling process into it.
    pub(crate) fn enter(&self) {
        std::fs::write(self.0.join("cgroup.procs"), std::process::id().to_string()).expect("to enter");
    }
}

/// A control group (v2) that may have so many bytes on reserved 2 MiB pages. Goes when dropped.
#[must_use]
pub(crate) struct HugeLimit(std::path::PathBuf);

impl HugeLimit {
    /// Makes one; `None`, and a loud word, where that can't be.
    pub(crate) fn make(name: &str, bytes: usize) -> Option<Self> {
        let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(std::path::Path::new);
        let has_it = |root: &&std::path::Path| {
            std::fs::read_to_string(root.join("cgroup.controllers")).is_ok_and(|all| all.contains("hugetlb"))
                && std::fs::write(root.join("cgroup.subtree_control"), "+hugetlb").is_ok()
        };
        let Some(root) = roots.iter().find(|root| has_it(root)) else {
            super::child::skip("no control group for huge pages");
            return None;
        };
        let path = root.join(name);
        std::fs::create_dir_all(&path).expect("a control group");
        std::fs::write(path.join("hugetlb.2MB.max"), bytes.to_string()).expect("a limit");
        Some(Self(path))
    }

    /// Puts the calling process into it.
    pub(crate) fn enter(&self) {
        std::fs::write(self.0.join("cgroup.procs"), std::process::id().to_string()).expect("to enter");
    }
}

impl Drop for HugeLimit {
    fn drop(&mut self) {
        // Fails as long as a process is in it.
        let _ = std::fs::remove_dir(&self.0);
    }
}
