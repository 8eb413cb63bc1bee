//! What the tier's keys are called on the server. Those of a namespace carry its name in braces, so that
//! they lie on one machine of a cluster, where one transaction can ask for several of them.
//!
//! ```text
//! cardex:{NAMESPACE}:epoch              the epoch: a random number
//! cardex:{NAMESPACE}:v:SCHEMA.EPOCH:KEY a value
//! cardex:{NAMESPACE}:l:SCHEMA.EPOCH:KEY the token of who has a lease
//! cardex:{NAMESPACE}:f:KEY              the fence of the key's last lease
//! ```

use std::fmt;

use redis::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::tier::{Key, KeyPattern};

/// The most characters of a namespace.
const MAX_NAMESPACE: usize = 100;

/// The number in every name of a value: after a clear it is another one, and all those of before are
/// out of reach, for every process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Epoch(u64);

impl Epoch {
    /// Another one than any before; never 0.
    pub(super) fn random() -> Result<Self> {
        let number = super::random::<8>()?;
        Ok(Epoch(u64::from_le_bytes(number).max(1)))
    }

    /// As a number that [`Epoch::known`] takes.
    pub(super) fn number(self) -> u64 {
        self.0
    }

    /// The epoch of a number; 0 is none.
    pub(super) fn known(number: u64) -> Option<Self> {
        (number != 0).then_some(Epoch(number))
    }

    fn parse(text: &str) -> Option<Self> {
        let number = u64::from_str_radix(text, 16).ok()?;
        let epoch = Epoch::known(number)?;
        (epoch.to_string() == text).then_some(epoch)
    }

    /// What the server holds under the name of the epoch; `None` if that is no epoch.
    pub(super) fn read(value: &Value) -> Option<Self> {
        match value {
            Value::BulkString(bytes) => Epoch::parse(std::str::from_utf8(bytes).ok()?),
            _ => None,
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// How names are made for one namespace and one schema.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// `cardex:{NAMESPACE}:`
    start: String,
    schema: u32,
}

/// What a name of a value or of a lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) schema: u32,
    pub(super) epoch: Epoch,
    pub(super) key: Key,
}

impl Names {
    pub(super) fn new(namespace: &str, schema: u32) -> Self {
        let start = format!("cardex:{{{namespace}}}:");
        Names { start, schema }
    }

    pub(super) fn epoch(&self) -> String {
        format!("{}epoch", self.start)
    }

    pub(super) fn value(&self, epoch: Epoch, key: &Key) -> String {
        format!("{}v:{}.{epoch}:{key}", self.start, self.schema)
    }

    pub(super) fn lease(&self, epoch: Epoch, key: &Key) -> String {
        format!("{}l:{}.{epoch}:{key}", self.start, self.schema)
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
    pub(super) fn matching(&self, epoch: Epoch, pattern: &KeyPattern) -> String {
        self.matching_of('v', epoch, pattern)
    }

    /// The same, of leases.
    pub(super) fn leases_matching(&self, epoch: Epoch, pattern: &KeyPattern) -> String {
        self.matching_of('l', epoch, pattern)
    }

    fn matching_of(&self, kind: char, epoch: Epoch, pattern: &KeyPattern) -> String {
        let prefix = KeyPattern::escape(&pattern.prefix());
        format!("{}{kind}:{}.{epoch}:{prefix}*", self.start, self.schema)
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
            epoch: Epoch::parse(epoch)?,
            key: Key::new(key).ok()?,
        })
    }

    /// The same, of the value or the lease.
    pub(super) fn is_value(&self, name: &str) -> bool {
        let rest = name.strip_prefix(&self.start);
        rest.is_some_and(|rest| rest.starts_with("v:"))
    }

    /// Whether it is of this epoch, and of our schema.
    pub(super) fn is_ours(&self, named: &Named, epoch: Epoch) -> bool {
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
    use super::*;

    #[test]
    fn a_name_says_what_it_was_made_of() {
        let names = Names::new("n.1", 7);
        let (epoch, key) = (Epoch(0xabc), Key::new("a:{b}:v:1.2:*").unwrap());
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
    fn what_is_no_epoch_is_none() {
        let read = |text: &str| Epoch::read(&Value::BulkString(text.into()));
        assert_eq!(read("0000000000000abc"), Some(Epoch(0xabc)));
        for bad in [
            "",
            "abc",
            "0000000000000000",
            "0000000000000ABC",
            "+000000000000abc",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(Epoch::read(&Value::Nil), None);
        assert!(Epoch::random().unwrap() != Epoch::random().unwrap());
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
