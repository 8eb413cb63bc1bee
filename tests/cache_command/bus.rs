//! The bus as the program starts it: what one process changes leaves the memory of the others, what changes
//! in files is told, and a server that is away is told of and got over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cardex::bus::{Invalidation, Origin};
use cardex::config::ConfigSources;
use cardex::kv::{Caches, CachesSetup};
use cardex::tier::{KeyPattern, Lifetime};
use cardex::{HealthState, SystemClock};
use serde_json::Value;

use super::redis_support::{Server, soon};
use super::{Project, Serving};

const NO_FILE: &str = "[tiers.disk]\nenabled = false\n";
/// So rare that nothing is found out by heartbeats within a test.
const RARE: (&str, &str) = ("CARDEX_COORDINATION__HEARTBEAT", "60s");
const NAMESPACE: (&str, &str) = ("CARDEX_REDIS__NAMESPACE", "team_a");

/// A project whose processes share the server under a name that is known.
fn project(server: &Server, config: &str) -> Project {
    let (namespace, team) = NAMESPACE;
    let project = Project::new().configured(config).with(namespace, team);
    project
        .with("CARDEX_REDIS__URL", server.url())
        .with("CARDEX_REDIS__TIMEOUT", "500ms")
}

fn setup(project: &Project) -> CachesSetup {
    let sources = ConfigSources::new(project.root.path());
    let variables = project.variables.iter();
    let sources = variables.fold(sources, |sources, (name, value)| {
        sources.variable(name, value)
    });
    let config = sources.load().unwrap();
    config.derived().setup(project.root.path()).unwrap()
}

/// The caches of this process, as a program of the project opens them.
fn caches(project: &Project) -> Caches {
    setup(project).open(None, Arc::new(SystemClock)).unwrap()
}

fn set(caches: &Caches, key: &str, value: u32) {
    let general = caches.get("general").unwrap();
    assert!(general.set(key, &value, Lifetime::Default).unwrap());
}

fn get(caches: &Caches, key: &str) -> Option<u32> {
    caches.get("general").unwrap().get(key).unwrap()
}

/// The bus as a server shows it.
fn shown(serving: &Serving) -> Value {
    serving.json("/v1/caches")["bus"].clone()
}

/// The health of its results, once its index is loaded.
fn results(serving: &Serving) -> Value {
    soon("it is ready", || serving.answers("/readyz"));
    let health = serving.json("/healthz");
    let parts = health["parts"].as_array().unwrap();
    let results = parts.iter().find(|part| part["name"] == "results");
    results.unwrap().clone()
}

#[test]
fn what_the_command_changes_leaves_the_memory_of_other_processes() {
    let server = Server::start();
    let (key, rare) = RARE;
    let project = project(&server, NO_FILE).with(key, rare);
    let mine = caches(&project);
    soon("it hears itself", || {
        set(&mine, "k", 0);
        mine.node_stats().unwrap().echoes > 0
    });
    for (args, left) in [
        (&["set", "general", "k", "2"][..], Some(2)),
        (&["delete", "general", "k"], None),
        (&["delete", "general", "--pattern", "k*"], None),
        (&["clear", "general"], None),
    ] {
        set(&mine, "k", 1);
        assert_eq!(get(&mine, "k"), Some(1));
        let said = project.cache(0, args);
        assert!(!said.contains("note: other"), "{said}");
        // The command is over when the message is out.
        let told = Instant::now();
        soon("it is gone from memory", || get(&mine, "k") == left);
        println!("{args:?}: heard {:?} after the end", told.elapsed());
    }
    let node = mine.stats().node.unwrap();
    // Each command has said good-bye, and nobody waits for it.
    soon("nobody else is known", || {
        mine.node_stats().unwrap().nodes == 0
    });
    assert_eq!((node.failed, node.unreadable), (0, 0), "{node:?}");
    let origins = mine.bus_stats().unwrap().by_origin;
    assert!(origins["redis"] >= 4, "{origins:?}");
    // Who only looks is no node.
    let before = mine.node_stats().unwrap().heard;
    project.cache(1, &["get", "general", "k"]);
    project.cache(0, &["stats"]);
    assert_eq!(mine.node_stats().unwrap().heard, before);
}

#[test]
fn a_command_that_cannot_tell_others_says_so_and_does_not_hang() {
    let mut server = Server::start();
    let project = project(&server, "");
    server.kill();
    let begin = Instant::now();
    let said = project.cache(0, &["set", "general", "k", "1"]);
    assert!(
        said.contains("note: other processes are not told what changed"),
        "{said}"
    );
    assert!(begin.elapsed() < Duration::from_secs(20));
}

