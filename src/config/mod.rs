//! The one configuration of the program. A [`Config`] can only be valid: what is unknown, malformed
//! or out of range is refused while it is loaded, by key, value, origin and range.
//!
//! Five layers, each over the one before: defaults, the user's file
//! (`$XDG_CONFIG_HOME/cardex/config.toml`, else `~/.config/cardex/config.toml`), the project's file
//! (`cardex.toml` in its root), the environment (`CARDEX_SECTION__KEY`), the command line.

mod database_url;
mod derived;
mod keys;
mod layers;
mod lifetime;
mod live;
mod named;
mod schema;
mod setup;
mod table;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cell::Cell;
use std::path::{Path, PathBuf};

pub use self::derived::{DerivedSettings, RedisUrl, TypeSettings};
use self::keys::Value;
pub use self::keys::{Key, Kind};
pub use self::layers::Origin;
use self::layers::{Raw, Setting, expand};
pub use self::live::{Changed, LiveConfig, Reload};
use self::named::Named;
pub use self::schema::schema;
pub use self::table::{KEYS, TYPE_KEYS};
use crate::coordinator::CoordinatorOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::eviction::Strategy;
use crate::extract::{Language, ScanOptions};
use crate::metadata_cache::CacheOptions;
use crate::ratio::Ratio;
use crate::server::ServerOptions;
use crate::store::SqliteOptions;
pub use crate::text_file::read_text;
use crate::units;
use crate::watch::WatchOptions;

/// The name of a project's own configuration file, in its root.
pub const PROJECT_FILE: &str = "cardex.toml";

/// Where the layers of a configuration are read from.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ConfigSources {
    root: PathBuf,
    user_file: Option<PathBuf>,
    project_file: Option<PathBuf>,
    environment: Vec<(String, String)>,
    command_line: Vec<Setting>,
}

impl ConfigSources {
    /// The sources of a project: its own file if it has one, no user, no environment.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        ConfigSources {
            root: root.into(),
            ..Self::default()
        }
    }

    /// The same with the user's file and the environment of this process.
    ///
    /// # Errors
    /// `InvalidConfig` if a variable of this program is not UTF-8.
    pub fn with_process(mut self) -> Result<Self> {
        for (name, value) in std::env::vars_os() {
            // Others of that kind can name no key and stand in no `${NAME}`.
            let Ok(name) = name.into_string() else {
                continue;
            };
            match value.into_string() {
                Ok(value) => self.environment.push((name, value)),
                Err(_) if name.starts_with("CARDEX_") => {
                    let message = format!("the environment variable `{name}` is not UTF-8");
                    return Err(Error::new(ErrorKind::InvalidConfig, message));
                }
                Err(_) => {}
            }
        }
        self.user_file = user_file(&self.environment);
        Ok(self)
    }

    /// Reads this user file, if it exists.
    pub fn user_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.user_file = Some(path.into());
        self
    }

    /// Reads this file in place of the project's own; it must exist.
    pub fn project_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.project_file = Some(path.into());
        self
    }

    /// One more environment variable.
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// A value of the command line, which has the last word. A relative database path starts at
    /// the working directory.
    ///
    /// # Errors
    /// `InvalidConfig` if there is no such key.
    pub fn command_line(mut self, key: &str, value: &str, flag: &str) -> Result<Self> {
        let named = Named::find(key).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidConfig,
                format!("`{key}` is no configuration key"),
            )
        })?;
        self.command_line.push(Setting {
            named,
            raw: Raw::Word(value.to_owned()),
            origin: Origin::CommandLine(flag.to_owned()),
            excerpt: None,
        });
        Ok(self)
    }

    /// Reads and checks every layer.
    ///
    /// # Errors
    /// `InvalidConfig` for what is wrong in any of them, overridden values included; `Io` if a file
    /// cannot be read.
    pub fn load(self) -> Result<Config> {
        let mut settings = Vec::new();
        if let Some(path) = self.user_file.as_deref().filter(|path| is_there(path)) {
            settings.extend(layers::file(path, Origin::UserFile)?);
        }
        let own = self.root.join(PROJECT_FILE);
        match &self.project_file {
            Some(path) => settings.extend(layers::file(path, Origin::ProjectFile)?),
            None if is_there(&own) => {
                for setting in layers::file(&own, Origin::ProjectFile)? {
                    assert_inside(&setting, &self.root)?;
                    settings.push(setting);
                }
            }
            None => {}
        }
        settings.extend(layers::environment(&self.environment)?);
        settings.extend(self.command_line.iter().cloned());
        let mut config = Config::defaults(&self.root)?;
        for setting in &settings {
            let value = evaluate(setting, &self.environment)?;
            config.set(setting, value)?;
        }
        config.watch.assert_consistent()?;
        Ok(config)
    }
}

