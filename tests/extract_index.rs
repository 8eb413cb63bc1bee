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
use cardex::store::{
    ChangeSet, Fetched, MetadataStore, Removal, RowSink, ScanReport, SqliteOptions, SqliteStore,
    Stored, Versioned, Write,
};
use cardex::{Error, ErrorKind, FileMetadata, FilePath, FileState, IndexReport, Position, Result};

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

#[test]
fn a_file_of_a_year_that_no_record_has_is_taken_without_its_time_and_stops_no_other() {
    let mut project = Project::new(&[]);
    // In memory, a file may have any time; elsewhere it has the last one that there is.
    if let Ok(tree) = tempfile::tempdir_in("/dev/shm") {
        project.tree = tree;
    }
    project.write("a.py", "def a(): pass\n", 3600);
    project.write("far.py", "def far(): pass\n", 3600);
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(300_000_000_000);
    let file = fs::File::options().append(true).open(project.at("far.py"));
    file.unwrap().set_modified(far).unwrap();
    let report = project.index();
    assert_eq!((report.added, report.skipped.len()), (2, 0));
    assert_eq!(project.functions("far.py"), ["far"]);
    // It is read again, and nothing is found to be new.
    let head = project.store.head().unwrap();
    assert_eq!(project.index().changed, 0);
    assert_eq!(project.store.head().unwrap(), head);
    project.write("a.py", "def b(): pass\n", 60);
    assert_eq!(project.index().changed, 1);
    assert_eq!(project.functions("a.py"), ["b"]);
}

/// A store that refuses the records of files that are called bad.
#[derive(Debug)]
struct Picky<'s>(&'s SqliteStore);

impl MetadataStore for Picky<'_> {
    fn head(&self) -> Result<Position> {
        self.0.head()
    }

    fn fetch(&self, paths: &[FilePath]) -> Result<Fetched> {
        self.0.fetch(paths)
    }

    fn newest(&self, limit: usize) -> Result<Vec<FilePath>> {
        self.0.newest(limit)
    }

    fn put(&self, record: &FileMetadata) -> Result<Stored> {
        self.0.put(record)
    }

    fn remove(&self, path: &FilePath) -> Result<Removal> {
        self.0.remove(path)
    }

    fn write(&self, batch: &[Write]) -> Result<Position> {
        let is_bad = |write: &Write| matches!(write, Write::Put(record) if record.path.as_str().starts_with("bad"));
        match batch.iter().any(is_bad) {
            true => Err(Error::new(ErrorKind::InvalidRecord, "the record is bad")),
            false => self.0.write(batch),
        }
    }

    fn for_each(&self, visit: &mut dyn FnMut(Versioned) -> Result<()>) -> Result<ScanReport> {
        self.0.for_each(visit)
    }

    fn file_states(&self) -> Result<Vec<FileState>> {
        self.0.file_states()
    }

    fn changes(&self, since: Position, limit: usize) -> Result<ChangeSet> {
        self.0.changes(since, limit)
    }

    fn scan(&self, sink: &mut dyn RowSink) -> Result<ScanReport> {
        self.0.scan(sink)
    }

    fn scan_changes(&self, since: Position, sink: &mut dyn RowSink) -> Result<ScanReport> {
        self.0.scan_changes(since, sink)
    }
}

#[test]
fn a_record_that_is_refused_is_skipped_and_stops_no_other() {
    let project = Project::new(&[("bad.py", "def old(): pass\n")]);
    assert_eq!(project.index().added, 1);
    for (path, text) in [
        ("a.py", "def a(): pass\n"),
        ("bad.py", "def bad(): pass\n"),
        ("bad_too.py", "def too(): pass\n"),
        ("c.py", "def c(): pass\n"),
    ] {
        project.write(path, text, 60);
    }
    let scanner = Scanner::open(project.tree.path(), ScanOptions::default()).unwrap();
    let never = AtomicBool::new(false);
    let report = cardex::index_tree(&Picky(&project.store), &scanner, &never, |_| {}).unwrap();
    assert_eq!((report.added, report.changed, report.removed), (2, 0, 1));
    assert_eq!(report.skipped.get("refused"), Some(&2));
    let told = report.skipped_files[0].to_string();
    assert!(
        told.contains("bad.py") && told.contains("the record is bad"),
        "{told}"
    );
    assert_eq!(report.position, project.store.head().unwrap());
    let paths = project.store.file_states().unwrap().into_iter();
    let mut paths: Vec<String> = paths.map(|state| state.path.as_str().to_owned()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["a.py", "c.py"]);
}
