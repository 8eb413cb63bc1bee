//! What the server counts of itself, and what the cache tells of itself, in the OpenMetrics format.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::bus::Bus;
use super::caches::{Caches, Told};
use super::table::Route;
use crate::cardex::Cardex;
use crate::kv;

/// The content type of OpenMetrics.
pub(super) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The content type of the text format that came before it.
pub(super) const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// OpenMetrics as the text format that came before it: there, the help and the type of a counter bear
/// the name of its samples, and there are neither units nor an end.
pub(super) fn as_plain(text: &str) -> String {
    let counters: HashSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut plain = String::with_capacity(text.len());
    for line in text.lines() {
        let said = ["# HELP ", "# TYPE "]
            .into_iter()
            .find_map(|kind| Some((kind, line.strip_prefix(kind)?)));
        match said {
            Some((kind, rest)) => {
                let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                let suffix = if counters.contains(name) {
                    "_total"
                } else {
                    ""
                };
                plain.extend([kind, name, suffix, " ", rest, "\n"]);
            }
            None if line.starts_with('#') => {}
            None => plain.extend([line, "\n"]),
        }
    }
    plain
}

/// The bounds of the latency buckets, in seconds: from a hit in memory to a request's time-out.
const BUCKETS: [f64; 10] = [
    0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0,
];

/// The counts of a server.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    answers: AtomicU64,
    requests: Family<Answered, Counter>,
    durations: Family<Asked, Histogram, fn() -> Histogram>,
    refused: Counter,
    connections: Gauge,
    working: Gauge,
    waiting: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: String,
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    route: &'static str,
}

