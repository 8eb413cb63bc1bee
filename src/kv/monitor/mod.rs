//! How well a cache does: its requests and their latencies, counted as they are made, and judged over a
//! window of time. What is beyond a threshold becomes a recommendation with its evidence; what wants a
//! person at once is a warning in the log, an event and a reason of the health.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use cardex::SystemClock;
//! use cardex::kv::monitor::{Gauges, Monitor, Thresholds};
//!
//! let monitor = Monitor::new("answers", Thresholds::default(), Arc::new(SystemClock));
//! for n in 0..1000 {
//!     monitor.record(Duration::from_micros(20), n % 10 != 0);
//! }
//! let assessment = monitor.assess(&Gauges::default());
//! assert_eq!(assessment.metrics.hit_percent, Some(90.0));
//! assert!(assessment.recommendations.is_empty());
//! ```

mod judge;
mod metrics;
mod thresholds;
mod window;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

pub use self::judge::{Alarm, Assessment, Escalation, Measure, Recommendation, TOO_FEW_REQUESTS};
pub(super) use self::judge::{ms, seconds, told};
pub use self::metrics::{Gauges, Metrics};
pub use self::thresholds::Thresholds;
use self::window::{Mark, Window};
use super::histogram::Histogram;
use crate::clock::Clock;
use crate::error::ErrorKind;
use crate::health::{Health, HealthState, Reason};
use crate::panics::caught;
use crate::primitives::{Mutex, RwLock};
use crate::stats::Counter;

/// An alarm that went on, or off.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The cache.
    pub cache: String,
    /// Which alarm.
    pub alarm: Alarm,
    /// Whether it went on.
    pub is_on: bool,
    /// Why it is on, in words; empty when it went off.
    pub evidence: String,
    /// When, by the clock on the wall.
    pub at: DateTime<Utc>,
}

type Listener = Arc<dyn Fn(&Event) + Send + Sync>;

/// Watches one cache.
pub struct Monitor {
    name: String,
    thresholds: Thresholds,
    clock: Arc<dyn Clock>,
    latencies: Histogram,
    hits: Counter,
    misses: Counter,
    seen: Mutex<Seen>,
    listeners: RwLock<Vec<Listener>>,
}

/// What was found so far.
#[derive(Debug)]
struct Seen {
    window: Window,
    last: Option<Assessment>,
    on: Vec<Alarm>,
}

impl Monitor {
    /// One that was told nothing yet.
    pub fn new(name: impl Into<String>, thresholds: Thresholds, clock: Arc<dyn Clock>) -> Self {
        let latencies = Histogram::default();
        let start = Mark {
            at: clock.elapsed(),
            latencies: latencies.snapshot(),
            hits: 0,
            misses: 0,
            evictions: None,
            expirations: None,
        };
        Monitor {
            name: name.into(),
            seen: Mutex::new(Seen {
                window: Window::new(thresholds.window, start),
                last: None,
                on: Vec::new(),
            }),
            thresholds,
            clock,
            latencies,
            hits: Counter::default(),
            misses: Counter::default(),
            listeners: RwLock::default(),
        }
    }

    /// Counts a request: what it took, and whether it was answered from the cache. A few nanoseconds,
    /// without a lock.
    pub fn record(&self, latency: Duration, was_hit: bool) {
        self.latencies.record(latency);
        match was_hit {
            true => self.hits.bump(),
            false => self.misses.bump(),
        }
    }

    /// Makes a request, and counts it; it is a hit if it brings something.
    pub fn measure<R>(&self, request: impl FnOnce() -> Option<R>) -> Option<R> {
        let start = self.clock.elapsed();
        let found = request();
        let latency = self.clock.elapsed().saturating_sub(start);
        self.record(latency, found.is_some());
        found
    }

    /// Calls this for each alarm that goes on or off, on the thread that assesses.
    pub fn on_event(&self, listener: impl Fn(&Event) + Send + Sync + 'static) {
        self.listeners.write().push(Arc::new(listener));
    }

    /// Judges the last window of time. The first one begins with the monitor; each begins a little
    /// earlier than asked for if it was not assessed at that moment.
    pub fn assess(&self, gauges: &Gauges) -> Assessment {
        // Under the lock: who comes later has counted no less.
        let mut seen = self.seen.lock();
        let mark = Mark {
            at: self.clock.elapsed(),
            hits: self.hits.get(),
            misses: self.misses.get(),
            latencies: self.latencies.snapshot(),
            evictions: Some(gauges.evictions),
            expirations: Some(gauges.expirations),
        };
        let metrics = seen.window.pass(mark, gauges);
        let assessment = Assessment::of(metrics, &self.thresholds);
        let events = self.changes(&mut seen.on, &assessment);
        seen.last = Some(assessment.clone());
        drop(seen);
        events.iter().for_each(|event| self.tell(event));
        assessment
    }

    /// The last judgement; `None` before the first.
    pub fn last(&self) -> Option<Assessment> {
        self.seen.lock().last.clone()
    }

    /// The last judgement in the words of a health check; unknown before the first.
    pub fn health(&self) -> Health {
        match self.last() {
            Some(assessment) => assessment.health(&self.name),
            None => {
                let reason = Reason::new("no-traffic", "it was not looked at yet");
                Health::healthy(&*self.name).but(HealthState::Unknown, reason)
            }
        }
    }

    /// The cache that it watches.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the cache is held to.
    pub fn thresholds(&self) -> &Thresholds {
        &self.thresholds
    }

    /// Which alarms went on or off.
    fn changes(&self, on: &mut Vec<Alarm>, assessment: &Assessment) -> Vec<Event> {
        let mut events = Vec::new();
        for alarm in Alarm::ALL {
            let escalation = assessment.escalations.iter().find(|one| one.alarm == alarm);
            if escalation.is_some() == on.contains(&alarm) {
                continue;
            }
            on.retain(|other| *other != alarm);
            on.extend(escalation.map(|escalation| escalation.alarm));
            events.push(Event {
                cache: self.name.clone(),
                alarm,
                is_on: escalation.is_some(),
                evidence: escalation.map_or(String::new(), |one| one.evidence.clone()),
                at: self.clock.now(),
            });
        }
        events
    }

    fn tell(&self, event: &Event) {
        let (cache, alarm) = (&event.cache, event.alarm);
        match event.is_on {
            true => {
                tracing::warn!(%cache, %alarm, evidence = event.evidence, "a cache wants attention")
            }
            false => tracing::info!(%cache, %alarm, "a cache is well again"),
        }
        let listeners = self.listeners.read().clone();
        for listener in listeners {
            let told = caught(ErrorKind::Internal, || {
                listener(event);
                Ok(())
            });
            if let Err(error) = told {
                tracing::error!(%cache, %error, "a listener of a cache's alarms failed");
            }
        }
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor")
            .field("name", &self.name)
            .field("thresholds", &self.thresholds)
            .field("latencies", &self.latencies)
            .finish_non_exhaustive()
    }
}
