//! Types of caches: what is known of a cache before there is one. Some are predefined; a program, or its
//! configuration, defines more, or says otherwise of these.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::dependants::Dependants;
use super::options::KvOptions;
use super::strategy::{CacheStrategy, one_of};
use crate::error::{Error, ErrorKind, Result};
use crate::eviction::Strategy;
use crate::tier::MemoryTierOptions;

/// The share of its entries that a type holds in memory in front of other tiers, as a divisor.
const FRONT: usize = 10;
/// The most characters of a name or a prefix.
const MAX_NAME_CHARS: usize = 50;

/// Where a type of cache keeps its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// In every tier that there is.
    #[default]
    Auto,
    /// In memory alone.
    Memory,
    /// In the file alone.
    Disk,
    /// On the Redis server alone.
    Redis,
    /// In every tier that there is, of which there must be two; `multi_tier` is another name of it.
    Tiered,
}

impl Backend {
    /// All of them.
    pub const ALL: [Backend; 5] = [
        Backend::Auto,
        Backend::Memory,
        Backend::Disk,
        Backend::Redis,
        Backend::Tiered,
    ];

    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Auto => "auto",
            Backend::Memory => "memory",
            Backend::Disk => "disk",
            Backend::Redis => "redis",
            Backend::Tiered => "tiered",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = Error;

    /// # Errors
    /// `InvalidConfig` for a name that is none, with the choices.
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "multi_tier" => Ok(Backend::Tiered),
            name => one_of("backend", name, Self::ALL, Self::name),
        }
    }
}

/// How fresh the answers of a type must be among processes that share a tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Consistency {
    /// It may answer with what was true a moment ago, before another process changed it.
    #[default]
    Eventual,
    /// It answers from the shared tier alone, if there is one.
    Strong,
}

impl Consistency {
    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Consistency::Eventual => "eventual",
            Consistency::Strong => "strong",
        }
    }
}

impl FromStr for Consistency {
    type Err = Error;

    /// # Errors
    /// `InvalidConfig` for a name that is none, with the choices.
    fn from_str(name: &str) -> Result<Self> {
        let all = [Consistency::Eventual, Consistency::Strong];
        one_of("consistency", name, all, Self::name)
    }
}

/// What is known of a type of cache. It can only be valid: what is out of range is refused when it is
/// set.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheType {
    name: String,
    prefix: String,
    backend: Backend,
    strategy: CacheStrategy,
    consistency: Consistency,
    max_items: usize,
    max_bytes: Option<u64>,
    policy: Strategy,
    invalidates: Vec<String>,
    options: KvOptions,
}

