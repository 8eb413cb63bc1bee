//! Warming by the clock: a cron expression says when.

use std::fmt;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::Cron;

use super::Warmer;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::primitives::atomic::{AtomicBool, Ordering};
use crate::worker::Worker;

/// The clock on the wall may be set: it is looked at this often.
const LOOK: Duration = Duration::from_secs(1);

/// Warms whenever a cron expression says so, until it is dropped. That stops the round that the warmer is
/// making, and takes less than a second, whatever its loaders do.
pub struct WarmingSchedule {
    expression: String,
    ended: Arc<AtomicBool>,
    warmer: Arc<Warmer>,
    worker: Option<Worker>,
}

impl WarmingSchedule {
    /// Begins to look at the clock. The expression has five fields (minute, hour, day, month, day of the
    /// week; `0 2 * * *` is at two each night), or six with seconds before them, or is a nickname such as
    /// `@hourly`. Times are in UTC.
    ///
    /// Moments that passed while a round was made, or the machine slept, are one round, at once. After
    /// the clock was set back, the next round is the next moment by the new time.
    ///
    /// # Errors
    /// `InvalidConfig` for an expression that is none, or that names no moment; `Io` if no thread can be
    /// started.
    pub fn start(expression: &str, warmer: Arc<Warmer>, clock: Arc<dyn Clock>) -> Result<Self> {
        let mut ticks = Ticks::new(expression, clock.now())?;
        let ended = Arc::new(AtomicBool::new(false));
        let worker = Worker::spawn("cardex-warming", {
            let (warmer, ended) = (Arc::clone(&warmer), Arc::clone(&ended));
            move |_| {
                if ticks.is_due(clock.now())
                    && let Err(error) = warmer.warm_until(&ended)
                {
                    tracing::error!("{error:#}");
                }
                Some(ticks.wait(clock.now()))
            }
        })?;
        worker.ring();
        Ok(WarmingSchedule {
            expression: expression.to_owned(),
            ended,
            warmer,
            worker: Some(worker),
        })
    }
}

impl Drop for WarmingSchedule {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        self.warmer.stop();
        self.worker = None;
    }
}

impl fmt::Debug for WarmingSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WarmingSchedule")
            .field("expression", &self.expression)
            .finish_non_exhaustive()
    }
}

/// The moments of an expression, passed one after the other.
#[derive(Debug)]
struct Ticks {
    cron: Cron,
    next: Option<DateTime<Utc>>,
    seen: DateTime<Utc>,
}

impl Ticks {
    fn new(expression: &str, now: DateTime<Utc>) -> Result<Self> {
        let refuse = |what: String| {
            let message = format!("the schedule `{expression}` {what}");
            Err(Error::new(ErrorKind::InvalidConfig, message)
                .with_help("`0 2 * * *` is at two each night, `*/15 * * * *` every quarter"))
        };
        let cron = match Cron::from_str(expression) {
            Ok(cron) => cron,
            Err(error) => return refuse(format!("is no cron expression: {error}")),
        };
        let next = after(&cron, now);
        if next.is_none() {
            return refuse("names no moment that ever comes".to_owned());
        }
        Ok(Ticks {
            cron,
            next,
            seen: now,
        })
    }

    /// Whether a moment has come since the last call: one, however many have.
    fn is_due(&mut self, now: DateTime<Utc>) -> bool {
        if now < self.seen {
            self.next = after(&self.cron, now);
        }
        self.seen = now;
        let is_due = self.next.is_some_and(|next| next <= now);
        if is_due {
            self.next = after(&self.cron, now);
        }
        is_due
    }

    /// How long to wait before the clock is looked at again.
    fn wait(&self, now: DateTime<Utc>) -> Duration {
        let next = self
            .next
            .map(|next| (next - now).to_std().unwrap_or(Duration::ZERO));
        next.unwrap_or(LOOK).min(LOOK)
    }
}

fn after(cron: &Cron, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    cron.find_next_occurrence(&now, false).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-03-01T{text}Z").parse().unwrap()
    }

    #[test]
    fn each_moment_comes_once_and_those_that_were_missed_are_one() {
        let mut ticks = Ticks::new("*/15 * * * *", at("10:01:00")).unwrap();
        assert!(!ticks.is_due(at("10:14:59")));
        assert_eq!(ticks.wait(at("10:14:59.500")), Duration::from_millis(500));
        assert!(ticks.is_due(at("10:15:00")));
        assert!(!ticks.is_due(at("10:15:00")) && !ticks.is_due(at("10:29:59")));
        assert!(ticks.is_due(at("14:07:00")), "of fifteen that were missed");
        assert!(!ticks.is_due(at("14:14:59")));
        assert!(ticks.is_due(at("14:15:30")));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_stop_the_schedule() {
        let mut ticks = Ticks::new("0 * * * *", at("10:30:00")).unwrap();
        assert!(ticks.is_due(at("11:00:00")));
        assert!(!ticks.is_due(at("03:10:00")));
        assert!(ticks.is_due(at("04:00:00")));
    }

    #[test]
    fn what_is_no_expression_or_never_comes_is_refused() {
        for bad in ["", "x", "61 * * * *", "0 0 30 2 *", "* * * * * * * *"] {
            let error = Ticks::new(bad, at("00:00:00")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{bad}");
            assert!(error.to_string().contains(bad), "{error}");
        }
        for good in ["0 2 * * *", "@hourly", "*/5 * * * * *", "0 0 L * *"] {
            Ticks::new(good, at("00:00:00")).unwrap();
        }
    }
}
