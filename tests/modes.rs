//! Which caches and which placement a process gets, what decides it, and that each of them works: on
//! machines and in containers where the kernel or the C library withholds something.

mod support;

use numaslab::config::{Config, Limit, RseqMode};
use numaslab::telemetry::{CacheMode, Call, Distrust, PlacementMode, WhyPerThread};
use numaslab::{NumaSlab, stats, trim};
use std::os::unix::process::CommandExt;
use std::process::Command;
use support::accounts::balance;
use support::child::{self, skip, text};
use support::confine::forbid;
use support::mode::{VARIABLE, start};
use support::owned::{Owned, any_layout};
use support::rng::Rng;
use support::threads;

static HEAP: NumaSlab = NumaSlab::new();

/// Uses the heap from several threads, and balances the books.
fn works() {
    balance(|| {
        threads::run(8, |number| {
            let mut rng = Rng::new(number as u64);
            let mut slots: [Option<Owned>; 32] = [const { None }; 32];
            for _ in 0..3000 {
                let (slot, layout, stamp) = (rng.below(32), any_layout(&mut rng), rng.next());
                match slots[slot].take() {
                    Some(old) => old.free(&HEAP),
                    None => slots[slot] = Owned::new(&HEAP, layout, number as u8 + 1, stamp),
                }
            }
            slots.into_iter().flatten().for_each(|block| block.free(&HEAP));
        });
    });
}

fn cache_mode() -> CacheMode {
    start(&HEAP);
    stats().cache_mode.expect("the heap has been started")
}

/// Lets the child choose its mode by itself, and forbids a system call in it from its very beginning on.
fn without(number: libc::c_long, errno: i32) -> impl FnOnce(&mut Command) {
    move |child| {
        child.env(VARIABLE, "auto");
        // SAFETY: two prctl calls, which are safe between fork and exec.
        unsafe {
            child.pre_exec(move || {
                forbid(number, errno);
                Ok(())
            })
        };
    }
}

fn plain(child: &mut Command) {
    child.env_remove(VARIABLE);
}

/// Makes glibc leave restartable sequences alone in the child.
fn without_libc_rseq(child: &mut Command) {
    plain(child);
    child.env("GLIBC_TUNABLES", "glibc.pthread.rseq=0");
}

/// Whether this process registers rseq areas of its own; skips if it does not.
fn has_own_rseq() -> bool {
    match cache_mode() {
        CacheMode::PerCpu { libc_area: false, .. } => true,
        CacheMode::PerCpu { .. } => {
            skip("this C library has no such tunable");
            false
        }
        other => {
            skip(&format!("no restartable sequences here: {other}"));
            false
        }
    }
}

#[test]
fn there_is_no_mode_before_the_first_request() {
    child::succeed("fresh", plain, || {
        assert_eq!(stats().cache_mode, None);
        assert_eq!((stats().in_use_bytes(), stats().mapped_bytes()), (0, 0));
        assert_eq!(trim(), numaslab::Drained::default());
        cache_mode();
    });
}

#[test]
fn the_configuration_may_ask_for_a_cache_for_each_thread() {
    child::succeed("config", plain, || {
        start(&NumaSlab::with_config(Config::new().with_rseq(RseqMode::Off)));
        assert_eq!(cache_mode(), CacheMode::PerThread(WhyPerThread::Configured));
        works();
    });
}

#[test]
fn the_first_heap_of_a_process_is_its_only_one() {
    child::succeed("first", plain, || {
        start(&NumaSlab::with_config(Config::new().with_rseq(RseqMode::Off)));
        start(&NumaSlab::with_config(Config::new().with_rseq(RseqMode::Auto)));
        assert_eq!(cache_mode(), CacheMode::PerThread(WhyPerThread::Configured));
    });
}

#[test]
fn without_the_rseq_system_call_each_thread_has_a_cache() {
    for (key, errno) in [("eperm", libc::EPERM), ("enosys", libc::ENOSYS)] {
        child::succeed(key, without(libc::SYS_rseq, errno), || {
            assert_eq!(cache_mode(), CacheMode::PerThread(WhyPerThread::Rseq(Distrust::NotRegistered)));
            works();
        });
    }
}

#[test]
fn threads_that_get_no_rseq_live_among_others_that_have_it() {
    child::succeed("later", without_libc_rseq, || {
        if !has_own_rseq() {
            return;
        }
        // A thread that is registered already stays so; the filter is for this one and its children.
        let barrier = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            let elder = scope.spawn(|| {
                start(&HEAP);
                barrier.wait();
                barrier.wait();
                start(&HEAP);
            });
            barrier.wait();
            forbid(libc::SYS_rseq, libc::EPERM);
            barrier.wait();
            works();
            elder.join().unwrap();
        });
        works();
        assert!(matches!(cache_mode(), CacheMode::PerCpu { .. }));
    });
}

