//! Layers, origins, and the errors of a configuration.

use std::path::Path;

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
    for entry in config.entries() {
        assert_eq!(entry.origin, Origin::Default);
        entry.key.kind.check(&(entry.key.default)()).unwrap();
    }
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
        refusal("[memory_cache]\nmax_items = 5\n")
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
}
