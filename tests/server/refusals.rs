//! What is refused, and in which words.

use cardex::ErrorKind;
use cardex::server::{Server, ServerOptions};

use crate::client::Client;
use crate::support::{Running, TOKEN, options, quiet, served, token_file};

#[test]
fn what_is_wrong_with_a_question_is_a_problem_with_a_code() {
    let running = Running::start();
    for (target, status, code) in [
        ("/nothing", 404, "no-such-route"),
        ("/v1/", 404, "no-such-route"),
        ("/v1/files/", 404, "no-such-route"),
        ("/v1/files/nothing.rs", 404, "not-found"),
        ("/v1/files/..%2F..%2Fetc%2Fpasswd", 400, "invalid-path"),
        ("/v1/files//etc/passwd", 400, "invalid-path"),
        ("/v1/files/a%00b", 400, "invalid-path"),
        ("/v1/files/a%zz", 400, "invalid-request"),
        ("/v1/files/a%ff", 400, "invalid-request"),
        ("/v1/files/a%2", 400, "invalid-request"),
        ("/v1/files/a?b=c", 400, "invalid-request"),
        ("/v1/query?language=%", 400, "invalid-request"),
        ("/v1/query?%ff=1", 400, "invalid-request"),
        ("/v1/query?language=a&language=b", 400, "invalid-request"),
        ("/v1/query?limit=1&limit=1", 400, "invalid-request"),
        ("/v1/query?langage=a", 400, "invalid-request"),
        ("/v1/query?limit=-1", 400, "invalid-request"),
        ("/v1/query?limit=%2B1", 400, "invalid-request"),
        ("/v1/query?limit=1001", 400, "invalid-request"),
        ("/v1/query?limit=", 400, "invalid-request"),
        ("/v1/query?count=yes", 400, "invalid-request"),
        ("/v1/query?language=", 400, "invalid-query"),
        ("/v1/query?path=(", 400, "invalid-pattern"),
        ("/v1/query?q=func:a", 400, "invalid-query"),
        ("/v1/query?q=(lang:rust", 400, "invalid-query"),
        ("/v1/query?q=path:(", 400, "invalid-pattern"),
        ("/v1/query?freshness=fresh", 400, "invalid-request"),
        ("/v1/query?freshness=maxAge=5", 400, "invalid-request"),
        ("/v1/query?freshness=atLeast=5", 400, "invalid-input"),
        (
            "/v1/query?freshness=atLeast=0000000000000001:5",
            412,
            "not-fresh",
        ),
        ("/v1/symbols?kind=functoin", 400, "invalid-request"),
        ("/v1/symbols?limit=9999", 400, "invalid-request"),
        ("/v1/changes", 400, "invalid-request"),
        ("/v1/changes?since=yesterday", 400, "invalid-input"),
        ("/v1/changes?since=start&wait=10", 400, "invalid-request"),
        ("/v1/changes?since=start&wait=2m", 400, "invalid-request"),
        ("/v1/changes?since=start&limit=0", 400, "invalid-request"),
        ("/v1/events?since=x", 400, "invalid-input"),
        ("/v1/stats?x=1", 400, "invalid-request"),
        ("/livez?x", 400, "invalid-request"),
    ] {
        let answer = running.get(target);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (status, code),
            "{target}"
        );
    }
}

#[test]
fn a_problem_says_what_was_meant_and_where() {
    let running = Running::start();
    let help = |target: &str| running.get(target).json()["help"].clone();
    assert_eq!(help("/v1/query?langage=a"), "did you mean `language`?");
    assert_eq!(
        help("/v1/symbols?kind=functoin"),
        "did you mean `function`?"
    );
    let problem = running.get("/v1/query?path=src%2F(lexer").json();
    assert_eq!(
        problem["excerpt"],
        serde_json::json!({"text": "src/(lexer", "start": 4, "end": 5})
    );
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("unclosed group"),
        "{problem}"
    );
    let problem = running.get("/v1/query?q=lang:rust+func:a").json();
    assert_eq!(problem["excerpt"]["text"], "lang:rust func:a");
    assert_eq!(
        (&problem["excerpt"]["start"], &problem["excerpt"]["end"]),
        (&10.into(), &14.into())
    );
}

