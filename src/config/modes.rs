//! The enums that fields of [`Config`](super::Config) hold.

/// Whether per-CPU caches are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RseqMode {
    /// Per-CPU caches where the kernel has working restartable sequences, else per-thread caches.
    Auto,
    /// Per-thread caches.
    Off,
}

/// How memory is tied to nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumaMode {
    /// Memory lies on its node, and if that is full, on the nearest other one.
    Preferred,
    /// Memory lies on its node and nowhere else: it is backed at once, and if the kernel puts a page
    /// elsewhere, it goes back and the node counts as full. Its CPUs then get blocks of other nodes.
    Bind,
    /// Pages lie on all nodes in turn.
    Interleave,
    /// No policy is set: a CPU of the node touches the memory first.
    FirstTouch,
    /// The machine is taken as one node.
    Off,
}

/// Which huge pages are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HugeMode {
    /// None: transparent huge pages are declined (`MADV_NOHUGEPAGE`).
    Never,
    /// Transparent huge pages are asked for (`MADV_HUGEPAGE`); with several nodes only where the kernel does
    /// not give them unasked, since it gives pages of other nodes to those who ask.
    Transparent,
    /// Blocks up to 1 MiB lie on 2 MiB pages of the kernel's reserved pool (hugetlb,
    /// `/proc/sys/vm/nr_hugepages`) while their node has any, else on transparent ones; ordinary memory at
    /// home comes before reserved pages on another node. Larger blocks, and all with
    /// [`NumaMode::Interleave`], lie on transparent ones.
    ///
    /// Not for programs that fork and go on in the child: parent and child share each page until one of
    /// them writes to it; then a page more is needed, and when the pool is dry, the kernel kills the child
    /// with SIGBUS at its next touch. The parent never suffers. Who has to fork leaves as many pages free as
    /// parent and child may write to
    /// ([`with_huge_spare_pages`](super::Config::with_huge_spare_pages)), and calls
    /// [`trim`](crate::trim) before, which gives free pages back to the pool. A child takes no pages
    /// itself. Executing another program after a fork, or by posix_spawn(3), is no danger.
    Reserved,
}

/// A limit on the memory taken from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// No limit.
    None,
    /// This many bytes; 0 is no limit.
    Bytes(usize),
    /// What the control group says, `memory.high` for the soft limit, `memory.max` (in version 1
    /// `memory.limit_in_bytes`) for the hard one, less a part for what the group also pays: the program's code,
    /// its stacks, page tables, and numaslab's own tables. That is a sixteenth, and 16 MiB at least; in groups of
    /// less than 64 MiB a quarter.
    Cgroup,
}

/// What a control group pays beside blocks, at least.
const OTHERS_BYTES: u64 = 16 << 20;

impl Limit {
    /// The limit in bytes, given what the control group says; `None` is no limit.
    pub fn resolve(self, cgroup_bytes: Option<u64>) -> Option<usize> {
        match self {
            Self::None | Self::Bytes(0) => None,
            Self::Bytes(bytes) => Some(bytes),
            Self::Cgroup => cgroup_bytes.map(|bytes| {
                let rest = (bytes / 16).max(OTHERS_BYTES).min(bytes / 4);
                usize::try_from(bytes - rest).unwrap_or(usize::MAX)
            }),
        }
    }
}

/// Whether new SuperSlabs are backed with memory at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefault {
    /// Pages come with the first touch.
    Off,
    /// All pages of a new SuperSlab are populated before it is used.
    On,
}

/// Whether statistics go to stderr when the process exits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatsAtExit {
    /// They do not.
    Off,
    /// They do.
    On,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_zero_is_none_and_only_cgroup_asks_the_cgroup() {
        assert_eq!(Limit::None.resolve(Some(5)), None);
        assert_eq!(Limit::Bytes(0).resolve(Some(5)), None);
        assert_eq!(Limit::Bytes(7).resolve(Some(5)), Some(7));
        let mib = |count: u64| count << 20;
        for (group, limit) in [(mib(1600), mib(1500)), (mib(160), mib(144)), (mib(16), mib(12)), (4, 3)] {
            assert_eq!(Limit::Cgroup.resolve(Some(group)), Some(limit as usize));
        }
        assert_eq!(Limit::Cgroup.resolve(None), None);
    }
}
