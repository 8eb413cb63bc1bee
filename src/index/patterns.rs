//! `PathPattern`: a regular expression or glob over paths. It is rewritten so that one search can run
//! over the whole arena of paths at once, and so that a literal beginning narrows it to a range.

use regex_automata::{Input, meta};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{
    Class, ClassBytes, ClassBytesRange, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look,
};

use super::strings::{SEPARATOR, Strings};
use crate::error::{Error, ErrorKind, Result};

/// The longest pattern accepted, in bytes.
pub(crate) const MAX_PATTERN_BYTES: usize = 4096;
/// The most memory that a compiled pattern, and its lazy automaton, may take each: what keeps the
/// worst pattern at milliseconds.
const MAX_PROGRAM_BYTES: usize = 1 << 20;
/// The deepest nesting of groups and repetitions.
const MAX_NESTING: u32 = 100;

/// What `^` and `$` mean under `(?m)`.
const MULTI_LINE: [Look; 4] = [Look::StartLF, Look::EndLF, Look::StartCRLF, Look::EndCRLF];

/// What kind of pattern a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    Regex,
    Glob,
}

/// A compiled path pattern.
#[derive(Clone, Debug)]
pub(crate) struct PathPattern {
    text: String,
    syntax: Syntax,
    regex: meta::Regex,
    /// Every path that matches begins with these bytes; empty if nothing is known.
    prefix: Vec<u8>,
    /// Every path that begins with `prefix` matches.
    prefix_is_all: bool,
}

/// The same text in the same syntax.
impl PartialEq for PathPattern {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.syntax) == (&other.text, other.syntax)
    }
}

impl Eq for PathPattern {}

impl PathPattern {
    /// A regular expression, searched for anywhere in the path.
    ///
    /// # Errors
    /// `InvalidPattern` with the bad place, if it does not parse or is too large.
    pub(crate) fn regex(text: &str) -> Result<Self> {
        check_length(text)?;
        let hir = parse(text, true).map_err(|error| at_fault(text, &error))?;
        let looks = hir.properties().look_set();
        if MULTI_LINE.into_iter().any(|look| looks.contains(look)) {
            return Err(Error::new(
                ErrorKind::InvalidPattern,
                format!("pattern `{text}` is refused: a path has no lines for `(?m)` to look at"),
            )
            .with_help("`^` and `$` already mean the ends of the path; leave `(?m)` out")
            .with_excerpt(text, 0..text.len()));
        }
        Self::compile(text, Syntax::Regex, hir)
    }

    /// A glob, matched against the whole path: `*` and `?` (one byte) stay within one part, `**`
    /// crosses parts, `{a,b}` and `[a-z]` choose.
    ///
    /// # Errors
    /// `InvalidPattern`, if it does not parse or is too large.
    pub(crate) fn glob(text: &str) -> Result<Self> {
        check_length(text)?;
        let refuse = |reason: String| {
            Error::new(
                ErrorKind::InvalidPattern,
                format!("glob `{text}` is invalid: {reason}"),
            )
            .with_excerpt(text, 0..text.len())
        };
        let glob = |text: &str| {
            globset::GlobBuilder::new(text)
                .literal_separator(true)
                .backslash_escape(true)
                .build()
                .map_err(|error| refuse(error.kind().to_string()))
        };
        glob(text)?;
        let (rest, start) = without_leading_stars(text);
        let regex = glob(rest)?.regex().replacen(GLOB_START, start, 1);
        let hir = parse(&regex, false).map_err(|error| refuse(error.to_string()))?;
        Self::compile(text, Syntax::Glob, hir)
    }