#[test]
fn a_method_that_a_route_has_not_is_told_which_it_has() {
    let running = Running::with_token();
    for (method, target, allowed) in [
        ("POST", "/v1/query", "GET,HEAD"),
        ("DELETE", "/v1/files/src/main.rs", "GET,HEAD"),
        ("PUT", "/v1/files/src/main.rs", "GET,HEAD"),
        ("GET", "/v1/sync", "POST"),
        ("BREW", "/", "GET,HEAD"),
        ("OPTIONS", "/v1/query", "GET,HEAD"),
    ] {
        let mut client = running.client();
        client.ask(method, target);
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (405, "method-not-allowed")
        );
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {target}");
    }
}

#[test]
fn foreign_hosts_and_origins_are_answered_on_no_route() {
    let running = Running::with_token();
    let port = running.address().port();
    let refused = |method: &str, target: &str, headers: &str| {
        let mut client = running.client();
        client.send(format!("{method} {target} HTTP/1.1\r\n{headers}\r\n"));
        let answer = client.answer();
        (answer.status, answer.problem())
    };
    let foreign = (403, "foreign-request".to_owned());
    let own = format!("Host: localhost:{port}\r\n");
    for target in [
        "/",
        "/v1/query",
        "/v1/sync",
        "/livez",
        "/metrics",
        "/nothing",
    ] {
        for method in ["GET", "POST", "OPTIONS"] {
            let auth = format!("Authorization: Bearer {TOKEN}\r\n");
            for host in [
                "evil.example",
                "evil.example:80",
                "192.168.7.7",
                "localhost.evil.example",
            ] {
                let headers = format!("Host: {host}\r\n{auth}");
                assert_eq!(
                    refused(method, target, &headers),
                    foreign,
                    "{method} {target} {host}"
                );
            }
            for origin in [
                "http://evil.example",
                "null",
                "http://localhost",
                "https://localhost:1",
            ] {
                let headers = format!("{own}Origin: {origin}\r\n{auth}");
                assert_eq!(
                    refused(method, target, &headers),
                    foreign,
                    "{method} {target} {origin}"
                );
            }
        }
    }
    assert_eq!(refused("GET", "http://evil.example/livez", &own), foreign);
    assert_eq!(
        refused("GET", "/livez", "").0,
        400,
        "a request must name its host"
    );
    assert_eq!(
        refused("GET", "/livez", &format!("{own}{own}")).0,
        400,
        "once"
    );
    let mut client = running.client();
    let origin = format!("Origin: http://localhost:{port}\r\n");
    client.send(format!("GET /livez HTTP/1.1\r\n{own}{origin}\r\n"));
    let answer = client.answer();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[test]
fn a_page_of_another_site_reaches_nothing_through_its_visitor() {
    let running = Running::start();
    let port = running.address().port();
    let ask = |method: &str, target: &str, site: &str, mode: &str| {
        let mut client = running.client();
        client.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost:{port}\r\nSec-Fetch-Site: {site}\r\n\
             Sec-Fetch-Mode: {mode}\r\n\r\n"
        ));
        client.head().unwrap().status
    };
    for site in ["cross-site", "same-site"] {
        for target in ["/", "/v1/query", "/v1/events", "/metrics", "/nothing"] {
            assert_eq!(ask("GET", target, site, "no-cors"), 403, "{target}");
        }
        assert_eq!(ask("GET", "/v1/query", site, "navigate"), 403);
        assert_eq!(ask("POST", "/", site, "navigate"), 403);
        assert_eq!(ask("GET", "/?q=lang:rust", site, "navigate"), 200);
    }
    assert_eq!(ask("GET", "/v1/query", "same-origin", "cors"), 200);
    assert_eq!(ask("GET", "/v1/query", "none", "navigate"), 200);
}

