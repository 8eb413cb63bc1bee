//! `Cardex`: a database, its index, and what keeps the two equal, behind one handle.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Index, Snapshot};
use crate::metadata::{FileMetadata, FilePath};
use crate::position::Position;
use crate::query::{Answer, Query};
use crate::store::{MetadataStore, Removal, SqliteOptions, SqliteStore};
use crate::sync::{SyncReport, Synchronizer};

/// The metadata of one project: complete, indexed, and as true as its database. Clones share
/// everything; it can be used and dropped on any thread.
#[derive(Clone, Debug)]
pub struct Cardex {
    store: Arc<dyn MetadataStore>,
    index: Arc<Index>,
    sync: Arc<Synchronizer>,
}

/// Says where a [`Cardex`] keeps its data, and opens it.
#[derive(Clone, Debug)]
#[must_use]
pub struct CardexBuilder {
    database: PathBuf,
    project: String,
    options: SqliteOptions,
    clock: Arc<dyn Clock>,
}

impl CardexBuilder {
    /// The SQLite file; made if it does not exist. Default: `.cardex/cardex.db`.
    pub fn database(mut self, path: impl AsRef<Path>) -> Self {
        self.database = path.as_ref().to_path_buf();
        self
    }

    /// Which project of the database; made if it does not exist. Default: `default`.
    pub fn project(mut self, name: impl Into<String>) -> Self {
        self.project = name.into();
        self
    }

    /// How the database is opened.
    pub fn sqlite(mut self, options: SqliteOptions) -> Self {
        self.options = options;
        self
    }

    /// Where the time is read. Default: the machine's clocks.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Opens the database and loads the whole index.
    ///
    /// # Errors
    /// Those of the database: `SchemaTooNew`, `DatabaseCorrupt`, `DatabaseBusy`, `Database`.
    pub fn open(self) -> Result<Cardex> {
        let store = Arc::new(SqliteStore::open(
            &self.database,
            &self.project,
            self.options,
        )?);
        let cardex = Cardex::over(store, self.clock)?;
        cardex.rebuild()?;
        Ok(cardex)
    }
}

impl Cardex {
    /// Says where the data is.
    pub fn builder() -> CardexBuilder {
        CardexBuilder {
            database: PathBuf::from(".cardex/cardex.db"),
            project: "default".to_owned(),
            options: SqliteOptions::default(),
            clock: Arc::new(SystemClock),
        }
    }

    /// An index over a store that is open already. It is empty until the first
    /// [`Cardex::rebuild`].
    ///
    /// # Errors
    /// `Io` if the index's thread cannot be started.
    pub fn over(store: Arc<dyn MetadataStore>, clock: Arc<dyn Clock>) -> Result<Self> {
        let index = Arc::new(Index::new()?);
        let sync = Arc::new(Synchronizer::new(
            Arc::clone(&store),
            Arc::clone(&index),
            clock,
        ));
        Ok(Cardex { store, index, sync })
    }

    /// The files that match, in path order. Takes no lock and does no I/O.
    pub fn query(&self, query: &Query) -> Answer {
        self.snapshot().search(query)
    }

    /// The current state of the index: many questions can be put to one instant.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.index.snapshot()
    }

    /// The record of a path; `None` if there is none. Reads the database.
    ///
    /// # Errors
    /// Those of the database; a failure is never "absent".
    pub fn get(&self, path: &FilePath) -> Result<Option<FileMetadata>> {
        Ok(self.store.get(path)?.map(|found| found.record))
    }

    /// Adds or replaces a record: in the database first, then in the index. When it returns, the
    /// next query knows.
    ///
    /// # Errors
    /// Those of the database: then nothing was written. `CommittedNotApplied` if it was, and only
    /// the index could not follow.
    pub fn update(&self, record: &FileMetadata) -> Result<Position> {
        let position = self.store.put(record)?;
        self.apply(&record.path, position)?;
        Ok(position)
    }

    /// Removes a record from the database and the index; whether there was one.
    ///
    /// # Errors
    /// As [`Cardex::update`].
    pub fn remove(&self, path: &FilePath) -> Result<Removal> {
        let removal = self.store.remove(path)?;
        self.apply(path, removal.position)?;
        Ok(removal)
    }

    /// Brings the index up to date with a commit of our own.
    fn apply(&self, path: &FilePath, position: Position) -> Result<()> {
        self.sync.incremental().map(drop).map_err(|cause| {
            let message = format!("{path} is written, at {position}, but not in the index yet");
            Error::new(ErrorKind::CommittedNotApplied, message)
                .with_help("the next synchronisation that succeeds brings it in")
                .because(cause)
        })
    }

    /// Brings the index up to date with the database, whoever wrote to it.
    ///
    /// # Errors
    /// Those of the database; the index stays as it was.
    pub fn sync(&self) -> Result<SyncReport> {
        self.sync.incremental()
    }

    /// Reads everything anew and switches at once.
    ///
    /// # Errors
    /// Those of the database; the index stays as it was.
    pub fn rebuild(&self) -> Result<SyncReport> {
        self.sync.full()
    }

    /// The database.
    pub fn store(&self) -> &Arc<dyn MetadataStore> {
        &self.store
    }
}