/// Whether there is a file, or something in its place: also what cannot be read, or leads nowhere. That
/// is an error when it is read, and not taken for no file.
fn is_there(path: &Path) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};

    match path.symlink_metadata() {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), NotFound | NotADirectory),
    }
}

/// The user's configuration file, as the XDG base directories say.
fn user_file(environment: &[(String, String)]) -> Option<PathBuf> {
    let absolute = |name: &str| {
        let (_, value) = environment.iter().find(|(variable, _)| variable == name)?;
        Some(PathBuf::from(value)).filter(|path| path.is_absolute())
    };
    let base = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(base.join("cardex").join("config.toml"))
}

/// Where a relative path of a setting begins: that of a flag here, others at the root.
fn base(setting: &Setting, root: &Path) -> PathBuf {
    match setting.origin {
        Origin::CommandLine(_) => std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
        _ => root.to_path_buf(),
    }
}

/// A project's file comes with the project, from whoever wrote it: it must not make this program
/// write elsewhere, or let anybody in.
fn assert_inside(setting: &Setting, root: &Path) -> Result<()> {
    let name = setting.named.key.name;
    let text = match &setting.raw {
        Raw::Text(text) => text.as_str(),
        _ if name == "server.token_for_reading" => "",
        _ => return Ok(()),
    };
    match name {
        "database.url" => assert_database_inside(setting, text, root),
        "server.listen" if keys::address(text).is_none_or(|to| !to.ip().is_loopback()) => {
            Err(setting.refuse(
                "can be reached by others",
                "a project's own file can only name an address of this machine alone; take it out \
                 there, and use --listen, CARDEX_SERVER__LISTEN or your user file",
            ))
        }
        "redis.url" => Err(setting.refuse(
            "would say whom to trust",
            "a project's own file cannot; take it out there, and use REDIS_URL, \
             CARDEX_REDIS__URL or your user file",
        )),
        "redis.namespace" if text != setup::AUTO => Err(setting.refuse(
            "would say whose results to share",
            "a project's own file cannot; take it out there, and use CARDEX_REDIS__NAMESPACE or your \
             user file",
        )),
        "tiers.disk.path" if text != keys::UNSET => {
            assert_file_inside(setting, text, &root.join(text), root, "a cache file")
        }
        "server.token_file" => Err(setting.refuse(
            "would say whom to trust",
            "a project's own file cannot; take it out there, and use --token-file, \
             CARDEX_SERVER__TOKEN_FILE or your user file",
        )),
        "server.token_for_reading" => Err(setting.refuse(
            "would say whom to trust",
            "a project's own file cannot; take it out there, and use \
             CARDEX_SERVER__TOKEN_FOR_READING or your user file",
        )),
        _ => Ok(()),
    }
}

fn assert_database_inside(setting: &Setting, text: &str, root: &Path) -> Result<()> {
    let Ok(file) = database_url::sqlite_file(text, root) else {
        return Ok(());
    };
    assert_file_inside(setting, text, &file, root, "a database")
}