#[test]
fn a_body_that_may_end_in_two_places_is_refused() {
    let running = Running::with_token();
    let host = running.address();
    for lengths in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    ] {
        let mut client = running.client();
        client.send(format!(
            "POST /v1/sync HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n{lengths}\
             \r\n0\r\n\r\nGET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n"
        ));
        let answer = client.answer();
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "invalid-request")
        );
        assert!(client.is_closed(), "what follows is nobody's request");
    }
}

#[test]
fn changing_verbs_want_the_token() {
    let running = Running::with_token();
    let changing = [
        "/v1/sync",
        "/v1/evict",
        "/v1/caches/memory_cache/evict",
        "/v1/caches/memory_cache/clear",
        "/api/cache/evict",
        "/api/cache/clear/memory_cache",
    ];
    let host = running.address();
    let post = |target: &str, auth: &str| {
        let mut client = running.client();
        client.send(format!(
            "POST {target} HTTP/1.1\r\nHost: {host}\r\n{auth}\r\n"
        ));
        client.answer()
    };
    for target in changing {
        let missing = post(target, "");
        assert_eq!(
            (missing.status, missing.problem().as_str()),
            (401, "unauthorized")
        );
        assert_eq!(missing.header("www-authenticate"), Some("Bearer"));
        for auth in ["Bearer x", "Bearer ", "Basic abc", &TOKEN[1..]] {
            let wrong = post(target, &format!("Authorization: {auth}\r\n"));
            assert_eq!(wrong.status, 401, "{auth}");
            assert_eq!(
                wrong.header("www-authenticate"),
                Some("Bearer error=\"invalid_token\"")
            );
            assert!(!String::from_utf8_lossy(&wrong.body).contains(TOKEN));
        }
    }
    let readers = Running::start();
    let refused = readers.post("/v1/sync", "");
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (403, "read-only")
    );
}

#[test]
fn a_body_must_be_short_json_that_the_route_takes() {
    let running = Running::with_token();
    let refused = |body: &str| {
        let answer = running.post("/v1/sync", body);
        (answer.status, answer.problem())
    };
    for body in [
        "{",
        "[]",
        "null",
        r#"{"mode":"quick"}"#,
        r#"{"mod":"full"}"#,
        "\u{0}",
    ] {
        assert_eq!(refused(body), (400, "invalid-request".to_owned()), "{body}");
    }
    let long = format!("{}{{}}", " ".repeat(1 << 20));
    assert_eq!(refused(&long), (413, "body-too-large".to_owned()));
    for body in [r#"{"entries":-1}"#, r#"{"entries":"all"}"#, "", "{}"] {
        let answer = running.post("/v1/caches/memory_cache/evict", body);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (400, "invalid-request"),
            "{body}"
        );
    }
    let unknown = running.post("/v1/caches/memory_cach/clear", "");
    assert_eq!(
        (unknown.status, unknown.problem().as_str()),
        (404, "not-found")
    );
    assert_eq!(unknown.json()["help"], "did you mean `memory_cache`?");
    let mut client = running.client();
    let host = running.address();
    client.send(format!(
        "POST /v1/sync HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{{}}"
    ));
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (415, "unsupported-media-type")
    );
}

#[test]
fn before_the_first_load_it_is_alive_and_not_ready() {
    let mut gate = None;
    let running = Running::prepared(|store| gate = Some(store.hold_look()));
    assert_eq!(running.get("/livez").status, 200);
    for target in [
        "/readyz",
        "/v1/query",
        "/v1/symbols",
        "/v1/events",
        "/v1/files/src/main.rs",
    ] {
        let answer = running.get(target);
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (503, "not-loaded"),
            "{target}"
        );
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    let health = running.get("/healthz");
    assert_eq!(
        (health.status, &health.json()["state"]),
        (503, &"unknown".into())
    );
    assert_eq!(running.json("/v1/stats")["index"]["files"], 0);
    gate.unwrap().release();
    crate::gated_store::wait_until("it is ready", || running.get("/readyz").status == 200);
    assert_eq!(running.json("/v1/query")["total"], 4);
}

