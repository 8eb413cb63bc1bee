//! The judgement: what was measured, held against the thresholds. Pure: numbers in, words out.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::metrics::{Metrics, milliseconds};
use super::thresholds::Thresholds;
use crate::health::{Health, HealthState, Reason};
use crate::ratio::Ratio;

/// Shares and latencies are judged above this many requests: fewer say too little.
pub const TOO_FEW_REQUESTS: u64 = 100;

/// What is held against a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Measure {
    /// The share of requests that are answered from the cache.
    HitRate,
    /// What 95 % of the requests take at most.
    Latency,
    /// The share of its memory that it uses.
    Memory,
    /// Evictions as a share of the requests.
    Evictions,
}

/// A measure that is beyond its threshold, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Recommendation {
    /// What is beyond its threshold.
    pub measure: Measure,
    /// What was measured and what was expected, with units.
    pub evidence: String,
    /// What to do.
    pub advice: String,
}

/// Something that wants a person at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Alarm {
    /// The hit rate is critical.
    CriticalHitRate,
    /// The memory is used up.
    MemoryExhausted,
    /// Many wait for one load.
    Stampede,
    /// Processes see different data.
    SplitBrain,
}

impl Alarm {
    /// All of them.
    pub(super) const ALL: [Alarm; 4] = [
        Alarm::CriticalHitRate,
        Alarm::MemoryExhausted,
        Alarm::Stampede,
        Alarm::SplitBrain,
    ];

    /// Its stable code, in kebab case.
    pub fn code(self) -> &'static str {
        match self {
            Alarm::CriticalHitRate => "critical-hit-rate",
            Alarm::MemoryExhausted => "memory-exhausted",
            Alarm::Stampede => "stampede",
            Alarm::SplitBrain => "split-brain",
        }
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An alarm that is on, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Escalation {
    /// What it is.
    pub alarm: Alarm,
    /// What was measured and what was expected, with units.
    pub evidence: String,
    /// What to do.
    pub advice: String,
}

/// How a cache did in a window of time.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Assessment {
    /// What was measured.
    pub metrics: Metrics,
    /// Healthy; degraded beyond a threshold; unhealthy with an alarm; unknown where too few requests
    /// say too little, and nothing else is wrong.
    pub state: HealthState,
    /// What is beyond a threshold.
    pub recommendations: Vec<Recommendation>,
    /// What wants a person at once.
    pub escalations: Vec<Escalation>,
}

impl Assessment {
    /// Holds what was measured against the thresholds.
    pub fn of(metrics: Metrics, thresholds: &Thresholds) -> Self {
        let judge = Judge {
            metrics: &metrics,
            thresholds,
        };
        let shares = [judge.hit_rate(), judge.latency(), judge.evictions()];
        let is_judged = metrics.requests > TOO_FEW_REQUESTS;
        let shares = shares.into_iter().flatten().filter(|_| is_judged);
        let recommendations: Vec<_> = shares.chain(judge.memory()).collect();
        let hit_rate = judge.critical_hit_rate().filter(|_| is_judged);
        let others = [
            judge.exhausted_memory(),
            judge.stampede(),
            judge.split_brain(),
        ];
        let escalations: Vec<_> = others.into_iter().chain([hit_rate]).flatten().collect();
        let state = match (&*escalations, &*recommendations, is_judged) {
            ([_, ..], _, _) => HealthState::Unhealthy,
            ([], [_, ..], _) => HealthState::Degraded,
            ([], [], true) => HealthState::Healthy,
            ([], [], false) => HealthState::Unknown,
        };
        Assessment {
            metrics,
            state,
            recommendations,
            escalations,
        }
    }

    /// The same in the words of a health check.
    pub fn health(&self, name: &str) -> Health {
        let mut health = Health::healthy(name);
        for escalation in &self.escalations {
            let reason = Reason::new(escalation.alarm.code(), escalation.evidence.clone());
            let reason = reason.with_help(escalation.advice.clone());
            health = health.but(HealthState::Unhealthy, reason);
        }
        for one in &self.recommendations {
            let reason = Reason::new("needs-attention", one.evidence.clone());
            let reason = reason.with_help(one.advice.clone());
            health = health.but(HealthState::Degraded, reason);
        }
        if self.state == HealthState::Unknown {
            let requests = self.metrics.requests;
            let message = format!(
                "{} requests in {}: above {TOO_FEW_REQUESTS} it is judged",
                requests,
                seconds(self.metrics.window_seconds)
            );
            health = health.but(HealthState::Unknown, Reason::new("no-traffic", message));
        }
        health
    }
}

struct Judge<'j> {
    metrics: &'j Metrics,
    thresholds: &'j Thresholds,
}

