//! `TreeSitterExtractor`: parses a file, runs the query of its language over the tree once, and
//! hands what it found to the outline. Time, line length and tree size are bounded; nothing here
//! recurses on the depth of a tree.

use std::ops::ControlFlow;

use parking_lot::Mutex;
use smol_str::SmolStr;
use streaming_iterator::StreamingIterator;
use tree_sitter::{Node, ParseOptions, Parser, QueryCursor, QueryCursorOptions, Tree};

use crate::metadata::FileMetadata;

use super::grammar::{self, Grammar, Role};
use super::language::{Language, document_type};
use super::outline::{Definition, Found, Kind, Outline, Trivia, outline};
use super::skip::SkipReason;
use super::source::{Budget, Extractor, Source};
use super::{comment, header, references};

/// The number of [`TreeSitterExtractor`]'s records: raise it with every change of a query, a
/// grammar or a rule that changes what some file yields.
pub const EXTRACTOR_VERSION: u32 = 1;

/// The longest line of a file that is parsed, by default. Longer ones are made by machines
/// (minified, generated), and their names help nobody.
pub const MAX_LINE_BYTES: usize = 65_536;

/// At most this many half-finished matches of a query: one for each definition that encloses a
/// place. Real code nests a few dozen deep.
const MATCH_LIMIT: u32 = 4096;

/// The longest name kept; longer ones are no names.
const MAX_NAME_BYTES: usize = 256;

/// The longest parameter kept, as a default value can be a table.
const MAX_PARAMETER_BYTES: usize = 512;

/// A parser that has read a file larger than this is not kept: it would hold the memory.
const KEEP_PARSER_BYTES: usize = 1 << 20;

/// Progress callbacks of a parser come every few microseconds, and asking for the time costs a
/// system call.
const PARSE_CALLBACKS_PER_CHECK: u32 = 32;

/// Those of a query come slowly in deep trees: each of its steps can climb to the root.
const QUERY_CALLBACKS_PER_CHECK: u32 = 1;

/// The extractor that is built in: tree-sitter's parsers with queries of our own.
#[derive(Debug)]
pub struct TreeSitterExtractor {
    max_line_bytes: usize,
    /// Parsers not in use; at most one for each thread that ever extracted at once.
    parsers: Mutex<Vec<Idle>>,
}

struct Idle(Parser, QueryCursor);

impl std::fmt::Debug for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Idle")
    }
}

impl Default for TreeSitterExtractor {
    fn default() -> Self {
        Self::new()
    }
}

impl TreeSitterExtractor {
    /// An extractor with the default limits.
    pub fn new() -> Self {
        TreeSitterExtractor {
            max_line_bytes: MAX_LINE_BYTES,
            parsers: Mutex::default(),
        }
    }

    /// The same with another limit on the lines of files that are parsed.
    #[must_use]
    pub fn max_line_bytes(mut self, limit: usize) -> Self {
        self.max_line_bytes = limit;
        self
    }

    /// Parses with a parser from the pool, and finds. A parser that gave up or read much is
    /// dropped, so that neither its state nor its memory stays.
    fn find(
        &self,
        grammar: &Grammar,
        text: &str,
        budget: &Budget<'_>,
    ) -> Result<Found, SkipReason> {
        let idle = self.parsers.lock().pop();
        let Idle(mut parser, mut cursor) =
            idle.unwrap_or_else(|| Idle(Parser::new(), QueryCursor::new()));
        let tree = parse(&mut parser, grammar, text, budget)?;
        let found = search(&mut cursor, grammar, &tree, text, budget)?;
        if text.len() <= KEEP_PARSER_BYTES {
            self.parsers.lock().push(Idle(parser, cursor));
        }
        Ok(found)
    }
}

impl Extractor for TreeSitterExtractor {
    fn version(&self) -> u32 {
        EXTRACTOR_VERSION
    }

