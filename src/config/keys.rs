//! The table of configuration keys. It drives parsing, `config show` and the documentation: a key
//! that is not here does not exist.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::coordinator::CoordinatorOptions;
use crate::eviction::Strategy;
use crate::extract::Language;
use crate::machine;
use crate::ratio::Ratio;
use crate::units;

/// A configuration key.
#[derive(Debug)]
#[non_exhaustive]
pub struct Key {
    /// Its name: `section.key`.
    pub name: &'static str,
    /// What its value is, and in which range.
    pub kind: Kind,
    /// What it does, in a sentence.
    pub doc: &'static str,
    /// Whether a running program takes a new value without a restart.
    pub is_live: bool,
    pub(super) default: fn() -> Value,
}

/// What the value of a key is, and in which range.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Kind {
    /// A size with a unit; both ends are allowed.
    Size(u64, u64),
    /// A duration with a unit; both ends are allowed.
    Duration(Duration, Duration),
    /// A whole number; both ends are allowed.
    Count(u64, u64),
    /// A size with a unit, from this to all the memory of the machine, or of the container.
    Memory(u64),
    /// A size with a unit, from this upwards, or `none`.
    Limit(u64),
    /// A share of the whole, in hundredths; both ends are allowed.
    Ratio(u32, u32),
    /// `true` or `false`.
    Switch,
    /// The name of an eviction strategy.
    Strategy,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of names of languages.
    Languages,
    /// A list of ignore patterns.
    Patterns,
    /// An address of this machine and a port.
    Address,
    /// A file, or `none`.
    File,
    /// A database. It may hold a secret, and is never shown with it.
    Database,
}

/// A value that was found to be what its key wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Size(u64),
    Duration(Duration),
    Count(u64),
    Limit(Option<u64>),
    Ratio(Ratio),
    Switch(bool),
    Strategy(Strategy),
    List(Vec<String>),
    Text(String),
}

/// Where the database is unless something else is said.
pub(super) const DEFAULT_DATABASE: &str = ".cardex/cardex.db";

