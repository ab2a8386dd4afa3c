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
            huge_spare_pages: 0,
            limit_soft: Limit::None,
            limit_hard: Limit::None,
            prewarm_superslabs: 0,
            prefault: Prefault::Off,
            free_cache_superslabs: 0,
            free_cache_bytes: 0,
            free_cache_age_ms: 0,
            slack_percent: 0,
            node_reserve_bytes: 0,
            stats_at_exit: StatsAtExit::Off,
        };
        blank.with_profile(profile)
    }

    /// Sets what the profiles differ in (cache sizes, huge page mode, free-SuperSlab cache) and leaves
    /// the rest as it is: rseq, NUMA mode, spare pages, limits, prewarm, prefault, node reserve, stats.
    pub const fn with_profile(self, profile: Profile) -> Self {
        match profile {
            Profile::Speed => self
                .with_block_caches(32 * MIB, 4 * MIB)
                .with_transfer_cache(4 * MIB, 128 * MIB)
                .with_free_cache(1024, 300_000)
                .with_slack_percent(100)
                .with_huge(HugeMode::Transparent),
            Profile::Balanced => self
                .with_block_caches(8 * MIB, MIB)
                .with_transfer_cache(MIB, 32 * MIB)
                .with_free_cache(256, 60_000)
                .with_slack_percent(12)
                .with_huge(HugeMode::Transparent),
            Profile::Lean => self
                .with_block_caches(256 * KIB, 32 * KIB)
                .with_transfer_cache(128 * KIB, 4 * MIB)
                .with_free_cache(8, 1_000)
                .with_slack_percent(3)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_balanced_with_the_documented_sizes() {
        const CONFIG: Config = Config::new();
        assert_eq!(CONFIG, Config::of(Profile::Balanced));
        assert_eq!(CONFIG, Config::default());
        assert_eq!(CONFIG.cpu_cache_bytes(), 8 << 20);
        assert_eq!(CONFIG.thread_cache_bytes(), 1 << 20);
        assert_eq!(CONFIG.free_cache_superslabs(), 256);
        assert_eq!(CONFIG.free_cache_bytes(), 512 << 20);
        assert_eq!(CONFIG.free_cache_age_ms(), 60_000);
        assert_eq!(CONFIG.numa(), NumaMode::Preferred);
        assert_eq!(CONFIG.rseq(), RseqMode::Auto);
        assert_eq!((CONFIG.limit_soft(), CONFIG.limit_hard()), (Limit::None, Limit::None));
        assert_eq!((CONFIG.prewarm_superslabs(), CONFIG.prefault()), (0, Prefault::Off));
    }

    #[test]
    fn a_profile_replaces_sizes_and_leaves_choices() {
        let choices = Config::new()
            .with_rseq(RseqMode::Off)
            .with_numa(NumaMode::Bind)
            .with_limit_soft(Limit::Cgroup)
            .with_limit_hard(Limit::Bytes(9))
            .with_prewarm_superslabs(3)
            .with_prefault(Prefault::On)
            .with_node_reserve_bytes(1 << 30)
            .with_huge_spare_pages(5)
            .with_stats_at_exit(StatsAtExit::On);
        for profile in [Profile::Speed, Profile::Balanced, Profile::Lean] {
            let config = choices.with_cpu_cache_bytes(1).with_huge(HugeMode::Reserved).with_profile(profile);
            let pure = Config::of(profile);
            assert_eq!(config.cpu_cache_bytes(), pure.cpu_cache_bytes());
            assert_eq!(config.huge(), pure.huge());
            assert_eq!(config, choices.with_profile(profile));
            assert_eq!(config.rseq(), RseqMode::Off);
            assert_eq!(config.numa(), NumaMode::Bind);
            assert_eq!(config.limit_soft(), Limit::Cgroup);
            assert_eq!(config.limit_hard(), Limit::Bytes(9));
            assert_eq!((config.prewarm_superslabs(), config.prefault()), (3, Prefault::On));
            assert_eq!(config.node_reserve_bytes(), 1 << 30);
            assert_eq!(config.huge_spare_pages(), 5);
            assert_eq!(config.stats_at_exit(), StatsAtExit::On);
        }
    }

    #[test]
    fn each_profile_keeps_less_than_the_one_before() {
        let [speed, balanced, lean] = [Profile::Speed, Profile::Balanced, Profile::Lean].map(Config::of);
        for (more, less) in [(speed, balanced), (balanced, lean)] {
            assert!(more.cpu_cache_bytes() > less.cpu_cache_bytes());
            assert!(more.thread_cache_bytes() > less.thread_cache_bytes());
            assert!(more.transfer_class_bytes() > less.transfer_class_bytes());
            assert!(more.transfer_node_bytes() > less.transfer_node_bytes());
            assert!(more.free_cache_bytes() > less.free_cache_bytes());
            assert!(more.free_cache_age_ms() > less.free_cache_age_ms());
            assert!(more.slack_percent() > less.slack_percent());
        }
    }
}
