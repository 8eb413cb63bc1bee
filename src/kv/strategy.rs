//! Strategies: who reads the source of a cache, and when it is written.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::suggest;

/// Who reads the source of a cache, and when it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CacheStrategy {
    /// What is missing is read from the source when it is asked for; a write goes to the source, and the
    /// cache forgets the key.
    #[default]
    CacheAside,
    /// The same: the cache reads by itself.
    ReadThrough,
    /// A write goes to the source first, and then into the cache.
    WriteThrough,
    /// A write goes into a durable journal and the cache, and later to the source.
    WriteBehind,
    /// As read-through; and what is asked for near its end is read anew in the background.
    RefreshAhead,
}

impl CacheStrategy {
    /// All of them.
    pub const ALL: [CacheStrategy; 5] = [
        CacheStrategy::CacheAside,
        CacheStrategy::ReadThrough,
        CacheStrategy::WriteThrough,
        CacheStrategy::WriteBehind,
        CacheStrategy::RefreshAhead,
    ];

    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            CacheStrategy::CacheAside => "cache_aside",
            CacheStrategy::ReadThrough => "read_through",
            CacheStrategy::WriteThrough => "write_through",
            CacheStrategy::WriteBehind => "write_behind",
            CacheStrategy::RefreshAhead => "refresh_ahead",
        }
    }
}

impl fmt::Display for CacheStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for CacheStrategy {
    type Err = Error;

    /// # Errors
    /// `InvalidConfig` for a name that is none, with the choices.
    fn from_str(name: &str) -> Result<Self> {
        one_of("strategy", name, Self::ALL, Self::name)
    }
}

/// The choice of this name.
///
/// # Errors
/// `InvalidConfig` naming what is chosen, the name and the choices.
pub(super) fn one_of<C: Copy, const N: usize>(
    what: &str,
    name: &str,
    choices: [C; N],
    name_of: fn(C) -> &'static str,
) -> Result<C> {
    if let Some(choice) = choices.into_iter().find(|choice| name_of(*choice) == name) {
        return Ok(choice);
    }
    let names = choices.map(name_of);
    let help = match suggest::nearest(name, names) {
        Some(near) => format!("did you mean {near:?}? Choices: {}", names.join(", ")),
        None => format!("choices: {}", names.join(", ")),
    };
    let message = format!("{name:?} is no {what}");
    Err(Error::new(ErrorKind::InvalidConfig, message).with_help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strategy_is_known_by_its_name() {
        for strategy in CacheStrategy::ALL {
            assert_eq!(strategy.name().parse::<CacheStrategy>().unwrap(), strategy);
        }
        let error = "write_trough".parse::<CacheStrategy>().unwrap_err();
        assert_eq!(error.to_string(), r#""write_trough" is no strategy"#);
        assert!(error.help().unwrap().contains("write_through"));
    }
}
