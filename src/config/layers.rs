//! Reading the layers of a configuration: files, environment, command line. Each yields settings,
//! a raw value with its origin; what they mean is decided by the table of keys.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Key, Value, environment_variable};
use super::named::Named;
use super::table::{KEYS, TYPE_KEYS};
use crate::error::{Error, ErrorKind, Result};
use crate::redact::redact;

/// The largest configuration file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The user's own file.
    UserFile(PathBuf, usize),
    /// The project's file, or the one named in its place; the line is counted from 1.
    ProjectFile(PathBuf, usize),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    CommandLine(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::UserFile(file, line) | Origin::ProjectFile(file, line) => {
                write!(f, "{}:{line}", file.display())
            }
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::CommandLine(flag) => write!(f, "command line {flag}"),
        }
    }
}

/// A value as it was written.
#[derive(Clone, PartialEq)]
pub(super) enum Raw {
    /// A string of a file.
    Text(String),
    /// A number of a file.
    Integer(i64),
    /// A number of a file with a fraction.
    Float(f64),
    /// `true` or `false` of a file.
    Boolean(bool),
    /// A list of strings of a file.
    List(Vec<String>),
    /// Something else in a file, by the name of its type.
    Other(&'static str),
    /// Outside files all is text: a number and a list too.
    Word(String),
}

/// Without secrets.
impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.to_string()))
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Raw::Text(text) | Raw::Word(text) => write!(f, "\"{text}\""),
            Raw::Integer(number) => write!(f, "{number}"),
            Raw::Float(number) => write!(f, "{number}"),
            Raw::Boolean(value) => write!(f, "{value}"),
            Raw::List(items) => write!(f, "{items:?}"),
            Raw::Other(kind) => write!(f, "a {kind}"),
        }
    }
}

/// One value of one layer.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) named: Named,
    pub(super) raw: Raw,
    pub(super) origin: Origin,
    /// The line of the file and the value's place in it.
    pub(super) excerpt: Option<(String, Range<usize>)>,
}

/// Without the line that it stands in: what stands there may be secret.
impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, raw, origin) = (self.named.name(), &self.raw, &self.origin);
        write!(f, "{name} = {raw:?} ({origin})")
    }
}

impl Setting {
    /// The value as a person is shown it: what variables hold may be secret.
    pub(super) fn shown(&self, value: &Value) -> String {
        let names = |text: &String| text.contains("${");
        match (&self.raw, &self.origin) {
            (_, Origin::CommandLine(_)) => value.to_string(),
            (Raw::Text(text) | Raw::Word(text), _) if names(text) => {
                Value::Text(text.clone()).to_string()
            }
            (Raw::List(items), _) if items.iter().any(names) => {
                Value::List(items.clone()).to_string()
            }
            _ => value.to_string(),
        }
    }

    /// An error about this value: key, value and origin, and the place in the file.
    pub(super) fn refuse(&self, reason: &str, help: impl Into<String>) -> Error {
        let (name, origin) = (self.named.name(), &self.origin);
        let value = redact(&self.raw.to_string());
        let message = format!("`{name}` = {value} {reason} ({origin})");
        attach(Error::new(ErrorKind::InvalidConfig, message), &self.excerpt).with_help(help)
    }
}

fn attach(error: Error, excerpt: &Option<(String, Range<usize>)>) -> Error {
    match excerpt {
        // A line that holds a secret is not shown at all.
        Some((line, at)) if redact(line) == *line => error.with_excerpt(line, at.clone()),
        _ => error,
    }
}

/// The settings of a TOML file.
pub(super) fn file(path: &Path, origin: impl Fn(PathBuf, usize) -> Origin) -> Result<Vec<Setting>> {
    let text = read(path)?;
    let file = File { path, text: &text };
    let document = DeTable::parse(&text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        let what = error.message().lines().next().unwrap_or("it is no TOML");
        file.error(format!("is no valid TOML: {what}"), span)
    })?;
    let mut settings = Vec::new();
    file.collect("", document.get_ref(), &origin, &mut settings)?;
    assert_said_once(&settings)?;
    Ok(settings)
}

