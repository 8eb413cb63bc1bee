//! Which language a file is in: by its name, its extension, or its first line. The table also says
//! how each language writes comments, because headers are read from files that no grammar parses.

use crate::metadata::{DocumentType, FilePath};

/// A language that this crate recognises. Many are only recognised: their files become records
/// with a language, a header and a digest, without functions.
#[derive(Clone, Copy)]
pub struct Language(&'static Entry);

struct Entry {
    name: &'static str,
    extensions: &'static [&'static str],
    /// Whole file names, lower-case.
    names: &'static [&'static str],
    /// Interpreters of a `#!` line.
    interpreters: &'static [&'static str],
    comments: &'static Comments,
    kind: DocumentType,
}

/// How a language writes comments.
#[derive(Debug)]
pub(super) struct Comments {
    /// What opens a comment that ends with its line.
    pub(super) line: &'static [&'static str],
    /// What opens and what closes a comment of several lines.
    pub(super) block: &'static [(&'static str, &'static str)],
    /// Lines that may stand before the header comment without ending it, by how they start.
    pub(super) prelude: &'static [&'static str],
}

const fn comments(
    line: &'static [&'static str],
    block: &'static [(&'static str, &'static str)],
    prelude: &'static [&'static str],
) -> Comments {
    Comments {
        line,
        block,
        prelude,
    }
}

const SLASH: &[&str] = &["//"];
const HASH: &[&str] = &["#"];
const STAR: &[(&str, &str)] = &[("/*", "*/")];
const ANGLE: &[(&str, &str)] = &[("<!--", "-->")];

static NONE: Comments = comments(&[], &[], &[]);
static SCRIPT: Comments = comments(HASH, &[], &["---", "%YAML"]);
static PYTHON: Comments = comments(
    HASH,
    &[("r\"\"\"", "\"\"\""), ("\"\"\"", "\"\"\""), ("'''", "'''")],
    &[],
);
static RUST: Comments = comments(SLASH, STAR, &["#!["]);
static CURLY: Comments = comments(SLASH, STAR, &["'use strict'", "\"use strict\""]);
static C: Comments = comments(SLASH, STAR, &["#pragma once", "#ifndef", "#define"]);
static PHP: Comments = comments(&["//", "#"], STAR, &["<?php", "declare("]);
static RUBY: Comments = comments(HASH, &[("=begin", "=end")], &[]);
static CSS: Comments = comments(&[], STAR, &["@charset"]);
static SCSS: Comments = comments(SLASH, STAR, &["@charset"]);
static MARKUP: Comments = comments(&[], ANGLE, &["<?xml", "<!DOCTYPE", "<!doctype"]);
static DASH: Comments = comments(&["--"], STAR, &[]);
static LUA: Comments = comments(&["--"], &[("--[[", "]]")], &[]);
static SEMICOLON: Comments = comments(&[";", "#"], &[], &[]);
static LISP: Comments = comments(&[";"], &[("#|", "|#")], &[]);
static PERCENT: Comments = comments(&["%"], &[], &[]);
static HASKELL: Comments = comments(&["--"], &[("{-", "-}")], &[]);
static TERRAFORM: Comments = comments(&["#", "//"], STAR, &[]);

const fn code(
    name: &'static str,
    extensions: &'static [&'static str],
    comments: &'static Comments,
) -> Entry {
    Entry {
        name,
        extensions,
        names: &[],
        interpreters: &[],
        comments,
        kind: DocumentType::Code,
    }
}

const fn config(
    name: &'static str,
    extensions: &'static [&'static str],
    comments: &'static Comments,
) -> Entry {
    Entry {
        kind: DocumentType::Config,
        ..code(name, extensions, comments)
    }
}

impl Entry {
    const fn names(self, names: &'static [&'static str]) -> Self {
        Entry { names, ..self }
    }

    const fn interpreters(self, interpreters: &'static [&'static str]) -> Self {
        Entry {
            interpreters,
            ..self
        }
    }
}