    fn compile(text: &str, syntax: Syntax, hir: Hir) -> Result<Self> {
        let (prefix, prefix_is_all) = anchored_prefix(&hir);
        let config = meta::Config::new()
            .line_terminator(SEPARATOR)
            .utf8_empty(false)
            .nfa_size_limit(Some(MAX_PROGRAM_BYTES))
            .hybrid_cache_capacity(MAX_PROGRAM_BYTES)
            // Another crate of a build can switch the fully compiled automata on, and those of
            // regex-automata 0.4.18 miss matches: `(?-u)^[^/]*/[^/]*$` finds no `a/a` then.
            .dfa(false);
        let regex = meta::Builder::new()
            .configure(config)
            .build_from_hir(&over_lines(hir));
        let regex = regex.map_err(|error| {
            let reason = match error.size_limit() {
                Some(limit) => format!("it compiles to more than {} KiB", limit / 1024),
                None => error.to_string(),
            };
            Error::new(
                ErrorKind::InvalidPattern,
                format!("pattern `{text}` is refused: {reason}"),
            )
            .with_help("use fewer or smaller repetitions and character classes")
            .with_excerpt(text, 0..text.len())
        })?;
        Ok(PathPattern {
            text: text.to_owned(),
            syntax,
            regex,
            prefix,
            prefix_is_all,
        })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn syntax(&self) -> Syntax {
        self.syntax
    }

    /// Whether a path of [`PathPattern::range`] matches.
    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        self.prefix_is_all || self.regex.is_match(path)
    }

    /// Whether a path matches, wherever it stands.
    pub(crate) fn covers(&self, path: &str) -> bool {
        path.as_bytes().starts_with(&self.prefix) && self.matches(path.as_bytes())
    }

    /// The ranks outside of which nothing matches.
    pub(crate) fn range(&self, paths: &Strings) -> (u32, u32) {
        if self.prefix.is_empty() {
            return (0, paths.len() as u32);
        }
        let from = paths.lower_bound(&self.prefix);
        let to = match successor(&self.prefix) {
            Some(after) => paths.lower_bound(&after),
            None => paths.len() as u32,
        };
        (from, to)
    }

    /// The first rank in `from..to`, a part of [`PathPattern::range`], whose path matches.
    pub(crate) fn next_match(&self, paths: &Strings, from: u32, to: u32) -> Option<u32> {
        if from >= to {
            return None;
        }
        if self.prefix_is_all {
            return Some(from);
        }
        // Where a match ends first is found in one pass, and lies in the path that matches.
        let input = Input::new(paths.haystack(from, to)).earliest(true);
        let end = self.regex.search_half(&input)?.offset();
        Some(paths.at_offset(paths.start(from) + end, from))
    }
}

/// How `globset` begins a regular expression.
const GLOB_START: &str = "(?-u)^";

/// A glob without the stars that it begins with, and how the regular expression of the rest begins
/// instead. `**/` leads to the start of any part of the path, `**/*` to anywhere: an expression that
/// says so is searched for from its literals, one that spells the stars out walks every byte.
fn without_leading_stars(glob: &str) -> (&str, &'static str) {
    let mut rest = glob;
    while let Some(shorter) = rest
        .strip_prefix("**/")
        .filter(|shorter| !shorter.is_empty())
    {
        rest = shorter;
    }
    match rest.strip_prefix('*') {
        _ if rest.len() == glob.len() => (glob, GLOB_START),
        Some(after) if !after.starts_with('*') => (after, "(?-u)"),
        _ => (rest, "(?-u)(?:^|/)"),
    }
}

fn check_length(text: &str) -> Result<()> {
    if text.len() <= MAX_PATTERN_BYTES {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidPattern,
        format!(
            "a pattern of {} bytes is refused: the limit is {MAX_PATTERN_BYTES}",
            text.len()
        ),
    ))
}

/// Parses a user's pattern, or (without `unicode`) what a glob was translated to, where a `.` is any
/// byte.
fn parse(pattern: &str, unicode: bool) -> Result<Hir, Box<regex_syntax::Error>> {
    let mut parser = ParserBuilder::new();
    let mut parser = parser
        .nest_limit(MAX_NESTING)
        .unicode(unicode)
        .dot_matches_new_line(!unicode)
        .utf8(false)
        .build();
    Ok(parser.parse(pattern)?)
}