    fn extract(
        &self,
        source: &Source<'_>,
        budget: &Budget<'_>,
    ) -> Result<FileMetadata, SkipReason> {
        let mut record = FileMetadata::new(source.path.clone());
        record.document_type = document_type(source.path, source.language);
        let Some(language) = source.language else {
            return Ok(record);
        };
        record.language = Some(SmolStr::new_static(language.name()));
        let text = source.text;
        let blocks = comment::leading(text, language.comments());
        let header_end = blocks.last().map_or(0, |block| block.end);
        match grammar::of(language, source.path) {
            Some(grammar) => {
                check_lines(text, self.max_line_bytes)?;
                let found = self.find(grammar, text, budget)?;
                let documents = cited(source, &found, header_end);
                let Outline {
                    functions,
                    classes,
                    documentation,
                } = outline(text, found, language.name() == "rust");
                record.functions = functions;
                record.classes = classes;
                record.header_sections = header::header(source.path, &blocks, documents, |block| {
                    documentation.contains(&block.last_start)
                });
            }
            None => {
                let documents = match language.name() {
                    "markdown" => references::links(source.path, text, source.exists),
                    // Documents of other mark-up: wherever they name one.
                    "rst" | "asciidoc" | "text" => {
                        references::mentioned(source.path, text, |_| true, source.exists)
                    }
                    _ => mentioned_after_marker(source, language, header_end),
                };
                record.header_sections = header::header(source.path, &blocks, documents, |_| false);
                if language.name() == "markdown" && record.header_sections.intent.is_none() {
                    record.header_sections.intent = opening(text);
                }
            }
        }
        Ok(record)
    }
}

/// # Errors
/// `LineTooLong`, naming the first such line.
fn check_lines(text: &str, limit: usize) -> Result<(), SkipReason> {
    if text.len() <= limit {
        return Ok(());
    }
    for (index, line) in text.as_bytes().split(|byte| *byte == b'\n').enumerate() {
        if line.len() > limit {
            let line = u32::try_from(index + 1).unwrap_or(u32::MAX);
            return Err(SkipReason::LineTooLong { line, limit });
        }
    }
    Ok(())
}

/// Asks the budget now and then, and keeps its first refusal.
struct Watch<'a> {
    budget: &'a Budget<'a>,
    calls: u32,
    every: u32,
    refusal: Option<SkipReason>,
}

impl<'a> Watch<'a> {
    fn new(budget: &'a Budget<'a>, every: u32) -> Self {
        Watch {
            budget,
            calls: 0,
            every,
            refusal: None,
        }
    }

    fn tick(&mut self) -> ControlFlow<()> {
        self.calls = self.calls.wrapping_add(1);
        if !self.calls.is_multiple_of(self.every) {
            return ControlFlow::Continue(());
        }
        match self.budget.check() {
            Ok(()) => ControlFlow::Continue(()),
            Err(reason) => {
                self.refusal = Some(reason);
                ControlFlow::Break(())
            }
        }
    }
}

fn parse(
    parser: &mut Parser,
    grammar: &Grammar,
    text: &str,
    budget: &Budget<'_>,
) -> Result<Tree, SkipReason> {
    parser
        .set_language(&grammar.language)
        .map_err(|error| SkipReason::Declined(format!("its grammar does not load: {error}")))?;
    let mut watch = Watch::new(budget, PARSE_CALLBACKS_PER_CHECK);
    let bytes = text.as_bytes();
    let tree = parser.parse_with_options(
        &mut |at, _| bytes.get(at..).unwrap_or_default(),
        None,
        Some(ParseOptions::new().progress_callback(&mut |_| watch.tick())),
    );
    match (tree, watch.refusal) {
        (Some(tree), _) => Ok(tree),
        (None, Some(refusal)) => Err(refusal),
        (None, None) => Err(SkipReason::TooComplex),
    }
}

/// Runs the query over the tree, once.
fn search(
    cursor: &mut QueryCursor,
    grammar: &Grammar,
    tree: &Tree,
    text: &str,
    budget: &Budget<'_>,
) -> Result<Found, SkipReason> {
    cursor.set_match_limit(MATCH_LIMIT);
    let mut watch = Watch::new(budget, QUERY_CALLBACKS_PER_CHECK);
    let mut tick = |_: &_| watch.tick();
    let options = QueryCursorOptions::new().progress_callback(&mut tick);
    let mut found = Found::default();
    let mut matches =
        cursor.matches_with_options(&grammar.query, tree.root_node(), text.as_bytes(), options);
    while let Some(one) = matches.next() {
        let mut parts = Parts::default();
        for capture in one.captures() {
            parts.put(grammar.roles[capture.index as usize], capture.node);
        }
        parts.into_found(text, &mut found);
    }
    drop(matches);
    if let Some(refusal) = watch.refusal {
        return Err(refusal);
    }
    if cursor.did_exceed_match_limit() {
        // Some matches were dropped, and nobody knows which.
        return Err(SkipReason::TooComplex);
    }
    Ok(found)
}

