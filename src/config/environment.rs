//! The `NUMASLAB_*` environment variables.
//!
//! # Invariants
//! - The environment is read in one pass, without allocating, and ignored in set-user-id programs.
//! - The profile is applied first, then the other variables, in whatever order they are set. Of a
//!   name that is set twice, the first counts, as with getenv(3).
//! - What is wrong is reported once per process, one line each, and changes nothing.

use super::{Config, HugeMode, NumaMode, Prefault, Profile, RseqMode, StatsAtExit, value};
use crate::os::env;
use crate::os::fatal::{Line, warn};
use crate::sync::{AtomicBool, Ordering};
use crate::units::SUPERSLAB_BYTES;

const PREFIX: &[u8] = b"NUMASLAB_";

/// One variable: its name without the prefix, what it takes, and what it does; `None` for a value
/// that it does not take.
struct Variable {
    name: &'static str,
    takes: &'static str,
    apply: fn(Config, &[u8]) -> Option<Config>,
}

/// All variables; the profile comes first because it presets what others set.
static VARIABLES: [Variable; 13] = [
    Variable {
        name: "PROFILE",
        takes: "speed, balanced or lean",
        apply: |config, text| {
            let words = [("speed", Profile::Speed), ("balanced", Profile::Balanced), ("lean", Profile::Lean)];
            value::choice(text, &words).map(|profile| config.with_profile(profile))
        },
    },
    Variable {
        name: "RSEQ",
        takes: "auto or off",
        apply: |config, text| {
            let words = [("auto", RseqMode::Auto), ("off", RseqMode::Off)];
            value::choice(text, &words).map(|mode| config.with_rseq(mode))
        },
    },
    Variable {
        name: "NUMA",
        takes: "preferred, bind, interleave, first-touch or off",
        apply: |config, text| {
            let words = [
                ("preferred", NumaMode::Preferred),
                ("bind", NumaMode::Bind),
                ("interleave", NumaMode::Interleave),
                ("first-touch", NumaMode::FirstTouch),
                ("off", NumaMode::Off),
            ];
            value::choice(text, &words).map(|mode| config.with_numa(mode))
        },
    },
    Variable {
        name: "HUGE",
        takes: "never, transparent or reserved",
        apply: |config, text| {
            let words = [
                ("never", HugeMode::Never),
                ("transparent", HugeMode::Transparent),
                ("reserved", HugeMode::Reserved),
            ];
            value::choice(text, &words).map(|mode| config.with_huge(mode))
        },
    },
    Variable {
        name: "CPU_CACHE",
        takes: SIZE,
        apply: |config, text| value::size(text).map(|bytes| config.with_cpu_cache_bytes(bytes)),
    },
    Variable {
        name: "THREAD_CACHE",
        takes: SIZE,
        apply: |config, text| value::size(text).map(|bytes| config.with_thread_cache_bytes(bytes)),
    },
    Variable {
        name: "LIMIT_SOFT",
        takes: LIMIT,
        apply: |config, text| value::limit(text).map(|limit| config.with_limit_soft(limit)),
    },
    Variable {
        name: "LIMIT_HARD",
        takes: LIMIT,
        apply: |config, text| value::limit(text).map(|limit| config.with_limit_hard(limit)),
    },
    Variable {
        name: "PREWARM",
        takes: "a number of SuperSlabs for each node",
        apply: |config, text| value::count(text).map(|n| config.with_prewarm_superslabs(n)),
    },
    Variable {
        name: "PREFAULT",
        takes: "on or off",
        apply: |config, text| {
            let words =
                [("on", Prefault::On), ("off", Prefault::Off), ("1", Prefault::On), ("0", Prefault::Off)];
            value::choice(text, &words).map(|prefault| config.with_prefault(prefault))
        },
    },
    Variable {
        name: "FREE_CACHE",
        takes: SIZE,
        apply: |config, text| value::size(text).map(|bytes| with_free_cache(config, bytes)),
    },
    Variable {
        name: "FREE_AGE",
        takes: "a time such as 60, 60s, 500ms or 5m",
        apply: |config, text| value::age_ms(text).map(|age| config.with_free_cache_age_ms(age)),
    },
    Variable {
        name: "STATS",
        takes: "on or off",
        apply: |config, text| {
            let words = [
                ("on", StatsAtExit::On),
                ("off", StatsAtExit::Off),
                ("1", StatsAtExit::On),
                ("0", StatsAtExit::Off),
            ];
            value::choice(text, &words).map(|stats| config.with_stats_at_exit(stats))
        },
    },
];

