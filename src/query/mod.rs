//! Queries: what a caller asks for, checked when it is built, and run on a snapshot of the index.

mod answer;
mod builder;
mod criteria;
mod expression;
mod fields;
mod matches;
#[cfg(feature = "server")]
mod names;
mod plan;
mod run;
#[cfg(test)]
mod tests;
mod text;
mod tree;

use std::fmt;
use std::sync::Arc;

use self::expression::Conjunction;

pub use self::answer::Answer;
pub use self::builder::QueryBuilder;
pub use self::fields::QUERY_FIELDS;
#[cfg(feature = "server")]
pub(crate) use self::names::{NAME_KINDS, Name};
pub use self::plan::{LayerPlan, Plan, PlanStep};
pub use self::text::MAX_QUERY_TEXT_BYTES;

/// A question about the files of a project: every criterion must hold, and without any, every file
/// answers. Criteria can be alternatives ([`QueryBuilder::any_of`]) and denials
/// ([`QueryBuilder::not`]), and all of it can be put as text ([`Query::parse`]). Answers come in path
/// order, and the limit is applied last. Clones share the criteria.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query(Arc<Wanted>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wanted {
    all: Conjunction,
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

    /// The names in a field (`language`, `function`, `class` or `reference`) that a file may be
    /// found by, in the order of the query: those that are denied are left out. None for any other
    /// field.
    pub fn names(&self, field: &str) -> Vec<&str> {
        let mut names = Vec::new();
        if let Some(field) = fields::term_field(field) {
            self.all().collect_names(field, &mut names);
        }
        names
    }

    /// What must hold.
    pub(crate) fn all(&self) -> &Conjunction {
        &self.0.all
    }
}

/// The query in words, for people.
impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.all().fmt(f)?;
        match self.limit() {
            Some(limit) => write!(f, ", first {limit}"),
            None => Ok(()),
        }
    }
}
