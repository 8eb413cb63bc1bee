//! How fast is extraction beside ctags, and beside tree-sitter's parser alone, on the same files?
//! Everyone reads and gives JSON: ctags through a pipe, we as records serialised, with two threads;
//! the parser gives nothing, on one thread, in processor time.
//!
//! ctags scans tokens, tree-sitter builds a whole tree that survives errors: the parser alone bounds
//! what any query over its trees can reach. `floor=` is the share of our processor time that it
//! takes.
//!
//! Last table, 2 cores:
//!
//! | case | MB | ours | ctags | ratio (3) | cpu MB/s | floor |
//! |---|---|---|---|---|---|---|
//! | python | 20.5 | 12.3 MB/s | 29.9 MB/s | 0.41 | 6.2 | 0.66 |
//! | rust | 30.8 | 11.9 MB/s | 33.1 MB/s | 0.36 | 6.0 | 0.60 |
//!
//! `cargo bench --bench extract --features extract,extract-more [CASE]`; trees from
//! `tests/sources.sh`.

use std::fs;
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use cardex::extract::{Outcome, ScanOptions, Scanner};

const TARGET: f64 = 3.0;
const ROUNDS: usize = 3;

/// The best of some rounds: the machine is shared.
fn best(mut round: impl FnMut()) -> Duration {
    let times = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        round();
        start.elapsed()
    });
    times.min().unwrap_or_default()
}

fn ours(tree: &Path) -> (u64, u64, u64) {
    let options = ScanOptions {
        threads: NonZeroUsize::new(2),
        ..ScanOptions::default()
    };
    let scanner = Scanner::open(tree, options).expect("the tree is there");
    let mut written = 0;
    let progress = scanner
        .scan([], &AtomicBool::new(false), |outcome, _| {
            if let Outcome::Extracted(record) = outcome {
                written += serde_json::to_vec(&*record)
                    .expect("a record serialises")
                    .len() as u64;
            }
            Ok(())
        })
        .expect("the scan ends");
    (progress.extracted, progress.bytes, written)
}

/// Processor time of this process, all threads.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Processor time of reading and parsing each file of the tree, and of nothing else.
fn parser_alone(tree: &Path, language: &str) -> Duration {
    let grammar = match language {
        "python" => tree_sitter_python::LANGUAGE.into(),
        "rust" => tree_sitter_rust::LANGUAGE.into(),
        "go" => tree_sitter_go::LANGUAGE.into(),
        "java" => tree_sitter_java::LANGUAGE.into(),
        "typescript" => tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
        _ => tree_sitter_javascript::LANGUAGE.into(),
    };
    let mut parser = tree_sitter::Parser::new();
    parser
        .set_language(&grammar)
        .expect("the grammar fits the library");
    let before = cpu_time();
    for directory in fs::read_dir(tree).expect("the tree is there").flatten() {
        for file in fs::read_dir(directory.path())
            .expect("a directory")
            .flatten()
        {
            let bytes = fs::read(file.path()).unwrap_or_default();
            std::hint::black_box(parser.parse(&bytes, None));
        }
    }
    cpu_time() - before
}

fn theirs(tree: &Path) -> usize {
    let mut child = Command::new("ctags")
        .args([
            "--output-format=json",
            "--fields=+neS",
            "--sort=no",
            "-R",
            "-f-",
            ".",
        ])
        .current_dir(tree)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("ctags runs: apt-get install universal-ctags");
    let mut output = Vec::new();
    child
        .stdout
        .take()
        .expect("piped")
        .read_to_end(&mut output)
        .expect("a pipe");
    child.wait().expect("ctags ends");
    output.len()
}

/// Copies the files with one extension, at most this many, so that both read the same.
fn collect(from: &Path, extension: &str, most: usize) -> Option<tempfile::TempDir> {
    let (mut files, mut directories) = (Vec::new(), vec![from.to_path_buf()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).ok()?.flatten() {
            let path = entry.path();
            if entry.file_type().ok()?.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                files.push(path);
            }
        }
    }
    files.sort();
    let step = files.len().div_ceil(most).max(1);
    let tree = tempfile::tempdir().ok()?;
    for (number, file) in files.iter().step_by(step).enumerate() {
        let directory = tree.path().join(format!("{number:05}"));
        fs::create_dir(&directory).ok()?;
        fs::copy(file, directory.join(file.file_name()?)).ok()?;
    }
    Some(tree)
}

fn main() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/sources");
    let registry: PathBuf = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .unwrap_or_else(|| {
            PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo")
        });
    let python = Command::new("python3")
        .args([
            "-c",
            "import sysconfig; print(sysconfig.get_paths()['stdlib'], end='')",
        ])
        .output()
        .map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).into_owned()));
    let cases = [
        ("python", python.unwrap_or_default(), "py"),
        ("rust", registry.join("registry/src"), "rs"),
        ("go", sources.join("go"), "go"),
        ("java", sources.join("java"), "java"),
        ("typescript", sources.join("typescript"), "ts"),
        ("javascript", sources.join("javascript-classes"), "js"),
    ];
    let only = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    for (name, from, extension) in cases {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let Some(tree) = collect(&from, extension, 2000) else {
            println!(
                "bench=extract case={name} missing={} run=tests/sources.sh",
                from.display()
            );
            continue;
        };
        let (files, bytes, _) = ours(tree.path());
        let mut cpu = Duration::MAX;
        let ours = best(|| {
            let before = cpu_time();
            ours(tree.path());
            cpu = cpu.min(cpu_time() - before);
        });
        let theirs = best(|| {
            theirs(tree.path());
        });
        let floor = parser_alone(tree.path(), name).as_secs_f64() / cpu.as_secs_f64();
        let (ours, theirs) = (ours.as_secs_f64(), theirs.as_secs_f64());
        let (mega, ratio) = (bytes as f64 / 1e6, theirs / ours);
        println!(
            "bench=extract case={name} files={files} MB={mega:.1} peer=ctags ours={:.1}MB/s ({:.0} files/s) \
             theirs={:.1}MB/s ratio={ratio:.2} target={TARGET} {} cpu={:.1}MB/s floor={floor:.2}",
            mega / ours,
            files as f64 / ours,
            mega / theirs,
            if ratio >= TARGET { "ok" } else { "short" },
            mega / cpu.as_secs_f64(),
        );
    }
}
