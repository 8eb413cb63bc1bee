//! Messages as they travel: JSON with a version, bounded, and checked before anything is believed.

use serde::{Deserialize, Serialize};

use super::peers::{Head, Kind};
use crate::bus::event::{Invalidation, MAX_SCOPES, Origin, Reach, What};
use crate::cache::Scope;
use crate::error::{Error, ErrorKind, Result};
use crate::metadata::FilePath;
use crate::tier::KeyPattern;

/// The version of the format. Of another one, only that it was sent is known, by the registry.
const VERSION: u32 = 1;
/// The most events of a message.
pub(super) const MAX_EVENTS: usize = 64;
/// The longest message. Events are told with fewer details before one is longer.
const MAX_BYTES: usize = 256 << 10;
/// The longest name of a node or a cache, and the longest cause, in bytes.
const MAX_TEXT: usize = 1000;

#[derive(Serialize, Deserialize)]
struct Message {
    v: u32,
    sender: String,
    incarnation: u64,
    number: u64,
    kind: Word,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    events: Vec<Event>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Invalidation,
    Heartbeat,
    Bye,
}

#[derive(Serialize, Deserialize)]
struct Event {
    #[serde(flatten)]
    what: Told,
    cause: String,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "lowercase")]
enum Told {
    Files {
        files: Vec<Files>,
    },
    Keys {
        cache: Option<String>,
        pattern: String,
        reach: Reach,
    },
    Revalidate {
        cache: Option<String>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Files {
    All,
    Path(String),
    Prefix(String),
    Pattern(String),
}

/// The message as text.
pub(super) fn encode(head: &Head, events: &[Invalidation]) -> Result<String> {
    let write = |widen: &dyn Fn(&What) -> What| {
        let events = events.iter().map(|event| Event {
            what: told(&widen(&event.what)),
            cause: cut(&event.cause),
        });
        let message = Message {
            v: VERSION,
            sender: head.sender.clone(),
            incarnation: head.incarnation,
            number: head.number,
            kind: word(head.kind),
            events: events.collect(),
        };
        serde_json::to_string(&message).map_err(|cause| {
            Error::new(ErrorKind::Internal, "a message cannot be written").because(cause)
        })
    };
    let text = write(&What::clone)?;
    match text.len() <= MAX_BYTES {
        true => Ok(text),
        false => write(&What::all_of_its_scope),
    }
}

/// What a message says.
///
/// # Errors
/// `InvalidInput` for what is no message of this version: nothing of it is to be believed.
pub(super) fn decode(bytes: &[u8]) -> Result<(Head, Vec<Invalidation>)> {
    if bytes.len() > MAX_BYTES {
        return Err(refused("is too long"));
    }
    let message: Message =
        serde_json::from_slice(bytes).map_err(|cause| refused("cannot be read").because(cause))?;
    if message.v != VERSION {
        return Err(refused("is of another version"));
    }
    let is_name = |text: &str| (1..=MAX_TEXT).contains(&text.len());
    if !is_name(&message.sender) || message.events.len() > MAX_EVENTS {
        return Err(refused("has no sender, or too many events"));
    }
    let head = Head {
        sender: message.sender,
        incarnation: message.incarnation,
        number: message.number,
        kind: kind(message.kind),
    };
    let events = message.events.into_iter().map(|event| {
        let origin = Origin::Redis {
            sender: Some(head.sender.clone()),
        };
        Ok(Invalidation::of(
            heard(event.what)?,
            origin,
            cut(&event.cause),
        ))
    });
    let events = events.collect::<Result<_>>()?;
    Ok((head, events))
}

fn told(what: &What) -> Told {
    match what {
        What::Files(scopes) => Told::Files {
            files: scopes.iter().map(files).collect(),
        },
        What::Keys {
            cache,
            pattern,
            reach,
        } => Told::Keys {
            cache: cache.clone(),
            pattern: pattern.as_str().to_owned(),
            reach: *reach,
        },
        What::Revalidate { cache } => Told::Revalidate {
            cache: cache.clone(),
        },
    }
}

fn heard(told: Told) -> Result<What> {
    Ok(match told {
        Told::Files { files } if files.len() > MAX_SCOPES => {
            return Err(refused("names too many files"));
        }
        Told::Files { files } => What::Files(files.into_iter().map(scope).collect::<Result<_>>()?),
        Told::Keys {
            cache,
            pattern,
            reach,
        } => What::Keys {
            cache,
            pattern: KeyPattern::new(&pattern)?,
            reach,
        },
        Told::Revalidate { cache } => What::Revalidate { cache },
    })
}

fn files(scope: &Scope) -> Files {
    match scope {
        Scope::All => Files::All,
        Scope::Path(path) => Files::Path(path.as_str().to_owned()),
        Scope::Prefix(prefix) => Files::Prefix(prefix.clone()),
        Scope::Pattern(glob) => Files::Pattern(glob.clone()),
    }
}

fn scope(files: Files) -> Result<Scope> {
    let scope = match files {
        Files::All => Scope::All,
        Files::Path(path) => Scope::Path(FilePath::new(&path)?),
        Files::Prefix(prefix) => Scope::Prefix(prefix),
        Files::Pattern(glob) => Scope::Pattern(glob),
    };
    scope.matcher()?;
    Ok(scope)
}

fn word(kind: Kind) -> Word {
    match kind {
        Kind::Invalidation => Word::Invalidation,
        Kind::Heartbeat => Word::Heartbeat,
        Kind::Bye => Word::Bye,
    }
}

fn kind(word: Word) -> Kind {
    match word {
        Word::Invalidation => Kind::Invalidation,
        Word::Heartbeat => Kind::Heartbeat,
        Word::Bye => Kind::Bye,
    }
}

fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_TEXT.min(text.len()));
    text[..end].to_owned()
}