static TABLE: &[Entry] = &[
    code("python", &["py", "pyi", "pyw"], &PYTHON)
        .names(&["sconstruct", "sconscript", "wscript"])
        .interpreters(&["python", "python2", "python3", "pypy", "pypy3"]),
    code("rust", &["rs"], &RUST),
    code("javascript", &["js", "jsx", "mjs", "cjs"], &CURLY).interpreters(&["node", "nodejs"]),
    code("typescript", &["ts", "tsx", "mts", "cts"], &CURLY).interpreters(&["deno", "ts-node"]),
    code("go", &["go"], &CURLY),
    code("java", &["java"], &CURLY),
    code("c", &["c", "h"], &C),
    code(
        "cpp",
        &[
            "cpp", "cc", "cxx", "c++", "hpp", "hh", "hxx", "h++", "ipp", "tpp", "inl",
        ],
        &C,
    ),
    code("ruby", &["rb", "rake", "gemspec", "ru"], &RUBY)
        .names(&["rakefile", "gemfile", "vagrantfile", "podfile", "guardfile"])
        .interpreters(&["ruby"]),
    code("csharp", &["cs", "csx"], &CURLY),
    code("php", &["php", "phtml"], &PHP).interpreters(&["php"]),
    Entry {
        kind: DocumentType::Markdown,
        ..code("markdown", &["md", "markdown", "mdx"], &MARKUP)
    },
    // Recognised only.
    code("shell", &["sh", "bash", "zsh", "ksh", "fish"], &SCRIPT)
        .names(&[".bashrc", ".profile", ".zshrc", ".bash_profile"])
        .interpreters(&["sh", "bash", "zsh", "dash", "ksh", "fish"]),
    code("html", &["html", "htm", "xhtml"], &MARKUP),
    code("css", &["css"], &CSS),
    code("scss", &["scss", "sass"], &SCSS),
    code("less", &["less"], &SCSS),
    code("sql", &["sql"], &DASH),
    code("rst", &["rst"], &NONE),
    code("asciidoc", &["adoc", "asciidoc"], &NONE),
    code("text", &["txt"], &NONE),
    code("scala", &["scala", "sc"], &CURLY),
    code("kotlin", &["kt", "kts"], &CURLY),
    code("swift", &["swift"], &CURLY),
    code("groovy", &["groovy"], &CURLY),
    code("gradle", &["gradle"], &CURLY),
    code("dart", &["dart"], &CURLY),
    code("lua", &["lua"], &LUA).interpreters(&["lua"]),
    code("perl", &["pl", "pm", "t"], &SCRIPT).interpreters(&["perl"]),
    code("r", &["r"], &SCRIPT).interpreters(&["rscript"]),
    code("haskell", &["hs"], &HASKELL),
    code("elixir", &["ex", "exs"], &SCRIPT),
    code("erlang", &["erl", "hrl"], &PERCENT),
    code("clojure", &["clj", "cljs", "cljc"], &LISP),
    code("lisp", &["lisp", "el", "scm"], &LISP),
    code("zig", &["zig"], &CURLY),
    code("objective-c", &["m", "mm"], &C),
    code("protobuf", &["proto"], &CURLY),
    code("graphql", &["graphql", "gql"], &SCRIPT),
    code("vue", &["vue"], &MARKUP),
    code("svelte", &["svelte"], &MARKUP),
    code("tex", &["tex", "sty"], &PERCENT),
    code("powershell", &["ps1", "psm1"], &SCRIPT),
    code("makefile", &["mk", "mak"], &SCRIPT).names(&["makefile", "gnumakefile"]),
    code("cmake", &["cmake"], &SCRIPT).names(&["cmakelists.txt"]),
    code("dockerfile", &["dockerfile"], &SCRIPT).names(&["dockerfile", "containerfile"]),
    code("assembly", &["s", "asm"], &C),
    code("jupyter", &["ipynb"], &NONE),
    code("svg", &["svg"], &MARKUP),
    config("json", &["json", "jsonc", "json5", "webmanifest"], &NONE)
        .names(&[".babelrc", ".eslintrc"]),
    config("yaml", &["yaml", "yml"], &SCRIPT),
    config("toml", &["toml"], &SCRIPT).names(&["cargo.lock", "poetry.lock", "uv.lock", "pipfile"]),
    config(
        "ini",
        &["ini", "cfg", "conf", "properties", "editorconfig"],
        &SEMICOLON,
    )
    .names(&[".gitconfig", ".gitmodules"]),
    config(
        "xml",
        &[
            "xml", "xsd", "xsl", "xslt", "pom", "csproj", "props", "targets",
        ],
        &MARKUP,
    ),
    config("terraform", &["tf", "tfvars", "hcl"], &TERRAFORM),
    config("gitignore", &[], &SCRIPT).names(&[
        ".gitignore",
        ".gitattributes",
        ".dockerignore",
        ".npmignore",
        ".prettierignore",
    ]),
    config("go-module", &[], &CURLY).names(&["go.mod", "go.sum", "go.work"]),
];

/// Extensions of headers: files of declarations only.
const HEADERS: &[&str] = &["h", "hh", "hpp", "hxx", "h++"];

impl Language {
    /// The language of this name, without regard to ASCII case.
    pub fn named(name: &str) -> Option<Language> {
        TABLE
            .iter()
            .find(|entry| entry.name.eq_ignore_ascii_case(name))
            .map(Language)
    }

