//! Connections to one database file: how many there are, what they have seen of it, and when another
//! pool takes their place.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode};
use scheduled_thread_pool::ScheduledThreadPool;

use super::connection::{Manager, connect};
use super::failure::failed;
use super::file::{FileIdentity, create_if_missing};
use super::marks::{LogHead, Marks};
use super::options::SqliteOptions;
use super::place::Place;
use super::schema;
use crate::error::{Error, ErrorKind, Result};

/// A connection of the pool; it goes back when dropped.
pub(super) type Pooled = r2d2::PooledConnection<Manager>;

/// The oldest SQLite that is safe: earlier ones can lose commits when the log of a WAL database is
/// reset.
const OLDEST_SQLITE: i32 = 3_051_003;

/// How long to wait before the switch to the write-ahead log is tried again: it takes about a
/// millisecond.
const WAL_RETRY: Duration = Duration::from_millis(2);

/// How long a database whose log was lost is left alone: somebody who deletes its `-wal` may be about
/// to put another database in its place, and must not find a new log of the old one there.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// The connections to one file, as it was found when they were opened.
#[derive(Debug)]
pub(super) struct Pool {
    connections: r2d2::Pool<Manager>,
    place: Arc<Place>,
    /// The schema cookie under which change capture was last found intact.
    verified: AtomicI64,
    /// Whether that schema has triggers that are not ours.
    foreign_triggers: AtomicBool,
    history: Mutex<History>,
}

/// What transactions have seen of the log.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    head: LogHead,
    marks: Arc<Marks>,
    /// How often the log was found to be another one than before.
    others: u64,
}

impl History {
    /// How often the log was found to be another one than before.
    pub(super) fn others(&self) -> u64 {
        self.others
    }
}

impl Pool {
    /// Opens the file, made if it is missing, and brings its schema up to date.
    pub(super) fn create(file: &Path, options: &SqliteOptions) -> Result<Self> {
        assert_version()?;
        create_if_missing(file)?;
        Self::open(file, options)
    }

    /// Opens a file that must exist, and brings its schema up to date.
    pub(super) fn open(file: &Path, options: &SqliteOptions) -> Result<Self> {
        let mut conn = connect(file, options.timeout())?;
        // Once it is open: a file of a lower layer has been copied up by then, which makes it a new one.
        let place = Arc::new(Place::of(file)?);
        schema::version(&conn, file)?;
        use_wal(&conn, file, options.timeout())?;
        schema::migrate(&mut conn, file)?;
        drop(conn);
        let timeout = options.timeout();
        let manager = Manager::new(Arc::clone(&place), timeout);
        // One thread: all it does here is to open connections.
        let opener = ScheduledThreadPool::builder().num_threads(1).build();
        let connections = r2d2::Pool::builder()
            .max_size(options.pool_size())
            .min_idle(Some(0))
            .connection_timeout(timeout)
            // A connection to a local file neither ages nor breaks while idle.
            .max_lifetime(None)
            .idle_timeout(None)
            .test_on_check_out(false)
            .error_handler(Box::new(Traced))
            .thread_pool(Arc::new(opener))
            .build_unchecked(manager);
        Ok(Pool {
            connections,
            place,
            verified: AtomicI64::new(-1),
            foreign_triggers: AtomicBool::new(true),
            history: Mutex::default(),
        })
    }

    /// Where the file lies that the connections lead to.
    pub(super) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Which file the connections lead to.
    pub(super) fn identity(&self) -> FileIdentity {
        self.place.identity()
    }

    /// What must be known to open the database again after it lost a file beside it.
    pub(super) fn lost_log(&self) -> Option<LostLog> {
        self.place.lost_sidecar()?;
        Some(LostLog {
            place: Arc::clone(&self.place),
            others: self.history().others(),
            found_at: Instant::now(),
        })
    }

    /// A connection, waiting for one at most for the connection time-out.
    pub(super) fn get(&self, file: &Path) -> Result<Pooled> {
        self.connections.get().map_err(|e| {
            let size = self.connections.max_size();
            let name = file.display();
            if self.connections.state().connections < size {
                let message = format!("cannot open a connection to the database {name}");
                return Error::new(ErrorKind::Database, message).because(e);
            }
            let message = format!("none of {size} connections to the database {name} came free");
            Error::new(ErrorKind::DatabaseBusy, message)
                .with_help("raise database.max_connections or database.connection_timeout")
                .because(e)
        })
    }

    /// What was seen of the log so far: whatever begins now sees it too.
    pub(super) fn history(&self) -> History {
        self.history.lock().clone()
    }

    /// Compares what a transaction sees of the log with what was seen before it began. Returns how
    /// often the log was found to be another one, this time included: somebody who can write to the
    /// file may have put an older copy back in place, or emptied the log.
    pub(super) fn compare(
        &self,
        conn: &Connection,
        head: LogHead,
        pruned_to: u64,
        before: &History,
    ) -> rusqlite::Result<u64> {
        if head == before.head {
            return Ok(before.others);
        }
        let is_same = head.follows(before.head) && before.marks.fit(conn, pruned_to)?;
        let marks = Arc::new(Marks::read(conn)?);
        let mut now = self.history.lock();
        // Somebody else may have found out first, and this transaction see either history.
        let is_first = now.others == before.others;
        if is_same {
            if is_first && head.seq >= now.head.seq {
                (now.head, now.marks) = (head, marks);
            }
            return Ok(before.others);
        }
        if is_first {
            tracing::warn!("the change log is another one: an older copy, or an emptied log");
            now.others += 1;
            (now.head, now.marks) = (head, marks);
        }
        Ok(now.others)
    }

