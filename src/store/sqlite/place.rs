//! Where a database lies: its file, and the two beside it, as they were when it was opened. Whether
//! they are still the same is asked of the file system each time.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::file::FileIdentity;
use super::sidecars::Sidecars;
use crate::error::{Error, ErrorKind, Result};

/// The files of a database that was opened.
#[derive(Debug)]
pub(super) struct Place {
    file: PathBuf,
    identity: FileIdentity,
    /// Known from the first connection on that stays, which holds them open.
    sidecars: OnceLock<Sidecars>,
}

impl Place {
    /// The place of a file that must exist.
    ///
    /// # Errors
    /// `Io` if it does not.
    pub(super) fn of(file: &Path) -> Result<Self> {
        Ok(Place {
            file: file.to_owned(),
            identity: FileIdentity::of(file)?,
            sidecars: OnceLock::new(),
        })
    }

    /// The path of the database.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Which file the path named.
    pub(super) fn identity(&self) -> FileIdentity {
        self.identity
    }

    /// Remembers which files beside the database are ours. A connection has read something before.
    ///
    /// # Errors
    /// `DatabaseCorrupt` if they were deleted at once.
    pub(super) fn note_sidecars(&self) -> Result<()> {
        let found = Sidecars::of(&self.file, self.identity).map_err(|cause| {
            let name = self.file.display();
            let message = format!("the write-ahead log of {name} was deleted while it was opened");
            Error::new(ErrorKind::DatabaseCorrupt, message)
                .with_help("try again")
                .because(cause)
        })?;
        // Once: later on, what lies there may be somebody else's.
        self.sidecars.get_or_init(|| found);
        Ok(())
    }

    /// Whether the path still names our file.
    pub(super) fn is_in_place(&self) -> bool {
        FileIdentity::of(&self.file).is_ok_and(|now| now == self.identity)
    }

    /// The file beside the database that somebody deleted, or put another one in the place of, while
    /// our connections have it open: what they read and write is not what the database's other users
    /// see.
    pub(super) fn lost_sidecar(&self) -> Option<&Path> {
        self.sidecars.get().and_then(Sidecars::lost)
    }

    /// Whether all files are known and where they were.
    pub(super) fn is_whole(&self) -> bool {
        let are_in_place = self
            .sidecars
            .get()
            .is_some_and(|known| known.lost().is_none());
        are_in_place && self.is_in_place()
    }

    /// Checks, once another file is in the place of ours, that our write-ahead log does not lie beside
    /// that.
    ///
    /// # Errors
    /// As [`Sidecars::assert_left_no_wal`].
    pub(super) fn assert_left_no_wal(&self) -> Result<()> {
        match self.sidecars.get() {
            Some(known) if !self.is_in_place() => known.assert_left_no_wal(&self.file),
            _ => Ok(()),
        }
    }

    /// Checks that a database which lost its log may be opened again: after a while, and once nobody
    /// goes on with that log.
    ///
    /// # Errors
    /// As [`Sidecars::assert_let_go`].
    pub(super) fn assert_let_go(&self, has_waited: bool) -> Result<()> {
        match self.sidecars.get() {
            Some(known) if has_waited => known.assert_let_go(&self.file),
            Some(known) => Err(known.lost_error(&self.file, "", "try again in a second")),
            None => Ok(()),
        }
    }
}
