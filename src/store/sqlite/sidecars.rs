//! The two files that SQLite keeps beside an open database: `-wal`, the write-ahead log, and `-shm`,
//! the index of it that all its users share. Whoever has them open goes on with them after somebody
//! deleted them, and sees nothing of those who come later; so they are recognised, like the database,
//! by what the file system knows of them.

use std::path::{Path, PathBuf};

use super::file::FileIdentity;
use super::users;
use crate::error::{Error, ErrorKind, Result};

/// Both files, as they were when the database was opened.
#[derive(Clone, Debug)]
pub(super) struct Sidecars {
    database: FileIdentity,
    wal: Sidecar,
    shm: Sidecar,
}

#[derive(Clone, Debug)]
struct Sidecar {
    path: PathBuf,
    identity: FileIdentity,
}

impl Sidecar {
    fn of(database: &Path, suffix: &str) -> Result<Self> {
        let mut path = database.as_os_str().to_owned();
        path.push(suffix);
        let path = PathBuf::from(path);
        let identity = FileIdentity::of(&path)?;
        Ok(Sidecar { path, identity })
    }

    fn is_in_place(&self) -> bool {
        FileIdentity::of(&self.path).is_ok_and(|now| now == self.identity)
    }
}

impl Sidecars {
    /// Those of the database that `file` names, of which the caller has a connection that has read
    /// something: it keeps both open, so that no other file can come to look like them.
    ///
    /// # Errors
    /// `Io` if one is missing: somebody deleted it since.
    pub(super) fn of(file: &Path, database: FileIdentity) -> Result<Self> {
        // SQLite puts them beside the file that a symbolic link leads to.
        let target = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        Ok(Sidecars {
            database,
            wal: Sidecar::of(&target, "-wal")?,
            shm: Sidecar::of(&target, "-shm")?,
        })
    }

    /// The file that somebody deleted, or put another one in the place of, if there is one.
    pub(super) fn lost(&self) -> Option<&Path> {
        let lost = [&self.wal, &self.shm]
            .into_iter()
            .find(|one| !one.is_in_place());
        lost.map(|one| one.path.as_path())
    }

    /// Checks, once another database is in the place of ours, that no file of ours lies beside it. SQLite
    /// would take the pages of our write-ahead log for the latest ones of the new file, and mix both; and
    /// whoever shares our `-shm` with connections to the new file takes their locks away when he ends.
    ///
    /// # Errors
    /// `DatabaseCorrupt` naming what to delete.
    pub(super) fn assert_left_nothing(&self, file: &Path) -> Result<()> {
        let wal = &self.wal.path;
        let is_empty = std::fs::metadata(wal).map_or(true, |found| found.len() == 0);
        let left = match (self.wal.is_in_place() && !is_empty, self.shm.is_in_place()) {
            (true, _) => wal.display(),
            (false, true) => self.shm.path.display(),
            (false, false) => return Ok(()),
        };
        let (name, wal, shm) = (file.display(), wal.display(), self.shm.path.display());
        let message =
            format!("the database {name} was replaced, but {left} is still that of the former one");
        Err(
            Error::new(ErrorKind::DatabaseCorrupt, message).with_help(format!(
                "delete {wal} and {shm}: they do not belong to the file that is there now"
            )),
        )
    }

    /// Checks that nobody goes on with a lost file, who would write to the database behind the back of
    /// those that come now, and they behind his. What cannot be found out counts as somebody who
    /// does; but processes of another container are not seen, and none elsewhere than on Linux.
    ///
    /// # Errors
    /// As [`Sidecars::lost_error`], naming the process too.
    pub(super) fn assert_let_go(&self, file: &Path) -> Result<()> {
        let lost = [&self.wal, &self.shm].into_iter();
        let lost = lost.filter(|one| !one.is_in_place());
        let lost: Vec<FileIdentity> = lost.map(|one| one.identity).collect();
        let Some(users) = users::of(self.database) else {
            let more = ", and who still has it open cannot be found out";
            return Err(self.lost_error(file, more, "start this program again"));
        };
        let mut users = users.into_iter();
        let Some(user) = users.find(|user| user.has_open(&lost, self.database)) else {
            return Ok(());
        };
        Err(self.lost_error(
            file,
            &format!(", and {user} still has it open"),
            "end that process, or what else of this process uses the database",
        ))
    }

    /// The database cannot be used, because it lost one of these; `more` continues the sentence.
    pub(super) fn lost_error(&self, file: &Path, more: &str, help: &str) -> Error {
        let lost = self.lost().unwrap_or(&self.wal.path).display();
        let file = file.display();
        let message = format!("cannot open {file}: {lost} was deleted while it was in use{more}");
        Error::new(ErrorKind::DatabaseCorrupt, message).with_help(format!(
            "{help}: once nobody has the deleted file open, the database is opened again by itself"
        ))
    }
}
