//! Whether restartable sequences can be trusted on this machine, asked once at start.
//!
//! Two things are checked: that `cpu_id` names the CPU that the kernel names, and that the sections do
//! what they say on a scratch region. That the kernel aborts sections can't be provoked at start
//! without a signal handler of our own; kernels known not to are named here.

use super::area::Owner;
use super::{
    Area, Regions, add, arch, area, empty_region, exchange_header, pop, pop_batch, push, push_batch,
    push_homed,
};
use crate::os;
use crate::sync::{AtomicU64, Ordering};

/// Why per-CPU caches are not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// The thread could not be registered (no kernel support, or another library holds the area).
    NotRegistered,
    /// `cpu_id` does not name the CPU that the thread runs on.
    WrongCpu,
    /// A section did not do what it says.
    WrongResult,
    /// The kernel is one of those whose sections are not restarted (aarch64, 6.19 to 7.0.13).
    BrokenKernel,
}

/// Cells of the scratch region.
const SCRATCH_CELLS: usize = 8;

/// Whether restartable sequences work in the calling thread. An own area that is not registered yet is
/// registered for the test only: for good it is at the thread's first miss, with an exit hook.
pub(crate) fn probe(area: Area, owner: Owner) -> Result<(), Distrust> {
    let was_registered = area::cpu_id(area).is_some();
    if owner == Owner::Numaslab && area::register_own().is_err() {
        return Err(Distrust::NotRegistered);
    }
    let tested = run(area);
    if !was_registered {
        area::unregister_own();
    }
    tested
}

/// Checks the calling thread's `area`, which it has registered.
fn run(area: Area) -> Result<(), Distrust> {
    if cfg!(target_arch = "aarch64") && release().is_some_and(is_broken) {
        return Err(Distrust::BrokenKernel);
    }
    check_cpu(area)?;
    check_sections()
}

/// `cpu_id` must agree with getcpu(2) in some attempt in which the thread did not move.
fn check_cpu(area: Area) -> Result<(), Distrust> {
    for _ in 0..100 {
        let before = area::cpu_id(area).ok_or(Distrust::NotRegistered)?;
        let Ok(kernel) = os::cpu::current_cpu() else { return Ok(()) };
        if area::cpu_id(area) == Some(before) {
            return if before == kernel.0 { Ok(()) } else { Err(Distrust::WrongCpu) };
        }
    }
    Err(Distrust::WrongCpu)
}

/// Runs each section on a scratch region, with a made-up area on this stack that says "CPU 0": the
/// kernel does not know it and restarts nothing, and need not, since nobody else sees the region.
fn check_sections() -> Result<(), Distrust> {
    // Cell 0: the node. Cell 2 (the region's base) holds the headers of lists 0 and 1, cell 3 the null
    // below list 0, cells 4 and 5 its room.
    let cells = [const { AtomicU64::new(0) }; SCRATCH_CELLS];
    let (shut, open, wide) = (0, 2 | 4 << 16, 3 | 5 << 16);
    let region = cells[2].as_ptr().cast::<u8>();
    let table = [empty_region(), empty_region(), region];
    let made_up = ScratchArea { words: [const { AtomicU64::new(0) }; 4] };
    let area = Area((made_up.words.as_ptr() as usize).wrapping_sub(arch::thread_pointer()) as isize);
    let regions = Regions(&raw const table[2]);
    let block = |n: usize| core::ptr::without_provenance_mut::<u8>(n);
    let mut out = [core::ptr::null_mut(); 3];
    // SAFETY: the only CPU that `made_up` names is 0, whose region has its node and a null below its
    // base, a header at index 0, and the cells that it says.
    let as_expected = unsafe {
        pop(regions, area, 0).is_null()
            && !push(regions, area, 0, block(8))
            && exchange_header(regions, area, region, 0, shut, open)
            && push(regions, area, 0, block(8))
            && push_homed(regions, area, 0, 0, block(16))
            && !push_homed(regions, area, 0, 0, block(24))
            && pop(regions, area, 0) == block(16)
            && !exchange_header(regions, area, region, 0, open, wide)
            && !exchange_header(regions, area, empty_region(), 0, 3 | 4 << 16, wide)
            && exchange_header(regions, area, region, 0, 3 | 4 << 16, wide)
            && add(regions, area, region, cells[1].as_ptr(), 7)
            && !add(regions, area, empty_region(), cells[1].as_ptr(), 7)
            && cells[1].swap(0, Ordering::Relaxed) == 7
            && push_batch(regions, area, empty_region(), 0, &[block(32)]) == 0
            && push_batch(regions, area, region, 0, &[block(32), block(40), block(48)]) == 2
            && pop_batch(regions, area, 0, out.as_mut_ptr(), out.len()) == 3
            && pop_batch(regions, area, 0, out.as_mut_ptr(), out.len()) == 0
    };
    let popped = [block(40), block(32), block(8)];
    if as_expected && out == popped { Ok(()) } else { Err(Distrust::WrongResult) }
}

/// An area that the kernel does not know: zeroed, so it names CPU 0.
#[repr(align(32))]
struct ScratchArea {
    words: [AtomicU64; 4],
}

/// The kernel's release, as (major, minor, patch).
fn release() -> Option<(u32, u32, u32)> {
    // SAFETY: a struct of byte arrays may be zero; uname fills it in.
    let mut name: libc::utsname = unsafe { core::mem::zeroed() };
    // SAFETY: `name` is writable.
    if unsafe { libc::uname(&raw mut name) } != 0 {
        return None;
    }
    let mut parts = [0u32; 3];
    let mut at = 0;
    for byte in name.release.map(|c| c as u8) {
        match byte {
            b'0'..=b'9' => parts[at] = parts[at].saturating_mul(10).saturating_add(u32::from(byte - b'0')),
            b'.' if at < 2 => at += 1,
            _ => break,
        }
    }
    Some((parts[0], parts[1], parts[2]))
}

/// aarch64 kernels 6.19 to 7.0.13 do not abort sections on preemption on the same core.
fn is_broken(release: (u32, u32, u32)) -> bool {
    ((6, 19, 0)..=(7, 0, 13)).contains(&release)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_passes() {
        let (area, owner) = area::find();
        if owner == Owner::Numaslab && area::register_own().is_err() {
            return; // No restartable sequences here, and nothing to trust.
        }
        assert_eq!(probe(area, owner), Ok(()));
        assert!(area::cpu_id(area).is_some(), "what was registered stays so");
    }

    #[test]
    fn an_unregistered_thread_is_not_trusted() {
        std::thread::spawn(|| assert_eq!(check_cpu(area::own()), Err(Distrust::NotRegistered)))
            .join()
            .unwrap();
    }

    #[test]
    fn knows_the_broken_kernels() {
        assert!(release().is_some_and(|r| r > (4, 0, 0)));
        for (release, broken) in [
            ((6, 18, 44), false),
            ((6, 19, 0), true),
            ((7, 0, 13), true),
            ((7, 0, 14), false),
            ((7, 2, 0), false),
        ] {
            assert_eq!(is_broken(release), broken, "{release:?}");
        }
    }
}