impl Judge<'_> {
    fn hit_rate(&self) -> Option<Recommendation> {
        let (metrics, least) = (self.metrics, self.thresholds.hit_rate);
        if !is_below(metrics.hits, metrics.requests, least) {
            return None;
        }
        let advice = if metrics.evictions >= metrics.expirations.max(1) {
            "entries leave for want of room: give it more (`max_items`, `max_bytes`), or another \
             eviction strategy"
        } else if metrics.expirations > 0 {
            "entries leave because their time is over: give them more (`ttl`), or refresh them ahead \
             of their end"
        } else {
            "what is asked for was never there: warm it, or see whether the keys of equal requests \
             are equal"
        };
        let left = format!(
            "; {} evictions, {} expirations",
            metrics.evictions, metrics.expirations
        );
        let evidence = self.hit_evidence(least, "at least") + &left;
        Some(recommend(Measure::HitRate, evidence, advice))
    }

    fn latency(&self) -> Option<Recommendation> {
        let (metrics, most) = (self.metrics, self.thresholds.p95);
        let p95 = metrics.p95_ms?;
        if p95 <= milliseconds(most) {
            return None;
        }
        let evidence = format!(
            "p95 {} of {} requests in {}; at most {} is expected",
            ms(p95),
            metrics.requests,
            self.window(),
            ms(milliseconds(most))
        );
        let advice =
            "see which tier is slow; put a tier in memory in front of it, or give that more room";
        Some(recommend(Measure::Latency, evidence, advice))
    }

    fn evictions(&self) -> Option<Recommendation> {
        let (metrics, most) = (self.metrics, self.thresholds.evictions);
        if !most.is_exceeded_by(metrics.evictions, metrics.requests) {
            return None;
        }
        let evidence = format!(
            "{} evictions for {} requests in {}, {}; at most {} is expected",
            metrics.evictions,
            metrics.requests,
            self.window(),
            told(metrics.eviction_percent),
            share(most)
        );
        let advice = "give it more room (`max_items`, `max_bytes`), or another eviction strategy";
        Some(recommend(Measure::Evictions, evidence, advice))
    }

    fn memory(&self) -> Option<Recommendation> {
        let evidence = self.memory_evidence(self.thresholds.memory, false)?;
        let advice =
            "give it more (`max_bytes`), keep smaller values, or keep them for a shorter time";
        Some(recommend(Measure::Memory, evidence, advice))
    }

    fn critical_hit_rate(&self) -> Option<Escalation> {
        let least = self.thresholds.critical_hit_rate;
        is_below(self.metrics.hits, self.metrics.requests, least).then(|| Escalation {
            alarm: Alarm::CriticalHitRate,
            evidence: self.hit_evidence(least, "below"),
            advice: "see whether it was cleared, is far too small, or is asked for other things"
                .into(),
        })
    }

    fn exhausted_memory(&self) -> Option<Escalation> {
        let evidence = self.memory_evidence(self.thresholds.exhausted_memory, true)?;
        Some(Escalation {
            alarm: Alarm::MemoryExhausted,
            evidence,
            advice: "give it more (`max_bytes`), or see what fills it".into(),
        })
    }

    fn stampede(&self) -> Option<Escalation> {
        let (waiters, most) = (self.metrics.waiters, self.thresholds.waiters);
        (waiters > most).then(|| Escalation {
            alarm: Alarm::Stampede,
            evidence: format!("{waiters} waited for one load; at most {most} is expected"),
            advice: "refresh hot keys ahead of their end, jitter their lifetimes, or serve stale values \
                     while they are loaded"
                .into(),
        })
    }

    fn split_brain(&self) -> Option<Escalation> {
        let evidence = self.metrics.split_brain.clone()?;
        Some(Escalation {
            alarm: Alarm::SplitBrain,
            evidence,
            advice:
                "clear the cache in every process, and see what keeps them from hearing each other"
                    .into(),
        })
    }

    fn hit_evidence(&self, threshold: Ratio, words: &str) -> String {
        let metrics = self.metrics;
        format!(
            "hit rate {} of {} requests in {}; {words} {} {}",
            told(metrics.hit_percent),
            metrics.requests,
            self.window(),
            share(threshold),
            if words == "below" {
                "is critical"
            } else {
                "is expected"
            },
        )
    }

    /// What is said of the memory if it is above the share, or also if it is exactly there.
    fn memory_evidence(&self, threshold: Ratio, or_equal: bool) -> Option<String> {
        let (used, max) = (self.metrics.memory_bytes?, self.metrics.max_memory_bytes?);
        let is_beyond = match or_equal {
            true => max > 0 && !is_below(used, max, threshold),
            false => threshold.is_exceeded_by(used, max),
        };
        is_beyond.then(|| {
            format!(
                "{used} bytes of {max} are used, {}; {} {}",
                told(self.metrics.memory_percent),
                share(threshold),
                if or_equal {
                    "is exhausted"
                } else {
                    "is expected at most"
                },
            )
        })
    }

    fn window(&self) -> String {
        seconds(self.metrics.window_seconds)
    }
}

fn recommend(measure: Measure, evidence: String, advice: &str) -> Recommendation {
    Recommendation {
        measure,
        evidence,
        advice: advice.to_owned(),
    }
}

/// Whether the part is strictly less than this share of the whole.
fn is_below(part: u64, whole: u64, share: Ratio) -> bool {
    let rest = Ratio::percent(100).less(share);
    rest.is_exceeded_by(whole.saturating_sub(part), whole)
}

fn share(ratio: Ratio) -> String {
    told(Some(ratio.as_f64() * 100.0))
}

pub(in crate::kv) fn told(percent: Option<f64>) -> String {
    percent.map_or("unknown".to_owned(), |percent| format!("{percent:.1} %"))
}

pub(in crate::kv) fn ms(milliseconds: f64) -> String {
    match milliseconds {
        short if short < 1.0 => format!("{:.1} us", short * 1000.0),
        long if long >= 1000.0 => format!("{:.2} s", long / 1000.0),
        some => format!("{some:.2} ms"),
    }
}

pub(in crate::kv) fn seconds(seconds: f64) -> String {
    match Duration::try_from_secs_f64(seconds) {
        Ok(short) if short < Duration::from_secs(10) => format!("{seconds:.1} s"),
        _ => format!("{seconds:.0} s"),
    }
}
