//! tokio runtimes whose workers stay where the plan says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use numaslab_numa::hooks::tokio_runtime;
use numaslab_numa::{CpuSet, Error, Placement, Plan, Topology};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

use crate::kernel;

fn plan(placement: Placement) -> Plan {
    placement.plan(&Topology::discover().unwrap()).unwrap()
}

/// The masks of all workers: tasks run, and are put back, until each worker has run one. None waits for
/// another: tokio promises no second worker to tasks that block the first.
fn masks(runtime: &Runtime, workers: usize) -> Vec<CpuSet> {
    let seen = Arc::new(Mutex::new(HashMap::new()));
    let tasks: Vec<_> = (0..2 * workers)
        .map(|_| {
            let seen = Arc::clone(&seen);
            runtime.spawn(async move {
                loop {
                    seen.lock().unwrap().insert(thread::current().id(), kernel::mask());
                    if seen.lock().unwrap().len() == workers {
                        return;
                    }
                    // Long enough for another worker to wake up and take a task over.
                    thread::sleep(Duration::from_millis(1));
                    yield_now().await;
                }
            })
        })
        .collect();
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    let mut masks: Vec<_> = seen.lock().unwrap().drain().map(|(_, mask)| mask).collect();
    masks.sort();
    masks
}

#[test]
fn each_worker_gets_a_place() {
    let plan = plan(Placement::Compact);
    let runtime = tokio_runtime::build(&mut Builder::new_multi_thread(), &plan).unwrap();
    let mut places: Vec<_> = plan.slots().iter().map(|slot| slot.cpus.clone()).collect();
    places.sort();
    assert_eq!(masks(&runtime, plan.workers()), places);
}

#[test]
fn blocking_threads_may_use_the_whole_plan() {
    let plan = plan(Placement::Compact);
    let runtime = tokio_runtime::build(&mut Builder::new_multi_thread(), &plan).unwrap();
    let mask = runtime.block_on(async { tokio::task::spawn_blocking(kernel::mask).await.unwrap() });
    assert_eq!(mask, plan.cpus());
}

#[test]
fn there_is_one_runtime_for_each_node() {
    let topology = Topology::discover().unwrap();
    let plan = plan(Placement::PerNode(2));
    let runtimes = tokio_runtime::per_node("web", &plan).unwrap();
    assert_eq!(runtimes.keys().copied().collect::<numaslab_numa::NodeSet>(), plan.nodes());
    for (&node, runtime) in &runtimes {
        let cpus = topology.usable_cpus(node).unwrap();
        let workers = plan.by_node()[&node].workers();
        assert!(masks(runtime, workers).iter().all(|mask| *mask == cpus));
    }
}

#[test]
fn a_current_thread_runtime_is_refused() {
    let error =
        tokio_runtime::build(&mut Builder::new_current_thread(), &plan(Placement::Compact)).unwrap_err();
    assert!(matches!(error, Error::Runtime { runtime: "tokio runtime", .. }), "{error}");
}
