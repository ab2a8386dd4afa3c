//! What a container or an administrator does to a process on a machine with several nodes: memory policies
//! forbidden, nodes and CPUs taken away and given back.

mod support;

use numaslab::placement::node_of;
use numaslab::telemetry::{PlacementMode, Purpose, machine, residence};
use numaslab::{NumaSlab, stats, trim};
use std::alloc::Layout;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;
use support::accounts::balance;
use support::block::Block;
use support::child;
use support::confine::{Cpuset, forbid};
use support::mode::start;
use support::nodes::{self, Node, Tally};
use support::owned::{Owned, any_layout};
use support::rng::Rng;
use support::threads::{allowed_cpus, pin, run};

static HEAP: NumaSlab = NumaSlab::new();

/// While this lives no other test of this program changes the machine.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Allocates and frees in random order, one round.
fn churn(rng: &mut Rng, slots: &mut [Option<Owned>], owner: u8) {
    for _ in 0..500 {
        let (slot, layout, stamp) = (rng.below(slots.len()), any_layout(rng), rng.next());
        match slots[slot].take() {
            Some(old) => old.free(&HEAP),
            None => slots[slot] = Owned::new(&HEAP, layout, owner, stamp),
        }
    }
}

/// Runs `disturb` while as many threads as there are CPUs, pinned or not, work; balances the books.
fn under_load(pinned: bool, disturb: impl FnOnce()) {
    let (cpus, stop) = (allowed_cpus(), AtomicBool::new(false));
    balance(|| {
        std::thread::scope(|scope| {
            let workers: Vec<_> = cpus
                .iter()
                .take(12)
                .enumerate()
                .map(|(number, cpu)| {
                    let stop = &stop;
                    scope.spawn(move || {
                        if pinned {
                            pin(&[*cpu]);
                        }
                        let mut rng = Rng::new(number as u64);
                        let mut slots: [Option<Owned>; 32] = [const { None }; 32];
                        while !stop.load(Ordering::Relaxed) {
                            churn(&mut rng, &mut slots, number as u8 + 1);
                        }
                        slots.into_iter().flatten().for_each(|block| block.free(&HEAP));
                    })
                })
                .collect();
            disturb();
            stop.store(true, Ordering::Relaxed);
            workers.into_iter().for_each(|worker| worker.join().unwrap());
        });
    });
}

/// Blocks of all kinds from a pinned thread on each CPU: how many of their pages lie on its node.
fn local_pages(nodes: &[Node], tell: impl Fn(usize, usize, u16) + Sync) {
    let homes = nodes::homes(nodes);
    run(homes.len(), |number| {
        let (cpu, node) = homes[number];
        pin(&[cpu]);
        for size in [8, 100, 1000, 5000, 30_000, 100_000, 700_000, 3 << 20] {
            let layout = Layout::from_size_align(size, 8).expect("a layout");
            let blocks: Vec<Block> =
                (0..4).map(|stamp| Block::new(&HEAP, layout, stamp).expect("memory")).collect();
            blocks.iter().for_each(|block| tell(block.address(), size, node));
            blocks.into_iter().for_each(|block| block.free(&HEAP));
        }
    });
}

/// Starts the heap with these system calls forbidden, and demands that memory is placed well all the same.
/// One thread may still ask the kernel where pages lie.
fn works_without(calls: &[libc::c_long], placement: PlacementMode) {
    let Some(nodes) = nodes::several() else { return };
    let (send, questions) = channel::<(usize, usize, u16)>();
    let witness = std::thread::spawn(move || {
        let mut tally = Tally::default();
        while let Ok((address, bytes, node)) = questions.recv() {
            if bytes == 0 {
                break;
            }
            tally.add(address, bytes, node);
        }
        (tally, residence())
    });
    calls.iter().for_each(|call| forbid(*call, libc::EPERM));
    start(&HEAP);
    assert_eq!((stats().placement, stats().nodes), (placement, nodes.len()));
    let send = Mutex::new(send);
    // A block may be freed before the witness looks; its pages stay, or are gone and not counted.
    local_pages(&nodes, |address, bytes, node| send.lock().unwrap().send((address, bytes, node)).unwrap());
    send.lock().unwrap().send((0, 0, 0)).unwrap();
    let (tally, pages) = witness.join().unwrap();
    let blocks = pages.expect("the witness may ask").of(Purpose::Blocks);
    child::measured(format_args!("{tally:?}, {blocks:?}"));
    assert!(tally.share() >= 0.99, "{tally:?}\n{}", stats());
    assert!(blocks.away * 100 <= blocks.home, "{blocks:?}\n{}", stats());
    assert_eq!(residence().is_err(), calls.contains(&libc::SYS_move_pages));
    under_load(false, || sleep(Duration::from_millis(300)));
}

#[test]
fn a_container_that_forbids_policies_gets_placement_by_first_touch() {
    let _alone = alone();
    child::succeed(
        "all",
        |_| {},
        || {
            works_without(
                &[libc::SYS_mbind, libc::SYS_set_mempolicy, libc::SYS_get_mempolicy, libc::SYS_move_pages],
                PlacementMode::FirstTouch(Some(libc::EPERM)),
            );
        },
    );
}

#[test]
fn each_call_about_policies_may_be_missing() {
    let _alone = alone();
    let refused = PlacementMode::FirstTouch(Some(libc::EPERM));
    let name = "each_call_about_policies_may_be_missing";
    for (key, call, placement) in [
        ("mbind", libc::SYS_mbind, refused),
        ("get_mempolicy", libc::SYS_get_mempolicy, PlacementMode::Bound),
        ("move_pages", libc::SYS_move_pages, PlacementMode::Bound),
    ] {
        child::succeed_test(name, key, |_| {}, || works_without(&[call], placement));
    }
}