/// Every key.
pub static KEYS: &[Key] = &[
    Key {
        name: "index.exclude",
        kind: Kind::Patterns,
        doc: "Files and directories to leave out, as patterns of a .gitignore file.",
        is_live: false,
        default: || Value::List(Vec::new()),
    },
    Key {
        name: "index.languages",
        kind: Kind::Languages,
        doc: "The languages to index; an empty list is every file, of whatever language.",
        is_live: false,
        default: || Value::List(Vec::new()),
    },
    Key {
        name: "index.max_file_bytes",
        kind: Kind::Size(1 << 10, 1 << 30),
        doc: "Larger files are skipped.",
        is_live: false,
        default: || Value::Size(16 << 20),
    },
    Key {
        name: "index.threads",
        kind: Kind::Count(1, 256),
        doc: "How many files are read at the same time; by default one for each processor.",
        is_live: false,
        default: || Value::Count(processors()),
    },
    Key {
        name: "database.url",
        kind: Kind::Database,
        doc: "The SQLite file: a path from the project's root, or sqlite:PATH.",
        is_live: false,
        default: || Value::Text(DEFAULT_DATABASE.to_owned()),
    },
    Key {
        name: "database.max_connections",
        kind: Kind::Count(1, 16),
        doc: "How many connections to the database are open at most.",
        is_live: false,
        default: || Value::Count(4),
    },
    Key {
        name: "database.connection_timeout",
        kind: Kind::Duration(Duration::from_secs(1), Duration::from_secs(30)),
        doc: "How long to wait for a connection, or for another process's lock.",
        is_live: false,
        default: || Value::Duration(Duration::from_secs(5)),
    },
    Key {
        name: "memory_cache.enabled",
        kind: Kind::Switch,
        doc: "Whether a host runs a cache of records.",
        is_live: false,
        default: || Value::Switch(true),
    },
    Key {
        name: "memory_cache.max_items",
        kind: Kind::Count(100, 1_000_000),
        doc: "How many records are held in memory at most; answers never depend on it.",
        is_live: true,
        default: || Value::Count(10_000),
    },
    Key {
        name: "memory_cache.max_bytes",
        kind: Kind::Memory(1 << 20),
        doc: "How much memory the records take at most.",
        is_live: true,
        // A smaller container starts with all that it has.
        default: || Value::Size(machine::total_memory_bytes().min(64 << 20)),
    },
    Key {
        name: "memory_cache.max_record_bytes",
        kind: Kind::Size(1 << 10, 1 << 30),
        doc: "Larger records are refused.",
        is_live: false,
        default: || Value::Size(16 << 20),
    },
    Key {
        name: "memory_cache.eviction_strategy",
        kind: Kind::Strategy,
        doc: "Which records leave first when the cache is full.",
        is_live: false,
        default: || Value::Strategy(Strategy::default()),
    },
    Key {
        name: "memory_cache.eviction_batch_size",
        kind: Kind::Count(1, 1000),
        doc: "How many records leave at once when there are too many, but no more than a tenth of them.",
        is_live: true,
        default: || Value::Count(100),
    },
    Key {
        name: "memory_cache.write_policy",
        kind: Kind::OneOf(&["write_through"]),
        doc: "When a write is in the database: with write_through, before it returns.",
        is_live: false,
        default: || Value::Text("write_through".to_owned()),
    },
    Key {
        name: "memory_cache.change_poll",
        kind: Kind::Duration(Duration::from_millis(1), Duration::from_secs(10)),
        doc: "How long a host's cache rests between two looks at the change log.",
        is_live: true,
        default: || Value::Duration(Duration::from_millis(10)),
    },
    Key {
        name: "memory_cache.sync_interval",
        kind: Kind::Duration(Duration::from_secs(10), Duration::from_secs(3600)),
        doc: "How long until it looks so that nothing is taken for granted.",
        is_live: true,
        default: || Value::Duration(Duration::from_secs(300)),
    },
    Key {
        name: "coordinator.pressure_threshold",
        kind: {
            let (min, max) = CoordinatorOptions::THRESHOLD_PERCENT;
            Kind::Ratio(min, max)
        },
        doc: "Above this used share of memory, a host's caches give room.",
        is_live: true,
        default: || Value::Ratio(Ratio::percent(80)),
    },
    Key {
        name: "coordinator.eviction_ratio",
        kind: {
            let (min, max) = CoordinatorOptions::RATIO_PERCENT;
            Kind::Ratio(min, max)
        },
        doc: "How much of its entries each cache gives up at once.",
        is_live: true,
        default: || Value::Ratio(Ratio::percent(20)),
    },
    Key {
        name: "coordinator.check_interval",
        kind: Kind::Duration(
            CoordinatorOptions::MIN_INTERVAL,
            CoordinatorOptions::MAX_INTERVAL,
        ),
        doc: "How often memory is looked at.",
        is_live: true,
        default: || Value::Duration(Duration::from_secs(30)),
    },
    Key {
        name: "coordinator.max_bytes",
        kind: Kind::Limit(CoordinatorOptions::MIN_BYTES),
        doc: "How much memory the caches of a host may take together.",
        is_live: true,
        default: || Value::Limit(None),
    },
    Key {
        name: "server.listen",
        kind: Kind::Address,
        doc: "Where `serve` listens; port 0 is any that is free. Others than this machine want a token.",
        is_live: false,
        default: || Value::Text("127.0.0.1:7878".to_owned()),
    },
    Key {
        name: "server.token_file",
        kind: Kind::File,
        doc: "The file with the token that changing verbs want, readable by its owner alone; without one, nothing can be changed.",
        is_live: false,
        default: || Value::Text(UNSET.to_owned()),
    },
    Key {
        name: "server.token_for_reading",
        kind: Kind::Switch,
        doc: "Whether reading wants the token on this machine, too: where others share it, or reach it through a proxy.",
        is_live: false,
        default: || Value::Switch(false),
    },
    Key {
        name: "server.max_body_bytes",
        kind: Kind::Size(1 << 10, 16 << 20),
        doc: "Longer bodies of requests are refused.",
        is_live: true,
        default: || Value::Size(1 << 20),
    },
    Key {
        name: "server.max_header_bytes",
        kind: Kind::Size(8 << 10, 1 << 20),
        doc: "Longer request lines and headers are refused.",
        is_live: true,
        default: || Value::Size(16 << 10),
    },
    Key {
        name: "server.header_timeout",
        kind: Kind::Duration(Duration::from_millis(100), Duration::from_secs(60)),
        doc: "How long a client may take to send its headers, or keep a connection idle.",
        is_live: true,
        default: || Value::Duration(Duration::from_secs(5)),
    },
    Key {
        name: "server.request_timeout",
        kind: Kind::Duration(Duration::from_millis(100), Duration::from_secs(600)),
        doc: "How long a request is worked on; what a client asked to wait for changes comes on top.",
        is_live: true,
        default: || Value::Duration(Duration::from_secs(10)),
    },
    Key {
        name: "server.max_page",
        kind: Kind::Count(1, 10_000),
        doc: "How many files one answer lists at most.",
        is_live: true,
        default: || Value::Count(1000),
    },
    Key {
        name: "server.max_requests",
        kind: Kind::Count(1, 1024),
        doc: "How many requests are worked on at once; others are told to come again. As many clients may wait for changes.",
        is_live: false,
        default: || Value::Count(64),
    },
    Key {
        name: "server.max_connections",
        kind: Kind::Count(1, 65_536),
        doc: "How many connections are open at once; for one more, the one that was idle for the longest time is closed.",
        is_live: false,
        default: || Value::Count(1024),
    },
];

