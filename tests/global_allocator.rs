//! A program whose global allocator is numaslab: everything that the standard library allocates, on every
//! thread, from before `main` until after the last destructor.

mod support;

use numaslab::telemetry::CacheMode;
use numaslab::{NumaSlab, stats, trim};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use support::child::{self, describe, text};
use support::mode::{Mode, in_both_modes};
use support::rng::Rng;

#[global_allocator]
static GLOBAL: NumaSlab = NumaSlab::new();

const MIB: usize = 1 << 20;

/// Runs `work` again and again, and demands that this leaves nothing in use, once its one-time allocations
/// are made, and those that the test harness makes on threads of its own at some moment.
fn leaves_nothing(work: impl Fn()) {
    let in_use_after = || {
        work();
        trim();
        stats().in_use_bytes()
    };
    let mut before = in_use_after();
    for _ in 0..10 {
        let after = [in_use_after(), in_use_after(), in_use_after()];
        if after == [before; 3] {
            return;
        }
        before = after[2];
    }
    panic!("something is left each time: {before} bytes by now");
}

#[test]
fn the_heap_is_in_use_before_main() {
    in_both_modes(|| {
        assert!(stats().in_use_bytes() > 0);
        assert!(stats().cache_mode.is_some());
    });
}

#[test]
fn collections_hold_what_was_put_in() {
    in_both_modes(|| {
        leaves_nothing(|| {
            let mut rng = Rng::new(1);
            let mut map = HashMap::new();
            let mut tree = BTreeMap::new();
            let mut queue = VecDeque::new();
            for number in 0..20_000usize {
                let text = format!("{number}: {}", "x".repeat(rng.below(200)));
                queue.push_back(text.clone());
                if rng.one_in(3) {
                    queue.pop_front();
                }
                map.insert(number, text.clone());
                tree.insert(std::cmp::Reverse(number), vec![number; rng.below(50)]);
                if rng.one_in(4) {
                    map.remove(&rng.below(number + 1));
                    tree.remove(&std::cmp::Reverse(rng.below(number + 1)));
                }
            }
            assert!(map.iter().all(|(number, text)| text.starts_with(&format!("{number}:"))));
            assert!(tree.iter().all(|(number, all)| all.iter().all(|n| *n == number.0)));
        });
    });
}

#[test]
fn a_vector_grows_through_all_kinds_of_blocks_and_shrinks_again() {
    in_both_modes(|| {
        leaves_nothing(|| {
            let mut numbers: Vec<u64> = Vec::new();
            for number in 0..3_000_000 {
                numbers.push(number);
            }
            assert!(numbers.iter().copied().eq(0..3_000_000));
            for len in [1_000_000, 200_000, 100_000, 5000, 100, 3] {
                numbers.truncate(len);
                numbers.shrink_to_fit();
                assert!(numbers.iter().copied().eq(0..len as u64));
            }
            assert!(vec![0u8; 5 * MIB].iter().all(|byte| *byte == 0));
        });
    });
}

#[test]
fn threads_pass_boxes_through_channels() {
    in_both_modes(|| {
        leaves_nothing(|| {
            let (send, receive) = mpsc::channel::<Box<[usize]>>();
            let senders: Vec<_> = (1..9usize)
                .map(|number| {
                    let send = send.clone();
                    thread::spawn(move || {
                        for round in 0..500 {
                            send.send(vec![number; 1 + (round * number) % 300].into()).unwrap();
                        }
                    })
                })
                .collect();
            drop(send);
            let mut sum = 0;
            for numbers in receive {
                assert!(numbers.iter().all(|number| *number == numbers[0]));
                sum += 1;
            }
            assert_eq!(sum, 8 * 500);
            senders.into_iter().for_each(|sender| sender.join().unwrap());
        });
    });
}

/// How many values with a destructor that allocates were dropped at the end of a thread.
static DROPPED: AtomicUsize = AtomicUsize::new(0);

