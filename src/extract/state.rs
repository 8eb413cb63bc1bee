//! What is already known of a file, and whether that still holds: the pure half of change
//! detection.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use smol_str::SmolStr;

use crate::metadata::FileState;

/// A file that was read this soon after it was written may be written again without its time
/// moving: file systems keep times in steps of up to two seconds.
pub(super) const RACY: Duration = Duration::from_secs(2);

impl FileState {
    /// Whether a file of this size and time needs not be read. Unknown is never equal, and a file
    /// read within two seconds of its last change is compared by digest once more: it may have
    /// been written again within the same tick of the file system's clock.
    pub fn is_current(&self, size_bytes: u64, last_modified: Option<DateTime<Utc>>) -> bool {
        self.is_settled()
            && self.size_bytes == Some(size_bytes)
            && self.last_modified == last_modified
    }

    /// Whether this state says no more than an older one of the same bytes: it was read too soon
    /// after the last change as well.
    pub(super) fn is_as_unsettled_as(&self, older: &FileState) -> bool {
        !self.is_settled()
            && self.size_bytes == older.size_bytes
            && self.last_modified == older.last_modified
    }

    /// Whether it was read long enough after the last change.
    fn is_settled(&self) -> bool {
        match (self.last_modified, self.read_at) {
            (Some(modified), Some(read)) => {
                read - modified >= TimeDelta::from_std(RACY).unwrap_or(TimeDelta::MAX)
            }
            // Whoever does not keep the time of reading gets size and time compared alone.
            (Some(_), None) => true,
            (None, _) => false,
        }
    }
}

/// The digest of a file's bytes, as records hold it.
pub fn digest(bytes: &[u8]) -> SmolStr {
    SmolStr::from(format!("blake3:{}", blake3::hash(bytes).to_hex()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::FilePath;

    fn at(ms: i64) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_millis(ms)
    }

    #[test]
    fn size_and_time_decide_unless_unknown_or_read_in_the_same_moment() {
        let state = FileState {
            path: FilePath::new("a").unwrap(),
            size_bytes: Some(3),
            last_modified: at(1_000),
            digest: None,
            read_at: at(9_000),
        };
        assert!(state.is_current(3, at(1_000)));
        assert!(!state.is_current(4, at(1_000)));
        assert!(!state.is_current(3, at(1_001)), "later");
        assert!(!state.is_current(3, at(999)), "earlier");
        assert!(
            !FileState {
                read_at: at(2_999),
                ..state.clone()
            }
            .is_current(3, at(1_000)),
            "racy"
        );
        assert!(
            FileState {
                read_at: None,
                ..state.clone()
            }
            .is_current(3, at(1_000))
        );
        assert!(
            !FileState {
                last_modified: None,
                ..state
            }
            .is_current(3, None),
            "unknown"
        );
    }

    #[test]
    fn a_digest_names_its_algorithm() {
        assert!(digest(b"").starts_with("blake3:af1349b9"));
    }
}
