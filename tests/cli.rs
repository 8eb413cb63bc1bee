//! The command, as a person and a program meet it: every console block of `tests/cmd` and of the
//! README is run in a copy of a small tree, and the rest is asked of the binary here.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that cannot do its work has failed its test"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

/// Copies a directory and all below it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
            // A file read right after its last change is read once more the next time.
            let file = fs::File::options().append(true).open(target).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(60))
                .unwrap();
        }
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// A copy of the small tree, and a home without configuration.
struct Project {
    root: TempDir,
    home: TempDir,
}

impl Project {
    fn new() -> Self {
        let project = Project {
            root: tempfile::tempdir().unwrap(),
            home: tempfile::tempdir().unwrap(),
        };
        copy(&fixture("tree"), project.root.path());
        project
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), text).unwrap();
    }

    /// The command in this project, without anything of the caller's own.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cardex"));
        command
            .args(args)
            .current_dir(self.root.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// The standard output of a command that must end with `code`.
    fn ends(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn query(&self, args: &[&str]) -> Vec<String> {
        let output = self.run(&[&["query"], args].concat());
        assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

/// Runs the console blocks of a document, each document in its own copy of the tree.
/// `TRYCMD=overwrite` writes the outputs into the document.
fn run_document(document: &Path, files: &[PathBuf]) {
    let scratch = tempfile::tempdir().unwrap();
    let name = document.file_stem().unwrap().to_str().unwrap();
    let copied = scratch.path().join(format!("{name}.md"));
    fs::copy(document, &copied).unwrap();
    let sandbox = scratch.path().join(format!("{name}.in"));
    copy(&fixture("tree"), &sandbox);
    for file in files {
        fs::copy(file, sandbox.join(file.file_name().unwrap())).unwrap();
    }
    // Without a directory `.out` the commands run in `.in` itself, where the files are old.
    let cases = trycmd::TestCases::new();
    cases
        .register_bin("cargo", trycmd::schema::Bin::Ignore)
        .register_bin("make", trycmd::schema::Bin::Ignore)
        .register_bin("git", trycmd::schema::Bin::Ignore)
        .register_bin("cp", trycmd::schema::Bin::Ignore)
        .env("HOME", scratch.path().display().to_string())
        .env(
            "XDG_CONFIG_HOME",
            scratch.path().join("none").display().to_string(),
        )
        .env("DATABASE_URL", "")
        .env("RUST_LOG", "")
        .case(&copied);
    cases.run();
    if std::env::var_os("TRYCMD").is_some_and(|mode| mode == "overwrite") {
        fs::write(document, redact(&fs::read_to_string(&copied).unwrap())).unwrap();
    }
}

/// Puts `[..]` in place of what differs from run to run, in the blocks that are run.
fn redact(document: &str) -> String {
    let blocks = document.split("```").map(|block| {
        if block.starts_with("console") {
            redact_block(block)
        } else {
            block.to_owned()
        }
    });
    blocks.collect::<Vec<_>>().join("```")
}

fn redact_block(text: &str) -> String {
    [
        (r"(?m)^(Indexed .* in )[^:]*:", "$1[..]:"),
        (r"(?m)^(indexed  +)\d.*$", "$1[..]"),
        (r"(?m)^(modified  +)\d.*$", "$1[..]"),
        (r"(?m)^(index  +)\d.*$", "$1[..]"),
        (r"(?m)^(position  +).*$", "$1[..]"),
        (r"(?m)^(database  +\S+, ).*$", "$1[..]"),
        (
            r#"("(?:asOf|lastModified|extractionTimestamp|indexedAt)": )"[^"]*""#,
            "$1\"[..]\"",
        ),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (pattern, with)| {
        regex::Regex::new(pattern)
            .unwrap()
            .replace_all(&text, with)
            .into_owned()
    })
}

fn run_command_document(name: &str, files: &[PathBuf]) {
    let document = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cmd")
        .join(name);
    run_document(&document, files);
}

#[test]
fn queries() {
    run_command_document("query.md", &[]);
}

#[test]
fn formats() {
    run_command_document("formats.md", &[]);
}

#[test]
fn one_file() {
    run_command_document("show.md", &[]);
}

#[test]
fn errors_say_what_where_and_what_to_do() {
    run_command_document("errors.md", &[]);
}

#[test]
fn export_import_and_check() {
    run_command_document("db.md", &[fixture("bad.jsonl")]);
}

#[test]
fn configuration() {
    let files = fs::read_dir(fixture("config")).unwrap();
    let files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    run_command_document("config.md", &files);
}

#[test]
fn the_readme_tells_the_truth() {
    run_document(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"),
        &[],
    );
}

#[test]
fn a_query_sees_every_change_of_the_tree() {
    let project = Project::new();
    assert_eq!(project.query(&["-f", "parse"]).len(), 3);
    project.write("src/new.py", "def parse(): pass\n");
    fs::remove_file(project.at("src/parser.py")).unwrap();
    project.write("src/lexer.py", "class Lexer: pass\n");
    assert_eq!(
        project.query(&["-f", "parse"]),
        ["src/main.rs", "src/new.py"]
    );
    assert_eq!(project.query(&["-f", "parse", "--cached"]).len(), 2);
    project.write(".gitignore", "src/new.py\n");
    assert_eq!(project.query(&["-f", "parse"]), ["src/main.rs"]);
    fs::remove_file(project.at(".gitignore")).unwrap();
    assert_eq!(project.query(&["-f", "parse"]).len(), 2);
    project.ends(0, &["db", "check"]);
}

#[test]
fn a_file_that_can_have_no_record_any_more_loses_it() {
    let project = Project::new();
    assert_eq!(project.query(&["-f", "parse", "-t", "python"]).len(), 2);
    fs::write(project.at("src/lexer.py"), b"def parse(): pass\0").unwrap();
    assert_eq!(
        project.query(&["-f", "parse", "-t", "python"]),
        ["src/parser.py"]
    );
    project.write("cardex.toml", "[index]\nmax_file_bytes = \"1KiB\"\n");
    project.write(
        "src/parser.py",
        &format!("def parse(): pass\n{}", "# x\n".repeat(300)),
    );
    assert!(project.query(&["-f", "parse", "-t", "python"]).is_empty());
    let told = project.run(&["index", "-v"]);
    let told = String::from_utf8(told.stderr).unwrap();
    assert!(
        told.contains("  src/parser.py: it has 1218 bytes; the limit is 1024"),
        "{told}"
    );
}

#[test]
fn cached_does_not_look_at_the_tree() {
    let project = Project::new();
    project.ends(0, &["index"]);
    project.write("src/new.py", "def parse(): pass\n");
    assert_eq!(project.query(&["--cached", "-f", "parse"]).len(), 3);
    assert_eq!(project.query(&["-f", "parse"]).len(), 4);
}

#[test]
fn a_touched_file_is_refreshed_and_not_read_again() {
    let project = Project::new();
    project.ends(0, &["index"]);
    let file = fs::File::options()
        .append(true)
        .open(project.at("src/main.rs"))
        .unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    let report = project.ends(0, &["index", "--format", "jsonl"]);
    assert!(
        report.contains("\"changed\":0") && report.contains("\"touched\":1"),
        "{report}"
    );
    let report = project.ends(0, &["index", "--format", "jsonl"]);
    assert!(report.contains("\"touched\":0"), "{report}");
}

#[test]
fn the_root_is_the_nearest_directory_with_data_or_a_repository() {
    let project = Project::new();
    fs::create_dir(project.at(".git")).unwrap();
    let inside = project
        .command(&["query", "-t", "rust"])
        .current_dir(project.at("src"))
        .output();
    assert_eq!(inside.unwrap().stdout, b"src/main.rs\n");
    assert!(project.at(".cardex/cardex.db").exists());
    assert_eq!(
        fs::read_to_string(project.at(".cardex/.gitignore")).unwrap(),
        "*\n"
    );
    // -C takes the directory itself.
    assert_eq!(
        project.query(&["-C", "web", "-t", "typescript"]),
        ["app.ts"]
    );
    let shown = project
        .command(&["show", "main.rs"])
        .current_dir(project.at("src"))
        .output();
    assert!(shown.unwrap().stdout.starts_with(b"src/main.rs"));
    let absolute = project.at("src/main.rs");
    assert!(
        project
            .ends(0, &["show", absolute.to_str().unwrap()])
            .starts_with("src/main.rs")
    );
}

#[cfg(unix)]
#[test]
fn data_is_for_its_owner_only_and_never_follows_a_link() {
    use std::os::unix::fs::PermissionsExt;
    let project = Project::new();
    project.ends(0, &["index"]);
    let mode = |path: &str| fs::metadata(project.at(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(".cardex"), mode(".cardex/cardex.db")), (0o700, 0o600));
    fs::remove_dir_all(project.at(".cardex")).unwrap();
    std::os::unix::fs::symlink(project.home.path(), project.at(".cardex")).unwrap();
    project.ends(2, &["index"]);
    assert_eq!(fs::read_dir(project.home.path()).unwrap().count(), 0);
}

#[test]
fn a_projects_file_cannot_place_its_database_elsewhere() {
    let project = Project::new();
    let outside = project.home.path().join("x.db");
    project.write(
        "cardex.toml",
        &format!("[database]\nurl = \"{}\"\n", outside.display()),
    );
    project.ends(2, &["query"]);
    assert!(!outside.exists());
    fs::remove_file(project.at("cardex.toml")).unwrap();
    let url = outside.to_str().unwrap();
    project.ends(0, &["--db", url, "query"]);
    assert!(outside.exists());
}

#[test]
fn layers_lie_over_each_other() {
    let project = Project::new();
    let user = project.home.path().join(".config/cardex/config.toml");
    fs::create_dir_all(user.parent().unwrap()).unwrap();
    fs::write(
        &user,
        "[index]\nthreads = 3\n[database]\nmax_connections = 2\n",
    )
    .unwrap();
    project.write(
        "cardex.toml",
        "[index]\nthreads = 5\nexclude = [\"web/\"]\n",
    );
    let shown = project.ends(0, &["config", "show", "--origin"]);
    for part in [
        "threads = 5",
        "cardex.toml:2",
        "max_connections = 2",
        "config.toml:4",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let over = project
        .command(&["config", "show"])
        .env("CARDEX_INDEX__THREADS", "7")
        .output();
    assert!(
        String::from_utf8(over.unwrap().stdout)
            .unwrap()
            .contains("threads = 7")
    );
    assert!(project.query(&["-p", "^web/"]).is_empty());
    fs::remove_file(project.at("cardex.toml")).unwrap();
    assert_eq!(project.query(&["-p", "^web/"]), ["web/app.ts"]);
}

#[test]
fn an_imported_database_keeps_what_no_file_stands_for() {
    let project = Project::new();
    let mut child = project
        .command(&["--db", "other.db", "db", "import", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for n in 0..1200 {
        writeln!(
            stdin,
            "{{\"path\":\"f{n}.py\",\"functions\":[{{\"name\":\"f\"}}]}}"
        )
        .unwrap();
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert_eq!(
        project.ends(0, &["--db", "other.db", "query", "--count", "-f", "f"]),
        "1200\n"
    );
    assert_eq!(
        project.ends(0, &["--db", "other.db", "query", "--count"]),
        "1200\n"
    );
    project.ends(0, &["--db", "other.db", "db", "check"]);
}

#[test]
fn two_at_once_do_not_disturb_each_other() {
    let project = Project::new();
    for n in 0..400 {
        project.write(&format!("many/file{n}.py"), "def many(): pass\n");
    }
    let both = [0, 1].map(|_| {
        project
            .command(&["query", "-f", "many"])
            .stdout(Stdio::piped())
            .spawn()
    });
    for child in both {
        let output = child.unwrap().wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(output.stdout.split(|byte| *byte == b'\n').count(), 401);
    }
    project.ends(0, &["db", "check"]);
}

#[test]
fn an_export_reads_back_as_it_was() {
    let project = Project::new();
    project.ends(0, &["index"]);
    let first = project.ends(0, &["db", "export"]);
    project.write("all.jsonl", &first);
    project.ends(0, &["--db", "copy.db", "db", "import", "all.jsonl"]);
    assert_eq!(
        project.ends(0, &["--db", "copy.db", "db", "export", "-"]),
        first
    );
}

#[test]
fn paths_end_with_nul_when_asked() {
    let project = Project::new();
    assert_eq!(
        project.ends(0, &["query", "-0", "-t", "python"]),
        "src/lexer.py\0src/parser.py\0"
    );
}

#[test]
fn whoever_stops_reading_ends_the_command_quietly() {
    let project = Project::new();
    for n in 0..5000 {
        project.write(&format!("many/file{n}.txt"), "x\n");
    }
    project.ends(0, &["-q", "index"]);
    for args in [
        &["query"][..],
        &["query", "--format", "jsonl"],
        &["db", "export"],
    ] {
        let mut child = project
            .command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        drop(stdout);
        let mut told = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut told)
            .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}");
        assert_eq!(told, "", "{args:?}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_index_is_consistent_and_goes_on() {
    let project = Project::new();
    let body: String = (0..200)
        .map(|n| format!("def f{n}(a, b):\n    return a + b\n\n"))
        .collect();
    for n in 0..3000 {
        project.write(&format!("many/file{n}.py"), &body);
    }
    let child = project
        .command(&["index"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // The tree's file is written when the signals are being listened to and the work begins.
    while !project.at(".cardex/cardex.db.tree.json").exists() {
        std::thread::yield_now();
    }
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{told}");
    assert!(told.contains("the next run goes on from there"), "{told}");
    project.ends(0, &["db", "check"]);
    project.ends(0, &["-q", "index"]);
    assert_eq!(project.query(&["-f", "f199"]).len(), 3000);
    project.ends(0, &["db", "check"]);
}

#[test]
fn change_capture_that_was_cut_is_found_and_mended() {
    let project = Project::new();
    project.ends(0, &["index"]);
    let database = rusqlite::Connection::open(project.at(".cardex/cardex.db")).unwrap();
    let trigger: String = database
        .query_row(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger' LIMIT 1",
            [],
            |r| r.get(0),
        )
        .unwrap();
    database
        .execute_batch(&format!("DROP TRIGGER {trigger}"))
        .unwrap();
    drop(database);
    let found = project.ends(1, &["db", "check"]);
    assert!(found.contains(&trigger), "{found}");
    project.ends(0, &["db", "check", "--repair"]);
    project.ends(0, &["query", "--count"]);
}

#[test]
fn a_row_that_cannot_be_read_is_named_and_hides_no_other() {
    let project = Project::new();
    project.write("all.jsonl", "{\"path\":\"a.py\"}\n{\"path\":\"b.py\"}\n");
    project.ends(0, &["--db", "x.db", "db", "import", "all.jsonl"]);
    let database = rusqlite::Connection::open(project.at("x.db")).unwrap();
    database
        .execute(
            "UPDATE documents SET design_principles = '{' WHERE path = 'a.py'",
            [],
        )
        .unwrap();
    let output = project.run(&["--db", "x.db", "query", "--format", "table"]);
    let (table, told) = (output.stdout, String::from_utf8(output.stderr).unwrap());
    assert!(
        String::from_utf8(table).unwrap().contains("b.py") && told.contains("a.py"),
        "{told}"
    );
    project.ends(1, &["--db", "x.db", "db", "check"]);
    assert!(
        project
            .ends(2, &["--db", "x.db", "db", "export"])
            .contains("b.py")
    );
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let project = Project::new();
    project.write("notes.db", "these are my notes");
    let output = project.run(&["--db", "notes.db", "index"]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.starts_with("error[database-corrupt]"), "{told}");
    assert_eq!(
        fs::read_to_string(project.at("notes.db")).unwrap(),
        "these are my notes"
    );
}

#[test]
fn names_of_files_do_not_steer_a_terminal() {
    let project = Project::new();
    project.write("evil\u{1b}[2J.py", "x = 1\n");
    let table = project.ends(0, &["query", "--format", "table"]);
    assert!(
        !table.contains('\u{1b}') && table.contains("evil\\u{1b}[2J.py"),
        "{table}"
    );
    // A program gets the name as it is.
    assert!(project.ends(0, &["query"]).contains("evil\u{1b}[2J.py"));
}

#[test]
fn colours_follow_the_flag_and_no_color() {
    let project = Project::new();
    let coloured = project.ends(0, &["query", "--format", "table", "--color", "always"]);
    assert!(coloured.contains('\u{1b}'));
    let plain = project.ends(0, &["query", "--format", "table"]);
    assert!(!plain.contains('\u{1b}'));
}

#[test]
fn every_shell_gets_completions() {
    let project = Project::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(
            project.ends(0, &["completions", shell]).contains("cardex"),
            "{shell}"
        );
    }
}