    /// Takes in the last entries of the log after a commit of our own.
    pub(super) fn committed(&self, marks: Marks, before: &History) {
        let (head, marks) = (marks.head(), Arc::new(marks));
        let mut now = self.history.lock();
        if now.others == before.others && head.seq > now.head.seq {
            (now.head, now.marks) = (head, marks);
        }
    }

    /// Whether somebody's own triggers may write while ours are switched off; known once
    /// [`Pool::verify_capture`] has run.
    pub(super) fn has_foreign_triggers(&self) -> bool {
        self.foreign_triggers.load(Ordering::Relaxed)
    }

    /// Checks, once for each state of the schema, that changes are captured. Returns the state.
    ///
    /// # Errors
    /// `DatabaseCorrupt` naming what is missing.
    pub(super) fn verify_capture(&self, conn: &Connection, file: &Path) -> Result<i64> {
        let fail = |e| failed(file, "read the schema", e);
        let cookie = schema::cookie(conn).map_err(fail)?;
        if self.verified.load(Ordering::Acquire) != cookie {
            let faults = schema::capture_faults(conn).map_err(fail)?;
            if !faults.is_empty() {
                return Err(not_captured(file, &faults.join(", ")));
            }
            let foreign = schema::has_foreign_triggers(conn).map_err(fail)?;
            self.foreign_triggers.store(foreign, Ordering::Relaxed);
            // What was found is seen by whoever sees the cookie.
            self.verified.store(cookie, Ordering::Release);
        }
        Ok(cookie)
    }
}

/// What has to be known of a database whose write-ahead log was lost, when it is opened again.
#[derive(Debug)]
pub(super) struct LostLog {
    place: Arc<Place>,
    /// How often the log had been found to be another one.
    others: u64,
    found_at: Instant,
}

impl LostLog {
    /// Opens the database again, a while after its log was lost and once nobody uses that any more. What
    /// was only in there may be gone, and others may have gone on from there: it is another history.
    ///
    /// # Errors
    /// `DatabaseCorrupt` before that, naming who uses it still; those of [`Pool::open`].
    pub(super) fn reopen(&self, file: &Path, options: &SqliteOptions) -> Result<Pool> {
        self.place.assert_left_nothing()?;
        if FileIdentity::of(file)? == self.place.identity() {
            self.place
                .assert_let_go(self.found_at.elapsed() >= REOPEN_AFTER)?;
        }
        let pool = Pool::open(file, options)?;
        pool.history.lock().others = self.others + 1;
        Ok(pool)
    }
}

/// Changes of this database may have gone unlogged.
pub(super) fn not_captured(file: &Path, reason: &str) -> Error {
    let message = format!(
        "changes of the database {} may be unlogged: {reason}",
        file.display()
    );
    Error::new(ErrorKind::DatabaseCorrupt, message)
        .with_help("`cardex db check --repair` mends the log and has every index built anew")
}

/// Readers and a writer at the same time need the write-ahead log; the file keeps the setting.
///
/// The switch takes a lock that SQLite does not wait for, so others that open a fresh file at the
/// same time are waited for here.
fn use_wal(conn: &Connection, file: &Path, timeout: Duration) -> Result<()> {
    let begin = Instant::now();
    let switch = || {
        conn.query_row("PRAGMA journal_mode = WAL", [], |row| {
            row.get::<_, String>(0)
        })
    };
    let mode = loop {
        match switch() {
            Err(e) if is_busy(&e) && begin.elapsed() < timeout => thread::sleep(WAL_RETRY),
            done => break done.map_err(|e| failed(file, "switch to the write-ahead log", e))?,
        }
    };
    if mode.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    let name = file.display();
    Err(Error::new(
        ErrorKind::Database,
        format!("{name} cannot have a write-ahead log ({mode})"),
    )
    .with_help("put the database on a local file system"))
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

fn assert_version() -> Result<()> {
    if rusqlite::version_number() >= OLDEST_SQLITE {
        return Ok(());
    }
    let message = format!(
        "SQLite {} is too old: it can lose commits",
        rusqlite::version()
    );
    Err(Error::new(ErrorKind::Database, message).with_help("build with SQLite 3.51.3 or later"))
}

/// Failures to open a connection are told to the log; the caller gets the last one at its time-out.
#[derive(Debug)]
struct Traced;

impl r2d2::HandleError<rusqlite::Error> for Traced {
    fn handle_error(&self, error: rusqlite::Error) {
        tracing::warn!(%error, "cannot open a connection to the database");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The switch to the write-ahead log does not wait for locks by itself; all must get there.
    #[test]
    fn a_fresh_file_can_be_opened_by_many_at_once() {
        for round in 0..20 {
            let directory = tempfile::tempdir().unwrap();
            let file = &directory.path().join("fresh.db");
            create_if_missing(file).unwrap();
            let begin = std::sync::Barrier::new(8);
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        let options = SqliteOptions::default();
                        let conn = connect(file, options.timeout()).unwrap();
                        begin.wait();
                        let pool = Pool::open(file, &options);
                        if let Err(e) = pool.and_then(|pool| pool.get(file).map(drop)) {
                            panic!("round {round}: {e}: {:?}", std::error::Error::source(&e));
                        }
                        drop(conn);
                    });
                }
            });
        }
    }
}
