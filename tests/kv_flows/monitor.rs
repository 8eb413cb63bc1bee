//! The monitor: from when on a cache is judged, against what, and who is told; and the report.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cardex::kv::invalidation::InvalidationLog;
use cardex::kv::monitor::{Alarm, Gauges, Measure, Monitor, Thresholds};
use cardex::kv::report::Report;
use cardex::kv::warming::{Warmer, WarmerOptions, Warmth};
use cardex::{Clock as _, ErrorKind, HealthState, ManualClock};

use crate::cache;

const FAST: Duration = Duration::from_micros(50);

fn monitor() -> (Monitor, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    (
        Monitor::new("answers", Thresholds::default(), clock.clone()),
        clock,
    )
}

fn requests(monitor: &Monitor, hits: u64, misses: u64, latency: Duration) {
    (0..hits).for_each(|_| monitor.record(latency, true));
    (0..misses).for_each(|_| monitor.record(latency, false));
}

fn beyond(monitor: &Monitor, gauges: &Gauges) -> Vec<Measure> {
    let assessment = monitor.assess(gauges);
    assessment
        .recommendations
        .iter()
        .map(|one| one.measure)
        .collect()
}

#[test]
fn without_traffic_its_health_is_unknown() {
    let (monitor, _) = monitor();
    assert_eq!(monitor.health().state, HealthState::Unknown);
    let assessment = monitor.assess(&Gauges::default());
    assert_eq!(assessment.state, HealthState::Unknown);
    assert_eq!(
        (assessment.metrics.hit_percent, assessment.metrics.p95_ms),
        (None, None)
    );
    assert_eq!(monitor.health().reasons[0].code, "no-traffic");
}

#[test]
fn shares_are_judged_above_a_hundred_requests_only() {
    let (monitor, _) = monitor();
    let gauges = Gauges {
        evictions: 100,
        ..Gauges::default()
    };
    requests(&monitor, 0, 100, Duration::from_secs(1));
    let assessment = monitor.assess(&gauges);
    assert_eq!(assessment.state, HealthState::Unknown);
    assert!(assessment.recommendations.is_empty() && assessment.escalations.is_empty());
    requests(&monitor, 0, 1, FAST);
    let assessment = monitor.assess(&gauges);
    assert_eq!(
        assessment.recommendations.len(),
        3,
        "hit rate, p95, evictions"
    );
    assert_eq!(assessment.escalations[0].alarm, Alarm::CriticalHitRate);
}

#[test]
fn exactly_at_a_threshold_is_within_it() {
    let memory = |used| Gauges {
        memory_bytes: Some(used),
        max_memory_bytes: Some(1000),
        ..Gauges::default()
    };
    let evicted = |evictions| Gauges {
        evictions,
        ..Gauges::default()
    };
    let hits = |hits| {
        let (monitor, _) = monitor();
        requests(&monitor, hits, 1000 - hits, FAST);
        monitor
    };
    assert_eq!(beyond(&hits(800), &Gauges::default()), []);
    assert_eq!(beyond(&hits(799), &Gauges::default()), [Measure::HitRate]);
    assert_eq!(beyond(&hits(900), &memory(800)), []);
    assert_eq!(beyond(&hits(900), &memory(801)), [Measure::Memory]);
    assert_eq!(beyond(&hits(900), &evicted(50)), []);
    assert_eq!(beyond(&hits(900), &evicted(51)), [Measure::Evictions]);
    let (slow, _) = monitor();
    requests(&slow, 950, 0, FAST);
    requests(&slow, 50, 0, Duration::from_millis(12));
    assert_eq!(beyond(&slow, &Gauges::default()), [], "95 % are fast");
    requests(&slow, 10, 0, Duration::from_millis(12));
    assert_eq!(beyond(&slow, &Gauges::default()), [Measure::Latency]);
    // Half of the requests is not below half.
    assert!(hits(500).assess(&Gauges::default()).escalations.is_empty());
    assert_eq!(hits(499).assess(&Gauges::default()).escalations.len(), 1);
}

