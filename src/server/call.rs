//! `Call`: what a request asks of its route, its parameters decoded and checked against the route's
//! table. A parameter that is unknown, malformed or told twice is refused: it never widens an answer.

use std::ops::RangeInclusive;
use std::sync::Weak;
use std::time::Duration;

use axum::body::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::problem::Problem;
use super::table::{Parameter, Place, Route};
use crate::error::{Error, ErrorKind};
use crate::freshness::Freshness;
use crate::position::Position;
use crate::{suggest, units};

/// A request of a route.
#[derive(Clone, Debug, Default)]
pub(super) struct Call {
    values: Vec<(&'static str, String)>,
    /// The body; empty where the route takes none.
    pub(super) body: Bytes,
    /// The forms of answers that the client takes, as it says; empty where it does not.
    pub(super) accept: String,
    /// Gone as soon as nobody waits for the answer any more.
    pub(super) asker: Weak<()>,
}

impl Call {
    /// The parameters of a request to this route, from its undecoded path and query.
    pub(super) fn parse(route: &Route, path: &str, query: &str) -> Result<Self, Problem> {
        let mut call = Call::default();
        for (name, raw) in placeholders(route.path, path) {
            let value = decode(raw, "path")?;
            if let Some(parameter) = route.parameter(name) {
                call.values.push((parameter.name, value));
            }
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode_form(name)?;
            let known = route.parameter(&name);
            let parameter = known
                .filter(|parameter| parameter.place == Place::Query)
                .ok_or_else(|| unknown(route, &name))?;
            if !parameter.repeats && call.text(parameter.name).is_some() {
                let detail = format!("the parameter `{name}` stands twice");
                return Err(Problem::invalid(detail).with_help("say it once"));
            }
            call.values.push((parameter.name, decode_form(value)?));
        }
        let missing =
            |parameter: &&Parameter| parameter.is_required && call.text(parameter.name).is_none();
        match route.parameters.iter().find(missing) {
            Some(Parameter { name, doc, .. }) => {
                let detail = format!("the parameter `{name}` is missing");
                Err(Problem::invalid(detail).with_help(*doc))
            }
            None => Ok(call),
        }
    }

    /// Refuses to go on where nobody waits for the answer any more: the client has gone, or was told
    /// that it took too long. Work that takes long looks at it between its pieces.
    pub(super) fn assert_wanted(&self) -> Result<(), Error> {
        match self.asker.strong_count() {
            0 => Err(Error::new(
                ErrorKind::Cancelled,
                "nobody waits for this answer any more",
            )),
            _ => Ok(()),
        }
    }

    /// The value of a parameter; the first, if it may stand several times.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of a parameter, in their order.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let mine = self.values.iter().filter(move |(own, _)| *own == name);
        mine.map(|(_, value)| value.as_str())
    }

    /// Whether a switch is on: `true`, or named without a value.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.text(name) {
            None | Some("false") => Ok(false),
            Some("true" | "") => Ok(true),
            Some(value) => Err(bad(name, value, "neither `true` nor `false`")),
        }
    }

    /// A whole number in a range.
    pub(super) fn count(
        &self,
        name: &str,
        default: usize,
        range: RangeInclusive<usize>,
    ) -> Result<usize, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(default.min(*range.end()));
        };
        // `+1` is read as a number elsewhere.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits);
        number
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                let (least, most) = (range.start(), range.end());
                bad(
                    name,
                    text,
                    &format!("no whole number from {least} to {most}"),
                )
            })
    }

    /// A duration of at most `most`, with its unit; nothing if it is not given.
    pub(super) fn duration(&self, name: &str, most: Duration) -> Result<Duration, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(Duration::ZERO);
        };
        let time = units::parse_duration(text).map_err(|reason| {
            Problem::invalid(format!("the parameter `{name}` = `{text}` {reason}"))
        })?;
        match time <= most {
            true => Ok(time),
            false => {
                let most = units::format_duration(most);
                Err(bad(name, text, &format!("longer than {most}")))
            }
        }
    }

    /// `start`, or a position.
    pub(super) fn position(&self, name: &str) -> Result<Option<Position>, Error> {
        match self.text(name) {
            None => Ok(None),
            Some("start") => Ok(Some(Position::default())),
            Some(text) => text.parse().map(Some),
        }
    }

    /// `cached`, `latest`, `maxAge=DURATION` or `atLeast=POSITION`.
    pub(super) fn freshness(&self) -> Result<Freshness, Problem> {
        let text = self.text("freshness").unwrap_or("cached");
        match text.split_once('=') {
            None if text == "cached" => Ok(Freshness::Cached),
            None if text == "latest" => Ok(Freshness::Latest),
            Some(("maxAge", age)) => {
                let age = units::parse_duration(age).map_err(|reason| {
                    Problem::invalid(format!("the parameter `freshness` = `{text}` {reason}"))
                })?;
                Ok(Freshness::MaxAge(age))
            }
            Some(("atLeast", position)) => Ok(Freshness::AtLeast(position.parse()?)),
            _ => {
                let known = "neither `cached`, `latest`, `maxAge=500ms` nor `atLeast=POSITION`";
                Err(bad("freshness", text, known))
            }
        }
    }

    /// The body as JSON; an empty one is `{}`.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let body: &[u8] = match self.body.is_empty() {
            true => b"{}",
            false => &self.body,
        };
        // A list of values would pass for an object of its fields.
        let object = serde_json::from_slice::<Map<String, Value>>(body);
        let value = object.and_then(|object| serde_json::from_value(object.into()));
        value.map_err(|cause| {
            Problem::invalid(format!("the body is not what this route takes: {cause}"))
        })
    }
}

