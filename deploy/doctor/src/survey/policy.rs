//! The system calls that containers like to refuse, tried: memory policy and membarrier.

use std::ptr::NonNull;

use numaslab::os::{self, Errno, membarrier as fences, memory, policy as os_policy};
use numaslab::units::{KernelNode, PAGE_BYTES};
use numaslab_numa::{NodeId, Topology};

use super::files::Files;
use crate::report::{Binding, Call, Policy};

const STATUS: &str = "proc/self/status";
/// The number of `CAP_SYS_NICE`, capabilities(7).
const CAP_SYS_NICE: u32 = 23;

/// Tries the calls for memory policy.
pub(super) fn policy(files: &Files, topology: &Topology) -> Policy {
    let node = topology.allowed_nodes().iter().find_map(kernel_node).unwrap_or(KernelNode(0));
    let with_page = |attempt: &dyn Fn(&Page) -> os::Result<()>| Page::new().and_then(|page| attempt(&page));
    let mbind = with_page(&|page| page.bind(node));
    let move_pages = with_page(&|page| page.populate().and_then(|()| page.node().map(drop)));
    let capabilities = files.field(STATUS, "CapEff").and_then(|text| u64::from_str_radix(&text, 16).ok());
    Policy {
        mbind: call(files, mbind),
        get_mempolicy: call(files, os_policy::allowed_nodes().map(drop)),
        move_pages: call(files, move_pages),
        seccomp_filter: has_filter(files),
        cap_sys_nice: capabilities.map(|mask| mask >> CAP_SYS_NICE & 1 == 1),
    }
}

/// Asks for the fence that restarts critical sections of other CPUs.
pub(super) fn membarrier(files: &Files) -> Call {
    match fences::has_fence_rseq() {
        Ok(false) => Call { works: false, error: None, why: Some("Linux 5.10 or later has it".to_owned()) },
        other => call(files, other.map(drop)),
    }
}

/// Binds a page to a node, brings it in, and looks where it lies.
pub(super) fn try_binding(node: NodeId, has_memory: bool) -> Binding {
    let Some(node) = kernel_node(node).filter(|_| has_memory) else { return Binding::None };
    let Ok(page) = Page::new() else { return Binding::Unknown };
    if page.bind(node).is_err() {
        return Binding::Refused;
    }
    match page.populate().and_then(|()| page.node()) {
        Ok(found) if found == node => Binding::Placed,
        Ok(_) => Binding::Elsewhere,
        Err(_) => Binding::Unknown,
    }
}

fn kernel_node(node: NodeId) -> Option<KernelNode> {
    u16::try_from(node.0).ok().map(KernelNode)
}

fn call(files: &Files, result: os::Result<()>) -> Call {
    match result {
        Ok(()) => Call { works: true, error: None, why: None },
        Err(error) => Call { works: false, error: Some(name(error)), why: why(error, has_filter(files)) },
    }
}

/// The name of an error number: `EPERM`.
fn name(error: Errno) -> String {
    format!("{:?}", nix::errno::Errno::from_raw(error.0))
}

/// Who refuses, as far as the error number and the filter tell.
fn why(error: Errno, filter: Option<bool>) -> Option<String> {
    let why = match (error, filter) {
        (Errno::EPERM | Errno::EACCES, Some(true)) => "a seccomp filter refuses it",
        (Errno::EPERM | Errno::EACCES, _) => "the process may not, and no seccomp filter is known",
        (Errno::ENOSYS, Some(true)) => "a seccomp filter hides it, or the kernel is built without it",
        (Errno::ENOSYS, _) => "the kernel is built without it",
        _ => return None,
    };
    Some(why.to_owned())
}

/// Whether a seccomp filter (mode 2) watches this process.
fn has_filter(files: &Files) -> Option<bool> {
    files.field(STATUS, "Seccomp").map(|mode| mode == "2")
}

/// A page of this process's own.
struct Page(NonNull<u8>);

impl Page {
    fn new() -> os::Result<Self> {
        memory::map(PAGE_BYTES).map(Self)
    }

    fn bind(&self, node: KernelNode) -> os::Result<()> {
        let nodes = os_policy::NodeMask::only(node);
        os_policy::bind(self.0, PAGE_BYTES, os_policy::Binding::Preferred, &nodes)
    }

    /// Brings it in.
    fn populate(&self) -> os::Result<()> {
        // SAFETY: a private mapping, readable and writable, that nobody else knows.
        #[allow(unsafe_code)]
        unsafe {
            memory::populate(self.0, PAGE_BYTES)
        }
    }

    /// Where it lies.
    fn node(&self) -> os::Result<KernelNode> {
        os_policy::node_of_page(self.0.as_ptr())
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`, never handed out.
        #[allow(unsafe_code)]
        let _ = unsafe { memory::unmap(self.0, PAGE_BYTES) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_refuses_follows_from_the_error_and_the_filter() {
        let says = |error, filter, word: &str| why(error, filter).is_some_and(|text| text.contains(word));
        assert!(says(Errno::EPERM, Some(true), "seccomp filter refuses"));
        assert!(says(Errno::EPERM, Some(false), "may not"));
        assert!(says(Errno::ENOSYS, Some(true), "hides"));
        assert!(says(Errno::ENOSYS, None, "built without"));
        assert_eq!(why(Errno::EINVAL, Some(true)), None);
        assert_eq!(name(Errno::EPERM), "EPERM");
    }
}
