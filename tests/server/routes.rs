//! What each route answers when all is well.

use serde_json::{Value, json};

use crate::support::{Running, TOKEN, options, path, quiet, records, token_file};

fn paths(found: &Value) -> Vec<&str> {
    let hits = found["hits"].as_array().unwrap();
    hits.iter()
        .map(|hit| hit["path"].as_str().unwrap())
        .collect()
}

#[test]
fn a_query_lists_the_files_that_match_every_criterion() {
    let running = Running::start();
    let found = running.json("/v1/query?language=python&class=Lexer&function=parse");
    assert_eq!(paths(&found), ["src/lexer.py"]);
    assert_eq!(found["hits"][0]["language"], "python");
    assert_eq!(found["hits"][0]["version"], 2);
    assert_eq!(
        found["asOf"],
        running.cardex.snapshot().unwrap().position().to_string()
    );
    assert_eq!(found["complete"], true);
    assert!(
        found["ageMs"].is_u64() && found["tookUs"].is_u64(),
        "{found}"
    );
    assert_eq!(found.get("plan"), None);
    for (query, expected) in [
        (
            "",
            &["docs/conf.py", "src/lexer.py", "src/main.rs", "src/ö x.py"][..],
        ),
        (
            "language=PYTHON&path=%5Esrc/",
            &["src/lexer.py", "src/ö x.py"],
        ),
        ("function=parse&function=Lexer.parse", &["src/lexer.py"]),
        ("reference=docs%2FGRAMMAR.md", &["src/lexer.py"]),
        ("glob=**/*.rs", &["src/main.rs"]),
        ("path=%C3%B6+x", &["src/ö x.py"]),
        ("function=nobody", &[]),
        (
            "q=lang:python+-path:%5Edocs/",
            &["src/lexer.py", "src/ö x.py"],
        ),
        (
            "q=class:Lexer+OR+lang:rust&function=parse",
            &["src/lexer.py", "src/main.rs"],
        ),
    ] {
        assert_eq!(
            paths(&running.json(&format!("/v1/query?{query}"))),
            expected,
            "{query}"
        );
    }
}

#[test]
fn a_limit_cuts_the_list_and_neither_the_total_nor_the_truth() {
    let running = Running::start();
    let found = running.json("/v1/query?language=python&limit=2");
    assert_eq!(paths(&found), ["docs/conf.py", "src/lexer.py"]);
    assert_eq!(
        (&found["total"], &found["truncated"]),
        (&json!(3), &json!(true))
    );
    let counted = running.json("/v1/query?language=python&count=true");
    assert_eq!((paths(&counted).len(), &counted["total"]), (0, &json!(3)));
    let none = running.json("/v1/query?limit=0");
    assert_eq!((paths(&none).len(), &none["total"]), (0, &json!(4)));
    let all = running.json("/v1/query?limit=1000");
    assert_eq!(
        (&all["total"], &all["truncated"]),
        (&json!(4), &json!(false))
    );
}

#[test]
fn records_and_plans_come_where_they_are_asked_for() {
    let running = Running::start();
    let found = running.json("/v1/query?records=true&explain");
    let expected = records();
    for (hit, record) in found["hits"].as_array().unwrap().iter().zip(&expected) {
        assert_eq!(hit["record"], serde_json::to_value(record).unwrap());
    }
    assert_eq!(found["hits"].as_array().unwrap().len(), expected.len());
    assert!(
        found["plan"]
            .as_str()
            .unwrap()
            .starts_with("query  every file")
    );
}

#[test]
fn a_file_is_told_whole_whatever_its_name() {
    let running = Running::start();
    for (target, at) in [
        ("src/lexer.py", 1),
        ("src%2Flexer.py", 1),
        ("src/%C3%B6%20x.py", 3),
    ] {
        let file = running.json(&format!("/v1/files/{target}"));
        assert_eq!(
            file["record"],
            serde_json::to_value(&records()[at]).unwrap()
        );
        assert_eq!(file["version"], at + 1);
        assert!(file["asOf"].is_string() && file["ageMs"].is_u64(), "{file}");
        assert_eq!(file["complete"], true);
    }
}

#[test]
fn a_plan_is_of_the_files_that_its_answer_is_of() {
    let running = Running::start();
    let query = cardex::Query::builder().language("python").build().unwrap();
    let answer = running.cardex.query(&query).unwrap();
    let plan = answer.explain().to_string();
    running.add("new.go");
    assert_eq!(running.json("/v1/query?freshness=latest")["total"], 5);
    assert_eq!(answer.explain().to_string(), plan);
    let newer = running.cardex.query(&query).unwrap().explain().to_string();
    assert_ne!(newer, plan, "there is a file more now");
}