/// No key of a layer is given by two of its names.
fn assert_said_once(settings: &[Setting]) -> Result<()> {
    for (at, setting) in settings.iter().enumerate() {
        let is_of = |other: &Setting| (other.named.key.name, other.named.member.clone());
        let same = |other: &&Setting| is_of(other) == is_of(setting);
        let Some(other) = settings[..at].iter().find(same) else {
            continue;
        };
        let (first, second) = (other.named.name(), setting.named.name());
        let message = format!(
            "`{first}` ({}) and `{second}` ({}) are two names of one key",
            other.origin, setting.origin
        );
        let error = Error::new(ErrorKind::InvalidConfig, message);
        return Err(attach(error, &setting.excerpt).with_help("give one of them"));
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    let fail = |cause: std::io::Error| {
        let message = format!("cannot read the configuration file {}", path.display());
        Error::new(ErrorKind::Io, message).because(cause)
    };
    super::read_text(path, MAX_FILE_BYTES).map_err(fail)
}

fn raw(value: &Spanned<DeValue<'_>>) -> Raw {
    match value.get_ref() {
        DeValue::String(text) => Raw::Text(text.clone().into_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Raw::Other("number that is too large"), Raw::Integer),
        DeValue::Float(number) => number
            .as_str()
            .replace('_', "")
            .parse()
            .map_or(Raw::Other("number that cannot be read"), Raw::Float),
        DeValue::Boolean(value) => Raw::Boolean(*value),
        DeValue::Array(items) => items
            .iter()
            .map(|item| item.get_ref().as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .map_or(Raw::Other("list of something else than strings"), Raw::List),
        other => Raw::Other(other.type_str()),
    }
}

/// A file that is being read, for the errors about it.
struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    /// The settings of a table and of those in it; `section` is the table's name.
    fn collect(
        &self,
        section: &str,
        table: &DeTable<'_>,
        origin: &dyn Fn(PathBuf, usize) -> Origin,
        settings: &mut Vec<Setting>,
    ) -> Result<()> {
        for (key, value) in table {
            let name = match section {
                "" => key.get_ref().to_string(),
                section => format!("{section}.{}", key.get_ref()),
            };
            match (Named::find(&name), value.get_ref().as_table()) {
                (Some(named), _) => {
                    let (line, excerpt) = self.excerpt(value.span());
                    settings.push(Setting {
                        named,
                        raw: raw(value),
                        origin: origin(self.path.to_path_buf(), line),
                        excerpt: Some(excerpt),
                    });
                }
                (None, Some(table)) if Named::is_section(&name) => {
                    self.collect(&name, table, origin, settings)?;
                }
                (None, _) => return Err(self.unknown(&name, key.span())),
            }
        }
        Ok(())
    }

    /// The number and the text of the line of a span, and the span within it.
    fn excerpt(&self, span: Range<usize>) -> (usize, (String, Range<usize>)) {
        let before = &self.text[..span.start];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = self.text[start..].lines().next().unwrap_or_default();
        let end = span.end.clamp(span.start, start + line.len());
        let number = before.matches('\n').count() + 1;
        (number, (line.to_owned(), span.start - start..end - start))
    }

    fn error(&self, what: String, span: Range<usize>) -> Error {
        let (line, excerpt) = self.excerpt(span);
        let message = format!("{}:{line} {what}", self.path.display());
        attach(
            Error::new(ErrorKind::InvalidConfig, message),
            &Some(excerpt),
        )
    }

    fn unknown(&self, name: &str, span: Range<usize>) -> Error {
        let error = self.error(format!("sets the unknown key `{name}`"), span);
        error.with_help(did_you_mean(name))
    }
}

fn did_you_mean(name: &str) -> String {
    let names: Vec<String> = Named::all()
        .map(|named| named.name().into_owned())
        .chain(type_names(name))
        .collect();
    match crate::suggest::nearest(name, names.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => {
            let known: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
            format!("the keys are {}", known.join(", "))
        }
    }
}

/// The keys of the type that a name is about.
fn type_names(name: &str) -> Vec<String> {
    let mut parts = name.split('.');
    let (family, member) = (parts.next(), parts.next().unwrap_or("NAME"));
    if family != Some("types") {
        return Vec::new();
    }
    let keys = TYPE_KEYS.iter();
    keys.map(|key| key.name.replace("NAME", member)).collect()
}

/// Variables that other programs know too, and the keys that they set unless `CARDEX_SECTION__KEY` does.
const PLAIN: [(&str, &str); 2] = [("DATABASE_URL", "database.url"), ("REDIS_URL", "redis.url")];

/// The settings of environment variables: `CARDEX_SECTION__KEY`, and those of [`PLAIN`]. Other variables are left alone, unless they look like a slip.
pub(super) fn environment(variables: &[(String, String)]) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    let mut plain = Vec::new();
    for (name, value) in variables {
        let setting = |named| Setting {
            named,
            raw: Raw::Word(value.clone()),
            origin: Origin::Environment(name.clone()),
            excerpt: None,
        };
        let known = PLAIN.iter().find(|(variable, _)| variable == name);
        if let Some((_, key)) = known.filter(|_| !value.is_empty()) {
            plain.extend(Named::find(key).map(setting));
        }
        let Some(rest) = name.strip_prefix("CARDEX_") else {
            continue;
        };
        match Named::of_variable(name) {
            Some(named) => settings.push(setting(named)),
            None if rest.contains("__") || is_slip(rest) => return Err(unknown_variable(name)),
            None => {}
        }
    }
    plain.retain(|plain: &Setting| {
        let is_same = |own: &Setting| own.named.key.name == plain.named.key.name;
        !settings.iter().any(is_same)
    });
    settings.extend(plain);
    assert_said_once(&settings)?;
    Ok(settings)
}

/// `CARDEX_DATABASE_URL`, with one underscore where two belong.
fn is_slip(rest: &str) -> bool {
    let letters = |text: &str| text.replace(['_', '.'], "").to_ascii_lowercase();
    Named::all().any(|named| letters(&named.name()) == letters(rest))
}

fn unknown_variable(name: &str) -> Error {
    let rest = name.strip_prefix("CARDEX_").unwrap_or_default();
    let types = type_names(&rest.replace("__", ".").to_ascii_lowercase());
    let known = KEYS.iter().map(Key::environment_variable);
    let types = types.iter().map(|name| environment_variable(name));
    let known: Vec<String> = known.chain(types).collect();
    let help = match crate::suggest::nearest(name, known.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("the variables are {}", known.join(", ")),
    };
    let message = format!("the environment variable `{name}` names no configuration key");
    Error::new(ErrorKind::InvalidConfig, message).with_help(help)
}

/// The text with each `${NAME}` replaced by that variable; the error is the name of one that is not
/// set.
pub(super) fn expand<'t>(
    text: &'t str,
    variables: &[(String, String)],
) -> Result<Cow<'t, str>, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${")
        && let Some((name, end)) = after.split_once('}')
    {
        let value = variables.iter().find(|(variable, _)| variable == name);
        let (_, value) = value.ok_or_else(|| name.to_owned())?;
        out.push_str(before);
        out.push_str(value);
        rest = end;
    }
    if rest.len() == text.len() {
        return Ok(Cow::Borrowed(text));
    }
    out.push_str(rest);
    Ok(Cow::Owned(out))
}
