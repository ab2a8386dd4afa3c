//! The report: plain data, which serde writes as JSON in the order given here.
//!
//! # Invariants
//! - Sizes are bytes and carry it in their name; sets of CPUs are lists as in `0-3,8`.
//! - `null` is "no limit" in limits, and elsewhere "the kernel does not tell".
//! - [`FORM`] counts up when a field goes away or changes its meaning. New fields may come without that.

use serde::Serialize;

/// The version of the report's form.
pub const FORM: u32 = 1;

/// Everything that was found out.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// See [`FORM`].
    pub form: u32,
    /// The version of numaslab.
    pub version: &'static str,
    /// The kernel and the C library.
    pub host: Host,
    /// What numaslab does on this host, in this environment.
    pub mode: Mode,
    /// CPUs of the machine and of this process.
    pub cpus: Cpus,
    /// The online nodes, in ascending order.
    pub nodes: Vec<Node>,
    /// Restartable sequences.
    pub rseq: Rseq,
    /// The call that lets numaslab drain caches of other CPUs.
    pub membarrier: Call,
    /// The calls for memory policy.
    pub policy: Policy,
    /// Settings of the kernel.
    pub kernel: Kernel,
    /// Resource limits of this process.
    pub limits: Limits,
    /// Limits of its control groups, innermost first.
    pub groups: Vec<GroupLimit>,
    /// What would be better, what matters most first.
    pub advice: Vec<Advice>,
    /// What `numaslab-doctor` exits with.
    pub exit_code: u8,
}

/// The kernel and the C library.
#[derive(Clone, Debug, Serialize)]
pub struct Host {
    /// The kernel's release.
    pub kernel: String,
    /// The architecture that this program was built for.
    pub architecture: &'static str,
    /// The C library and its version.
    pub libc: Option<String>,
}

/// CPUs of the machine and of this process.
#[derive(Clone, Debug, Serialize)]
pub struct Cpus {
    /// CPUs that are online.
    pub online: String,
    /// Those that this process may run on.
    pub allowed: String,
    /// How many those are.
    pub allowed_count: usize,
    /// Packages (sockets) with online CPUs.
    pub packages: usize,
    /// CPU time that the control group allows, in CPUs.
    pub quota_cpus: Option<f64>,
    /// How many threads can run at once.
    pub parallelism: usize,
}

/// A node.
#[derive(Clone, Debug, Serialize)]
pub struct Node {
    /// The kernel's number.
    pub id: u32,
    /// Its online CPUs.
    pub cpus: String,
    /// Its memory; 0 for a node of CPUs only.
    pub memory_bytes: u64,
    /// How much of it is free.
    pub free_bytes: Option<u64>,
    /// Whether this process may have memory there (cpuset).
    pub allowed: bool,
    /// Pages of 2 MiB (hugetlb).
    pub huge_2m: HugePages,
    /// Pages of 1 GiB (hugetlb).
    pub huge_1g: HugePages,
    /// What became of a page that was bound to it.
    pub binding: Binding,
    /// Distances to all online nodes in ascending order; 10 is local.
    pub distances: Vec<u32>,
}

/// Reserved huge pages of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HugePages {
    /// All of them.
    pub total: u64,
    /// Those that nobody uses.
    pub free: u64,
}

/// What became of a page that was bound to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Binding {
    /// It lies there.
    Placed,
    /// It lies on another node.
    Elsewhere,
    /// The kernel does not tell where it lies.
    Unknown,
    /// The page could not be bound.
    Refused,
    /// Not tried: no memory there for this process.
    None,
}

/// Restartable sequences.
#[derive(Clone, Debug, Serialize)]
pub struct Rseq {
    /// Whether they work, by numaslab's self-test.
    pub works: bool,
    /// What the self-test says.
    pub self_test: String,
    /// Whose area is used.
    pub area: Area,
    /// Bytes of its area that the C library announces; 0: it registers none.
    pub libc_area_bytes: Option<u32>,
    /// Bytes of the area that the kernel fills in (`AT_RSEQ_FEATURE_SIZE`, Linux 6.3 and later).
    pub kernel_feature_bytes: Option<u64>,
}

/// Whose rseq area is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Area {
    /// The C library registers one for each thread.
    Libc,
    /// numaslab registers its own.
    Own,
}

/// What the kernel says to a system call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Call {
    /// Whether it works.
    pub works: bool,
    /// The name of its error number.
    pub error: Option<String>,
    /// Why, as far as it can be told.
    pub why: Option<String>,
}

/// The calls for memory policy, and what stands between them and the kernel.
#[derive(Clone, Debug, Serialize)]
pub struct Policy {
    /// Ties memory to nodes.
    pub mbind: Call,
    /// Tells which nodes are allowed.
    pub get_mempolicy: Call,
    /// Tells where pages lie; for statistics and the strict mode.
    pub move_pages: Call,
    /// Whether a seccomp filter watches this process.
    pub seccomp_filter: Option<bool>,
    /// Whether this process has `CAP_SYS_NICE`, which opens these calls in the profiles of most container runtimes.
    pub cap_sys_nice: Option<bool>,
}

