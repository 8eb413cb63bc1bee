//! The report: how caches do against what they are held to, what to do about it, and what was done to them
//! lately. For programs it is one value; for people, a text with units.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::invalidation::{Invalidated, InvalidationLog};
use super::monitor::{
    Escalation, Measure, Monitor, Recommendation, TOO_FEW_REQUESTS, ms, seconds, told,
};
use super::warming::{Warmer, WarmingReport};
use crate::health::HealthState;

/// How many invalidations a report tells.
const INVALIDATIONS_TOLD: usize = 20;
/// How many rounds of warming of each warmer.
const WARMINGS_TOLD: usize = 3;

/// How caches do.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Report {
    /// When it was made, by the clock on the wall.
    pub at: DateTime<Utc>,
    /// The worst of its caches; healthy without any.
    pub state: HealthState,
    /// Each cache, as it was judged last.
    pub caches: Vec<CacheSection>,
    /// The last rounds of warming, the newest first.
    pub warmings: Vec<WarmingReport>,
    /// The last invalidations, the newest first.
    pub invalidations: Vec<Invalidated>,
}

/// How one cache does.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CacheSection {
    /// Its name.
    pub name: String,
    /// How it does.
    pub state: HealthState,
    /// Requests in the window.
    pub requests: u64,
    /// How long the window was, in seconds.
    pub window_seconds: f64,
    /// What was measured, against the thresholds.
    pub measures: Vec<Measured>,
    /// What wants a person at once.
    pub escalations: Vec<Escalation>,
    /// What to do about what is beyond its threshold.
    pub recommendations: Vec<Recommendation>,
}

/// A measure, against its threshold.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Measured {
    /// What was measured.
    pub measure: Measure,
    /// In which unit: `percent` or `ms`.
    pub unit: &'static str,
    /// How much; `None` if it is not known.
    pub value: Option<f64>,
    /// What it is held against: the least for a hit rate, the most for all others.
    pub threshold: f64,
    /// Whether it is within its threshold; `None` if it was not judged, for want of requests or of a
    /// value.
    pub holds: Option<bool>,
}

impl Report {
    /// An empty one.
    pub fn new(at: DateTime<Utc>) -> Self {
        Report {
            at,
            state: HealthState::Healthy,
            caches: Vec::new(),
            warmings: Vec::new(),
            invalidations: Vec::new(),
        }
    }

    /// The same with a cache, as its monitor judged it last.
    #[must_use]
    pub fn cache(mut self, monitor: &Monitor) -> Self {
        let section = CacheSection::of(monitor);
        self.state = HealthState::worst([self.state, section.state]);
        self.caches.push(section);
        self
    }

    /// The same with the last rounds of a warmer.
    #[must_use]
    pub fn warmer(mut self, warmer: &Warmer) -> Self {
        let reports = warmer.reports();
        let last = reports.iter().take(WARMINGS_TOLD);
        self.warmings.extend(last.map(|report| (**report).clone()));
        self.warmings
            .sort_by_key(|report| std::cmp::Reverse(report.at));
        self
    }

    /// The same with the last invalidations of a log.
    #[must_use]
    pub fn invalidations(mut self, log: &InvalidationLog) -> Self {
        self.invalidations.extend(log.last(INVALIDATIONS_TOLD));
        self.invalidations
            .sort_by_key(|one| std::cmp::Reverse(one.at));
        self.invalidations.truncate(INVALIDATIONS_TOLD);
        self
    }
}

