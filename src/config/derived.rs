//! What a configuration says of the caches of derived results: their tiers, their types, Redis, and how
//! processes go about what all of them miss.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::keys::{UNSET, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::eviction::Strategy;

/// The values of the sections `tiers`, `redis`, `coordination` and `types`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DerivedSettings {
    /// Whether anything is cached.
    pub enabled: bool,
    /// Whether in memory.
    pub memory: bool,
    /// The most entries of a type in memory, unless it says so itself.
    pub memory_max_items: usize,
    /// The most bytes of a type in memory, unless it says so itself.
    pub memory_max_bytes: u64,
    /// The longest time in memory in front of another tier.
    pub memory_ttl: Duration,
    /// Whether in a file.
    pub disk: bool,
    /// The file; `None` is none.
    pub disk_path: Option<PathBuf>,
    /// The most entries of a type in the file.
    pub disk_max_items: usize,
    /// The most bytes of the file.
    pub disk_max_bytes: u64,
    /// The longest time in the file in front of Redis.
    pub disk_ttl: Duration,
    /// Whether in Redis, if there is one.
    pub redis: bool,
    /// The time in Redis of what says nothing itself.
    pub redis_ttl: Duration,
    /// The server, which may hold a secret; `None` is none.
    pub redis_url: Option<RedisUrl>,
    /// What sets this project apart on it, or `auto`.
    pub redis_namespace: String,
    /// The most connections to it.
    pub redis_max_connections: u32,
    /// How long it is waited for.
    pub redis_timeout: Duration,
    /// Whether processes make a missing result once for all, and tell each other what they change.
    pub coordination: bool,
    /// How long a lease lasts.
    pub lease: Duration,
    /// The time between two heartbeats of a process.
    pub heartbeat: Duration,
    /// What is said of types, by name.
    pub types: BTreeMap<String, TypeSettings>,
}

/// The address of a server, never shown with its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// The address with its secret.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::redact::redact(&self.0))
    }
}

/// What is said of one type; `None` where nothing is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TypeSettings {
    /// Whether it caches anything.
    pub enabled: Option<bool>,
    /// Where: `auto`, `memory`, `disk`, `redis`, `tiered`, `multi_tier`.
    pub backend: Option<String>,
    /// What sets its keys apart.
    pub prefix: Option<String>,
    /// `cache_aside`, `read_through`, `write_through`, `write_behind`, `refresh_ahead`.
    pub strategy: Option<String>,
    /// How long a result lives.
    pub ttl: Option<Duration>,
    /// How much longer it is kept.
    pub grace: Option<Duration>,
    /// The most entries in memory.
    pub max_items: Option<usize>,
    /// The most bytes in memory.
    pub max_bytes: Option<u64>,
    /// Who leaves first.
    pub policy: Option<Strategy>,
    /// `strong` or `eventual`.
    pub consistency: Option<String>,
    /// Patterns of keys that a write drops.
    pub invalidates: Option<Vec<String>>,
}

/// Whether a key is one of these.
pub(super) fn has(name: &str) -> bool {
    let sections = ["tiers.", "redis.", "coordination.", "types."];
    sections.iter().any(|section| name.starts_with(section))
}

fn whole(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

impl DerivedSettings {
    /// Puts a checked value where it is used; `base` is where a relative path begins.
    pub(super) fn set(
        &mut self,
        name: &'static str,
        member: Option<&str>,
        value: Value,
        base: &Path,
    ) -> Result<()> {
        if let Some(member) = member {
            let settings = self.types.entry(member.to_owned()).or_default();
            return settings.set(name, value);
        }
        match (name, value) {
            ("tiers.enabled", Value::Switch(on)) => self.enabled = on,
            ("tiers.memory.enabled", Value::Switch(on)) => self.memory = on,
            ("tiers.memory.max_items", Value::Count(most)) => self.memory_max_items = whole(most),
            ("tiers.memory.max_bytes", Value::Size(most)) => self.memory_max_bytes = most,
            ("tiers.memory.ttl", Value::Duration(ttl)) => self.memory_ttl = ttl,
            ("tiers.disk.enabled", Value::Switch(on)) => self.disk = on,
            ("tiers.disk.path", Value::Text(text)) => {
                self.disk_path = (text != UNSET).then(|| base.join(text));
            }
            ("tiers.disk.max_items", Value::Count(most)) => self.disk_max_items = whole(most),
            ("tiers.disk.max_bytes", Value::Size(most)) => self.disk_max_bytes = most,
            ("tiers.disk.ttl", Value::Duration(ttl)) => self.disk_ttl = ttl,
            ("tiers.redis.enabled", Value::Switch(on)) => self.redis = on,
            ("tiers.redis.ttl", Value::Duration(ttl)) => self.redis_ttl = ttl,
            ("redis.url", Value::Text(url)) => {
                self.redis_url = (url != UNSET).then_some(RedisUrl(url));
            }
            ("redis.namespace", Value::Text(name)) => self.redis_namespace = name,
            ("redis.max_connections", Value::Count(most)) => {
                self.redis_max_connections = u32::try_from(most).unwrap_or(u32::MAX);
            }
            ("redis.timeout", Value::Duration(time)) => self.redis_timeout = time,
            ("coordination.enabled", Value::Switch(on)) => self.coordination = on,
            ("coordination.lease", Value::Duration(time)) => self.lease = time,
            ("coordination.heartbeat", Value::Duration(time)) => self.heartbeat = time,
            (name, value) => return Err(useless(name, &value)),
        }
        Ok(())
    }
}

impl TypeSettings {
    fn set(&mut self, name: &'static str, value: Value) -> Result<()> {
        let last = name.rsplit('.').next().unwrap_or(name);
        match (last, value) {
            ("enabled", Value::Switch(on)) => self.enabled = Some(on),
            ("backend", Value::Text(word)) => self.backend = Some(word),
            ("prefix", Value::Text(text)) => self.prefix = Some(text),
            ("strategy", Value::Text(word)) => self.strategy = Some(word),
            ("ttl", Value::Duration(ttl)) => self.ttl = Some(ttl),
            ("grace", Value::Duration(grace)) => self.grace = Some(grace),
            ("max_items", Value::Count(most)) => self.max_items = Some(whole(most)),
            ("max_bytes", Value::Size(most)) => self.max_bytes = Some(most),
            ("policy", Value::Strategy(policy)) => self.policy = Some(policy),
            ("consistency", Value::Text(word)) => self.consistency = Some(word),
            ("invalidates", Value::List(patterns)) => self.invalidates = Some(patterns),
            (_, value) => return Err(useless(name, &value)),
        }
        Ok(())
    }
}

fn useless(name: &str, value: &Value) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!("`{name}` = {value} has no use"),
    )
}