const SIZE: &str = "a size such as 65536, 64K, 2M or 1G";
const LIMIT: &str = "a size such as 512M or 8G, cgroup, or none";

/// What is wrong with a variable.
#[derive(Clone, Copy)]
enum Complaint<'a> {
    /// No variable has this name (given without the prefix).
    UnknownName(&'a [u8]),
    /// The variable does not take this value.
    BadValue(&'static Variable, &'a [u8]),
}

impl Config {
    /// This configuration as changed by the `NUMASLAB_*` environment variables: `PROFILE`, `RSEQ`,
    /// `NUMA`, `HUGE`, `CPU_CACHE`, `THREAD_CACHE`, `LIMIT_SOFT`, `LIMIT_HARD`, `PREWARM`, `PREFAULT`,
    /// `FREE_CACHE`, `FREE_AGE` and `STATS`.
    ///
    /// A bad value or an unknown name is reported on stderr, one line each, the first time that this
    /// is called in a process; the field then stays as it is. Does not allocate.
    pub fn with_environment(self) -> Self {
        /// Whether the environment has been reported on. Set by the first caller, never cleared.
        static REPORTED: AtomicBool = AtomicBool::new(false);
        if env::is_untrusted() {
            return self;
        }
        // Relaxed: only the first caller must see false; nothing is published by it.
        let silent = REPORTED.swap(true, Ordering::Relaxed);
        self.with_variables(env::vars(), |complaint| {
            if !silent {
                report(complaint);
            }
        })
    }

    /// This configuration as changed by `variables`; what is wrong with them goes to `complain`.
    fn with_variables<'a>(
        self,
        variables: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        mut complain: impl FnMut(Complaint<'a>),
    ) -> Self {
        let mut values = [None; VARIABLES.len()];
        for (name, value) in variables {
            let Some(name) = name.strip_prefix(PREFIX) else { continue };
            match VARIABLES.iter().position(|variable| variable.name.as_bytes() == name) {
                Some(index) => values[index] = values[index].or(Some(value)),
                None => complain(Complaint::UnknownName(name)),
            }
        }
        let set = VARIABLES.iter().zip(values).filter_map(|(variable, value)| Some((variable, value?)));
        set.fold(self, |config, (variable, value)| {
            (variable.apply)(config, value).unwrap_or_else(|| {
                complain(Complaint::BadValue(variable, value));
                config
            })
        })
    }
}

/// Bounds the free-SuperSlab cache by bytes, and lets the count follow.
fn with_free_cache(config: Config, bytes: usize) -> Config {
    let superslabs = u32::try_from(bytes / SUPERSLAB_BYTES).unwrap_or(u32::MAX);
    config.with_free_cache_bytes(bytes).with_free_cache_superslabs(superslabs)
}

