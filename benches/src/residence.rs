//! On which nodes memory lies: the kernel's word, for any allocator.

#![allow(unsafe_code)]

use std::ptr;

/// The page size for rounding down; the kernel takes any address in a page that it has.
const PAGE: usize = 4096;

/// The node, by the kernel's number, of the page at each address; `None` where there is no page, and
/// everywhere if the kernel does not tell (move_pages(2) without target nodes).
pub fn nodes_of(addresses: &[usize]) -> Vec<Option<u32>> {
    let pages: Vec<*const u8> =
        addresses.iter().map(|address| ptr::without_provenance(address & !(PAGE - 1))).collect();
    let mut status = vec![-1_i32; pages.len()];
    // SAFETY: the kernel reads as many pointers, which it only looks up, and writes as many numbers as the
    // arrays have. Without target nodes nothing is moved.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_move_pages,
            0,
            pages.len(),
            pages.as_ptr(),
            ptr::null::<i32>(),
            status.as_mut_ptr(),
            0,
        )
    };
    match answer {
        0 => status.into_iter().map(|node| u32::try_from(node).ok()).collect(),
        _ => vec![None; addresses.len()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touched_memory_lies_on_a_node_and_nothing_else_does() {
        let mut touched = vec![1_u8; 3 * PAGE];
        touched[PAGE] = 2;
        let nodes = nodes_of(&[touched.as_ptr().addr() + PAGE, 0]);
        assert_eq!(nodes.len(), 2);
        assert_eq!(nodes[1], None);
        // Kernels without NUMA support tell nothing.
        assert!(nodes[0].is_none_or(|node| node < 1024));
    }
}
