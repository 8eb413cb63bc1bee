//! A project in a database, a cache of what is made from its records, and how often anything was made.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cardex::dependencies::Source;
use cardex::derived::{DerivedCache, IndexWitness, Making};
use cardex::kv::{KvCache, KvOptions};
use cardex::store::{MetadataStore, SqliteOptions, SqliteStore};
use cardex::tier::{Key, Lifetime, MemoryTier, MemoryTierOptions, Tier};
use cardex::{
    CacheOptions, Cardex, FileMetadata, FilePath, Freshness, Query, Result, SyncMode, SystemClock,
};

use crate::gated_store::GatedStore;

pub struct Project {
    pub home: PathBuf,
    pub cardex: Cardex,
    pub results: DerivedCache,
    pub made: AtomicUsize,
}

/// What was answered, and how often anything was made so far.
pub type Answered = (String, usize);

impl Project {
    /// Results in memory, as fresh as the database.
    pub fn new(home: &Path) -> Self {
        let cardex = open(home);
        let witness = IndexWitness::new(cardex.clone());
        Self::over(home, cardex, witness, memory())
    }

    /// Results in a file that outlives this.
    pub fn durable(home: &Path) -> Self {
        Self::durable_at(home, home)
    }

    /// The same with the file in one place and the database in another.
    pub fn durable_at(place: &Path, home: &Path) -> Self {
        let cardex = open(home);
        let witness = IndexWitness::new(cardex.clone());
        Self::over(home, cardex, witness, crate::world::durable(place))
    }

    /// Results in memory over a database that can be deaf and counts what it is asked; only who asks has it
    /// looked at.
    pub fn gated(home: &Path, freshness: Freshness) -> (Self, Arc<GatedStore>) {
        let store = SqliteStore::open(database(home), "default", SqliteOptions::default());
        let store = Arc::new(GatedStore::new(store.unwrap()));
        let options = CacheOptions::default().follow(false);
        let shared: Arc<dyn MetadataStore> = store.clone();
        let cardex = Cardex::over(shared, Arc::new(SystemClock), options).unwrap();
        cardex.load().unwrap();
        let witness = IndexWitness::new(cardex.clone()).freshness(freshness);
        (Self::over(home, cardex, witness, memory()), store)
    }

    fn over(home: &Path, cardex: Cardex, witness: IndexWitness, tier: Arc<dyn Tier>) -> Self {
        let kv = KvCache::new("report", KvOptions::default(), tier, Arc::new(SystemClock));
        Project {
            home: home.to_owned(),
            cardex,
            results: DerivedCache::new(kv, Arc::new(witness)),
            made: AtomicUsize::new(0),
        }
    }

    pub fn put(&self, path: &str, language: &str) {
        self.cardex.store().put(&record(path, language)).unwrap();
    }

    pub fn remove(&self, path: &str) {
        let path = FilePath::new(path).unwrap();
        assert!(self.cardex.store().remove(&path).unwrap().existed, "{path}");
    }

    /// What another program does to the database.
    pub fn sql(&self, statements: &str) {
        sql(&database(&self.home), statements);
    }

    pub fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    pub fn run(
        &self,
        key: &str,
        sources: &[&str],
        make: impl FnOnce(&mut Making<'_>) -> Result<String>,
    ) -> Result<String> {
        let sources: Vec<Source> = sources.iter().map(|path| source(path)).collect();
        let key = Key::new(key).unwrap();
        self.results
            .run(&key, Lifetime::Default, &sources, |making| {
                self.made.fetch_add(1, Ordering::SeqCst);
                make(making)
            })
    }

    /// A result that is made from one file.
    pub fn language(&self, path: &str) -> Answered {
        let language = self.run(path, &[path], |_| self.now(path));
        (language.unwrap(), self.made())
    }

    /// A result that is made from all below a directory.
    pub fn list(&self, directory: &str) -> Answered {
        let key = format!("list:{directory}");
        let list = self.run(&key, &[directory], |_| self.below(directory));
        (list.unwrap(), self.made())
    }

    /// The language of a file, as the index has it.
    pub fn now(&self, path: &str) -> Result<String> {
        let record = self.cardex.get(&FilePath::new(path)?)?;
        let language = record.as_ref().and_then(|record| record.language.as_ref());
        Ok(language.map_or_else(|| "none".to_owned(), ToString::to_string))
    }

    /// The files below a directory and their languages, as the index has them.
    pub fn below(&self, directory: &str) -> Result<String> {
        let query = match directory {
            "." => Query::builder(),
            directory => Query::builder().path_glob(&format!("{directory}/**")),
        };
        let answer = self.cardex.query(&query.build()?)?;
        let files: Vec<String> = answer
            .hits()
            .map(|hit| format!("{} {}", hit.path, hit.language.unwrap_or("-")))
            .collect();
        Ok(files.join(", "))
    }

    pub fn sync(&self) {
        self.cardex.sync(SyncMode::Incremental).unwrap();
    }
}

pub fn database(home: &Path) -> PathBuf {
    home.join("project.db")
}

fn open(home: &Path) -> Cardex {
    Cardex::builder().database(database(home)).open().unwrap()
}

fn memory() -> Arc<dyn Tier> {
    let options = MemoryTierOptions::default();
    Arc::new(MemoryTier::new("report", options, Arc::new(SystemClock)))
}

pub fn record(path: &str, language: &str) -> FileMetadata {
    let record = FileMetadata::builder(path).language(language);
    record.build().unwrap()
}

pub fn source(path: &str) -> Source {
    Source::under(Path::new("/"), path).unwrap()
}

pub fn sql(database: &Path, statements: &str) {
    let connection = rusqlite::Connection::open(database).unwrap();
    let patience = std::time::Duration::from_secs(20);
    connection.busy_timeout(patience).unwrap();
    connection.execute_batch(statements).unwrap();
}
