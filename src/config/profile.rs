//! The presets: how much memory is worth how much speed.

use super::{Config, HugeMode, Limit, NumaMode, Prefault, RseqMode, StatsAtExit};
use crate::units::SUPERSLAB_BYTES;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// A preset of the cache sizes, the huge page mode and the free-SuperSlab cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Large caches, memory kept for minutes, transparent huge pages.
    Speed,
    /// The default: caches of a few MiB per CPU, memory kept for a minute, transparent huge pages.
    Balanced,
    /// Small caches, memory given back within a second, no huge pages.
    Lean,
}

impl Config {
    /// The configuration that a profile stands for.
    pub const fn of(profile: Profile) -> Self {
        let blank = Self {
            cpu_cache_bytes: 0,
            thread_cache_bytes: 0,
            transfer_class_bytes: 0,
            transfer_node_bytes: 0,
            rseq: RseqMode::Auto,
            numa: NumaMode::Preferred,
            huge: HugeMode::Never,
            limit_soft: Limit::None,
            limit_hard: Limit::None,
            prewarm_superslabs: 0,
            prefault: Prefault::Off,
            free_cache_superslabs: 0,
            free_cache_bytes: 0,
            free_cache_age_ms: 0,
            node_reserve_bytes: 0,
            stats_at_exit: StatsAtExit::Off,
        };
        blank.with_profile(profile)
    }

    /// Sets what the profiles differ in (cache sizes, huge page mode, free-SuperSlab cache) and leaves
    /// the rest as it is: rseq, NUMA mode, limits, prewarm, prefault, node reserve, stats.
    pub const fn with_profile(self, profile: Profile) -> Self {
        match profile {
            Profile::Speed => self
                .with_block_caches(8 * MIB, MIB)
                .with_transfer_cache(4 * MIB, 128 * MIB)
                .with_free_cache(1024, 300_000)
                .with_huge(HugeMode::Transparent),
            Profile::Balanced => self
                .with_block_caches(2 * MIB, 256 * KIB)
                .with_transfer_cache(MIB, 32 * MIB)
                .with_free_cache(256, 60_000)
                .with_huge(HugeMode::Transparent),
            Profile::Lean => self
                .with_block_caches(256 * KIB, 32 * KIB)
                .with_transfer_cache(128 * KIB, 4 * MIB)
                .with_free_cache(8, 1_000)
                .with_huge(HugeMode::Never),
        }
    }

    const fn with_block_caches(self, cpu_bytes: usize, thread_bytes: usize) -> Self {
        self.with_cpu_cache_bytes(cpu_bytes).with_thread_cache_bytes(thread_bytes)
    }

    const fn with_transfer_cache(self, class_bytes: usize, node_bytes: usize) -> Self {
        self.with_transfer_class_bytes(class_bytes).with_transfer_node_bytes(node_bytes)
    }

    const fn with_free_cache(self, superslabs: u32, age_ms: u64) -> Self {
        self.with_free_cache_superslabs(superslabs)
            .with_free_cache_bytes(superslabs as usize * SUPERSLAB_BYTES)
            .with_free_cache_age_ms(age_ms)
    }
}
