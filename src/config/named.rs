//! Keys by the names that people write: a key's own name, an alias, and those of a family, in which one
//! part of the name is the writer's.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::keys::{Key, Kind, Value, environment_variable};
use super::table::{KEYS, TYPE_KEYS};

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

/// A key by the name that somebody wrote: its own, an alias, or that of a member of a family.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) key: &'static Key,
    pub(super) alias: Option<&'static Alias>,
    /// Which member of the family the key is of: the type of `types.NAME.ttl`.
    pub(super) member: Option<Arc<str>>,
}

/// The family of keys of which each type of cache has its own.
const TYPES: &str = "types";
/// What stands in a key's name for the name of a type.
const MEMBER: &str = "NAME";
/// The most characters of the name of a type.
const MAX_MEMBER_CHARS: usize = 50;

impl From<&'static Key> for Named {
    fn from(key: &'static Key) -> Self {
        Named {
            key,
            alias: None,
            member: None,
        }
    }
}

impl Named {
    pub(super) fn find(name: &str) -> Option<Self> {
        Self::all()
            .find(|named| named.name() == name)
            .or_else(|| Self::of_type(name))
    }

    /// `types.chat.ttl`, by the key `types.NAME.ttl`.
    fn of_type(name: &str) -> Option<Self> {
        let (family, rest) = name.split_once('.')?;
        let (member, last) = rest.split_once('.')?;
        if family != TYPES || !is_member(member) {
            return None;
        }
        let wanted = format!("{TYPES}.{MEMBER}.{last}");
        let key = TYPE_KEYS.iter().find(|key| key.name == wanted)?;
        let member = Some(member.into());
        Some(Named {
            member,
            ..Named::from(key)
        })
    }

    pub(super) fn of_variable(variable: &str) -> Option<Self> {
        Self::all()
            .find(|named| environment_variable(&named.name()) == variable)
            .or_else(|| {
                let rest = variable.strip_prefix("CARDEX_")?;
                Self::of_type(&rest.replace("__", ".").to_ascii_lowercase())
            })
    }

    /// Every name that can be written, but for those in which a part is the writer's.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let own = KEYS.iter().map(Named::from);
        let aliases = ALIASES.iter().filter_map(|alias| {
            let key = KEYS.iter().find(|key| key.name == alias.of)?;
            Some(Named {
                alias: Some(alias),
                ..Named::from(key)
            })
        });
        own.chain(aliases)
    }

    /// Whether keys stand below this name: `tiers` and `tiers.memory`, `types` and `types.chat`.
    pub(super) fn is_section(name: &str) -> bool {
        let is_above = |longer: &str| {
            let rest = longer.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with('.'))
        };
        let is_type = || match name.split_once('.') {
            None => name == TYPES,
            Some((family, member)) => family == TYPES && is_member(member),
        };
        is_type() || Self::all().any(|named| is_above(&named.name()))
    }

    pub(super) fn name(&self) -> Cow<'static, str> {
        match (&self.alias, &self.member) {
            (Some(alias), _) => Cow::Borrowed(alias.name),
            (None, None) => Cow::Borrowed(self.key.name),
            (None, Some(member)) => Cow::Owned(self.key.name.replace(MEMBER, member)),
        }
    }

    /// What its value is, in words.
    pub(super) fn range(&self) -> String {
        match self.alias {
            Some(alias) => alias.reads.range(self.key.kind),
            None => self.key.kind.to_string(),
        }
    }
}

/// Whether this can be the name of a type: small letters, digits and underscores, a letter first.
fn is_member(name: &str) -> bool {
    let is_small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(is_small)
        && name.len() <= MAX_MEMBER_CHARS
}
