//! The embedded database: metadata in an SQLite file that any SQL tool can read and write. Triggers
//! log every change whoever makes it; this store's own writer logs each file once instead.
//!
//! Writers take turns, one transaction at a time; readers see one committed state each and neither
//! wait for writers nor hold them up. If another file is put in the place of the database, the next
//! verb opens that one, and its positions are of another epoch. If its write-ahead log is deleted, verbs
//! are refused for a second, and as long as somebody goes on with that log; then the file is opened again.

mod check;
mod column;
mod connection;
mod failure;
mod file;
mod file_rows;
mod follower;
mod frame;
mod log;
mod lookup;
mod marks;
mod options;
mod place;
mod pool;
mod read;
mod scan;
mod schema;
mod sidecars;
mod users;
mod versions;
mod write;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

pub use self::check::Finding;
pub(crate) use self::connection::open_sqlite;
use self::failure::{Fault, failed, unreadable};
pub(crate) use self::file::{
    FileIdentity, absolute, beside, create_if_missing as create_private, own,
};
use self::follower::Follower;
use self::frame::Frame;
use self::marks::Marks;
pub use self::options::SqliteOptions;
use self::pool::{LostLog, Pool, Pooled};
use self::read::RecordReader;
use self::write::Checked;
use super::{
    ChangeSet, Fetched, MetadataStore, Removal, RowSink, ScanReport, Stored, Traces, Versioned,
    Write,
};
use crate::error::{Error, ErrorKind, Result};
use crate::metadata::{FileMetadata, FilePath, FileState};
use crate::position::Position;

/// A store in an SQLite file, seen as one project of it.
///
/// Several stores, in this process and in others, may be open on one file at the same time.
///
/// ```
/// use cardex::FileMetadata;
/// use cardex::store::{MetadataStore, SqliteOptions, SqliteStore};
///
/// # let directory = tempfile::tempdir().unwrap();
/// # let file = directory.path().join("project.db");
/// let store = SqliteStore::open(file, "compiler", SqliteOptions::default())?;
/// let record = FileMetadata::builder("src/lexer.py").language("python").build()?;
/// let stored = store.put(&record)?;
/// let found = store.get(&record.path)?.expect("it was just put there");
/// assert_eq!(found.record, record);
/// assert_eq!(found.version, stored.position.sequence);
/// # Ok::<(), cardex::Error>(())
/// ```
pub struct SqliteStore {
    file: PathBuf,
    project: String,
    options: SqliteOptions,
    /// None until the file was first reached, and while a lost log keeps it from being opened again.
    pool: ArcSwapOption<Pool>,
    /// Held while the file is opened, so that one thread does it: after a lost log, with what is to be
    /// known of that.
    opening: Mutex<Option<LostLog>>,
    /// Held for a look at the log, by one at a time.
    follower: Mutex<Option<Follower>>,
    /// Whether that is to be opened anew after the look in progress.
    is_to_forget: AtomicBool,
    /// Held for a write: SQLite would have the writers of this process poll for its lock.
    writer: Mutex<()>,
}

