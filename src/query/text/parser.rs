//! From text to tree, by recursive descent. Each criterion goes through the builder, which knows what
//! is wrong with it; the parser adds the place.

use std::ops::Range;

use super::MAX_QUERY_TEXT_BYTES;
use super::lexer::{BadValue, Kind, Lexer, Token, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::query::builder::{MAX_CRITERIA, MAX_DEPTH, check_depth};
use crate::query::expression::Conjunction;
use crate::query::{Query, Wanted};
use crate::suggest;

/// The query that a text puts.
pub(super) fn parse(text: &str) -> Result<Query> {
    if text.len() > MAX_QUERY_TEXT_BYTES {
        let length = text.len();
        return Err(Error::new(
            ErrorKind::InvalidQuery,
            format!("a query of {length} bytes is refused: the limit is {MAX_QUERY_TEXT_BYTES}"),
        ));
    }
    let mut parser = Parser {
        lexer: Lexer::new(text),
        depth: 0,
        criteria: 0,
    };
    let all = match parser.lexer.peek() {
        (Token::End, _) => Conjunction::default(),
        _ => parser.either()?,
    };
    match parser.lexer.next() {
        (Token::End, _) => Ok(Query(Wanted { all, limit: None }.into())),
        (_, at) => Err(parser
            .refuse(at, "no parenthesis is open here")
            .with_help("if it belongs to a value, put the value in quotes")),
    }
}

/// The fields of a text: the name in a query, and that of [`QueryBuilder::field`].
///
/// [`QueryBuilder::field`]: crate::QueryBuilder::field
pub(super) const FIELDS: [(&str, &str, Kind); 9] = [
    ("lang", "language", Kind::Names),
    ("language", "language", Kind::Names),
    ("fn", "function", Kind::Names),
    ("function", "function", Kind::Names),
    ("class", "class", Kind::Names),
    ("ref", "reference", Kind::Names),
    ("reference", "reference", Kind::Names),
    ("path", "path", Kind::Pattern),
    ("glob", "glob", Kind::Pattern),
];

struct Parser<'t> {
    lexer: Lexer<'t>,
    /// How many parentheses are open: what bounds the recursion.
    depth: usize,
    criteria: usize,
}

impl<'t> Parser<'t> {
    /// Alternatives, or what stands there instead of any.
    fn either(&mut self) -> Result<Conjunction> {
        let from = self.lexer.peek().1.start;
        let mut branches = vec![self.all()?];
        while self.lexer.peek().0 == Token::Or {
            self.lexer.next();
            branches.push(self.all()?);
        }
        self.group(from, |group| group.add_any_of(branches))
    }

    /// Criteria side by side: one at least.
    fn all(&mut self) -> Result<Conjunction> {
        let mut all = self.factor()?;
        while !matches!(self.lexer.peek().0, Token::End | Token::Close | Token::Or) {
            all.add(self.factor()?);
        }
        Ok(all)
    }

    /// A criterion or a group, denied or not.
    fn factor(&mut self) -> Result<Conjunction> {
        let (Token::Minus, minus) = self.lexer.peek() else {
            return self.atom();
        };
        self.lexer.next();
        let (denied, at) = self.lexer.peek();
        if at.start != minus.end || matches!(denied, Token::Minus | Token::Close | Token::End) {
            return Err(self
                .refuse(minus, "`-` denies nothing here")
                .with_help("write it once, right before what is denied: -lang:python"));
        }
        let denied = self.atom()?;
        self.group(minus.start, |group| group.add_not(denied))
    }

    fn atom(&mut self) -> Result<Conjunction> {
        let (token, at) = self.lexer.next();
        match token {
            Token::Field(name) => self.criterion(name, at),
            Token::Open => self.parenthesis(at),
            Token::Word(word) => Err(self.bare(word, at)),
            Token::End => Err(self.refuse(at, "a criterion is missing at the end")),
            Token::Close => Err(self.refuse(at, "a criterion is missing before `)`")),
            Token::Or => Err(self.refuse(at, "a criterion is missing before `OR`")),
            Token::Minus => Err(self.refuse(at, "`-` denies nothing here")),
        }
    }

    fn parenthesis(&mut self, open: Range<usize>) -> Result<Conjunction> {
        if self.depth == MAX_DEPTH {
            let message = format!("a query has at most {MAX_DEPTH} groups inside each other");
            return Err(self.refuse(open, message));
        }
        self.depth += 1;
        let inner = self.either()?;
        self.depth -= 1;
        match self.lexer.next() {
            (Token::Close, _) => Ok(inner),
            _ => Err(self
                .refuse(open, "this parenthesis is not closed")
                .with_help("if it belongs to a value, put the value in quotes")),
        }
    }

