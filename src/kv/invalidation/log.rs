//! The last invalidations, for whoever wonders why something is not there any more.

use std::collections::VecDeque;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::clock::Clock;
use crate::error::Result;
use crate::primitives::Mutex;

/// How many are kept.
pub const MAX_INVALIDATIONS_KEPT: usize = 100;
/// Texts that are kept are cut to so many characters.
const MAX_CHARS: usize = 300;

/// An invalidation that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Invalidated {
    /// When it was done, by the clock on the wall.
    pub at: DateTime<Utc>,
    /// Why, in the words of who asked for it.
    pub cause: String,
    /// The pattern of keys, or the hook.
    pub pattern: String,
    /// How many entries left.
    pub removed: usize,
    /// What went wrong, where something did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The last invalidations, at most [`MAX_INVALIDATIONS_KEPT`].
#[derive(Debug)]
pub struct InvalidationLog {
    clock: Arc<dyn Clock>,
    kept: Mutex<VecDeque<Invalidated>>,
}

impl InvalidationLog {
    /// An empty one.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        InvalidationLog {
            clock,
            kept: Mutex::default(),
        }
    }

    /// Takes note of an invalidation that was just made.
    pub fn note(&self, cause: &str, pattern: &str, outcome: &Result<usize>) {
        let cut = |text: &str| text.chars().take(MAX_CHARS).collect::<String>();
        let made = Invalidated {
            at: self.clock.now(),
            cause: cut(cause),
            pattern: cut(pattern),
            removed: outcome.as_ref().copied().unwrap_or(0),
            error: outcome
                .as_ref()
                .err()
                .map(|error| cut(&format!("{error:#}"))),
        };
        let mut kept = self.kept.lock();
        if kept.len() == MAX_INVALIDATIONS_KEPT {
            kept.pop_front();
        }
        kept.push_back(made);
    }

    /// The last ones, at most so many, the newest first.
    pub fn last(&self, most: usize) -> Vec<Invalidated> {
        self.kept.lock().iter().rev().take(most).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::error::{Error, ErrorKind};

    #[test]
    fn the_last_hundred_are_kept_the_newest_first() {
        let log = InvalidationLog::new(Arc::new(ManualClock::new()));
        for n in 0..150 {
            log.note("a test", &format!("k{n}"), &Ok(n));
        }
        log.note(
            &"long ".repeat(100),
            "x",
            &Err(Error::new(ErrorKind::Io, "gone")),
        );
        let last = log.last(usize::MAX);
        assert_eq!(last.len(), MAX_INVALIDATIONS_KEPT);
        assert_eq!(
            (last[0].removed, last[0].error.as_deref()),
            (0, Some("gone"))
        );
        assert_eq!(last[0].cause.len(), MAX_CHARS);
        assert_eq!((&*last[1].pattern, last[1].removed), ("k149", 149));
        assert_eq!(log.last(2).len(), 2);
    }
}
