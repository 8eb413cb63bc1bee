//! Walking, change detection, skips and the stop flag, on trees made for the purpose.

#![cfg(feature = "extract")]
#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use cardex::extract::{
    Budget, Extractor, Outcome, Progress, ScanOptions, Scanner, SkipReason, Source,
};
use cardex::{DocumentType, Error, ErrorKind, FileMetadata, FilePath, FileState};

struct Tree(tempfile::TempDir);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        let tree = Tree(tempfile::tempdir().unwrap());
        for (path, text) in files {
            tree.write(path, text);
        }
        tree
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    /// Writes a file that was last changed long enough ago to be trusted.
    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        set_time(&path, 3600);
    }

    fn scanner(&self) -> Scanner {
        self.scanner_with(ScanOptions::default())
    }

    fn scanner_with(&self, options: ScanOptions) -> Scanner {
        Scanner::open(self.root(), options).unwrap()
    }
}

fn set_time(path: &Path, seconds_ago: u64) {
    let time = SystemTime::now() - Duration::from_secs(seconds_ago);
    fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(time)
        .unwrap();
}

fn outcomes(scanner: &Scanner, known: &[FileState]) -> Vec<Outcome> {
    let mut out = Vec::new();
    let progress = scanner
        .scan(known.to_vec(), &AtomicBool::new(false), |outcome, _| {
            out.push(outcome);
            Ok(())
        })
        .unwrap();
    assert_eq!(progress.files, progress.done);
    assert_eq!(progress.done, out.len() as u64);
    out
}

/// `path kind` of each outcome, in order.
fn told(outcomes: &[Outcome]) -> Vec<String> {
    outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Extracted(record) => format!("{} extracted", record.path),
            Outcome::Touched(state) => format!("{} touched", state.path),
            Outcome::Unchanged(path) => format!("{path} unchanged"),
            Outcome::Gone(path) => format!("{path} gone"),
            Outcome::Skipped(skipped) => {
                format!("{} {}", skipped.path.display(), skipped.reason.code())
            }
        })
        .collect()
}

fn records(outcomes: &[Outcome]) -> BTreeMap<String, FileMetadata> {
    let records = outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Extracted(record) => Some((record.path.to_string(), (**record).clone())),
        _ => None,
    });
    records.collect()
}

fn states(outcomes: &[Outcome]) -> Vec<FileState> {
    records(outcomes).values().map(FileState::from).collect()
}

#[test]
fn ignore_files_nest_and_negate_and_git_itself_is_never_walked() {
    let tree = Tree::new(&[
        (".gitignore", "*.log\nbuild/\n!keep.log\n/top.py\n"),
        (".git/config", "[core]\n"),
        (".git/info/exclude", "excluded.py\n"),
        (".github/workflows/ci.yml", "on: push\n"),
        (".hidden.py", "x = 1\n"),
        ("a.log", "x"),
        ("keep.log", "x"),
        ("build/out.py", "x = 1\n"),
        ("excluded.py", "x = 1\n"),
        ("top.py", "x = 1\n"),
        ("sub/.gitignore", "!b.log\n*.tmp.py\n"),
        ("sub/b.log", "x"),
        ("sub/c.tmp.py", "x = 1\n"),
        ("sub/top.py", "x = 1\n"),
        ("sub/.git", "gitdir: elsewhere\n"),
        (".cardex/db", "x"),
    ]);
    assert_eq!(
        told(&outcomes(&tree.scanner(), &[])),
        [
            ".github/workflows/ci.yml extracted",
            ".gitignore extracted",
            ".hidden.py extracted",
            "keep.log extracted",
            "sub/.gitignore extracted",
            "sub/b.log extracted",
            "sub/top.py extracted",
        ]
    );
}

#[test]
fn an_ignore_file_above_the_root_counts() {
    let tree = Tree::new(&[
        (".git/HEAD", ""),
        (".gitignore", "*.gen.py\n"),
        ("in/a.gen.py", ""),
        ("in/a.py", ""),
    ]);
    let scanner = Scanner::open(&tree.at("in"), ScanOptions::default()).unwrap();
    assert_eq!(told(&outcomes(&scanner, &[])), ["a.py extracted"]);
}

