//! Layers, origins, and the errors of a configuration.

use std::path::Path;
use std::time::Duration;

use super::*;

fn project(file: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join(PROJECT_FILE), file).unwrap();
    root
}

fn entry<'c>(config: &'c Config, key: &str) -> &'c Entry {
    config
        .entries()
        .iter()
        .find(|entry| entry.key.name == key)
        .unwrap()
}

fn refusal(file: &str) -> Error {
    let root = project(file);
    let error = ConfigSources::new(root.path()).load().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
    error
}

#[test]
fn every_default_is_valid_and_has_its_place() {
    let config = ConfigSources::new("/p").load().unwrap();
    assert_eq!(config.entries().len(), KEYS.len());
    assert_eq!(config.database(), Path::new("/p/.cardex/cardex.db"));
    assert_eq!(config.sqlite(), &SqliteOptions::default().root("/p"));
    for entry in config.entries() {
        assert_eq!(entry.origin, Origin::Default);
        entry.key.kind.check(&(entry.key.default)()).unwrap();
    }
}

#[test]
fn a_watcher_waits_at_most_as_long_as_it_is_told_and_no_shorter_than_it_must() {
    let error = refusal("[watch]\ndebounce = \"2s\"\n");
    let said = "`watch.max_delay` = 1s is below `watch.debounce` = 2s";
    assert_eq!(error.to_string(), said);
    let root = project(
        "[watch]\ndebounce = \"2s\"\nmax_delay = \"3s\"\nenabled = true\nignore = [\"*.log\"]\n",
    );
    let config = ConfigSources::new(root.path()).load().unwrap();
    let s = Duration::from_secs;
    let options = WatchOptions::default().debounce(s(2)).unwrap();
    let options = options.max_delay(s(3)).unwrap();
    assert_eq!(*config.watch(), options.ignore(vec!["*.log".to_owned()]));
    assert!(config.watch_enabled());
    refusal("[watch]\npoll_interval = \"99ms\"\n");
}

#[test]
fn each_layer_lies_over_the_one_before_and_says_so() {
    let root =
        project("[database]\nmax_connections = 3\nconnection_timeout = \"3s\"\nurl = \"p.db\"\n");
    let user = root.path().join("user.toml");
    std::fs::write(
        &user,
        "[database]\nmax_connections = 2\n[index]\nmax_file_bytes = \"2MiB\"\n",
    )
    .unwrap();
    let config = ConfigSources::new(root.path())
        .user_file(&user)
        .variable("CARDEX_DATABASE__CONNECTION_TIMEOUT", "4s")
        .variable("CARDEX_INDEX__LANGUAGES", "Rust, python")
        .command_line("database.url", "/c.db", "--db")
        .unwrap()
        .load()
        .unwrap();
    let file = root.path().join(PROJECT_FILE);
    let threads = entry(&config, "index.threads");
    assert_eq!(threads.origin, Origin::Default);
    let size = entry(&config, "index.max_file_bytes");
    assert_eq!(
        (size.value.as_str(), &size.origin),
        ("\"2MiB\"", &Origin::UserFile(user, 4))
    );
    let connections = entry(&config, "database.max_connections");
    assert_eq!(connections.value, "3");
    assert_eq!(connections.origin, Origin::ProjectFile(file, 2));
    let timeout = entry(&config, "database.connection_timeout");
    assert_eq!(timeout.value, "\"4s\"");
    assert_eq!(
        timeout.origin.to_string(),
        "environment CARDEX_DATABASE__CONNECTION_TIMEOUT"
    );
    assert_eq!(config.scan().languages.len(), 2);
    assert_eq!(config.database(), Path::new("/c.db"));
    assert_eq!(
        entry(&config, "database.url").origin.to_string(),
        "command line --db"
    );
}

