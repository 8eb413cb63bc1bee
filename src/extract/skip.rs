//! Why a file has no record, or one without its contents. A skip is never an error of the run: it is one of its answers.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::metadata::FilePath;

/// A file that was found and not recorded, or recorded without its contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Where it is, relative to the root, as the file system spells it.
    pub path: PathBuf,
    /// Why.
    pub reason: SkipReason,
}

impl Skipped {
    /// The path as records spell it; none if it cannot be one, and then no record can exist.
    pub fn file(&self) -> Option<FilePath> {
        FilePath::under(Path::new("/"), &self.path).ok()
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

/// Why a file has no record, or one without its contents.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// Its name says that it holds a secret; it was not opened.
    Secret,
    /// It has a NUL byte in its first 8 KiB, or is no UTF-8 and has other bytes of no text there.
    Binary,
    /// It is larger than `max_file_bytes`.
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// It would be parsed, and a line is longer than `max_line_bytes`: machine-made text.
    LineTooLong {
        /// The line, counted from 1.
        line: u32,
        /// The limit in bytes.
        limit: usize,
    },
    /// Its text is no UTF-8.
    NotUtf8,
    /// It could not be parsed in the time a file is given.
    TimedOut {
        /// The time given.
        limit: Duration,
    },
    /// Its syntax tree is too large or too deeply nested to be searched.
    TooComplex,
    /// It is a symbolic link; links are not followed.
    Symlink,
    /// It is a device, a pipe or a socket.
    NotAFile,
    /// Its path is no path of a record: not UTF-8, or too long.
    BadPath,
    /// It changed each time it was read.
    ChangedWhileRead,
    /// It, or the directory it is in, could not be read.
    Unreadable(String),
    /// It holds ignore rules, and they could not be read: files that they would hide are taken.
    RulesUnread(String),
    /// The extractor panicked on it.
    Panicked(String),
    /// The host's extractor declined it, in its own words.
    Declined(String),
    /// The store refused the record that was made of it: it holds what no record may.
    Refused(String),
    /// The run was told to stop. An extractor returns it; no outcome carries it.
    Stopped,
}

impl SkipReason {
    /// The stable code of the reason, in kebab case.
    pub fn code(&self) -> &'static str {
        match self {
            SkipReason::Secret => "secret",
            SkipReason::Binary => "binary",
            SkipReason::TooLarge { .. } => "too-large",
            SkipReason::LineTooLong { .. } => "line-too-long",
            SkipReason::NotUtf8 => "not-utf8",
            SkipReason::TimedOut { .. } => "timed-out",
            SkipReason::TooComplex => "too-complex",
            SkipReason::Symlink => "symlink",
            SkipReason::NotAFile => "not-a-file",
            SkipReason::BadPath => "bad-path",
            SkipReason::ChangedWhileRead => "changed-while-read",
            SkipReason::Unreadable(_) => "unreadable",
            SkipReason::RulesUnread(_) => "rules-unread",
            SkipReason::Panicked(_) => "panicked",
            SkipReason::Declined(_) => "declined",
            SkipReason::Refused(_) => "refused",
            SkipReason::Stopped => "stopped",
        }
    }

    /// Whether the file is recorded all the same, without its contents: it is text, and only what is
    /// in it is not known.
    pub fn leaves_a_record(&self) -> bool {
        matches!(
            self,
            SkipReason::LineTooLong { .. }
                | SkipReason::NotUtf8
                | SkipReason::TimedOut { .. }
                | SkipReason::TooComplex
                | SkipReason::Panicked(_)
        )
    }

    /// Whether the file is known to have no record now, so that an older record of it must go.
    /// Otherwise nothing could be known this time: an older record may be kept, as unconfirmed,
    /// and the file is to be tried again.
    pub fn excludes(&self) -> bool {
        !matches!(
            self,
            SkipReason::ChangedWhileRead
                | SkipReason::Unreadable(_)
                | SkipReason::RulesUnread(_)
                | SkipReason::Stopped
        )
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SkipReason::Secret => f.write_str("its name says that it holds a secret"),
            SkipReason::Binary => f.write_str("it is binary"),
            SkipReason::TooLarge { bytes, limit } => {
                write!(f, "it has {bytes} bytes; the limit is {limit}")
            }
            SkipReason::LineTooLong { line, limit } => {
                write!(f, "line {line} is longer than {limit} bytes")
            }
            SkipReason::NotUtf8 => f.write_str("it is not valid UTF-8"),
            SkipReason::TimedOut { limit } => {
                write!(f, "it could not be parsed in {} ms", limit.as_millis())
            }
            SkipReason::TooComplex => f.write_str("its syntax is nested too deeply"),
            SkipReason::Symlink => f.write_str("it is a symbolic link"),
            SkipReason::NotAFile => f.write_str("it is no regular file"),
            SkipReason::BadPath => f.write_str("its path is not valid UTF-8, or too long"),
            SkipReason::ChangedWhileRead => f.write_str("it changes each time it is read"),
            SkipReason::Unreadable(cause) => write!(f, "it cannot be read: {cause}"),
            SkipReason::RulesUnread(cause) => {
                write!(
                    f,
                    "its ignore rules cannot be read and count as none: {cause}"
                )
            }
            SkipReason::Panicked(message) => write!(f, "the extractor panicked: {message}"),
            SkipReason::Declined(message) | SkipReason::Refused(message) => f.write_str(message),
            SkipReason::Stopped => f.write_str("the run was told to stop"),
        }
    }
}