/// Allocates when it is dropped, and so do the values that it brings to life then.
struct Restless {
    generation: usize,
    content: Vec<u8>,
}

impl Restless {
    fn new(generation: usize) -> Self {
        Self { generation, content: vec![generation as u8; 100 << (generation % 8)] }
    }
}

impl Drop for Restless {
    fn drop(&mut self) {
        assert!(self.content.iter().all(|byte| *byte == self.generation as u8));
        let text = format!("{:?}", vec![self.generation; 40]);
        assert!(text.len() >= 80);
        DROPPED.fetch_add(1, Ordering::Relaxed);
        if self.generation > 0 {
            // May come to life again on another key, whose destructor runs after this one.
            let younger = Self::new(self.generation - 1);
            let _ = LAST.try_with(|last| last.borrow_mut().push(younger));
        }
    }
}

thread_local! {
    static FIRST: RefCell<Vec<Restless>> = const { RefCell::new(Vec::new()) };
    static LAST: RefCell<Vec<Restless>> = const { RefCell::new(Vec::new()) };
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

#[test]
fn destructors_of_thread_locals_allocate_and_free() {
    in_both_modes(|| {
        leaves_nothing(|| {
            DROPPED.store(0, Ordering::Relaxed);
            let work = |number: usize| {
                thread::spawn(move || {
                    FIRST.with_borrow_mut(|first| first.push(Restless::new(1 + number % 5)));
                    LAST.with_borrow_mut(|last| last.push(Restless::new(0)));
                    DEPTH.set(number);
                })
            };
            let threads: Vec<_> = (0..32).map(work).collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert!(DROPPED.load(Ordering::Relaxed) >= 64);
        });
    });
}

/// A pthread key whose destructor allocates, frees what the thread left, and asks for another round as
/// long as there is one: it also runs after the allocator's own exit hook.
fn stubborn_key() -> libc::pthread_key_t {
    unsafe extern "C" fn destroy(value: *mut libc::c_void) {
        // SAFETY: the boxed round number that was set, and is not set any more.
        let round = *unsafe { Box::from_raw(value.cast::<usize>()) };
        let noise: Vec<String> = (0..50).map(|n| n.to_string().repeat(n)).collect();
        assert_eq!(noise[49].len(), 98);
        DROPPED.fetch_add(1, Ordering::Relaxed);
        set(KEY.load(Ordering::Relaxed), round + 1);
    }
    static KEY: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    static MADE: std::sync::Once = std::sync::Once::new();
    MADE.call_once(|| {
        let mut key = 0;
        // SAFETY: writes one key.
        assert_eq!(unsafe { libc::pthread_key_create(&raw mut key, Some(destroy)) }, 0);
        KEY.store(key, Ordering::Relaxed);
    });
    KEY.load(Ordering::Relaxed)
}

/// Leaves a box for the destructor of `key`, which takes it back. After the last round it stays behind, as
/// with any C program; so the fourth round sets none.
fn set(key: libc::pthread_key_t, round: usize) {
    if round < 4 {
        let value = Box::into_raw(Box::new(round));
        // SAFETY: the key exists; its destructor frees the box.
        assert_eq!(unsafe { libc::pthread_setspecific(key, value.cast()) }, 0);
    }
}

#[test]
fn destructors_of_pthread_keys_allocate_in_every_round() {
    in_both_modes(|| {
        let key = stubborn_key();
        leaves_nothing(|| {
            DROPPED.store(0, Ordering::Relaxed);
            let threads: Vec<_> = (0..32).map(|_| thread::spawn(move || set(key, 0))).collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(DROPPED.load(Ordering::Relaxed), 32 * 4);
        });
    });
}

#[test]
fn a_panic_unwinds_through_blocks_and_leaves_nothing() {
    in_both_modes(|| {
        std::panic::set_hook(Box::new(|_| ()));
        leaves_nothing(|| {
            for depth in 1..20usize {
                let unwound = catch_unwind(AssertUnwindSafe(|| descend(depth)));
                let text = unwound.unwrap_err().downcast::<String>().unwrap();
                assert_eq!(*text, format!("bottom after {}", "x".repeat(depth)));
                let panicked = thread::spawn(move || descend(depth)).join();
                assert!(panicked.is_err());
            }
        });
    });
}

fn descend(depth: usize) -> usize {
    let held: Vec<Restless> =
        (0..3).map(|n| Restless { generation: 0, content: vec![0; n * depth] }).collect();
    fn go(left: usize, said: String) -> usize {
        let boxed = Box::new(said.clone());
        match left {
            0 => panic!("bottom after {said}"),
            _ => go(left - 1, said + "x") + boxed.len(),
        }
    }
    go(depth, String::new()) + held.len()
}

#[test]
fn memory_that_is_not_there_is_an_error_value_where_one_is_asked_for() {
    in_both_modes(|| {
        let mut bytes: Vec<u8> = vec![7; 100];
        assert!(bytes.try_reserve(isize::MAX as usize - 200).is_err());
        assert!(bytes.try_reserve(1 << 47).is_err());
        assert_eq!(bytes, [7; 100]);
        bytes.try_reserve(10_000).unwrap();
    });
}

#[test]
fn memory_that_is_not_there_ends_the_process_where_none_is() {
    for mode in Mode::BOTH {
        let output = child::run(
            mode.key(),
            |command| {
                mode.choose(command);
                command.env("NUMASLAB_LIMIT_HARD", "32M");
            },
            || drop(std::hint::black_box(vec![1u8; 64 * MIB])),
        );
        let Some(output) = output else { continue };
        let err = text(&output.stderr);
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{}: {err}", describe(output.status));
        assert!(err.contains("memory allocation of 67108864 bytes failed"), "{err}");
    }
}

#[test]
fn other_programs_can_be_run_from_many_threads() {
    in_both_modes(|| {
        leaves_nothing(|| {
            let echo = |number: usize| {
                let output = std::process::Command::new("echo").arg(number.to_string()).output().unwrap();
                assert_eq!(text(&output.stdout), format!("{number}\n"));
            };
            drop(support::threads::run(4, echo));
        });
    });
}

#[test]
fn the_process_ends_while_threads_allocate() {
    in_both_modes(|| {
        let shared = Arc::new(vec![1u8; 1000]);
        for _ in 0..4 {
            let shared = shared.clone();
            thread::spawn(move || {
                let mut rng = Rng::new(3);
                loop {
                    std::hint::black_box(vec![shared[0]; rng.size(100_000)]);
                }
            });
        }
        // The test returns, and with it the process, whatever they are doing.
        thread::sleep(std::time::Duration::from_millis(20));
    });
}

#[test]
fn threads_that_are_never_joined_give_their_caches_back_all_the_same() {
    in_both_modes(|| {
        let detached = || {
            let (send, receive) = mpsc::channel();
            for _ in 0..16 {
                let send = send.clone();
                thread::spawn(move || send.send((0..300).map(|n| vec![n as u8; n]).collect::<Vec<_>>()));
            }
            drop(send);
            assert_eq!(receive.iter().map(|blocks| blocks.len()).sum::<usize>(), 16 * 300);
        };
        let cached = || {
            trim();
            stats().sum(|node| node.region_bytes)
        };
        detached();
        // What other threads that live on (the test harness has some) hold all the time.
        let before = cached();
        for _ in 0..20 {
            detached();
        }
        if let Some(CacheMode::PerThread(_)) = stats().cache_mode {
            // A thread is over a moment after its last word; then its cache is empty.
            for _ in 0..1000 {
                if cached() <= before {
                    return;
                }
                thread::sleep(std::time::Duration::from_millis(1));
            }
            panic!("{} bytes lie in caches of threads that are gone", cached());
        }
    });
}