#[test]
fn another_project_file_replaces_the_own_one() {
    let root = project("[index]\nunknown = 1\n");
    let other = root.path().join("other.toml");
    std::fs::write(&other, "[index]\nthreads = 7\n").unwrap();
    let sources = ConfigSources::new(root.path()).project_file(&other);
    assert_eq!(entry(&sources.load().unwrap(), "index.threads").value, "7");
    let missing = ConfigSources::new(root.path()).project_file("/nowhere.toml");
    assert_eq!(missing.load().unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_key_meant() {
    let error = refusal("[index]\nexclud = []\n");
    assert!(
        error
            .to_string()
            .contains("cardex.toml:2 sets the unknown key `index.exclud`")
    );
    assert_eq!(error.help(), Some("did you mean `index.exclude`?"));
    let excerpt = error.excerpt().unwrap();
    assert_eq!(
        (excerpt.text.as_str(), excerpt.at.clone()),
        ("exclud = []", 0..6)
    );
    assert!(
        refusal("[colours]\nmax_entries = 5\n")
            .help()
            .unwrap()
            .contains("index.exclude")
    );
    assert!(refusal("threads = 5\n").to_string().contains("`threads`"));
}

#[test]
fn a_bad_value_is_refused_by_key_value_origin_and_range() {
    let error = refusal("# why\n[database]\nmax_connections = 17 # more\n");
    let message = error.to_string();
    assert!(
        message.starts_with("`database.max_connections` = 17 is out of range ("),
        "{message}"
    );
    assert!(message.ends_with("cardex.toml:3)"), "{message}");
    assert_eq!(error.help(), Some("give a whole number from 1 to 16"));
    let excerpt = error.excerpt().unwrap();
    assert_eq!(&excerpt.text[excerpt.at.clone()], "17");
    for (bad, part) in [
        ("[database]\nmax_connections = 0", "out of range"),
        ("[database]\nmax_connections = -1", "out of range"),
        (
            "[database]\nmax_connections = \"4\"",
            "is not a whole number",
        ),
        ("[database]\nconnection_timeout = \"500ms\"", "out of range"),
        ("[database]\nconnection_timeout = 5", "has no unit"),
        (
            "[database]\nconnection_timeout = \"5 sec\"",
            "unknown unit `sec`",
        ),
        ("[index]\nmax_file_bytes = \"1MB!\"", "unknown unit"),
        ("[index]\nmax_file_bytes = true", "is not a size"),
        ("[index]\nlanguages = [\"pyton\"]", "did you mean `python`?"),
        ("[index]\nlanguages = \"python\"", "is not a list"),
        ("[index]\nexclude = [\"a[\"]", "bad pattern `a[`"),
        ("[index]\nexclude = [\"!a\"]", "negated"),
        ("[index]\nexclude = [1]", "is not a list"),
        ("[database]\nurl = \"mysql://h/d\"", "unknown kind"),
        ("[memory_cache]\nmax_items = 99", "= 99 is out of range"),
        ("[memory_cache]\nmax_items = 1_000_001", "is out of range"),
        ("[memory_cache]\nmax_bytes = \"1023KiB\"", "is out of range"),
        ("[memory_cache]\nmax_bytes = 67108864", "has no unit"),
        (
            "[memory_cache]\nmax_bytes = \"9999999GiB\"",
            "is out of range: this machine or container has",
        ),
        (
            "[memory_cache]\nmax_record_bytes = \"2GiB\"",
            "is out of range",
        ),
        (
            "[coordinator]\npressure_threshold = 1.0",
            "= 1 is out of range",
        ),
        (
            "[coordinator]\npressure_threshold = \"0.8\"",
            "is not a number from 0.10 to 0.99",
        ),
        ("[coordinator]\neviction_ratio = 0", "= 0 is out of range"),
        ("[coordinator]\neviction_ratio = nan", "is out of range"),
        (
            "[coordinator]\ncheck_interval = \"99ms\"",
            "is out of range",
        ),
        ("[coordinator]\nmax_bytes = 0", "has no unit"),
        ("[coordinator]\nmax_bytes = \"1023KiB\"", "is out of range"),
        ("[coordinator]\nmax_bytes = \"unset\"", "is not a size"),
        (
            "[memory_cache]\neviction_batch_size = 0",
            "= 0 is out of range",
        ),
        (
            "[memory_cache]\neviction_strategy = \"fifo\"",
            "= \"fifo\" is no eviction strategy",
        ),
        (
            "[memory_cache]\neviction_strategy = 1",
            "is not one of lru, lfu, s3fifo",
        ),
        (
            "[memory_cache]\nenabled = \"yes\"",
            "= \"yes\" is not true or false",
        ),
        ("[memory_cache]\nenabled = 1", "= 1 is not true or false"),
        (
            "[database]\nurl = \"/elsewhere/x.db\"",
            "leads out of the project",
        ),
        ("[database]\nurl = \"../x.db\"", "leads out of the project"),
        (
            "[database]\nurl = \"${HOME}/x.db\"",
            "leads out of the project",
        ),
        ("[database\n", "no valid TOML"),
        ("[database]\nurl = 'a'\nurl = 'b'", "no valid TOML"),
    ] {
        let message = refusal(bad).to_string();
        assert!(message.contains(part), "{bad}: {message}");
    }
}

#[test]
fn postgresql_is_refused_honestly_and_without_its_password() {
    let error = refusal("[database]\nurl = \"postgres://me:hunter2@h/d\"\n");
    assert!(
        error
            .to_string()
            .contains("PostgreSQL, which is not built yet"),
        "{error}"
    );
    assert!(error.help().unwrap().contains("SQLite"));
    assert!(!format!("{error:?} {:?}", error.excerpt()).contains("hunter2"));
    assert!(
        error.to_string().contains("postgres://me:***@h/d"),
        "{error}"
    );
}

#[test]
fn a_broken_line_with_a_password_is_not_shown() {
    let error = refusal("[database]\nurl = \"postgres://me:hunter2@h/d\n");
    assert!(!format!("{error:?} {:?}", error.excerpt()).contains("hunter2"));
}

#[test]
fn database_url_of_the_environment_yields_to_the_own_variable() {
    let load = |sources: ConfigSources| sources.load().unwrap().database().to_path_buf();
    let plain = ConfigSources::new("/p").variable("DATABASE_URL", "sqlite:a.db");
    assert_eq!(load(plain.clone()), Path::new("/p/a.db"));
    assert_eq!(
        load(plain.variable("CARDEX_DATABASE__URL", "b.db")),
        Path::new("/p/b.db")
    );
    let empty = ConfigSources::new("/p").variable("DATABASE_URL", "");
    assert_eq!(load(empty), Path::new("/p/.cardex/cardex.db"));
}

#[test]
fn a_variable_that_names_no_key_is_refused() {
    for name in [
        "CARDEX_INDEX__THREAD",
        "CARDEX_DATABASE_URL",
        "CARDEX_DATABASE__URI",
    ] {
        let error = ConfigSources::new("/p")
            .variable(name, "1")
            .load()
            .unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert!(
            error.help().unwrap().starts_with("did you mean `CARDEX_"),
            "{error:?}"
        );
    }
    assert!(
        ConfigSources::new("/p")
            .variable("CARDEX_VERSION", "1")
            .load()
            .is_ok()
    );
}

#[test]
fn variables_in_strings_are_replaced_and_must_be_set() {
    let root = project("[index]\nexclude = [\"${DIR}/*.min.js\", \"$x\", \"a$\"]\n");
    let sources = ConfigSources::new(root.path());
    let config = sources.clone().variable("DIR", "web").load().unwrap();
    assert_eq!(config.scan().exclude, ["web/*.min.js", "$x", "a$"]);
    let error = sources.load().unwrap_err();
    assert!(
        error.to_string().contains("variable DIR, which is not set"),
        "{error}"
    );
}

#[test]
fn the_readme_lists_every_key_as_the_table_has_it() {
    let readme = include_str!("../../README.md");
    for key in KEYS {
        let default = match key.name {
            "index.threads" => "processors".to_owned(),
            _ => format!("`{}`", key.default_text()),
        };
        let (name, variable) = (key.name, key.environment_variable());
        let row = format!(
            "| `{name}` | {default} | {} | `{variable}` | {} |",
            key.kind, key.doc
        );
        assert!(readme.contains(&row), "{row}");
    }
    for key in TYPE_KEYS {
        let (name, kind, doc) = (key.name, key.kind, key.doc);
        let row = format!("| `{name}` | {kind} | {doc} |");
        assert!(readme.contains(&row), "{row}");
    }
}

#[test]
fn each_type_of_cache_has_keys_of_its_own() {
    let text = "[types.chat]\nttl = \"10m\"\npolicy = \"ttl\"\ninvalidates = [\"a:{id}\"]\n\
                [types.embedding]\nmax_items = 20\n[tiers.disk]\nttl = \"2h\"\n";
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join(PROJECT_FILE), text).unwrap();
    let sources = ConfigSources::new(root.path())
        .variable("CARDEX_TYPES__CHAT__TTL", "11m")
        .variable("CARDEX_TYPES__OTHER__BACKEND", "memory");
    let config = sources.load().unwrap();
    let derived = config.derived();
    assert_eq!(derived.disk_ttl, Duration::from_secs(7200));
    assert_eq!(derived.memory_ttl, Duration::from_secs(300));
    let names: Vec<&str> = derived.types.keys().map(String::as_str).collect();
    assert_eq!(names, ["chat", "embedding", "other"]);
    let chat = &derived.types["chat"];
    assert_eq!(chat.ttl, Some(Duration::from_secs(660)));
    assert_eq!(chat.policy, Some(Strategy::Ttl));
    assert_eq!(
        chat.invalidates.as_deref(),
        Some(&["a:{id}".to_owned()][..])
    );
    assert_eq!((chat.max_items, &chat.backend), (None, &None));
    assert_eq!(derived.types["embedding"].max_items, Some(20));
    assert_eq!(derived.types["other"].backend.as_deref(), Some("memory"));
    let shown = |name: &str| {
        let entry = config.entries().iter().find(|entry| entry.name == name);
        entry.map(|entry| (entry.value.clone(), entry.origin.to_string()))
    };
    let ttl = (
        "\"11m\"".to_owned(),
        "environment CARDEX_TYPES__CHAT__TTL".to_owned(),
    );
    assert_eq!(shown("types.chat.ttl"), Some(ttl));
    assert_eq!(shown("types.chat.grace"), None);
}

#[test]
fn what_is_wrong_with_a_type_is_told_by_its_name() {
    for (text, said) in [
        (
            "[types.chat]\nttk = \"1s\"\n",
            "unknown key `types.chat.ttk`",
        ),
        ("[types.Chat]\nttl = \"1s\"\n", "unknown key `types.Chat`"),
        ("[types]\nchat = 1\n", "unknown key `types.chat`"),
        (
            "[types.chat]\nttl = \"0s\"\n",
            "`types.chat.ttl` = \"0s\" is out of range",
        ),
        (
            "[types.chat]\npolicy = \"mru\"\n",
            "is no eviction strategy",
        ),
        (
            "[types.chat]\nprefix = \"a:b\"\n",
            "small letters, digits and underscores",
        ),
        (
            "[types.chat]\ninvalidates = [\"\"]\n",
            "the pattern of keys \"\" is empty",
        ),
        (
            "[tiers.disk.more]\nttl = \"1s\"\n",
            "unknown key `tiers.disk.more`",
        ),
        (
            "[tiers.disk]\npath = \"../a.db\"\n",
            "leads out of the project",
        ),
        ("[redis]\nurl = \"redis://h\"\n", "would say whom to trust"),
    ] {
        let error = refusal(text);
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains(said), "{error} of {text}");
    }
    let slip = ConfigSources::new("/p").variable("CARDEX_TYPES__CHAT__TLT", "1s");
    let error = slip.load().unwrap_err();
    assert_eq!(
        error.help(),
        Some("did you mean `CARDEX_TYPES__CHAT__TTL`?")
    );
}