#[test]
fn a_process_confined_to_some_nodes_uses_those() {
    let _alone = alone();
    child::succeed(
        "cpuset",
        |_| {},
        || {
            let Some(all) = nodes::several() else { return };
            let Some(cpuset) = Cpuset::make("some") else { return };
            let some: Vec<u16> = all.iter().skip(all.len() / 2).map(|node| node.number).collect();
            cpuset.set_nodes(&some);
            cpuset.set_cpus(&allowed_cpus());
            cpuset.enter();
            start(&HEAP);
            assert_eq!(stats().nodes, some.len(), "{}", stats());
            let tally = Mutex::new(Tally::default());
            // All CPUs are left, and each works with the nearest node that is.
            let nodes = nodes::all();
            assert_eq!(nodes.iter().map(|node| node.number).collect::<Vec<_>>(), some);
            local_pages(&nodes, |address, bytes, node| tally.lock().unwrap().add(address, bytes, node));
            let tally = *tally.lock().unwrap();
            assert_eq!(tally.wrong, 0, "{tally:?}\n{}", stats());
            under_load(true, || sleep(Duration::from_millis(300)));
        },
    );
}

#[test]
fn nodes_taken_away_under_load_and_given_back_are_used_again() {
    let _alone = alone();
    child::succeed(
        "shrink",
        |_| {},
        || {
            let Some(all) = nodes::several() else { return };
            let Some(cpuset) = Cpuset::make("shrink") else { return };
            let (numbers, cpus): (Vec<u16>, _) =
                (all.iter().map(|node| node.number).collect(), allowed_cpus());
            cpuset.set_nodes(&numbers);
            cpuset.set_cpus(&cpus);
            cpuset.enter();
            start(&HEAP);
            under_load(false, || {
                for kept in [all.len() - 1, 1, all.len()] {
                    sleep(Duration::from_millis(200));
                    cpuset.set_nodes(&numbers[..kept]);
                    cpuset.set_cpus(&cpus[..cpus.len().min(2 * kept)]);
                    sleep(Duration::from_millis(300));
                    assert_eq!(machine().nodes_allowed, Some(kept), "{:?}", machine());
                    assert_eq!(stats().nodes, all.len());
                }
                cpuset.set_cpus(&cpus);
            });
            // What was moved meanwhile is given back; what is taken then lies at home.
            trim();
            let tally = Mutex::new(Tally::default());
            local_pages(&all, |address, bytes, node| tally.lock().unwrap().add(address, bytes, node));
            let tally = *tally.lock().unwrap();
            child::measured(format_args!("{tally:?}"));
            assert_eq!(tally.wrong, 0, "{tally:?}\n{}", stats());
        },
    );
}

/// Takes a CPU offline or back; `false` if this machine does not do that.
fn set_online(cpu: usize, online: bool) -> bool {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/online");
    std::fs::write(path, if online { "1" } else { "0" }).is_ok()
}

#[test]
fn cpus_may_go_offline_and_come_back_under_load() {
    let _alone = alone();
    child::succeed(
        "offline",
        |_| {},
        || {
            if std::env::var_os("NUMA_RIG").is_none() {
                return child::skip("no emulated machine: CPUs are left alone");
            }
            start(&HEAP);
            let cpus: Vec<usize> = allowed_cpus().into_iter().filter(|cpu| *cpu != 0).take(3).collect();
            let online = machine().cpus_online.expect("sysfs");
            let mut gone = 0;
            for pinned in [false, true] {
                under_load(pinned, || {
                    for cpu in &cpus {
                        sleep(Duration::from_millis(50));
                        if set_online(*cpu, false) {
                            gone += 1;
                            assert_eq!(machine().cpus_online, Some(online - 1));
                            sleep(Duration::from_millis(50));
                            // What its region holds is not lost.
                            trim();
                            assert!(set_online(*cpu, true));
                        }
                    }
                });
            }
            child::measured(format_args!("{gone} times offline"));
            assert!(gone > 0, "no CPU could be taken offline");
            assert_eq!(machine().cpus_online, Some(online));
        },
    );
}

#[test]
fn blocks_in_the_cache_of_an_offline_cpu_come_back_by_a_trim() {
    let _alone = alone();
    child::succeed(
        "stranded",
        |_| {},
        || {
            if std::env::var_os("NUMA_RIG").is_none() {
                return child::skip("no emulated machine: CPUs are left alone");
            }
            start(&HEAP);
            let Some(cpu) = allowed_cpus().into_iter().rev().find(|cpu| *cpu != 0) else { return };
            let address = std::thread::spawn(move || {
                pin(&[cpu]);
                let layout = Layout::from_size_align(1000, 8).expect("a layout");
                let blocks: Vec<Block> =
                    (0..50).map(|stamp| Block::new(&HEAP, layout, stamp).expect("memory")).collect();
                let home = node_of(blocks[0].pointer());
                blocks.into_iter().for_each(|block| block.free(&HEAP));
                home
            });
            assert!(address.join().unwrap().is_some());
            if !set_online(cpu, false) {
                return child::skip("this CPU can't be taken offline");
            }
            trim();
            let after = stats();
            assert_eq!(after.sum(|node| node.region_bytes + node.outbox_bytes), 0, "{after}");
            assert_eq!(after.in_use_bytes(), 0, "{after}");
            assert!(set_online(cpu, true));
        },
    );
}
