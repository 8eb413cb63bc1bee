//! The files of a cache on the disk: the database, and its log and the log's index beside it. They are
//! recognised, so that it is noticed when somebody takes them away; moved aside together; or removed.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::store::{FileIdentity, beside};

/// How many damaged files are kept beside the cache's own; a further one takes the last one's place.
const MOST_ASIDE: u32 = 3;

/// The database, its log, and the log's index.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

/// The files as they were when they were opened.
#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    known: [Option<FileIdentity>; 3],
}

impl Files {
    /// Those that this path names now.
    pub(super) fn of(path: &Path) -> Self {
        Files {
            path: path.to_owned(),
            known: SUFFIXES.map(|suffix| FileIdentity::of(&beside(path, suffix)).ok()),
        }
    }

    /// The path of the database.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the database and its log are where they were.
    pub(super) fn are_in_place(&self) -> bool {
        self.is_in_place(0) && self.is_in_place(1)
    }

    fn is_in_place(&self, which: usize) -> bool {
        FileIdentity::of(&beside(&self.path, SUFFIXES[which])).ok() == self.known[which]
    }

    /// Removes those that are still where they were, so that whatever has come in the place of another
    /// one is left alone, and is not read with our log.
    pub(super) fn remove(&self) -> Result<()> {
        let ours = (0..SUFFIXES.len()).filter(|which| self.is_in_place(*which));
        remove_these(&self.path, ours.map(|which| SUFFIXES[which]).rev())
    }
}

/// Removes the files of this path, whoever made them.
pub(super) fn remove(path: &Path) -> Result<()> {
    remove_these(path, SUFFIXES.into_iter().rev())
}

/// The log goes before the database, or it would be taken for that of the next one. That they are gone
/// is made to last: a machine that goes down must not bring them back.
fn remove_these(path: &Path, suffixes: impl Iterator<Item = &'static str>) -> Result<()> {
    for suffix in suffixes {
        let file = beside(path, suffix);
        match std::fs::remove_file(&file) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("remove", &file, e));
            }
            _ => {}
        }
    }
    sync_directory(path)
}

/// Gives the files other names, `NAME.corrupt-1` and so on.
pub(super) fn move_aside(path: &Path) -> Result<PathBuf> {
    let free = (1..MOST_ASIDE).find(|n| !aside(path, *n).exists());
    let target = aside(path, free.unwrap_or(MOST_ASIDE));
    for suffix in SUFFIXES.into_iter().rev() {
        let (from, to) = (beside(path, suffix), beside(&target, suffix));
        match std::fs::rename(&from, &to) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => drop(std::fs::remove_file(&to)),
            Err(e) => return Err(io_error("move aside", &from, e)),
            Ok(()) => {}
        }
    }
    sync_directory(path)?;
    Ok(target)
}

fn aside(path: &Path, n: u32) -> PathBuf {
    beside(path, &format!(".corrupt-{n}"))
}

#[cfg(unix)]
fn sync_directory(path: &Path) -> Result<()> {
    let Some(directory) = path.parent() else {
        return Ok(());
    };
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    match synced {
        // The directory is gone, and all in it.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        synced => synced.map_err(|e| io_error("sync", directory, e)),
    }
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> Result<()> {
    Ok(())
}

pub(super) fn io_error(operation: &str, path: &Path, cause: io::Error) -> Error {
    let message = format!("cannot {operation} {}", path.display());
    Error::new(ErrorKind::Io, message).because(cause)
}