    /// A field, whose name was read, and its values, one of which must hold.
    fn criterion(&mut self, name: &str, at: Range<usize>) -> Result<Conjunction> {
        let from = at.start;
        let Some((_, field, kind)) = FIELDS.into_iter().find(|(known, ..)| *known == name) else {
            return Err(self.unknown_field(name, at));
        };
        let mut values = Vec::new();
        loop {
            let value = self.value(kind)?;
            values.push(self.checked(field, kind, &value)?);
            if kind == Kind::Pattern || !self.lexer.comma() {
                return self.group(from, |group| group.add_any_of(values));
            }
        }
    }

    fn value(&mut self, kind: Kind) -> Result<Value> {
        let value = self.lexer.value(kind).map_err(|(bad, at)| match bad {
            BadValue::Open => self
                .refuse(at, "this quote is not closed")
                .with_help("in quotes, \\\" is a quote and \\\\ a backslash"),
            BadValue::Inside => self
                .refuse(at, "a value stands in quotes as a whole, or not at all")
                .with_help("put the whole value in quotes; in them, \\\" is a quote"),
        })?;
        self.criteria += 1;
        if self.criteria > MAX_CRITERIA {
            let message = format!("a query has at most {MAX_CRITERIA} criteria");
            return Err(self.refuse(value.at, message));
        }
        Ok(value)
    }

    /// A criterion as the builder makes it, or its error with the place in the whole text.
    fn checked(&self, field: &str, kind: Kind, value: &Value) -> Result<Conjunction> {
        if kind == Kind::Names
            && !value.is_quoted
            && let Some(star) = value.text.find('*')
        {
            let at = value.at.start + star;
            return Err(self
                .refuse(
                    at..at + 1,
                    "names are compared whole: no star stands for others",
                )
                .with_help("put the name in quotes if the star is part of it"));
        }
        let built = Query::builder().field(field, &value.text).build();
        built.map(|query| query.all().clone()).map_err(|error| {
            let inner = error.excerpt().filter(|_| !value.is_quoted);
            let at = inner.map_or(value.at.clone(), |inner| {
                value.at.start + inner.at.start..value.at.start + inner.at.end
            });
            error.with_excerpt(self.lexer.text, at)
        })
    }

    /// What is made of groups, unless it is too deep.
    fn group(&self, from: usize, make: impl FnOnce(&mut Conjunction)) -> Result<Conjunction> {
        let mut group = Conjunction::default();
        make(&mut group);
        check_depth(&group)
            .map_err(|error| error.with_excerpt(self.lexer.text, from..self.lexer.at))?;
        Ok(group)
    }
}

/// What is wrong with a text.
impl Parser<'_> {
    fn refuse(&self, at: Range<usize>, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidQuery, message).with_excerpt(self.lexer.text, at)
    }

    /// `limit` is refused like any other field that a text does not have, with better help.
    fn unknown_field(&self, name: &str, at: Range<usize>) -> Error {
        let error = self.refuse(
            at.start..at.end - 1,
            format!("unknown query field `{}`", shown(name)),
        );
        let names = FIELDS.map(|(name, ..)| name);
        let begun = || names.into_iter().find(|known| known.starts_with(name));
        match suggest::nearest(name, names).or_else(begun) {
            _ if name == "limit" => error.with_help(
                "the limit is no part of a query's text: give it beside it, as -n on the command line",
            ),
            Some(meant) => error.with_help(format!("did you mean `{meant}:`?")),
            None => error.with_help(
                "the fields are lang:, fn:, class:, ref:, path: and glob:; put a value that has a \
                 colon after its field",
            ),
        }
    }

    fn bare(&self, word: &str, at: Range<usize>) -> Error {
        let help = match word {
            "or" | "Or" | "|" | "||" => {
                "`OR` between alternatives is written in capitals".to_owned()
            }
            "AND" | "and" | "And" | "&" | "&&" => {
                "leave it out: criteria beside each other must all hold".to_owned()
            }
            "NOT" | "not" | "Not" | "!" => {
                "write `-` right before what is denied: -lang:python".to_owned()
            }
            word => {
                let is_name = word
                    .chars()
                    .all(|c| c.is_alphanumeric() || c == '_' || c == '.');
                let name = if is_name { shown(word) } else { "NAME".into() };
                format!("there is no full text: say where to look, as in fn:{name} or path:{name}")
            }
        };
        let message = format!("`{}` stands without a field", shown(word));
        self.refuse(at, message).with_help(help)
    }
}

/// A word of any length, cut for a message.
fn shown(word: &str) -> String {
    const MOST: usize = 40;
    match word.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &word[..end]),
        None => word.to_owned(),
    }
}
