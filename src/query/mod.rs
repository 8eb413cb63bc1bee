//! Queries: what a caller asks for, checked when it is built, and run on a snapshot of the index.

mod answer;
mod criteria;
mod fields;
mod matches;
#[cfg(feature = "server")]
mod names;
mod plan;
mod run;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use smol_str::{SmolStr, StrExt};

pub use self::answer::Answer;
pub use self::fields::QUERY_FIELDS;
#[cfg(feature = "server")]
pub(crate) use self::names::{NAME_KINDS, Name};
pub use self::plan::{LayerPlan, Plan, PlanStep};
use crate::error::{Error, ErrorKind, Result};
use crate::index::{Field, PathPattern};

/// A question about the files of a project: every criterion must hold, and without any, every file
/// answers. Answers come in path order, and the limit is applied last. Clones share the criteria.
///
/// ```
/// use cardex::Query;
///
/// let query = Query::builder()
///     .language("python")
///     .function("parse")
///     .class("Lexer")
///     .reference("docs/GRAMMAR.md")
///     .path_regex("^src/")
///     .limit(20)
///     .build()?;
/// assert_eq!(
///     query.to_string(),
///     "function = parse AND class = Lexer AND reference = docs/GRAMMAR.md \
///      AND language = python AND path ~ ^src/, first 20"
/// );
/// # Ok::<(), cardex::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Query(Arc<Wanted>);

#[derive(Clone, Debug, Default)]
struct Wanted {
    terms: Vec<(Field, SmolStr)>,
    patterns: Vec<PathPattern>,
    limit: Option<usize>,
}

impl Query {
    /// A query without criteria yet.
    pub fn builder() -> QueryBuilder {
        QueryBuilder(Ok(Wanted::default()))
    }

    /// The most files that an answer lists; `None` for all.
    pub fn limit(&self) -> Option<usize> {
        self.0.limit
    }

    /// A query for one name and nothing else.
    fn of_term(field: Field, name: &str) -> Query {
        Query(Arc::new(Wanted {
            terms: vec![(field, name.into())],
            ..Wanted::default()
        }))
    }

    /// The names to look for, languages last: a tier that lacks a name mostly has the language.
    pub(crate) fn terms(&self) -> &[(Field, SmolStr)] {
        &self.0.terms
    }

    pub(crate) fn patterns(&self) -> &[PathPattern] {
        &self.0.patterns
    }
}

/// The query in words, for people.
impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terms = self
            .terms()
            .iter()
            .map(|(field, name)| fields::describe_term(*field, name));
        let patterns = self.patterns().iter().map(fields::describe_pattern);
        let criteria: Vec<String> = terms.chain(patterns).collect();
        match &criteria[..] {
            [] => f.write_str("every file")?,
            criteria => f.write_str(&criteria.join(" AND "))?,
        }
        match self.limit() {
            Some(limit) => write!(f, ", first {limit}"),
            None => Ok(()),
        }
    }
}

/// Collects the criteria of a [`Query`]. The first one that is wrong is reported by
/// [`QueryBuilder::build`]: it never widens the answer.
#[derive(Debug)]
#[must_use]
pub struct QueryBuilder(Result<Wanted>);

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

    /// Lists at most this many files; 0 lists none. To be said once.
    pub fn limit(self, limit: usize) -> Self {
        QueryBuilder(self.0.and_then(|wanted| match wanted.limit {
            None => Ok(Wanted {
                limit: Some(limit),
                ..wanted
            }),
            Some(first) => Err(Error::new(
                ErrorKind::InvalidQuery,
                format!("two limits are given: {first} and {limit}"),
            )),
        }))
    }

    /// The query.
    ///
    /// # Errors
    /// `InvalidQuery` for an empty value or an unknown field, `InvalidPattern` for a pattern that
    /// does not parse or is too large.
    pub fn build(self) -> Result<Query> {
        self.0.map(|mut criteria| {
            criteria
                .terms
                .sort_by_key(|(field, _)| *field == Field::Language);
            Query(Arc::new(criteria))
        })
    }

    fn term(self, field: Field, name: SmolStr) -> Self {
        QueryBuilder(self.0.and_then(|mut criteria| {
            refuse_empty(fields::name_of(field), &name)?;
            criteria.check_size(&name)?;
            criteria.terms.push((field, name));
            Ok(criteria)
        }))
    }

    fn pattern(
        self,
        what: &str,
        text: &str,
        compile: impl FnOnce(&str) -> Result<PathPattern>,
    ) -> Self {
        QueryBuilder(self.0.and_then(|mut criteria| {
            refuse_empty(what, text)?;
            criteria.check_size("")?;
            criteria.patterns.push(compile(text)?);
            Ok(criteria)
        }))
    }
}

/// The longest name to look for, in bytes: no stored path is longer, and hardly a name.
const MAX_NAME_BYTES: usize = 4096;
/// The most criteria of a query.
const MAX_CRITERIA: usize = 64;

impl Wanted {
    /// Refuses what would make a query take time or memory out of proportion.
    fn check_size(&self, name: &str) -> Result<()> {
        let refuse = |message: String| Err(Error::new(ErrorKind::InvalidQuery, message));
        if name.len() > MAX_NAME_BYTES {
            let length = name.len();
            return refuse(format!(
                "a name of {length} bytes is refused: the limit is {MAX_NAME_BYTES}"
            ));
        }
        if self.terms.len() + self.patterns.len() >= MAX_CRITERIA {
            return refuse(format!("a query has at most {MAX_CRITERIA} criteria"));
        }
        Ok(())
    }
}

fn refuse_empty(what: &str, value: &str) -> Result<()> {
    if value.is_empty() {
        return Err(Error::new(
            ErrorKind::InvalidQuery,
            format!("the {what} to look for is empty"),
        )
        .with_help("leave the criterion out to ask for files with any value"));
    }
    Ok(())
}