fn assert_file_inside(
    setting: &Setting,
    text: &str,
    file: &Path,
    root: &Path,
    what: &str,
) -> Result<()> {
    let inside = crate::metadata::FilePath::under(root, file).is_ok() && !text.contains("${");
    if inside && leads_inside(file, root) {
        return Ok(());
    }
    let variable = setting.named.key.environment_variable();
    let flag = if setting.named.key.name == "database.url" {
        "--db, "
    } else {
        ""
    };
    let help = format!(
        "a project's own file can only name {what} inside the project; take it out there, and use \
         {flag}{variable} or your user file"
    );
    Err(setting.refuse("leads out of the project", help))
}

/// Whether the file is, or would be made, below the root once every link on its way is followed.
fn leads_inside(file: &Path, root: &Path) -> bool {
    let existing = file
        .ancestors()
        .find(|path| path.symlink_metadata().is_ok())
        .map(Path::canonicalize);
    match (existing, root.canonicalize()) {
        (Some(Ok(existing)), Ok(root)) => existing.starts_with(root),
        // A link that leads nowhere may lead somewhere soon.
        _ => false,
    }
}

/// What a raw value means for its key.
fn evaluate(setting: &Setting, environment: &[(String, String)]) -> Result<Value> {
    let kind = setting.named.key.kind;
    let range = setting.named.range();
    let help = || format!("give {range}");
    // What a variable holds may be secret: errors show the text as it was written.
    let replaced = Cell::new(false);
    let expand = |text: &str| {
        if matches!(setting.origin, Origin::CommandLine(_)) {
            return Ok(text.to_owned());
        }
        expand(text, environment)
            .map(|expanded| {
                replaced.set(replaced.get() || expanded != text);
                expanded.into_owned()
            })
            .map_err(|name| {
                setting.refuse(
                    &format!("names the environment variable {name}, which is not set"),
                    format!("set {name}, or write the value itself"),
                )
            })
    };
    let wrong = |reason: String| {
        if replaced.get() {
            let reason = format!("is not {range} once its variables are replaced");
            return setting.refuse(&reason, help());
        }
        setting.refuse(&reason, help())
    };
    let whole = || match &setting.raw {
        Raw::Integer(number) => {
            u64::try_from(*number).map_err(|_| wrong("is out of range".to_owned()))
        }
        Raw::Word(text) => expand(text)?
            .trim()
            .parse()
            .map_err(|_| wrong(format!("is not {range}"))),
        _ => Err(wrong(format!("is not {range}"))),
    };
    if let Some(alias) = setting.named.alias {
        let value = alias.reads.value(whole()?);
        kind.check(&value).map_err(wrong)?;
        return Ok(value);
    }
    let value = match (kind, &setting.raw) {
        (Kind::Size(..) | Kind::Memory(_), Raw::Text(text) | Raw::Word(text)) => {
            Value::Size(units::parse_size(&expand(text)?).map_err(wrong)?)
        }
        (Kind::Duration(..), Raw::Text(text) | Raw::Word(text)) => {
            Value::Duration(units::parse_duration(&expand(text)?).map_err(wrong)?)
        }
        (Kind::Limit(_), Raw::Text(text) | Raw::Word(text)) => match expand(text)?.trim() {
            keys::UNSET => Value::Limit(None),
            size => Value::Limit(Some(units::parse_size(size).map_err(wrong)?)),
        },
        (
            Kind::Size(..) | Kind::Memory(_) | Kind::Limit(_) | Kind::Duration(..),
            Raw::Integer(_),
        ) => return Err(wrong("has no unit".to_owned())),
        (Kind::Ratio(..), Raw::Float(number)) => Value::Ratio(share(*number).map_err(wrong)?),
        (Kind::Ratio(..), Raw::Integer(number)) => {
            Value::Ratio(share(*number as f64).map_err(wrong)?)
        }
        (Kind::Ratio(..), Raw::Word(text)) => {
            let number = expand(text)?.trim().parse();
            let number = number.map_err(|_| wrong(format!("is not {kind}")))?;
            Value::Ratio(share(number).map_err(wrong)?)
        }
        (Kind::Count(..), _) => Value::Count(whole()?),
        (Kind::Switch, Raw::Boolean(on)) => Value::Switch(*on),
        (Kind::Switch, Raw::Word(text)) => Value::Switch(
            expand(text)?
                .trim()
                .parse()
                .map_err(|_| wrong(format!("is not {kind}")))?,
        ),
        (Kind::Strategy, Raw::Text(text) | Raw::Word(text)) => {
            let offered = &Strategy::FOR_RECORDS;
            Value::Strategy(keys::strategy(&expand(text)?, offered).map_err(wrong)?)
        }
        (Kind::Policy, Raw::Text(text) | Raw::Word(text)) => {
            Value::Strategy(keys::strategy(&expand(text)?, &Strategy::ALL).map_err(wrong)?)
        }
        (Kind::Languages | Kind::Patterns | Kind::KeyPatterns, Raw::List(items)) => Value::List(
            items
                .iter()
                .map(|item| expand(item))
                .collect::<Result<_>>()?,
        ),
        (Kind::Languages | Kind::Patterns | Kind::KeyPatterns, Raw::Word(text)) => {
            let text = expand(text)?;
            let items = text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            Value::List(items.map(str::to_owned).collect())
        }
        (
            Kind::Database
            | Kind::Redis
            | Kind::Prefix
            | Kind::Address
            | Kind::File
            | Kind::OneOf(_),
            Raw::Text(text) | Raw::Word(text),
        ) => Value::Text(expand(text)?),
        _ => return Err(wrong(format!("is not {kind}"))),
    };
    kind.check(&value).map_err(wrong)?;
    Ok(value)
}

