//! What the command says of a tree that it cannot know whole, and what of its own it leaves out.

#![cfg(feature = "cli")]
#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

/// Writes a file that was last changed long enough ago to be trusted.
fn write(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
    fs::write(&path, bytes).unwrap();
    let file = fs::File::options().append(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(60))
        .unwrap();
}

fn run(root: &Path, args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_cardex"))
        .args(args)
        .current_dir(root)
        .env_clear()
        .env("HOME", root.join("no-home"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    output
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_database_inside_the_tree_does_not_index_itself() {
    let tree = tempfile::tempdir().unwrap();
    write(tree.path().join("a.py"), "def f(): pass\n");
    fs::create_dir(tree.path().join("data")).unwrap();
    let ask = || {
        let args = ["--db", "data/x.db", "query", "--format", "json"];
        json(&run(tree.path(), &args))
    };
    let first = ask();
    assert_eq!(first["total"], 1, "{first}");
    assert_eq!(first["files"][0]["path"], "a.py");
    assert_eq!(ask(), first, "asOf too: nothing changes");
}

#[test]
fn an_answer_is_incomplete_as_long_as_something_cannot_be_read() {
    let tree = tempfile::tempdir().unwrap();
    write(tree.path().join("a.py"), "def f(): pass\n");
    // Whoever runs this may read everything, but not rules without end.
    let rules = tree.path().join(".gitignore");
    write(&rules, "# nothing\n".repeat(1 << 20));
    for _ in 0..2 {
        let output = run(tree.path(), &["query", "--format", "json"]);
        assert_eq!(json(&output)["complete"], false);
        let said = stderr(&output);
        assert!(
            said.contains("1 file could not be read this time"),
            "{said}"
        );
    }
    write(&rules, "# nothing\n");
    let output = run(tree.path(), &["query", "--format", "json"]);
    assert_eq!(json(&output)["complete"], true);
    assert_eq!(stderr(&output), "");
}

#[test]
fn text_that_is_not_understood_is_found_and_said_to_be_without_contents() {
    let tree = tempfile::tempdir().unwrap();
    write(tree.path().join("latin1.py"), b"# caf\xe9\ndef f(): pass\n");
    let said = stderr(&run(tree.path(), &["index", "-v"]));
    assert!(
        said.contains("1 file without contents: 1 not-utf8"),
        "{said}"
    );
    assert!(said.contains("latin1.py: it is not valid UTF-8"), "{said}");
    let found = run(tree.path(), &["query", "--language", "python"]);
    assert_eq!(String::from_utf8_lossy(&found.stdout).trim(), "latin1.py");
    let again = json(&run(tree.path(), &["index", "--format", "json"]));
    assert_eq!(
        (&again["unchanged"], &again["bytesRead"]),
        (&1.into(), &0.into())
    );
}