impl Metrics {
    pub(super) fn new(cardex: &Cardex, caches: &Caches, results: Option<&Arc<kv::Caches>>) -> Self {
        let mut registry = Registry::with_prefix("cardex");
        let requests = Family::default();
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let durations = Family::new_with_constructor(histogram);
        let (refused, connections) = (Counter::default(), Gauge::default());
        let (working, waiting) = (Gauge::default(), Gauge::default());
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "How long answers took; not of routes that wait for changes",
            Unit::Seconds,
            durations.clone(),
        );
        registry.register(
            "http_refused",
            "Requests refused for their host or origin",
            refused.clone(),
        );
        registry.register("http_connections", "Open connections", connections.clone());
        registry.register("http_working", "Requests being worked on", working.clone());
        registry.register(
            "http_waiting",
            "Clients that wait for changes",
            waiting.clone(),
        );
        registry.register_collector(Box::new(Asker {
            cardex: cardex.clone(),
            caches: caches.clone(),
            results: results.map(Arc::clone),
        }));
        Metrics {
            registry,
            answers: AtomicU64::new(0),
            requests,
            durations,
            refused,
            connections,
            working,
            waiting,
        }
    }

    /// Counts an answer, and how long it took, unless somebody wanted it to.
    pub(super) fn answered(&self, route: &Route, status: u16, took: Option<Duration>) {
        let answered = Answered {
            method: route.method.to_string(),
            route: route.path,
            status,
        };
        self.requests.get_or_create(&answered).inc();
        self.answers.fetch_add(1, Ordering::Relaxed);
        if let Some(took) = took {
            let asked = Asked { route: route.path };
            let durations = self.durations.get_or_create(&asked);
            durations.observe(took.as_secs_f64());
        }
    }

    /// How many requests have been answered.
    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// Counts a request that the guard refused.
    pub(super) fn refused(&self) {
        self.refused.inc();
    }

    /// How many connections are open.
    pub(super) fn connections(&self, open: usize) {
        self.connections
            .set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    pub(super) fn open_connections(&self) -> i64 {
        self.connections.get()
    }

    /// Everything, as text; `in_use` is how many requests are worked on, and how many clients wait.
    pub(super) fn text(&self, in_use: (usize, usize)) -> Result<String, fmt::Error> {
        let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.working.set(number(in_use.0));
        self.waiting.set(number(in_use.1));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// What the caches tell when they are asked.
#[derive(Debug)]
struct Asker {
    cardex: Cardex,
    caches: Caches,
    results: Option<Arc<kv::Caches>>,
}

impl Collector for Asker {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let stats = self.caches.stats();
        let caches: Vec<Told> = stats.caches.iter().map(Told::from).collect();
        let mut family = |name: &str, help, is_count, value: &dyn Fn(&_) -> Option<u64>| {
            let kind = match is_count {
                true => ConstCounter::new(0u64).metric_type(),
                false => ConstGauge::new(0i64).metric_type(),
            };
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for cache in &caches {
                let Some(value) = value(cache) else { continue };
                let labels = [("cache", cache.name.as_str())];
                let metric = family.encode_family(&labels)?;
                match is_count {
                    true => ConstCounter::new(value).encode(metric)?,
                    false => ConstGauge::new(value).encode(metric)?,
                }
            }
            Ok::<(), fmt::Error>(())
        };
        family("cache_hits", "Gets answered from memory", true, &|c| {
            Some(c.hits)
        })?;
        family("cache_misses", "Gets that were not", true, &|c| {
            Some(c.misses)
        })?;
        family(
            "cache_evictions",
            "Entries that left for want of room",
            true,
            &|c| Some(c.evictions),
        )?;
        family("cache_entries", "Entries in memory", false, &|c| {
            Some(c.entries)
        })?;
        family("cache_bytes", "What they weigh", false, &|c| c.bytes)?;
        let triggers = ConstCounter::new(stats.triggers);
        let help = "Rounds of eviction that memory pressure caused";
        let metric = triggers.metric_type();
        triggers.encode(encoder.encode_descriptor("pressure_rounds", help, None, metric)?)?;
        if let Some(bus) = self.results.as_deref().and_then(Bus::of) {
            tell_bus(&mut encoder, &bus)?;
        }
        let share = stats.memory_share();
        let mut measured = |name: &str, help, unit, value: f64| {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
        };
        if let Some(share) = share {
            measured(
                "memory_share",
                "The used share of the tightest limit on memory",
                None,
                share,
            )?;
        }
        if let Some(file) = self
            .results
            .as_ref()
            .and_then(|caches| caches.tiers().disk_file())
        {
            measured(
                "results_file_bytes",
                "What the file of derived results holds",
                None,
                file.bytes() as f64,
            )?;
            measured(
                "results_file_max_bytes",
                "The most that it may hold",
                None,
                file.max_bytes() as f64,
            )?;
        }
        #[cfg(feature = "redis")]
        if let Some(client) = self
            .results
            .as_ref()
            .and_then(|caches| caches.tiers().redis_client())
        {
            let is_asked = client.health().state == crate::health::HealthState::Healthy;
            measured(
                "redis_up",
                "Whether the Redis server is asked, as far as is known",
                None,
                f64::from(u8::from(is_asked)),
            )?;
        }
        let Ok(stats) = self.cardex.stats() else {
            return Ok(());
        };
        measured(
            "index_files",
            "Files in the index",
            None,
            stats.files as f64,
        )?;
        let unreadable = stats.unreadable as f64;
        measured(
            "index_unreadable",
            "Files whose rows cannot be read",
            None,
            unreadable,
        )?;
        let sequence = stats.watermark.sequence as f64;
        measured(
            "index_sequence",
            "The log sequence that the index reflects",
            None,
            sequence,
        )?;
        if let Some(age) = stats.age {
            let (help, unit) = (
                "How long ago the database was looked at",
                Some(&Unit::Seconds),
            );
            measured("index_age", help, unit, age.as_secs_f64())?;
        }
        measured(
            "ready",
            "Whether the index is loaded",
            None,
            f64::from(u8::from(self.cardex.snapshot().is_ok())),
        )
    }
}

/// What the bus of derived results has told, and how this process stands among others.
fn tell_bus(encoder: &mut DescriptorEncoder<'_>, bus: &Bus) -> Result<(), fmt::Error> {
    let kind = ConstCounter::new(0u64).metric_type();
    let help = "Events that were told, by who said so";
    let mut events = encoder.encode_descriptor("bus_events", help, None, kind)?;
    for (origin, count) in &bus.events {
        let labels = [("origin", origin.as_str())];
        ConstCounter::new(*count).encode(events.encode_family(&labels)?)?;
    }
    let help = "Caches that could not forget, and hooks that failed";
    let mut counts = vec![("bus_failures", help, bus.failures)];
    if let Some(node) = &bus.node {
        counts.extend([
            ("bus_messages", "Messages to other processes", node.messages),
            (
                "bus_publish_failures",
                "Attempts to tell others that failed",
                node.failed,
            ),
            (
                "bus_heard",
                "Messages of other processes, heartbeats included",
                node.heard,
            ),
            (
                "bus_doubts",
                "All copies left: a message may have been missed",
                node.doubts,
            ),
        ]);
    }
    for (name, help, count) in counts {
        let counter = ConstCounter::new(count);
        counter.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
    }
    let waiting = ("bus_waiting", "Deliveries that wait", bus.waiting);
    let nodes = bus.node.as_ref().map(|node| {
        let help = "Other processes that are known";
        ("bus_nodes", help, node.nodes)
    });
    for (name, help, count) in [Some(waiting), nodes].into_iter().flatten() {
        let gauge = ConstGauge::new(count);
        gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_names_a_counter_as_its_samples() {
        let text = "# HELP a_hits Hits.\n# TYPE a_hits counter\na_hits_total{cache=\"m\"} 1\n\
                    # HELP a_age_seconds Age.\n# TYPE a_age_seconds gauge\n# UNIT a_age_seconds seconds\n\
                    a_age_seconds 2\n# EOF\n";
        assert_eq!(
            as_plain(text),
            "# HELP a_hits_total Hits.\n# TYPE a_hits_total counter\na_hits_total{cache=\"m\"} 1\n\
             # HELP a_age_seconds Age.\n# TYPE a_age_seconds gauge\na_age_seconds 2\n"
        );
    }
}
