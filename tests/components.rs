//! A host with cardex's three components: what its user sees when it starts, works, fails, stops and
//! starts again. The example host is run as a program.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that cannot do its work has failed its test"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};

use cardex::component::{
    CachesComponent, Component, ComponentRegistry, ComponentState, ConfigManagerComponent,
    CoordinatorComponent, DatabaseComponent, InitializationContext, MemoryCacheComponent, Settings,
};
use cardex::kv::CachesSetup;
use cardex::kv::write_behind::{Operation, Outcome, Sink, WriteBehind, WriteBehindOptions};
use cardex::store::{MetadataStore, SqliteOptions, SqliteStore};
use cardex::tier::Key;
use cardex::{
    CacheOptions, CoordinatorOptions, ErrorKind, Fetch, FileMetadata, FilePath, Function,
    MemoryLimit, PressureGauge, Query, Result, Scope, SyncMode, SystemClock,
};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(30);

/// A host over a database in a directory of its own.
struct Host {
    registry: ComponentRegistry,
    database: Arc<DatabaseComponent>,
    cache: Arc<MemoryCacheComponent>,
    directory: TempDir,
}

impl Host {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings {
            database: directory.path().join("data/host.db"),
            cache: CacheOptions::default().max_items(100).unwrap(),
            ..Settings::default()
        };
        Self::with(directory, ConfigManagerComponent::new(settings), true)
    }

    fn with(directory: TempDir, config: ConfigManagerComponent, cache_enabled: bool) -> Self {
        let host = Host {
            registry: ComponentRegistry::new(),
            database: Arc::new(DatabaseComponent::new()),
            cache: Arc::new(MemoryCacheComponent::new()),
            directory,
        };
        let registry = &host.registry;
        let on = MemoryCacheComponent::DEPENDENCIES;
        registry
            .register(host.cache.clone(), on, cache_enabled)
            .unwrap();
        let on = DatabaseComponent::DEPENDENCIES;
        registry.register(host.database.clone(), on, true).unwrap();
        registry.register(Arc::new(config), &[], true).unwrap();
        host
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("data/host.db")
    }

    /// Another program's connection to the same database.
    fn foreign(&self) -> SqliteStore {
        SqliteStore::open(self.file(), "default", SqliteOptions::default()).unwrap()
    }

    fn paths(&self) -> Vec<String> {
        let answer = self.cache.query(&everything()).unwrap();
        answer.paths().map(str::to_owned).collect()
    }
}

fn everything() -> Query {
    Query::builder().build().unwrap()
}

fn record(path: &str) -> FileMetadata {
    let builder = FileMetadata::builder(path).language("python");
    builder.function(Function::named("parse")).build().unwrap()
}

fn path(path: &str) -> FilePath {
    FilePath::new(path).unwrap()
}

/// Every verb of the cache, by name; what they return does not matter.
fn verbs(cache: &MemoryCacheComponent) -> Vec<(&'static str, Result<()>)> {
    let file = path("a.py");
    vec![
        ("get", cache.get(&file).map(drop)),
        ("get_many", cache.get_many(&[]).map(drop)),
        ("query", cache.query(&everything()).map(drop)),
        (
            "query_records",
            cache.query_records(&everything(), &Fetch::all()).map(drop),
        ),
        ("update", cache.update(&record("a.py")).map(drop)),
        ("remove", cache.remove(&file).map(drop)),
        ("clear", cache.clear()),
        ("evict", cache.evict(1).map(drop)),
        ("invalidate", cache.invalidate(&Scope::All).map(drop)),
        ("cache", cache.cache().map(drop)),
        ("sync", cache.sync(SyncMode::Incremental).map(drop)),
        ("rebuild", cache.rebuild().map(drop)),
        ("stats", cache.stats().map(drop)),
        ("reset_stats", cache.reset_stats()),
        ("snapshot", cache.snapshot().map(drop)),
        ("is_degraded", cache.is_degraded().map(drop)),
    ]
}

fn assert_not_initialized(cache: &MemoryCacheComponent) {
    assert!(!cache.is_initialized());
    for (verb, result) in verbs(cache) {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotInitialized, "{verb}");
        assert_eq!(error.code(), "not-initialized");
        assert!(
            error.to_string().contains("`memory_cache`"),
            "{verb}: {error}"
        );
    }
}