fn share(number: f64) -> Result<Ratio, String> {
    Ratio::new(number).ok_or_else(|| "is out of range".to_owned())
}

/// A valid configuration, with the origin of each value.
#[derive(Clone, Debug)]
pub struct Config {
    scan: ScanOptions,
    sqlite: SqliteOptions,
    database: PathBuf,
    cache: CacheOptions,
    cache_enabled: bool,
    server: ServerOptions,
    root: PathBuf,
    coordinator: CoordinatorOptions,
    derived: DerivedSettings,
    watch: WatchOptions,
    watch_enabled: bool,
    entries: Vec<Entry>,
}

/// One value in force.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// Its name: that of the key, or of its member of the family.
    pub name: Cow<'static, str>,
    /// Its key.
    pub key: &'static Key,
    /// The value as TOML, without secrets: one that variables are a part of is as it was written.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
    setting: Setting,
    evaluated: Value,
}

impl Config {
    fn defaults(root: &Path) -> Result<Self> {
        let mut config = Config {
            scan: ScanOptions::default(),
            sqlite: SqliteOptions::default().root(root),
            database: PathBuf::new(),
            cache: CacheOptions::default(),
            cache_enabled: true,
            server: ServerOptions::default(),
            root: root.to_path_buf(),
            coordinator: CoordinatorOptions::default(),
            derived: DerivedSettings::default(),
            watch: WatchOptions::default(),
            watch_enabled: false,
            entries: Vec::with_capacity(KEYS.len()),
        };
        for key in KEYS {
            let value = (key.default)();
            let setting = Setting {
                named: Named::from(key),
                raw: Raw::Word(value.to_string()),
                origin: Origin::Default,
                excerpt: None,
            };
            config.set(&setting, value)?;
        }
        Ok(config)
    }

    /// Puts a value in force.
    fn set(&mut self, setting: &Setting, value: Value) -> Result<()> {
        self.apply(setting, value.clone())?;
        let entry = Entry {
            name: match setting.named.member {
                Some(_) => setting.named.name(),
                None => Cow::Borrowed(setting.named.key.name),
            },
            key: setting.named.key,
            value: setting.shown(&value),
            origin: setting.origin.clone(),
            setting: setting.clone(),
            evaluated: value,
        };
        let is_same = |known: &&mut Entry| known.name == entry.name;
        match self.entries.iter_mut().find(is_same) {
            Some(known) => *known = entry,
            None => self.entries.push(entry),
        }
        Ok(())
    }