/// Not what it has seen of the log: that names files.
impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("file", &self.file)
            .field("project", &self.project)
            .finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens a database and its project, making what is missing: directories (mode 0700), the file
    /// (mode 0600), the schema, the project.
    ///
    /// # Errors
    /// `DatabaseCorrupt` if the file is no database of this program, is damaged, or changes to it
    /// may have gone unlogged; `SchemaTooNew`; `DatabaseBusy`; `InvalidInput` for an empty project
    /// name; `Io`. A file that is refused is left as it was.
    pub fn open(path: impl AsRef<Path>, project: &str, options: SqliteOptions) -> Result<Self> {
        let store = Self::open_lazily(path, project, options)?;
        store.head()?;
        Ok(store)
    }

    /// A store whose database is opened, or made, by the first verb that needs it: for a program
    /// that starts whether or not its database can be reached.
    ///
    /// # Errors
    /// `InvalidInput` for an empty project name; `Io` if there is no working directory.
    pub fn open_lazily(
        path: impl AsRef<Path>,
        project: &str,
        options: SqliteOptions,
    ) -> Result<Self> {
        if project.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "a project's name cannot be empty",
            ));
        }
        Ok(SqliteStore {
            file: file::absolute(path.as_ref())?,
            project: project.to_owned(),
            options,
            pool: ArcSwapOption::empty(),
            opening: Mutex::new(None),
            follower: Mutex::new(None),
            is_to_forget: AtomicBool::new(false),
            writer: Mutex::new(()),
        })
    }

    /// The database file, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// The project's name.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// Deletes the log's memory of deleted files, of all projects, except for the newest `keep` of
    /// them. Returns how many it deleted. Followers that are behind the newest one deleted get
    /// `LogPruned` and must scan.
    pub fn prune_log(&self, keep: u64) -> Result<u64> {
        self.in_write("prune the change log", |tx, _| {
            log::prune(tx, keep).map(Some)
        })
        .map(Option::unwrap_or_default)
    }

    /// What is wrong with the database's file, keys, triggers and log, of all projects; nothing is
    /// changed. Reads the whole file. Rows that cannot be read as records are named by a scan.
    pub fn check(&self) -> Result<Vec<Finding>> {
        let (_pool, conn) = self.connection()?;
        check::check(&conn, &self.file)
    }

    /// As [`SqliteStore::check`], for a file that may be too damaged to open.
    ///
    /// # Errors
    /// As [`SqliteStore::open`] for a file that is missing or not of this program.
    pub fn check_file(path: impl AsRef<Path>) -> Result<Vec<Finding>> {
        let (file, conn) = connect_existing(path.as_ref())?;
        check::check(&conn, &file)
    }

    /// The version of SQLite that is compiled in.
    pub fn engine_version() -> &'static str {
        rusqlite::version()
    }

    /// Mends a database of which changes may have gone unlogged: restores change capture and logs
    /// every file of every project anew, so that all that was derived from it is derived again. It
    /// does not mend a damaged file.
    ///
    /// # Errors
    /// As [`SqliteStore::open`] for a file that is missing or not of this program.
    pub fn repair_file(path: impl AsRef<Path>) -> Result<()> {
        let (file, conn) = connect_existing(path.as_ref())?;
        check::repair(&conn, &file)
    }

    /// Makes the project's row, or brings its root up to date.
    fn enrol(&self, pool: &Pool) -> Result<()> {
        let conn = pool.get(&self.file)?;
        let root = self.options.project_root().map(Path::to_string_lossy);
        let enrol = || {
            let stored = conn
                .prepare_cached("SELECT root FROM projects WHERE name = ?1")?
                .query_map([&self.project], |row| row.get::<_, Option<String>>(0))?
                .next()
                .transpose()?;
            if stored.is_some_and(|stored| root.is_none() || root.as_deref() == stored.as_deref()) {
                return Ok(());
            }
            conn.execute(
                "INSERT INTO projects (name, root) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET root = coalesce(excluded.root, root)",
                params![self.project, root],
            )?;
            Ok(())
        };
        enrol().map_err(|e| failed(&self.file, "enrol the project", e))
    }

    /// A connection to the file that the path names now.
    fn connection(&self) -> Result<(Arc<Pool>, Pooled)> {
        let pool = self.pool()?;
        let conn = pool.get(&self.file)?;
        // A connection that was only opened now may lead to a file that was put there meanwhile.
        self.assert_not_replaced(&pool, "connect")?;
        Ok((pool, conn))
    }

    /// The connections to the file that the path names now.
    fn pool(&self) -> Result<Arc<Pool>> {
        match self.current_pool()? {
            Some(pool) => Ok(pool),
            None => self.open_pool(),
        }
    }

    /// The connections to the file, if it is still the one that they lead to, with the log that they
    /// have open.
    fn current_pool(&self) -> Result<Option<Arc<Pool>>> {
        let Some(pool) = self.pool.load_full() else {
            return Ok(None);
        };
        Ok(pool.place().is_current()?.then_some(pool))
    }

    fn open_pool(&self) -> Result<Arc<Pool>> {
        let Some(mut lost) = self.opening.try_lock_for(self.options.timeout()) else {
            let message = format!(
                "others are still opening the database {}",
                self.file.display()
            );
            return Err(Error::new(ErrorKind::DatabaseBusy, message));
        };
        if let Some(pool) = self.current_pool()? {
            return Ok(pool);
        }
        self.retire_lost_log(&mut lost);
        // Only a file that was never there is made: one that is lost may hold a project's records.
        let pool = if let Some(lost) = &*lost {
            let pool = lost.reopen(&self.file, &self.options)?;
            tracing::info!(file = %self.file.display(), "the database is open again");
            pool
        } else if let Some(former) = &*self.pool.load() {
            former.place().assert_left_nothing()?;
            tracing::warn!(file = %self.file.display(), "the database was replaced: reopening");
            Pool::open(&self.file, &self.options)?
        } else {
            Pool::create(&self.file, &self.options)?
        };
        self.enrol(&pool)?;
        pool.place().note_sidecars()?;
        let pool = Arc::new(pool);
        self.pool.store(Some(Arc::clone(&pool)));
        *lost = None;
        Ok(pool)
    }

    /// Lets go of all connections that go on with a log which somebody deleted; those in use end with
    /// their reads. As long as one of this process is open, SQLite has every new one share what is
    /// left of that log.
    fn retire_lost_log(&self, lost: &mut Option<LostLog>) {
        let former = self.pool.load_full();
        let former = former.filter(|former| former.place().is_in_place());
        if let Some(found) = former.and_then(|former| former.lost_log()) {
            tracing::warn!(
                file = %self.file.display(),
                "the write-ahead log was deleted while it was open: reopening"
            );
            *lost = Some(found);
            self.pool.store(None);
        }
        if lost.is_some() {
            self.forget();
        }
    }

    /// Runs `work` in a read transaction: all that it reads is of one instant.
    fn in_read<T>(&self, work: impl FnOnce(&Connection, &Frame) -> Result<T>) -> Result<T> {
        let (pool, conn) = self.connection()?;
        let before = pool.history();
        let tx = conn
            .unchecked_transaction()
            .map_err(|e| self.failed("begin a read", e))?;
        let frame = Frame::read(&tx, &pool, &before, &self.file, &self.project)?;
        work(&tx, &frame)
    }

    /// Runs `work` in a write transaction, committed if it returns something and undone if it
    /// returns `None`: then there was nothing to write.
    fn in_write<T>(
        &self,
        operation: &str,
        work: impl FnOnce(&Connection, &Frame) -> rusqlite::Result<Option<T>>,
    ) -> Result<Option<T>> {
        // The turn comes before the connection: waiting writers must not keep them from readers.
        let Some(_turn) = self.writer.try_lock_for(self.options.timeout()) else {
            let message = format!(
                "cannot {operation}: other writers hold {}",
                self.file.display()
            );
            return Err(Error::new(ErrorKind::DatabaseBusy, message));
        };
        let (pool, conn) = self.connection()?;
        let fail = |e| self.failed(operation, e);
        let before = pool.history();
        let tx = Transaction::new_unchecked(&conn, TransactionBehavior::Immediate).map_err(fail)?;
        let frame = Frame::read(&tx, &pool, &before, &self.file, &self.project)?;
        let Some(done) = work(&tx, &frame).map_err(fail)? else {
            return Ok(None);
        };
        let marks = Marks::read(&tx).map_err(fail)?;
        tx.commit().map_err(fail)?;
        pool.committed(marks, &before);
        self.assert_not_replaced(&pool, operation)?;
        Ok(Some(done))
    }

    /// A commit to a file that has lost its name is lost with it.
    fn assert_not_replaced(&self, pool: &Pool, operation: &str) -> Result<()> {
        let name = self.file.display();
        if FileIdentity::of(&self.file)? == pool.identity() {
            let Some(lost) = pool.place().lost_sidecar() else {
                return Ok(());
            };
            let lost = lost.display();
            let message = format!("cannot {operation}: {lost} was deleted while {name} was open");
            return Err(Error::new(ErrorKind::DatabaseCorrupt, message).with_help(
                "it may have been written all the same: look before you write it again; the database is \
                 opened anew",
            ));
        }
        let message = format!("cannot {operation}: the database {name} was replaced meanwhile");
        Err(Error::new(ErrorKind::Database, message).with_help("try again"))
    }

    /// Applies the writes in one transaction; `None` if there was nothing to do.
    fn apply(&self, operation: &str, writes: &[Checked<'_>]) -> Result<Option<Position>> {
        self.in_write(operation, |tx, frame| Self::apply_in(tx, frame, writes))
    }

    fn apply_in(
        tx: &Connection,
        frame: &Frame,
        writes: &[Checked<'_>],
    ) -> rusqlite::Result<Option<Position>> {
        write::set_quiet(tx, frame.may_be_quiet)?;
        let mut changed = false;
        for write in writes {
            changed |= write::apply(tx, frame.project, write)?;
        }
        write::set_quiet(tx, false)?;
        if !changed {
            return Ok(None);
        }
        Ok(Some(Position {
            sequence: log::head(tx)?,
            ..frame.position
        }))
    }

    fn failed(&self, operation: &str, cause: rusqlite::Error) -> Error {
        failed(&self.file, operation, cause)
    }

    /// A fault in what the caller asked for by name.
    fn faulty(&self, operation: &str, fault: Fault) -> Error {
        match fault {
            Fault::Database(cause) => self.failed(operation, cause),
            Fault::Row(row) => unreadable(&self.file, &row),
        }
    }
}

fn connect_existing(path: &Path) -> Result<(PathBuf, Connection)> {
    let file = file::absolute(path)?;
    FileIdentity::of(&file)?;
    let conn = connection::connect(&file, SqliteOptions::default().timeout())?;
    Ok((file, conn))
}

impl MetadataStore for SqliteStore {
    fn head(&self) -> Result<Position> {
        self.in_read(|_, frame| Ok(frame.position))
    }

    fn fetch(&self, paths: &[FilePath]) -> Result<Fetched> {
        self.in_read(|tx, frame| {
            let operation = "read records";
            let mut reader = RecordReader::new(tx).map_err(|e| self.failed(operation, e))?;
            let read = |path| match reader.by_path(frame.project, path) {
                Err(Fault::Database(cause)) => Err(self.failed(operation, cause)),
                Err(Fault::Row(row)) => Ok(Err(unreadable(&self.file, &row))),
                Ok(found) => Ok(Ok(found)),
            };
            Ok(Fetched {
                position: frame.position,
                records: paths.iter().map(read).collect::<Result<_>>()?,
            })
        })
    }

    fn newest(&self, limit: usize) -> Result<Vec<FilePath>> {
        self.in_read(|tx, frame| {
            read::newest(tx, frame.project, limit)
                .map_err(|cause| self.failed("list the newest files", cause))
        })
    }

    fn put(&self, record: &FileMetadata) -> Result<Stored> {
        let operation = format!("write {}", record.path);
        let checked = Checked::put(record)?;
        let stored = self.in_write(&operation, |tx, frame| {
            let existed = write::exists(tx, frame.project, record.path.as_str())?;
            let position = Self::apply_in(tx, frame, &[checked])?;
            Ok(position.map(|position| Stored {
                position,
                existed,
                verbatim: frame.may_be_quiet,
            }))
        })?;
        stored.ok_or_else(|| {
            Error::new(
                ErrorKind::Internal,
                format!("cannot {operation}: nothing was written"),
            )
        })
    }

    fn remove(&self, path: &FilePath) -> Result<Removal> {
        let operation = format!("remove {path}");
        match self.apply(&operation, &[Checked::Remove(path.as_str())])? {
            Some(position) => Ok(Removal {
                existed: true,
                position,
            }),
            None => Ok(Removal {
                existed: false,
                position: self.head()?,
            }),
        }
    }

    fn write(&self, batch: &[Write]) -> Result<Position> {
        let writes = batch.iter().map(Checked::new).collect::<Result<Vec<_>>>()?;
        let operation = format!("write {} records", batch.len());
        let position = self.apply(&operation, &writes)?;
        position.map_or_else(|| self.head(), Ok)
    }

    fn for_each(&self, visit: &mut dyn FnMut(Versioned) -> Result<()>) -> Result<ScanReport> {
        self.in_read(|tx, frame| {
            let mut report = ScanReport {
                position: frame.position,
                ..ScanReport::default()
            };
            let visited = read::for_each(tx, frame.project, |record| match record {
                Ok(record) => {
                    report.files += 1;
                    visit(record).map_err(Stop::Visitor)
                }
                Err(fault) => report.skip_fault(fault).map_err(Stop::Database),
            });
            visited.map_err(|stop| match stop {
                Stop::Visitor(error) => error,
                Stop::Database(cause) => self.failed("read every record", cause),
            })?;
            Ok(report)
        })
    }

    fn file_states(&self) -> Result<Vec<FileState>> {
        self.in_read(|tx, frame| {
            read::file_states(tx, frame.project)
                .map_err(|fault| self.faulty("read the states of files", fault))
        })
    }

    fn file_states_at(&self, paths: &[FilePath]) -> Result<Vec<FileState>> {
        self.in_read(|tx, frame| {
            read::file_states_at(tx, frame.project, paths)
                .map_err(|fault| self.faulty("read the states of files", fault))
        })
    }

    fn changes(&self, since: Position, limit: usize) -> Result<ChangeSet> {
        self.in_read(|tx, frame| {
            log::changes(tx, frame, &self.file, since, limit)
                .map_err(|e| self.failed("read the change log", e))
        })
    }

    fn traces(&self, since: Position, limit: usize, of: Option<&str>) -> Result<Option<Traces>> {
        self.in_read(|tx, frame| {
            log::traces(tx, frame, &self.file, since, limit, of)
                .map(Some)
                .map_err(|e| self.failed("read the change log", e))
        })
    }

    fn forget(&self) {
        match self.follower.try_lock() {
            Some(mut follower) => *follower = None,
            // Whoever looks now drops it when he is done.
            None => self.is_to_forget.store(true, Ordering::Release),
        }
    }

    fn scan(&self, sink: &mut dyn RowSink) -> Result<ScanReport> {
        self.in_read(|tx, frame| {
            let mut report = ScanReport {
                position: frame.position,
                ..ScanReport::default()
            };
            scan::scan(tx, frame.project, sink, &mut report)
                .map_err(|e| self.failed("scan the files", e))?;
            Ok(report)
        })
    }

    fn scan_changes(&self, since: Position, sink: &mut dyn RowSink) -> Result<ScanReport> {
        // One looks at the log with the follower; others at the same time with the pool.
        let Some(mut follower) = self.follower.try_lock() else {
            return self.in_read(|tx, frame| log::read_changes(tx, frame, &self.file, since, sink));
        };
        let pool = match self.current_pool()? {
            Some(pool) => pool,
            None => {
                *follower = None;
                self.open_pool()?
            }
        };
        let mut looking = match follower.take().filter(|open| open.is_of(&pool)) {
            Some(open) => open,
            None => {
                let open = Follower::open(&self.file, Arc::clone(&pool), &self.options)?;
                self.assert_not_replaced(&pool, "connect")?;
                open
            }
        };
        let report = looking.scan_changes(&self.file, &self.project, since, sink)?;
        // After a failure it is opened anew, and where somebody wants that.
        if !self.is_to_forget.swap(false, Ordering::AcqRel) {
            *follower = Some(looking);
        }
        Ok(report)
    }
}

/// Why a pass over the records ended early.
enum Stop {
    Visitor(Error),
    Database(rusqlite::Error),
}

impl From<rusqlite::Error> for Stop {
    fn from(cause: rusqlite::Error) -> Self {
        Stop::Database(cause)
    }
}