/// Settings of the kernel.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Kernel {
    /// Transparent huge pages: `always`, `madvise` or `never`.
    pub thp_enabled: Option<String>,
    /// What a fault does to get one: `always`, `defer`, `defer+madvise`, `madvise` or `never`.
    pub thp_defrag: Option<String>,
    /// 0: by estimate, 1: always, 2: up to a limit (`vm.overcommit_memory`).
    pub overcommit_memory: Option<i64>,
    /// Percent of memory that may be promised with 2 (`vm.overcommit_ratio`).
    pub overcommit_ratio: Option<i64>,
    /// Huge pages beyond the reserved ones (`vm.nr_overcommit_hugepages`).
    pub surplus_huge_pages: Option<i64>,
    /// Whether the kernel moves pages to their users (`kernel.numa_balancing`).
    pub numa_balancing: Option<i64>,
    /// Whether a node reclaims its own memory before another is asked (`vm.zone_reclaim_mode`).
    pub zone_reclaim_mode: Option<i64>,
    /// Mappings that a process may have (`vm.max_map_count`).
    pub max_map_count: Option<i64>,
}

/// Resource limits of this process (soft).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// `RLIMIT_AS`.
    pub address_space_bytes: Option<u64>,
    /// `RLIMIT_DATA`.
    pub data_bytes: Option<u64>,
    /// `RLIMIT_MEMLOCK`.
    pub locked_bytes: Option<u64>,
}

/// A file of a control group that limits something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupLimit {
    /// 1 or 2.
    pub version: u8,
    /// What it limits, by the name of version 2.
    pub limit: &'static str,
    /// The file.
    pub path: String,
    /// What it says.
    pub value: String,
}

/// What numaslab does on this host, in this environment.
#[derive(Clone, Debug, Serialize)]
pub struct Mode {
    /// Whether it could be started at all.
    pub started: bool,
    /// Whether blocks are cached per CPU.
    pub per_cpu: bool,
    /// Whether caches of other CPUs can be drained.
    pub revocable: bool,
    /// Which caches, and why, in numaslab's words.
    pub caches: String,
    /// Whether memory is bound to its node.
    pub binding: BindingMode,
    /// How memory is tied to its node, in numaslab's words.
    pub placement: String,
    /// Nodes in use.
    pub nodes: usize,
    /// The variables `NUMASLAB_*` and `GLIBC_TUNABLES` of this process.
    pub environment: Vec<String>,
}

/// Whether memory is bound to its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BindingMode {
    /// By the kernel.
    On,
    /// No: by first touch, or not at all.
    Off,
    /// There is one node only.
    NotNeeded,
}

/// Something that would be better.
#[derive(Clone, Debug, Serialize)]
pub struct Advice {
    /// A short name that stays the same.
    pub topic: &'static str,
    /// How much it matters.
    pub weight: Weight,
    /// What is the matter, and what would be gained.
    pub why: String,
    /// The command; `#` begins a remark.
    pub command: String,
}

/// How much a piece of advice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// Per-CPU caches or binding depend on it: the exit code does.
    Mode,
    /// Speed or memory depend on it.
    Better,
    /// Good to know.
    Note,
}

impl Mode {
    /// What `numaslab-doctor` exits with: 0 if blocks are cached per CPU and memory is bound to its node (or there is
    /// one only), 10 without per-CPU caches, 11 without binding, 12 without both, 13 if numaslab can't be started.
    pub fn exit_code(&self) -> u8 {
        match (self.started, self.per_cpu, self.binding) {
            (false, _, _) => 13,
            (true, true, BindingMode::On | BindingMode::NotNeeded) => 0,
            (true, false, BindingMode::On | BindingMode::NotNeeded) => 10,
            (true, true, BindingMode::Off) => 11,
            (true, false, BindingMode::Off) => 12,
        }
    }
}

impl Report {
    /// Whether the process may have memory of several nodes.
    pub fn has_several_nodes(&self) -> bool {
        self.nodes.iter().filter(|node| node.allowed && node.memory_bytes > 0).count() > 1
    }

    /// The smallest number that the control groups give for `limit`.
    pub fn least_group_limit(&self, limit: &str) -> Option<u64> {
        let values = self.groups.iter().filter(|group| group.limit == limit);
        values.filter_map(|group| group.value.parse().ok()).min()
    }

    /// The value of one of the variables in [`Mode::environment`].
    pub fn variable(&self, name: &str) -> Option<&str> {
        let values = self.mode.environment.iter().filter_map(|pair| pair.split_once('='));
        values.into_iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mode_has_a_code_of_its_own() {
        let code = |started, per_cpu, binding| {
            let (caches, placement, environment) = (String::new(), String::new(), Vec::new());
            Mode { started, per_cpu, revocable: true, caches, binding, placement, nodes: 1, environment }
                .exit_code()
        };
        let codes = [BindingMode::On, BindingMode::NotNeeded, BindingMode::Off]
            .map(|binding| [true, false].map(|per_cpu| code(true, per_cpu, binding)));
        assert_eq!(codes, [[0, 10], [0, 10], [11, 12]]);
        assert_eq!(code(false, true, BindingMode::On), 13);
    }
}