impl CacheSection {
    fn of(monitor: &Monitor) -> Self {
        let name = monitor.name().to_owned();
        let Some(assessment) = monitor.last() else {
            return CacheSection {
                name,
                state: HealthState::Unknown,
                requests: 0,
                window_seconds: 0.0,
                measures: Vec::new(),
                escalations: Vec::new(),
                recommendations: Vec::new(),
            };
        };
        let (metrics, limits) = (&assessment.metrics, monitor.thresholds());
        let is_judged = metrics.requests > TOO_FEW_REQUESTS;
        let measured = |measure, unit, value: Option<f64>, threshold| {
            let is_beyond = |one: &Recommendation| one.measure == measure;
            let is_known = value.is_some() && (is_judged || measure == Measure::Memory);
            Measured {
                measure,
                unit,
                value,
                threshold,
                holds: is_known.then(|| !assessment.recommendations.iter().any(is_beyond)),
            }
        };
        let percent = |ratio: crate::ratio::Ratio| ratio.as_f64() * 100.0;
        let measures = vec![
            measured(
                Measure::HitRate,
                "percent",
                metrics.hit_percent,
                percent(limits.hit_rate),
            ),
            measured(
                Measure::Latency,
                "ms",
                metrics.p95_ms,
                limits.p95.as_secs_f64() * 1000.0,
            ),
            measured(
                Measure::Memory,
                "percent",
                metrics.memory_percent,
                percent(limits.memory),
            ),
            measured(
                Measure::Evictions,
                "percent",
                metrics.eviction_percent,
                percent(limits.evictions),
            ),
        ];
        CacheSection {
            name,
            state: assessment.state,
            requests: metrics.requests,
            window_seconds: metrics.window_seconds,
            measures,
            escalations: assessment.escalations,
            recommendations: assessment.recommendations,
        }
    }
}

/// For people: a few lines a cache, then what was done.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for cache in &self.caches {
            write!(f, "{cache}")?;
        }
        if !self.warmings.is_empty() {
            writeln!(f, "warmed")?;
        }
        for warming in &self.warmings {
            let (at, took) = (short(warming.at), ms(warming.took_ms));
            writeln!(f, "  {at}  {} in {took}", entries(warming.kept()))?;
            for loader in &warming.loaders {
                writeln!(f, "    {loader}")?;
            }
        }
        if !self.invalidations.is_empty() {
            writeln!(f, "invalidated")?;
        }
        for one in &self.invalidations {
            let Invalidated {
                cause,
                pattern,
                removed,
                ..
            } = one;
            let at = short(one.at);
            write!(f, "  {at}  {}  {pattern}  ({cause})", entries(*removed))?;
            match &one.error {
                Some(error) => writeln!(f, "  failed: {error}")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for CacheSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.measures.is_empty() {
            return writeln!(f, "{}: {}, not looked at yet", self.name, self.state);
        }
        let (requests, window) = (self.requests, seconds(self.window_seconds));
        writeln!(
            f,
            "{}: {}, {requests} requests in {window}",
            self.name, self.state
        )?;
        for measured in &self.measures {
            writeln!(f, "  {measured}")?;
        }
        for one in &self.escalations {
            writeln!(
                f,
                "  ALARM {}: {}\n    {}",
                one.alarm, one.evidence, one.advice
            )?;
        }
        for one in &self.recommendations {
            writeln!(f, "  {}\n    {}", one.evidence, one.advice)?;
        }
        Ok(())
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, bound) = match self.measure {
            Measure::HitRate => ("hit rate", "at least"),
            Measure::Latency => ("p95", "at most"),
            Measure::Memory => ("memory", "at most"),
            Measure::Evictions => ("evictions", "at most"),
        };
        let say = |value: Option<f64>| match (self.unit, value) {
            ("ms", Some(value)) => ms(value),
            (_, value) => told(value),
        };
        let (value, threshold) = (say(self.value), say(Some(self.threshold)));
        let judged = match self.holds {
            Some(true) => "holds",
            Some(false) => "DOES NOT HOLD",
            None => "not judged",
        };
        write!(f, "{name:<10}{value:>10}  {bound} {threshold}: {judged}")
    }
}

fn entries(count: usize) -> String {
    match count {
        1 => "1 entry".to_owned(),
        count => format!("{count} entries"),
    }
}

fn short(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}