#[test]
fn below_eighty_percent_it_is_degraded_and_needs_attention_with_the_evidence() {
    let (monitor, clock) = monitor();
    requests(&monitor, 700, 300, FAST);
    clock.advance(Duration::from_secs(60));
    let gauges = Gauges {
        evictions: 20,
        expirations: 5,
        ..Gauges::default()
    };
    let assessment = monitor.assess(&gauges);
    assert_eq!(assessment.state, HealthState::Degraded);
    let one = &assessment.recommendations[0];
    assert_eq!(
        one.evidence,
        "hit rate 70.0 % of 1000 requests in 60 s; at least 80.0 % is expected; 20 evictions, \
         5 expirations"
    );
    assert!(one.advice.contains("max_items"), "{}", one.advice);
    let health = monitor.health();
    assert_eq!(health.state, HealthState::Degraded);
    assert_eq!(
        (health.reasons[0].code, &health.reasons[0].message),
        ("needs-attention", &one.evidence)
    );
    let advice = |gauges: &Gauges| monitor.assess(gauges).recommendations[0].advice.clone();
    requests(&monitor, 1, 0, FAST);
    assert!(
        advice(&Gauges {
            expirations: 50,
            ..gauges.clone()
        })
        .contains("ttl")
    );
    assert!(advice(&Gauges::default()).contains("warm"));
}

#[test]
fn an_alarm_is_an_event_when_it_goes_on_and_off_and_a_reason_of_the_health() {
    let (monitor, clock) = monitor();
    let events = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&events);
    monitor.on_event(|_| panic!("a listener that fails"));
    monitor.on_event(move |event| {
        heard
            .lock()
            .unwrap()
            .push((event.alarm, event.is_on, event.evidence.clone()));
    });
    requests(&monitor, 40, 160, FAST);
    let bad = Gauges {
        memory_bytes: Some(990),
        max_memory_bytes: Some(1000),
        waiters: 101,
        split_brain: Some("two processes tell different values of `k`".to_owned()),
        ..Gauges::default()
    };
    assert_eq!(monitor.assess(&bad).state, HealthState::Unhealthy);
    // It goes on: nobody is told twice.
    monitor.assess(&bad);
    let told: Vec<_> = events.lock().unwrap().drain(..).collect();
    let evidence: Vec<&str> = told.iter().map(|(_, _, evidence)| &**evidence).collect();
    assert_eq!(
        evidence,
        [
            "hit rate 20.0 % of 200 requests in 0.0 s; below 50.0 % is critical",
            "990 bytes of 1000 are used, 99.0 %; 99.0 % is exhausted",
            "101 waited for one load; at most 100 is expected",
            "two processes tell different values of `k`",
        ]
    );
    assert!(told.iter().all(|(_, is_on, _)| *is_on));
    let codes: Vec<_> = monitor
        .health()
        .reasons
        .iter()
        .map(|reason| reason.code)
        .collect();
    for alarm in [
        "critical-hit-rate",
        "memory-exhausted",
        "stampede",
        "split-brain",
    ] {
        assert!(codes.contains(&alarm), "{codes:?}");
    }
    clock.advance(Duration::from_secs(120));
    monitor.assess(&Gauges::default());
    clock.advance(Duration::from_secs(120));
    requests(&monitor, 200, 0, FAST);
    assert_eq!(
        monitor.assess(&Gauges::default()).state,
        HealthState::Healthy
    );
    let off: Vec<Alarm> = events.lock().unwrap().iter().map(|event| event.0).collect();
    assert_eq!(off.len(), 4);
    assert!(events.lock().unwrap().iter().all(|event| !event.1));
}

#[test]
fn a_window_forgets_what_was_before_it() {
    let (monitor, clock) = monitor();
    requests(&monitor, 0, 1000, Duration::from_secs(1));
    let lost = Gauges {
        evictions: 500,
        ..Gauges::default()
    };
    for _ in 0..12 {
        clock.advance(Duration::from_secs(5));
        monitor.assess(&lost);
    }
    requests(&monitor, 900, 100, FAST);
    for _ in 0..12 {
        clock.advance(Duration::from_secs(5));
        monitor.assess(&lost);
    }
    let metrics = monitor.assess(&lost).metrics;
    assert_eq!((metrics.requests, metrics.evictions), (1000, 0));
    assert_eq!(
        (metrics.hit_percent, metrics.window_seconds),
        (Some(90.0), 60.0)
    );
    assert!(metrics.p99_ms.unwrap() < 0.052 && metrics.p95_ms.unwrap() > 0.048);
    // Evictions of a cache that was made anew are counted from 0.
    let anew = Gauges {
        evictions: 3,
        ..Gauges::default()
    };
    assert_eq!(monitor.assess(&anew).metrics.evictions, 3);
}

