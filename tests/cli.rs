//! The command, as a person and a program meet it: every console block of `tests/cmd` and of the
//! README is run in a copy of a small tree, and the rest is asked of the binary here.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that cannot do its work has failed its test"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
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
        (r"(?m)^(loaded  +full, in ).*$", "$1[..]"),
        (r"(?m)^(duration  +)\d.*$", "$1[..]"),
        (r"(?m)^(position  +).*$", "$1[..]"),
        (r"(?m)^(to  +).*(:\d+)$", "$1[..]$2"),
        (r#"("(?:position|to)": ?)"[^":]*(:\d+")"#, r#"$1"[..]$2"#),
        (
            r#"("(?:ageMs|durationMs|indexBytes|databaseBytes)": )\d+"#,
            "$1[..]",
        ),
        (r"(?m)^(database  +\S+, ).*$", "$1[..]"),
        (
            r#"("(?:asOf|lastModified|extractionTimestamp|indexedAt|at)": )"[^"]*""#,
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
fn the_index_is_made_and_what_changed_is_told() {
    run_command_document("sync.md", &[]);
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
fn caches_of_derived_results() {
    run_command_document("cache.md", &[]);
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
    let project = Project::new();
    project.ends(0, &["index"]);
    let mode = |path: &str| fs::metadata(project.at(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(".cardex"), mode(".cardex/cardex.db")), (0o700, 0o600));
    fs::remove_dir_all(project.at(".cardex")).unwrap();
    symlink(project.home.path(), project.at(".cardex")).unwrap();
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

/// What stands on the terminal decides by itself is asked of the function that decides.
#[test]
fn colours_follow_the_flag_whatever_no_color_says() {
    let project = Project::new();
    for (when, coloured) in [("always", true), ("auto", false), ("never", false)] {
        let output = project
            .command(&["query", "--format", "table", "--color", when])
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        assert_eq!(output.stdout.contains(&0x1b), coloured, "{when}");
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Waits for a child that must not wait for anybody.
fn ends_soon(mut child: Child) -> Output {
    for _ in 0..2000 {
        if child.try_wait().unwrap().is_some() {
            return child.wait_with_output().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    panic!("it hangs: {:?}", child.wait_with_output());
}

fn interrupt(child: &Child) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn an_export_keeps_links_and_modes() {
    let project = Project::new();
    project.ends(0, &["index"]);
    let out = project.home.path();
    let at = |name: &str| out.join(name);
    let export = |name: &str| {
        let path = at(name);
        project.ends(0, &["-q", "db", "export", path.to_str().unwrap()]);
    };
    fs::write(at("private.jsonl"), "old").unwrap();
    fs::set_permissions(at("private.jsonl"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("private.jsonl", at("link.jsonl")).unwrap();
    symlink("not-yet.jsonl", at("dangling.jsonl")).unwrap();
    export("link.jsonl");
    export("dangling.jsonl");
    fs::write(at("usual"), "").unwrap();
    let expected = fs::read(at("private.jsonl")).unwrap();
    assert!(expected.starts_with(b"{"));
    assert_eq!(mode(&at("private.jsonl")), 0o600);
    assert_eq!(
        fs::read_link(at("link.jsonl")).unwrap(),
        Path::new("private.jsonl")
    );
    assert_eq!(fs::read(at("not-yet.jsonl")).unwrap(), expected);
    assert_eq!(mode(&at("not-yet.jsonl")), mode(&at("usual")));
    assert_eq!(
        names(out),
        [
            "dangling.jsonl",
            "link.jsonl",
            "not-yet.jsonl",
            "private.jsonl",
            "usual"
        ]
    );
    let told = project.ends(2, &["db", "export", ".cardex/cardex.db"]);
    assert_eq!(told, "");
    project.ends(0, &["db", "check"]);
}

#[test]
fn an_export_into_a_pipe_leaves_the_pipe_a_pipe() {
    let project = Project::new();
    project.ends(0, &["index"]);
    let expected = project.ends(0, &["db", "export"]);
    let fifo = project.home.path().join("pipe");
    make_fifo(&fifo);
    let writer = project
        .command(&["-q", "db", "export", fifo.to_str().unwrap()])
        .spawn()
        .unwrap();
    assert_eq!(fs::read_to_string(&fifo).unwrap(), expected);
    assert!(ends_soon(writer).status.success());
    assert!(fs::metadata(&fifo).unwrap().file_type().is_fifo());
    assert_eq!(names(project.home.path()), ["pipe"]);
}

#[test]
fn a_pipe_in_place_of_our_files_does_not_hold_the_command_up() {
    let project = Project::new();
    project.ends(0, &["index"]);
    for name in ["cardex.toml", ".cardex/cardex.db.tree.json"] {
        let _ = fs::remove_file(project.at(name));
        make_fifo(&project.at(name));
        let child = project.command(&["query"]).stderr(Stdio::piped()).spawn();
        let output = ends_soon(child.unwrap());
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(
            told.contains(name) && told.contains("no regular file"),
            "{told}"
        );
        fs::remove_file(project.at(name)).unwrap();
    }
}

#[test]
fn no_database_of_the_tree_is_opened_or_written_through_a_link() {
    for name in [
        "cardex.db",
        "cardex.db-wal",
        "cardex.db-shm",
        "cardex.db-journal",
    ] {
        let project = Project::new();
        let mine = project.home.path().join("mine");
        fs::write(&mine, "").unwrap();
        if name != "cardex.db" {
            project.ends(0, &["index"]);
        }
        fs::create_dir_all(project.at(".cardex")).unwrap();
        let _ = fs::remove_file(project.at(".cardex").join(name));
        symlink(&mine, project.at(".cardex").join(name)).unwrap();
        for args in [&["index"][..], &["query"], &["stats"], &["db", "check"]] {
            let output = project.run(args);
            let told = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{name} {args:?}: {told}");
            assert!(told.contains("is a symbolic link in the tree"), "{told}");
        }
        assert_eq!(fs::read(&mine).unwrap(), b"");
    }
}

#[test]
fn a_fresh_database_can_be_opened_by_many_processes_at_once() {
    let project = Project::new();
    for round in 0..20 {
        let database = format!("fresh{round}.db");
        let children: Vec<Child> = (0..8)
            .map(|_| {
                let args = ["--db", &database, "db", "import", "-"];
                let mut command = project.command(&args);
                command.stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "round {round}: {output:?}");
        }
    }
}

/// Only somebody else than root can be refused: as root, the test takes the place of `nobody`.
#[test]
fn a_database_that_cannot_be_written_to_says_so() {
    const NOBODY: u32 = 65_534;
    let project = Project::new();
    project.ends(0, &["index"]);
    let as_root = fs::metadata(project.root.path()).unwrap().uid() == 0;
    let set = |path: &str, mode| {
        if as_root {
            std::os::unix::fs::chown(project.at(path), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        fs::set_permissions(project.at(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    set(".cardex/cardex.db", 0o400);
    set(".cardex/cardex.db.tree.json", 0o400);
    set(".cardex", 0o500);
    set("", 0o700);
    // The program itself may stand where nobody can reach it.
    let program = project.at("program");
    fs::copy(env!("CARGO_BIN_EXE_cardex"), &program).unwrap();
    set("program", 0o500);
    for args in [
        &["query", "--cached"][..],
        &["stats"],
        &["db", "export"],
        &["index"],
    ] {
        let mut command = Command::new(&program);
        command
            .args(args)
            .current_dir(project.root.path())
            .env_clear();
        if as_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = command.output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {told}");
        assert!(
            told.contains("cannot be written to, and SQLite keeps"),
            "{args:?}: {told}"
        );
    }
    set(".cardex", 0o700);
}

#[test]
fn an_argument_that_would_swallow_the_next_one_is_refused() {
    let project = Project::new();
    let output = project.run(&["query", r"path:src/lexer\", "lang:rust"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let told = String::from_utf8(output.stderr).unwrap();
    let place = "  | path:src/lexer\\ lang:rust\n  |               ^\n";
    assert!(told.contains(place), "{told}");
    assert!(told.contains("`\\\\` for a backslash"), "{told}");
}

#[test]
fn a_language_that_no_file_has_is_doubted() {
    let project = Project::new();
    project.ends(0, &["index"]);
    let told = |args: &[&str]| {
        let output = project.run(&[&["query"], args].concat());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let note = told(&["-t", "pyton"]);
    assert!(
        note.starts_with("note: no file is in the language `pyton`; there are ")
            && note.contains("python, rust"),
        "{note}"
    );
    assert_eq!(told(&["-t", "Python", "-f", "nobody"]), "");
    assert_eq!(told(&["-q", "-t", "pyton"]), "");
}

#[test]
fn an_interrupted_export_leaves_nothing_behind() {
    let project = Project::new();
    let intent = "x".repeat(4000);
    let lines = (0..10_000).map(|n| {
        format!("{{\"path\":\"f{n}.py\",\"headerSections\":{{\"intent\":\"{intent}\"}}}}\n")
    });
    project.write("all.jsonl", &lines.collect::<String>());
    project.ends(0, &["--db", "x.db", "db", "import", "all.jsonl"]);
    let out = project.home.path();
    let file = out.join("out.jsonl");
    let child = project
        .command(&["--db", "x.db", "db", "export", file.to_str().unwrap()])
        .spawn()
        .unwrap();
    // Signals are listened to before the first bytes are written.
    while !fs::read_dir(out)
        .unwrap()
        .any(|entry| entry.unwrap().metadata().is_ok_and(|found| found.len() > 0))
    {
        std::thread::yield_now();
    }
    interrupt(&child);
    assert_eq!(ends_soon(child).status.code(), Some(130));
    assert_eq!(names(out), [""; 0]);
}

#[test]
fn who_cannot_be_told_still_gets_the_answer() {
    let project = Project::new();
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    for (args, code) in [
        (&["query", "-f", "parse", "-t", "rust"][..], 0),
        (&["-v", "index"], 0),
        (&["query", "-p", "("], 2),
        (&["show", "nothing.rs"], 1),
        (&["-vv", "query", "-f", "parse", "-t", "rust"], 0),
    ] {
        let output = project.command(args).stderr(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        if code == 0 && args.contains(&"query") {
            assert_eq!(output.stdout, b"src/main.rs\n", "{args:?}");
        }
    }
}

#[test]
fn a_format_that_has_no_meaning_is_refused() {
    let project = Project::new();
    project.ends(0, &["index"]);
    for args in [
        &["--format", "csv", "db", "export"][..],
        &["--format", "json", "completions", "bash"],
        &["--format", "json", "db", "import", "-"],
    ] {
        assert_eq!(project.ends(2, args), "", "{args:?}");
    }
    project.ends(0, &["--format", "jsonl", "db", "export"]);
}

#[test]
fn an_import_takes_the_mark_of_utf_8_and_refuses_lists() {
    let project = Project::new();
    project.write(
        "a.jsonl",
        "\u{feff}{\"path\":\"a.py\"}\n{\"path\":\"b.py\"}\n",
    );
    project.ends(0, &["--db", "x.db", "db", "import", "a.jsonl"]);
    assert_eq!(project.query(&["--db", "x.db"]), ["a.py", "b.py"]);
    project.write("list.json", "[{\"path\":\"c.py\"}]\n");
    let output = project.run(&["--db", "x.db", "db", "import", "list.json"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        told.starts_with("line 1: it is a list; each line is one record"),
        "{told}"
    );
}

#[test]
fn an_import_that_waits_for_input_ends_on_the_first_signal_and_keeps_what_it_read() {
    let project = Project::new();
    let mut child = project
        .command(&["--db", "x.db", "db", "import", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"{\"path\":\"a.py\"}\n").unwrap();
    // Signals are listened to before the database is made.
    while !project.at("x.db").exists() {
        std::thread::yield_now();
    }
    interrupt(&child);
    assert_eq!(ends_soon(child).status.code(), Some(130));
    drop(stdin);
    assert_eq!(project.query(&["--db", "x.db"]), ["a.py"]);
}

/// What the log says after a position, and where to go on from.
fn changes(project: &Project, since: &str) -> (Vec<(String, String)>, String) {
    let output = project.run(&["changes", "--since", since, "--format", "json"]);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    let listing: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let files = listing["changes"].as_array().unwrap().iter();
    let files = files.map(|file| (text(&file["change"]), text(&file["path"])));
    (files.collect(), text(&listing["position"]))
}

#[test]
fn changes_are_told_from_where_the_last_answer_ended() {
    let project = Project::new();
    project.ends(0, &["-q", "index"]);
    let (all, position) = changes(&project, "start");
    assert_eq!(all.len(), 5);
    let stats = project.ends(0, &["stats", "--format", "json"]);
    let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
    assert_eq!(stats["asOf"], position.as_str());
    assert_eq!(stats["lastSync"]["mode"], "full");
    project.ends(1, &["changes", "--since", &position]);
    fs::remove_file(project.at("src/parser.py")).unwrap();
    project.write("src/new.py", "def fresh():\n    pass\n");
    project.ends(0, &["-q", "index"]);
    let (mut files, next) = changes(&project, &position);
    files.sort();
    let pair = |what: &str, path: &str| (what.to_owned(), path.to_owned());
    let expected = [
        pair("changed", "src/new.py"),
        pair("deleted", "src/parser.py"),
    ];
    assert_eq!(files, expected);
    assert_eq!(changes(&project, &next).0, []);
}

#[test]
fn changes_are_followed_until_a_signal_or_a_closed_pipe() {
    let project = Project::new();
    project.ends(0, &["-q", "index"]);
    let (_, position) = changes(&project, "start");
    let arguments = [
        "changes", "--since", &position, "--follow", "--format", "jsonl",
    ];
    for is_signalled in [true, false] {
        let mut child = project
            .command(&arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        if is_signalled {
            project.write("src/new.py", "def fresh():\n    pass\n");
            project.ends(0, &["-q", "index"]);
        }
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert!(
            line.contains(r#""path":"src/new.py","change":"changed""#),
            "{line}"
        );
        if is_signalled {
            interrupt(&child);
            let output = ends_soon(child);
            assert_eq!(output.status.code(), Some(130), "{output:?}");
            let told = String::from_utf8(output.stderr).unwrap();
            assert!(told.starts_with("position  "), "{told}");
        } else {
            // Nothing is written any more: that nobody reads is noticed all the same.
            drop(stdout);
            let output = ends_soon(child);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            assert!(output.stderr.is_empty(), "{output:?}");
        }
    }
}

#[test]
fn a_sync_names_what_it_leaves_out() {
    let project = Project::new();
    project.ends(0, &["-q", "index"]);
    let conn = rusqlite::Connection::open(project.at(".cardex/cardex.db")).unwrap();
    conn.execute(
        "UPDATE documents SET language = CAST(x'ff' AS TEXT) WHERE path = 'src/main.rs'",
        [],
    )
    .unwrap();
    let output = project.run(&["sync", "--verify", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&summary["files"], &summary["skippedTotal"]),
        (&4.into(), &1.into())
    );
    assert_eq!(summary["skipped"][0]["path"], "src/main.rs");
    assert_eq!(summary["verified"]["equal"], false);
    let told = project.ends(1, &["sync"]);
    assert!(told.contains("4 read, 0 removed, 1 skipped"), "{told}");
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

// ---- serve

/// A server of the command, and the address that it printed.
fn serve(project: &Project, args: &[&str]) -> (Child, String) {
    let args: Vec<&str> = ["serve", "--listen", "127.0.0.1:0"]
        .iter()
        .chain(args)
        .copied()
        .collect();
    let mut command = project.command(&args);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    (child, line.trim_end().to_owned())
}

/// Ends it by a signal, and returns its exit code and what it said to people.
fn end(mut child: Child, signal: &str) -> (Option<i32>, String) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
    assert!(sent.success());
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    (child.wait().unwrap().code(), said)
}

#[test]
fn a_server_prints_its_address_serves_the_database_as_it_is_and_ends_in_order() {
    let project = Project::new();
    assert!(
        project
            .command(&["index"])
            .output()
            .unwrap()
            .status
            .success()
    );
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let (child, address) = serve(&project, &[]);
        let url = format!("http://{address}");
        wait_for(&format!("{url}/readyz"), "/status", &"ready".into());
        let asked = ureq::get(format!("{url}/v1/query?language=rust&freshness=latest")).call();
        let found: serde_json::Value = asked.unwrap().body_mut().read_json().unwrap();
        assert_eq!(found["hits"][0]["path"], "src/main.rs");
        let (ended, said) = end(child, signal);
        assert_eq!(ended, Some(code));
        assert_eq!(said, format!("Listening on {url}\n"));
    }
    let (child, _) = serve(&project, &["--quiet"]);
    assert_eq!(end(child, "-TERM"), (Some(143), String::new()));
}

#[test]
fn a_server_that_must_not_start_says_why() {
    let project = Project::new();
    let refused = |args: &[&str]| {
        let output = project.command(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused(&["serve"]).contains("there is no database"));
    assert!(
        project
            .command(&["index"])
            .output()
            .unwrap()
            .status
            .success()
    );
    let public = refused(&["serve", "--listen", "0.0.0.0:0"]);
    assert!(
        public.contains("error[invalid-config]: others can reach 0.0.0.0:0"),
        "{public}"
    );
    assert!(refused(&["serve", "--listen", "here"]).contains("command line --listen"));
    project.write("token", "0123456789abcdef\n");
    let open = refused(&["serve", "--listen", "127.0.0.1:0", "--token-file", "token"]);
    assert!(
        open.contains("others may use it") && open.contains("chmod 600"),
        "{open}"
    );
    assert!(refused(&["serve", "--format", "json"]).contains("`serve` cannot print as json"));
    project.write("cardex.toml", "[server]\nlisten = \"0.0.0.0:0\"\n");
    let own = refused(&["serve"]);
    assert!(
        own.contains("can be reached by others") && own.contains("cardex.toml:2)"),
        "{own}"
    );
}

/// Asks the server until it answers so.
#[track_caller]
fn wait_for(url: &str, pointer: &str, wanted: &serde_json::Value) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let answer = ureq::get(url).call();
        let told: Option<serde_json::Value> = answer
            .ok()
            .and_then(|mut answer| answer.body_mut().read_json().ok());
        if told.as_ref().and_then(|told| told.pointer(pointer)) == Some(wanted) {
            return;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "{url} does not say {wanted} at {pointer}: {told:?}"
        );
        std::thread::yield_now();
    }
}

#[test]
fn a_quiet_server_reads_its_configuration_again_at_once_and_says_nothing() {
    let project = Project::new();
    assert!(
        project
            .command(&["index"])
            .output()
            .unwrap()
            .status
            .success()
    );
    let (child, address) = serve(&project, &["--quiet"]);
    project.write("cardex.toml", "[memory_cache]\nmax_items = 300\n");
    // The address is told, so the signal ends nothing any more.
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-HUP", &pid])
            .status()
            .unwrap()
            .success()
    );
    let caches = format!("http://{address}/v1/caches");
    wait_for(&caches, "/caches/0/capacity", &300.into());
    let (_, said) = end(child, "-TERM");
    assert_eq!(said, "");
}

#[test]
fn a_server_reads_its_configuration_again_on_a_signal_and_when_it_is_asked() {
    let project = Project::new();
    let indexed = project.command(&["index"]).output().unwrap();
    assert!(indexed.status.success());
    let token = "0123456789abcdef";
    project.write("token", token);
    fs::set_permissions(project.at("token"), fs::Permissions::from_mode(0o600)).unwrap();
    let (child, address) = serve(&project, &["--token-file", "token"]);
    let caches = format!("http://{address}/v1/caches");
    let capacity = |items: u64| wait_for(&caches, "/caches/0/capacity", &items.into());
    capacity(10_000);
    project.write("cardex.toml", "[memory_cache]\nmax_items = 300\n");
    let pid = child.id().to_string();
    let hang_up = || Command::new("kill").args(["-HUP", &pid]).status().unwrap();
    assert!(hang_up().success());
    capacity(300);
    project.write(
        "cardex.toml",
        "[memory_cache]\nmax_items = 400\n[server]\nmax_requests = 7\nmax_page = 1\n",
    );
    let reload = || {
        let url = format!("http://{address}/v1/config/reload");
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let asked = agent
            .post(&url)
            .header("Authorization", format!("Bearer {token}"));
        let mut answer = asked.send_empty().unwrap();
        let told: serde_json::Value = answer.body_mut().read_json().unwrap();
        (answer.status().as_u16(), told)
    };
    let (status, told) = reload();
    assert_eq!(status, 200, "{told}");
    let keys = |list: &str| -> Vec<&str> {
        let list = told[list].as_array().unwrap().iter();
        list.map(|changed| changed["key"].as_str().unwrap())
            .collect()
    };
    assert_eq!(
        keys("changed"),
        ["memory_cache.max_items", "server.max_page"]
    );
    assert_eq!(keys("atRestart"), ["server.max_requests"]);
    capacity(400);
    let two = ureq::get(format!("http://{address}/v1/query?limit=2")).call();
    assert!(two.is_err(), "a page holds one file now");
    project.write("cardex.toml", "[memory_cache]\nmax_itms = 500\n");
    let (status, told) = reload();
    assert_eq!(
        (status, told["code"].as_str()),
        (400, Some("invalid-config")),
        "{told}"
    );
    capacity(400);
    let (_, said) = end(child, "-TERM");
    assert!(
        said.contains("memory_cache.max_items: 10000 becomes 300\n"),
        "{said}"
    );
}
