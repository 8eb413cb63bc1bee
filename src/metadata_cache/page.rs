//! The records of an answer, a page at a time.

use std::ops::Range;

use super::record::Record;
use crate::error::Error;

/// Which records of an answer are wanted, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Fetch {
    pub(super) page: Range<usize>,
    pub(super) is_access: bool,
    pub(super) allow_partial: bool,
}

impl Fetch {
    /// Those of all hits.
    pub fn all() -> Self {
        Self::page(0..usize::MAX)
    }

    /// Those of the hits with these numbers, counted from 0; the range is cut to what there is.
    pub fn page(hits: Range<usize>) -> Self {
        Fetch {
            page: hits,
            is_access: true,
            allow_partial: false,
        }
    }

    /// Reads them without counting as an access to any: a scan of everything says nothing about
    /// what will be wanted again.
    pub fn as_scan(mut self) -> Self {
        self.is_access = false;
        self
    }

    /// Returns what can be had where some cannot; [`Page::missing`] then tells what and why.
    pub fn allow_partial(mut self) -> Self {
        self.allow_partial = true;
        self
    }
}

/// The records of a page, in the order of the answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Page {
    /// Each in the version that the answer found.
    pub records: Vec<Record>,
    /// The hits without one; empty unless the caller allowed it.
    pub missing: Vec<Missing>,
}

impl Page {
    /// Whether every hit of the page has its record.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }
}

/// A hit whose record could not be had.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Missing {
    /// Its path.
    pub path: String,
    /// Why: `Superseded`, or an error of the database.
    pub error: Error,
}
