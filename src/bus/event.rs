//! `Invalidation`: what is no longer true, who says so, and why. One type for all who tell and all who
//! listen.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cache::Scope;
use crate::position::Position;
use crate::tier::KeyPattern;

/// The most scopes that one event names.
pub const MAX_SCOPES: usize = 64;

/// Something is no longer true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidation {
    /// What.
    pub what: What,
    /// Who says so.
    pub origin: Origin,
    /// Why, in a few words, the same for the same reason: they are counted.
    pub cause: String,
    /// Up to which position of the database's log this is known, where it comes from there.
    pub position: Option<Position>,
}

/// What is no longer true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// What was made from these files.
    Files(Vec<Scope>),
    /// The values of keys.
    Keys {
        /// The cache; `None` for all, and then the pattern is one of full keys: see [`full_key`].
        cache: Option<String>,
        /// Which keys.
        pattern: KeyPattern,
        /// Where they are.
        reach: Reach,
    },
    /// Nobody knows what: a message may have been lost. Copies of what processes share leave memory, and
    /// are read again from there.
    Revalidate {
        /// The cache; `None` for all.
        cache: Option<String>,
    },
}

/// Where values are that are no longer true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// In copies: the tier that processes share has the change already.
    Copies,
    /// Everywhere: nobody has changed anything yet.
    Everywhere,
}

/// Who says that something is no longer true.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The database's change log.
    Sync,
    /// The file system.
    Watch,
    /// Another process.
    Redis {
        /// Its name; `None` for a program that is not one of ours, or if it is a silence that speaks.
        sender: Option<String>,
    },
    /// A caller in this process.
    Api,
}

impl Invalidation {
    /// The values of the keys of a cache that match, wherever they are, on a caller's word.
    pub fn keys(cache: impl Into<String>, pattern: KeyPattern, cause: impl Into<String>) -> Self {
        let cache = Some(cache.into());
        let reach = Reach::Everywhere;
        Self::of(
            What::Keys {
                cache,
                pattern,
                reach,
            },
            Origin::Api,
            cause,
        )
    }

    /// What was made from these files, on a caller's word.
    pub fn files(scopes: Vec<Scope>, cause: impl Into<String>) -> Self {
        Self::of(What::Files(scopes), Origin::Api, cause)
    }

    pub(crate) fn of(what: What, origin: Origin, cause: impl Into<String>) -> Self {
        Invalidation {
            what,
            origin,
            cause: cause.into(),
            position: None,
        }
    }
}

/// The full key of a cache's key, which patterns without a cache are about: `NAME:KEY`.
pub fn full_key(cache: &str, key: &str) -> String {
    format!("{cache}:{key}")
}

impl What {
    /// The patterns over the keys of this cache; none if it is about others.
    pub(super) fn patterns_of(&self, name: &str) -> Vec<KeyPattern> {
        match self {
            What::Keys {
                cache: Some(cache),
                pattern,
                ..
            } if cache == name => vec![pattern.clone()],
            What::Keys {
                cache: None,
                pattern,
                ..
            } => pattern.after(&full_key(name, "")),
            _ => Vec::new(),
        }
    }

    /// Whether values are to leave tiers that others have, too.
    pub(super) fn is_everywhere(&self) -> bool {
        matches!(
            self,
            What::Keys {
                reach: Reach::Everywhere,
                ..
            }
        )
    }

    /// The same of everything in its scope: of all files, of all keys of its cache.
    pub(super) fn all_of_its_scope(&self) -> What {
        match self {
            What::Files(_) => What::Files(vec![Scope::All]),
            What::Keys { cache, reach, .. } => What::Keys {
                cache: cache.clone(),
                pattern: KeyPattern::all(),
                reach: *reach,
            },
            What::Revalidate { cache } => What::Revalidate {
                cache: cache.clone(),
            },
        }
    }

    /// The same of everything of its kind: of all caches.
    pub(super) fn all_of_its_kind(&self) -> What {
        match self.all_of_its_scope() {
            What::Files(all) => What::Files(all),
            What::Keys { pattern, reach, .. } => What::Keys {
                cache: None,
                pattern,
                reach,
            },
            What::Revalidate { .. } => What::Revalidate { cache: None },
        }
    }

    /// A text that is the same for equal ones, and for no others.
    pub(super) fn identity(&self) -> String {
        format!("{self:?}")
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Files(scopes) => match &scopes[..] {
                [Scope::All] => f.write_str("all files"),
                [Scope::Path(path)] => write!(f, "{path}"),
                [Scope::Prefix(prefix)] => write!(f, "{prefix}/"),
                [Scope::Pattern(glob)] => f.write_str(glob),
                scopes => write!(f, "{} files", scopes.len()),
            },
            What::Keys {
                cache: Some(cache),
                pattern,
                ..
            } => write!(f, "{cache}: {pattern}"),
            What::Keys { pattern, .. } => write!(f, "{pattern}"),
            What::Revalidate { cache: Some(cache) } => write!(f, "copies in {cache}"),
            What::Revalidate { cache: None } => f.write_str("all copies"),
        }
    }
}

impl Origin {
    /// The names of all.
    pub const NAMES: [&'static str; 4] = ["sync", "watch", "redis", "api"];

    /// Its name, in lower case.
    pub fn name(&self) -> &'static str {
        match self {
            Origin::Sync => "sync",
            Origin::Watch => "watch",
            Origin::Redis { .. } => "redis",
            Origin::Api => "api",
        }
    }
}
