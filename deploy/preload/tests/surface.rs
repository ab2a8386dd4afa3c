//! The library's surface: programs in C and C++ that call every function with every edge, in all modes, with
//! random addresses and with fixed ones; and the library's file, as the loader sees it.

mod support;

use std::process::Command;
use support::Compiler::{C, Cplusplus};
use support::{dies, library, passes, skip, text};

#[test]
fn every_function_of_c_with_every_edge() {
    if let Some(program) = C.make("functions.c", &[]) {
        passes(&program, &[]);
    }
}

#[test]
fn its_own_functions_as_the_header_declares_them() {
    let include = concat!("-I", env!("CARGO_MANIFEST_DIR"), "/include");
    let library = library().to_str().expect("UTF-8");
    if let Some(program) = C.make("own.c", &["-std=c11", "-Wno-pedantic", include, library]) {
        passes(&program, &[]);
    }
    let whole = "-Wl,--no-as-needed";
    if let Some(program) =
        Cplusplus.make("own_header.cpp", &["-std=c++17", "-pedantic", include, whole, library])
    {
        passes(&program, &[]);
    }
}

#[test]
fn new_and_delete_in_all_forms() {
    if let Some(program) = Cplusplus.make("new_delete.cpp", &["-std=c++17"]) {
        passes(&program, &[]);
    }
}

#[test]
fn from_the_first_constructor_to_the_last_destructor_with_threads_children_and_handlers() {
    if let Some(program) = C.make("life.c", &[]) {
        passes(&program, &[]);
    }
}

#[test]
fn children_of_vfork_allocate_while_other_threads_do() {
    if let Some(program) = C.make("borrowers.c", &[]) {
        passes(&program, &[]);
    }
}

#[test]
fn libraries_come_and_go() {
    let guest = Cplusplus.make("guest.cpp", &["-std=c++17", "-shared", "-fPIC"]);
    if let (Some(program), Some(guest)) = (C.make("loading.c", &[]), guest) {
        passes(&program, &[&guest]);
    }
}

#[test]
fn pointers_that_are_no_blocks_end_the_process() {
    let foreign = ["not from this allocator"];
    let no_block = ["no block begins there", "no such block"];
    let Some(program) = C.make("misuse.c", &["-Wno-free-nonheap-object", "-Wno-use-after-free"]) else {
        return;
    };
    for what in ["program", "stack", "mapping", "number", "realloc", "usable", "other"] {
        dies(&program, what, &foreign);
    }
    for what in ["inside", "huge", "twice huge"] {
        dies(&program, what, &no_block);
    }
    dies(&program, "twice", &["as a block of 112 bytes"]);
}

/// What a tool of the binutils says of the library; `None`, said aloud, if there is no such tool.
fn inspect(tool: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(tool).args(arguments).arg(library()).output() {
        Ok(output) => {
            assert!(output.status.success(), "{tool}: {}", text(&output.stderr));
            Some(text(&output.stdout))
        }
        Err(error) => {
            skip(&format!("what {tool} says of the library: {error}"));
            None
        }
    }
}

#[test]
fn it_needs_libc_alone() {
    let Some(dynamic) = inspect("readelf", &["-dW"]) else { return };
    let needed: Vec<&str> = dynamic.lines().filter(|line| line.contains("(NEEDED)")).collect();
    assert!(needed.len() == 1 && needed[0].contains("[libc.so"), "{needed:?}");
}

#[test]
fn it_reaches_its_tls_without_a_call() {
    // Static TLS is what the initial-exec model asks for; the others call this function.
    let Some(dynamic) = inspect("readelf", &["-dW"]) else { return };
    assert!(dynamic.contains("STATIC_TLS"), "{dynamic}");
    let Some(symbols) = inspect("nm", &["-D"]) else { return };
    assert!(!symbols.contains("tls_get_addr") && !symbols.contains("tlsdesc"), "{symbols}");
}

#[test]
fn it_offers_what_it_should_and_nothing_else() {
    let Some(symbols) = inspect("nm", &["-D", "--defined-only"]) else { return };
    let strays: Vec<&str> = symbols
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .filter(|name| {
            let is_cplusplus = ["_Znw", "_Zna", "_Zdl", "_Zda"].iter().any(|start| name.starts_with(start));
            let is_c =
                ["alloc", "free", "memalign", "mallinfo", "mallopt"].iter().any(|part| name.contains(part));
            !is_cplusplus && !is_c && *name != "vfork" && !name.starts_with("numaslab_")
        })
        .collect();
    assert!(strays.is_empty(), "{strays:?}");
    let news = symbols.lines().filter(|line| line.contains(" _Z")).count();
    assert_eq!(news, 20, "{symbols}");
}
