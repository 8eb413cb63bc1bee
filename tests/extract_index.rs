//! From a tree into a store and back: what a run repairs, what it says it could not know, and
//! what it leaves out.

#![cfg(all(feature = "extract", feature = "sqlite"))]
#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use cardex::extract::{ScanOptions, Scanner};
use cardex::store::{MetadataStore, SqliteOptions, SqliteStore};
use cardex::{FilePath, IndexReport};

struct Project {
    tree: tempfile::TempDir,
    place: tempfile::TempDir,
    store: SqliteStore,
}

impl Project {
    fn new(files: &[(&str, &str)]) -> Self {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("x.db");
        let project = Project {
            tree: tempfile::tempdir().unwrap(),
            store: SqliteStore::open(&file, "default", SqliteOptions::default()).unwrap(),
            place,
        };
        for (path, text) in files {
            project.write(path, text, 3600);
        }
        project
    }

    fn at(&self, path: &str) -> PathBuf {
        self.tree.path().join(path)
    }

    fn write(&self, path: &str, bytes: impl AsRef<[u8]>, seconds_ago: u64) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds_ago))
            .unwrap();
    }

    fn index(&self) -> IndexReport {
        let scanner = Scanner::open(self.tree.path(), ScanOptions::default()).unwrap();
        cardex::index_tree(&self.store, &scanner, &AtomicBool::new(false), |_| {}).unwrap()
    }

    fn sql(&self, statement: &str) {
        let connection = rusqlite::Connection::open(self.place.path().join("x.db")).unwrap();
        assert!(connection.execute(statement, []).unwrap() > 0);
    }

    fn functions(&self, path: &str) -> Vec<String> {
        let path = FilePath::new(path).unwrap();
        let record = self.store.get(&path).unwrap().unwrap().record;
        let names = record.functions.iter();
        names
            .filter_map(|f| Some(f.name.as_deref()?.to_owned()))
            .collect()
    }
}

#[test]
fn an_unreadable_record_of_a_touched_file_is_made_anew_and_blocks_nothing() {
    let files = [
        ("a.py", "def f(x): pass\n"),
        ("b.py", "def g(y): pass\n"),
        ("c.py", "def h(z): pass\n"),
    ];
    let project = Project::new(&files);
    assert_eq!(project.index().added, 3);
    project.sql("update functions set parameters = '{bad' where name = 'g'");
    for (path, text) in files {
        project.write(path, text, 60);
    }
    let report = project.index();
    assert_eq!((report.changed, report.progress.touched), (1, 3));
    assert_eq!(project.functions("b.py"), ["g"]);
    assert_eq!(project.index().changed, 0);
}

#[test]
fn text_without_understood_contents_is_found_by_path_and_told_by_name() {
    let project = Project::new(&[("a.py", "def f(): pass\n")]);
    project.write("latin1.py", b"# caf\xe9\n", 3600);
    let report = project.index();
    assert_eq!(report.added, 2);
    assert_eq!(report.bare.get("not-utf8"), Some(&1));
    assert_eq!(report.bare_files[0].path.to_str(), Some("latin1.py"));
    assert_eq!(report.unconfirmed, 0);
    assert!(project.functions("latin1.py").is_empty());
    project.write("latin1.py", "def understood(): pass\n", 60);
    assert_eq!(project.index().changed, 1);
    assert_eq!(project.functions("latin1.py"), ["understood"]);
}

#[test]
fn what_could_not_be_read_is_counted_in_every_run() {
    let project = Project::new(&[("a.py", "def f(): pass\n")]);
    // Whoever runs this may read everything, but not rules without end.
    project.write(".gitignore", "# nothing\n".repeat(1 << 20), 3600);
    for _ in 0..2 {
        let report = project.index();
        assert_eq!(report.unconfirmed, 1);
        assert_eq!(report.skipped.get("rules-unread"), Some(&1));
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_never_could_be_read_is_unconfirmed_in_every_run() {
    use std::os::unix::fs::PermissionsExt;
    let project = Project::new(&[("a.py", "def f(): pass\n"), ("b.py", "def g(): pass\n")]);
    fs::set_permissions(project.at("b.py"), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(project.at("b.py")).is_ok() {
        return; // The superuser reads everything.
    }
    for _ in 0..2 {
        let report = project.index();
        assert_eq!(report.unconfirmed, 1);
        assert_eq!(report.skipped.get("unreadable"), Some(&1));
    }
}