#[test]
fn a_host_answers_from_its_cache_and_follows_its_database() {
    let host = Host::new();
    host.registry.start().unwrap();
    host.cache.update(&record("src/b.py")).unwrap();
    assert_eq!(
        host.cache
            .get(&path("src/b.py"))
            .unwrap()
            .unwrap()
            .functions
            .len(),
        1
    );
    host.foreign().put(&record("src/a.py")).unwrap();
    host.cache.sync(SyncMode::Incremental).unwrap();
    assert_eq!(host.paths(), ["src/a.py", "src/b.py"]);
    let answer = host.cache.query(&everything()).unwrap();
    let page = host.cache.records(&answer, &Fetch::all()).unwrap();
    assert_eq!(page.records.len(), 2);
    assert!(host.cache.remove(&path("src/a.py")).unwrap().existed);
    assert_eq!(host.paths(), ["src/b.py"]);
    let stats = host.cache.stats().unwrap();
    assert_eq!(
        (stats.max_items, stats.hits),
        (100, 1),
        "the settings are in force"
    );
    assert!(!host.cache.is_degraded().unwrap());
    host.registry.stop().unwrap();
}

#[test]
fn every_verb_before_initialize_and_after_shutdown_is_a_typed_error_that_names_the_component() {
    let host = Host::new();
    assert_not_initialized(&host.cache);
    assert_eq!(
        host.database.store().unwrap_err().kind(),
        ErrorKind::NotInitialized
    );
    host.registry.start().unwrap();
    for (verb, result) in verbs(&host.cache) {
        assert!(result.is_ok(), "{verb}: {result:?}");
    }
    host.registry.stop().unwrap();
    assert_not_initialized(&host.cache);
    let error = host.database.store().unwrap_err();
    assert!(error.to_string().contains("`database`"), "{error}");
}

#[test]
fn a_shutdown_is_idempotent_and_what_starts_again_starts_clean() {
    let host = Host::new();
    host.registry.start().unwrap();
    host.cache.update(&record("a.py")).unwrap();
    host.cache.get(&path("a.py")).unwrap();
    assert_eq!(host.cache.stats().unwrap().hits, 1);
    host.cache.shutdown().unwrap();
    host.cache.shutdown().unwrap();
    assert_not_initialized(&host.cache);
    host.registry.stop().unwrap();
    host.foreign().put(&record("b.py")).unwrap();
    host.registry.start().unwrap();
    let stats = host.cache.stats().unwrap();
    assert_eq!((stats.hits, stats.misses, stats.items), (0, 0, 2));
    assert_eq!(host.paths(), ["a.py", "b.py"]);
}

/// Initializes the cache once more while the host starts.
#[derive(Debug)]
struct Twice(Arc<MemoryCacheComponent>);

impl Component for Twice {
    fn name(&self) -> &str {
        "twice"
    }

    fn initialize(&self, context: &InitializationContext<'_>) -> Result<()> {
        self.0.update(&record("a.py"))?;
        self.0.get(&path("a.py"))?;
        self.0.initialize(context)
    }

    fn shutdown(&self) -> Result<()> {
        Ok(())
    }

    fn is_initialized(&self) -> bool {
        self.0.is_initialized()
    }
}

#[test]
fn a_second_initialize_changes_nothing() {
    let host = Host::new();
    let twice = Arc::new(Twice(Arc::clone(&host.cache)));
    host.registry
        .register(twice, &["memory_cache"], true)
        .unwrap();
    host.registry.start().unwrap();
    assert_eq!(host.cache.stats().unwrap().hits, 1, "it is the same cache");
}

#[test]
fn a_database_that_cannot_be_reached_is_a_degraded_start_and_no_empty_answer() {
    let host = Host::new();
    // A file where the database's directory belongs.
    fs::write(host.directory.path().join("data"), "").unwrap();
    host.registry.start().unwrap();
    assert!(host.cache.is_initialized());
    assert!(host.cache.is_degraded().unwrap());
    assert!(host.cache.stats().unwrap().is_degraded());
    assert_eq!(
        host.cache.query(&everything()).unwrap_err().kind(),
        ErrorKind::NotLoaded
    );
    assert!(host.cache.get(&path("a.py")).is_err());
    assert!(host.cache.sync(SyncMode::Incremental).is_err());
    fs::remove_file(host.directory.path().join("data")).unwrap();
    host.foreign().put(&record("a.py")).unwrap();
    host.cache.sync(SyncMode::Incremental).unwrap();
    assert!(!host.cache.is_degraded().unwrap());
    assert_eq!(host.paths(), ["a.py"]);
    host.registry.stop().unwrap();
}

