//! What a configuration key is: its name, what its value is and in which range, and what it does.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::eviction::Strategy;
use crate::extract::Language;
use crate::machine;
use crate::ratio::Ratio;
use crate::tier::KeyPattern;
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
    /// The name of an eviction strategy that records may have.
    Strategy,
    /// The name of any eviction strategy.
    Policy,
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
    /// A Redis server, or `none`. It may hold a secret, and is never shown with it.
    Redis,
    /// What keys of a cache begin with: 1 to 50 small letters, digits and underscores.
    Prefix,
    /// A list of patterns of keys.
    KeyPatterns,
}

/// A value that was found to be what its key wants.
#[derive(Clone, PartialEq, Eq)]
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

/// How a limit or a file that is not set is written.
pub(super) const UNSET: &str = "none";

/// `CARDEX_SECTION__KEY`.
pub(super) fn environment_variable(name: &str) -> String {
    format!("CARDEX_{}", name.replace('.', "__").to_ascii_uppercase())
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
            Kind::Policy => write!(f, "one of {}", Strategy::ALL.map(Strategy::name).join(", ")),
            Kind::Redis => write!(f, "redis://HOST:PORT/DB, rediss:// or unix://, or {UNSET}"),
            Kind::Prefix => f.write_str("1 to 50 small letters, digits and underscores"),
            Kind::KeyPatterns => f.write_str("a list of patterns of keys"),
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
            (Kind::Switch, Value::Switch(_))
            | (Kind::Strategy | Kind::Policy, Value::Strategy(_)) => Ok(()),
            (Kind::Languages, Value::List(names)) => names.iter().try_for_each(|n| language(n)),
            (Kind::Patterns, Value::List(patterns)) => patterns.iter().try_for_each(|p| pattern(p)),
            (Kind::Database, Value::Text(_)) => Ok(()),
            (Kind::Redis, Value::Text(url)) => redis(url),
            (Kind::Prefix, Value::Text(text)) => prefix(text),
            (Kind::KeyPatterns, Value::List(patterns)) => patterns
                .iter()
                .try_for_each(|text| KeyPattern::new(text).map(drop).map_err(|e| e.to_string())),
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
pub(super) fn strategy(name: &str, offered: &[Strategy]) -> Result<Strategy, String> {
    let known = offered.iter().copied().map(Strategy::name);
    let mut offered = offered.iter().copied();
    offered
        .find(|strategy| strategy.name() == name)
        .ok_or_else(|| match crate::suggest::nearest(name, known) {
            Some(meant) => format!("is no eviction strategy; did you mean `{meant}`?"),
            None => "is no eviction strategy".to_owned(),
        })
}

fn redis(url: &str) -> Result<(), String> {
    let is_known = ["redis://", "rediss://", "unix://", "redis+unix://"]
        .iter()
        .any(|scheme| url.len() > scheme.len() && url.starts_with(scheme));
    if url == UNSET || is_known {
        return Ok(());
    }
    Err("is no address of a Redis server".to_owned())
}

fn prefix(text: &str) -> Result<(), String> {
    let is_small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if (1..=50).contains(&text.len()) && text.chars().all(is_small) {
        return Ok(());
    }
    Err(format!("is not {}", Kind::Prefix))
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

/// As it is shown: without secrets.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
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