    /// Puts a checked value where it is used. Every key of the table has its arm.
    fn apply(&mut self, setting: &Setting, value: Value) -> Result<()> {
        let sqlite = self.sqlite.clone();
        let cache = self.cache.clone();
        let coordinator = self.coordinator.clone();
        let whole = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        match (setting.named.key.name, value) {
            ("index.exclude", Value::List(patterns)) => self.scan.exclude = patterns,
            ("index.languages", Value::List(names)) => {
                self.scan.languages = names.iter().filter_map(|n| Language::named(n)).collect();
            }
            ("index.max_file_bytes", Value::Size(bytes)) => self.scan.max_file_bytes = bytes,
            ("index.threads", Value::Count(threads)) => {
                self.scan.threads = usize::try_from(threads)
                    .ok()
                    .and_then(|n| n.try_into().ok());
            }
            ("database.url", Value::Text(text)) => {
                self.database = database_url::sqlite_file(&text, &base(setting, &self.root))
                    .map_err(|refusal| setting.refuse(&refusal.reason, refusal.help))?;
            }
            ("database.max_connections", Value::Count(count)) => {
                self.sqlite = sqlite.max_connections(u32::try_from(count).unwrap_or(u32::MAX))?;
            }
            ("database.connection_timeout", Value::Duration(timeout)) => {
                self.sqlite = sqlite.connection_timeout(timeout)?;
            }
            ("memory_cache.enabled", Value::Switch(on)) => self.cache_enabled = on,
            ("memory_cache.max_items", Value::Count(items)) => {
                self.cache = cache.max_items(whole(items))?;
            }
            ("memory_cache.max_bytes", Value::Size(bytes)) => {
                self.cache = cache.max_bytes(bytes)?;
            }
            ("memory_cache.max_record_bytes", Value::Size(bytes)) => {
                self.cache = cache.max_record_bytes(bytes)?;
            }
            ("memory_cache.eviction_strategy", Value::Strategy(strategy)) => {
                self.cache = cache.eviction_strategy(strategy);
            }
            // There is one policy, and the cache knows no other.
            ("memory_cache.write_policy", Value::Text(_)) => {}
            ("memory_cache.change_poll", Value::Duration(rest)) => {
                self.cache = cache.change_poll(rest)?;
            }
            ("memory_cache.sync_interval", Value::Duration(interval)) => {
                self.cache = cache.sync_interval(interval)?;
            }
            ("memory_cache.eviction_batch_size", Value::Count(records)) => {
                self.cache = cache.eviction_batch_size(whole(records))?;
            }
            ("coordinator.pressure_threshold", Value::Ratio(share)) => {
                self.coordinator = coordinator.pressure_threshold(share.as_f64())?;
            }
            ("coordinator.eviction_ratio", Value::Ratio(share)) => {
                self.coordinator = coordinator.eviction_ratio(share.as_f64())?;
            }
            ("coordinator.check_interval", Value::Duration(interval)) => {
                self.coordinator = coordinator.check_interval(interval)?;
            }
            ("coordinator.max_bytes", Value::Limit(bytes)) => {
                self.coordinator = coordinator.max_bytes(bytes)?;
            }
            ("watch.enabled", Value::Switch(on)) => self.watch_enabled = on,
            ("watch.debounce", Value::Duration(quiet)) => {
                self.watch = self.watch.clone().debounce(quiet)?;
            }
            ("watch.max_delay", Value::Duration(delay)) => {
                self.watch = self.watch.clone().max_delay(delay)?;
            }
            ("watch.ignore", Value::List(patterns)) => {
                self.watch = self.watch.clone().ignore(patterns);
            }
            ("watch.poll_interval", Value::Duration(interval)) => {
                self.watch = self.watch.clone().poll_interval(interval)?;
            }
            (name, value) if name.starts_with("server.") => {
                self.server = self.server_with(setting, value)?;
            }
            (name, value) if derived::has(name) => {
                let base = base(setting, &self.root);
                let member = setting.named.member.as_deref();
                self.derived.set(name, member, value, &base)?;
            }
            (name, value) => {
                let message = format!("`{name}` = {value} has no use");
                return Err(Error::new(ErrorKind::Internal, message));
            }
        }
        Ok(())
    }

