//! From definitions in the order of a file to its functions and classes: nesting decides what is a
//! method, and comments before a definition become its documentation. No parser in here.

use std::collections::{HashMap, HashSet};

use smol_str::SmolStr;

use crate::metadata::{Class, Function, LineRange};

use super::{comment, header};

/// What a definition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A class, whose nested functions are its methods.
    Class,
    /// Not a definition: gives its functions to the class of its name (`impl` in Rust).
    Scope,
    /// A function or method.
    Function,
}

/// One definition, as it was found.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) kind: Kind,
    /// Bytes, from and up to.
    pub(super) start: usize,
    pub(super) end: usize,
    /// Lines, counted from 1, both included.
    pub(super) lines: (u32, u32),
    pub(super) name: SmolStr,
    pub(super) parameters: Vec<SmolStr>,
    /// The class that it says it belongs to, wherever it stands.
    pub(super) owner: Option<SmolStr>,
    /// Takes the place of another of the same bytes and kind, whatever the names.
    pub(super) overrides: bool,
}

/// A comment, or an attribute that may stand between a comment and its definition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trivia {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) lines: (u32, u32),
    pub(super) is_comment: bool,
}

/// All that was found in a file.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) definitions: Vec<Definition>,
    /// In any order; sorted here.
    pub(super) trivia: Vec<Trivia>,
    /// Documentation strings, by the byte where their definition starts.
    pub(super) docstrings: HashMap<usize, (usize, usize)>,
}

/// The functions and classes of a file.
#[derive(Debug, Default)]
pub(super) struct Outline {
    pub(super) functions: Vec<Function>,
    pub(super) classes: Vec<Class>,
    /// Where comments start that document something.
    pub(super) documentation: HashSet<usize>,
}

/// An enclosing definition while its inside is read.
struct Enclosing {
    end: usize,
    class: Option<usize>,
}

/// Puts definitions in their places. A function belongs to the class that it names, else to the
/// class around it, unless another function stands between: then it is a function of the file.
/// A class that is only spoken of (`impl Type` without `Type`) gets an entry of its own.
/// `inner_docs` says that `//!` documents what encloses it.
pub(super) fn outline(text: &str, mut found: Found, inner_docs: bool) -> Outline {
    found.trivia.sort_unstable_by_key(|trivia| trivia.start);
    // Outer before inner; of two definitions of one node, the one that knows more.
    found.definitions.sort_by(|a, b| {
        let place = |d: &Definition| (d.start, std::cmp::Reverse(d.end), d.kind);
        let known = |d: &Definition| (d.overrides, d.owner.is_some(), d.parameters.len());
        place(a)
            .cmp(&place(b))
            .then_with(|| known(b).cmp(&known(a)))
    });
    let mut out = Outline::default();
    // Classes by name: those the file defines, and those it only gives methods to.
    let mut defined: HashMap<SmolStr, usize> = HashMap::new();
    for class in found.definitions.iter().filter(|d| d.kind == Kind::Class) {
        defined.entry(class.name.clone()).or_insert(usize::MAX);
    }
    // Methods of classes that are defined further down, put there in the end.
    let mut waiting: Vec<(SmolStr, Function)> = Vec::new();
    let mut waiting_scopes: Vec<SmolStr> = Vec::new();
    let mut around: Vec<Enclosing> = Vec::new();
    let mut last: Option<(usize, usize, Kind, SmolStr, bool)> = None;

    for definition in std::mem::take(&mut found.definitions) {
        let same = last
            .as_ref()
            .is_some_and(|(start, end, kind, name, overrides)| {
                let place = (definition.start, definition.end, definition.kind);
                (*start, *end, *kind) == place && (*overrides || *name == definition.name)
            });
        if same {
            continue;
        }
        last = Some((
            definition.start,
            definition.end,
            definition.kind,
            definition.name.clone(),
            definition.overrides,
        ));
        while around
            .last()
            .is_some_and(|outer| outer.end <= definition.start)
        {
            around.pop();
        }
        let Definition {
            kind,
            start,
            end,
            lines,
            name,
            parameters,
            owner,
            ..
        } = definition;
        let line_range = LineRange::new(Some(lines.0), Some(lines.1)).unwrap_or_default();
        match kind {
            Kind::Class => {
                // `typedef struct name { … } name;` is one class.
                let outer = around
                    .last()
                    .and_then(|outer| outer.class)
                    .and_then(|at| out.classes.get(at));
                if outer.is_some_and(|outer| {
                    outer.name.as_ref() == Some(&name) && outer.line_range.start() == Some(lines.0)
                }) {
                    continue;
                }
                let doc_sections = found.documentation(text, start, lines.0, inner_docs, &mut out);
                let index = out.classes.len();
                defined.insert(name.clone(), index);
                out.classes.push(Class {
                    name: Some(name),
                    doc_sections,
                    methods: Vec::new(),
                    line_range,
                });
                around.push(Enclosing {
                    end,
                    class: Some(index),
                });
            }
            Kind::Scope => {
                let class = match defined.get(&name) {
                    Some(&usize::MAX) => {
                        // Defined further down: an index into `waiting_scopes`, from the top.
                        waiting_scopes.push(name);
                        usize::MAX - waiting_scopes.len()
                    }
                    Some(&index) => index,
                    None => {
                        let index = out.classes.len();
                        defined.insert(name.clone(), index);
                        out.classes.push(Class {
                            line_range,
                            ..Class::named(name)
                        });
                        index
                    }
                };
                around.push(Enclosing {
                    end,
                    class: Some(class),
                });
            }
            Kind::Function => {
                let doc_sections = found.documentation(text, start, lines.0, inner_docs, &mut out);
                let function = Function {
                    name: Some(name),
                    doc_sections,
                    parameters,
                    line_range,
                };
                match (owner, around.last().and_then(|outer| outer.class)) {
                    (Some(owner), _) => match defined.get(&owner) {
                        Some(&usize::MAX) => waiting.push((owner, function)),
                        Some(&index) => out.classes[index].methods.push(function),
                        None => {
                            defined.insert(owner.clone(), out.classes.len());
                            out.classes
                                .push(Class::named(owner).lines(line_range).method(function));
                        }
                    },
                    (None, Some(class)) => match out.classes.get_mut(class) {
                        Some(class) => class.methods.push(function),
                        None => {
                            let scope = &waiting_scopes[usize::MAX - 1 - class];
                            waiting.push((scope.clone(), function));
                        }
                    },
                    (None, None) => out.functions.push(function),
                }
                around.push(Enclosing { end, class: None });
            }
        }
    }
    for (owner, method) in waiting {
        if let Some(class) = defined
            .get(&owner)
            .and_then(|index| out.classes.get_mut(*index))
        {
            class.methods.push(method);
        }
    }
    for class in &mut out.classes {
        class
            .methods
            .sort_by_key(|method| method.line_range.start());
    }
    out
}

