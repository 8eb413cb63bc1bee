//! Patterns of keys, as Redis has them: `*`, `?`, `[a-z]`, `[^a]`, and `\\` before what is meant
//! literally. They match whole keys, character by character.

use std::fmt;
use std::sync::Arc;

use super::Key;
use crate::error::{Error, ErrorKind, Result};

/// The most characters of a pattern.
pub const MAX_PATTERN_CHARS: usize = 1000;

/// A pattern of keys. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPattern {
    text: Arc<str>,
    parts: Arc<[Part]>,
}

/// What one character, or several, must be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(char),
    One,
    Many,
    Class {
        is_denied: bool,
        ranges: Vec<(char, char)>,
    },
}

impl KeyPattern {
    /// The pattern.
    ///
    /// # Errors
    /// `InvalidPattern` if it is empty or longer than [`MAX_PATTERN_CHARS`]. Nothing else is wrong in
    /// Redis' eyes: a `[` without its end goes on to the end of the pattern.
    pub fn new(text: &str) -> Result<Self> {
        let refuse = |what: &str| {
            let shown: String = text.chars().take(40).collect();
            let message = format!("the pattern of keys {shown:?} {what}");
            Err(Error::new(ErrorKind::InvalidPattern, message)
                .with_help("`*` matches every key, `a:*` those that begin with a:"))
        };
        if text.is_empty() {
            return refuse("is empty");
        }
        if text.chars().nth(MAX_PATTERN_CHARS).is_some() {
            return refuse("is longer than 1000 characters");
        }
        let mut parts = Vec::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            parts.push(match c {
                '*' if parts.last() == Some(&Part::Many) => continue,
                '*' => Part::Many,
                '?' => Part::One,
                '[' => class(&mut rest),
                '\\' => Part::Literal(rest.next().unwrap_or('\\')),
                c => Part::Literal(c),
            });
        }
        Ok(KeyPattern {
            text: text.into(),
            parts: parts.into(),
        })
    }

    /// The pattern that matches every key: `*`.
    pub fn all() -> Self {
        KeyPattern {
            text: "*".into(),
            parts: [Part::Many].into(),
        }
    }

    /// A pattern that matches this key alone, whatever characters it has.
    pub fn exactly(key: &Key) -> Self {
        KeyPattern {
            text: Self::escape(key.as_str()).into(),
            parts: key.as_str().chars().map(Part::Literal).collect(),
        }
    }

    /// The text with a `\\` before each character that means something else in a pattern.
    pub fn escape(text: &str) -> String {
        let mut escaped = String::with_capacity(text.len());
        for c in text.chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '\\') {
                escaped.push('\\');
            }
            escaped.push(c);
        }
        escaped
    }

    /// Whether the whole text matches. Takes at most as many steps as both lengths multiplied.
    pub fn matches(&self, text: &str) -> bool {
        let mut parts = &self.parts[..];
        let mut rest = text.chars();
        // After the last star: what stood behind it, and where it was tried last.
        let mut star: Option<(&[Part], std::str::Chars<'_>)> = None;
        loop {
            if let [Part::Many, behind @ ..] = parts {
                parts = behind;
                star = Some((behind, rest.clone()));
                continue;
            }
            let mut after = rest.clone();
            match (parts, after.next()) {
                ([], None) => return true,
                ([part, behind @ ..], Some(c)) if part.allows(c) => {
                    (parts, rest) = (behind, after);
                }
                _ => {
                    let Some((behind, tried)) = &mut star else {
                        return false;
                    };
                    if tried.next().is_none() {
                        return false;
                    }
                    (parts, rest) = (*behind, tried.clone());
                }
            }
        }
    }

    /// What every match begins with; perhaps nothing.
    pub fn prefix(&self) -> String {
        let literals = self.parts.iter().map_while(|part| match part {
            Part::Literal(c) => Some(*c),
            _ => None,
        });
        literals.collect()
    }

    /// The only key that matches, if there is no more than one.
    pub fn only(&self) -> Option<Key> {
        let is_literal = |part: &Part| matches!(part, Part::Literal(_));
        let literal = self.parts.iter().all(is_literal);
        literal.then(|| Key::new(&self.prefix()).ok()).flatten()
    }

    /// The patterns of what may follow this text in a match: those that match `rest`, any of them, exactly
    /// where this one matches the text and `rest`. None if no match begins so.
    pub fn after(&self, text: &str) -> Vec<KeyPattern> {
        // Places in the pattern that are reached, in their order, each once.
        let mut places = vec![0];
        for c in text.chars() {
            let mut next = Vec::new();
            for place in self.with_skipped_stars(&places) {
                match self.parts.get(place) {
                    Some(Part::Many) => next.push(place),
                    Some(part) if part.allows(c) => next.push(place + 1),
                    _ => {}
                }
            }
            next.sort_unstable();
            next.dedup();
            places = next;
        }
        // What is behind a star is reached with it.
        let is_behind_star = |place: usize| {
            let before = place.checked_sub(1);
            let star = before.filter(|at| places.contains(at));
            star.is_some_and(|at| self.parts[at] == Part::Many)
        };
        let rests = places.iter().filter(|place| !is_behind_star(**place));
        let rests = rests.filter(|place| **place < self.parts.len());
        rests.map(|place| Self::of(&self.parts[*place..])).collect()
    }

    /// The same places, and those that are reached from them without a character.
    fn with_skipped_stars(&self, places: &[usize]) -> Vec<usize> {
        let mut all = Vec::with_capacity(places.len() + 1);
        for &place in places {
            all.push(place);
            if self.parts.get(place) == Some(&Part::Many) {
                all.push(place + 1);
            }
        }
        all
    }

    fn of(parts: &[Part]) -> Self {
        let text: String = parts.iter().map(Part::to_string).collect();
        KeyPattern {
            text: text.into(),
            parts: parts.into(),
        }
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Part {
    fn allows(&self, c: char) -> bool {
        match self {
            Part::Literal(literal) => *literal == c,
            Part::One => true,
            Part::Many => false,
            Part::Class { is_denied, ranges } => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *is_denied
            }
        }
    }
}

/// A class, after its `[`. Its ranges may be written in either direction.
fn class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Part {
    let is_denied = rest.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    while let Some(c) = rest.next() {
        let from = match c {
            ']' => break,
            '\\' => rest.next().unwrap_or('\\'),
            c => c,
        };
        let mut ahead = rest.clone();
        let to = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(to)) if c != '\\' => {
                *rest = ahead;
                to
            }
            _ => from,
        };
        ranges.push((from.min(to), from.max(to)));
    }
    Part::Class { is_denied, ranges }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Literal(c) => f.write_str(&KeyPattern::escape(c.encode_utf8(&mut [0; 4]))),
            Part::One => f.write_str("?"),
            Part::Many => f.write_str("*"),
            Part::Class { is_denied, ranges } => {
                f.write_str(if *is_denied { "[^" } else { "[" })?;
                for (from, to) in ranges {
                    // A range can begin with none of these, and may be written in either direction.
                    let is_special = |c: &char| matches!(c, '\\' | ']' | '^');
                    match (is_special(from), is_special(to)) {
                        _ if from == to => write!(f, "\\{from}")?,
                        (false, _) => write!(f, "{from}-{to}")?,
                        (true, false) => write!(f, "{to}-{from}")?,
                        (true, true) => (*from..=*to).try_for_each(|c| write!(f, "\\{c}"))?,
                    }
                }
                f.write_str("]")
            }
        }
    }
}

