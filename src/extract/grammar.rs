//! The grammars, each with the query that finds its definitions. A query is compiled at its first
//! use and shared by all threads.

use std::sync::OnceLock;

use tree_sitter::Query;

use crate::metadata::FilePath;

use super::language::Language;

/// What a capture of a query stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The definition of a class.
    Class,
    /// The definition of a function; its place tells whether it is a method.
    Function,
    /// What gives its functions to the class that its `Owner` names.
    Scope,
    /// A definition whose body begins with the string at `Doc`.
    Documented,
    /// The definition's name.
    Name,
    /// C's spelling of a name: the name is somewhere inside.
    Declarator,
    /// The list of parameters, or the only one.
    Parameters,
    /// The type that a method belongs to, as written.
    Owner,
    /// The same, and it knows better than another match of the same definition.
    Trait,
    /// The same, as Go's list of one parameter.
    Receiver,
    /// A documentation string.
    Doc,
    /// A comment.
    Comment,
    /// What may stand between a definition and its documentation.
    Attribute,
    /// Only compared inside the query: its name starts with `_`.
    Compared,
}

impl Role {
    fn named(name: &str) -> Option<Role> {
        Some(match name {
            "class" => Role::Class,
            "function" => Role::Function,
            "scope" => Role::Scope,
            "documented" => Role::Documented,
            "name" => Role::Name,
            "declarator" => Role::Declarator,
            "parameters" => Role::Parameters,
            "owner" => Role::Owner,
            "trait" => Role::Trait,
            "receiver" => Role::Receiver,
            "doc" => Role::Doc,
            "comment" => Role::Comment,
            "attribute" => Role::Attribute,
            name if name.starts_with('_') => Role::Compared,
            _ => return None,
        })
    }
}

/// A grammar with its query.
#[derive(Debug)]
pub(super) struct Grammar {
    pub(super) language: tree_sitter::Language,
    pub(super) query: Query,
    /// The role of each capture, by its index.
    pub(super) roles: Vec<Role>,
}

impl Grammar {
    // Grammars and queries are compiled in, and a test compiles each: neither can fail here.
    fn new(language: tree_sitter::Language, query: &str) -> Self {
        let query = Query::new(&language, query).expect("a query of ours fits its grammar");
        let roles = query
            .capture_names()
            .iter()
            .map(|name| Role::named(name).expect("a query of ours uses the captures of `Role`"))
            .collect();
        Grammar {
            language,
            query,
            roles,
        }
    }
}

/// The grammar in a cell of its own, compiled once.
macro_rules! grammar {
    ($language:expr, $query:literal) => {{
        static CELL: OnceLock<Grammar> = OnceLock::new();
        CELL.get_or_init(|| Grammar::new($language.into(), include_str!($query)))
    }};
}

/// The grammar for a file; none if its language is only recognised.
pub(super) fn of(language: Language, path: &FilePath) -> Option<&'static Grammar> {
    Some(match language.name() {
        "python" => grammar!(tree_sitter_python::LANGUAGE, "queries/python.scm"),
        "rust" => grammar!(tree_sitter_rust::LANGUAGE, "queries/rust.scm"),
        "javascript" => grammar!(tree_sitter_javascript::LANGUAGE, "queries/javascript.scm"),
        // Inside `.tsx`, `<T>x` is an element and no cast: the two need grammars of their own.
        "typescript" if path.as_str().ends_with(".tsx") => {
            grammar!(
                tree_sitter_typescript::LANGUAGE_TSX,
                "queries/typescript.scm"
            )
        }
        "typescript" => {
            grammar!(
                tree_sitter_typescript::LANGUAGE_TYPESCRIPT,
                "queries/typescript.scm"
            )
        }
        "go" => grammar!(tree_sitter_go::LANGUAGE, "queries/go.scm"),
        "java" => grammar!(tree_sitter_java::LANGUAGE, "queries/java.scm"),
        "c" => grammar!(tree_sitter_c::LANGUAGE, "queries/c.scm"),
        #[cfg(feature = "extract-more")]
        "cpp" => grammar!(tree_sitter_cpp::LANGUAGE, "queries/cpp.scm"),
        #[cfg(feature = "extract-more")]
        "ruby" => grammar!(tree_sitter_ruby::LANGUAGE, "queries/ruby.scm"),
        #[cfg(feature = "extract-more")]
        "csharp" => grammar!(tree_sitter_c_sharp::LANGUAGE, "queries/csharp.scm"),
        #[cfg(feature = "extract-more")]
        "php" => grammar!(tree_sitter_php::LANGUAGE_PHP, "queries/php.scm"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_query_fits_its_grammar() {
        let path = FilePath::new("a").unwrap();
        let parsed = Language::all()
            .filter(|language| of(*language, &path).is_some())
            .count();
        assert_eq!(
            parsed,
            if cfg!(feature = "extract-more") {
                11
            } else {
                7
            }
        );
        of(
            Language::named("typescript").unwrap(),
            &FilePath::new("a.tsx").unwrap(),
        );
    }
}
