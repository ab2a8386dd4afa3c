//! Many threads on few CPUs run the sections on real regions: nothing is lost, nothing is doubled.

use super::{Area, Regions, area, empty_region, pop, pop_batch, push, push_batch};
use std::{boxed::Box, collections::HashSet, sync::Barrier, vec::Vec};

const LIST_CELLS: usize = 256;

/// A table of regions with one list each, for all CPUs.
struct Table {
    regions: Vec<Box<[u64]>>,
    entries: Vec<*mut u8>,
}

// SAFETY: the regions are changed by critical sections only, until the threads are joined.
unsafe impl Sync for Table {}

impl Table {
    fn new() -> Self {
        let cpus = crate::os::cpu::cpu_limit();
        let mut regions: Vec<Box<[u64]>> =
            (0..cpus).map(|_| std::vec![0u64; 2 + LIST_CELLS].into_boxed_slice()).collect();
        let mut entries = std::vec![empty_region(); 2];
        for region in &mut regions {
            // Header {len: 2, end: 2 + LIST_CELLS} in cell 0, null in cell 1.
            region[0] = 2 | ((2 + LIST_CELLS as u64) << 16);
            entries.push(region.as_mut_ptr().cast());
        }
        Self { regions, entries }
    }

    fn regions(&self) -> Regions {
        Regions(&raw const self.entries[2])
    }

    /// All blocks that lie in the regions.
    fn content(&self) -> Vec<u64> {
        let list = |r: &[u64]| r[2..(r[0] & 0xffff) as usize].to_vec();
        self.regions.iter().flat_map(|r| list(r)).collect()
    }
}

fn registered_area() -> Option<Area> {
    let (area, owner) = area::find();
    (owner == area::Owner::Libc || area::register_own().is_ok()).then_some(area)
}

/// The region of the CPU that the thread is on at this moment.
fn here(area: Area, regions: Regions) -> *mut u8 {
    // SAFETY: the table has an entry for every CPU.
    area::cpu_id(area).map_or(empty_region(), |cpu| unsafe { *regions.0.add(cpu as usize) })
}

fn block(n: usize) -> *mut u8 {
    core::ptr::without_provenance_mut(n)
}

/// Runs `work(area, regions, owned)` on `threads` threads, each beginning with blocks of its own, and
/// checks that every block is found exactly once afterwards.
fn conserve(threads: usize, each: usize, work: impl Fn(Area, Regions, &mut Vec<*mut u8>) + Sync) {
    if registered_area().is_none() {
        std::eprintln!("SKIPPED: no restartable sequences here");
        return;
    }
    let (table, start) = (Table::new(), Barrier::new(threads));
    let left: Vec<u64> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|t| {
                let (table, start, work) = (&table, &start, &work);
                scope.spawn(move || {
                    let area = registered_area().unwrap();
                    let mut owned: Vec<_> = (0..each).map(|i| block((1 + t * each + i) * 8)).collect();
                    start.wait();
                    work(area, table.regions(), &mut owned);
                    owned.into_iter().map(|b| b as u64).collect::<Vec<_>>()
                })
            })
            .collect();
        handles.into_iter().flat_map(|h| h.join().unwrap()).collect()
    });
    let all: Vec<u64> = table.content().into_iter().chain(left).collect();
    assert_eq!(all.len(), threads * each, "lost or doubled");
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), threads * each, "doubled");
    assert!(all.iter().all(|b| *b % 8 == 0 && *b >= 8 && *b <= (threads * each * 8) as u64), "torn");
}

#[test]
fn single_pops_and_pushes_conserve_blocks() {
    conserve(16, 8, |area, regions, owned| {
        for _ in 0..100_000 {
            // SAFETY: the table has a region with one header for every CPU and for -1 and -2.
            unsafe {
                if let Some(b) = owned.pop()
                    && !push(regions, area, 0, b)
                {
                    owned.push(b);
                }
                let b = pop(regions, area, 0);
                if !b.is_null() {
                    owned.push(b);
                }
            }
        }
    });
}

#[test]
fn batches_conserve_blocks() {
    conserve(16, 40, |area, regions, owned| {
        let mut out = [core::ptr::null_mut(); 24];
        for round in 0..30_000 {
            // SAFETY: as above.
            unsafe {
                let n = owned.len().min(1 + round % 32);
                let from = owned.len() - n;
                let region = here(area, regions);
                let pushed = push_batch(regions, area, region, 0, &owned[from..]);
                owned.drain(from..from + pushed);
                let want = 1 + round % out.len();
                let popped = pop_batch(regions, area, 0, out.as_mut_ptr(), want);
                owned.extend(&out[..popped]);
            }
        }
    });
}

#[test]
fn blocks_survive_threads_that_change_their_cpu() {
    conserve(8, 8, |area, regions, owned| {
        let cpus = crate::os::cpu::cpu_limit();
        for round in 0..20_000usize {
            if round % 64 == 0 {
                // SAFETY: a zeroed set is valid, and the calls only read it. A CPU that is not allowed
                // gives an error and changes nothing.
                unsafe {
                    let mut set: libc::cpu_set_t = core::mem::zeroed();
                    libc::CPU_SET(round / 64 % cpus, &mut set);
                    libc::sched_setaffinity(0, size_of_val(&set), &raw const set);
                }
            }
            // SAFETY: as above.
            unsafe {
                if let Some(b) = owned.pop()
                    && !push(regions, area, 0, b)
                {
                    owned.push(b);
                }
                let b = pop(regions, area, 0);
                if !b.is_null() {
                    owned.push(b);
                }
            }
        }
    });
}

/// A descriptor as the kernel reads it, rseq(2).
#[repr(C, align(32))]
struct Descriptor {
    version: u32,
    flags: u32,
    start: usize,
    length: usize,
    abort: usize,
}

unsafe extern "C" {
    #[link_name = "__start___rseq_cs"]
    static FIRST: Descriptor;
    #[link_name = "__stop___rseq_cs"]
    static END: Descriptor;
}

/// Whether the instruction that ends at `start` stores a register 8 bytes into the rseq area.
///
/// # Safety
/// There is code before `start`.
unsafe fn follows_the_arming(start: *const u8) -> bool {
    // SAFETY: the caller's promise.
    let before: [u8; 6] = unsafe { start.sub(6).cast::<[u8; 6]>().read() };
    if cfg!(target_arch = "x86_64") {
        // mov fs:[reg + 8], reg: segment prefix, REX, opcode, ModRM, maybe SIB, displacement.
        let [a, b, c, d, _, displacement] = before;
        let code = if a == 0x64 { [b & 0xf8, c] } else { [c & 0xf8, d] };
        (a == 0x64 || b == 0x64) && code == [0x48, 0x89] && displacement == 8
    } else {
        // str reg, [reg, #8]
        let [_, _, code @ ..] = before;
        u32::from_le_bytes(code) & 0xffff_fc00 == 0xf900_0400
    }
}

#[test]
fn each_section_starts_right_behind_the_store_that_arms_it() {
    // SAFETY: the linker puts these around the descriptors of the program, of which there are some.
    let all = unsafe {
        let (first, end) = (&raw const FIRST, &raw const END);
        core::slice::from_raw_parts(first, end.offset_from_unsigned(first))
    };
    assert!(!all.is_empty());
    for section in all {
        let start = core::ptr::with_exposed_provenance::<u8>(section.start);
        // SAFETY: sections are in the middle of functions.
        assert!(unsafe { follows_the_arming(start) }, "a thread that is preempted between them is disarmed");
        assert_eq!((section.version, section.flags), (0, 0));
        assert!(section.length > 0 && section.abort != 0);
    }
}