impl Found {
    /// The documentation of the definition that starts at this byte and line: the string that
    /// begins its body, else the comments right above it.
    fn documentation(
        &self,
        text: &str,
        start: usize,
        line: u32,
        inner_docs: bool,
        out: &mut Outline,
    ) -> crate::metadata::DocSections {
        if let Some(&(from, to)) = self.docstrings.get(&start) {
            return header::documentation(&comment::plain(&text[from..to]));
        }
        let Some((first, last)) = self.comments_above(text, start, line, inner_docs) else {
            return crate::metadata::DocSections::default();
        };
        out.documentation.insert(last.start);
        header::documentation(&comment::plain(&text[first.start..last.end]))
    }

    /// The first and last of the comments that end right above a definition. Attributes may stand
    /// between; blank lines and code may not. A block comment stands alone.
    fn comments_above(
        &self,
        text: &str,
        start: usize,
        line: u32,
        inner_docs: bool,
    ) -> Option<(Trivia, Trivia)> {
        let above = self.trivia.partition_point(|trivia| trivia.start < start);
        let mut line = line;
        let mut block: Option<(Trivia, Trivia)> = None;
        for trivia in self.trivia[..above].iter().rev() {
            let raw = &text[trivia.start..trivia.end];
            if trivia.end > start || trivia.lines.1 + 1 < line {
                break;
            }
            if !trivia.is_comment {
                if block.is_some() {
                    break;
                }
                line = trivia.lines.0;
                continue;
            }
            let alone = text[..trivia.start]
                .bytes()
                .rev()
                .take_while(|b| *b != b'\n')
                .all(|b| b.is_ascii_whitespace());
            let is_block = raw.starts_with("/*");
            if !alone
                || (inner_docs && (raw.starts_with("//!") || raw.starts_with("/*!")))
                || raw.starts_with("#!")
                || (is_block && block.is_some())
            {
                break;
            }
            block = Some((*trivia, block.map_or(*trivia, |(_, last)| last)));
            if is_block {
                break;
            }
            line = trivia.lines.0;
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(kind: Kind, start: usize, end: usize, name: &str) -> Definition {
        let line = u32::try_from(start).unwrap() + 1;
        Definition {
            kind,
            start,
            end,
            lines: (line, line),
            name: name.into(),
            parameters: Vec::new(),
            owner: None,
            overrides: false,
        }
    }

    fn shape(definitions: Vec<Definition>) -> (String, String) {
        let found = Found {
            definitions,
            ..Found::default()
        };
        let out = outline("", found, false);
        let names = |list: &[Function]| {
            list.iter()
                .map(|f| f.name.as_deref().unwrap())
                .collect::<Vec<_>>()
                .join(" ")
        };
        let classes = out
            .classes
            .iter()
            .map(|c| format!("{}({})", c.name.as_deref().unwrap(), names(&c.methods)))
            .collect::<Vec<_>>()
            .join(" ");
        (names(&out.functions), classes)
    }

    #[test]
    fn nesting_decides_what_is_a_method() {
        use Kind::{Class, Function};
        let (functions, classes) = shape(vec![
            definition(Function, 2, 9, "m"),
            definition(Class, 0, 20, "A"),
            definition(Function, 3, 5, "inner"),
            definition(Class, 10, 15, "B"),
            definition(Function, 11, 12, "n"),
            definition(Function, 16, 17, "o"),
            definition(Function, 30, 31, "f"),
            definition(Function, 30, 31, "f"),
        ]);
        assert_eq!(functions, "inner f");
        assert_eq!(classes, "A(m o) B(n)");
    }

    #[test]
    fn a_scope_gives_its_methods_to_its_class_wherever_that_is_defined() {
        use Kind::{Class, Function, Scope};
        let (functions, classes) = shape(vec![
            definition(Scope, 0, 9, "Later"),
            definition(Function, 1, 2, "early"),
            definition(Scope, 10, 19, "Foreign"),
            definition(Function, 11, 12, "x"),
            definition(Class, 20, 29, "Later"),
            definition(Scope, 30, 39, "Later"),
            definition(Function, 31, 32, "late"),
            definition(Scope, 40, 49, "Foreign"),
            definition(Function, 41, 42, "y"),
        ]);
        assert_eq!(functions, "");
        assert_eq!(classes, "Foreign(x y) Later(early late)");
    }
}