#[test]
fn ten_thousand_requests_with_nine_hits_of_ten_are_healthy() {
    let (cache, _) = cache(2000);
    let clock = Arc::new(cardex::SystemClock);
    let monitor = Monitor::new("answers", Thresholds::default(), clock);
    for n in 0..10_000_u32 {
        let key = format!("k{}", n % 1000);
        if monitor
            .measure(|| cache.get::<u32>(&*key).unwrap())
            .is_none()
        {
            cache
                .set(&*key, &n, cardex::tier::Lifetime::Default)
                .unwrap();
        }
    }
    let stats = cache.stats().unwrap();
    let gauges = Gauges {
        evictions: stats.evictions,
        expirations: stats.expirations,
        memory_bytes: stats.memory_usage,
        max_memory_bytes: cache.tier().usage().max_bytes,
        ..Gauges::default()
    };
    let assessment = monitor.assess(&gauges);
    assert_eq!(assessment.state, HealthState::Healthy, "{assessment:?}");
    assert_eq!(assessment.metrics.hit_percent, Some(90.0));
    assert!(assessment.metrics.p95_ms.unwrap() < 5.0, "{assessment:?}");
}

#[test]
fn thresholds_out_of_range_are_refused() {
    let t = Thresholds::default;
    for refused in [
        t().hit_rate(1.1, 0.5),
        t().hit_rate(0.8, 0.9),
        t().hit_rate(f64::NAN, 0.5),
        t().p95(Duration::ZERO),
        t().memory(0.8, 0.7),
        t().evictions(-0.1),
        t().window(Duration::from_millis(1)),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidConfig);
    }
}

#[test]
fn the_report_tells_what_was_measured_what_to_do_and_what_was_done() {
    let (cache, clock) = cache(100);
    let monitor = Monitor::new("answers", Thresholds::default(), clock.clone());
    let idle = Monitor::new("idle", Thresholds::default(), clock.clone());
    requests(&monitor, 90, 210, Duration::from_millis(2));
    clock.advance(Duration::from_secs(60));
    monitor.assess(&Gauges {
        evictions: 30,
        memory_bytes: Some(100),
        max_memory_bytes: Some(1000),
        ..Gauges::default()
    });
    let warmer = Warmer::new(cache, WarmerOptions::default(), clock.clone());
    warmer.loader("front", |_| Warmth::one(&1)).unwrap();
    warmer.warm().unwrap();
    let log = InvalidationLog::new(clock.clone());
    log.note("an order was paid", "order:7", &Ok(3));
    let report = Report::new(clock.now())
        .cache(&monitor)
        .cache(&idle)
        .warmer(&warmer)
        .invalidations(&log);
    assert_eq!(report.state, HealthState::Unhealthy);
    insta::assert_snapshot!(report.to_string(), @r"
    answers: unhealthy, 300 requests in 60 s
      hit rate      30.0 %  at least 80.0 %: DOES NOT HOLD
      p95          2.02 ms  at most 10.00 ms: holds
      memory        10.0 %  at most 80.0 %: holds
      evictions     10.0 %  at most 5.0 %: DOES NOT HOLD
      ALARM critical-hit-rate: hit rate 30.0 % of 300 requests in 60 s; below 50.0 % is critical
        see whether it was cleared, is far too small, or is asked for other things
      hit rate 30.0 % of 300 requests in 60 s; at least 80.0 % is expected; 30 evictions, 0 expirations
        entries leave for want of room: give it more (`max_items`, `max_bytes`), or another eviction strategy
      30 evictions for 300 requests in 60 s, 10.0 %; at most 5.0 % is expected
        give it more room (`max_items`, `max_bytes`), or another eviction strategy
    idle: unknown, not looked at yet
    warmed
      1970-01-01 00:01:00Z  1 entry in 0.0 us
        front: 1 kept
    invalidated
      1970-01-01 00:01:00Z  3 entries  order:7  (an order was paid)
    ");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["caches"][0]["measures"][0]["measure"], "hit-rate");
    assert_eq!(json["caches"][0]["measures"][0]["value"], 30.0);
    assert_eq!(json["caches"][0]["measures"][0]["holds"], false);
    assert_eq!(
        json["caches"][0]["escalations"][0]["alarm"],
        "critical-hit-rate"
    );
    assert_eq!(json["warmings"][0]["loaders"][0]["kept"], 1);
    assert_eq!(json["invalidations"][0]["cause"], "an order was paid");
}
