//! What the page shows of a state.

use chrono::DateTime;
use serde_json::json;

use super::*;
use crate::FileMetadata;
use crate::cardex::Cardex;
use crate::query::Query;

fn stats() -> Value {
    json!({
        "asOf": "1-7", "ageMs": 12, "uptimeMs": 61_000,
        "index": {"files": 1234, "unreadable": 0, "bytes": 1 << 20, "functions": 5, "classes": 3,
                  "references": 2, "languages": [{"name": "rust", "files": 1234}]},
        "sync": {"watermark": "1-7", "lagMs": 12, "failure": null,
                 "last": {"at": "2026-01-01T00:00:00Z", "mode": "full", "durationMs": 40}},
        "caches": [{"name": "memory_cache", "entries": 50, "capacity": 100, "bytes": 10,
                    "maxBytes": 1000, "hits": 9, "misses": 1, "hitRate": 0.9, "evictions": 4}],
        "bus": {"state": "degraded", "events": {"redis": 1200, "sync": 34}, "node": {"nodes": 1}},
        "pressure": {"share": 0.5, "threshold": 0.8, "source": "cgroup", "triggers": 2},
        "requests": {"working": 1, "maxWorking": 64, "waiting": 0, "connections": 2,
                     "maxConnections": 1024},
        "health": {"name": "cardex", "state": "healthy", "reasons": []},
    })
}

fn told(stats: &Value, asked: Asked) -> String {
    let samples = [Sample {
        requests: Some(2.0),
        bytes: Some(10.0),
        ..Sample::default()
    }];
    let recent = [Recent {
        path: "a&b.rs".to_owned(),
        is_deleted: false,
        at: DateTime::from_timestamp_nanos(0),
    }];
    pieces(&Told {
        stats,
        samples: &samples,
        recent: &recent,
        asked,
        fresh_ms: 1000,
    })
}

