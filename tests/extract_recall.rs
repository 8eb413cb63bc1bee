//! Recall against universal-ctags on real sources: of the functions (methods included) and of the
//! classes that ctags reports, at least 97 % must be found, by file and name. Whatever is missed
//! counts, also files that were skipped. One line a language; `RECALL_SHOW=N` prints the first N
//! misses and the first N names that ctags does not have.

#![cfg(feature = "extract")]
#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use cardex::extract::{Outcome, ScanOptions, Scanner};

/// Files of a language that are measured: enough for a steady figure, in seconds.
const MAX_FILES: usize = 400;

const REQUIRED: f64 = 0.97;

/// A language, what ctags calls it, and where its sources are.
struct Case {
    language: &'static str,
    ctags: &'static str,
    /// ctags' letters of the kinds that are functions and classes here.
    kinds: &'static str,
    extensions: &'static [&'static str],
    sources: fn() -> Vec<PathBuf>,
}

/// Kinds of ctags that are classes here; its other kinds asked for are functions.
const CLASS_KINDS: &[&str] = &[
    "class",
    "struct",
    "enum",
    "union",
    "interface",
    "trait",
    "annotation",
    "alias",
    "talias",
    "type",
    "module",
];

/// A name in a file: (path, is a class, name).
type Symbol = (String, bool, String);

fn run(program: &str, arguments: &[&str], missing: &str) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {program}: {error}; {missing}"));
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The sources of all crates that this one is built from.
fn crates() -> Vec<PathBuf> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    // Crates for other platforms were never fetched.
    let version = run("rustc", &["-vV"], "rustc is needed");
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let arguments = [
        "metadata",
        "--format-version=1",
        "--offline",
        "--all-features",
        "--filter-platform",
        host.expect("rustc says what it runs on"),
        "--manifest-path",
        manifest,
    ];
    let json = run(env!("CARGO"), &arguments, "cargo is needed");
    let metadata: serde_json::Value = serde_json::from_str(&json).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let manifests = packages
        .iter()
        .map(|package| package["manifest_path"].as_str().unwrap());
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifests
        .map(|path| Path::new(path).parent().unwrap().to_owned())
        .filter(|p| p != own)
        .collect()
}

fn standard_library() -> Vec<PathBuf> {
    let code = "import sysconfig; print(sysconfig.get_paths()['stdlib'])";
    let path = run(
        "python3",
        &["-c", code],
        "install it: apt-get install python3",
    );
    vec![PathBuf::from(path.trim())]
}

/// What `tests/sources.sh` unpacked.
fn unpacked(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/sources")
        .join(name);
    assert!(
        path.join(".complete").exists(),
        "{} is missing: run `sh tests/sources.sh`",
        path.display()
    );
    path
}

/// All files with one of these extensions, in path order.
fn files(roots: &[PathBuf], extensions: &[&str]) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut directories = roots.to_vec();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap().map(Result::unwrap) {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let name = entry.file_name().into_string().unwrap_or_default();
            if kind.is_dir() && name != "site-packages" {
                directories.push(path);
            } else if kind.is_file() && extensions.iter().any(|e| name.ends_with(e)) {
                out.push(path);
            }
        }
    }
    out.sort();
    out
}

/// Copies an even choice of the files below `tree`, numbered, so that both programs read the same.
fn choose(files: &[PathBuf], tree: &Path) {
    let step = files.len().div_ceil(MAX_FILES).max(1);
    for (number, file) in files.iter().step_by(step).enumerate() {
        let directory = tree.join(format!("{number:04}"));
        fs::create_dir(&directory).unwrap();
        fs::copy(file, directory.join(file.file_name().unwrap())).unwrap();
    }
}

fn by_ctags(case: &Case, tree: &Path) -> BTreeSet<Symbol> {
    let mut child = Command::new("ctags")
        .args([
            "--output-format=json",
            "--fields=+n",
            "--sort=no",
            "-R",
            "-f-",
        ])
        .arg(format!("--languages={}", case.ctags))
        .arg(format!("--kinds-{}={}", case.ctags, case.kinds))
        .args(
            case.extensions
                .iter()
                .map(|e| format!("--map-{}=+{e}", case.ctags)),
        )
        .arg(".")
        .current_dir(tree)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| {
            panic!("cannot run ctags: {e}; install it: apt-get install universal-ctags")
        });
    let output = std::io::read_to_string(child.stdout.take().unwrap()).unwrap();
    assert!(child.wait().unwrap().success(), "ctags failed");
    let tags = output
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    tags.filter(|tag| tag["_type"] == "tag")
        .map(|tag| {
            let text = |field: &str| tag[field].as_str().unwrap_or_default().to_owned();
            let path = text("path").trim_start_matches("./").to_owned();
            (
                path,
                CLASS_KINDS.contains(&text("kind").as_str()),
                text("name"),
            )
        })
        // A name that ctags makes up for what has none.
        .filter(|(_, _, name)| !MADE_UP.iter().any(|made_up| name.starts_with(made_up)))
        .filter(|symbol| case.language != "javascript" || is_javascript_class(symbol, tree))
        .collect()
}

const MADE_UP: &[&str] = &["__anon", "AnonymousFunction", "AnonymousClass"];