#[test]
fn a_redis_server_is_never_shown_with_its_password() {
    let secret = "redis://:hunter2@h:1/0";
    let plain = ConfigSources::new("/p").variable("REDIS_URL", secret);
    let config = plain.clone().load().unwrap();
    let url = config.derived().redis_url.as_ref().unwrap();
    assert_eq!(url.expose(), secret);
    assert!(!format!("{config:?}").contains("hunter2"));
    let entry = |entry: &&Entry| entry.name == "redis.url";
    let entry = config.entries().iter().find(entry).unwrap();
    assert_eq!(entry.value, "\"redis://:***@h:1/0\"");
    let own = plain.variable("CARDEX_REDIS__URL", "none").load().unwrap();
    assert_eq!(own.derived().redis_url, None);
    let error = ConfigSources::new("/p").variable("REDIS_URL", "http://:hunter2@h");
    let error = error.load().unwrap_err();
    assert!(error.to_string().contains("no address of a Redis server"));
    assert!(!format!("{error:?}").contains("hunter2"), "{error}");
}

#[test]
fn a_projects_database_is_inside_once_links_are_followed() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("there.db"), "").unwrap();
    for url in [
        "link/x.db",
        "link/there.db",
        "file.db",
        "nowhere",
        "nowhere/x.db",
        "link/../x.db",
    ] {
        let root = project(&format!("[database]\nurl = \"{url}\"\n"));
        let link = |to: &Path, name: &str| {
            std::os::unix::fs::symlink(to, root.path().join(name)).unwrap();
        };
        link(outside.path(), "link");
        link(&outside.path().join("there.db"), "file.db");
        link(&outside.path().join("not-yet"), "nowhere");
        let error = ConfigSources::new(root.path()).load().unwrap_err();
        assert!(
            error.to_string().contains("leads out of the project"),
            "{url}: {error}"
        );
    }
    let root = project("[database]\nurl = \"link/new/x.db\"\n");
    std::fs::create_dir(root.path().join("data")).unwrap();
    std::os::unix::fs::symlink("data", root.path().join("link")).unwrap();
    ConfigSources::new(root.path()).load().unwrap();
}