/// The text of a page, without its markup.
fn words(html: &str) -> String {
    let mut words = String::new();
    for piece in html.split('<') {
        words.push_str(piece.split_once('>').map_or(piece, |(_, text)| text));
        words.push(' ');
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn assert_says(html: &str, said: &[&str]) {
    let words = words(html);
    for said in said {
        assert!(words.contains(said), "`{said}` is not in: {words}");
    }
}

#[test]
fn everything_is_said_without_a_script() {
    let html = told(&stats(), Asked::Nothing);
    assert_says(
        &html,
        &[
            "fresh , 12 ms old at 1-7",
            "files 1,234",
            "memory 1.0 MiB",
            "last pass full",
            "looked at 12 ms ago",
            "pressure 50.0 %",
            "tightest cgroup",
            "answered 2.0/s",
            "worked on 1 of 64",
            "memory_cache 50 of 100 10 B of 1000 B 50.0 % 50.0 % 90.0 % 4",
            "Bus: 1,234 events told, 1 other process, degraded",
            "a&amp;b.rs 1970-01-01T00:00:00Z",
        ],
    );
    assert!(html.contains("<a href=\"/v1/files/a%26b.rs\">"), "{html}");
    assert!(
        html.contains("aria-label=\"requests over ten minutes, at most 2.0/s\""),
        "{html}"
    );
    assert!(!words(&html).contains("What is wrong"));
}

#[test]
fn the_badge_says_what_the_health_is_and_never_fresh_when_it_is_old_or_ill() {
    for (state, age, class, said) in [
        ("healthy", json!(1000), "healthy", "fresh , 1.0 s old"),
        ("healthy", json!(1001), "healthy", "healthy , 1.0 s old"),
        ("degraded", json!(5), "degraded", "degraded , 5 ms old"),
        ("unhealthy", json!(5), "unhealthy", "unhealthy , 5 ms old"),
        ("unknown", json!(null), "unknown", "unknown , not loaded"),
    ] {
        let mut stats = stats();
        stats["health"]["state"] = state.into();
        stats["ageMs"] = age;
        let html = told(&stats, Asked::Nothing);
        assert!(html.contains(&format!("class=\"badge {class}\"")), "{html}");
        assert_says(&html, &[said]);
    }
}

#[test]
fn only_what_a_person_waits_for_is_read_aloud() {
    let error = Query::parse("colour:red").unwrap_err();
    let refused = told(&stats(), Asked::Refused(error));
    for html in [told(&stats(), Asked::Nothing), refused] {
        assert_eq!(html.matches("role=\"status\"").count(), 2, "{html}");
        assert!(!html.contains("aria-live"), "{html}");
        assert!(html.contains("<span id=\"state\" role=\"status\">fresh</span>"));
        assert!(html.contains("<strong id=\"summary\" role=\"status\""));
        assert!(html.contains("<meter aria-label=\"used of memory_cache\""));
    }
}

#[test]
fn every_piece_that_the_script_touches_is_there_also_while_locked() {
    let pieces = told(&stats(), Asked::Nothing);
    for id in [
        "badge", "state", "age", "summary", "detail", "found", "live",
    ] {
        let id = format!(" id=\"{id}\"");
        assert_eq!(
            (pieces.matches(&id).count(), LOCKED.matches(&id).count()),
            (1, 1),
            "{id}"
        );
    }
    let locked = words(LOCKED);
    assert!(
        !locked.contains("below") && locked.contains("scripts are off"),
        "{locked}"
    );
}

#[test]
fn what_is_wrong_stands_there_with_its_cure() {
    let mut stats = stats();
    stats["health"] = json!({"name": "cardex", "state": "unhealthy", "reasons": [], "parts": [
        {"name": "memory_cache", "state": "unhealthy", "reasons": [
            {"code": "database-corrupt", "message": "<a.db> is damaged", "help": "restore a copy"}]},
        {"name": "redis", "state": "disabled", "reasons": [{"code": "x", "message": "no redis"}]},
    ]});
    stats["caches"] = json!([{"name": "memory_cache", "error": "it is gone"}]);
    let html = told(&stats, Asked::Nothing);
    assert_says(
        &html,
        &[
            "What is wrong memory_cache : &lt;a.db&gt; is damaged database-corrupt restore a copy",
            "memory_cache it is gone",
        ],
    );
    assert!(
        !html.contains("no redis"),
        "what is switched off is not wrong"
    );
}

#[test]
fn an_answer_lists_its_files_and_what_the_limit_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let cardex = Cardex::builder()
        .database(directory.path().join("a.db"))
        .open()
        .unwrap();
    for path in ["<a>.rs", "b.rs", "c.rs"] {
        let record = FileMetadata::builder(path)
            .language("rust")
            .build()
            .unwrap();
        cardex.update(&record).unwrap();
    }
    let query = Query::builder().language("rust").limit(2).build().unwrap();
    let asked = Asked::Found {
        answer: Box::new(cardex.query(&query).unwrap()),
        took_us: 3,
        plan: "drive <it>".to_owned(),
    };
    let html = told(&stats(), asked);
    assert_says(
        &html,
        &[
            "3 files in 3 µs, the first 2 are listed",
            "&lt;a&gt;.rs rust b.rs rust",
            "Plan drive &lt;it&gt;",
        ],
    );
    assert!(html.contains("href=\"/v1/files/%3Ca%3E.rs\""), "{html}");
}

#[test]
fn a_query_that_is_refused_is_shown_with_its_bad_place() {
    let error = Query::parse("lang:rust colour:red").unwrap_err();
    let html = told(&stats(), Asked::Refused(error));
    assert!(html.contains("<mark>"), "{html}");
    assert_says(&html, &["invalid-query"]);
}

#[test]
fn the_frame_holds_the_query_as_text_and_nothing_it_says_is_replaced_again() {
    let stats = stats();
    let told = Told {
        stats: &stats,
        samples: &[],
        recent: &[],
        asked: Asked::Nothing,
        fresh_ms: 1000,
    };
    let hostile = "\"><script>{{nonce}}{{pieces}}";
    let page = document("NONCE", hostile, Some(&told));
    let shown = "value=\"&quot;&gt;&lt;script&gt;{{nonce}}{{pieces}}\"";
    assert!(page.contains(shown), "{page}");
    assert_eq!(page.matches("<script").count(), 1);
    assert_eq!(page.matches("nonce=\"NONCE\"").count(), 2);
    assert!(
        !page.contains(" style=") && !page.contains(" onclick"),
        "the policy refuses those"
    );
    assert!(
        !page.contains("http://") || page.matches("http://").count() == 1,
        "only a namespace"
    );
    let locked = document("NONCE", "", None);
    assert!(
        !locked.contains("1,234") && locked.contains("id=\"live\""),
        "{locked}"
    );
}