#[test]
fn the_document_says_where_the_token_is_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let file = token_file(&directory, 0o600);
    let locked = options().token_file(Some(file)).token_for_reading(true);
    let running = Running::with(locked, quiet());
    let open = Running::start().json("/openapi.json");
    let locked = running.json("/openapi.json");
    let token = serde_json::json!([{"token": []}]);
    for (operation, when_open, when_locked) in [
        ("/paths/~1livez/get", false, false),
        ("/paths/~1v1~1query/get", false, true),
        ("/paths/~1metrics/get", false, true),
        ("/paths/~1v1~1sync/post", true, true),
    ] {
        let wants = |document: &Value| document.pointer(operation).unwrap()["security"] == token;
        let wanted = (wants(&open), wants(&locked));
        assert_eq!(wanted, (when_open, when_locked), "{operation}");
    }
}

#[test]
fn freshness_is_the_callers_choice() {
    let running = Running::start();
    running.add("new.go");
    let total = |freshness: &str| {
        let found = running.json(&format!("/v1/query?language=go&freshness={freshness}"));
        found["total"].as_u64().unwrap()
    };
    assert_eq!(total("cached"), 0, "nobody follows the database");
    assert_eq!(total("maxAge=1h"), 0);
    assert_eq!(total("latest"), 1);
    running.add("newer.go");
    assert_eq!(total("maxAge=0ms"), 2);
    running.add("newest.go");
    let head = cardex::store::MetadataStore::head(&*running.store).unwrap();
    assert_eq!(total(&format!("atLeast={head}")), 3);
    let file = running.json("/v1/files/newest.go?freshness=cached");
    assert_eq!(file["asOf"], head.to_string());
}

#[test]
fn names_are_listed_in_order_with_their_files() {
    let running = Running::start();
    let names = |query: &str| -> Vec<(String, String, u64)> {
        let answer = running.json(&format!("/v1/symbols?{query}"));
        let symbols = answer["symbols"].as_array().unwrap().clone();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let tuple = |s: &Value| {
            (
                text(&s["kind"]),
                text(&s["name"]),
                s["files"].as_u64().unwrap(),
            )
        };
        symbols.iter().map(tuple).collect()
    };
    let name = |kind: &str, name: &str, files| (kind.to_owned(), name.to_owned(), files);
    let p = [
        name("function", "parse", 2),
        name("function", "parse_all", 1),
    ];
    assert_eq!(names("prefix=pa"), p);
    assert_eq!(names("prefix=pa&limit=1"), p[..1]);
    assert_eq!(
        names("kind=language"),
        [name("language", "python", 3), name("language", "rust", 1)]
    );
    assert_eq!(
        names("kind=language&prefix=PY"),
        [name("language", "python", 3)]
    );
    assert_eq!(
        names("kind=class&kind=reference"),
        [
            name("class", "Lexer", 1),
            name("reference", "docs/GRAMMAR.md", 1),
        ]
    );
    assert_eq!(names("").len(), 7);
    assert_eq!(names("prefix=zzz"), []);
    // What is left of a file that has gone is no name, also while its layer is there.
    running.cardex.remove(&path("src/main.rs")).unwrap();
    assert_eq!(names("kind=language"), [name("language", "python", 3)]);
    assert_eq!(
        names("prefix=parse&limit=1"),
        [name("function", "parse", 1)]
    );
    let truncated = running.json("/v1/symbols?limit=1");
    assert_eq!(truncated["truncated"], true);
    assert_eq!(running.json("/v1/symbols?limit=7")["truncated"], false);
}