#[test]
fn errors_do_not_show_what_a_variable_holds() {
    for (file, key) in [
        ("[index]\nlanguages = [\"${SECRET}\"]\n", "languages"),
        (
            "[index]\nlanguages = [\"rust\", \"x${SECRET}\"]\n",
            "languages",
        ),
        ("[index]\nexclude = [\"!${SECRET}\"]\n", "exclude"),
        ("[index]\nexclude = [\"{${SECRET}\"]\n", "exclude"),
        (
            "[index]\nmax_file_bytes = \"1${SECRET}\"\n",
            "max_file_bytes",
        ),
        (
            "[database]\nconnection_timeout = \"1${SECRET}\"\n",
            "connection_timeout",
        ),
        (
            "[memory_cache]\neviction_strategy = \"${SECRET}\"\n",
            "eviction_strategy",
        ),
    ] {
        let root = project(file);
        let error = ConfigSources::new(root.path())
            .variable("SECRET", "hunter2")
            .load()
            .unwrap_err();
        let shown = format!("{error:?} {error} {:?}", error.help());
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(
            shown.contains(key) && shown.contains("${SECRET}"),
            "{shown}"
        );
    }
}

#[test]
fn the_cache_is_set_up_by_its_keys() {
    let root = project(
        "[memory_cache]\nenabled = false\nmax_items = 200\nmax_bytes = \"2MiB\"\n\
         max_record_bytes = \"1MiB\"\neviction_strategy = \"lfu\"\n",
    );
    let config = ConfigSources::new(root.path())
        .variable("CARDEX_MEMORY_CACHE__EVICTION_BATCH_SIZE", "7")
        .load()
        .unwrap();
    let expected = CacheOptions::default()
        .max_items(200)
        .and_then(|options| options.max_bytes(2 << 20))
        .and_then(|options| options.max_record_bytes(1 << 20))
        .and_then(|options| options.eviction_batch_size(7))
        .unwrap()
        .eviction_strategy(crate::eviction::Strategy::Lfu);
    assert_eq!(config.cache(), &expected);
    assert!(!config.cache_enabled());
    let config = ConfigSources::new(root.path())
        .variable("CARDEX_MEMORY_CACHE__ENABLED", "true")
        .load()
        .unwrap();
    assert!(config.cache_enabled());
    let default = ConfigSources::new("/p").load().unwrap();
    assert_eq!(default.cache(), &CacheOptions::default());
    assert!(default.cache_enabled());
}