#[test]
fn a_file_that_is_no_database_fails_the_start_and_leaves_nothing_running() {
    let host = Host::new();
    fs::create_dir(host.directory.path().join("data")).unwrap();
    fs::write(
        host.file(),
        "this is no database, and long enough to be told from one",
    )
    .unwrap();
    let error = host.registry.start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DatabaseCorrupt, "{error:#}");
    assert!(
        error
            .to_string()
            .starts_with("component `database` did not start"),
        "{error}"
    );
    assert_not_initialized(&host.cache);
    let states = host.registry.list().into_iter().map(|info| info.state);
    assert!(
        states
            .into_iter()
            .all(|state| state == ComponentState::Stopped)
    );
}

#[cfg(feature = "cli")]
#[test]
fn a_wrong_configuration_keeps_the_host_from_touching_its_database() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cardex.toml");
    fs::write(&file, "[memory_cache]\nmax_items = 99\n").unwrap();
    let sources = cardex::config::ConfigSources::new(directory.path());
    let host = Host::with(directory, ConfigManagerComponent::load(sources), true);
    let error = host.registry.start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    let message = error.to_string();
    assert!(
        message.contains("`memory_cache.max_items` = 99 is out of range ("),
        "{message}"
    );
    assert!(message.ends_with("cardex.toml:2)"), "{message}");
    assert!(!host.directory.path().join(".cardex").exists());
}

#[cfg(feature = "cli")]
#[test]
fn a_cache_that_is_switched_off_is_not_started_and_the_database_is() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cardex.toml");
    fs::write(&file, "[memory_cache]\nenabled = false\n").unwrap();
    let config = cardex::config::ConfigSources::new(directory.path())
        .load()
        .unwrap();
    let manager = ConfigManagerComponent::new(Settings::try_from(&config).unwrap());
    let host = Host::with(directory, manager, config.cache_enabled());
    host.registry.start().unwrap();
    assert_not_initialized(&host.cache);
    assert!(host.database.store().unwrap().head().is_ok());
    assert!(config.database().exists());
}

/// Memory that is tight from the start, and stays so.
struct Tight;

impl PressureGauge for Tight {
    fn limits(&self) -> Vec<MemoryLimit> {
        vec![MemoryLimit::new("machine", 9, 10)]
    }
}

#[test]
fn the_coordinator_of_a_host_knows_its_cache_once_at_every_start() {
    let directory = tempfile::tempdir().unwrap();
    let cache = CacheOptions::default().max_items(100).unwrap();
    let options = CoordinatorOptions::default()
        .check_interval(Duration::from_millis(100))
        .unwrap();
    let settings = Settings {
        database: directory.path().join("data/host.db"),
        cache,
        coordinator: options.clone(),
        ..Settings::default()
    };
    let host = Host::with(directory, ConfigManagerComponent::new(settings), true);
    let component = Arc::new(CoordinatorComponent::with_gauge(
        Arc::new(Tight),
        Arc::new(SystemClock),
    ));
    let on = CoordinatorComponent::DEPENDENCIES;
    host.registry.register(component.clone(), on, true).unwrap();
    let stopped = component.coordinator().unwrap_err();
    assert_eq!(stopped.kind(), ErrorKind::NotInitialized);
    assert!(stopped.to_string().contains("`cache_coordinator`"));
    for file in 0..100 {
        host.foreign().put(&record(&format!("f{file}.py"))).unwrap();
    }
    for _ in 0..2 {
        host.registry.start().unwrap();
        let coordinator = component.coordinator().unwrap();
        assert_eq!(coordinator.list(), [MemoryCacheComponent::NAME]);
        assert_eq!(coordinator.options(), options);
        assert!(coordinator.is_started());
        let deadline = Instant::now() + DEADLINE;
        let has_given = || {
            let stats = coordinator.stats();
            stats.triggers > 0 && host.cache.stats().unwrap().items < 100
        };
        while !has_given() {
            assert!(Instant::now() < deadline, "the cache gives room by itself");
            std::thread::yield_now();
        }
        assert_eq!(host.paths().len(), 100, "no answer depends on it");
        host.registry.stop().unwrap();
        assert!(component.coordinator().is_err());
        assert!(!coordinator.is_started());
    }
}

#[test]
fn a_host_without_a_cache_has_a_coordinator_that_knows_none() {
    let component = Arc::new(CoordinatorComponent::new());
    let host = ComponentRegistry::new();
    let config = Arc::new(ConfigManagerComponent::new(Settings::default()));
    host.register(config, &[], true).unwrap();
    let on = &[ConfigManagerComponent::NAME];
    host.register(component.clone(), on, true).unwrap();
    host.start().unwrap();
    assert!(component.coordinator().unwrap().list().is_empty());
    host.stop().unwrap();
}