/// The captures of one match.
#[derive(Default)]
struct Parts<'t> {
    whole: Option<(Kind, Node<'t>)>,
    documented: Option<Node<'t>>,
    name: Option<Node<'t>>,
    declarator: Option<Node<'t>>,
    parameters: Option<Node<'t>>,
    owner: Option<Node<'t>>,
    receiver: Option<Node<'t>>,
    /// Whether this match takes the place of another of the same definition.
    overrides: bool,
    doc: Option<Node<'t>>,
    trivia: Option<(Node<'t>, bool)>,
}

impl<'t> Parts<'t> {
    fn put(&mut self, role: Role, node: Node<'t>) {
        match role {
            Role::Class => self.whole = Some((Kind::Class, node)),
            Role::Function => self.whole = Some((Kind::Function, node)),
            Role::Scope => self.whole = Some((Kind::Scope, node)),
            Role::Documented => self.documented = Some(node),
            Role::Name => self.name = Some(node),
            Role::Declarator => self.declarator = Some(node),
            Role::Parameters => self.parameters = Some(node),
            Role::Owner => self.owner = Some(node),
            Role::Trait => (self.owner, self.overrides) = (Some(node), true),
            Role::Receiver => self.receiver = Some(node),
            Role::Doc => self.doc = Some(node),
            Role::Comment => self.trivia = Some((node, true)),
            Role::Attribute => self.trivia = Some((node, false)),
            Role::Compared => {}
        }
    }

    fn into_found(self, text: &str, found: &mut Found) {
        if let Some((node, is_comment)) = self.trivia {
            let lines = lines(node);
            found.trivia.push(Trivia {
                start: node.start_byte(),
                end: node.end_byte(),
                lines,
                is_comment,
            });
        } else if let (Some(definition), Some(doc)) = (self.documented, self.doc) {
            found
                .docstrings
                .insert(definition.start_byte(), (doc.start_byte(), doc.end_byte()));
        } else if let Some((kind, node)) = self.whole {
            found.definitions.extend(self.definition(kind, node, text));
        }
    }

    fn definition(self, kind: Kind, node: Node<'t>, text: &str) -> Option<Definition> {
        let mut owner = self.owner.map(|owner| type_name(&text[owner.byte_range()]));
        if let Some(receiver) = self.receiver {
            owner = receiver_name(&text[receiver.byte_range()]);
        }
        let mut parameters = self.parameters;
        let name = match (self.name, self.declarator) {
            (Some(name), _) => name_of(&text[name.byte_range()])?,
            (None, Some(declarator)) => {
                let declared = Declared::read(declarator)?;
                parameters = Some(declared.parameters);
                owner = declared
                    .scope
                    .map(|scope| type_name(&text[scope.byte_range()]));
                name_of(&text[declared.name.byte_range()])?
            }
            (None, None) => owner.take()?,
        };
        if name.is_empty() {
            return None;
        }
        Some(Definition {
            kind,
            start: node.start_byte(),
            end: node.end_byte(),
            lines: lines(node),
            name,
            parameters: parameters
                .map(|list| parameters_of(list, text))
                .unwrap_or_default(),
            overrides: self.overrides,
            owner: owner.filter(|owner| !owner.is_empty()),
        })
    }
}

/// The lines of a node, counted from 1, both included. A node that takes in its line's end does
/// not reach into the next line.
fn lines(node: Node<'_>) -> (u32, u32) {
    let (start, end) = (node.start_position(), node.end_position());
    let last = if end.column == 0 && end.row > start.row {
        end.row - 1
    } else {
        end.row
    };
    let line = |row: usize| u32::try_from(row + 1).unwrap_or(u32::MAX);
    (line(start.row), line(last))
}

/// A name without quotes and `r#`; none if it is no name at all.
fn name_of(raw: &str) -> Option<SmolStr> {
    let name = raw.trim_matches(['"', '\'']);
    let name = name.strip_prefix("r#").unwrap_or(name);
    (!name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.contains('\n'))
        .then(|| SmolStr::from(name))
}

/// The type of a Go receiver: `(s *Server[K, V])` is `Server`.
fn receiver_name(raw: &str) -> Option<SmolStr> {
    let is_name = |word: &&str| word.chars().all(|c| c.is_alphanumeric() || c == '_');
    let before_arguments = raw.split('[').next()?;
    let mut words = before_arguments.split(|c: char| c.is_whitespace() || "(*),".contains(c));
    words
        .rfind(|word| !word.is_empty())
        .filter(is_name)
        .map(SmolStr::from)
}

/// The bare name of a type as written: `&'a mut path::Vec<T>` is `Vec`. A type without a name
/// (`[T]`, `(A, B)`) is kept as written.
fn type_name(raw: &str) -> SmolStr {
    let mut text = raw.trim().trim_start_matches(['&', '*', ' ']);
    if text.starts_with('\'') {
        text = text
            .split_once(' ')
            .map_or(text, |(_, rest)| rest.trim_start());
    }
    for word in ["mut ", "const ", "dyn "] {
        text = text.strip_prefix(word).map_or(text, str::trim_start);
    }
    let name = if text.starts_with(['[', '(', '<']) {
        text
    } else {
        let text = text
            .split(['<', '[', ' ', '\n', '+', '(', '!'])
            .next()
            .unwrap_or(text);
        text.rsplit("::").next().unwrap_or(text)
    };
    let name = if name.is_empty() { text } else { name };
    let name = name.strip_prefix("r#").unwrap_or(name);
    SmolStr::from(&name[..name.floor_char_boundary(MAX_NAME_BYTES)])
}

/// The parameters of a list, each as written, on one line; a single parameter without a list is
/// itself. Commas part them, as some grammars spread one parameter over several nodes.
fn parameters_of(list: Node<'_>, text: &str) -> Vec<SmolStr> {
    let mut out = Vec::new();
    let mut open: Option<std::ops::Range<usize>> = None;
    let mut cursor = list.walk();
    if !text[list.byte_range()].starts_with(['(', '|']) {
        // Python's lambda has a list without parentheses, JavaScript's arrow a bare name.
        if list.child_count() == 0 || list.kind() != "lambda_parameters" {
            return vec![one_line(&text[list.byte_range()])];
        }
    }
    let mut more = cursor.goto_first_child();
    while more {
        let node = cursor.node();
        match node.kind() {
            "(" | ")" | "|" => {}
            "," | ";" => out.extend(open.take()),
            _ if node.is_extra() => {}
            _ => {
                let start = open.map_or(node.start_byte(), |open| open.start);
                open = Some(start..node.end_byte());
            }
        }
        more = cursor.goto_next_sibling();
    }
    out.extend(open);
    let parameters = out.into_iter().map(|range| one_line(&text[range]));
    // C's way to say "none".
    parameters.filter(|parameter| parameter != "void").collect()
}

fn one_line(raw: &str) -> SmolStr {
    let raw = &raw[..raw.floor_char_boundary(MAX_PARAMETER_BYTES)];
    if !raw.contains(['\n', '\t']) {
        return SmolStr::from(raw);
    }
    SmolStr::from(raw.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// A function's name as C writes it: inside pointers, parentheses and qualifications.
struct Declared<'t> {
    name: Node<'t>,
    parameters: Node<'t>,
    /// The class, for C++'s `Class::method`.
    scope: Option<Node<'t>>,
}

/// A declarator nests once for each `*`, `&` or `()`; more than this is no real declaration.
const MAX_DECLARATOR_DEPTH: usize = 64;

impl<'t> Declared<'t> {
    /// None if what is declared is no function: a variable, or a pointer to a function.
    fn read(declarator: Node<'t>) -> Option<Self> {
        let mut node = declarator;
        let mut parameters = None;
        let mut scope = None;
        let mut pointer = false;
        for _ in 0..MAX_DECLARATOR_DEPTH {
            node = match node.kind() {
                "function_declarator" => {
                    parameters = node.child_by_field_name("parameters");
                    pointer = false;
                    node.child_by_field_name("declarator")?
                }
                "pointer_declarator" | "reference_declarator" => {
                    pointer = true;
                    node.child_by_field_name("declarator")
                        .or_else(|| last_named_child(node))?
                }
                "parenthesized_declarator" | "attributed_declarator" => last_named_child(node)?,
                "qualified_identifier" => {
                    scope = node.child_by_field_name("scope").or(scope);
                    node.child_by_field_name("name")?
                }
                "template_function" | "template_method" => node.child_by_field_name("name")?,
                "identifier" | "field_identifier" | "type_identifier" | "destructor_name"
                | "operator_name" | "primitive_type" => {
                    let parameters = parameters.filter(|_| !pointer)?;
                    return Some(Declared {
                        name: node,
                        parameters,
                        scope,
                    });
                }
                _ => return None,
            };
        }
        None
    }
}

fn last_named_child(node: Node<'_>) -> Option<Node<'_>> {
    let count = u32::try_from(node.named_child_count()).ok()?;
    (0..count)
        .rev()
        .filter_map(|index| node.named_child(index))
        .find(|child| child.kind().ends_with("declarator") || child.kind().ends_with("identifier"))
}

/// The documents that the header, comments and documentation strings mention.
fn cited(source: &Source<'_>, found: &Found, header_end: usize) -> Vec<String> {
    if references::mentions(source.text).next().is_none() {
        return Vec::new();
    }
    // Comments and documentation strings never overlap.
    let comments = found.trivia.iter().filter(|trivia| trivia.is_comment);
    let mut spans: Vec<(usize, usize)> = comments.map(|c| (c.start, c.end)).collect();
    spans.extend(found.docstrings.values());
    spans.sort_unstable();
    let is_comment = |end: usize| {
        let after = spans.partition_point(|(start, _)| *start < end);
        end <= header_end || after.checked_sub(1).is_some_and(|at| spans[at].1 >= end)
    };
    references::mentioned(source.path, source.text, is_comment, source.exists)
}

/// For languages without a grammar: the documents that stand after a comment marker on their
/// line, or in a header comment.
fn mentioned_after_marker(
    source: &Source<'_>,
    language: Language,
    header_end: usize,
) -> Vec<String> {
    let (text, comments) = (source.text, language.comments());
    let is_comment = |end: usize| {
        let line = text[..end].rfind('\n').map_or(0, |at| at + 1);
        let before = &text[line..end];
        end <= header_end
            || comments.line.iter().any(|marker| before.contains(marker))
            || comments.block.iter().any(|(open, _)| before.contains(open))
    };
    references::mentioned(source.path, text, is_comment, source.exists)
}

/// How a Markdown page opens: its first paragraph, else its first heading.
fn opening(text: &str) -> Option<String> {
    let mut heading = None;
    let mut paragraph = String::new();
    let body = front_matter_end(text).map_or(text, |at| &text[at..]);
    for line in references::prose_lines(body) {
        let line = line.trim();
        if line.is_empty() || line.starts_with("<!--") {
            if !paragraph.is_empty() {
                break;
            }
        } else if line.starts_with('#') {
            if !paragraph.is_empty() {
                break;
            }
            heading.get_or_insert_with(|| line.trim_matches(['#', ' ']).to_owned());
        } else if comment::is_rule(line) && !paragraph.is_empty() {
            // The heading was underlined.
            heading.get_or_insert(std::mem::take(&mut paragraph));
        } else if !(paragraph.is_empty() && is_decoration(line))
            && paragraph.len() < comment::MAX_INTENT_BYTES
        {
            if !paragraph.is_empty() {
                paragraph.push('\n');
            }
            paragraph.push_str(&line[..line.floor_char_boundary(comment::MAX_INTENT_BYTES)]);
        }
    }
    let parts = heading
        .into_iter()
        .chain((!paragraph.is_empty()).then_some(paragraph));
    let text = parts.collect::<Vec<_>>().join("\n\n");
    (!text.is_empty()).then_some(text)
}

/// Badges, rules, raw HTML and link definitions say nothing about a page.
fn is_decoration(line: &str) -> bool {
    comment::is_rule(line)
        || line.starts_with('<')
        || line.starts_with("[![")
        || line.starts_with("![")
        || (line.starts_with('[') && line.contains("]: "))
}

/// The end of YAML before a page.
fn front_matter_end(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("---\n")?;
    rest.find("\n---\n").map(|at| at + 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bare_name_of_a_type() {
        for (raw, name) in [
            ("Vec<T>", "Vec"),
            ("&'a mut path::Vec<T>", "Vec"),
            ("dyn Any + Send", "Any"),
            ("[T]", "[T]"),
            ("(A, B)", "(A, B)"),
            ("*const u8", "u8"),
            ("r#type", "type"),
        ] {
            assert_eq!(type_name(raw), name, "{raw}");
        }
        for (raw, name) in [
            ("(s *Server[K, V])", Some("Server")),
            ("(Server)", Some("Server")),
            ("(x ((*((T)))),)", Some("T")),
            ("(/* x */)", None),
        ] {
            assert_eq!(receiver_name(raw).as_deref(), name, "{raw}");
        }
    }

    #[test]
    fn a_page_opens_with_its_heading_and_first_paragraph() {
        let page = "---\nt: x\n---\n# Title\n\n[![b](x)](y)\n\nFirst\nline.\n\nSecond.\n";
        assert_eq!(opening(page).as_deref(), Some("Title\n\nFirst\nline."));
        assert_eq!(
            opening("Title\n=====\n\nText"),
            Some("Title\n\nText".into())
        );
        assert_eq!(opening("```\ncode\n```\n"), None);
    }
}
