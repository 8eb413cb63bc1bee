//! What an extractor is given and what it gives back. `Extractor` is the seam for hosts that bring
//! their own: a language model, a compiler's index.

use std::fmt::{self, Debug};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::metadata::{FileMetadata, FilePath};

use super::language::Language;
use super::skip::SkipReason;

/// One file, read whole.
pub struct Source<'a> {
    /// Where it is.
    pub path: &'a FilePath,
    /// Its text.
    pub text: &'a str,
    /// Its language, where it is recognised.
    pub language: Option<Language>,
    /// When it was last written to.
    pub last_modified: Option<DateTime<Utc>>,
    /// Whether a path names a file of the same tree: a document that a comment mentions is a
    /// reference only if it exists.
    pub exists: &'a dyn Fn(&FilePath) -> bool,
}

impl Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("path", &self.path)
            .field("bytes", &self.text.len())
            .field("language", &self.language)
            .finish_non_exhaustive()
    }
}

/// How long a file may take, and the flag that ends the whole run. An extractor asks now and then.
#[derive(Debug)]
pub struct Budget<'a> {
    limit: Duration,
    spent_at: Duration,
    stop: &'a AtomicBool,
}

impl<'a> Budget<'a> {
    /// A budget that starts now, on this thread.
    pub fn new(limit: Duration, stop: &'a AtomicBool) -> Self {
        Budget {
            limit,
            spent_at: thread_time().saturating_add(limit),
            stop,
        }
    }

    /// The whole time given.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// `Stopped` if the run was told to stop, `TimedOut` if the time is spent.
    pub fn check(&self) -> Result<(), SkipReason> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(SkipReason::Stopped);
        }
        if thread_time() > self.spent_at {
            return Err(SkipReason::TimedOut { limit: self.limit });
        }
        Ok(())
    }
}

/// Time on the processor, not on the wall: whether a file is skipped must not depend on what else
/// the machine does.
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Makes a record of a file.
pub trait Extractor: Send + Sync {
    /// Rises whenever the same text would give another record. The digest of a file cannot tell
    /// that its extractor got better: whoever keeps records keeps this number beside them, and
    /// asks for all files to be extracted again when it differs.
    fn version(&self) -> u32;

    /// The record of `source`. What the caller knows better (path, size, digest and times) is
    /// overwritten by it. Called on several threads at once; a panic is caught and skips the file.
    ///
    /// # Errors
    /// The reason to have no record.
    fn extract(&self, source: &Source<'_>, budget: &Budget<'_>)
    -> Result<FileMetadata, SkipReason>;
}