/// Another name of a key, under which its value is a whole number of some unit.
#[derive(Debug)]
pub(super) struct Alias {
    pub(super) name: &'static str,
    /// The key's own name.
    of: &'static str,
    pub(super) reads: Reading,
}

/// What a whole number under an alias is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reading {
    /// A duration in seconds.
    Seconds,
}

/// Every alias.
pub(super) static ALIASES: &[Alias] = &[
    Alias {
        name: "memory_cache.sync_interval_seconds",
        of: "memory_cache.sync_interval",
        reads: Reading::Seconds,
    },
    Alias {
        name: "coordinator.check_interval_seconds",
        of: "coordinator.check_interval",
        reads: Reading::Seconds,
    },
];

impl Reading {
    pub(super) fn value(self, number: u64) -> Value {
        match self {
            Reading::Seconds => Value::Duration(Duration::from_secs(number)),
        }
    }

    /// The range of a key of this kind, in words.
    pub(super) fn range(self, kind: Kind) -> String {
        match (self, kind) {
            (Reading::Seconds, Kind::Duration(..)) => {
                let (min, max) = self.bounds(kind);
                format!("a whole number of seconds from {min} to {max}")
            }
            (Reading::Seconds, kind) => kind.to_string(),
        }
    }

    /// The least and the largest number that a key of this kind allows.
    pub(super) fn bounds(self, kind: Kind) -> (u64, u64) {
        match (self, kind) {
            (Reading::Seconds, Kind::Duration(min, max)) => {
                let least = min.as_secs() + u64::from(min.subsec_nanos() > 0);
                (least, max.as_secs())
            }
            (Reading::Seconds, _) => (0, u64::MAX),
        }
    }
}

/// A key by the name that somebody wrote: its own, or an alias.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    pub(super) key: &'static Key,
    pub(super) alias: Option<&'static Alias>,
}

impl Named {
    pub(super) fn find(name: &str) -> Option<Self> {
        Self::all().find(|named| named.name() == name)
    }

    pub(super) fn of_variable(variable: &str) -> Option<Self> {
        Self::all().find(|named| environment_variable(named.name()) == variable)
    }

    /// Every name that can be written.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let own = KEYS.iter().map(|key| Named { key, alias: None });
        let aliases = ALIASES.iter().filter_map(|alias| {
            let key = KEYS.iter().find(|key| key.name == alias.of)?;
            let alias = Some(alias);
            Some(Named { key, alias })
        });
        own.chain(aliases)
    }

    pub(super) fn name(&self) -> &'static str {
        self.alias.map_or(self.key.name, |alias| alias.name)
    }

    /// What its value is, in words.
    pub(super) fn range(&self) -> String {
        match self.alias {
            Some(alias) => alias.reads.range(self.key.kind),
            None => self.key.kind.to_string(),
        }
    }
}

fn environment_variable(name: &str) -> String {
    format!("CARDEX_{}", name.replace('.', "__").to_ascii_uppercase())
}

/// How a limit or a file that is not set is written.
pub(super) const UNSET: &str = "none";

fn processors() -> u64 {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(256) as u64)
}

impl Key {
    /// The default, as `config show` prints it.
    pub fn default_text(&self) -> String {
        (self.default)().to_string()
    }

    /// `CARDEX_SECTION__KEY`.
    pub fn environment_variable(&self) -> String {
        environment_variable(self.name)
    }
}

/// The range in words.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = units::format_size;
        let duration = units::format_duration;
        match *self {
            Kind::Size(min, max) => write!(f, "a size from {} to {}", size(min), size(max)),
            Kind::Duration(min, max) => {
                write!(f, "a duration from {} to {}", duration(min), duration(max))
            }
            Kind::Count(min, max) => write!(f, "a whole number from {min} to {max}"),
            Kind::Memory(min) => {
                let min = size(min);
                write!(
                    f,
                    "a size from {min} to the memory of the machine or container"
                )
            }
            Kind::Limit(min) => write!(f, "a size from {} up, or {UNSET}", size(min)),
            Kind::Ratio(min, max) => {
                let (min, max) = (Ratio::percent(min), Ratio::percent(max));
                write!(f, "a number from {min} to {max}")
            }
            Kind::Switch => f.write_str("true or false"),
            Kind::Strategy => {
                write!(
                    f,
                    "one of {}",
                    Strategy::FOR_RECORDS.map(Strategy::name).join(", ")
                )
            }
            Kind::OneOf(words) => write!(f, "one of {}", words.join(", ")),
            Kind::Languages => f.write_str("a list of languages"),
            Kind::Patterns => f.write_str("a list of patterns"),
            Kind::Address => f.write_str("an address and a port, such as 127.0.0.1:7878"),
            Kind::File => write!(f, "a path, or {UNSET}"),
            Kind::Database => f.write_str("a path or sqlite:PATH"),
        }
    }
}

