//! Ten minutes of a few numbers, and the files that changed last: what a page about the server shows of
//! the past. One thread takes a sample every two seconds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde_json::Value;

use super::routes::stats_of;
use super::state::State;
use crate::error::Result;
use crate::position::Position;
use crate::store::ChangeSet;
use crate::worker::Worker;

/// How long between two samples.
const INTERVAL: Duration = Duration::from_secs(2);
/// Ten minutes of them.
pub(super) const MAX_SAMPLES: usize = 300;
/// How many changed files are remembered.
const MAX_RECENT: usize = 20;
/// So many changes are read at a time.
const MAX_CHANGES: usize = 1000;
/// A round reads at most so many times: what is left is for the next one.
const MAX_PAGES: usize = 10;

/// The state of a server at one moment. What was not known then is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// Requests answered, a second.
    pub(super) requests: Option<f64>,
    /// The share of gets that were hits, since the sample before.
    pub(super) hit_rate: Option<f64>,
    /// What the caches hold, in bytes.
    pub(super) bytes: Option<f64>,
    /// How long ago the database was looked at, in milliseconds.
    pub(super) lag_ms: Option<f64>,
    /// The used share of the tightest memory limit.
    pub(super) pressure: Option<f64>,
}

/// A file that changed while the server ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recent {
    pub(super) path: String,
    pub(super) is_deleted: bool,
    /// When it was noticed.
    pub(super) at: DateTime<Utc>,
}

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Samples(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    samples: VecDeque<Sample>,
    /// The newest first.
    recent: VecDeque<Recent>,
    before: Option<Counts>,
    followed_to: Option<Position>,
}

/// Sums at a moment: what lies between two of them is a rate.
#[derive(Clone, Copy, Debug)]
struct Counts {
    at: Instant,
    requests: u64,
    hits: u64,
    gets: u64,
}

impl Samples {
    /// Starts the thread that takes samples of this state.
    ///
    /// # Errors
    /// `Io` if it cannot be started.
    pub(super) fn take(state: &Arc<State>) -> Result<Worker> {
        let state = Arc::clone(state);
        let worker = Worker::spawn("cardex-samples", move |_| {
            state.samples.add(&state);
            if let Some(caches) = &state.served.results {
                caches.assess();
            }
            if let Err(error) = state.samples.follow(&state) {
                tracing::debug!("what changed is not known: {error:#}");
            }
            Some(INTERVAL)
        })?;
        worker.ring();
        Ok(worker)
    }

    /// From old to new.
    pub(super) fn all(&self) -> Vec<Sample> {
        self.0.lock().samples.iter().copied().collect()
    }

    /// The files that changed last, the newest first.
    pub(super) fn recent(&self) -> Vec<Recent> {
        self.0.lock().recent.iter().cloned().collect()
    }

    fn add(&self, state: &State) {
        let stats = stats_of(state).ok();
        let stats = stats.as_ref().unwrap_or(&Value::Null);
        let caches = stats["caches"].as_array().map_or(&[][..], Vec::as_slice);
        let sum = |name: &str| {
            caches
                .iter()
                .filter_map(|cache| cache[name].as_u64())
                .sum::<u64>()
        };
        let counts = Counts {
            at: Instant::now(),
            requests: state.metrics.answers(),
            hits: sum("hits"),
            gets: sum("hits") + sum("misses"),
        };
        let mut kept = self.0.lock();
        let before = kept.before.replace(counts);
        let sample = Sample {
            requests: before.map(|before| counts.requests_since(before)),
            hit_rate: before.and_then(|before| counts.hit_rate_since(before)),
            bytes: stats["caches"].is_array().then(|| sum("bytes") as f64),
            lag_ms: stats["ageMs"].as_f64(),
            pressure: stats["pressure"]["share"].as_f64(),
        };
        kept.samples.push_back(sample);
        if kept.samples.len() > MAX_SAMPLES {
            kept.samples.pop_front();
        }
    }

    /// Remembers what changed since the last time; of very much, a part, and goes on from there the next
    /// time. What could not be read is read then, too.
    fn follow(&self, state: &State) -> Result<()> {
        let now = state.cardex.snapshot()?.position();
        let mut from = *self.0.lock().followed_to.get_or_insert(now);
        for _ in 0..MAX_PAGES {
            if from == now {
                break;
            }
            let changes = state.cardex.changes(from, MAX_CHANGES)?;
            from = self.0.lock().remember(&changes, now);
            if !changes.is_truncated {
                break;
            }
        }
        Ok(())
    }
}

impl Kept {
    /// Remembers what was read, while the index was at `now`. Returns where to go on from.
    fn remember(&mut self, changes: &ChangeSet, now: Position) -> Position {
        if changes.is_fresh_instance {
            // The log could not tell: these are no changes.
            self.recent.clear();
            return *self.followed_to.insert(now);
        }
        let at = Utc::now();
        for change in &changes.changes {
            self.recent.retain(|recent| recent.path != change.path);
            self.recent.push_front(Recent {
                path: change.path.clone(),
                is_deleted: change.is_deleted,
                at,
            });
            self.recent.truncate(MAX_RECENT);
        }
        *self.followed_to.insert(changes.position)
    }
}

impl Counts {
    fn requests_since(self, before: Counts) -> f64 {
        let seconds = self.at.saturating_duration_since(before.at).as_secs_f64();
        self.requests.saturating_sub(before.requests) as f64 / seconds.max(1e-3)
    }

    /// None where there was no get.
    fn hit_rate_since(self, before: Counts) -> Option<f64> {
        let gets = self
            .gets
            .checked_sub(before.gets)
            .filter(|gets| *gets > 0)?;
        Some(self.hits.saturating_sub(before.hits) as f64 / gets as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Change;

    #[test]
    fn changes_are_remembered_page_by_page_and_a_log_that_cannot_tell_is_no_change() {
        let mut kept = Kept::default();
        let now = Position::default().at(9);
        let page = |names: std::ops::Range<u64>, is_truncated| ChangeSet {
            position: Position::default().at(names.end),
            changes: names
                .map(|version| Change {
                    path: format!("{version}.rs"),
                    version,
                    is_deleted: false,
                })
                .collect(),
            is_fresh_instance: false,
            is_truncated,
        };
        let from = kept.remember(&page(0..5, true), now);
        assert_eq!(from, Position::default().at(5), "not the end");
        assert_eq!(kept.remember(&page(3..9, false), now), now);
        let paths = |kept: &Kept| -> Vec<String> {
            kept.recent
                .iter()
                .map(|recent| recent.path.clone())
                .collect()
        };
        assert_eq!(paths(&kept)[..3], ["8.rs", "7.rs", "6.rs"]);
        assert_eq!(kept.recent.len(), 9, "each file once");
        let mut lost = page(0..5, true);
        lost.is_fresh_instance = true;
        assert_eq!(kept.remember(&lost, now), now);
        assert!(kept.recent.is_empty());
    }

    #[test]
    fn rates_are_of_the_time_between_two_samples() {
        let at = Instant::now();
        let counts = |seconds, requests, hits, gets| Counts {
            at: at + Duration::from_secs(seconds),
            requests,
            hits,
            gets,
        };
        let (before, after) = (counts(0, 10, 5, 10), counts(2, 30, 8, 14));
        assert_eq!(after.requests_since(before), 10.0);
        assert_eq!(after.hit_rate_since(before), Some(0.75));
        assert_eq!(before.hit_rate_since(before), None);
        // Counts that were reset meanwhile are not known.
        assert_eq!(before.hit_rate_since(after), None);
    }
}