#[test]
fn without_membarrier_regions_stay_with_their_cpus() {
    child::succeed("filter", without(libc::SYS_membarrier, libc::EPERM), || {
        match cache_mode() {
            CacheMode::PerCpu { revocable, .. } => assert!(!revocable),
            other => return skip(&format!("no restartable sequences here: {other}")),
        }
        works();
        let before = stats().calls.of(Call::Membarrier);
        trim();
        assert_eq!(stats().calls.of(Call::Membarrier), before, "asked for again and again");
    });
}

#[test]
fn without_memory_policies_memory_is_placed_by_first_touch() {
    child::succeed("filter", without(libc::SYS_mbind, libc::EPERM), || {
        cache_mode();
        match stats().placement {
            PlacementMode::OneNode => skip("one node"),
            placement => assert_eq!(placement, PlacementMode::FirstTouch(Some(libc::EPERM))),
        }
        works();
    });
}

#[test]
fn a_c_library_that_leaves_rseq_alone_is_done_without() {
    child::succeed("tunable", without_libc_rseq, || {
        if !has_own_rseq() {
            return;
        }
        works();
        // Each thread registers at its first miss, and gives the area up before it is gone.
        const THREADS: usize = 100;
        let before = stats().calls.of(Call::Rseq);
        for _ in 0..4 {
            threads::run(THREADS / 4, |_| start(&HEAP));
        }
        assert_eq!(stats().calls.of(Call::Rseq) - before, 2 * THREADS as u64);
    });
}

#[test]
fn threads_that_never_allocate_are_never_registered() {
    child::succeed("tunable", without_libc_rseq, || {
        cache_mode();
        let before = stats().calls;
        threads::run(20, |_| ());
        assert_eq!(stats().calls.since(&before).total(), 0);
    });
}

#[test]
fn each_variable_that_can_be_seen_is_seen() {
    let sees = |name: &'static str, value: &'static str, look: fn()| {
        let prepare = |child: &mut Command| _ = child.env(name, value);
        child::succeed_test("each_variable_that_can_be_seen_is_seen", name, prepare, || {
            start(&HEAP);
            look();
        });
    };
    sees("NUMASLAB_RSEQ", "off", || {
        assert_eq!(stats().cache_mode, Some(CacheMode::PerThread(WhyPerThread::Configured)));
    });
    sees("NUMASLAB_NUMA", "off", || {
        assert_eq!((stats().nodes, stats().placement), (1, PlacementMode::OneNode));
    });
    sees("NUMASLAB_LIMIT_HARD", "16M", || {
        let layout = std::alloc::Layout::from_size_align(17 << 20, 8).unwrap();
        assert!(Owned::new(&HEAP, layout, 1, 1).is_none());
    });
}

#[test]
fn the_environment_goes_before_the_configuration() {
    let prepare = |child: &mut Command| _ = child.env("NUMASLAB_LIMIT_HARD", "none");
    child::succeed("limit", prepare, || {
        start(&NumaSlab::with_config(Config::new().with_limit_hard(Limit::Bytes(4 << 20))));
        let layout = std::alloc::Layout::from_size_align(17 << 20, 8).unwrap();
        Owned::new(&HEAP, layout, 1, 1).expect("no limit").free(&HEAP);
    });
}

#[test]
fn what_is_wrong_in_the_environment_is_said_once() {
    let wrong = [
        ("NUMASLAB_HUGE", "sometimes", "ignoring NUMASLAB_HUGE=sometimes: it takes"),
        ("NUMASLAB_CPU_CACHE", "12 parsecs", "ignoring NUMASLAB_CPU_CACHE=12 parsecs: it takes"),
        ("NUMASLAB_COLOUR", "blue", "ignoring the unknown variable NUMASLAB_COLOUR"),
    ];
    let prepare = |child: &mut Command| {
        child.envs(wrong.map(|(name, value, _)| (name, value)));
    };
    // Several threads may build the heap at the same moment; still each complaint comes once.
    let output = child::run("wrong", prepare, || drop(threads::run(8, |_| start(&HEAP))));
    let Some(output) = output else { return };
    let err = text(&output.stderr);
    assert!(output.status.success(), "{err}");
    for (_, _, line) in wrong {
        assert_eq!(err.matches(&format!("numaslab: {line}")).count(), 1, "{line}: {err}");
    }
    assert_eq!(err.lines().filter(|line| line.starts_with("numaslab: ")).count(), wrong.len(), "{err}");
}

#[test]
fn statistics_go_to_stderr_at_exit_if_asked_for() {
    let printed = |value: &'static str| {
        let prepare = |child: &mut Command| _ = child.env("NUMASLAB_STATS", value);
        child::run_test("statistics_go_to_stderr_at_exit_if_asked_for", value, prepare, || start(&HEAP))
    };
    if let (Some(on), Some(off)) = (printed("on"), printed("off")) {
        assert!(text(&on.stderr).contains("numaslab: in_use_bytes 0\n"), "{}", text(&on.stderr));
        assert!(!text(&off.stderr).contains("numaslab: "), "{}", text(&off.stderr));
    }
}