impl Kind {
    /// What a value must satisfy whatever it was written in; the error says what is wrong with it.
    pub(super) fn check(self, value: &Value) -> Result<(), String> {
        let within = |inside: bool| inside.then_some(()).ok_or("is out of range".to_owned());
        match (self, value) {
            (Kind::Size(min, max), Value::Size(size)) => within((min..=max).contains(size)),
            (Kind::Duration(min, max), Value::Duration(time)) => within((min..=max).contains(time)),
            (Kind::Count(min, max), Value::Count(count)) => within((min..=max).contains(count)),
            (Kind::Memory(min), Value::Size(size)) => {
                let most = machine::total_memory_bytes();
                within(*size >= min)?;
                (*size <= most).then_some(()).ok_or_else(|| {
                    let most = units::format_size(most);
                    format!("is out of range: this machine or container has {most}")
                })
            }
            (Kind::Limit(min), Value::Limit(size)) => within(size.is_none_or(|size| size >= min)),
            (Kind::Ratio(min, max), Value::Ratio(share)) => {
                within((Ratio::percent(min)..=Ratio::percent(max)).contains(share))
            }
            (Kind::Switch, Value::Switch(_)) | (Kind::Strategy, Value::Strategy(_)) => Ok(()),
            (Kind::Languages, Value::List(names)) => names.iter().try_for_each(|n| language(n)),
            (Kind::Patterns, Value::List(patterns)) => patterns.iter().try_for_each(|p| pattern(p)),
            (Kind::Database, Value::Text(_)) => Ok(()),
            (Kind::File, Value::Text(path)) if path.is_empty() => Err("is empty".to_owned()),
            (Kind::File, Value::Text(_)) => Ok(()),
            (Kind::Address, Value::Text(text)) => address(text)
                .map(drop)
                .ok_or_else(|| format!("is not {self}")),
            (Kind::OneOf(words), Value::Text(word)) => one_of(words, word),
            _ => Err(format!("is not {self}")),
        }
    }
}

fn language(name: &str) -> Result<(), String> {
    if Language::named(name).is_some() {
        return Ok(());
    }
    let known = Language::all().map(Language::name);
    Err(
        match crate::suggest::nearest(&name.to_ascii_lowercase(), known) {
            Some(meant) => format!("names the unknown language `{name}`; did you mean `{meant}`?"),
            None => format!("names the unknown language `{name}`"),
        },
    )
}

/// An address and a port; `localhost` is this machine.
pub(super) fn address(text: &str) -> Option<SocketAddr> {
    let port = text.strip_prefix("localhost:");
    let port = port.map(|port| format!("127.0.0.1:{port}"));
    port.as_deref().unwrap_or(text).parse().ok()
}

/// The eviction strategy of that name; the error says what is wrong with it.
pub(super) fn strategy(name: &str) -> Result<Strategy, String> {
    let known = Strategy::FOR_RECORDS.map(Strategy::name);
    name.parse()
        .map_err(|_| match crate::suggest::nearest(name, known) {
            Some(meant) => format!("is no eviction strategy; did you mean `{meant}`?"),
            None => "is no eviction strategy".to_owned(),
        })
}

fn one_of(words: &[&'static str], word: &str) -> Result<(), String> {
    if words.contains(&word) {
        return Ok(());
    }
    let known = words.join(", ");
    Err(match crate::suggest::nearest(word, words.iter().copied()) {
        Some(meant) => format!("is none of {known}; did you mean `{meant}`?"),
        None => format!("is none of {known}"),
    })
}

fn pattern(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("holds an empty pattern".to_owned());
    }
    if text.starts_with('!') {
        return Err(format!(
            "holds the negated pattern `{text}`; it can only leave files out"
        ));
    }
    // As the scanner compiles it.
    match ignore::overrides::OverrideBuilder::new("").add(&format!("!{text}")) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("holds the bad pattern `{text}`: {error}")),
    }
}

/// As TOML.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Size(bytes) => write!(f, "\"{}\"", units::format_size(*bytes)),
            Value::Duration(time) => write!(f, "\"{}\"", units::format_duration(*time)),
            Value::Count(count) => write!(f, "{count}"),
            Value::Limit(None) => f.write_str(&quoted(UNSET)),
            Value::Limit(Some(bytes)) => write!(f, "\"{}\"", units::format_size(*bytes)),
            Value::Ratio(share) => write!(f, "{share}"),
            Value::Switch(on) => write!(f, "{on}"),
            Value::Strategy(strategy) => f.write_str(&quoted(strategy.name())),
            Value::List(items) => {
                let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Value::Text(text) => f.write_str(&quoted(&crate::redact::redact(text))),
        }
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
