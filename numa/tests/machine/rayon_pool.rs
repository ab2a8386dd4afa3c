//! rayon pools whose threads stay where the plan says.

use std::sync::Mutex;

use numaslab_numa::hooks::{StartHook, rayon_pool};
use numaslab_numa::{CpuSet, Error, Placement, Plan, Topology};
use rayon::ThreadPoolBuilder;
use rayon::prelude::*;

use crate::kernel;

fn plan(placement: Placement) -> Plan {
    placement.plan(&Topology::discover().unwrap()).unwrap()
}

/// The mask of each thread of a pool, in the order of the threads.
fn masks(pool: &rayon::ThreadPool) -> Vec<CpuSet> {
    pool.broadcast(|_| kernel::mask())
}

fn places(plan: &Plan) -> Vec<CpuSet> {
    plan.slots().iter().map(|slot| slot.cpus.clone()).collect()
}

#[test]
fn each_thread_gets_its_place() {
    let plan = plan(Placement::Compact);
    let pool = rayon_pool::build(ThreadPoolBuilder::new(), &plan).unwrap();
    assert_eq!(masks(&pool), places(&plan));
    assert_eq!(pool.install(|| (0..1000_u64).into_par_iter().sum::<u64>()), 999 * 1000 / 2);
}

#[test]
fn the_builder_keeps_its_own_settings() {
    let started = std::sync::Arc::new(Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&started);
    let builder = ThreadPoolBuilder::new()
        .thread_name(|index| format!("own-{index}"))
        .start_handler(move |index| seen.lock().unwrap().push(index));
    let plan = plan(Placement::Compact);
    let pool = rayon_pool::build(builder, &plan).unwrap();
    let names = pool.broadcast(|_| std::thread::current().name().map(str::to_owned));
    assert_eq!(names[0].as_deref(), Some("own-0"));
    let mut started = started.lock().unwrap().clone();
    started.sort_unstable();
    assert_eq!(started, (0..plan.workers()).collect::<Vec<_>>());
}

#[test]
fn there_is_one_pool_for_each_node() {
    let topology = Topology::discover().unwrap();
    let plan = plan(Placement::PerNode(usize::MAX));
    let pools = rayon_pool::per_node("crew", &plan).unwrap();
    assert_eq!(pools.keys().copied().collect::<numaslab_numa::NodeSet>(), plan.nodes());
    for (&node, pool) in &pools {
        let cpus = topology.usable_cpus(node).unwrap();
        assert!(masks(pool).iter().all(|mask| *mask == cpus));
        let name = pool.install(|| std::thread::current().name().map(str::to_owned)).unwrap();
        assert!(name.starts_with(&format!("crew-{}.", node.0)), "{name}");
    }
}

#[test]
fn a_start_handler_of_ones_own_pins_too() {
    let plan = plan(Placement::Spread);
    let hook = StartHook::new(plan.clone());
    let in_thread = hook.clone();
    let pool = ThreadPoolBuilder::new()
        .num_threads(plan.workers())
        .start_handler(move |index| in_thread.pin_worker(index))
        .build()
        .unwrap();
    hook.wait_for_workers().unwrap();
    assert_eq!(masks(&pool), places(&plan));
}

#[test]
fn a_thread_that_cannot_be_pinned_fails_the_build() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sys/devices/system/cpu");
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join("online"), "1000\n").unwrap();
    let plan = Placement::Compact.plan(&Topology::from_root(dir.path()).unwrap()).unwrap();
    let error = rayon_pool::build(ThreadPoolBuilder::new(), &plan).unwrap_err();
    assert!(matches!(error, Error::CpuOffline { .. }), "{error}");
}
