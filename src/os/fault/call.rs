//! The kinds of kernel calls, and a snapshot of how often each was made.

/// A kind of call into the kernel. Calls that the layers above treat differently are different
/// kinds even where the system call is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Call {
    /// `mmap(2)` of ordinary memory.
    Mmap,
    /// `mmap(2)` of huge pages from the reserved pool (`MAP_HUGETLB`).
    MmapHuge,
    /// `munmap(2)`.
    Munmap,
    /// `mprotect(2)`.
    Mprotect,
    /// `madvise(2)`, all advice but populate.
    Madvise,
    /// `madvise(2)` with `MADV_POPULATE_WRITE`.
    Populate,
    /// `mremap(2)`.
    Mremap,
    /// `mincore(2)`.
    Mincore,
    /// `mbind(2)`.
    Mbind,
    /// `get_mempolicy(2)`.
    GetMempolicy,
    /// `move_pages(2)`, asking only.
    MovePages,
    /// `membarrier(2)`.
    Membarrier,
    /// `rseq(2)`: registering and unregistering an area.
    Rseq,
    /// `sched_getaffinity(2)`.
    GetAffinity,
    /// `sched_setaffinity(2)`.
    SetAffinity,
    /// `getcpu(2)`, usually answered by the vDSO.
    GetCpu,
    /// `clock_gettime(2)`, usually answered by the vDSO.
    Clock,
    /// `open(2)`.
    Open,
    /// `read(2)`.
    Read,
    /// `close(2)`. A failure changes nothing: Linux releases the descriptor all the same.
    Close,
    /// `write(2)` to stderr. A failure loses the line.
    Write,
    /// `pthread_key_create(3)`.
    KeyCreate,
    /// `pthread_setspecific(3)`.
    KeySet,
}

impl Call {
    /// The number of kinds.
    pub const COUNT: usize = Self::ALL.len();

    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 23] = [
        Self::Mmap,
        Self::MmapHuge,
        Self::Munmap,
        Self::Mprotect,
        Self::Madvise,
        Self::Populate,
        Self::Mremap,
        Self::Mincore,
        Self::Mbind,
        Self::GetMempolicy,
        Self::MovePages,
        Self::Membarrier,
        Self::Rseq,
        Self::GetAffinity,
        Self::SetAffinity,
        Self::GetCpu,
        Self::Clock,
        Self::Open,
        Self::Read,
        Self::Close,
        Self::Write,
        Self::KeyCreate,
        Self::KeySet,
    ];

    /// The name for reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mmap => "mmap",
            Self::MmapHuge => "mmap_huge",
            Self::Munmap => "munmap",
            Self::Mprotect => "mprotect",
            Self::Madvise => "madvise",
            Self::Populate => "madvise_populate",
            Self::Mremap => "mremap",
            Self::Mincore => "mincore",
            Self::Mbind => "mbind",
            Self::GetMempolicy => "get_mempolicy",
            Self::MovePages => "move_pages",
            Self::Membarrier => "membarrier",
            Self::Rseq => "rseq",
            Self::GetAffinity => "sched_getaffinity",
            Self::SetAffinity => "sched_setaffinity",
            Self::GetCpu => "getcpu",
            Self::Clock => "clock_gettime",
            Self::Open => "open",
            Self::Read => "read",
            Self::Close => "close",
            Self::Write => "write",
            Self::KeyCreate => "pthread_key_create",
            Self::KeySet => "pthread_setspecific",
        }
    }
}

const _: () = {
    let mut i = 0;
    while i < Call::COUNT {
        assert!(Call::ALL[i] as usize == i);
        i += 1;
    }
};

/// How often each kind of call was made: a snapshot (see [`calls`](super::calls)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls {
    counts: [u64; Call::COUNT],
}

impl Calls {
    pub(super) const fn new(counts: [u64; Call::COUNT]) -> Self {
        Self { counts }
    }

    /// Calls of one kind.
    pub const fn of(&self, call: Call) -> u64 {
        self.counts[call as usize]
    }

    /// Calls of all kinds together.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.wrapping_add(*count))
    }

    /// The calls made between the snapshot `earlier` and this one.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut counts = self.counts;
        for (count, before) in counts.iter_mut().zip(&earlier.counts) {
            *count = count.wrapping_sub(*before);
        }
        Self { counts }
    }
}
