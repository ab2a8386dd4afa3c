//! Programs that read a script, or a file that is made for them, and print what must be the same.

use std::{fmt::Write, fs, path::Path};

use anyhow::{Result, bail};

use super::{
    program::{Act, Program},
    stage::{Ran, Stage},
};

/// The programs.
pub fn programs() -> Vec<Program> {
    let seconds = Program {
        name: "",
        what: "",
        unit: "s",
        needs: &[],
        prepare: |_| Ok(()),
        act: |_| bail!("to be filled in"),
    };
    vec![
        Program {
            name: "python",
            what: "json, dict and list of its own tests",
            needs: &["/usr/bin/python3", "/usr/lib/python3.11/test/test_json/__init__.py"],
            act: python_tests,
            ..seconds
        },
        Program {
            name: "python-malloc",
            what: "words, trees and JSON, all blocks by malloc (PYTHONMALLOC)",
            needs: &["/usr/bin/python3"],
            act: python_malloc,
            ..seconds
        },
        Program {
            name: "sqlite3",
            what: "120,000 rows, an index, a join, a sort",
            needs: &["sqlite3"],
            act: |stage| Ok(whole(stage.run(stage.command("sqlite3"), SQLITE.as_bytes())?)),
            ..seconds
        },
        Program {
            name: "git",
            what: "150 commits of 200 files imported, repacked, checked, shown",
            needs: &["git", "sh"],
            prepare: git_history,
            act: git,
            ..seconds
        },
        Program {
            name: "perl",
            what: "hashes of arrays of strings",
            needs: &["perl"],
            act: |stage| {
                let mut perl = stage.command("perl");
                perl.args(["-e", PERL]).env("PERL_HASH_SEED", "0");
                Ok(whole(stage.just_run(perl)?))
            },
            ..seconds
        },
        Program {
            name: "node",
            what: "objects, strings, buffers and JSON",
            needs: &["node"],
            act: |stage| {
                let mut node = stage.command("node");
                node.args(["-e", NODE]);
                Ok(whole(stage.just_run(node)?))
            },
            ..seconds
        },
        Program {
            name: "sort",
            what: "600,000 lines, --parallel=2",
            needs: &["sort"],
            prepare: lines,
            act: |stage| {
                let mut sort = stage.command("sort");
                sort.args(["--parallel=2", "--buffer-size=30M", "--key=2,2", "lines"]);
                Ok(whole(stage.just_run(sort)?))
            },
            ..seconds
        },
    ]
}

/// All that a command printed is the proof.
fn whole(ran: Ran) -> Act {
    Act { proof: ran.stdout, figure: ran.seconds, peak_kib: ran.peak_kib }
}

fn python_tests(stage: &Stage) -> Result<Act> {
    let mut python = stage.command("/usr/bin/python3");
    python.args(["-m", "test", "test_json", "test_dict", "test_list"]);
    python.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONHASHSEED", "0");
    let ran = stage.just_run(python)?;
    // It prints times, and in which folder it works.
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    let results: Vec<&str> = text.lines().filter(|line| line.starts_with("Tests result:")).collect();
    if results != ["Tests result: SUCCESS"] {
        bail!("python's tests: {text}");
    }
    Ok(Act { proof: results.concat().into(), figure: ran.seconds, peak_kib: ran.peak_kib })
}

fn python_malloc(stage: &Stage) -> Result<Act> {
    let mut python = stage.command("/usr/bin/python3");
    python.args(["-c", PYTHON]).env("PYTHONHASHSEED", "0").env("PYTHONMALLOC", "malloc");
    Ok(whole(stage.just_run(python)?))
}

const PYTHON: &str = "
import hashlib, json, collections
def tree(depth, number):
    if depth == 0: return {'leaf': str(number), 'values': [number % 7, number / 3, 'x' * (number % 50)]}
    return {'left': tree(depth - 1, 2 * number), 'right': tree(depth - 1, 2 * number + 1), 'name': 'node %d' % number}
words = collections.defaultdict(list)
for i in range(150000):
    words['word-%d' % (i * 7919 % 20011)].append(i)
text = json.dumps(tree(14, 1), sort_keys=True)
back = json.loads(text)
parts = ' '.join(sorted(words, key=lambda word: (len(words[word]), word))).split(' ')
big = b''.join(bytes([i % 256]) * (i % 3000) for i in range(3000))
print(hashlib.sha256((text + ''.join(parts)).encode() + big).hexdigest(), len(back), len(text))
";

