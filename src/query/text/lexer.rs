//! Cuts a query text. Where a value ends depends on its field, so tokens are cut when they are asked
//! for, and the parser says what it wants.

use std::ops::Range;

/// What stands at a place of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'t> {
    Open,
    Close,
    Minus,
    Or,
    /// A name before a colon; its value comes next.
    Field(&'t str),
    /// Something else up to the next blank or parenthesis.
    Word(&'t str),
    End,
}

/// One value of a criterion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) text: String,
    /// Where it stands in the query, quotes included.
    pub(super) at: Range<usize>,
    pub(super) is_quoted: bool,
}

/// What is wrong with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadValue {
    /// A quote is not closed.
    Open,
    /// A quote begins or ends inside of a value.
    Inside,
}

/// Whether values are names, of which several can be given, or a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Names,
    Pattern,
}

/// A query text and how far it has been read.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Lexer { text, at: 0 }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    /// The next token and its place. Blanks before it are skipped.
    pub(super) fn next(&mut self) -> (Token<'t>, Range<usize>) {
        self.at = self.text.len() - self.rest().trim_start().len();
        let (token, length) = token(self.rest());
        let from = self.at;
        self.at += length;
        (token, from..self.at)
    }

    /// The next token, which stays the next one.
    pub(super) fn peek(&self) -> (Token<'t>, Range<usize>) {
        self.clone().next()
    }

    /// Whether a comma comes next, which is then read.
    pub(super) fn comma(&mut self) -> bool {
        let is_comma = self.rest().starts_with(',');
        self.at += usize::from(is_comma);
        is_comma
    }

    /// The value that begins right here; an empty one if there is none.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub(super) fn value(&mut self, kind: Kind) -> Result<Value, (BadValue, Range<usize>)> {
        let from = self.at;
        let is_quoted = self.rest().starts_with('"');
        let text = match is_quoted {
            true => {
                let (text, length) =
                    unquote(self.rest()).ok_or((BadValue::Open, from..self.text.len()))?;
                self.at += length;
                text
            }
            false => {
                let (length, _) = plain(self.rest(), kind);
                self.at += length;
                self.text[from..self.at].to_owned()
            }
        };
        match self.rest().chars().next() {
            Some(next) if !ends_value(next, kind) => {
                Err((BadValue::Inside, self.at..self.at + next.len_utf8()))
            }
            _ => Ok(Value {
                text,
                at: from..self.at,
                is_quoted,
            }),
        }
    }
}

/// What the text begins with, and how long that is.
fn token(text: &str) -> (Token<'_>, usize) {
    match text.as_bytes().first() {
        None => return (Token::End, 0),
        Some(b'(') => return (Token::Open, 1),
        Some(b')') => return (Token::Close, 1),
        Some(b'-') => return (Token::Minus, 1),
        Some(_) => {}
    }
    let name = text.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-'));
    if let Some(length) = name
        && length > 0
        && text[length..].starts_with(':')
    {
        return (Token::Field(&text[..length]), length + 1);
    }
    let ends = |c: char| c.is_whitespace() || matches!(c, '(' | ')');
    let length = text.find(ends).unwrap_or(text.len());
    match &text[..length] {
        "OR" => (Token::Or, length),
        word => (Token::Word(word), length),
    }
}

fn ends_value(c: char, kind: Kind) -> bool {
    c.is_whitespace() || c == ')' || c == ',' && kind == Kind::Names
}

/// How long the plain value is that a text begins with, and how many of its parentheses are open.
/// A quote ends it, too, but none may stand there.
pub(super) fn plain(text: &str, kind: Kind) -> (usize, usize) {
    let mut open = 0;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if kind == Kind::Pattern => {
                chars.next();
            }
            '(' => open += 1,
            ')' if open > 0 => open -= 1,
            '"' => return (at, open),
            c if ends_value(c, kind) => return (at, open),
            _ => {}
        }
    }
    (text.len(), open)
}

/// The value of a text that begins with a quote, and how long it is with its quotes; `None` if no
/// quote closes it.
fn unquote(text: &str) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, at + 1)),
            '\\' => match chars.next_if(|(_, c)| matches!(c, '"' | '\\')) {
                Some((_, escaped)) => value.push(escaped),
                None => value.push('\\'),
            },
            c => value.push(c),
        }
    }
    None
}
