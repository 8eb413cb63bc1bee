//! How a SQLite store is opened. Options can only be valid: what is out of range is refused when it
//! is set.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};

/// The limits of a [`SqliteStore`](super::SqliteStore), and what it is told about its project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    max_connections: u32,
    connection_timeout: Duration,
    root: Option<PathBuf>,
}

impl Default for SqliteOptions {
    /// 4 connections, 5 seconds, no root.
    fn default() -> Self {
        SqliteOptions {
            max_connections: 4,
            connection_timeout: Duration::from_secs(5),
            root: None,
        }
    }
}

impl SqliteOptions {
    /// At most this many connections to the file, 1 to 16: so many reads can run at once. Writes
    /// take turns in any case.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn max_connections(mut self, count: u32) -> Result<Self> {
        if !(1..=16).contains(&count) {
            return Err(Error::out_of_range(
                "database.max_connections",
                count,
                "1 to 16",
            ));
        }
        self.max_connections = count;
        Ok(self)
    }

    /// How long a verb waits for a connection, and again for the lock of another writer, before it
    /// fails with `DatabaseBusy`: 1 to 30 seconds.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn connection_timeout(mut self, timeout: Duration) -> Result<Self> {
        if !(Duration::from_secs(1)..=Duration::from_secs(30)).contains(&timeout) {
            let value = format!("{timeout:?}");
            return Err(Error::out_of_range(
                "database.connection_timeout",
                value,
                "1s to 30s",
            ));
        }
        self.connection_timeout = timeout;
        Ok(self)
    }

    /// The project's root directory, to be remembered in the database for people and tools.
    #[must_use]
    pub fn root(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = Some(root.into());
        self
    }

    /// How many connections to the database are open at most, beside the one that follows it.
    pub fn pool_size(&self) -> u32 {
        self.max_connections
    }

    pub(super) fn timeout(&self) -> Duration {
        self.connection_timeout
    }

    pub(super) fn project_root(&self) -> Option<&Path> {
        self.root.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn what_is_out_of_range_is_refused_by_name() {
        let options = SqliteOptions::default();
        for count in [0, 17] {
            let error = options.clone().max_connections(count).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(
                error.to_string().contains("database.max_connections"),
                "{error}"
            );
        }
        for timeout in [Duration::from_millis(999), Duration::from_millis(30_001)] {
            let error = options.clone().connection_timeout(timeout).unwrap_err();
            assert!(
                error.to_string().contains("database.connection_timeout"),
                "{error}"
            );
        }
        assert_eq!(options.max_connections(16).unwrap().pool_size(), 16);
    }
}
