//! The topology of the machine at hand.

use std::thread;

use numaslab_numa::{Error, NodeId, Placement, Topology};

use crate::kernel;

#[test]
fn the_machine_is_described_consistently() {
    let topology = Topology::discover().unwrap();
    println!("{topology}");
    assert_eq!(topology.allowed_cpus(), &kernel::mask());
    assert!(topology.cpus().iter().all(|cpu| cpu.core.contains(cpu.id)));
    for node in topology.nodes() {
        assert_eq!(topology.distance(node.id, node.id), Some(10));
        assert_eq!(node.distances.len(), topology.nodes().len());
        assert!(topology.nearest_memory_node(node.id).is_some());
    }
    assert!(topology.nodes().iter().any(|node| node.memory_bytes > 0));
}

#[test]
fn parallelism_is_what_the_standard_library_says() {
    let topology = Topology::discover().unwrap();
    assert_eq!(topology.parallelism(), thread::available_parallelism().unwrap().get());
}

#[test]
fn the_current_cpu_is_on_a_node_of_the_topology() {
    let topology = Topology::discover().unwrap();
    let _pinned = numaslab_numa::pin_current(kernel::cpu()).unwrap();
    let cpu = topology.cpu(kernel::cpu()).unwrap();
    assert!(topology.node(cpu.node).unwrap().cpus.contains(cpu.id));
}

#[test]
fn every_placement_can_be_planned_here() {
    let topology = Topology::discover().unwrap();
    let placements = [
        Placement::Compact,
        Placement::Spread,
        Placement::OnePerCore,
        Placement::OnePerL3,
        Placement::PerNode(1),
        Placement::Explicit(vec![topology.allowed_cpus().first().unwrap()]),
    ];
    for placement in placements {
        let plan = placement.plan(&topology).unwrap();
        assert!(plan.cpus().is_subset(topology.allowed_cpus()), "{placement:?}: {plan:?}");
    }
}

/// `(node, its CPUs, whether it has memory)` of an emulated machine.
type Nodes = &'static [(u32, &'static str, bool)];

/// What the emulated machines are built to be.
fn expected(rig: &str) -> Option<Nodes> {
    Some(match rig {
        "n1" => &[(0, "0-1", true)],
        "n2" => &[(0, "0-1", true), (1, "2-3", true)],
        "hetero" => &[(0, "0-2", true), (1, "3", true)],
        "n4" | "huge" => &[(0, "0-1", true), (1, "2-3", true), (2, "4-5", true), (3, "6-7", true)],
        "memonly" => &[(0, "0-1", true), (1, "2-3", true), (2, "", true)],
        "nomem" => &[(0, "0-1", true), (1, "2-3", false), (2, "4-5", true)],
        "sparse" => &[(0, "0-1", true), (2, "2-3", true)],
        "smt" => &[(0, "0-3", true), (1, "4-7", true)],
        _ => return None,
    })
}

#[test]
fn an_emulated_machine_is_seen_as_it_was_built() {
    let Some(nodes) = kernel::rig().as_deref().and_then(expected) else { return };
    let topology = Topology::discover().unwrap();
    let seen: Vec<_> = topology
        .nodes()
        .iter()
        .map(|node| (node.id.0, node.cpus.to_string(), node.memory_bytes > 0))
        .collect();
    let built: Vec<_> = nodes.iter().map(|&(id, cpus, memory)| (id, cpus.to_owned(), memory)).collect();
    assert_eq!(seen, built);
}

#[test]
fn the_four_node_machine_has_near_and_far_nodes() {
    if kernel::rig().as_deref() != Some("n4") {
        return;
    }
    let topology = Topology::discover().unwrap();
    let rows: Vec<_> = topology.nodes().iter().map(|node| node.distances.clone()).collect();
    let built = [[10, 12, 20, 20], [12, 10, 20, 20], [20, 20, 10, 12], [20, 20, 12, 10]];
    assert_eq!(rows, built);
    assert_eq!(topology.nodes_by_distance(NodeId(3)), [3, 2, 0, 1].map(NodeId));
}

#[test]
fn smt_siblings_share_a_core() {
    if kernel::rig().as_deref() != Some("smt") {
        return;
    }
    let topology = Topology::discover().unwrap();
    assert!(topology.cpus().iter().all(|cpu| cpu.core.len() == 2), "{topology}");
    assert_eq!(Placement::OnePerCore.plan(&topology).unwrap().workers(), 4);
}

#[test]
fn a_node_of_memory_only_cannot_be_pinned_to() {
    if kernel::rig().as_deref() != Some("memonly") {
        return;
    }
    let topology = Topology::discover().unwrap();
    let error = numaslab_numa::pin_current_to_node(&topology, NodeId(2)).unwrap_err();
    assert!(matches!(error, Error::NodeWithoutCpus { node: NodeId(2), .. }), "{error}");
}