#[test]
fn a_load_that_failed_is_told_with_its_reason() {
    let running = Running::prepared(|store| store.set_down(true));
    crate::gated_store::wait_until("the load has failed", || {
        running.get("/healthz").json()["state"] == "unhealthy"
    });
    let answer = running.get("/readyz");
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (503, "not-loaded")
    );
    assert!(
        answer.json()["detail"]
            .as_str()
            .unwrap()
            .contains("the database is down")
    );
}

#[test]
fn others_are_let_in_with_a_token_alone() {
    let directory = tempfile::tempdir().unwrap();
    let public: ServerOptions = options().listen("0.0.0.0:0".parse().unwrap());
    let cardex = Running::start().cardex;
    let start = |options| Server::start(options, served(&cardex));
    let error = start(public.clone()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().contains("0.0.0.0:0"), "{error}");
    let open = token_file(&directory, 0o644);
    let error = start(options().token_file(Some(open))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.help().unwrap().contains("chmod 600"));
    let file = token_file(&directory, 0o600);
    let running = Running::with(public.token_file(Some(file)), quiet());
    let port = running.address().port();
    let mut client = Client::connect(([127, 0, 0, 1], port).into());
    let mut ask = |target: &str, auth: &str| {
        client.send(format!(
            "GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{auth}\r\n"
        ));
        client.answer().status
    };
    for target in [
        "/v1/query",
        "/v1/files/src/main.rs",
        "/v1/stats",
        "/metrics",
        "/healthz",
    ] {
        assert_eq!(ask(target, ""), 401, "{target}");
        assert_eq!(
            ask(target, &format!("Authorization: Bearer {TOKEN}\r\n")),
            200,
            "{target}"
        );
    }
    for target in ["/livez", "/readyz", "/openapi.json", "/"] {
        assert_eq!(ask(target, ""), 200, "{target}");
    }
}

#[test]
fn reading_wants_the_token_on_this_machine_too_where_it_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let file = token_file(&directory, 0o600);
    let locked = options().token_for_reading(true);
    let cardex = Running::start().cardex;
    let error = Server::start(locked.clone(), served(&cardex)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.help().unwrap().contains("server.token_for_reading"));
    let running = Running::with(locked.token_file(Some(file)), quiet());
    let host = running.address();
    let mut client = running.client();
    for target in ["/v1/query", "/v1/page", "/v1/events", "/metrics"] {
        assert_eq!(running.get(target).problem(), "unauthorized", "{target}");
    }
    for target in ["/livez", "/readyz", "/"] {
        assert_eq!(running.get(target).status, 200, "{target}");
    }
    let page = String::from_utf8(running.get("/?q=lang:rust").body).unwrap();
    assert!(page.contains(">locked<") && !page.contains("src/main.rs"));
    client.send(format!(
        "GET /v1/query HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    ));
    assert_eq!(client.answer().json()["total"], 4);
}

#[test]
fn a_port_that_is_taken_is_an_error_that_names_it() {
    let running = Running::start();
    let address = running.address();
    let taken = options().listen(address);
    let error = Server::start(taken, served(&running.cardex)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(error.to_string(), format!("cannot listen on {address}"));
    assert!(error.help().unwrap().contains("another port"));
}

#[test]
fn a_start_that_fails_inside_an_async_program_is_its_error() {
    let running = Running::start();
    let taken = options().listen(running.address());
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let error = runtime.block_on(async {
        let served = served(&running.cardex);
        tokio::spawn(async move { Server::start(taken, served).unwrap_err() }).await
    });
    assert_eq!(error.unwrap().kind(), ErrorKind::Io);
}
