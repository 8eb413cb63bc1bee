//! `FileState`: what a stored record says of its file's bytes.

use chrono::{DateTime, Utc};
use smol_str::SmolStr;

use super::{FileMetadata, FilePath};

/// What is needed to tell whether a file on disk is the one that a record was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileState {
    /// Where it is.
    pub path: FilePath,
    /// Its size.
    pub size_bytes: Option<u64>,
    /// When it was last written to.
    pub last_modified: Option<DateTime<Utc>>,
    /// `algorithm:hex` of its bytes.
    pub digest: Option<SmolStr>,
    /// When it was read: the extraction's timestamp.
    pub read_at: Option<DateTime<Utc>>,
}

impl From<&FileMetadata> for FileState {
    fn from(record: &FileMetadata) -> Self {
        FileState {
            path: record.path.clone(),
            size_bytes: record.size_bytes,
            last_modified: record.last_modified,
            digest: record.digest.clone(),
            read_at: record.extraction_timestamp,
        }
    }
}
