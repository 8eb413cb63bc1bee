//! What came of a round of warming.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

/// What came of one round, loader by loader in the order in which they were added.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct WarmingReport {
    /// When it began, by the clock on the wall.
    pub at: DateTime<Utc>,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
    /// What came of each loader.
    pub loaders: Vec<Warmed>,
}

/// What came of one loader.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Warmed {
    /// Its name.
    pub loader: String,
    /// Entries that were put.
    pub kept: usize,
    /// Entries that were not, for want of room, or because their keys changed while they were loaded.
    pub left_out: usize,
    /// What went wrong, with its causes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl WarmingReport {
    /// Entries that were put, by all loaders.
    pub fn kept(&self) -> usize {
        self.loaders.iter().map(|one| one.kept).sum()
    }

    /// Whether no loader failed.
    pub fn is_complete(&self) -> bool {
        self.loaders.iter().all(|one| one.error.is_none())
    }
}

impl fmt::Display for Warmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Warmed {
            loader,
            kept,
            left_out,
            error,
        } = self;
        write!(f, "{loader}: {kept} kept")?;
        if *left_out > 0 {
            write!(f, ", {left_out} left out")?;
        }
        match error {
            Some(error) => write!(f, "; {error}"),
            None => Ok(()),
        }
    }
}