#[test]
fn the_caches_of_a_host_are_there_while_it_runs_and_their_file_outlives_a_run() {
    use cardex::tier::{DiskFileOptions, DiskTierOptions, Lifetime};

    let directory = tempfile::tempdir().unwrap();
    let (file, each) = (DiskFileOptions::default(), DiskTierOptions::default());
    let path = directory.path().join("derived.db");
    let settings = Settings {
        caches: CachesSetup::default().disk(path, file, each),
        ..Settings::default()
    };
    let caches = Arc::new(CachesComponent::new());
    let coordinator = Arc::new(CoordinatorComponent::new());
    let host = ComponentRegistry::new();
    let config = Arc::new(ConfigManagerComponent::new(settings));
    host.register(caches.clone(), CachesComponent::DEPENDENCIES, true)
        .unwrap();
    let on = &[ConfigManagerComponent::NAME];
    host.register(coordinator.clone(), on, true).unwrap();
    host.register(config, &[], true).unwrap();
    let stopped = caches.get("general").unwrap_err();
    assert_eq!(stopped.kind(), ErrorKind::NotInitialized);
    assert!(stopped.to_string().contains("`caches`"), "{stopped}");
    for run in 0..2u32 {
        host.start().unwrap();
        let general = caches.get("general").unwrap();
        assert_eq!(general.get::<u32>("run").unwrap(), run.checked_sub(1));
        assert!(general.set("run", &run, Lifetime::Default).unwrap());
        assert_eq!(coordinator.coordinator().unwrap().list(), ["general"]);
        assert_eq!(caches.report().unwrap().caches[0].requests, 1);
        drop(general);
        host.stop().unwrap();
        assert!(caches.caches().is_err());
    }
}

#[test]
fn a_host_without_a_coordinator_has_caches_that_nobody_evicts() {
    let caches = Arc::new(CachesComponent::new());
    let host = ComponentRegistry::new();
    let config = Arc::new(ConfigManagerComponent::new(Settings::default()));
    host.register(config, &[], true).unwrap();
    let on = &[ConfigManagerComponent::NAME];
    host.register(caches.clone(), on, true).unwrap();
    host.start().unwrap();
    let kept = caches.caches().unwrap();
    assert!(kept.get("general").unwrap().is_enabled());
    host.stop().unwrap();
    assert!(caches.get("general").is_err());
}

#[test]
fn what_changes_in_the_database_of_a_host_is_told_on_the_bus_of_its_caches() {
    use cardex::bus::{Origin, What};

    let directory = tempfile::tempdir().unwrap();
    let settings = Settings {
        database: directory.path().join("test.db"),
        ..Settings::default()
    };
    let caches = Arc::new(CachesComponent::new());
    let memory = Arc::new(MemoryCacheComponent::new());
    let host = ComponentRegistry::new();
    let config = Arc::new(ConfigManagerComponent::new(settings));
    host.register(config, &[], true).unwrap();
    let database = Arc::new(DatabaseComponent::new());
    host.register(database, DatabaseComponent::DEPENDENCIES, true)
        .unwrap();
    host.register(memory.clone(), MemoryCacheComponent::DEPENDENCIES, true)
        .unwrap();
    let on = &[ConfigManagerComponent::NAME, MemoryCacheComponent::NAME];
    host.register(caches.clone(), on, true).unwrap();
    for run in 0..2 {
        host.start().unwrap();
        let (tells, told) = std::sync::mpsc::channel();
        let bus = caches.caches().unwrap().bus().unwrap();
        bus.hook("tells", move |event| {
            tells.send(event.clone()).ok();
            Ok(())
        })
        .unwrap();
        let path = format!("src/{run}.rs");
        let record = FileMetadata::builder(&path).language("rust");
        let position = memory.update(&record.build().unwrap()).unwrap();
        loop {
            let event = told.recv_timeout(Duration::from_secs(20)).unwrap();
            assert_eq!(event.origin, Origin::Sync);
            let is_it = matches!(&event.what, What::Files(_)) && event.position == Some(position);
            if is_it {
                break;
            }
        }
        host.stop().unwrap();
    }
}

/// What a journal delivers to: it counts.
#[derive(Debug, Default)]
struct Counting(std::sync::atomic::AtomicUsize);

impl Sink for Counting {
    fn apply(&self, operations: &[Operation]) -> Vec<Outcome> {
        let count = operations.len();
        self.0.fetch_add(count, std::sync::atomic::Ordering::SeqCst);
        operations.iter().map(|_| Outcome::Applied).collect()
    }
}

