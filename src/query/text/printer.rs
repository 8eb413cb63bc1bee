//! Writes a tree as text: names, patterns, then groups, values plain where that reads back the same.

use super::lexer::{Kind, plain};
use crate::index::{Field, PathPattern, Syntax};
use crate::query::expression::{Conjunction, Group};

/// The text of these criteria.
pub(super) fn print(all: &Conjunction) -> String {
    let terms = all.terms.iter();
    let terms =
        terms.map(|(field, name)| format!("{}:{}", short(*field), quoted(name, Kind::Names)));
    let patterns = all.patterns.iter().map(pattern);
    let groups = all.groups.iter().map(group);
    let parts: Vec<String> = terms.chain(patterns).chain(groups).collect();
    parts.join(" ")
}

fn pattern(pattern: &PathPattern) -> String {
    let field = match pattern.syntax() {
        Syntax::Regex => "path",
        Syntax::Glob => "glob",
    };
    format!("{field}:{}", quoted(pattern.text(), Kind::Pattern))
}

fn group(group: &Group) -> String {
    match group {
        Group::AnyOf(branches) => names_of_one_field(branches).unwrap_or_else(|| {
            let branches: Vec<String> = branches.iter().map(print).collect();
            format!("({})", branches.join(" OR "))
        }),
        Group::Not(denied) if denied.parts() == 1 => format!("-{}", print(denied)),
        Group::Not(denied) => format!("-({})", print(denied)),
    }
}

/// `lang:rust,go`, if the alternatives are no more than that.
fn names_of_one_field(branches: &[Conjunction]) -> Option<String> {
    let names = branches.iter().map(|branch| match &branch.terms[..] {
        [(field, name)] if branch.parts() == 1 => Some((*field, quoted(name, Kind::Names))),
        _ => None,
    });
    let names = names.collect::<Option<Vec<_>>>()?;
    let (first, _) = *names.first()?;
    let is_one_field = names.iter().all(|(field, _)| *field == first);
    let names: Vec<String> = names.into_iter().map(|(_, name)| name).collect();
    is_one_field.then(|| format!("{}:{}", short(first), names.join(",")))
}

fn short(field: Field) -> &'static str {
    match field {
        Field::Language => "lang",
        Field::Function => "fn",
        Field::Class => "class",
        Field::Reference => "ref",
    }
}

fn quoted(value: &str, kind: Kind) -> String {
    let is_plain = plain(value, kind) == (value.len(), 0)
        && !(kind == Kind::Names && value.contains('*'))
        && !value.ends_with('\\');
    match is_plain {
        true => value.to_owned(),
        false => format!("\"{}\"", value.replace('\\', r"\\").replace('"', "\\\"")),
    }
}
