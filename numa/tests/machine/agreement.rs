//! sysfs and hwloc describe the same machine.

use numaslab_numa::{Topology, pin_current};

use crate::kernel;

#[test]
fn sysfs_and_hwloc_agree() {
    assert_eq!(Topology::discover().unwrap(), Topology::from_hwloc().unwrap());
}

#[test]
fn they_agree_on_a_pinned_thread() {
    let _pinned = pin_current(kernel::mask().last().unwrap()).unwrap();
    let topology = Topology::discover().unwrap();
    assert_eq!(topology.allowed_cpus().len(), 1);
    assert_eq!(topology, Topology::from_hwloc().unwrap());
}