/// The error of a user's own pattern, with the bad place under the caret.
fn at_fault(pattern: &str, error: &regex_syntax::Error) -> Error {
    let (reason, span) = match error {
        regex_syntax::Error::Parse(error) => (error.kind().to_string(), Some(error.span())),
        regex_syntax::Error::Translate(error) => (error.kind().to_string(), Some(error.span())),
        error => (error.to_string(), None),
    };
    let at = span.map_or(0..pattern.len(), |span| span.start.offset..span.end.offset);
    Error::new(
        ErrorKind::InvalidPattern,
        format!("pattern `{pattern}` is invalid: {reason}"),
    )
    .with_excerpt(pattern, at)
}

/// Rewrites a pattern for one path so that it finds the same paths in a row of paths with
/// separators between: ends of text become ends of line, and nothing else matches a separator.
fn over_lines(hir: Hir) -> Hir {
    match hir.into_kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) if literal.0.contains(&SEPARATOR) => Hir::fail(),
        HirKind::Literal(literal) => Hir::literal(literal.0),
        HirKind::Class(class) => Hir::class(without_separator(class)),
        HirKind::Look(Look::Start) => Hir::look(Look::StartLF),
        HirKind::Look(Look::End) => Hir::look(Look::EndLF),
        HirKind::Look(look) => Hir::look(look),
        HirKind::Repetition(mut repetition) => {
            repetition.sub = Box::new(over_lines(*repetition.sub));
            Hir::repetition(repetition)
        }
        // Nobody asks what a group captured.
        HirKind::Capture(capture) => over_lines(*capture.sub),
        HirKind::Concat(parts) => Hir::concat(parts.into_iter().map(over_lines).collect()),
        HirKind::Alternation(parts) => {
            Hir::alternation(parts.into_iter().map(over_lines).collect())
        }
    }
}

fn without_separator(class: Class) -> Class {
    match class {
        Class::Unicode(mut class) => {
            let separator = char::from(SEPARATOR);
            class.difference(&ClassUnicode::new([ClassUnicodeRange::new(
                separator, separator,
            )]));
            Class::Unicode(class)
        }
        Class::Bytes(mut class) => {
            class.difference(&ClassBytes::new([ClassBytesRange::new(
                SEPARATOR, SEPARATOR,
            )]));
            Class::Bytes(class)
        }
    }
}

/// The literal after a leading `^`, and whether that is the whole pattern.
fn anchored_prefix(hir: &Hir) -> (Vec<u8>, bool) {
    let HirKind::Concat(parts) = hir.kind() else {
        return (Vec::new(), false);
    };
    let mut prefix = Vec::new();
    let mut rest = parts.iter();
    if rest.next().map(Hir::kind) != Some(&HirKind::Look(Look::Start)) {
        return (prefix, false);
    }
    let mut rest = rest.peekable();
    while let Some(HirKind::Literal(literal)) = rest.peek().map(|part| part.kind()) {
        prefix.extend_from_slice(&literal.0);
        rest.next();
    }
    let is_all = !prefix.is_empty() && rest.next().is_none();
    (prefix, is_all)
}

