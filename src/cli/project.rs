//! Where a project is, and the directory of its data: `.cardex/` in its root, which git ignores.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cardex::kv::CachesSetup;
use cardex::store::SqliteStore;
use cardex::{CacheOptions, Cardex, Error, ErrorKind, Result, SyncReport, SystemClock};

use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::context::Context;
use super::output::{printable, say};

/// The directory of a project's data.
pub(super) const DATA: &str = ".cardex";

/// The name of the one project in a database of this command.
const PROJECT: &str = "default";

/// The root: `given`, or the nearest directory from here upwards that has data or is a repository,
/// or here.
pub(super) fn root(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(given) = given {
        let root = fs::canonicalize(given).map_err(|cause| {
            let message = format!("cannot reach the directory {}", given.display());
            Error::new(ErrorKind::Io, message).because(cause)
        })?;
        if !root.is_dir() {
            let message = format!("{} is no directory", given.display());
            return Err(Error::new(ErrorKind::InvalidInput, message)
                .with_help("name the directory of a source tree"));
        }
        return Ok(root);
    }
    let here = std::env::current_dir()
        .and_then(fs::canonicalize)
        .map_err(|e| Error::new(ErrorKind::Io, "cannot tell the current directory").because(e))?;
    let is_root = |dir: &&Path| dir.join(DATA).is_dir() || dir.join(".git").exists();
    Ok(here
        .ancestors()
        .find(is_root)
        .unwrap_or(&here)
        .to_path_buf())
}

impl Context {
    /// The database, made if it does not exist.
    pub(super) fn create_store(&self) -> Result<SqliteStore> {
        let data = self.root.join(DATA);
        if self.config.database().starts_with(&data) {
            make_data_directory(&data).map_err(|error| self.suggest_elsewhere(error))?;
        }
        self.open()
    }

    /// The database, which must exist.
    pub(super) fn existing_store(&self) -> Result<SqliteStore> {
        if !self.has_database() {
            let message = format!(
                "there is no database at {}",
                self.config.database().display()
            );
            return Err(Error::new(ErrorKind::NotFound, message)
                .with_help("`cardex index` makes it from the source tree"));
        }
        self.open()
    }

    pub(super) fn has_database(&self) -> bool {
        self.config.database().exists()
    }

    fn open(&self) -> Result<SqliteStore> {
        assert_no_links(self.config.database(), &self.root)?;
        let options = self.config.sqlite().clone();
        SqliteStore::open(self.config.database(), PROJECT, options)
            .map_err(|error| self.suggest_elsewhere(error))
    }

    /// What the caches of derived results are opened by. With `makes`, the directory of their file is made
    /// like that of the database; without, a file that is not there is done without.
    pub(super) fn caches_setup(&self, makes: bool) -> Result<CachesSetup> {
        let setup = self.config.derived().setup(&self.root)?;
        let Some(file) = setup.disk_path().map(Path::to_path_buf) else {
            return Ok(setup);
        };
        assert_no_links(&file, &self.root)?;
        if !makes {
            return Ok(match file.exists() {
                true => setup,
                false => setup.without_disk(),
            });
        }
        let data = self.root.join(DATA);
        if file.starts_with(&data)
            && let Err(error) = make_data_directory(&data)
        {
            // Whoever opens the file is told again.
            tracing::debug!("the directory of the cache file: {error:#}");
        }
        Ok(setup)
    }

    /// A tree that cannot be written to can still be indexed.
    fn suggest_elsewhere(&self, error: Error) -> Error {
        if matches!(error.kind(), ErrorKind::Io | ErrorKind::Database)
            && let Some(what) = unwritable(self.config.database())
        {
            return error.with_help(format!(
                "{} cannot be written to, and SQLite keeps its log and locks beside the database \
                 even while it only reads: change the modes, or copy the database and name the \
                 copy with --db PATH",
                what.display()
            ));
        }
        if error.kind() == ErrorKind::Io && error.help().is_none() {
            return error.with_help("`--db PATH` keeps the database somewhere else");
        }
        error
    }