#[test]
fn what_a_journal_holds_is_delivered_before_the_caches_of_a_host_go() {
    let directory = tempfile::tempdir().unwrap();
    let caches = Arc::new(CachesComponent::new());
    let host = ComponentRegistry::new();
    let config = Arc::new(ConfigManagerComponent::new(Settings::default()));
    host.register(config, &[], true).unwrap();
    let on = &[ConfigManagerComponent::NAME];
    host.register(caches.clone(), on, true).unwrap();
    host.start().unwrap();
    let sink = Arc::new(Counting::default());
    let journal = WriteBehind::open(
        directory.path().join("journal.db"),
        WriteBehindOptions::default(),
        sink.clone(),
        Arc::new(SystemClock),
    );
    let journal = Arc::new(journal.unwrap());
    caches.closes(&journal).unwrap();
    let key = Key::new("k").unwrap();
    journal.write(&key, Some(b"1"[..].into()), 1).unwrap();
    host.stop().unwrap();
    assert_eq!(sink.0.load(std::sync::atomic::Ordering::SeqCst), 1);
    assert!(journal.write(&key, None, 2).is_err(), "it is closed");
    assert!(caches.closes(&journal).is_err());
}

/// An example as its source is now: a run of this test alone does not build it.
fn example(name: &str) -> Command {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let directory = BUILT.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let profile = test.ancestors().nth(2).unwrap();
        let mut build = Command::new(env!("CARGO"));
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        build.args(["build", "--quiet", "--offline", "--examples"]);
        build.arg("--target-dir").arg(profile.parent().unwrap());
        // As this test was built, so that nothing else is built anew.
        if cfg!(feature = "full") {
            build.args(["--features", "full"]);
        }
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success());
        profile.join("examples")
    });
    Command::new(directory.join(name))
}

fn text_of(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_example_host_answers_and_ends_by_itself() {
    let told = text_of(example("host"));
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], "librarian: open", "{told}");
    assert!(lines[1].starts_with("2 found, as of "), "{told}");
    assert_eq!(&lines[2..4], ["  src/lexer.py", "  src/parser.py"]);
    assert!(lines[4].contains("of 10000 records in memory, "), "{told}");
    assert!(lines[4].contains("of 65536 KiB; hit rate "), "{told}");
    assert_eq!(&lines[5..], ["librarian: closed", "stopped"]);
}

#[test]
fn the_example_of_own_caches_gives_room_together() {
    let told = text_of(example("coordinate"));
    let lines: Vec<&str> = told.lines().map(str::trim).collect();
    assert_eq!(
        lines[0], "enrolled: memory_cache, file_content, findings",
        "{told}"
    );
    let has = |line: &str| lines.iter().any(|one| one.starts_with(line));
    for line in [
        "file_content   100 entries,",
        "findings       100 entries,",
        "src/part3 changed: 50 of memory_cache left",
        "src/part3 changed: 25 of file_content left",
        "src/part3 changed: 25 of findings left",
        "file_content   200 entries,",
        "40 of file_content left",
        "40 of findings left",
        "40 of memory_cache left",
    ] {
        assert!(has(line), "{line}\n{told}");
    }
    let memory = lines
        .iter()
        .find(|line| line.starts_with("memory "))
        .unwrap();
    assert!(memory.ends_with("% used, then 105 %:"), "{told}");
}

#[test]
fn the_example_host_opens_the_database_that_it_is_given() {
    let host = Host::new();
    host.foreign().put(&record("mine.py")).unwrap();
    let mut command = example("host");
    command.arg("--once").arg(host.file());
    let told = text_of(command);
    assert!(told.contains("1 found, as of "), "{told}");
    assert!(told.contains("  mine.py\n"), "{told}");
}

/// Ends a program that a failed test leaves behind.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_example_host_stops_in_order_when_it_is_told_to() {
    for signal in ["-TERM", "-INT"] {
        let mut command = example("host");
        command
            .arg("--stay")
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = Reaped(command.spawn().unwrap());
        let stdout = child.0.stdout.take().unwrap();
        let (told, hears) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut lines = BufReader::new(stdout);
            let mut line = String::new();
            while !line.starts_with("running") {
                line.clear();
                assert_ne!(lines.read_line(&mut line).unwrap(), 0, "it ended early");
            }
            told.send(String::new()).unwrap();
            let mut rest = String::new();
            lines.read_to_string(&mut rest).unwrap();
            told.send(rest).unwrap();
        });
        hears.recv_timeout(DEADLINE).unwrap();
        let pid = child.0.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
        let rest = hears.recv_timeout(DEADLINE).unwrap();
        assert_eq!(rest, "librarian: closed\nstopped\n", "{signal}");
        assert!(child.0.wait().unwrap().success(), "{signal}");
        reader.join().unwrap();
    }
}