    /// The language of a file: by its whole name, then its extension, then, for a file without an
    /// extension, the interpreter of its first line. `head` is the beginning of its text. A `.h`
    /// file is C unless it opens a class, namespace or template.
    pub fn of(path: &FilePath, head: &[u8]) -> Option<Language> {
        let name = file_name(path).to_ascii_lowercase();
        if let Some(entry) = TABLE
            .iter()
            .find(|entry| entry.names.contains(&name.as_str()))
        {
            return Some(Language(entry));
        }
        match name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => {
                if extension == "h" && looks_like_cpp(head) {
                    return Language::named("cpp");
                }
                TABLE
                    .iter()
                    .find(|entry| entry.extensions.contains(&extension))
                    .map(Language)
            }
            _ => {
                let program = interpreter(head)?;
                TABLE
                    .iter()
                    .find(|entry| entry.interpreters.contains(&program))
                    .map(Language)
            }
        }
    }

    /// The name: lower-case, as it stands in records.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Every language that is recognised, parsed or not.
    pub fn all() -> impl Iterator<Item = Language> {
        TABLE.iter().map(Language)
    }

    pub(super) fn comments(self) -> &'static Comments {
        self.0.comments
    }
}

impl PartialEq for Language {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Language {}

impl std::fmt::Debug for Language {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Language({})", self.0.name)
    }
}

/// What kind of document a file is.
pub(super) fn document_type(path: &FilePath, language: Option<Language>) -> DocumentType {
    let extension = file_name(path)
        .rsplit_once('.')
        .map(|(_, e)| e.to_ascii_lowercase());
    match language {
        Some(l) if matches!(l.name(), "c" | "cpp") => match extension {
            Some(e) if HEADERS.contains(&e.as_str()) => DocumentType::Header,
            _ => DocumentType::Code,
        },
        Some(language) => language.0.kind,
        None => DocumentType::Code,
    }
}

pub(super) fn file_name(path: &FilePath) -> &str {
    path.as_str().rsplit('/').next().unwrap_or_default()
}

/// `#!/usr/bin/env -S python3.11 -u` is `python3`; digits after a dot do not matter.
fn interpreter(head: &[u8]) -> Option<&str> {
    let line = head
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let line = std::str::from_utf8(line.get(..256).unwrap_or(line)).ok()?;
    let mut words = line.split_whitespace();
    let base = |word: &'_ str| -> usize { word.rfind('/').map_or(0, |at| at + 1) };
    let mut program = words.next()?;
    if &program[base(program)..] == "env" {
        program = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
    }
    program = &program[base(program)..];
    Some(program.split('.').next().unwrap_or(program))
}

/// Whether a `.h` file is C++: a line that begins as only C++ does and ends as code does, so that
/// prose in a comment ("class of service") is not taken for it.
fn looks_like_cpp(head: &[u8]) -> bool {
    let head = head.get(..65_536).unwrap_or(head);
    head.split(|byte| *byte == b'\n').any(|line| {
        let line = line.trim_ascii();
        let ends_as_code = matches!(line.last(), Some(b'{' | b';' | b'>' | b':'));
        let starts = |word: &str| line.starts_with(word.as_bytes());
        (ends_as_code && (starts("class ") || starts("namespace ") || starts("using namespace ")))
            || [
                "template<",
                "template <",
                "public:",
                "private:",
                "protected:",
            ]
            .into_iter()
            .any(starts)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn language(path: &str, head: &str) -> Option<&'static str> {
        Language::of(&FilePath::new(path).unwrap(), head.as_bytes()).map(Language::name)
    }

    #[test]
    fn by_name_then_extension_then_interpreter() {
        assert_eq!(language("a/Makefile", ""), Some("makefile"));
        assert_eq!(language("a/b.TSX", ""), Some("typescript"));
        assert_eq!(
            language("bin/run", "#!/usr/bin/env -S python3.11 -u\n"),
            Some("python")
        );
        assert_eq!(language("bin/run", "#!/bin/sh\n"), Some("shell"));
        assert_eq!(language("bin/run", "echo"), None);
        assert_eq!(language(".py", ""), None);
        assert_eq!(language("a.unknown", "#!/bin/sh\n"), None);
    }

    #[test]
    fn a_header_is_c_unless_it_opens_a_class() {
        assert_eq!(
            language("a.h", "/*\n class of service\n*/\nstruct a;\n"),
            Some("c")
        );
        assert_eq!(language("a.h", "namespace a {\n"), Some("cpp"));
        assert_eq!(language("a.h", "class A;\n"), Some("cpp"));
    }

    #[test]
    fn names_and_extensions_are_given_out_once() {
        let mut seen = std::collections::HashSet::new();
        for entry in TABLE {
            let extensions = entry
                .extensions
                .iter()
                .map(|extension| format!(".{extension}"));
            for key in extensions.chain(entry.names.iter().map(|name| name.to_string())) {
                assert!(seen.insert(key.clone()), "{key}");
            }
        }
    }
}
