//! The rules of the house, read from the sources: imports go down only, atomics come through one door,
//! assembly lives on one floor, nothing that ships can panic by name, files stay short.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of the crate, lowest first. A module may import itself and those with a lower number; those
/// with the same number don't know each other. `os` and `rseq` share a floor, as do the four of floor 0.
const FLOORS: [(&str, u32); 16] = [
    ("sync", 0),
    ("units", 0),
    ("size_class", 1),
    ("config", 1),
    ("os", 10),
    ("rseq", 11),
    ("slab", 20),
    ("pool", 30),
    ("cache", 40),
    ("heap", 50),
    ("telemetry", 55),
    ("learner", 55),
    ("global", 60),
    ("placement", 70),
    ("unsized_blocks", 70),
    ("maintainer", 70),
];

/// Imports that go up, and why they may.
const EXCEPTIONS: [(&str, &str, &str); 2] = [
    ("config/environment.rs", "os", "reads the variables, and says on stderr what is wrong with them"),
    ("heap/start.rs", "telemetry", "arranges at start that statistics are printed at exit"),
];

/// What `cache` may name of `pool`: types and a constant that its fields need, nothing that does anything
/// to a pool. `heap` carries blocks between the two.
const POOL_NAMES_IN_CACHE: [&str; 2] = ["Batch", "MAX_BATCH"];

/// The one module that may use the standard library: a thread of the program's own, behind a feature.
const WITH_STD: &str = "maintainer";

/// The longest that a file may be, in lines.
const LONGEST: usize = 500;

/// A source file without its tests and comments.
struct Source {
    /// Its path below `src`.
    path: String,
    code: String,
}

