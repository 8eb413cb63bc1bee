//! Queries as text: `lang:rust (fn:parse OR class:Lexer) -path:^tests/`. The lexer cuts the text, the
//! parser makes the tree that the builder would make, and the printer writes a tree as the one text
//! that every text of it comes to.
//!
//! ```text
//! query     = [ either ]                      nothing is every file
//! either    = all *( "OR" all )               binds less than what stands side by side
//! all       = 1*( [ "-" ] ( criterion | "(" either ")" ) )
//! criterion = field ":" value *( "," value )  a comma chooses among names; in a pattern it is itself
//! value     = plain | quoted
//! ```

mod lexer;
mod parser;
mod printer;
#[cfg(test)]
mod tests;

use super::Query;
use crate::error::Result;

/// The longest text of a query, in bytes: more than the most and longest criteria take.
pub const MAX_QUERY_TEXT_BYTES: usize = 1 << 20;

impl Query {
    /// The query that a text puts.
    ///
    /// ```
    /// use cardex::Query;
    ///
    /// let query = Query::parse("lang:rust (fn:parse OR class:Lexer) -path:^tests/")?;
    /// assert_eq!(
    ///     query.to_string(),
    ///     "language = rust AND (function = parse OR class = Lexer) AND NOT path ~ ^tests/"
    /// );
    /// let error = Query::parse("lang:rust func:parse").unwrap_err();
    /// assert_eq!(error.excerpt().map(|excerpt| excerpt.at.clone()), Some(10..14));
    /// # Ok::<(), cardex::Error>(())
    /// ```
    ///
    /// - **Criteria** are `lang:` (`language:`), `fn:` (`function:`), `class:`, `ref:`
    ///   (`reference:`), `path:` (a regular expression) and `glob:`, each with its value right after
    ///   the colon. A word without a field is refused: there is no full text. The limit is no part of
    ///   the text.
    /// - **Beside each other**, criteria must all hold. `OR`, in capitals, is between alternatives and
    ///   binds less: `a b OR c` is `(a b) OR c`. Parentheses group. `-` right before a criterion or a
    ///   parenthesis denies it. An empty text is every file.
    /// - **Values** end at a blank, or at a parenthesis that closes none of their own: `fn:f()` needs
    ///   no quotes. Names are compared whole; a comma is between names of which one must hold
    ///   (`lang:rust,go`), and a star is refused. In `path:` and `glob:` commas and stars belong to the
    ///   pattern, and so does a backslash, with what follows it.
    /// - **Quotes** hold any value: `fn:"operator new"`. In them `\"` is a quote and `\\` a backslash;
    ///   a backslash before anything else is itself.
    ///
    /// # Errors
    /// `InvalidQuery` or `InvalidPattern`, each with the bad place as its
    /// [`excerpt`](crate::Error::excerpt): never a wider answer. Texts of more than
    /// [`MAX_QUERY_TEXT_BYTES`] are refused.
    pub fn parse(text: &str) -> Result<Query> {
        parser::parse(text)
    }

    /// The names of the fields that [`Query::parse`] knows, the long and the short ones.
    pub fn text_fields() -> impl Iterator<Item = &'static str> {
        parser::FIELDS.into_iter().map(|(name, ..)| name)
    }

    /// The query as text, without its limit: of all texts that [`Query::parse`] reads as this query,
    /// the one that is always the same.
    pub fn to_text(&self) -> String {
        printer::print(self.all())
    }
}