fn refused(what: &str) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        format!("a message of a node {what}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            sender: "a".to_owned(),
            incarnation: 7,
            number: 3,
            kind: Kind::Invalidation,
        }
    }

    fn events() -> Vec<Invalidation> {
        let scopes = vec![
            Scope::All,
            Scope::Path(FilePath::new("src/a.rs").unwrap()),
            Scope::Prefix("src".to_owned()),
            Scope::Pattern("**/*.rs".to_owned()),
        ];
        let keys = KeyPattern::new("u:[a-z]*").unwrap();
        let mut copies = Invalidation::keys("users", keys.clone(), "a rename");
        copies.what = What::Keys {
            cache: None,
            pattern: keys.clone(),
            reach: Reach::Copies,
        };
        vec![
            Invalidation::files(scopes, "a commit"),
            Invalidation::keys("users", keys, "a rename"),
            copies,
            Invalidation::of(What::Revalidate { cache: None }, Origin::Api, "a doubt"),
        ]
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let text = encode(&head(), &events()).unwrap();
        let (read, told) = decode(text.as_bytes()).unwrap();
        assert_eq!(read, head());
        let whats = |events: &[Invalidation]| {
            let whats = events
                .iter()
                .map(|event| (event.what.clone(), event.cause.clone()));
            whats.collect::<Vec<_>>()
        };
        assert_eq!(whats(&told), whats(&events()));
        let sender = Some("a".to_owned());
        assert!(told.iter().all(|event| event.origin
            == Origin::Redis {
                sender: sender.clone()
            }));
    }

    #[test]
    fn a_message_that_would_be_too_long_is_told_with_fewer_details() {
        let path = |n: usize| Scope::Prefix(format!("{n}/{}", "x".repeat(4000)));
        let event = Invalidation::files((0..64).map(path).collect(), "a commit");
        let text = encode(&head(), &vec![event; 64]).unwrap();
        let (_, told) = decode(text.as_bytes()).unwrap();
        assert_eq!(told[0].what, What::Files(vec![Scope::All]));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let good = encode(&head(), &events()).unwrap();
        decode(good.as_bytes()).unwrap();
        for (from, to) in [
            (r#""v":1"#, r#""v":2"#),
            (r#""sender":"a""#, r#""sender":"""#),
            ("u:[a-z]*", ""),
            ("src/a.rs", "../a.rs"),
            (r#""reach":"copies""#, r#""reach":"nowhere""#),
            ("invalidation", "gossip"),
        ] {
            let bad = good.replace(from, to);
            assert_ne!(bad, good, "{from}");
            assert!(decode(bad.as_bytes()).is_err(), "{from} {to}");
        }
        for bad in [&b"users:*"[..], b"", &vec![b' '; MAX_BYTES + 1], b"\xff"] {
            let error = decode(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
    }
}
