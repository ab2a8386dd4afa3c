//! Pinning, checked against `sched_getaffinity` and `sched_getcpu`.

use std::sync::mpsc;
use std::thread;

use numaslab_numa::{
    CpuId, CpuSet, Error, NodeId, Topology, affinity, pin_current, pin_current_to, pin_current_to_node,
};

use crate::kernel;

#[test]
fn a_pinned_thread_runs_on_its_cpu_and_nowhere_else() {
    for cpu in kernel::mask().iter() {
        let pinned = pin_current(cpu).unwrap();
        assert_eq!(pinned.cpus(), &CpuSet::only(cpu));
        assert_eq!(kernel::mask(), CpuSet::only(cpu));
        for _ in 0..20 {
            thread::yield_now();
            assert_eq!(kernel::cpu(), cpu);
        }
    }
}

#[test]
fn a_dropped_guard_restores_the_mask() {
    let before = kernel::mask();
    let pinned = pin_current(before.last().unwrap()).unwrap();
    // It may also name CPUs that are switched off.
    assert!(before.is_subset(pinned.before()));
    drop(pinned);
    assert_eq!(kernel::mask(), before);
}

#[test]
fn a_panic_restores_the_mask() {
    let before = kernel::mask();
    let first = before.first().unwrap();
    let panicked = std::panic::catch_unwind(|| {
        let _pinned = pin_current(first).unwrap();
        panic!("on purpose");
    });
    assert!(panicked.is_err());
    assert_eq!(kernel::mask(), before);
}

#[test]
fn guards_nest() {
    let before = kernel::mask();
    let (first, last) = (before.first().unwrap(), before.last().unwrap());
    let outer = pin_current(first).unwrap();
    let inner = pin_current(last).unwrap();
    assert_eq!(kernel::mask(), CpuSet::only(last));
    inner.restore().unwrap();
    assert_eq!(kernel::mask(), CpuSet::only(first));
    outer.restore().unwrap();
    assert_eq!(kernel::mask(), before);
}

#[test]
fn a_kept_pin_lasts_and_is_inherited() {
    let last = kernel::mask().last().unwrap();
    let mask = thread::spawn(move || {
        pin_current(last).unwrap().keep();
        thread::spawn(kernel::mask).join().unwrap()
    });
    assert_eq!(mask.join().unwrap(), CpuSet::only(last));
}

#[test]
fn pinning_touches_the_current_thread_only() {
    let before = kernel::mask();
    let (open, gate) = mpsc::channel::<()>();
    let other = thread::spawn(move || gate.recv().map(|()| kernel::mask()));
    let _pinned = pin_current(before.first().unwrap()).unwrap();
    let topology = Topology::discover().unwrap();
    assert_eq!(topology.allowed_cpus().len(), 1, "the topology is that of the thread that asks");
    assert_eq!(affinity::current().unwrap().len(), 1);
    open.send(()).unwrap();
    assert_eq!(other.join().unwrap(), Ok(before));
}

#[test]
fn a_thread_is_pinned_to_each_node_with_cpus() {
    let topology = Topology::discover().unwrap();
    for node in topology.nodes().iter().filter(|node| !node.cpus.is_empty()) {
        let _pinned = pin_current_to_node(&topology, node.id).unwrap();
        assert_eq!(kernel::mask(), node.cpus.intersection(topology.allowed_cpus()));
        assert!(node.cpus.contains(kernel::cpu()));
    }
}

#[test]
fn the_kernel_cuts_a_set_down_to_what_is_online() {
    let before = kernel::mask();
    let mut wanted = before.clone();
    wanted.insert(CpuId(1000));
    let pinned = pin_current_to(&wanted).unwrap();
    assert_eq!(pinned.cpus(), &before);
}

#[test]
fn a_pin_that_fails_changes_nothing_and_says_why() {
    let before = kernel::mask();
    let error = pin_current(CpuId(1000)).unwrap_err();
    assert!(matches!(&error, Error::CpuOffline { cpu: CpuId(1000), .. }), "{error}");
    assert!(error.to_string().starts_with("CPU 1000 is not online (online CPUs: 0"), "{error}");
    let error = pin_current(CpuId(1024)).unwrap_err();
    assert!(matches!(&error, Error::CpuBeyondMask { cpu: CpuId(1024), limit: 1024 }), "{error}");
    assert!(matches!(pin_current_to(&CpuSet::new()), Err(Error::NoCpus)));
    let topology = Topology::discover().unwrap();
    let error = pin_current_to_node(&topology, NodeId(999)).unwrap_err();
    assert!(matches!(&error, Error::NodeOffline { node: NodeId(999), .. }), "{error}");
    assert_eq!(kernel::mask(), before);
}