fn bad(name: &str, value: &str, what: &str) -> Problem {
    Problem::invalid(format!("the parameter `{name}` = `{value}` is {what}"))
}

fn unknown(route: &Route, name: &str) -> Problem {
    let known = route.parameters.iter();
    let known = known.filter(|parameter| parameter.place == Place::Query);
    let known: Vec<&str> = known.map(|parameter| parameter.name).collect();
    let help = match suggest::nearest(name, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if known.is_empty() => "this route takes no parameters".to_owned(),
        None => format!("the parameters are {}", known.join(", ")),
    };
    Problem::invalid(format!("there is no parameter `{name}` here")).with_help(help)
}

/// What stands in a path for each placeholder of a route: `{name}` is a part of it, `{*name}` the rest.
fn placeholders<'a>(route: &'a str, path: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut found = Vec::new();
    let (mut route, mut path) = (route, path);
    loop {
        let (part, route_rest) = route.split_once('/').unwrap_or((route, ""));
        if let Some(name) = part.strip_prefix("{*") {
            found.push((name.trim_end_matches('}'), path));
            return found;
        }
        let (value, path_rest) = path.split_once('/').unwrap_or((path, ""));
        if let Some(name) = part.strip_prefix('{') {
            found.push((name.trim_end_matches('}'), value));
        }
        if route_rest.is_empty() {
            return found;
        }
        (route, path) = (route_rest, path_rest);
    }
}

/// A part of a query: `+` is a blank there.
fn decode_form(text: &str) -> Result<String, Problem> {
    match text.contains('+') {
        true => decode(&text.replace('+', " "), "query"),
        false => decode(text, "query"),
    }
}

/// Replaces each `%XX` by its byte. What is no such escape, or no UTF-8 in the end, is refused.
fn decode(text: &str, what: &str) -> Result<String, Problem> {
    let bad = |why| {
        let detail = format!("the {what} part `{text}` {why}");
        Problem::invalid(detail).with_help("write a byte as % and two hexadecimal digits, of UTF-8")
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |at: usize| {
            after
                .get(at)
                .and_then(|digit| (*digit as char).to_digit(16))
        };
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err(bad("has a % without two hexadecimal digits"));
        };
        bytes.push((high << 4 | low) as u8);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| bad("is no UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_and_whatever_else_is_refused() {
        let good = |text: &str| decode(text, "path").unwrap();
        assert_eq!(good("a%20b/%E2%82%AC"), "a b/€");
        assert_eq!(good("a+b"), "a+b");
        assert_eq!(decode_form("a+b%2B").unwrap(), "a b+");
        for bad in ["%", "%4", "%zz", "%+1", "%ff", "%E2%82", "a%"] {
            assert!(decode(bad, "path").is_err(), "{bad}");
        }
    }

    #[test]
    fn placeholders_are_parts_of_the_path_or_its_rest() {
        let of = placeholders;
        assert_eq!(of("/a/{n}/b", "/a/x%2F/b"), [("n", "x%2F")]);
        assert_eq!(of("/f/{*p}", "/f/a/b.rs"), [("p", "a/b.rs")]);
        assert_eq!(of("/f", "/f"), []);
    }
}
