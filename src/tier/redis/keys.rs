//! What the tier's keys are called on the server. Those of a namespace carry its name in braces, so that
//! they lie on one machine of a cluster, where one transaction can ask for several of them.
//!
//! ```text
//! cardex:{NAMESPACE}:epoch              the epoch: a random number, and the instance it was made on
//! cardex:{NAMESPACE}:v:SCHEMA.EPOCH:KEY a value
//! cardex:{NAMESPACE}:l:SCHEMA.EPOCH:KEY the token of who has a lease
//! cardex:{NAMESPACE}:f:KEY              the fence of the key's last lease
//! ```

use std::fmt::Write;

use super::epoch::Number;
use crate::error::{Error, ErrorKind, Result};
use crate::tier::{Key, KeyPattern};

/// The most characters of a namespace.
const MAX_NAMESPACE: usize = 100;

/// How names are made for one namespace and one schema.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// `cardex:{NAMESPACE}:`
    start: String,
    epoch: String,
    schema: u32,
}

/// What a name of a value or of a lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) schema: u32,
    pub(super) epoch: Number,
    pub(super) key: Key,
}

impl Names {
    pub(super) fn new(namespace: &str, schema: u32) -> Self {
        let start = format!("cardex:{{{namespace}}}:");
        let epoch = format!("{start}epoch");
        Names {
            start,
            epoch,
            schema,
        }
    }

    pub(super) fn epoch(&self) -> &str {
        &self.epoch
    }

    pub(super) fn value(&self, epoch: Number, key: &Key) -> String {
        self.of('v', epoch, key.as_str())
    }

    pub(super) fn lease(&self, epoch: Number, key: &Key) -> String {
        self.of('l', epoch, key.as_str())
    }

    fn of(&self, kind: char, epoch: Number, rest: &str) -> String {
        let Names { start, schema, .. } = self;
        // All at once: names are made for each hit.
        let mut name = String::with_capacity(start.len() + 40 + rest.len());
        // A string takes whatever is written to it.
        _ = write!(name, "{start}{kind}:{schema}.{epoch}:{rest}");
        name
    }

    pub(super) fn fence(&self, key: &Key) -> String {
        format!("{}f:{key}", self.start)
    }

    /// The server's pattern of all values and leases, of every schema and epoch.
    pub(super) fn all(&self) -> String {
        format!("{}[vl]:*", self.start)
    }

    /// The server's pattern of values that may match; its `?` is a byte, so that it decides by what
    /// matches begin with, and no more.
    pub(super) fn matching(&self, epoch: Number, pattern: &KeyPattern) -> String {
        self.matching_of('v', epoch, pattern)
    }

    /// The same, of leases.
    pub(super) fn leases_matching(&self, epoch: Number, pattern: &KeyPattern) -> String {
        self.matching_of('l', epoch, pattern)
    }

    fn matching_of(&self, kind: char, epoch: Number, pattern: &KeyPattern) -> String {
        let prefix = KeyPattern::escape(&pattern.prefix());
        self.of(kind, epoch, &format!("{prefix}*"))
    }

    /// What a name says; `None` of a name that is not of a value or a lease here.
    pub(super) fn parse(&self, name: &str) -> Option<Named> {
        let rest = name.strip_prefix(&self.start)?;
        let rest = rest
            .strip_prefix("v:")
            .or_else(|| rest.strip_prefix("l:"))?;
        let (place, key) = rest.split_once(':')?;
        let (schema, epoch) = place.split_once('.')?;
        Some(Named {
            schema: schema.parse().ok()?,
            epoch: Number::parse(epoch.as_bytes())?,
            key: Key::new(key).ok()?,
        })
    }

    /// The same, of the value or the lease.
    pub(super) fn is_value(&self, name: &str) -> bool {
        let rest = name.strip_prefix(&self.start);
        rest.is_some_and(|rest| rest.starts_with("v:"))
    }

    /// Whether it is of this epoch, and of our schema.
    pub(super) fn is_ours(&self, named: &Named, epoch: Number) -> bool {
        (named.schema, named.epoch) == (self.schema, epoch)
    }
}

/// # Errors
/// `InvalidConfig` unless it has 1 to 100 letters, digits, `_`, `-` and `.`.
pub(super) fn check_namespace(namespace: &str) -> Result<()> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if (1..=MAX_NAMESPACE).contains(&namespace.len()) && namespace.chars().all(is_allowed) {
        return Ok(());
    }
    let shown: String = namespace.chars().take(40).collect();
    let message = format!("the namespace {shown:?} of a Redis tier is not allowed");
    Err(Error::new(ErrorKind::InvalidConfig, message)
        .with_help("give 1 to 100 letters, digits, `_`, `-` and `.`"))
}

#[cfg(test)]
mod tests {
    use super::super::epoch::tests::epoch;
    use super::*;

    #[test]
    fn a_name_says_what_it_was_made_of() {
        let names = Names::new("n.1", 7);
        let (epoch, key) = (epoch(0xabc, 1).number, Key::new("a:{b}:v:1.2:*").unwrap());
        let value = names.value(epoch, &key);
        assert_eq!(value, "cardex:{n.1}:v:7.0000000000000abc:a:{b}:v:1.2:*");
        let lease = names.lease(epoch, &key);
        for name in [&value, &lease] {
            let named = names.parse(name).unwrap();
            assert!(names.is_ours(&named, epoch));
            assert_eq!(named.key, key);
            assert_eq!(names.is_value(name), *name == value);
        }
        for foreign in [
            "cardex:{n}:v:7.0000000000000abc:a",
            "cardex:{n.1}:f:7.0000000000000abc:a",
            "cardex:{n.1}:v:7.abc:a",
            "cardex:{n.1}:v:7.0000000000000abc:",
            "cardex:{n.1}:epoch",
        ] {
            assert_eq!(names.parse(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_namespace_cannot_be_another_ones_beginning() {
        for good in ["a", "a.b-c_1", &"x".repeat(100)] {
            check_namespace(good).unwrap();
        }
        for bad in ["", "a:b", "a}", "a b", "ü", "*", &"x".repeat(101)] {
            let error = check_namespace(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{bad}");
        }
    }
}
