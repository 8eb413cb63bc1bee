//! A tree, its records, and a watcher between them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cardex::FileMetadata;
use cardex::extract::{ScanOptions, Scanner};
use cardex::store::{MetadataStore, SqliteOptions, SqliteStore};
use cardex::watch::{WatchBatch, WatchCause, WatchOptions, Watcher};
use tempfile::TempDir;

/// Whatever is waited for has come by then.
pub(crate) const DEADLINE: Duration = Duration::from_secs(600);

/// A look every so often, where nobody rings.
const LOOK: Duration = Duration::from_millis(50);

/// How many files a burst has.
pub(crate) fn burst() -> usize {
    let files = std::env::var("CARDEX_TEST_WATCH_FILES").ok();
    files.map_or(20_000, |files| files.parse().unwrap())
}

/// A tree in a directory that holds it, and a database beside it.
pub(crate) struct Watched {
    pub(crate) place: TempDir,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) watcher: Watcher,
    told: Receiver<WatchBatch>,
    /// Every batch that was told of.
    batches: Mutex<Vec<WatchBatch>>,
}

/// A store in a file of this name.
pub(crate) fn store(place: &Path, name: &str) -> Arc<SqliteStore> {
    let options = SqliteOptions::default();
    Arc::new(SqliteStore::open(place.join(name), "default", options).unwrap())
}

impl Watched {
    /// An empty tree that is watched.
    pub(crate) fn new() -> Self {
        Watched::with(WatchOptions::default(), |_| {})
    }

    /// A tree, made by `make`, that is watched.
    pub(crate) fn with(options: WatchOptions, make: impl FnOnce(&Path)) -> Self {
        let watched = Watched::idle(options, make);
        watched.start();
        watched
    }

    /// The same, not started.
    pub(crate) fn idle(options: WatchOptions, make: impl FnOnce(&Path)) -> Self {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("tree");
        fs::create_dir(&root).unwrap();
        make(&root);
        let store = store(place.path(), "watched.db");
        let (tell, told) = channel();
        let scanner = Scanner::open(&root, ScanOptions::default()).unwrap();
        let watcher = Watcher::new(scanner, Arc::clone(&store) as _, options)
            .unwrap()
            .on_batch(move |batch| drop(tell.send(batch.clone())));
        Watched {
            place,
            store,
            watcher,
            told,
            batches: Mutex::default(),
        }
    }

    /// Starts, and waits until nothing is missed any more.
    pub(crate) fn start(&self) {
        self.watcher.start().unwrap();
        self.until("the first look", || {
            self.batches()
                .iter()
                .any(|batch| batch.cause == WatchCause::Start)
        });
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.place.path().join("tree")
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    /// Writes a file, and the directories above it.
    pub(crate) fn write(&self, path: &str, text: &str) {
        write(&self.root(), path, text);
    }

    pub(crate) fn batches(&self) -> Vec<WatchBatch> {
        let mut batches = self.batches.lock().unwrap();
        batches.extend(self.told.try_iter());
        batches.clone()
    }

    /// Waits for a batch, at most for so long.
    pub(crate) fn rest(&self, within: Duration) {
        if let Ok(batch) = self.told.recv_timeout(within) {
            self.batches.lock().unwrap().push(batch);
        }
    }

    /// Waits until something is so: it is looked at after each batch, and now and then.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let start = Instant::now();
        while !is_so() {
            let stats = self.watcher.stats();
            assert!(start.elapsed() < DEADLINE, "{what} did not come: {stats:?}");
            self.rest(LOOK);
        }
    }

    /// Waits until the paths of the records are these.
    #[track_caller]
    pub(crate) fn holds(&self, paths: &[&str]) {
        let mut seen = Vec::new();
        let start = Instant::now();
        self.until(&format!("{paths:?}"), || {
            seen = self.paths();
            let late = start.elapsed() + Duration::from_secs(1) > DEADLINE;
            assert!(!late || seen == paths, "{seen:?} instead of {paths:?}");
            seen == paths
        });
    }

    pub(crate) fn store_head(&self) -> cardex::Position {
        self.store.head().unwrap()
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        let states = self.store.file_states().unwrap();
        states
            .into_iter()
            .map(|state| state.path.to_string())
            .collect()
    }

    /// Waits until the records are those of the tree: what a fresh index of it gives, all but the time of
    /// reading.
    #[track_caller]
    pub(crate) fn agrees(&self) {
        let mut differs = String::new();
        let start = Instant::now();
        loop {
            self.until("rest", || self.watcher.stats().pending == 0);
            let (ours, fresh) = (records(&*self.store), self.fresh());
            if ours == fresh {
                return;
            }
            let stats = self.watcher.stats();
            if start.elapsed() > DEADLINE {
                let only = |a: &[FileMetadata], b: &[FileMetadata]| {
                    let missing = a.iter().filter(|record| !b.contains(record));
                    missing
                        .map(|record| record.path.to_string())
                        .take(5)
                        .collect::<Vec<_>>()
                };
                differs = format!(
                    "records {:?}, tree {:?}, {stats:?}",
                    only(&ours, &fresh),
                    only(&fresh, &ours)
                );
            }
            assert!(differs.is_empty(), "{differs}");
            self.rest(LOOK);
        }
    }

    /// The records of a fresh index of the tree.
    fn fresh(&self) -> Vec<FileMetadata> {
        let place = tempfile::tempdir().unwrap();
        let store = store(place.path(), "fresh.db");
        let scanner = Scanner::open(&self.root(), ScanOptions::default()).unwrap();
        cardex::index_tree(&*store, &scanner, &AtomicBool::new(false), |_| {}).unwrap();
        records(&*store)
    }
}

pub(crate) fn write(root: &Path, path: &str, text: &str) {
    let file = root.join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

fn records(store: &dyn MetadataStore) -> Vec<FileMetadata> {
    let mut records = Vec::new();
    store
        .for_each(&mut |found| {
            let mut record = found.record;
            record.extraction_timestamp = None;
            records.push(record);
            Ok(())
        })
        .unwrap();
    records
}
