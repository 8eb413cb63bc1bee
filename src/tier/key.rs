//! Keys: short texts without white space. Several parts make one key in a way that no other parts do.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

/// The most characters of a key; so it has at most 1000 bytes.
pub const MAX_KEY_CHARS: usize = 250;

/// What stands between the parts of a key.
const SEPARATOR: char = ':';

/// A key: 1 to 250 characters, none of them white space or a control character. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

impl Key {
    /// This text as a key, as it is.
    ///
    /// # Errors
    /// `InvalidInput` if it is empty, too long, or holds white space or a control character.
    pub fn new(text: &str) -> Result<Self> {
        let refuse = |what: &str, help: &str| {
            let shown: String = text.chars().take(40).collect();
            let message = format!("the key {shown:?} {what}");
            Err(Error::new(ErrorKind::InvalidInput, message).with_help(help))
        };
        if text.is_empty() {
            return refuse("is empty", "give 1 to 250 characters");
        }
        if text.chars().any(is_forbidden) {
            let help = "make the key of parts, which are escaped";
            return refuse("holds white space or a control character", help);
        }
        if text.chars().nth(MAX_KEY_CHARS).is_some() {
            let help = "give 1 to 250 characters, for example a digest of the rest";
            return refuse("is longer than 250 characters", help);
        }
        Ok(Key(text.into()))
    }

    /// A key of parts, the namespaces first: `a`, `b` is `a:b`. In a part, `:`, `%`, white space and
    /// control characters become `%` and two hexadecimal digits a byte, so that other parts are another
    /// key.
    ///
    /// # Errors
    /// `InvalidInput` if there is no part, an empty one, or the key is too long.
    pub fn from_parts<'p>(parts: impl IntoIterator<Item = &'p str>) -> Result<Self> {
        let mut text = String::new();
        for (at, part) in parts.into_iter().enumerate() {
            if part.is_empty() {
                let message = format!("part {at} of the key is empty (after {text:?})");
                return Err(Error::new(ErrorKind::InvalidInput, message)
                    .with_help("leave the part out, or give it a name"));
            }
            if at > 0 {
                text.push(SEPARATOR);
            }
            part.chars().for_each(|c| escape(c, &mut text));
        }
        Key::new(&text)
    }

    /// A key of parts, and of named parts in the order of their names: `a` and `b` = `1` is `a:b=1`. In
    /// names and parts `=` is escaped as well, so that other parts, or other names, are another key.
    ///
    /// # Errors
    /// `InvalidInput` if there is neither, a part or a name is empty, a name comes twice, or the key is
    /// too long. A named part may be empty.
    pub fn from_named_parts(parts: &[&str], named: &[(&str, &str)]) -> Result<Self> {
        let mut named = named.to_vec();
        named.sort_unstable();
        if let Some(twice) = named.windows(2).find(|two| two[0].0 == two[1].0) {
            let message = format!("the part {:?} of the key comes twice", twice[0].0);
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        if parts.iter().any(|part| part.is_empty()) || named.iter().any(|named| named.0.is_empty())
        {
            let message = format!("a part of the key is empty, or has an empty name: {parts:?}");
            return Err(Error::new(ErrorKind::InvalidInput, message)
                .with_help("leave the part out, or give it a name"));
        }
        let parts = parts.iter().map(|part| escaped(part));
        let named = named
            .iter()
            .map(|(name, part)| format!("{}={}", escaped(name), escaped(part)));
        Key::new(&parts.chain(named).collect::<Vec<_>>().join(":"))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_forbidden(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}

/// A part as it stands in a key whose parts have names: as in [`Key::from_parts`], and without `=`.
pub(crate) fn escaped(part: &str) -> String {
    let mut text = String::with_capacity(part.len());
    for c in part.chars() {
        match c {
            '=' => text.push_str("%3d"),
            c => escape(c, &mut text),
        }
    }
    text
}

fn escape(c: char, text: &mut String) {
    if c != SEPARATOR && c != '%' && !is_forbidden(c) {
        return text.push(c);
    }
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        text.push_str(&format!("%{byte:02x}"));
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_has_1_to_250_characters_and_no_white_space_or_control() {
        for good in ["a", "a:b", "%", "ü", &"ü".repeat(250)] {
            assert_eq!(Key::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            " ",
            "a b",
            "a\n",
            "\u{0}",
            "\u{85}",
            "\u{2003}",
            &"ü".repeat(251),
        ] {
            assert_eq!(
                Key::new(bad).unwrap_err().kind(),
                ErrorKind::InvalidInput,
                "{bad:?}"
            );
        }
        let error = Key::new("a b").unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"the key "a b" holds white space or a control character"#
        );
    }

    #[test]
    fn parts_are_joined_and_escaped() {
        let key = Key::from_parts(["tool", "a:b", "50% of\tü"]).unwrap();
        assert_eq!(key.as_str(), "tool:a%3ab:50%25%20of%09ü");
        for bad in [vec![], vec![""], vec!["a", ""], vec!["a"; 200]] {
            let error = Key::from_parts(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn named_parts_come_in_the_order_of_their_names() {
        let key = |parts: &[&str], named: &[(&str, &str)]| {
            Key::from_named_parts(parts, named).map(|key| key.to_string())
        };
        let sorted = key(&["t"], &[("b", "2"), ("a", "")]).unwrap();
        assert_eq!(sorted, "t:a=:b=2");
        assert_eq!(key(&["t"], &[("a", ""), ("b", "2")]).unwrap(), sorted);
        assert_eq!(key(&["a=1"], &[]).unwrap(), "a%3d1");
        assert_eq!(key(&[], &[("a", "b=c:d")]).unwrap(), "a=b%3dc%3ad");
        for (parts, named) in [
            (&[][..], &[][..]),
            (&[""], &[]),
            (&[], &[("", "a")]),
            (&[], &[("a", "1"), ("a", "2")]),
        ] {
            let error = key(parts, named).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{parts:?} {named:?}");
        }
    }

    fn parts() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec("[a:% 3]{1,4}", 1..5)
    }

    proptest! {
        #[test]
        fn other_parts_are_another_key(one in parts(), other in parts()) {
            let key = |parts: &[String]| Key::from_parts(parts.iter().map(String::as_str)).unwrap();
            prop_assert_eq!(key(&one) == key(&other), one == other);
        }
    }
}