#[test]
fn two_servers_know_each_other_and_tell_of_it() {
    let server = Server::start();
    let config = format!("{NO_FILE}[types.chat]\nttl = '10m'\n");
    let project = project(&server, &config);
    let (one, other) = (Serving::start(&project), Serving::start(&project));
    for serving in [&one, &other] {
        soon("it knows the other one", || {
            shown(serving)["node"]["nodes"] == 1
        });
    }
    let before = shown(&one)["events"]["redis"].as_u64().unwrap();
    let heard = || shown(&one)["events"]["redis"].as_u64().unwrap() > before;
    project.cache(0, &["set", "chat", "k", "1"]);
    soon("the command is heard", heard);
    soon("both hear any program", || {
        let hear: u32 = server.ask(&["PUBLISH", "team_a:invalidate", "chat:*"]);
        hear == 2
    });
    soon("what any program says is done", || {
        project.run(&["cache", "get", "chat", "k"]).status.code() == Some(1)
    });
    let stats = one.json("/v1/stats");
    assert_eq!(stats["bus"]["state"], "healthy", "{stats}");
    let metrics = one.text("/metrics");
    for line in [
        "# TYPE cardex_bus_events counter",
        "cardex_bus_events_total{origin=\"redis\"} ",
        "cardex_bus_events_total{origin=\"api\"} 0",
        "cardex_bus_nodes 1",
        "cardex_bus_doubts_total ",
        "cardex_bus_messages_total 0",
        "cardex_bus_publish_failures_total 0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert!(one.text("/").contains("1 other process, healthy"));
    other.end();
    soon("the other one has said good-bye", || {
        shown(&one)["node"]["nodes"] == 0
    });
}

#[test]
fn a_server_starts_without_redis_says_so_and_recovers() {
    let mut server = Server::start();
    let config = format!("{NO_FILE}[types.chat]\nttl = '10m'\n");
    let project = project(&server, &config);
    server.kill();
    let serving = Serving::start(&project);
    let health = results(&serving);
    assert_eq!(health["state"], "degraded", "{health}");
    let parts = health["parts"].as_array().unwrap();
    let bus = parts.iter().find(|part| part["name"] == "bus").unwrap();
    assert_eq!(bus["reasons"][0]["code"], "not-published", "{health}");
    assert_eq!(shown(&serving)["state"], "degraded");
    server.restart();
    soon("it does well again", || {
        shown(&serving)["state"] == "healthy"
    });
    set(&caches(&project), "k", 1);
}

/// Redis takes connections and requests, and answers none; the time-out is the one by default, of 5 s.
#[test]
fn a_redis_that_hangs_holds_up_no_start_of_a_server() {
    let server = Server::start();
    let config = format!("{NO_FILE}[types.chat]\nttl = '10m'\n");
    let project = project(&server, &config).with("CARDEX_REDIS__TIMEOUT", "5s");
    assert!(project.run(&["-q", "index"]).status.success());
    server.freeze();
    let begin = Instant::now();
    let serving = Serving::start_indexed(&project, &[]);
    let took = begin.elapsed();
    println!("the address is printed after {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    let health = results(&serving);
    let parts = health["parts"].as_array().unwrap();
    let bus = parts.iter().find(|part| part["name"] == "bus").unwrap();
    assert_eq!(bus["reasons"][0]["code"], "not-published", "{health}");
    server.thaw();
    soon("it does well", || shown(&serving)["state"] == "healthy");
}

#[test]
fn a_server_tells_what_changes_in_files_by_the_watcher_and_by_the_database() {
    let project = Project::new();
    let serving = Serving::start_with(&project, &["--watch"]);
    let told = |origin: &str| shown(&serving)["events"][origin].as_u64().unwrap();
    soon("the beginning is told", || told("sync") > 0);
    let (watched, synced) = (told("watch"), told("sync"));
    std::fs::write(project.root.path().join("new.rs"), "fn new() {}\n").unwrap();
    soon("the watcher tells of it", || told("watch") > watched);
    soon("the database tells of it", || told("sync") > synced);
    // Nobody else writes through this server: the command's change is the database's.
    let (watched, synced) = (told("watch"), told("sync"));
    let record = project.root.path().join("record.jsonl");
    std::fs::write(&record, "{\"path\": \"gone.rs\", \"language\": \"rust\"}\n").unwrap();
    let imported = project.run(&["-q", "db", "import", record.to_str().unwrap()]);
    assert!(imported.status.success(), "{imported:?}");
    soon("the database tells of that, too", || told("sync") > synced);
    assert_eq!(told("api"), 0);
    assert!(told("watch") >= watched);
    assert_eq!(shown(&serving)["node"], Value::Null);
}

#[test]
fn the_heartbeat_is_the_one_that_is_configured() {
    let server = Server::start();
    let project = project(&server, NO_FILE).with("CARDEX_COORDINATION__HEARTBEAT", "100ms");
    let mine = caches(&project);
    set(&mine, "k", 1);
    let begin = Instant::now();
    let beats = || -> u64 {
        let standing: Vec<String> = server.ask(&["HVALS", "cardex:bus:{team_a}:nodes"]);
        standing[0].rsplit(':').next().unwrap().parse().unwrap()
    };
    soon("the heart has beaten", || beats() > 15);
    // At one a second these are 15 seconds.
    assert!(begin.elapsed() < Duration::from_secs(10));
    let rare = project.with("CARDEX_COORDINATION__ENABLED", "false");
    let alone = caches(&rare);
    set(&alone, "k", 2);
    assert!(alone.stats().node.is_none() && !setup(&rare).has_bus());
}

#[test]
fn copies_of_a_file_are_not_older_than_the_start_of_their_process() {
    let server = Server::start();
    let (mine, theirs) = (project(&server, ""), project(&server, NO_FILE));
    let first = caches(&mine);
    set(&first, "k", 1);
    drop(first);
    set(&caches(&theirs), "k", 2);
    assert_eq!(get(&caches(&mine), "k"), Some(2));
}

#[test]
fn who_says_good_bye_is_gone_and_what_he_keeps_finds_nothing() {
    let server = Server::start();
    let project = project(&server, NO_FILE);
    let (mine, theirs) = (caches(&project), caches(&project));
    set(&mine, "k", 1);
    assert_eq!(get(&theirs, "k"), Some(1));
    soon("they know each other", || {
        theirs.node_stats().is_some_and(|node| node.nodes == 1)
    });
    let kept = mine.get("general").unwrap();
    let own = mine.get("lru_memory").unwrap();
    assert!(own.set("k", &1, Lifetime::Default).unwrap());
    mine.close();
    let nodes: u32 = server.ask(&["HLEN", "cardex:bus:{team_a}:nodes"]);
    assert_eq!(nodes, 1, "the registry has forgotten it");
    soon("the other one has heard it", || {
        theirs.node_stats().unwrap().nodes == 0
    });
    assert_eq!(kept.get::<u32>("k").unwrap(), None, "others may change it");
    assert_eq!(own.get::<u32>("k").unwrap(), Some(1));
    assert_eq!(get(&theirs, "k"), Some(1));
}

#[test]
fn what_an_operator_invalidates_leaves_everywhere_and_what_nobody_shares_is_never_in_doubt() {
    let mut server = Server::start();
    let project = project(&server, NO_FILE).with("CARDEX_COORDINATION__HEARTBEAT", "100ms");
    let (mine, theirs) = (caches(&project), caches(&project));
    let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let hook = move |event: &Invalidation| {
        hears.lock().unwrap().push(event.origin.clone());
        Ok(())
    };
    theirs.bus().unwrap().hook("hears", hook).unwrap();
    set(&mine, "a:1", 1);
    set(&mine, "b:1", 1);
    assert_eq!(get(&theirs, "a:1"), Some(1));
    soon("the other one hears", || {
        theirs.node_stats().unwrap().heard > 0
    });
    let pattern = KeyPattern::new("a:*").unwrap();
    let invalidation = Invalidation::keys("general", pattern, "an operator's word");
    assert_eq!(invalidation.origin, Origin::Api);
    mine.publish(invalidation).unwrap();
    mine.settle(Duration::from_secs(20)).unwrap();
    assert_eq!(get(&mine, "a:1"), None);
    soon("the other one has forgotten it", || {
        get(&theirs, "a:1").is_none()
    });
    assert_eq!(get(&theirs, "b:1"), Some(1));
    let from_others = |origin: &Origin| matches!(origin, Origin::Redis { sender: Some(_) });
    soon("the hook is called", || {
        heard.lock().unwrap().iter().any(from_others)
    });
    let own = mine.get("lru_memory").unwrap();
    assert!(own.set("k", &1, Lifetime::Default).unwrap());
    let doubts = || mine.node_stats().unwrap().doubts;
    let before = doubts();
    server.kill();
    soon("copies are in doubt", || doubts() > before);
    soon("it is told", || {
        mine.health().state == HealthState::Degraded
    });
    assert!(mine.settle(Duration::from_secs(5)).is_ok(), "nothing waits");
    assert_eq!(own.get::<u32>("k").unwrap(), Some(1));
}

#[test]
fn a_hook_hears_of_a_batch_of_the_watcher_by_its_files() {
    use cardex::bus::What;
    use cardex::extract::{ScanOptions, Scanner};
    use cardex::store::{SqliteOptions, SqliteStore};
    use cardex::watch::{WatchOptions, Watcher};

    let (tree, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = place.path().join("test.db");
    let store = SqliteStore::open(file, "default", SqliteOptions::default()).unwrap();
    let scanner = Scanner::open(tree.path(), ScanOptions::default()).unwrap();
    let caches = CachesSetup::default().open(None, Arc::new(SystemClock));
    let bus = caches.unwrap().bus().unwrap();
    let (tells, told) = std::sync::mpsc::channel();
    let hook = move |event: &Invalidation| {
        tells.send(event.clone()).ok();
        Ok(())
    };
    bus.hook("tells", hook).unwrap();
    let watcher = Watcher::new(scanner, Arc::new(store), WatchOptions::default());
    let watcher = watcher.unwrap().on_batch(move |batch| {
        if let Some(invalidation) = batch.invalidation() {
            bus.publish(invalidation);
        }
    });
    std::fs::write(tree.path().join("a.rs"), "fn a() {}\n").unwrap();
    watcher.start().unwrap();
    let event = told.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(event.origin, Origin::Watch);
    assert!(matches!(event.what, What::Files(_)) && event.position.is_some());
    assert_eq!(event.what.to_string(), "a.rs");
    watcher.stop();
}
