//! `cardex doctor`: each thing that can be wrong with a set-up is named with its cure, and a sound
//! set-up is said to be sound.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// A tree with one file.
struct Tree {
    root: tempfile::TempDir,
    home: tempfile::TempDir,
}

impl Tree {
    fn new() -> Self {
        let tree = Tree {
            root: tempfile::tempdir().unwrap(),
            home: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(tree.at(".git")).unwrap();
        fs::write(tree.at("a.rs"), "fn a() {}\n").unwrap();
        tree
    }

    fn indexed() -> Self {
        let tree = Tree::new();
        assert_eq!(tree.run(&["index", "-q"]).0, 0);
        tree
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn run(&self, args: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_cardex"))
            .args(args)
            .current_dir(self.root.path())
            .env_clear()
            .env("HOME", self.home.path())
            // Whatever else runs on this machine is not what is tested.
            .env("CARDEX_COORDINATOR__PRESSURE_THRESHOLD", "0.99")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap(), text)
    }

    /// What the doctor says: its exit code, and each check that is not healthy, with its codes.
    #[track_caller]
    fn ailments(&self) -> (i32, Vec<String>) {
        let (code, report) = self.run(&["doctor", "--format", "json"]);
        let report: Value = serde_json::from_str(&report).unwrap();
        let told = report["checks"].as_array().unwrap().iter();
        let ailments = told
            .filter(|check| check["state"] != "healthy")
            .map(|check| {
                let (name, state) = (
                    check["name"].as_str().unwrap(),
                    check["state"].as_str().unwrap(),
                );
                let reasons = check["reasons"].as_array().unwrap();
                let codes: Vec<&str> = reasons
                    .iter()
                    .map(|why| why["code"].as_str().unwrap())
                    .collect();
                format!("{name} {state} {}", codes.join(" "))
            });
        (code, ailments.collect())
    }
}

#[track_caller]
fn assert_ails(tree: &Tree, ailments: &[&str]) {
    let wanted: Vec<String> = ailments.iter().map(|text| (*text).to_owned()).collect();
    assert_eq!(tree.ailments(), (i32::from(!ailments.is_empty()), wanted));
}

#[test]
fn a_sound_set_up_has_no_ailments() {
    let tree = Tree::indexed();
    assert_ails(&tree, &[]);
    let (code, text) = tree.run(&["doctor"]);
    assert_eq!(code, 0);
    assert!(
        text.lines().all(|line| line.contains("  healthy  ")),
        "{text}"
    );
    assert!(text.contains("1 file, read in "), "{text}");
}

#[test]
fn before_the_first_index_the_database_is_unknown_and_is_not_made() {
    let tree = Tree::new();
    assert_ails(
        &tree,
        &["directory unknown not-found", "database unknown not-found"],
    );
    assert!(!tree.at(".cardex").exists());
}

#[test]
fn a_configuration_that_is_wrong_is_an_ailment_and_no_failure_of_the_doctor() {
    let tree = Tree::indexed();
    fs::write(tree.at("cardex.toml"), "[memory_cache]\nmax_itms = 1\n").unwrap();
    assert_ails(&tree, &["configuration unhealthy invalid-config"]);
    let (_, text) = tree.run(&["doctor"]);
    assert!(
        text.contains("help: did you mean `memory_cache.max_items`?"),
        "{text}"
    );
}

#[test]
fn a_database_that_others_may_read_is_an_ailment() {
    let tree = Tree::indexed();
    let file = tree.at(".cardex/cardex.db");
    fs::set_permissions(file, fs::Permissions::from_mode(0o640)).unwrap();
    assert_ails(&tree, &["directory degraded open-to-others"]);
}

#[test]
fn a_database_that_leads_elsewhere_is_an_ailment() {
    let tree = Tree::indexed();
    fs::rename(tree.at(".cardex/cardex.db"), tree.at("elsewhere.db")).unwrap();
    symlink(tree.at("elsewhere.db"), tree.at(".cardex/cardex.db")).unwrap();
    let (code, ailments) = tree.ailments();
    assert_eq!(code, 1);
    assert!(
        ailments.contains(&"directory unhealthy invalid-input".to_owned()),
        "{ailments:?}"
    );
}

#[test]
fn a_log_that_is_not_written_any_more_is_an_ailment_and_repair_cures_it() {
    let tree = Tree::indexed();
    let conn = rusqlite::Connection::open(tree.at(".cardex/cardex.db")).unwrap();
    conn.execute_batch("DROP TRIGGER documents_after_update")
        .unwrap();
    drop(conn);
    assert_ails(&tree, &["database unhealthy triggers"]);
    assert_eq!(tree.run(&["db", "check", "--repair", "-q"]).0, 0);
    assert_ails(&tree, &[]);
}

#[test]
fn rows_that_cannot_be_read_are_an_ailment_of_the_index() {
    let tree = Tree::indexed();
    let conn = rusqlite::Connection::open(tree.at(".cardex/cardex.db")).unwrap();
    conn.execute_batch("UPDATE documents SET language = CAST(x'ff' AS TEXT)")
        .unwrap();
    drop(conn);
    assert_ails(&tree, &["index degraded unreadable-rows"]);
}

#[test]
fn what_is_no_database_is_an_ailment() {
    let tree = Tree::indexed();
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(tree.at(&format!(".cardex/cardex.db{suffix}")));
    }
    fs::write(
        tree.at(".cardex/cardex.db"),
        "no database, however long it may be",
    )
    .unwrap();
    assert_ails(&tree, &["database unhealthy database-corrupt"]);
}

#[test]
fn a_token_that_others_may_read_is_an_ailment_of_the_server() {
    let tree = Tree::indexed();
    let token = tree.home.path().join("token");
    fs::write(&token, "0123456789abcdef\n").unwrap();
    let config = tree.home.path().join(".config/cardex");
    fs::create_dir_all(&config).unwrap();
    let said = format!("[server]\ntoken_file = \"{}\"\n", token.display());
    fs::write(config.join("config.toml"), said).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    assert_ails(&tree, &[]);
    fs::set_permissions(&token, fs::Permissions::from_mode(0o604)).unwrap();
    assert_ails(&tree, &["server unhealthy invalid-config"]);
}
