//! What a file or directory was like when a result was made from it. A result is true as long as its
//! sources are as they were.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::dependencies::Source;
use crate::error::Result;

/// What a source was like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Stamp {
    /// There was nothing of that name.
    #[serde(rename = "gone")]
    Gone,
    /// A file.
    #[serde(rename = "file")]
    File(FileStamp),
    /// A directory: how many files and directories it held at any depth, and a digest of what each of
    /// them was like.
    #[serde(rename = "dir")]
    Directory(u64, String),
    /// What the change log of a database said of it, and of all below it.
    #[serde(rename = "row")]
    Row(RowStamp),
}

/// What the change log of a database said of a file or directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowStamp {
    /// Which database and history.
    #[serde(rename = "e")]
    pub(super) epoch: u64,
    /// Up to where the log was read.
    #[serde(rename = "q")]
    pub(super) sequence: u64,
    /// Up to where the log had forgotten deleted files then.
    #[serde(rename = "p")]
    pub(super) pruned_to: u64,
    /// Which pruning that was.
    #[serde(rename = "r", default)]
    pub(super) pruned_nonce: i64,
    /// Sequence and nonce of the last change of it, or of anything below it; none if there never was one.
    #[serde(rename = "l")]
    pub(super) last: Option<(u64, i64)>,
}

/// What a file was like: what the file system says, and a digest of its contents where that is not
/// enough.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    /// Its size in bytes.
    pub(super) size: u64,
    /// When its contents changed, in nanoseconds since 1970.
    pub(super) modified: i64,
    /// When anything of it changed, which nobody can set.
    pub(super) changed: i64,
    /// Which file it was: device and inode.
    pub(super) identity: (u64, u64),
    /// Where it had changed so shortly before that the next change might bear the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<String>,
}

/// Who can say what sources are like.
pub trait Witness: Send + Sync + fmt::Debug {
    /// What the source is like now; `None` if nobody would hear of a change to it, so that nothing that
    /// was made from it can be kept.
    ///
    /// # Errors
    /// Whatever keeps it from knowing.
    fn stamp(&self, source: &Source) -> Result<Option<Stamp>>;

    /// Whether the source is still what it was.
    ///
    /// # Errors
    /// Whatever keeps it from knowing.
    fn is_still(&self, source: &Source, stamp: &Stamp) -> Result<bool> {
        Ok(self.stamp(source)?.as_ref() == Some(stamp))
    }

    /// Whether each of these sources is still what it was: of all that a result was made from.
    ///
    /// # Errors
    /// Whatever keeps it from knowing.
    fn are_still(&self, seen: &[Seen]) -> Result<bool> {
        for seen in seen {
            if !self.is_still(&seen.source, &seen.stamp)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A source, and what it was like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its path from the root.
    #[serde(rename = "p")]
    pub(super) source: Source,
    #[serde(rename = "s")]
    pub(super) stamp: Stamp,
}