/// The least text that is greater than every text with this prefix.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut after = prefix[..=last].to_vec();
    after[last] += 1;
    Some(after)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use regex::bytes::Regex;

    use super::*;

    const PATHS: [&str; 7] = [
        "README.md",
        "src",
        "src/a.rs",
        "src/b/mod.rs",
        "src/é.rs",
        "srd/a.rs",
        "tests/a.rs",
    ];

    fn found(pattern: &PathPattern) -> Vec<&'static str> {
        found_in(pattern, &PATHS)
    }

    /// The paths that match, found one by one, and by one search, which must be the same.
    fn found_in<'p>(pattern: &PathPattern, all: &[&'p str]) -> Vec<&'p str> {
        let mut paths = Strings::default();
        all.iter().for_each(|path| paths.push(path));
        let (mut from, to) = pattern.range(&paths);
        let tried: Vec<_> = (from..to)
            .filter(|&rank| pattern.matches(paths.bytes(rank)))
            .map(|rank| all[rank as usize])
            .collect();
        let mut searched = Vec::new();
        while let Some(rank) = pattern.next_match(&paths, from, to) {
            searched.push(all[rank as usize]);
            from = rank + 1;
        }
        assert_eq!(
            searched, tried,
            "one search over all paths equals one path after the other"
        );
        searched
    }

    /// Patterns of every construct, nested.
    fn any_regex() -> impl Strategy<Value = String> {
        let leaf = proptest::sample::select(vec![
            "a", "b", "x", "/", r"\.", ".", "[ab]", "[^a]", "^", "$", r"\b", "é", "(?i:A)", r"\w",
            "(?s:.)", r"\s", "",
        ]);
        leaf.prop_map(str::to_owned)
            .prop_recursive(4, 24, 3, |inner| {
                let repeated = ["?", "+", "*", "{2}", "{0,2}", "{1,2}", "??", "+?", "*?"];
                prop_oneof![
                    proptest::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
                    (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("(?:{a}|{b})")),
                    (inner.clone(), proptest::sample::select(repeated.to_vec()))
                        .prop_map(|(sub, times)| format!("({sub}){times}")),
                    (inner, proptest::sample::select(repeated.to_vec()))
                        .prop_map(|(sub, times)| format!("(?:{sub}){times}")),
                ]
            })
    }

    fn any_glob() -> impl Strategy<Value = String> {
        let part = [
            "**/", "*", "?", "a", "b", "x", "/", "{a,b/x}", "[ab]", ".", "é", "**", "{,a}",
        ];
        proptest::collection::vec(proptest::sample::select(part.to_vec()), 1..6)
            .prop_map(|parts| parts.concat())
    }

    fn any_paths() -> impl Strategy<Value = Vec<String>> {
        let part = ["a", "b", "x", "ab", "é", ".", "\n", " "];
        let name = proptest::collection::vec(proptest::sample::select(part.to_vec()), 1..4)
            .prop_map(|parts| parts.concat());
        let path = proptest::collection::vec(name, 1..4).prop_map(|names| names.join("/"));
        proptest::collection::btree_set(path, 1..20).prop_map(|paths| paths.into_iter().collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

        #[test]
        fn any_pattern_finds_what_it_finds_in_each_path_alone(
            regex in any_regex(),
            paths in any_paths(),
        ) {
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            let alone = Regex::new(&regex);
            prop_assume!(alone.is_ok());
            let alone = alone.unwrap();
            let expected: Vec<_> =
                paths.iter().copied().filter(|path| alone.is_match(path.as_bytes())).collect();
            prop_assert_eq!(found_in(&PathPattern::regex(&regex).unwrap(), &paths), expected);
        }

        #[test]
        fn any_glob_finds_what_globset_finds(glob in any_glob(), paths in any_paths()) {
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            let built = globset::GlobBuilder::new(&glob).literal_separator(true).build();
            prop_assume!(built.is_ok());
            let alone = built.unwrap().compile_matcher();
            let expected: Vec<_> =
                paths.iter().copied().filter(|path| alone.is_match(path)).collect();
            prop_assert_eq!(found_in(&PathPattern::glob(&glob).unwrap(), &paths), expected);
        }
    }

    #[test]
    fn a_search_over_the_arena_equals_a_search_in_each_path() {
        let cases = [
            "rs",
            "^src/",
            "^src",
            r"\.rs$",
            "^src/a.rs$",
            r"^\w+/a",
            "",
            "^$",
            "[^/]$",
            r"\s",
            r"\W",
            "(?i)readme",
            "^(src|tests)/",
            r"\Asrc\z",
            "s.c",
            "(?s)s.*m",
            r"\b[ab]\b",
            "(^src)/b",
            "é",
            r"\x00",
            r"[\x00-a]rc",
            "(?-u:.)rs",
            "$",
            "a*?",
        ];
        for case in cases {
            let single = Regex::new(case).unwrap();
            let expected: Vec<_> = PATHS
                .into_iter()
                .filter(|path| single.is_match(path.as_bytes()))
                .collect();
            assert_eq!(
                found(&PathPattern::regex(case).unwrap()),
                expected,
                "{case}"
            );
        }
    }

    /// Ignore rules run on the regex crate as others have switched it on: this one is missed by
    /// fully compiled automata of regex-automata 0.4.18.
    #[test]
    fn no_crate_of_this_build_switches_on_what_misses_matches() {
        let missed = r"(?m:^)(?-u:[\x01-\.0-\xFF])*/(?-u:[\x01-\.0-\xFF])*(?m:$)";
        assert!(Regex::new(missed).unwrap().is_match(b"a/a"));
    }

    #[test]
    fn globs_match_whole_paths() {
        let glob = |text| found(&PathPattern::glob(text).unwrap());
        assert_eq!(glob("src/*.rs"), ["src/a.rs", "src/é.rs"]);
        assert_eq!(
            glob("src/**/*.rs"),
            ["src/a.rs", "src/b/mod.rs", "src/é.rs"]
        );
        assert_eq!(glob("**/a.rs"), ["src/a.rs", "srd/a.rs", "tests/a.rs"]);
        assert_eq!(glob("sr{c,d}/a.*"), ["src/a.rs", "srd/a.rs"]);
        assert_eq!(glob("*"), ["README.md", "src"]);
        assert_eq!(glob("src"), ["src"]);
        assert_eq!(glob("**/*"), PATHS);
        assert_eq!(glob("**"), PATHS);
        assert_eq!(glob("**/**/a*"), ["src/a.rs", "srd/a.rs", "tests/a.rs"]);
        assert_eq!(glob("**/*/a.rs"), ["src/a.rs", "srd/a.rs", "tests/a.rs"]);
        assert_eq!(glob("**/src/*"), ["src/a.rs", "src/é.rs"]);
        assert_eq!(
            glob("*/*"),
            ["src/a.rs", "src/é.rs", "srd/a.rs", "tests/a.rs"]
        );
        assert_eq!(glob("**/src"), ["src"]);
        assert_eq!(glob("**/b/**"), ["src/b/mod.rs"]);
    }

    #[test]
    fn an_anchored_literal_narrows_to_a_range() {
        let mut paths = Strings::default();
        PATHS.iter().for_each(|path| paths.push(path));
        let range = |text| PathPattern::regex(text).unwrap().range(&paths);
        assert_eq!(range("^src/"), (2, 5));
        assert_eq!(range("^src/.*x"), (2, 5));
        assert_eq!(range("^zz"), (7, 7));
        assert_eq!(range("src/"), (0, 7));
    }

    #[test]
    fn a_bad_pattern_is_an_error_with_its_place() {
        let error = PathPattern::regex("src/(a").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidPattern);
        assert_eq!(error.excerpt().unwrap().at, 4..5);
        let too_long = "a".repeat(MAX_PATTERN_BYTES + 1);
        let deep = "(".repeat(200) + &")".repeat(200);
        for bad in [
            r"(?m)^a",
            r"(\w{50}){50}",
            "a{1000}{1000}",
            &too_long,
            &deep,
        ] {
            let error = PathPattern::regex(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidPattern, "{error}");
        }
        for bad in ["a[", "{a", "a\\"] {
            let error = PathPattern::glob(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidPattern, "{error}");
        }
    }
}
