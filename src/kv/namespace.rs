//! Namespaces of keys: global, above sessions, above requests, above tools. Each holds keys of its own, and
//! is forgotten alone or with all that is below it.

use std::fmt;

use super::KvCache;
use crate::error::{Error, ErrorKind, Result};
use crate::tier::{Key, KeyPattern, escaped};

/// The name of the namespace above all.
const ROOT: &str = "global";
/// What stands before a key in its namespace.
const KEY: &str = "k";

/// The levels, the widest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Everything.
    Global,
    /// What belongs to one session.
    Session,
    /// What belongs to one request.
    Request,
    /// The results of one tool.
    Tool,
}

impl Level {
    /// Its name, as it stands in keys.
    pub fn name(self) -> &'static str {
        match self {
            Level::Global => ROOT,
            Level::Session => "session",
            Level::Request => "request",
            Level::Tool => "tool",
        }
    }
}

/// What an invalidation reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// The namespace alone.
    Alone,
    /// All namespaces below it, too.
    Below,
}

/// A namespace: the global one, or one below another. Its name is part of its keys, escaped, so that
/// the namespace `a` has nothing of `a:b`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace {
    level: Level,
    /// As it stands before its keys.
    path: String,
}

impl Namespace {
    /// The one above all.
    pub fn global() -> Self {
        Namespace {
            level: Level::Global,
            path: ROOT.to_owned(),
        }
    }

    /// The one of this level and name below this one. Levels may be left out.
    ///
    /// # Errors
    /// `InvalidInput` for a level that is not below this one's, or an empty name.
    pub fn below(&self, level: Level, name: &str) -> Result<Self> {
        if level <= self.level {
            let (below, above) = (level.name(), self.level.name());
            let message = format!("a {below} ({name:?}) is not below a {above} ({self})");
            return Err(Error::new(ErrorKind::InvalidInput, message)
                .with_help("the levels are global, session, request, tool"));
        }
        if name.is_empty() {
            let message = format!("a {} below {self} has no name", level.name());
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(Namespace {
            level,
            path: format!("{}:{}={}", self.path, level.name(), escaped(name)),
        })
    }

    /// Its level.
    pub fn level(&self) -> Level {
        self.level
    }

    /// A key in it.
    ///
    /// # Errors
    /// `InvalidInput` if the text is empty, or the key is too long.
    pub fn key(&self, text: &str) -> Result<Key> {
        if text.is_empty() {
            let message = format!("a key in {self} is empty");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Key::new(&format!("{}:{KEY}={}", self.path, escaped(text)))
    }

    /// The keys that an invalidation reaches.
    ///
    /// # Errors
    /// `InvalidPattern` if its path is too long.
    pub fn keys(&self, reach: Reach) -> Result<KeyPattern> {
        let path = KeyPattern::escape(&self.path);
        KeyPattern::new(&match reach {
            Reach::Alone => format!("{path}:{KEY}=*"),
            Reach::Below => format!("{path}:*"),
        })
    }

    /// The keys of a tool in any namespace below this one.
    ///
    /// # Errors
    /// `InvalidPattern` if its path and the tool's name are too long.
    pub(super) fn keys_of_tool_below(&self, tool: &str) -> Result<KeyPattern> {
        let (path, tool) = (
            KeyPattern::escape(&self.path),
            KeyPattern::escape(&escaped(tool)),
        );
        let level = Level::Tool.name();
        KeyPattern::new(&format!("{path}:*:{level}={tool}:{KEY}=*"))
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

impl KvCache {
    /// Forgets a namespace, alone or with all below it, and returns how many values left.
    ///
    /// # Errors
    /// Those of [`KvCache::delete_matching`].
    pub fn invalidate_namespace(&self, namespace: &Namespace, reach: Reach) -> Result<usize> {
        self.delete_matching(&self.counted(namespace.keys(reach))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_below_those_of_wider_levels_alone() {
        let session = Namespace::global().below(Level::Session, "a:b").unwrap();
        assert_eq!(session.to_string(), "global:session=a%3ab");
        let tool = session.below(Level::Tool, "grep").unwrap();
        assert_eq!(
            tool.key("x=1").unwrap().as_str(),
            "global:session=a%3ab:tool=grep:k=x%3d1"
        );
        assert_eq!(tool.level(), Level::Tool);
        for level in [Level::Global, Level::Session, Level::Request, Level::Tool] {
            assert!(tool.below(level, "x").is_err());
        }
        assert!(session.below(Level::Session, "x").is_err());
        assert!(session.below(Level::Request, "").is_err());
        assert!(session.key("").is_err());
    }
}