    /// The options of a server with one more value.
    fn server_with(&self, setting: &Setting, value: Value) -> Result<ServerOptions> {
        let server = self.server.clone();
        let whole = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        match (setting.named.key.name, value) {
            ("server.listen", Value::Text(text)) => {
                let help = || format!("give {}", setting.named.key.kind);
                let address = keys::address(&text);
                let address = address.ok_or_else(|| setting.refuse("is no address", help()))?;
                Ok(server.listen(address))
            }
            ("server.token_file", Value::Text(text)) => {
                let file = base(setting, &self.root).join(&text);
                Ok(server.token_file((text != keys::UNSET).then_some(file)))
            }
            ("server.token_for_reading", Value::Switch(on)) => Ok(server.token_for_reading(on)),
            ("server.max_body_bytes", Value::Size(bytes)) => server.max_body_bytes(bytes),
            ("server.max_header_bytes", Value::Size(bytes)) => server.max_header_bytes(bytes),
            ("server.header_timeout", Value::Duration(time)) => server.header_timeout(time),
            ("server.request_timeout", Value::Duration(time)) => server.request_timeout(time),
            ("server.max_page", Value::Count(files)) => server.max_page(whole(files)),
            ("server.max_requests", Value::Count(most)) => server.max_requests(whole(most)),
            ("server.max_connections", Value::Count(most)) => server.max_connections(whole(most)),
            (name, value) => {
                let message = format!("`{name}` = {value} has no use");
                Err(Error::new(ErrorKind::Internal, message))
            }
        }
    }

    /// What a scan of the tree reads and leaves out.
    pub fn scan(&self) -> &ScanOptions {
        &self.scan
    }

    /// How the database is opened, and the root that it remembers.
    pub fn sqlite(&self) -> &SqliteOptions {
        &self.sqlite
    }

    /// The database file.
    pub fn database(&self) -> &Path {
        &self.database
    }

    /// The project's root, as it was given.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the cache of records may hold.
    pub fn cache(&self) -> &CacheOptions {
        &self.cache
    }

    /// Whether a host should run the cache of records: it registers its
    /// [`MemoryCacheComponent`](crate::component::MemoryCacheComponent) as enabled if so.
    pub fn cache_enabled(&self) -> bool {
        self.cache_enabled
    }

    /// When the caches of a host give room, and how much.
    pub fn coordinator(&self) -> &CoordinatorOptions {
        &self.coordinator
    }

    /// Where a server listens, and its limits.
    pub fn server(&self) -> &ServerOptions {
        &self.server
    }

    /// How the tree is watched.
    pub fn watch(&self) -> &WatchOptions {
        &self.watch
    }

    /// Whether a server keeps the database up to date with the tree.
    pub fn watch_enabled(&self) -> bool {
        self.watch_enabled
    }

    /// Where results that are derived from files are kept, and for how long.
    pub fn derived(&self) -> &DerivedSettings {
        &self.derived
    }

    /// Every value in force, in the order of the table, and what was said of types after them.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether the database stands where it does by default: in the project's own directory.
    pub fn has_default_database(&self) -> bool {
        let url = self
            .entries
            .iter()
            .find(|entry| entry.key.name == "database.url");
        url.is_some_and(|entry| entry.origin == Origin::Default)
    }
}
