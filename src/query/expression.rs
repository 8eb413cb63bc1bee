//! What a query asks, as a tree: criteria that must all hold, and among them alternatives and denials
//! that hold criteria again. However a question was put, by builder, flags or text, it is one tree,
//! and trees that differ only in needless nesting are the same.

use std::fmt;

use smol_str::SmolStr;

use super::fields;
use crate::index::{Field, PathPattern};

/// Criteria that must all hold; without any, every file fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conjunction {
    /// The names to look for, languages last: a tier that lacks a name mostly has the language.
    pub(super) terms: Vec<(Field, SmolStr)>,
    pub(super) patterns: Vec<PathPattern>,
    pub(super) groups: Vec<Group>,
}

/// Criteria of which not all must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// One of these holds. There are two at least, and none of them is alternatives alone.
    AnyOf(Vec<Conjunction>),
    /// This does not hold. It is no denial alone.
    Not(Conjunction),
}

impl Conjunction {
    pub(super) fn of_term(field: Field, name: &str) -> Self {
        Conjunction {
            terms: vec![(field, name.into())],
            ..Conjunction::default()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts() == 0
    }

    /// How many things stand beside each other here.
    pub(super) fn parts(&self) -> usize {
        self.terms.len() + self.patterns.len() + self.groups.len()
    }

    /// How many criteria there are, those in groups included.
    pub(super) fn size(&self) -> usize {
        let groups = self.groups.iter().map(|group| match group {
            Group::AnyOf(branches) => branches.iter().map(Conjunction::size).sum(),
            Group::Not(inner) => inner.size(),
        });
        self.terms.len() + self.patterns.len() + groups.sum::<usize>()
    }

    /// How many groups stand inside each other.
    pub(super) fn depth(&self) -> usize {
        let groups = self.groups.iter().map(|group| match group {
            Group::AnyOf(branches) => branches.iter().map(Conjunction::depth).max(),
            Group::Not(inner) => Some(inner.depth()),
        });
        groups.flatten().max().map_or(0, |inner| inner + 1)
    }

    /// All of the other's criteria must hold, too.
    pub(super) fn add(&mut self, other: Conjunction) {
        self.terms.extend(other.terms);
        self.patterns.extend(other.patterns);
        self.groups.extend(other.groups);
        self.terms
            .sort_by_key(|(field, _)| *field == Field::Language);
    }

    /// One of these must hold, too; none of them is empty.
    pub(super) fn add_any_of(&mut self, branches: impl IntoIterator<Item = Conjunction>) {
        let mut flat = Vec::new();
        for mut branch in branches {
            match branch.groups.pop() {
                Some(Group::AnyOf(inner)) if branch.is_empty() => flat.extend(inner),
                group => {
                    branch.groups.extend(group);
                    flat.push(branch);
                }
            }
        }
        match flat.len() {
            1 => flat.into_iter().for_each(|only| self.add(only)),
            _ => self.groups.push(Group::AnyOf(flat)),
        }
    }

    /// This must not hold; it is not empty.
    pub(super) fn add_not(&mut self, mut inner: Conjunction) {
        match inner.groups.pop() {
            Some(Group::Not(denied)) if inner.is_empty() => self.add(denied),
            group => {
                inner.groups.extend(group);
                self.groups.push(Group::Not(inner));
            }
        }
    }

    /// The names of a field that a file may be found by: not those that are denied.
    pub(super) fn collect_names<'c>(&'c self, of: Field, names: &mut Vec<&'c str>) {
        let here = self.terms.iter().filter(|(field, _)| *field == of);
        names.extend(here.map(|(_, name)| name.as_str()));
        for group in &self.groups {
            if let Group::AnyOf(branches) = group {
                branches
                    .iter()
                    .for_each(|branch| branch.collect_names(of, names));
            }
        }
    }
}

/// In words, for people.
impl fmt::Display for Conjunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terms = self.terms.iter().map(|(f, n)| fields::describe_term(*f, n));
        let patterns = self.patterns.iter().map(fields::describe_pattern);
        let groups = self.groups.iter().map(Group::to_string);
        let parts: Vec<String> = terms.chain(patterns).chain(groups).collect();
        match &parts[..] {
            [] => f.write_str("every file"),
            parts => f.write_str(&parts.join(" AND ")),
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |inner: &Conjunction| match inner.parts() {
            1 => inner.to_string(),
            _ => format!("({inner})"),
        };
        match self {
            Group::AnyOf(branches) => {
                let branches: Vec<String> = branches.iter().map(words).collect();
                write!(f, "({})", branches.join(" OR "))
            }
            Group::Not(inner) => write!(f, "NOT {}", words(inner)),
        }
    }
}