    /// The index of a store, loaded. Rows that could not be read are told of: no answer can hold
    /// them.
    pub(super) fn load(&self, store: Arc<SqliteStore>) -> Result<(Cardex, SyncReport)> {
        // A command asks once and ends: it needs the index, and few records.
        let options = CacheOptions::default().load_bodies(false).follow(false);
        let cardex = Cardex::over(store, Arc::new(SystemClock), options)?;
        let report = cardex.load()?;
        for row in &report.skipped {
            let (path, reason) = (printable(&row.path), printable(&row.reason));
            say(&format!(
                "warning: {path} cannot be read and is left out: {reason}"
            ));
        }
        let unnamed = report
            .skipped_total
            .saturating_sub(report.skipped.len() as u64);
        if unnamed > 0 {
            say(&format!(
                "warning: {unnamed} more files cannot be read and are left out"
            ));
        }
        Ok((cardex, report))
    }
}

/// What keeps SQLite from working with an existing database: the file, or its directory.
pub(super) fn unwritable(database: &Path) -> Option<&Path> {
    let here = [database, database.parent()?];
    let refused = |path: &Path| {
        matches!(
            access(path, Access::WRITE_OK),
            Err(Errno::ACCESS | Errno::ROFS)
        )
    };
    here.into_iter()
        .find(|path| database.exists() && refused(path))
}

/// What lies in the tree comes from whoever made that: no database is opened through a link there,
/// nor one whose log, lock or ledgers would be written through a link.
pub(super) fn assert_no_links(database: &Path, root: &Path) -> Result<()> {
    if !database.starts_with(root) {
        return Ok(());
    }
    let suffixes = ["", "-wal", "-shm", "-journal", ".lock"].into_iter();
    let linked = suffixes.map(|suffix| {
        let mut name = database.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    });
    let data = root.join(DATA);
    let Some(link) = linked
        .chain(ledgers_beside(database))
        .chain(database.starts_with(&data).then_some(data))
        .find(|path| path.is_symlink())
    else {
        return Ok(());
    };
    let message = format!("{} is a symbolic link in the tree", link.display());
    Err(Error::new(ErrorKind::InvalidInput, message)
        .with_help("remove it, or name what it leads to with --db PATH"))
}

/// The ledgers of tiers beside a cache file, `FILE.PREFIX.owed`, one for each type.
fn ledgers_beside(file: &Path) -> Vec<PathBuf> {
    let beside = file
        .parent()
        .and_then(|directory| directory.read_dir().ok());
    let start = file.file_name().unwrap_or_default().as_encoded_bytes();
    let is_ledger = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        name.starts_with(start) && name.ends_with(b".owed")
    };
    let paths = beside.into_iter().flatten().flatten();
    paths.map(|entry| entry.path()).filter(is_ledger).collect()
}

/// Makes the directory, for its owner only, and tells git to ignore it.
fn make_data_directory(data: &Path) -> Result<()> {
    let fail = |what: &str, cause: std::io::Error| {
        Error::new(ErrorKind::Io, format!("cannot {what} {}", data.display())).because(cause)
    };
    match fs::symlink_metadata(data) {
        // It comes with the tree, from whoever made that: nothing is written where it leads.
        Ok(found) if !found.is_dir() => {
            let message = format!("{} is no directory of the tree itself", data.display());
            return Err(Error::new(ErrorKind::InvalidInput, message)
                .with_help("remove it, or keep the database elsewhere with --db PATH"));
        }
        Ok(_) => {}
        Err(_) => {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(data).map_err(|cause| fail("make", cause))?;
        }
    }
    let ignore = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(data.join(".gitignore"));
    match ignore {
        Ok(mut file) => file
            .write_all(b"*\n")
            .map_err(|cause| fail("write in", cause)),
        Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(cause) => Err(fail("write in", cause)),
    }
}