#[test]
fn an_unknown_strategy_is_refused_by_key_value_origin_and_choices() {
    let error = refusal("[memory_cache]\neviction_strategy = \"lruu\"\n");
    let message = error.to_string();
    assert!(
        message.starts_with(
            "`memory_cache.eviction_strategy` = \"lruu\" is no eviction strategy; did you mean \
             `lru`? ("
        ),
        "{message}"
    );
    assert!(message.ends_with("cardex.toml:2)"), "{message}");
    assert_eq!(error.help(), Some("give one of lru, lfu, s3fifo"));
    let error = ConfigSources::new("/p")
        .variable("CARDEX_MEMORY_CACHE__EVICTION_STRATEGY", "oldest")
        .load()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "`memory_cache.eviction_strategy` = \"oldest\" is no eviction strategy (environment \
         CARDEX_MEMORY_CACHE__EVICTION_STRATEGY)"
    );
}

#[test]
fn what_variables_hold_is_not_shown() {
    let root = project("[index]\nexclude = [\"a${SECRET}\", \"b\"]\n");
    let config = ConfigSources::new(root.path())
        .variable("SECRET", "hunter2")
        .variable("CARDEX_INDEX__MAX_FILE_BYTES", "${SIZE}")
        .variable("SIZE", "2MiB")
        .load()
        .unwrap();
    let exclude = entry(&config, "index.exclude");
    assert_eq!(exclude.value, "[\"a${SECRET}\", \"b\"]");
    assert_eq!(entry(&config, "index.max_file_bytes").value, "\"${SIZE}\"");
    assert_eq!(config.scan().exclude, ["ahunter2", "b"]);
}