/// ctags calls classes of JavaScript also object literals that hold a function, functions that
/// assign to `this`, any `X` of a call `X.prototype.f.call(…)`, and the `exports` that a class with a
/// name of its own is assigned to. Counted are those that the file declares by `class`, or gives a
/// member of its prototype.
fn is_javascript_class((path, class, name): &Symbol, tree: &Path) -> bool {
    let name = regex::escape(name);
    let declared = format!(
        r"\bclass {name}\b|\b{name}\.prototype(\.\w+)?\s*=[^=]|\b{name}\s*=\s*class\s*(\{{|extends)"
    );
    let declared = regex::Regex::new(&declared).unwrap();
    !class || fs::read_to_string(tree.join(path)).is_ok_and(|text| declared.is_match(&text))
}

fn by_us(tree: &Path) -> (BTreeSet<Symbol>, usize) {
    let mut found = BTreeSet::new();
    // The limits are those of users but for time: a slow machine is no reason to miss a name.
    let time_per_file = Duration::from_secs(3600);
    let options = ScanOptions {
        time_per_file,
        ..ScanOptions::default()
    };
    let scanner = Scanner::open(tree, options).unwrap();
    let result = scanner.scan([], &AtomicBool::new(false), |outcome, _| {
        match outcome {
            Outcome::Extracted(record) => {
                let path = record.path.as_str();
                let mut add = |class: bool, name: &Option<_>| {
                    if let Some(name) = name {
                        found.insert((path.to_owned(), class, ToString::to_string(name)));
                    }
                };
                record
                    .functions
                    .iter()
                    .for_each(|function| add(false, &function.name));
                for class in &record.classes {
                    add(true, &class.name);
                    class
                        .methods
                        .iter()
                        .for_each(|method| add(false, &method.name));
                }
            }
            Outcome::Skipped(skipped) => println!("{skipped}"),
            Outcome::Bare { record, reason } => println!("{}: {reason}", record.path),
            outcome => panic!("{outcome:?}"),
        }
        Ok(())
    });
    (found, usize::try_from(result.unwrap().files).unwrap())
}

fn measure(case: &Case) {
    let files = files(&(case.sources)(), case.extensions);
    assert!(!files.is_empty(), "no source of {}", case.language);
    let tree = tempfile::tempdir().unwrap();
    choose(&files, tree.path());
    let theirs = by_ctags(case, tree.path());
    let (ours, files) = by_us(tree.path());
    let count = |class: bool| {
        let all = theirs.iter().filter(|symbol| symbol.1 == class).count();
        (
            theirs
                .intersection(&ours)
                .filter(|symbol| symbol.1 == class)
                .count(),
            all,
        )
    };
    let (functions, classes) = (count(false), count(true));
    let enough = |(found, all): (usize, usize)| found as f64 >= REQUIRED * all as f64;
    let ok = enough(functions) && enough(classes);
    let share = |(found, all): (usize, usize)| 100.0 * found as f64 / all.max(1) as f64;
    let _ = writeln!(
        std::io::stderr(),
        "recall language={} files={files} functions={}/{} ({:.2} %) classes={}/{} ({:.2} %) {}",
        case.language,
        functions.0,
        functions.1,
        share(functions),
        classes.0,
        classes.1,
        share(classes),
        if ok { "ok" } else { "short" },
    );
    let show = std::env::var("RECALL_SHOW")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    for missed in theirs.difference(&ours).take(show) {
        eprintln!("  missed {missed:?} {}", tree.path().display());
    }
    for more in ours.difference(&theirs).take(show) {
        eprintln!("  more {more:?}");
    }
    if show > 0 {
        let kept = std::env::temp_dir().join(format!("recall-{}", case.language));
        let _ = fs::remove_dir_all(&kept);
        fs::rename(tree.path(), &kept).unwrap();
    }
    assert!(
        functions.1 > 50 && ok,
        "recall of {} is short",
        case.language
    );
}

#[test]
fn python() {
    measure(&Case {
        language: "python",
        ctags: "Python",
        kinds: "cfm",
        extensions: &[".py"],
        sources: standard_library,
    });
}

#[test]
fn rust() {
    measure(&Case {
        language: "rust",
        ctags: "Rust",
        kinds: "fPsgi",
        extensions: &[".rs"],
        sources: crates,
    });
}

#[test]
fn c() {
    measure(&Case {
        language: "c",
        ctags: "C",
        kinds: "fsgu",
        extensions: &[".c", ".h"],
        sources: crates,
    });
}

#[test]
fn go() {
    measure(&Case {
        language: "go",
        ctags: "Go",
        kinds: "fntsia",
        extensions: &[".go"],
        sources: || vec![unpacked("go")],
    });
}

#[test]
fn java() {
    measure(&Case {
        language: "java",
        ctags: "Java",
        kinds: "macgi",
        extensions: &[".java"],
        sources: || vec![unpacked("java")],
    });
}

#[test]
fn javascript() {
    measure(&Case {
        language: "javascript",
        ctags: "JavaScript",
        kinds: "fcmgGS",
        extensions: &[".js"],
        sources: || vec![unpacked("javascript"), unpacked("javascript-classes")],
    });
}

#[test]
fn typescript() {
    measure(&Case {
        language: "typescript",
        ctags: "TypeScript",
        kinds: "fcigmGa",
        extensions: &[".ts"],
        sources: || vec![unpacked("typescript")],
    });
}
