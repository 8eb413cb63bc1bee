//! The lock of a cache file, which outlives it: one process at a time holds it. In it stand two words
//! about the file, so that a file that lacks its last changes is known from one that has them all:
//! how many changes were acknowledged, and whether there is one that the file must not be believed
//! without.
//!
//! The words are written in place after each change, without a sync: that outlives the process, and
//! also a disk that is full. What it does not outlive, a machine that goes down, the file itself tells
//! (see [`schema`](super::schema)).

use std::fs::File;
use std::io;
use std::path::Path;

use super::schema::MOST_CHANGES;
use crate::error::Result;
use crate::store::own;

/// Where the count of changes stands.
const CHANGES: u64 = 0;
/// Where it stands whether the file is believed: 0 if it is.
const DOUBT: u64 = 8;

/// The lock, held as long as this lives.
#[derive(Debug)]
pub(super) struct Guard {
    file: File,
}

impl Guard {
    /// Takes the lock of this cache file.
    ///
    /// # Errors
    /// `DatabaseBusy` if somebody has it; `Io`.
    pub(super) fn take(cache: &Path) -> Result<Self> {
        let file = own(cache, "cache file")?;
        Ok(Guard { file }.sane())
    }

    /// A lock file that counts more changes than anybody makes is damaged: it says nothing.
    fn sane(self) -> Self {
        if self.changes() > MOST_CHANGES {
            self.note_doubt(true);
            self.note_changes(0);
        }
        self
    }

    /// How many changes were acknowledged, as far as is known.
    pub(super) fn changes(&self) -> u64 {
        self.word(CHANGES)
    }

    /// Notes how many changes there are, before the last one is acknowledged. If that fails, fewer are
    /// known of, which is safe as long as nothing happens to the log.
    pub(super) fn note_changes(&self, changes: u64) {
        self.note(CHANGES, changes);
    }

    /// Whether the file must not be believed.
    pub(super) fn doubts(&self) -> bool {
        self.word(DOUBT) != 0
    }

    /// Notes whether it must not.
    pub(super) fn note_doubt(&self, doubt: bool) {
        self.note(DOUBT, u64::from(doubt));
    }

    fn word(&self, at: u64) -> u64 {
        let mut word = [0; 8];
        match read_at(&self.file, &mut word, at) {
            Ok(8) => u64::from_le_bytes(word),
            // The file is new.
            _ => 0,
        }
    }

    fn note(&self, at: u64, word: u64) {
        if let Err(error) = write_at(&self.file, &word.to_le_bytes(), at) {
            tracing::warn!(%error, "the lock file of a cache file cannot be written");
        }
    }
}

#[cfg(unix)]
use std::os::unix::fs::FileExt;

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    file.read_at(bytes, at)
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    file.write_all_at(bytes, at)
}

#[cfg(windows)]
use std::os::windows::fs::FileExt;

#[cfg(windows)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    file.seek_read(bytes, at)
}

#[cfg(windows)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    file.seek_write(bytes, at).map(drop)
}