#[test]
fn order_is_that_of_whole_paths() {
    let tree = Tree::new(&[("a/b.py", ""), ("a.py", ""), ("a-b/c.py", ""), ("B.py", "")]);
    let expected = [
        "B.py extracted",
        "a-b/c.py extracted",
        "a.py extracted",
        "a/b.py extracted",
    ];
    assert_eq!(told(&outcomes(&tree.scanner(), &[])), expected);
}

#[test]
fn every_text_file_is_recorded_also_without_a_language() {
    let tree = Tree::new(&[
        ("a.unknown", "text\n"),
        ("b.json", "{}"),
        ("c.h", "int x;\n"),
        ("d.md", "# D\n"),
        ("e", "#!/usr/bin/env python3\ndef f(): pass\n"),
        ("empty.py", ""),
    ]);
    let records = records(&outcomes(&tree.scanner(), &[]));
    let seen: Vec<_> = records
        .values()
        .map(|r| {
            (
                r.path.as_str(),
                r.language.as_deref(),
                r.document_type,
                r.functions.len(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("a.unknown", None, DocumentType::Code, 0),
            ("b.json", Some("json"), DocumentType::Config, 0),
            ("c.h", Some("c"), DocumentType::Header, 0),
            ("d.md", Some("markdown"), DocumentType::Markdown, 0),
            ("e", Some("python"), DocumentType::Code, 1),
            ("empty.py", Some("python"), DocumentType::Code, 0),
        ]
    );
    let record = &records["b.json"];
    assert_eq!(record.size_bytes, Some(2));
    assert_eq!(
        record.digest.as_ref(),
        Some(&cardex::extract::digest(b"{}"))
    );
    assert!(record.last_modified < record.extraction_timestamp);
}

#[cfg(unix)]
#[test]
fn what_is_left_out_is_told_with_its_reason() {
    use std::os::unix::ffi::OsStrExt;
    let tree = Tree::new(&[
        (".env", "KEY=1"),
        ("tls/server.pem", "x"),
        ("a.py", "x = 1\n"),
    ]);
    tree.write("binary", b"ELF\0");
    tree.write("latin1.py", b"# caf\xe9\n");
    tree.write("large.py", "x".repeat(2000));
    let outside = Tree::new(&[("secret.py", "x = 1\n")]);
    std::os::unix::fs::symlink(outside.at("secret.py"), tree.at("link.py")).unwrap();
    std::os::unix::fs::symlink(outside.root(), tree.at("linked")).unwrap();
    fs::write(
        tree.root().join(std::ffi::OsStr::from_bytes(b"z\xff.py")),
        "x = 1\n",
    )
    .unwrap();
    let status = std::process::Command::new("mkfifo")
        .arg(tree.at("pipe.py"))
        .status()
        .unwrap();
    assert!(status.success());
    let options = ScanOptions {
        max_file_bytes: 1000,
        ..ScanOptions::default()
    };
    assert_eq!(
        told(&outcomes(&tree.scanner_with(options), &[])),
        [
            ".env secret",
            "a.py extracted",
            "binary binary",
            "large.py too-large",
            "latin1.py not-utf8",
            "link.py symlink",
            "linked symlink",
            "pipe.py not-a-file",
            "tls/server.pem secret",
            "z\u{fffd}.py bad-path",
        ]
    );
}

#[test]
fn globs_and_languages_narrow_a_scan() {
    let tree = Tree::new(&[
        ("src/a.py", "def a(): pass\n"),
        ("src/b.rs", "fn b() {}\n"),
        ("vendor/c.py", "def c(): pass\n"),
        ("run", "#!/usr/bin/python3\n"),
        ("text", "plain\n"),
    ]);
    let python = cardex::extract::Language::named("Python").unwrap();
    let options = ScanOptions {
        exclude: vec!["vendor/".into()],
        languages: vec![python],
        ..ScanOptions::default()
    };
    assert_eq!(
        told(&outcomes(&tree.scanner_with(options), &[])),
        ["run extracted", "src/a.py extracted"]
    );
    let bad = ScanOptions {
        exclude: vec!["a[".into()],
        ..ScanOptions::default()
    };
    let error = Scanner::open(tree.root(), bad).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidPattern);
    assert!(error.to_string().contains("a["), "{error}");
    let error = Scanner::open(&tree.at("nowhere"), ScanOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}

#[test]
fn changes_are_detected_by_size_then_time_then_digest() {
    let tree = Tree::new(&[
        ("changed.py", "a = 1\n"),
        ("gone.py", "x = 1\n"),
        ("ignored.py", "x = 1\n"),
        ("older.py", "x = 1\n"),
        ("same.py", "x = 1\n"),
        ("touched.py", "x = 1\n"),
    ]);
    let scanner = tree.scanner();
    let first = outcomes(&scanner, &[]);
    let known = states(&first);
    assert!(
        told(&outcomes(&scanner, &known))
            .iter()
            .all(|line| line.ends_with("unchanged"))
    );

    tree.write("changed.py", "b = 1\n");
    set_time(&tree.at("changed.py"), 10);
    fs::remove_file(tree.at("gone.py")).unwrap();
    tree.write("older.py", "y = 1\n");
    set_time(&tree.at("older.py"), 99_999);
    set_time(&tree.at("touched.py"), 10);
    tree.write(".gitignore", "ignored.py\n");
    tree.write("new.py", "");
    let second = outcomes(&scanner, &known);
    assert_eq!(
        told(&second),
        [
            ".gitignore extracted",
            "changed.py extracted",
            "gone.py gone",
            "ignored.py gone",
            "new.py extracted",
            "older.py extracted",
            "same.py unchanged",
            "touched.py touched",
        ]
    );
    let Outcome::Touched(state) = &second[7] else {
        panic!()
    };
    let before = known.iter().find(|known| known.path == state.path).unwrap();
    assert_eq!(
        (&state.digest, state.size_bytes),
        (&before.digest, before.size_bytes)
    );
    assert!(state.last_modified > before.last_modified && state.read_at > before.read_at);
}

#[test]
fn a_file_read_in_the_moment_of_its_change_is_compared_by_digest_once_more() {
    let tree = Tree::new(&[]);
    fs::write(tree.at("a.py"), "x = 1\n").unwrap();
    let scanner = tree.scanner();
    let known = states(&outcomes(&scanner, &[]));
    // Same size, and the time put back: what a write in the same tick of the clock looks like.
    let time = fs::metadata(tree.at("a.py")).unwrap().modified().unwrap();
    fs::write(tree.at("a.py"), "y = 2\n").unwrap();
    fs::File::options()
        .write(true)
        .open(tree.at("a.py"))
        .unwrap()
        .set_modified(time)
        .unwrap();
    assert_eq!(told(&outcomes(&scanner, &known)), ["a.py extracted"]);
}

#[test]
fn force_extracts_what_has_not_changed_and_a_foreign_digest_is_unequal() {
    let tree = Tree::new(&[("a.py", "x = 1\n")]);
    let mut known = states(&outcomes(&tree.scanner(), &[]));
    let forced = tree.scanner_with(ScanOptions {
        force: true,
        ..ScanOptions::default()
    });
    assert_eq!(told(&outcomes(&forced, &known)), ["a.py extracted"]);
    assert!(forced.extractor_version() >= 1);
    set_time(&tree.at("a.py"), 10);
    known[0].digest = Some("md5:00".into());
    assert_eq!(told(&outcomes(&tree.scanner(), &known)), ["a.py extracted"]);
}

#[test]
fn some_paths_are_scanned_alone_under_the_same_rules() {
    let tree = Tree::new(&[
        (".gitignore", "*.gen.py\n"),
        ("a/b/c.py", "x = 1\n"),
        ("a/b/d.gen.py", "x = 1\n"),
        ("a/e.py", "x = 1\n"),
        ("f.py", "x = 1\n"),
    ]);
    let scanner = tree.scanner();
    let known = states(&outcomes(&scanner, &[]));
    fs::remove_file(tree.at("f.py")).unwrap();
    fs::remove_file(tree.at("a/e.py")).unwrap();
    tree.write("a/b/new.py", "");
    let scan = |paths: &[&str]| {
        let paths: Vec<_> = paths
            .iter()
            .map(|path| FilePath::new(path).unwrap())
            .collect();
        let mut out = Vec::new();
        let sink = |outcome, _: &Progress| {
            out.push(outcome);
            Ok(())
        };
        scanner
            .scan_paths(&paths, known.clone(), &AtomicBool::new(false), sink)
            .unwrap();
        told(&out)
    };
    assert_eq!(
        scan(&["a/b"]),
        ["a/b/c.py unchanged", "a/b/new.py extracted"]
    );
    assert_eq!(scan(&["f.py", "a/b/d.gen.py"]), ["f.py gone"]);
    assert_eq!(
        scan(&["a/e.py", "a/b/c.py"]),
        ["a/b/c.py unchanged", "a/e.py gone"]
    );
    assert!(scan(&[]).is_empty());
}

#[cfg(unix)]
#[test]
fn what_is_below_an_unreadable_directory_is_not_gone() {
    use std::os::unix::fs::PermissionsExt;
    let tree = Tree::new(&[("a/b.py", "x = 1\n"), ("c.py", "x = 1\n")]);
    let scanner = tree.scanner();
    let known = states(&outcomes(&scanner, &[]));
    fs::set_permissions(tree.at("a"), fs::Permissions::from_mode(0o000)).unwrap();
    let readable_all_the_same = fs::read_dir(tree.at("a")).is_ok();
    let seen = outcomes(&scanner, &known);
    fs::set_permissions(tree.at("a"), fs::Permissions::from_mode(0o755)).unwrap();
    if readable_all_the_same {
        // The superuser reads everything.
        assert_eq!(told(&seen), ["a/b.py unchanged", "c.py unchanged"]);
    } else {
        assert_eq!(
            told(&seen),
            ["a unreadable", "a/b.py unreadable", "c.py unchanged"]
        );
    }
}

/// Scans hostile text with a quarter of the usual time, within a generous one.
fn judge(name: &str, text: impl AsRef<[u8]>) -> Outcome {
    let tree = Tree::new(&[("z.py", "def fine(): pass\n")]);
    tree.write(name, text);
    let time_per_file = Duration::from_millis(500);
    let options = ScanOptions {
        max_file_bytes: 64 << 20,
        time_per_file,
        ..ScanOptions::default()
    };
    let start = Instant::now();
    let mut out = outcomes(&tree.scanner_with(options), &[]);
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{name} took {:?}",
        start.elapsed()
    );
    println!("{name} took {:?}: {}", start.elapsed(), told(&out)[0]);
    assert_eq!(out.len(), 2);
    assert_eq!(told(&out[1..]), ["z.py extracted"], "the run goes on");
    out.remove(0)
}

fn reason(outcome: Outcome) -> SkipReason {
    match outcome {
        Outcome::Skipped(skipped) => skipped.reason,
        other => panic!("{:?}", told(&[other])),
    }
}

#[test]
fn one_line_of_fifty_megabytes_is_skipped() {
    let text = format!("x = [{}]\n", "1,".repeat(25 << 20));
    assert!(matches!(
        reason(judge("a.py", &text)),
        SkipReason::LineTooLong { line: 1, .. }
    ));
    // Data may have such lines: nothing is parsed in it.
    assert!(matches!(judge("a.json", &text), Outcome::Extracted(_)));
}

#[test]
fn deep_nesting_neither_overflows_nor_hangs() {
    let deep = |open: &str, close: &str| {
        let open: String = (0..1_000_000)
            .map(|i| if i % 1000 == 0 { "\n" } else { "" }.to_owned() + open)
            .collect();
        open + close
    };
    for (name, text) in [
        (
            "a.c",
            format!("int x = {};", deep("(", &")\n".repeat(1_000_000))),
        ),
        ("b.py", format!("x = {}", deep("[", ""))),
        ("c.js", deep("function f(){", "")),
        ("d.rs", deep("mod m {", &"}\n".repeat(1_000_000))),
        ("e.go", format!("package p\nvar x = {}", deep("f(", ""))),
        ("f.java", deep("class A {", "")),
        ("g.ts", deep("namespace n {", "")),
        (
            "h.py",
            "def f():\n".to_owned()
                + &(1..3000)
                    .map(|i| " ".repeat(i) + "def f():\n")
                    .collect::<String>(),
        ),
        ("i.md", deep("> [", "")),
    ] {
        match judge(name, text) {
            Outcome::Extracted(_) => {}
            other => {
                let reason = reason(other);
                let known = matches!(reason, SkipReason::TimedOut { .. } | SkipReason::TooComplex);
                assert!(known, "{name}: {reason}");
            }
        }
    }
}

#[test]
fn broken_source_still_gives_what_can_be_read() {
    let text = "def before(): pass\n)))) ((( class\n\ndef after(): pass\n";
    let Outcome::Extracted(record) = judge("a.py", text) else {
        panic!()
    };
    let names: Vec<_> = record
        .functions
        .iter()
        .filter_map(|f| f.name.as_deref())
        .collect();
    assert_eq!(names, ["before", "after"]);
}

#[test]
fn a_file_that_is_written_all_the_time_is_true_or_skipped() {
    let tree = Tree::new(&[("a.py", "x = 1\n")]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut text = String::new();
            while !done.load(Ordering::Relaxed) {
                text.push_str("x = 1\n");
                fs::write(tree.at("a.py"), &text).unwrap();
            }
        });
        for _ in 0..50 {
            match &outcomes(&tree.scanner(), &[])[..] {
                [Outcome::Extracted(record)] => {
                    assert_eq!(record.size_bytes.unwrap() % 6, 0);
                }
                [Outcome::Skipped(skipped)] => {
                    assert_eq!(skipped.reason, SkipReason::ChangedWhileRead);
                    assert!(!skipped.reason.excludes());
                }
                other => panic!("{:?}", told(other)),
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// An extractor of a host's: panics, waits and declines on command.
#[derive(Debug)]
struct Own;

impl Extractor for Own {
    fn version(&self) -> u32 {
        7
    }

    fn extract(
        &self,
        source: &Source<'_>,
        budget: &Budget<'_>,
    ) -> Result<FileMetadata, SkipReason> {
        match source.text {
            "panic" => panic!("on purpose"),
            "decline" => Err(SkipReason::Declined("not today".into())),
            "work" => loop {
                budget.check()?;
            },
            _ => Ok(FileMetadata::builder("another/path")
                .size_bytes(99)
                .language("own")
                .build()
                .unwrap()),
        }
    }
}

#[test]
fn a_host_brings_its_own_extractor_and_its_faults_stay_inside() {
    let tree = Tree::new(&[
        ("a", "panic"),
        ("b", "decline"),
        ("c", "work"),
        ("d", "fine"),
    ]);
    let options = ScanOptions {
        time_per_file: Duration::from_millis(50),
        ..ScanOptions::default()
    };
    let scanner = tree.scanner_with(options).with_extractor(Arc::new(Own));
    assert_eq!(scanner.extractor_version(), 7);
    let out = outcomes(&scanner, &[]);
    assert_eq!(
        told(&out),
        ["a panicked", "b declined", "c timed-out", "d extracted"]
    );
    let record = &records(&out)["d"];
    assert_eq!(
        (record.size_bytes, record.language.as_deref()),
        (Some(4), Some("own"))
    );
    let Outcome::Skipped(skipped) = &out[0] else {
        panic!()
    };
    assert_eq!(skipped.reason, SkipReason::Panicked("on purpose".into()));
}

#[test]
fn the_stop_flag_ends_a_scan_soon() {
    let tree = Tree::new(&[("a", "work"), ("b", "work"), ("c", "work")]);
    let options = ScanOptions {
        time_per_file: Duration::from_secs(60),
        ..ScanOptions::default()
    };
    let scanner = tree.scanner_with(options).with_extractor(Arc::new(Own));
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    let error = std::thread::scope(|scope| {
        let scan = scope.spawn(|| scanner.scan([], &stop, |_, _| panic!("nothing is done")));
        std::thread::sleep(Duration::from_millis(50));
        stop.store(true, Ordering::Relaxed);
        scan.join().unwrap().unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn an_error_of_the_sink_ends_the_scan_and_is_returned() {
    let files: Vec<_> = (0..600).map(|i| format!("{i}.py")).collect();
    let files: Vec<_> = files
        .iter()
        .map(|path| (path.as_str(), "x = 1\n"))
        .collect();
    let tree = Tree::new(&files);
    let mut given = 0;
    let result = tree
        .scanner()
        .scan([], &AtomicBool::new(false), |_, progress| {
            given += 1;
            assert_eq!((progress.done, progress.files), (given, 600));
            if given == 300 {
                Err(Error::new(ErrorKind::Database, "full"))
            } else {
                Ok(())
            }
        });
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Database);
    assert_eq!(given, 300);
}

#[test]
fn a_panic_of_the_sink_reaches_the_caller() {
    let files: Vec<_> = (0..600).map(|i| format!("{i}.py")).collect();
    let files: Vec<_> = files
        .iter()
        .map(|path| (path.as_str(), "x = 1\n"))
        .collect();
    let tree = Tree::new(&files);
    let scanner = tree.scanner();
    let scan = || scanner.scan([], &AtomicBool::new(false), |_, _| panic!("of the sink"));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(scan)).is_err());
}