impl Source {
    /// The module of the crate that it belongs to.
    fn module(&self) -> &str {
        self.path.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// The names that follow `crate::` anywhere in the file, each as far as it goes (`os::fault`).
    fn imports(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (at, _) in self.code.match_indices("crate::") {
            if at > 0 && self.code.as_bytes()[at - 1] == b'$' {
                continue;
            }
            let rest = &self.code[at + "crate::".len()..];
            match rest.strip_prefix('{') {
                Some(group) => found.extend(members(group)),
                None => found.push(path_prefix(rest)),
            }
        }
        found
    }
}

/// The leading path of some code: `os::fault` of `os::fault::{gate, Call}`.
fn path_prefix(code: &str) -> String {
    let end = code.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(code.len());
    code[..end].trim_end_matches(':').to_string()
}

/// The members of a use group, whose opening brace is gone.
fn members(group: &str) -> Vec<String> {
    let (mut depth, mut start, mut all) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' | ',' if depth == 0 => {
                all.push(path_prefix(group[start..at].trim()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    all.retain(|name| !name.is_empty());
    all
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below `folder`, sorted.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("the source tree").map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            files.extend(rust_files(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            files.push(entry);
        }
    }
    files.sort();
    files
}

fn is_test_file(path: &str) -> bool {
    ["tests.rs", "testing.rs", "_loom.rs"].iter().any(|end| path.ends_with(end))
}

/// The code of a file that ships: up to its test modules, without comments.
fn shipping(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let is_test = line.trim_start().starts_with("#[cfg(") && line.contains("test");
        // A test module, which stands at the end; other test-only items are a line or a block of code.
        if is_test && lines.clone().take(2).any(|next| next.starts_with("mod ")) {
            break;
        }
        code.push_str(line.split("//").next().unwrap());
        code.push('\n');
    }
    code
}

fn sources() -> Vec<Source> {
    let src = root().join("src");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let path = path.strip_prefix(&src).unwrap().to_string_lossy().into_owned();
        Source { code: shipping(&text), path }
    };
    let all: Vec<Source> =
        rust_files(&src).into_iter().map(read).filter(|source| !is_test_file(&source.path)).collect();
    assert!(all.len() > 50, "these are not the sources");
    all
}

fn floor(module: &str) -> u32 {
    let found = FLOORS.iter().find(|(name, _)| *name == module);
    found.unwrap_or_else(|| panic!("{module} has no floor: add it to the table")).1
}

#[test]
fn imports_go_down_only() {
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for source in sources().iter().filter(|source| source.path != "lib.rs") {
        for import in source.imports() {
            let target = import.split("::").next().unwrap();
            let excepted = EXCEPTIONS.iter().position(|(path, to, _)| *path == source.path && *to == target);
            used.extend(excepted);
            let down = target == source.module() || floor(target) < floor(source.module());
            if !down && excepted.is_none() {
                wrong.push(format!("{} imports crate::{import}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "these go up:\n{}", wrong.join("\n"));
    assert_eq!(used.len(), EXCEPTIONS.len(), "an exception is not needed any more");
}

#[test]
fn no_module_reaches_the_root_by_super() {
    // Then the check above would not see it.
    for source in sources().iter().filter(|source| source.path != "lib.rs") {
        let is_folder = source.path.ends_with("mod.rs");
        let depth = source.path.matches('/').count() + usize::from(!is_folder);
        let ladder = "super::".repeat(depth);
        // Inside a module nested in the file there may be one more.
        assert!(depth == 0 || !source.code.contains(&ladder), "{} climbs with {ladder}", source.path);
    }
}

#[test]
fn the_cache_names_types_of_the_pool_and_calls_nothing() {
    for source in sources().iter().filter(|source| source.module() == "cache") {
        for (at, _) in source.code.match_indices("crate::pool::") {
            let statement = source.code[at..].split(';').next().unwrap();
            let names: Vec<&str> = statement
                .split(|c: char| !(c.is_alphanumeric() || c == '_'))
                .filter(|word| word.starts_with(|c: char| c.is_uppercase()))
                .collect();
            assert!(!names.is_empty(), "{}: {statement}", source.path);
            for name in names {
                assert!(POOL_NAMES_IN_CACHE.contains(&name), "{} names {name} of pool", source.path);
            }
        }
    }
}

#[test]
fn atomics_come_through_one_door() {
    for source in sources().iter().filter(|source| source.module() != "sync") {
        for path in ["sync::atomic", "loom::"] {
            assert!(!source.code.contains(path), "{} has {path}: take it from crate::sync", source.path);
        }
    }
}

#[test]
fn assembly_lives_in_rseq() {
    for source in sources().iter().filter(|source| source.module() != "rseq") {
        assert!(!source.code.contains("asm!("), "{} has assembly", source.path);
    }
}

#[test]
fn nothing_that_ships_panics_formats_or_allocates_by_name() {
    let banned = [".unwrap()", ".expect(", "panic!(", "unreachable!(", "todo!(", "format!(", "vec!["];
    for source in sources() {
        for word in banned {
            // The compiler evaluates constants, and refuses to build what panics there.
            assert!(!source.code.contains(word), "{} has {word}", source.path);
        }
        assert!(!source.code.contains("std::") || source.module() == WITH_STD, "{} has std::", source.path);
    }
}

#[test]
fn files_are_short() {
    for folder in ["src", "tests", "numa", "benches", "examples", "deploy"] {
        for path in rust_files(&root().join(folder)) {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines <= LONGEST, "{} has {lines} lines: split it by concept", path.display());
        }
    }
}

#[test]
fn every_module_says_what_it_is() {
    for path in rust_files(&root().join("src")) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{} does not say what it is", path.display());
    }
}

#[test]
fn this_test_can_read() {
    let source = |code: &str| Source { path: "pool/x.rs".into(), code: shipping(code) };
    let found =
        source("use crate::{a::b, c::{d, e}, F};\nuse crate::g::{h};\nlet x = crate::i::j();").imports();
    assert_eq!(found, ["a::b", "c", "F", "g", "i::j"]);
    assert_eq!(source("// crate::a\n//! crate::b\n").imports(), [""; 0]);
    let tests = "use crate::a;\n#[cfg(all(test, not(loom)))]\n#[allow(unsafe_code)]\nmod tests {\n    use crate::b;\n";
    assert_eq!(source(tests).imports(), ["a"]);
    assert_eq!(source("").module(), "pool");
}