#[test]
fn stats_tell_what_is_served_and_how_it_does() {
    let running = Running::start();
    let stats = running.json("/v1/stats");
    assert_eq!(stats["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        stats["root"],
        running.directory.path().display().to_string()
    );
    assert!(stats["database"].as_str().unwrap().ends_with("test.db"));
    assert_eq!(stats["index"]["files"], 4);
    assert_eq!(
        stats["index"]["languages"][0],
        json!({"name": "python", "files": 3})
    );
    assert_eq!(stats["sync"]["last"]["mode"], "full");
    assert_eq!(stats["sync"]["failure"], Value::Null);
    assert_eq!(stats["sync"]["watermark"], stats["asOf"]);
    assert_eq!(stats["requests"]["maxWorking"], 64);
    assert_eq!(stats["requests"]["working"], 1);
    assert_eq!(stats["health"]["state"], "healthy");
    assert_eq!(stats["caches"], running.json("/v1/caches")["caches"]);
    assert_eq!(stats["pressure"]["threshold"], 0.8);
    assert_eq!(stats["pressure"]["triggers"], 0);
    assert!(stats["pressure"]["limits"].is_array(), "{stats}");
    running.store.set_deaf(true);
    running
        .cardex
        .sync(cardex::SyncMode::Incremental)
        .unwrap_err();
    let stats = running.json("/v1/stats");
    assert_eq!(stats["sync"]["failure"]["code"], "database");
    assert_eq!(stats["health"]["state"], "degraded");
}

#[test]
fn caches_are_told_evicted_and_cleared() {
    let running = Running::with_token();
    let fill = || {
        let wanted = records().into_iter().map(|record| record.path);
        running
            .cardex
            .get_many(&wanted.collect::<Vec<_>>())
            .unwrap();
    };
    let entries = || running.json("/v1/caches")["caches"][0]["entries"].clone();
    fill();
    let caches = running.json("/v1/caches");
    let cache = &caches["caches"][0];
    assert_eq!(cache["name"], "memory_cache");
    assert_eq!(cache["misses"], 4);
    assert_eq!(cache["hitRate"], 0.0);
    assert_eq!(cache["capacity"], 10_000);
    assert!(cache["bytes"].as_u64().unwrap() > 0);
    let evicted = running
        .post("/v1/caches/memory_cache/evict", r#"{"entries":1}"#)
        .json();
    assert_eq!(evicted, json!({"cache": "memory_cache", "evicted": 1}));
    assert_eq!(entries(), 3);
    let none = running
        .post("/v1/caches/memory_cache/evict", r#"{"entries":0}"#)
        .json();
    assert_eq!(none["evicted"], 0);
    let all = running.post("/v1/evict", "").json();
    assert_eq!(all, json!({"evicted": {"memory_cache": 1}}));
    assert_eq!(entries(), 2);
    let cleared = running.post("/v1/caches/memory_cache/clear", "").json();
    assert_eq!(
        cleared,
        json!({"status": "cleared", "cache": "memory_cache"})
    );
    assert_eq!(entries(), 0);
    fill();
    let stats = running.json("/api/cache/stats");
    assert_eq!(
        (&stats["total_items"], &stats["total_capacity"]),
        (&json!(4), &json!(10_000))
    );
    assert_eq!(stats["pressure_triggered_count"], 0);
    let evicted = running.post("/api/cache/evict", "").json();
    assert_eq!(evicted, json!({"evicted": {"memory_cache": 1}}));
    let cleared = running.post("/api/cache/clear/memory_cache", "{}").json();
    assert_eq!(cleared["status"], "cleared");
    assert_eq!(entries(), 0);
    assert_eq!(
        running.json("/v1/query")["total"],
        4,
        "no answer depends on it"
    );
}

#[test]
fn a_sync_brings_in_what_others_wrote() {
    let running = Running::with_token();
    running.add("new.go");
    let report = running.post("/v1/sync", r#"{"mode":"incremental"}"#).json();
    assert_eq!(
        (&report["mode"], &report["files"]),
        (&json!("incremental"), &json!(1))
    );
    assert_eq!(running.json("/v1/query?language=go")["total"], 1);
    let report = running.post("/v1/sync", r#"{"mode":"full"}"#).json();
    assert_eq!(
        (&report["mode"], &report["files"]),
        (&json!("full"), &json!(5))
    );
    assert_eq!(running.post("/v1/sync", "").json()["files"], 0);
}

#[test]
fn whoever_watches_sees_it_alive_ready_and_healthy() {
    let running = Running::start();
    assert_eq!(running.json("/livez"), json!({"status": "live"}));
    assert_eq!(running.json("/readyz"), json!({"status": "ready"}));
    let health = running.json("/healthz");
    assert_eq!(
        (&health["name"], &health["state"]),
        (&json!("cardex"), &json!("healthy"))
    );
    assert_eq!(health["parts"][0]["name"], "memory_cache");
}

#[test]
fn counts_are_told_as_openmetrics() {
    let running = Running::start();
    running.json("/v1/query?language=rust");
    running.get("/v1/query?limit=x");
    let answer = running.get("/metrics");
    let kind = answer.header("content-type").unwrap();
    assert!(
        kind.starts_with("application/openmetrics-text; version=1.0.0"),
        "{kind}"
    );
    let text = String::from_utf8(answer.body).unwrap();
    for line in [
        r#"cardex_http_requests_total{method="GET",route="/v1/query",status="200"} 1"#,
        r#"cardex_http_requests_total{method="GET",route="/v1/query",status="400"} 1"#,
        r#"cardex_http_request_duration_seconds_count{route="/v1/query"} 2"#,
        r#"cardex_cache_entries{cache="memory_cache"} 0"#,
        "cardex_index_files 4.0",
        "cardex_ready 1.0",
        "# EOF",
    ] {
        assert!(
            text.lines().any(|own| own == line),
            "{line} is not in\n{text}"
        );
    }
}

#[test]
fn the_page_runs_only_its_own_script() {
    let running = Running::start();
    let page = running.get("/");
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    let nonce = policy.split("script-src 'nonce-").nth(1).unwrap();
    let nonce = nonce.split('\'').next().unwrap();
    assert_eq!(nonce.len(), 32);
    let html = String::from_utf8(page.body.clone()).unwrap();
    assert!(
        html.contains(&format!("<script nonce=\"{nonce}\"")),
        "{html}"
    );
    assert!(
        !html.contains("{{") && !html.contains("://"),
        "nothing comes from elsewhere: {html}"
    );
    let again = running.get("/");
    let policies =
        [&page, &again].map(|page| page.header("content-security-policy").map(str::to_owned));
    assert_ne!(policies[0], policies[1], "each page has a nonce of its own");
}

/// Each operation of the document is answered, and by the router: the table makes both.
#[test]
fn the_document_lists_exactly_what_is_answered() {
    let running = Running::with_token();
    let document = running.json("/openapi.json");
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    let mut operations = 0;
    for (template, methods) in paths {
        let target = template
            .replace("{path}", "src/main.rs")
            .replace("{name}", "memory_cache");
        for (method, operation) in methods.as_object().unwrap() {
            operations += 1;
            let mut client = running.client();
            let host = running.address();
            let method = method.to_ascii_uppercase();
            client.send(format!(
                "{method} {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
            ));
            let answer = client.head().unwrap();
            assert!(
                !matches!(answer.status, 404 | 405 | 401),
                "{method} {target}"
            );
            let content = operation["responses"]["200"]["content"]
                .as_object()
                .unwrap();
            let expected = content.keys().next().unwrap();
            let is_missing = answer.status == 400;
            assert!(
                is_missing || answer.header("content-type") == Some(expected),
                "{method} {target}: {answer:?}"
            );
            let other = match method.as_str() {
                "GET" => "POST",
                _ => "GET",
            };
            if methods.get(other.to_ascii_lowercase()).is_none() {
                let mut client = running.client();
                client.ask(other, &target);
                assert_eq!(client.answer().status, 405, "{other} {target}");
            }
        }
    }
    assert_eq!(
        operations,
        22 + usize::from(cfg!(feature = "cli")),
        "who adds a route adds it here, and to the README"
    );
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let document = Running::start().json("/openapi.json");
    let mut references = 0;
    let mut check = |reference: &str| {
        references += 1;
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    };
    fn walk(value: &Value, check: &mut dyn FnMut(&str)) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| match value {
                Value::String(text) if name == "$ref" => check(text),
                value => walk(value, check),
            }),
            Value::Array(items) => items.iter().for_each(|item| walk(item, check)),
            _ => {}
        }
    }
    walk(&document, &mut check);
    assert!(references > 20, "{references}");
    let schemas = &document["components"]["schemas"];
    for name in ["Problem", "Found", "FileMetadata", "Health", "Changes"] {
        assert!(schemas.get(name).is_some(), "{name}");
    }
    let hit = &schemas["Hit"]["required"];
    assert!(hit.as_array().unwrap().contains(&json!("path")), "{hit}");
}

#[test]
fn an_ordinary_client_is_answered_and_head_has_no_body() {
    let running = Running::start();
    let url = format!("http://{}/v1/query?language=rust", running.address());
    let mut answer = ureq::get(&url).call().unwrap();
    let found: Value = answer.body_mut().read_json().unwrap();
    assert_eq!(found["total"], 1);
    let head = ureq::head(&url).call().unwrap();
    assert_eq!(head.status(), 200);
    assert!(head.headers().contains_key("content-length"));
    let refused = ureq::get(format!("{url}x&y=1")).call();
    assert!(
        matches!(refused, Err(ureq::Error::StatusCode(400))),
        "{refused:?}"
    );
}

#[test]
fn requests_of_one_connection_are_answered_in_their_order() {
    let running = Running::start();
    let mut client = running.client();
    for language in ["python", "rust", "go"] {
        client.ask("GET", &format!("/v1/query?language={language}&count=true"));
    }
    let totals = [(); 3].map(|()| client.answer().json()["total"].clone());
    assert_eq!(totals, [json!(3), json!(1), json!(0)]);
}