/// What is predefined of a type: its entries, its seconds, its policy and where it is kept.
type Predefined = (&'static str, usize, u64, Strategy, Backend);

/// Every predefined type but `weak_cache`, whose values are not kept: see
/// [`WeakCache`](super::WeakCache).
const PREDEFINED: [Predefined; 13] = [
    ("lru_memory", 1000, 3600, Strategy::Lru, Backend::Memory),
    ("embedding", 1000, 3600, Strategy::Lru, Backend::Auto),
    ("llm_response", 100, 300, Strategy::Lru, Backend::Auto),
    ("ast", 1000, 3600, Strategy::Lru, Backend::Auto),
    ("file_content", 500, 3600, Strategy::Lru, Backend::Auto),
    ("knowledge", 1000, 300, Strategy::Lru, Backend::Auto),
    ("session", 1000, 300, Strategy::Ttl, Backend::Auto),
    ("user_prefs", 1000, 3600, Strategy::Lru, Backend::Auto),
    ("computed", 1000, 7200, Strategy::Lru, Backend::Auto),
    ("model_registry", 500, 1800, Strategy::Lru, Backend::Auto),
    ("workflow", 100, 3600, Strategy::Lru, Backend::Auto),
    ("tool", 200, 3600, Strategy::Lru, Backend::Auto),
    ("general", 1000, 3600, Strategy::Lru, Backend::Auto),
];

/// Other names of predefined types.
const ALIASES: [(&str, &str); 2] = [("chat_history", "session"), ("advanced", "general")];

impl CacheType {
    /// A type of this name, which is also its prefix: 1,000 entries, 3600 seconds, LRU, in every tier.
    ///
    /// # Errors
    /// `InvalidConfig` unless the name has 1 to 50 small letters, digits and underscores.
    pub fn new(name: &str) -> Result<Self> {
        check_name("name", name)?;
        Ok(CacheType {
            name: name.to_owned(),
            prefix: name.to_owned(),
            backend: Backend::Auto,
            strategy: CacheStrategy::CacheAside,
            consistency: Consistency::Eventual,
            max_items: 1000,
            max_bytes: None,
            policy: Strategy::Lru,
            invalidates: Vec::new(),
            options: KvOptions::default(),
        })
    }

    /// The predefined type of this name, or of another one that it has.
    pub fn predefined(name: &str) -> Option<Self> {
        let name = Self::own_name(name);
        let (name, items, ttl, policy, backend) =
            *PREDEFINED.iter().find(|(known, ..)| *known == name)?;
        let ttl = Duration::from_secs(ttl);
        let new = CacheType::new(name).ok()?.max_items(items).ok()?;
        let options = KvOptions::default().ttl(ttl).ok()?;
        Some(new.policy(policy).backend(backend).options(options))
    }

    /// The names of all predefined types.
    pub fn all_predefined() -> impl Iterator<Item = &'static str> {
        PREDEFINED.iter().map(|(name, ..)| *name)
    }

    /// The name by which a type is known: of a name that is another's alias, that one.
    pub fn own_name(name: &str) -> &str {
        let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
        alias.map_or(name, |(_, own)| own)
    }

    /// What sets its keys apart where types lie together.
    ///
    /// # Errors
    /// `InvalidConfig` unless it has 1 to 50 small letters, digits and underscores.
    pub fn prefix(mut self, prefix: &str) -> Result<Self> {
        check_name("prefix", prefix)?;
        prefix.clone_into(&mut self.prefix);
        Ok(self)
    }

    /// Where its values are kept.
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// How its source is read and written, if it has one.
    #[must_use]
    pub fn strategy(mut self, strategy: CacheStrategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// How fresh its answers must be.
    #[must_use]
    pub fn consistency(mut self, consistency: Consistency) -> Self {
        self.consistency = consistency;
        self
    }

    /// The most entries in memory where that is its only tier; a tenth of them, and at least one, in
    /// front of others: 1 to 1,000,000.
    ///
    /// # Errors
    /// `InvalidConfig` if it is out of range.
    pub fn max_items(mut self, items: usize) -> Result<Self> {
        MemoryTierOptions::default().max_items(items)?;
        self.max_items = items;
        Ok(self)
    }

    /// The most bytes in memory, 1 or more; `None` for what the tiers say.
    ///
    /// # Errors
    /// `InvalidConfig` if it is 0.
    pub fn max_bytes(mut self, bytes: Option<u64>) -> Result<Self> {
        if let Some(bytes) = bytes {
            MemoryTierOptions::default().max_bytes(bytes)?;
        }
        self.max_bytes = bytes;
        Ok(self)
    }

    /// Who leaves memory first when it is full.
    #[must_use]
    pub fn policy(mut self, policy: Strategy) -> Self {
        self.policy = policy;
        self
    }

    /// Patterns of keys that depend on each key of this type, and leave its cache whenever a key is set,
    /// deleted, counted or given another lifetime, by itself or among others. `{id}` in a pattern stands
    /// for the key that was written, whatever characters it has, `{type}` for the name of the type; `\\{` is
    /// a brace. The key that was written stays, and what leaves takes nothing else with it. What is deleted
    /// by a pattern, and what is loaded, drops nothing.
    ///
    /// # Errors
    /// `InvalidPattern` for a pattern that is none, has another placeholder, or would be too long with a
    /// long key; `Full` above a thousand.
    pub fn invalidates(mut self, patterns: Vec<String>) -> Result<Self> {
        Dependants::new(&self.name, &patterns)?;
        self.invalidates = patterns;
        Ok(self)
    }

    /// How it keeps its values: whether it is switched on, its lifetime, grace, schema version and all
    /// that concerns loads.
    #[must_use]
    pub fn options(mut self, options: KvOptions) -> Self {
        self.options = options;
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What sets its keys apart.
    pub fn its_prefix(&self) -> &str {
        &self.prefix
    }

    /// Where its values are kept.
    pub fn its_backend(&self) -> Backend {
        self.backend
    }

    /// How its source is read and written.
    pub fn its_strategy(&self) -> CacheStrategy {
        self.strategy
    }

    /// How fresh its answers are.
    pub fn its_consistency(&self) -> Consistency {
        self.consistency
    }

    /// Patterns of keys that a write to it drops.
    pub fn its_invalidates(&self) -> &[String] {
        &self.invalidates
    }

    /// How it keeps its values.
    pub fn its_options(&self) -> &KvOptions {
        &self.options
    }

    /// What a write of a key drops besides, if anything.
    ///
    /// # Errors
    /// None that are left: the patterns were looked at when they were set.
    pub(super) fn dependants(&self) -> Result<Option<Dependants>> {
        let has_any = !self.invalidates.is_empty();
        let dependants = has_any.then(|| Dependants::new(&self.name, &self.invalidates));
        dependants.transpose()
    }

    /// Its share of memory, alone or in front of other tiers.
    ///
    /// # Errors
    /// None that are left: its own limits were looked at when they were set.
    pub(super) fn memory(
        &self,
        defaults: &MemoryTierOptions,
        is_front: bool,
    ) -> Result<MemoryTierOptions> {
        let items = match is_front {
            true => (self.max_items / FRONT).max(1),
            false => self.max_items,
        };
        let memory = defaults.clone().max_items(items)?;
        let memory = memory.eviction_strategy(self.policy);
        match self.max_bytes {
            Some(bytes) => memory.max_bytes(bytes),
            None => Ok(memory),
        }
    }
}

fn check_name(what: &str, name: &str) -> Result<()> {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if (1..=MAX_NAME_CHARS).contains(&name.len()) && name.chars().all(is_allowed) {
        return Ok(());
    }
    let message = format!("the {what} {name:?} of a type of cache is none");
    Err(Error::new(ErrorKind::InvalidConfig, message)
        .with_help("give 1 to 50 small letters, digits and underscores"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predefined_types_have_their_limits_and_lifetimes() {
        let told = |name: &str| {
            let known = CacheType::predefined(name).unwrap();
            (known.max_items, known.options.ttl.as_secs(), known.policy)
        };
        for (name, items, ttl) in [
            ("model_registry", 500, 1800),
            ("workflow", 100, 3600),
            ("tool", 200, 3600),
            ("general", 1000, 3600),
            ("lru_memory", 1000, 3600),
            ("llm_response", 100, 300),
            ("file_content", 500, 3600),
            ("computed", 1000, 7200),
            ("user_prefs", 1000, 3600),
            ("knowledge", 1000, 300),
        ] {
            assert_eq!(told(name), (items, ttl, Strategy::Lru), "{name}");
        }
        assert_eq!(told("session"), (1000, 300, Strategy::Ttl));
        assert_eq!(
            CacheType::predefined("chat_history"),
            CacheType::predefined("session")
        );
        assert_eq!(
            CacheType::predefined("advanced"),
            CacheType::predefined("general")
        );
        assert_eq!(CacheType::predefined("other"), None);
        assert_eq!(CacheType::all_predefined().count(), PREDEFINED.len());
    }

    #[test]
    fn names_of_backends_are_known_and_of_types_are_simple() {
        for backend in Backend::ALL {
            assert_eq!(backend.name().parse::<Backend>().unwrap(), backend);
        }
        assert_eq!("multi_tier".parse::<Backend>().unwrap(), Backend::Tiered);
        assert!("mutli_tier".parse::<Backend>().is_err());
        assert_eq!(
            "strong".parse::<Consistency>().unwrap(),
            Consistency::Strong
        );
        assert!("weak".parse::<Consistency>().is_err());
        for bad in ["", "A", "a b", "a:b", "ü", &"a".repeat(51)] {
            let error = CacheType::new(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{bad:?}");
        }
        assert!(CacheType::new("a").unwrap().max_items(0).is_err());
        assert!(CacheType::new("a").unwrap().max_bytes(Some(0)).is_err());
    }

    #[test]
    fn in_front_of_others_memory_holds_a_tenth_and_at_least_one() {
        let defaults = MemoryTierOptions::default();
        let items = |items, is_front| {
            let known = CacheType::new("a").unwrap().max_items(items).unwrap();
            known.memory(&defaults, is_front).unwrap()
        };
        let of = |items| defaults.clone().max_items(items).unwrap();
        assert_eq!(items(1000, false), of(1000));
        assert_eq!(items(1000, true), of(100));
        assert_eq!(items(5, true), of(1));
    }
}
