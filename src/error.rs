//! The one error of the crate. It names the input that failed, says what to do about it, and
//! carries a stable code that is the same in the library, on the command line and on the wire.

use std::error::Error as StdError;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The result of every fallible verb of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in one of a small number of kinds that a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A path is empty, absolute outside the root, climbs out of it, or is no text.
    InvalidPath,
    /// A record breaks a rule: a line range that ends before it starts, a size out of range.
    InvalidRecord,
    /// A query names an empty value, an unknown field or a negative limit.
    InvalidQuery,
    /// A path pattern (regular expression or glob) does not parse or is too large.
    InvalidPattern,
    /// A configuration key is unknown, or its value is out of range.
    InvalidConfig,
    /// Input to read in (an import file, for example) is malformed.
    InvalidInput,
    /// What was asked for does not exist, and its absence is an error.
    NotFound,
    /// A file of the file system could not be read or written.
    Io,
    /// The database could not be opened, read or written.
    Database,
    /// Another process holds the database's lock for longer than the time-out.
    DatabaseBusy,
    /// The file is no database of this program, or its contents are damaged.
    DatabaseCorrupt,
    /// A server could not be reached, did not answer in time, or refused; or it was not asked, because
    /// it lately was so.
    Unavailable,
    /// The database was written by a newer version of this program.
    SchemaTooNew,
    /// The change is in the database for good, but the index could not be brought up to date with
    /// it: do not write it again, synchronise again.
    CommittedNotApplied,
    /// The change log was pruned past the position asked for; only a full sync can follow.
    LogPruned,
    /// The work was told to stop.
    Cancelled,
    /// Components cannot be put together, started or stopped as they are: a name is taken, a
    /// dependency is missing or circular, one of them panicked.
    Component,
    /// Caches cannot be coordinated as they are: a name is empty or taken, one of them panicked, or a
    /// round takes longer than anybody waits for it.
    Coordinator,
    /// A component was asked to work before it was initialized, or after it was shut down.
    NotInitialized,
    /// The index was asked before it was ever loaded: what the project holds is not known.
    NotLoaded,
    /// The answer cannot be made as fresh as it was demanded.
    NotFresh,
    /// A record has changed since the answer that found it.
    Superseded,
    /// A source file could not be read as source.
    Extraction,
    /// A rule of this crate was broken by this crate.
    Internal,
}

impl ErrorKind {
    /// Whether the same database may well be reached the next time. The other errors of a database
    /// want somebody to act.
    pub(crate) fn may_pass(self) -> bool {
        matches!(
            self,
            ErrorKind::Io | ErrorKind::Database | ErrorKind::DatabaseBusy | ErrorKind::Unavailable
        )
    }

    /// The stable code of this kind, in kebab case.
    pub fn code(self) -> &'static str {
        match self {
            ErrorKind::InvalidPath => "invalid-path",
            ErrorKind::InvalidRecord => "invalid-record",
            ErrorKind::InvalidQuery => "invalid-query",
            ErrorKind::InvalidPattern => "invalid-pattern",
            ErrorKind::InvalidConfig => "invalid-config",
            ErrorKind::InvalidInput => "invalid-input",
            ErrorKind::NotFound => "not-found",
            ErrorKind::Io => "io",
            ErrorKind::Database => "database",
            ErrorKind::DatabaseBusy => "database-busy",
            ErrorKind::DatabaseCorrupt => "database-corrupt",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::SchemaTooNew => "schema-too-new",
            ErrorKind::CommittedNotApplied => "committed-not-applied",
            ErrorKind::LogPruned => "log-pruned",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::Component => "component",
            ErrorKind::Coordinator => "coordinator",
            ErrorKind::NotInitialized => "not-initialized",
            ErrorKind::NotLoaded => "not-loaded",
            ErrorKind::NotFresh => "not-fresh",
            ErrorKind::Superseded => "superseded",
            ErrorKind::Extraction => "extraction",
            ErrorKind::Internal => "internal",
        }
    }
}

/// A piece of the caller's own input with the bad place in it, to be shown with a caret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The input, or the line of it that matters.
    pub text: String,
    /// The bytes of `text` that are wrong; empty at its end when something is missing there.
    pub at: Range<usize>,
}

/// An error of this crate: a kind, a sentence that names the input, and, where known, what to do,
/// the bad place, and the cause.
///
/// `{}` prints the sentence, `{:#}` the sentence and every cause behind it. Clones share it all: one
/// failure is told to everybody who waited for the same work.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    help: Option<String>,
    excerpt: Option<Excerpt>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; `message` names the input that failed.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Arc::new(Inner {
            kind,
            message: message.into(),
            help: None,
            excerpt: None,
            source: None,
        }))
    }

    /// A verb of a component that does not run.
    pub(crate) fn not_initialized(component: &str) -> Self {
        let message = format!("the component `{component}` is not initialized, or was shut down");
        Error::new(ErrorKind::NotInitialized, message)
            .with_help("start its host, or open it, first")
    }

    /// A value of a configuration key that is outside its range; `range` is what to give instead.
    pub(crate) fn out_of_range(key: &str, value: impl fmt::Display, range: &str) -> Self {
        let message = format!("`{key}` = {value} is out of range");
        Error::new(ErrorKind::InvalidConfig, message).with_help(format!("give {range}"))
    }

    /// Adds what the reader can do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.0).help = Some(help.into());
        self
    }

    /// Adds the bad place in the caller's input.
    #[must_use]
    pub fn with_excerpt(mut self, text: impl Into<String>, at: Range<usize>) -> Self {
        Arc::make_mut(&mut self.0).excerpt = Some(Excerpt {
            text: text.into(),
            at,
        });
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Arc::make_mut(&mut self.0).source = Some(Arc::from(cause.into()));
        self
    }

    /// The same error, told by somebody who knows what it stood in the way of.
    pub(crate) fn prefixed(mut self, what: &str) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        inner.message = format!("{what}: {}", inner.message);
        self
    }

    /// The kind, for a caller that acts on it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The stable code of the kind.
    pub fn code(&self) -> &'static str {
        self.0.kind.code()
    }

    /// What to do about it, where that is known.
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// The bad place in the caller's input, where there is one.
    pub fn excerpt(&self) -> Option<&Excerpt> {
        self.0.excerpt.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if f.alternate() {
            let mut cause = self.source();
            while let Some(error) = cause {
                write!(f, ": {error}")?;
                cause = error.source();
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {self:#}", self.code())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|cause| cause as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternate_display_shows_every_cause() {
        let inner = Error::new(ErrorKind::Io, "disk full");
        let outer = Error::new(ErrorKind::Database, "cannot write a.rs").because(inner);
        assert_eq!(format!("{outer}"), "cannot write a.rs");
        assert_eq!(format!("{outer:#}"), "cannot write a.rs: disk full");
        assert_eq!(
            format!("{outer:?}"),
            "[database] cannot write a.rs: disk full"
        );
    }
}