#[test]
fn a_projects_own_file_lets_nobody_in() {
    for text in [
        "listen = \"0.0.0.0:7878\"",
        "listen = \"192.168.1.2:7878\"",
        "listen = \"${ADDRESS}\"",
        "token_file = \"token\"",
        "token_for_reading = false",
    ] {
        let error = refusal(&format!("[server]\n{text}\n"));
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.help().unwrap().contains("user file"), "{error:?}");
    }
    let root = project("[server]\nlisten = \"localhost:1\"\nmax_page = 5\n");
    let config = ConfigSources::new(root.path()).load().unwrap();
    let expected = crate::server::ServerOptions::default()
        .listen("127.0.0.1:1".parse().unwrap())
        .max_page(5);
    assert_eq!(*config.server(), expected.unwrap());
}

#[test]
fn an_unknown_write_policy_is_refused_by_key_value_and_choices() {
    let error = refusal("[memory_cache]\nwrite_policy = \"write_back\"\n");
    let message = error.to_string();
    assert!(
        message
            .starts_with("`memory_cache.write_policy` = \"write_back\" is none of write_through"),
        "{message}"
    );
    assert_eq!(error.help(), Some("give one of write_through"));
    let root = project("[memory_cache]\nwrite_policy = \"write_through\"\n");
    let config = ConfigSources::new(root.path()).load().unwrap();
    let policy = entry(&config, "memory_cache.write_policy");
    assert_eq!(policy.value, "\"write_through\"");
}

#[test]
fn an_alias_in_seconds_sets_its_key() {
    let interval = |config: &Config| entry(config, "memory_cache.sync_interval").value.clone();
    let root = project("[memory_cache]\nsync_interval_seconds = 120\n");
    let config = ConfigSources::new(root.path()).load().unwrap();
    assert_eq!(interval(&config), "\"2m\"");
    let expected = CacheOptions::default().sync_interval(std::time::Duration::from_secs(120));
    assert_eq!(config.cache(), &expected.unwrap());
    assert_eq!(config.entries().len(), KEYS.len());
    // Another layer may use the other name.
    let variable = "CARDEX_MEMORY_CACHE__SYNC_INTERVAL_SECONDS";
    let config = ConfigSources::new("/p").variable(variable, "45");
    assert_eq!(interval(&config.load().unwrap()), "\"45s\"");
    let config =
        ConfigSources::new(root.path()).variable("CARDEX_MEMORY_CACHE__SYNC_INTERVAL", "1h");
    assert_eq!(interval(&config.load().unwrap()), "\"1h\"");
}

#[test]
fn a_bad_value_of_an_alias_is_refused_by_the_name_that_was_written() {
    for (value, reason) in [
        ("9", "is out of range"),
        ("3601", "is out of range"),
        ("-1", "is out of range"),
        ("\"5m\"", "is not a whole number of seconds from 10 to 3600"),
        ("2.5", "is not a whole number of seconds from 10 to 3600"),
    ] {
        let error = refusal(&format!(
            "[memory_cache]\nsync_interval_seconds = {value}\n"
        ));
        let message = error.to_string();
        assert!(
            message.starts_with("`memory_cache.sync_interval_seconds` = "),
            "{message}"
        );
        assert!(message.contains(reason), "{message}");
        let help = "give a whole number of seconds from 10 to 3600";
        assert_eq!(error.help(), Some(help));
    }
}

