//! Configuration: a plain value, built in a `const`, then adjusted by the environment.
//!
//! ```
//! use numaslab::config::{Config, HugeMode, Limit, Profile};
//!
//! const CONFIG: Config = Config::of(Profile::Speed)
//!     .with_huge(HugeMode::Reserved)
//!     .with_limit_hard(Limit::Bytes(8 << 30));
//! assert_eq!(CONFIG.huge(), HugeMode::Reserved);
//! ```
//!
//! | file | concern |
//! | --- | --- |
//! | `mod` | [`Config`]: the fields, their getters and builder |
//! | `profile` | [`Profile`]: the presets |
//! | `modes` | the enums that fields hold |
//! | `environment` | the `NUMASLAB_*` variables |
//! | `value` | parsing one value |
//!
//! Neighbours: only `environment` looks down, to `os::env` and `os::fatal`; all else is pure.
//!
//! # Invariants
//! - A `Config` never changes once the allocator has started.
//! - Every value of every field is acceptable: a field asks, the layer that uses it rounds and bounds.

mod environment;
mod modes;
mod profile;
mod value;

pub use modes::{HugeMode, Limit, NumaMode, Prefault, RseqMode, StatsAtExit};
pub use profile::Profile;

/// Everything that can be set. See the `with_` functions for what each field means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Config {
    cpu_cache_bytes: usize,
    thread_cache_bytes: usize,
    transfer_class_bytes: usize,
    transfer_node_bytes: usize,
    rseq: RseqMode,
    numa: NumaMode,
    huge: HugeMode,
    huge_spare_pages: u32,
    limit_soft: Limit,
    limit_hard: Limit,
    prewarm_superslabs: u32,
    prefault: Prefault,
    free_cache_superslabs: u32,
    free_cache_bytes: usize,
    free_cache_age_ms: u64,
    slack_percent: u32,
    node_reserve_bytes: usize,
    stats_at_exit: StatsAtExit,
}

impl Config {
    /// The default: [`Profile::Balanced`].
    pub const fn new() -> Self {
        Self::of(Profile::Balanced)
    }

    /// The bytes of Tiny and Mid blocks that one CPU may cache; with Large ones it may cache twice as many.
    /// Balanced: 8 MiB.
    pub const fn with_cpu_cache_bytes(self, bytes: usize) -> Self {
        Self { cpu_cache_bytes: bytes, ..self }
    }

    /// The bytes of Tiny and Mid blocks that one thread may cache where there is no rseq; with Large ones
    /// twice as many. Balanced: 1 MiB.
    pub const fn with_thread_cache_bytes(self, bytes: usize) -> Self {
        Self { thread_cache_bytes: bytes, ..self }
    }

    /// The bytes of blocks of one size class that the transfer cache of one node may hold. Balanced:
    /// 1 MiB.
    pub const fn with_transfer_class_bytes(self, bytes: usize) -> Self {
        Self { transfer_class_bytes: bytes, ..self }
    }

    /// The bytes of blocks of all size classes that the transfer cache of one node may hold.
    /// Balanced: 32 MiB.
    pub const fn with_transfer_node_bytes(self, bytes: usize) -> Self {
        Self { transfer_node_bytes: bytes, ..self }
    }

    /// Whether per-CPU caches are used. All profiles: [`RseqMode::Auto`].
    pub const fn with_rseq(self, mode: RseqMode) -> Self {
        Self { rseq: mode, ..self }
    }

    /// How memory is tied to nodes. All profiles: [`NumaMode::Preferred`].
    pub const fn with_numa(self, mode: NumaMode) -> Self {
        Self { numa: mode, ..self }
    }

    /// Which huge pages are used. Balanced: [`HugeMode::Transparent`].
    pub const fn with_huge(self, mode: HugeMode) -> Self {
        Self { huge: mode, ..self }
    }

    /// How many pages of the reserved pool [`HugeMode::Reserved`] leaves free on the machine, for children of
    /// a fork, which need one for each that they or their parent write to. All profiles: 0.
    pub const fn with_huge_spare_pages(self, pages: u32) -> Self {
        Self { huge_spare_pages: pages, ..self }
    }

    /// Above this many bytes taken from the kernel, free memory is given back at once instead of
    /// cached. All profiles: [`Limit::None`].
    pub const fn with_limit_soft(self, limit: Limit) -> Self {
        Self { limit_soft: limit, ..self }
    }

    /// Above this many bytes taken from the kernel, an allocation returns null. All profiles:
    /// [`Limit::None`].
    pub const fn with_limit_hard(self, limit: Limit) -> Self {
        Self { limit_hard: limit, ..self }
    }

    /// How many SuperSlabs (2 MiB each) each node makes ready at the start. All profiles: 0.
    pub const fn with_prewarm_superslabs(self, per_node: u32) -> Self {
        Self { prewarm_superslabs: per_node, ..self }
    }