const SQLITE: &str = "
PRAGMA journal_mode = MEMORY;
CREATE TABLE item(id INTEGER PRIMARY KEY, kind INTEGER, name TEXT, price REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120000)
INSERT INTO item SELECT i, (i * 7919) % 1000, printf('name-%d-%s', i, substr('abcdefghijklmnopqrstuvwxyz', i % 20, i % 9)), (i * 31 % 10007) / 7.0 FROM n;
CREATE INDEX by_kind ON item(kind, price);
SELECT kind, count(*), sum(price), max(name) FROM item GROUP BY kind ORDER BY sum(price) DESC LIMIT 20;
SELECT count(*), sum(a.price - b.price) FROM item a JOIN item b ON a.kind = b.kind AND a.id < b.id AND b.id < a.id + 3000;
SELECT name FROM item ORDER BY substr(name, -4), price, id LIMIT 20;
SELECT length(group_concat(name, ',')) FROM (SELECT name FROM item ORDER BY price DESC, id);
DELETE FROM item WHERE id % 3 = 0;
VACUUM;
PRAGMA integrity_check;
";

const PERL: &str = r#"
use Digest::MD5 qw(md5_hex);
my %lists;
for my $i (0 .. 250000) { push @{$lists{"key-" . ($i * 7919 % 30011)}}, "value $i " . ("x" x ($i % 60)); }
my $text = join "\n", map { my $key = $_; "$key: " . join ",", sort @{$lists{$key}} } sort keys %lists;
$text =~ s/value (\d+)/$1 * 2 . " twice"/ge;
delete $lists{$_} for grep { /7/ } keys %lists;
print md5_hex($text), " ", length($text), " ", scalar(keys %lists), "\n";
"#;

const NODE: &str = r#"
const { createHash } = require('crypto');
const lists = new Map();
for (let i = 0; i < 300000; i++) {
  const key = 'key-' + (i * 7919 % 20011);
  if (!lists.has(key)) lists.set(key, []);
  lists.get(key).push({ number: i, text: 'x'.repeat(i % 60) });
}
const text = JSON.stringify([...lists]);
const back = JSON.parse(text);
const hash = createHash('sha256').update(text);
for (let i = 0; i < 3000; i++) hash.update(Buffer.alloc(i * 13 % 20000, i));
console.log(hash.digest('hex'), back.length, text.length);
"#;

/// A history as `git fast-import` reads it.
fn git_history(folder: &Path) -> Result<()> {
    let mut text = String::new();
    let mut mark = 0;
    let mut line = 17_u64;
    for commit in 1..=150_u64 {
        let mut changes = String::new();
        for file in (0..200).filter(|file| (file + commit) % 5 == 0 || commit == 1) {
            mark += 1;
            let mut content = String::new();
            for number in 0..60 + file % 40 {
                line = line.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Most lines stay as they were.
                let seed = if (line >> 40).is_multiple_of(8) { line >> 33 } else { file * 1000 + number };
                writeln!(content, "line {number} of file {file}: {seed}")?;
            }
            write!(text, "blob\nmark :{mark}\ndata {}\n{content}\n", content.len())?;
            writeln!(changes, "M 100644 :{mark} folder-{}/file-{file}.txt", file % 12)?;
        }
        let date = 1_700_000_000 + commit * 3600;
        let message = format!("Change number {commit}\n");
        write!(
            text,
            "commit refs/heads/main\ncommitter A Name <name@example.org> {date} +0000\ndata {}\n{message}{changes}\n",
            message.len()
        )?;
    }
    Ok(fs::write(folder.join("history"), text)?)
}

fn git(stage: &Stage) -> Result<Act> {
    let mut shell = stage.command("sh");
    shell.args(["-ec", GIT]).env("HOME", &stage.folder).env("GIT_CONFIG_NOSYSTEM", "1");
    shell.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
    Ok(whole(stage.just_run(shell)?))
}

const GIT: &str = "
rm -rf repository
git init -q -b main repository
cd repository
git fast-import --quiet <../history
git reset -q --hard
git -c pack.threads=2 repack -q -a -d -f --depth=30 --window=30
git fsck --full --strict --no-progress
git rev-parse HEAD
git log --stat --format='%H %s' | sha256sum
git log -p --format=%H | sha256sum
git blame folder-7/file-7.txt | sha256sum
git grep -c 'line 3' | sha256sum
git status --short
";

fn lines(folder: &Path) -> Result<()> {
    let mut text = String::new();
    for number in 0..600_000_u64 {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        writeln!(text, "{number} {:x} the rest of the line {}", mixed >> 20, mixed % 997)?;
    }
    Ok(fs::write(folder.join("lines"), text)?)
}