#[cold]
fn report(complaint: Complaint<'_>) {
    let mut line = Line::new();
    match complaint {
        Complaint::UnknownName(name) => {
            line.push_str("ignoring the unknown variable ").push_bytes(PREFIX).push_bytes(name);
        }
        Complaint::BadValue(variable, value) => {
            line.push_str("ignoring ").push_bytes(PREFIX).push_str(variable.name).push_str("=");
            line.push_bytes(&value[..value.len().min(64)]);
            line.push_str(": it takes ").push_str(variable.takes);
        }
    }
    warn(&line);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limit;
    use crate::os::testing::{run_in_child, stderr};
    use std::process::Command;
    use std::string::String;
    use std::vec::Vec;

    /// The default configuration under these variables, and what was wrong with them.
    fn read(variables: &[(&'static str, &'static str)]) -> (Config, Vec<String>) {
        let mut complaints = Vec::new();
        let bytes = variables.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let config = Config::new().with_variables(bytes, |complaint| {
            let text = match complaint {
                Complaint::UnknownName(name) => name,
                Complaint::BadValue(variable, _) => variable.name.as_bytes(),
            };
            complaints.push(String::from_utf8_lossy(text).into_owned());
        });
        (config, complaints)
    }

    fn accepted(variables: &[(&'static str, &'static str)]) -> Config {
        let (config, complaints) = read(variables);
        assert!(complaints.is_empty(), "{complaints:?}");
        config
    }

    #[test]
    fn each_variable_sets_its_field_and_no_other() {
        let base = Config::new();
        let one = |name, value| accepted(&[(name, value)]);
        assert_eq!(one("NUMASLAB_PROFILE", "lean"), Config::of(Profile::Lean));
        assert_eq!(one("NUMASLAB_RSEQ", "off"), base.with_rseq(RseqMode::Off));
        assert_eq!(one("NUMASLAB_NUMA", "First-Touch"), base.with_numa(NumaMode::FirstTouch));
        assert_eq!(one("NUMASLAB_NUMA", "interleave"), base.with_numa(NumaMode::Interleave));
        assert_eq!(one("NUMASLAB_HUGE", "reserved"), base.with_huge(HugeMode::Reserved));
        assert_eq!(one("NUMASLAB_CPU_CACHE", "3M"), base.with_cpu_cache_bytes(3 << 20));
        assert_eq!(one("NUMASLAB_THREAD_CACHE", "5K"), base.with_thread_cache_bytes(5 << 10));
        assert_eq!(one("NUMASLAB_LIMIT_SOFT", "cgroup"), base.with_limit_soft(Limit::Cgroup));
        assert_eq!(one("NUMASLAB_LIMIT_HARD", "1G"), base.with_limit_hard(Limit::Bytes(1 << 30)));
        assert_eq!(one("NUMASLAB_PREWARM", "4"), base.with_prewarm_superslabs(4));
        assert_eq!(one("NUMASLAB_PREFAULT", "on"), base.with_prefault(Prefault::On));
        let free = base.with_free_cache_bytes(5 << 20).with_free_cache_superslabs(2);
        assert_eq!(one("NUMASLAB_FREE_CACHE", "5M"), free);
        assert_eq!(one("NUMASLAB_FREE_AGE", "250ms"), base.with_free_cache_age_ms(250));
        assert_eq!(one("NUMASLAB_STATS", "on"), base.with_stats_at_exit(StatsAtExit::On));
    }

    #[test]
    fn the_profile_comes_first_wherever_it_stands() {
        let config = accepted(&[
            ("NUMASLAB_CPU_CACHE", "1M"),
            ("PATH", "/bin"),
            ("NUMASLAB_PROFILE", "speed"),
            ("NUMASLAB", "not ours"),
        ]);
        assert_eq!(config, Config::of(Profile::Speed).with_cpu_cache_bytes(1 << 20));
    }

    #[test]
    fn of_a_name_set_twice_the_first_counts() {
        let twice = [("NUMASLAB_PREWARM", "1"), ("NUMASLAB_PREWARM", "2")];
        assert_eq!(accepted(&twice).prewarm_superslabs(), 1);
    }

    #[test]
    fn what_is_wrong_is_told_and_the_rest_still_counts() {
        let (config, complaints) = read(&[
            ("NUMASLAB_HUGE", "2M"),
            ("NUMASLAB_TURBO", "on"),
            ("NUMASLAB_rseq", "off"),
            ("NUMASLAB_CPU_CACHE", ""),
            ("NUMASLAB_PREWARM", "7"),
        ]);
        assert_eq!(config, Config::new().with_prewarm_superslabs(7));
        assert_eq!(complaints, ["TURBO", "rseq", "HUGE", "CPU_CACHE"]);
    }

    #[test]
    fn the_process_environment_is_read_and_reported_on_once() {
        let prepare = |child: &mut Command| {
            child.env("NUMASLAB_HUGE", "yes\n\x1b[2J").env("NUMASLAB_CACHE", "1");
            child.env("NUMASLAB_CPU_CACHE", "3M");
            // The suite may itself run with this.
            child.env_remove("NUMASLAB_RSEQ");
        };
        let output = run_in_child(prepare, || {
            let config = Config::new().with_environment();
            assert_eq!(config, Config::new().with_cpu_cache_bytes(3 << 20));
            assert_eq!(Config::new().with_environment(), config);
        });
        let Some(output) = output else { return };
        assert!(output.status.success());
        let text = stderr(&output);
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("numaslab: ")).collect();
        assert_eq!(
            lines,
            [
                "numaslab: ignoring the unknown variable NUMASLAB_CACHE",
                "numaslab: ignoring NUMASLAB_HUGE=yes??[2J: it takes never, transparent or reserved",
            ]
        );
    }
}
