//! `QueryBuilder`: criteria, one after the other, each checked as it comes.

use smol_str::{SmolStr, StrExt};

use super::expression::Conjunction;
use super::{Query, Wanted, fields};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Field, PathPattern};

/// Collects the criteria of a [`Query`]. The first one that is wrong is reported by
/// [`QueryBuilder::build`]: it never widens the answer.
#[derive(Debug)]
#[must_use]
pub struct QueryBuilder(pub(super) Result<Wanted>);

impl QueryBuilder {
    /// Files in this language, whatever its ASCII case.
    pub fn language(self, language: &str) -> Self {
        self.term(Field::Language, language.to_ascii_lowercase_smolstr())
    }

    /// Files that define this function or method: a bare name, or `Class.method`. Several
    /// functions must all be defined.
    pub fn function(self, name: &str) -> Self {
        self.term(Field::Function, name.into())
    }

    /// Files that define this class.
    pub fn class(self, name: &str) -> Self {
        self.term(Field::Class, name.into())
    }

    /// Files that cite this document, by the path that they cite.
    pub fn reference(self, document: &str) -> Self {
        self.term(Field::Reference, document.into())
    }

    /// Files whose path holds a match of this regular expression, in the syntax of the `regex`
    /// crate. `^` and `$` are the ends of the path.
    pub fn path_regex(self, pattern: &str) -> Self {
        self.pattern("path pattern", pattern, PathPattern::regex)
    }

    /// Files whose whole path matches this glob: `*` and `?` stay within a part of the path, `**`
    /// crosses parts, `{a,b}` and `[a-z]` choose.
    pub fn path_glob(self, glob: &str) -> Self {
        self.pattern("path glob", glob, PathPattern::glob)
    }

    /// Files that match another query, too.
    ///
    /// This and the other verbs that take queries refuse one with a limit, which is for the whole
    /// answer.
    pub fn and(self, query: Query) -> Self {
        self.change(|all| {
            check_no_limit(&query)?;
            check_size(all.size() + query.all().size())?;
            all.add(query.all().clone());
            Ok(())
        })
    }

    /// Files that match one of these queries at least. No query at all, and one without criteria,
    /// are refused: the one would leave no file, the other all of them.
    ///
    /// ```
    /// use cardex::Query;
    ///
    /// let one = |language| Query::builder().language(language).build();
    /// let query = Query::builder()
    ///     .class("Lexer")
    ///     .any_of([one("rust")?, one("go")?])
    ///     .build()?;
    /// assert_eq!(query.to_text(), "class:Lexer lang:rust,go");
    /// # Ok::<(), cardex::Error>(())
    /// ```
    pub fn any_of(self, queries: impl IntoIterator<Item = Query>) -> Self {
        self.change(|all| {
            let mut branches = Vec::new();
            let mut size = all.size();
            for query in queries {
                check_inner(&query)?;
                size += query.all().size();
                check_size(size)?;
                branches.push(query.all().clone());
            }
            if branches.is_empty() {
                return Err(Error::new(
                    ErrorKind::InvalidQuery,
                    "no alternatives are given to choose from",
                )
                .with_help("give one at least, or leave the choice out"));
            }
            all.add_any_of(branches);
            check_depth(all)
        })
    }

    /// Files that do not match this query, which has one criterion at least.
    ///
    /// ```
    /// use cardex::Query;
    ///
    /// let python = Query::builder().language("python").build()?;
    /// let query = Query::builder().function("parse").not(python).build()?;
    /// assert_eq!(query.to_text(), "fn:parse -lang:python");
    /// # Ok::<(), cardex::Error>(())
    /// ```
    pub fn not(self, query: Query) -> Self {
        self.change(|all| {
            check_inner(&query)?;
            check_size(all.size() + query.all().size())?;
            all.add_not(query.all().clone());
            check_depth(all)
        })
    }

    /// Lists at most this many files; 0 lists none. To be said once.
    pub fn limit(self, limit: usize) -> Self {
        QueryBuilder(self.0.and_then(|wanted| match wanted.limit {
            None => Ok(Wanted {
                limit: Some(limit),
                ..wanted
            }),
            Some(first) => Err(invalid(format!(
                "two limits are given: {first} and {limit}"
            ))),
        }))
    }

    /// The query.
    ///
    /// # Errors
    /// `InvalidQuery` for an empty value, an unknown field, or more or deeper criteria than a query
    /// may have; `InvalidPattern` for a pattern that does not parse or is too large.
    pub fn build(self) -> Result<Query> {
        self.0.map(|wanted| Query(wanted.into()))
    }
}

impl QueryBuilder {
    fn term(self, field: Field, name: SmolStr) -> Self {
        self.change(|all| {
            check_not_empty(fields::name_of(field), &name)?;
            check_length(&name)?;
            check_size(all.size() + 1)?;
            all.add(Conjunction::of_term(field, &name));
            Ok(())
        })
    }

    fn pattern(
        self,
        what: &str,
        text: &str,
        compile: impl FnOnce(&str) -> Result<PathPattern>,
    ) -> Self {
        self.change(|all| {
            check_not_empty(what, text)?;
            check_size(all.size() + 1)?;
            all.patterns.push(compile(text)?);
            Ok(())
        })
    }

    fn change(self, change: impl FnOnce(&mut Conjunction) -> Result<()>) -> Self {
        QueryBuilder(self.0.and_then(|mut wanted| {
            change(&mut wanted.all)?;
            Ok(wanted)
        }))
    }
}

/// The longest name to look for, in bytes: no stored path is longer, and hardly a name.
const MAX_NAME_BYTES: usize = 4096;
/// The most criteria of a query, in all its groups.
pub(super) const MAX_CRITERIA: usize = 64;
/// The most groups inside each other: what reads and runs a query goes down into each.
pub(super) const MAX_DEPTH: usize = 32;

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidQuery, message)
}

fn check_not_empty(what: &str, value: &str) -> Result<()> {
    if value.is_empty() {
        return Err(invalid(format!("the {what} to look for is empty"))
            .with_help("leave the criterion out to ask for files with any value"));
    }
    Ok(())
}

fn check_length(name: &str) -> Result<()> {
    match name.len() {
        0..=MAX_NAME_BYTES => Ok(()),
        length => Err(invalid(format!(
            "a name of {length} bytes is refused: the limit is {MAX_NAME_BYTES}"
        ))),
    }
}

/// Refuses what would make a query take time or memory out of proportion.
fn check_size(criteria: usize) -> Result<()> {
    match criteria {
        0..=MAX_CRITERIA => Ok(()),
        _ => Err(invalid(format!(
            "a query has at most {MAX_CRITERIA} criteria"
        ))),
    }
}

pub(super) fn check_depth(all: &Conjunction) -> Result<()> {
    match all.depth() {
        0..=MAX_DEPTH => Ok(()),
        _ => Err(invalid(format!(
            "a query has at most {MAX_DEPTH} groups inside each other"
        ))),
    }
}

/// Whether a query can stand in a group.
fn check_inner(query: &Query) -> Result<()> {
    if query.all().is_empty() {
        return Err(invalid("a query without criteria stands in a group")
            .with_help("leave it out: it would fit every file"));
    }
    check_no_limit(query)
}

fn check_no_limit(query: &Query) -> Result<()> {
    match query.limit() {
        None => Ok(()),
        Some(limit) => Err(
            invalid(format!("a part of a query has a limit of its own: {limit}"))
                .with_help("give the limit to the whole query"),
        ),
    }
}