    /// Whether new SuperSlabs are backed with memory at once. All profiles: [`Prefault::Off`].
    pub const fn with_prefault(self, prefault: Prefault) -> Self {
        Self { prefault, ..self }
    }

    /// How many free SuperSlabs (2 MiB each) a node keeps. Balanced: 256.
    pub const fn with_free_cache_superslabs(self, per_node: u32) -> Self {
        Self { free_cache_superslabs: per_node, ..self }
    }

    /// How many bytes of free SuperSlabs a node keeps. Balanced: 512 MiB.
    pub const fn with_free_cache_bytes(self, per_node: usize) -> Self {
        Self { free_cache_bytes: per_node, ..self }
    }

    /// How long a free SuperSlab is kept, in milliseconds. Balanced: 60,000.
    pub const fn with_free_cache_age_ms(self, age_ms: u64) -> Self {
        Self { free_cache_age_ms: age_ms, ..self }
    }

    /// How much free memory a node keeps before any age, in percent of what is in use; what programs took
    /// again soon after it had gone back comes on top for a while. At least a 64th of
    /// [`with_free_cache_bytes`](Self::with_free_cache_bytes). Balanced: 12.
    pub const fn with_slack_percent(self, percent: u32) -> Self {
        Self { slack_percent: percent, ..self }
    }

    /// How much address space is reserved for each node, in bytes; 0: by its memory. All
    /// profiles: 0.
    pub const fn with_node_reserve_bytes(self, bytes: usize) -> Self {
        Self { node_reserve_bytes: bytes, ..self }
    }

    /// Whether statistics go to stderr when the process exits. All profiles: [`StatsAtExit::Off`].
    pub const fn with_stats_at_exit(self, stats: StatsAtExit) -> Self {
        Self { stats_at_exit: stats, ..self }
    }

    /// See [`with_cpu_cache_bytes`](Self::with_cpu_cache_bytes).
    pub const fn cpu_cache_bytes(&self) -> usize {
        self.cpu_cache_bytes
    }

    /// See [`with_thread_cache_bytes`](Self::with_thread_cache_bytes).
    pub const fn thread_cache_bytes(&self) -> usize {
        self.thread_cache_bytes
    }

    /// See [`with_transfer_class_bytes`](Self::with_transfer_class_bytes).
    pub const fn transfer_class_bytes(&self) -> usize {
        self.transfer_class_bytes
    }

    /// See [`with_transfer_node_bytes`](Self::with_transfer_node_bytes).
    pub const fn transfer_node_bytes(&self) -> usize {
        self.transfer_node_bytes
    }

    /// See [`with_rseq`](Self::with_rseq).
    pub const fn rseq(&self) -> RseqMode {
        self.rseq
    }

    /// See [`with_numa`](Self::with_numa).
    pub const fn numa(&self) -> NumaMode {
        self.numa
    }

    /// See [`with_huge`](Self::with_huge).
    pub const fn huge(&self) -> HugeMode {
        self.huge
    }

    /// See [`with_huge_spare_pages`](Self::with_huge_spare_pages).
    pub const fn huge_spare_pages(&self) -> u32 {
        self.huge_spare_pages
    }

    /// See [`with_limit_soft`](Self::with_limit_soft).
    pub const fn limit_soft(&self) -> Limit {
        self.limit_soft
    }

    /// See [`with_limit_hard`](Self::with_limit_hard).
    pub const fn limit_hard(&self) -> Limit {
        self.limit_hard
    }

    /// See [`with_prewarm_superslabs`](Self::with_prewarm_superslabs).
    pub const fn prewarm_superslabs(&self) -> u32 {
        self.prewarm_superslabs
    }

    /// See [`with_prefault`](Self::with_prefault).
    pub const fn prefault(&self) -> Prefault {
        self.prefault
    }

    /// See [`with_free_cache_superslabs`](Self::with_free_cache_superslabs).
    pub const fn free_cache_superslabs(&self) -> u32 {
        self.free_cache_superslabs
    }

    /// See [`with_free_cache_bytes`](Self::with_free_cache_bytes).
    pub const fn free_cache_bytes(&self) -> usize {
        self.free_cache_bytes
    }

    /// See [`with_free_cache_age_ms`](Self::with_free_cache_age_ms).
    pub const fn free_cache_age_ms(&self) -> u64 {
        self.free_cache_age_ms
    }

    /// See [`with_slack_percent`](Self::with_slack_percent).
    pub const fn slack_percent(&self) -> u32 {
        self.slack_percent
    }

    /// See [`with_node_reserve_bytes`](Self::with_node_reserve_bytes).
    pub const fn node_reserve_bytes(&self) -> usize {
        self.node_reserve_bytes
    }

    /// See [`with_stats_at_exit`](Self::with_stats_at_exit).
    pub const fn stats_at_exit(&self) -> StatsAtExit {
        self.stats_at_exit
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}