#[test]
fn part_of_a_second_is_no_interval_in_seconds() {
    let error = refusal("[coordinator]\ncheck_interval_seconds = 0\n");
    let range = "a whole number of seconds from 1 to 86400";
    assert!(error.to_string().contains("is out of range"), "{error}");
    assert_eq!(error.help(), Some(format!("give {range}").as_str()));
    let section = &schema()["properties"]["coordinator"]["properties"];
    assert_eq!(section["check_interval_seconds"]["minimum"], 1);
    let root = project("[coordinator]\ncheck_interval_seconds = 1\n");
    let config = ConfigSources::new(root.path()).load().unwrap();
    assert_eq!(entry(&config, "coordinator.check_interval").value, "\"1s\"");
}

#[test]
fn a_file_that_is_there_and_cannot_be_read_is_not_taken_for_none() {
    let root = project("");
    let own = root.path().join(PROJECT_FILE);
    std::fs::remove_file(&own).unwrap();
    assert!(ConfigSources::new(root.path()).load().is_ok());
    std::os::unix::fs::symlink("nowhere", &own).unwrap();
    let error = ConfigSources::new(root.path()).load().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains(PROJECT_FILE), "{error}");
    let user_file = Some(own);
    let sources = ConfigSources {
        user_file,
        ..ConfigSources::new("/p")
    };
    assert_eq!(sources.load().unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn two_names_of_one_key_in_one_layer_are_refused_by_both() {
    let text = "[memory_cache]\nsync_interval = \"1m\"\nsync_interval_seconds = 60\n";
    let message = refusal(text).to_string();
    for part in [
        "`memory_cache.sync_interval` (",
        "cardex.toml:2)",
        "`memory_cache.sync_interval_seconds` (",
        "cardex.toml:3)",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let error = ConfigSources::new("/p")
        .variable("CARDEX_MEMORY_CACHE__SYNC_INTERVAL", "1m")
        .variable("CARDEX_MEMORY_CACHE__SYNC_INTERVAL_SECONDS", "60")
        .load()
        .unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("environment CARDEX_MEMORY_CACHE__SYNC_INTERVAL)"),
        "{message}"
    );
    assert!(
        message.contains("environment CARDEX_MEMORY_CACHE__SYNC_INTERVAL_SECONDS)"),
        "{message}"
    );
}

#[test]
fn every_alias_is_of_a_key_and_no_name_is_given_twice() {
    let mut names: Vec<_> = Named::all().map(|named| named.name()).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    assert_eq!(all, KEYS.len() + named::ALIASES.len());
}

#[test]
fn the_coordinator_is_set_up_by_its_keys() {
    let root = project(
        "[coordinator]\npressure_threshold = 0.9\neviction_ratio = 1\ncheck_interval = \"100ms\"\n\
         max_bytes = \"256MiB\"\n",
    );
    let config = ConfigSources::new(root.path()).load().unwrap();
    let expected = CoordinatorOptions::default()
        .pressure_threshold(0.9)
        .and_then(|options| options.eviction_ratio(1.0))
        .and_then(|options| options.check_interval(std::time::Duration::from_millis(100)))
        .and_then(|options| options.max_bytes(Some(256 << 20)))
        .unwrap();
    assert_eq!(config.coordinator(), &expected);
    let config = ConfigSources::new(root.path())
        .variable("CARDEX_COORDINATOR__PRESSURE_THRESHOLD", "0.8")
        .variable("CARDEX_COORDINATOR__MAX_BYTES", "none")
        .load()
        .unwrap();
    let expected = expected
        .pressure_threshold(0.8)
        .and_then(|options| options.max_bytes(None))
        .unwrap();
    assert_eq!(config.coordinator(), &expected);
    let default = ConfigSources::new("/p").load().unwrap();
    assert_eq!(default.coordinator(), &CoordinatorOptions::default());
}