impl fmt::Display for KeyPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        KeyPattern::new(pattern).unwrap().matches(text)
    }

    #[test]
    fn stars_question_marks_and_classes_match_as_in_redis() {
        for (pattern, text) in [
            ("*", "a"),
            ("a*", "a"),
            ("a:*:c", "a:b:b:c"),
            ("*a*b", "xaxaxb"),
            ("?", "ü"),
            ("[a-c]x", "bx"),
            ("[c-a]x", "bx"),
            ("[^a-c]x", "dx"),
            ("[\\]]", "]"),
            ("[ab", "b"),
            ("a\\*", "a*"),
            ("a\\", "a\\"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a", "ab"),
            ("a:*", "a"),
            ("?", ""),
            ("[a-c]", "d"),
            ("[^a-c]", "b"),
            ("a\\*", "ab"),
            ("*a*b", "xaxaxbc"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn an_escaped_key_matches_itself_alone() {
        for text in ["a*", "a?[b]", "\\", "u:1"] {
            let key = Key::new(text).unwrap();
            let pattern = KeyPattern::new(&KeyPattern::escape(text)).unwrap();
            assert_eq!(pattern, KeyPattern::exactly(&key));
            assert!(pattern.matches(text));
            assert!(!pattern.matches(&format!("{text}x")));
            assert_eq!(pattern.only(), Some(key));
        }
        assert_eq!(KeyPattern::new("a:*").unwrap().only(), None);
        assert_eq!(KeyPattern::new("a\\*b*c").unwrap().prefix(), "a*b");
    }

    #[test]
    fn what_follows_a_text_is_patterns_of_the_rest() {
        let after = |pattern: &str, text: &str| {
            let rests = KeyPattern::new(pattern).unwrap().after(text);
            let texts = rests.iter().map(|rest| rest.as_str().to_owned());
            texts.collect::<Vec<_>>()
        };
        assert_eq!(after("users:u?:*", "users:"), ["u?:*"]);
        assert_eq!(after("*", "users:"), ["*"]);
        assert_eq!(after("us*7", "users:"), ["*7"]);
        assert_eq!(after("other:*", "users:"), [""; 0]);
        assert_eq!(after("users:", "users:"), [""; 0], "no key is empty");
        assert_eq!(after("*:a\\*[x-z]", "b:"), ["*:a\\*[x-z]", "a\\*[x-z]"]);
    }

    proptest::proptest! {
        #[test]
        fn a_rest_matches_where_the_whole_does(
            pattern in "[ab*?\\[\\]\\\\^-]{1,10}", text in "[ab^-]{0,4}", rest in "[ab^\\]-]{1,4}",
        ) {
            let pattern = KeyPattern::new(&pattern).unwrap();
            let whole = pattern.matches(&format!("{text}{rest}"));
            let rests = pattern.after(&text);
            proptest::prop_assert_eq!(rests.iter().any(|one| one.matches(&rest)), whole);
            for one in rests {
                let read = KeyPattern::new(one.as_str()).unwrap();
                proptest::prop_assert_eq!(read.matches(&rest), one.matches(&rest), "{}", one);
            }
        }
    }

    #[test]
    fn many_stars_end() {
        let pattern = "*a".repeat(400);
        assert!(!matches(&pattern, &"a".repeat(250)));
    }

    #[test]
    fn an_empty_pattern_is_refused() {
        for bad in ["", &"a".repeat(1001)] {
            let error = KeyPattern::new(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidPattern);
        }
    }
}
