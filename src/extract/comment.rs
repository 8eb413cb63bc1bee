//! Comments as text: the markers off, one string, lines kept. Works on any language's comments by
//! how they begin, so headers and documentation read the same everywhere.

use super::language::Comments;

/// The longest intent kept where a text has no labels; the rest is cut at a character boundary.
pub(super) const MAX_INTENT_BYTES: usize = 4096;

/// How far into a file its header may reach, and how much is read of one comment: change histories
/// grow long.
const MAX_HEADER_BYTES: usize = 65_536;

/// Comments that follow each other without a blank line, near the beginning of a file.
#[derive(Debug)]
pub(super) struct Block {
    /// The byte where its last comment starts: a documentation comment is known by it.
    pub(super) last_start: usize,
    /// The byte after it.
    pub(super) end: usize,
    /// Its text, markers removed.
    pub(super) text: String,
}

/// The text of one comment or docstring without its markers and common indentation.
pub(super) fn plain(raw: &str) -> String {
    let raw = raw.trim();
    if let Some(body) = raw.strip_prefix("/*") {
        let body = body.strip_suffix("*/").unwrap_or(body);
        return undecorate(body.trim_start_matches('*').trim_start_matches('!'), '*');
    }
    if let Some(body) = raw.strip_prefix("<!--") {
        return undecorate(body.strip_suffix("-->").unwrap_or(body), '\0');
    }
    if let Some(body) = docstring(raw) {
        return undecorate(body, '\0');
    }
    if let Some(body) = raw.strip_prefix("=begin") {
        return undecorate(body.strip_suffix("=end").unwrap_or(body), '\0');
    }
    for (open, close) in [("{-", "-}"), ("--[[", "]]"), ("#|", "|#")] {
        if let Some(body) = raw.strip_prefix(open) {
            return undecorate(body.strip_suffix(close).unwrap_or(body), '\0');
        }
    }
    // A run of comments that each end with their line.
    let lines: Vec<&str> = raw.lines().map(line_text).collect();
    unindent(&lines)
}

/// The inside of a Python string literal.
fn docstring(raw: &str) -> Option<&str> {
    let body = raw.trim_start_matches(['r', 'R', 'u', 'U', 'b', 'B', 'f', 'F']);
    for quote in ["\"\"\"", "'''", "\"", "'"] {
        if let Some(body) = body.strip_prefix(quote) {
            return Some(body.strip_suffix(quote).unwrap_or(body));
        }
    }
    None
}

/// One line without the marker that makes it a comment.
fn line_text(line: &str) -> &str {
    let line = line.trim();
    if is_rule(line) {
        // Kept whole: it separates the sections of a header.
        return line;
    }
    if let Some(rest) = line.strip_prefix("//") {
        return rest
            .trim_start_matches('/')
            .strip_prefix('!')
            .unwrap_or(rest.trim_start_matches('/'));
    }
    for marker in ["#", ";", "--", "%"] {
        if let Some(rest) = line.strip_prefix(marker) {
            let rest = rest.trim_start_matches(marker);
            return rest.strip_prefix('!').unwrap_or(rest);
        }
    }
    line
}

/// Whether a line is only a rule, such as `#########` or `====`.
pub(super) fn is_rule(line: &str) -> bool {
    let line = line.trim();
    line.len() >= 4
        && line.bytes().all(|b| {
            matches!(
                b,
                b'#' | b'=' | b'-' | b'*' | b'/' | b'~' | b'_' | b';' | b'%' | b' '
            )
        })
}

/// Removes a column of `marker` before each line of a block comment.
fn undecorate(body: &str, marker: char) -> String {
    let lines: Vec<&str> = body
        .lines()
        .enumerate()
        .map(|(index, line)| {
            let trimmed = line.trim();
            if is_rule(trimmed) {
                return trimmed;
            }
            match trimmed.strip_prefix(marker) {
                Some(rest) if index > 0 => rest.trim_end(),
                _ => line.trim_end(),
            }
        })
        .collect();
    unindent(&lines)
}

/// Joins lines without the indentation that all but the first share, and without empty ends.
fn unindent(lines: &[&str]) -> String {
    let indent = |line: &&str| line.len() - line.trim_start().len();
    let common = lines
        .iter()
        .skip(1)
        .filter(|l| !l.trim().is_empty())
        .map(indent)
        .min()
        .unwrap_or(0);
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        let line = if index == 0 {
            line.trim_start()
        } else {
            line.get(common..).unwrap_or("")
        };
        if out.len() + line.len() > MAX_HEADER_BYTES {
            let room = MAX_HEADER_BYTES.saturating_sub(out.len());
            out.push_str(&line[..line.floor_char_boundary(room)]);
            break;
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out.trim().to_owned()
}

/// A text as an intent: none if it is empty, cut if it is long.
pub(super) fn intent(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text[..text.floor_char_boundary(MAX_INTENT_BYTES)].trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The comments before the first line of code, without the lines that may precede them (`#!`,
/// include guards, `<?php`).
pub(super) fn leading(text: &str, comments: &Comments) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut at = if text.starts_with('\u{feff}') { 3 } else { 0 };
    if text[at..].starts_with("#!") && !text[at..].starts_with("#![") {
        at = line_end(text, at);
    }
    while at < text.len() && at < MAX_HEADER_BYTES {
        let end = line_end(text, at);
        let line = &text[at..end];
        let start = at + (line.len() - line.trim_start().len());
        let rest = &text[start..];
        let line = line.trim();
        if line.is_empty() || comments.prelude.iter().any(|word| line.starts_with(word)) {
            at = end;
        } else if let Some((open, close)) = comments
            .block
            .iter()
            .find(|(open, _)| rest.starts_with(open))
        {
            let Some(length) = rest[open.len()..].find(close) else {
                break;
            };
            let stop = start + open.len() + length + close.len();
            blocks.push(Block {
                last_start: start,
                end: stop,
                text: plain(&text[start..stop]),
            });
            at = stop;
        } else if let Some(style) = style(line, comments) {
            let (mut stop, mut last) = (end, start);
            while stop < text.len() {
                let next = line_end(text, stop);
                let line = &text[stop..next];
                if self::style(line.trim(), comments) != Some(style) {
                    break;
                }
                last = stop + (line.len() - line.trim_start().len());
                stop = next;
            }
            blocks.push(Block {
                last_start: last,
                end: stop,
                text: plain(&text[start..stop]),
            });
            at = stop;
        } else {
            break;
        }
    }
    blocks
}

/// How a line begins that is a comment up to its end. `//!` and `///` differ from `//`: in Rust they
/// speak of other things. Rules count as the plain style.
fn style(line: &str, comments: &Comments) -> Option<&'static str> {
    let open = comments.line.iter().find(|open| line.starts_with(**open))?;
    Some(match (*open, line.as_bytes().get(2)) {
        ("//", Some(b'!')) => "//!",
        ("//", Some(b'/')) if line.as_bytes().get(3) != Some(&b'/') => "///",
        (open, _) => open,
    })
}

/// The byte after the line that contains `at`.
pub(super) fn line_end(text: &str, at: usize) -> usize {
    text[at..]
        .find('\n')
        .map_or(text.len(), |length| at + length + 1)
}

/// Words that a licence or copyright notice uses and prose about a program seldom does.
const LICENCE: &[&str] = &[
    "copyright",
    "licensed",
    "license",
    "licence",
    "spdx",
    "permission is hereby",
    "all rights reserved",
    "redistribut",
    "without warrant",
    "warranties",
    "free software",
    "public domain",
    "as is\"",
    "contributor agreements",
    "(c) 19",
    "(c) 20",
];

/// Lines that speak to tools.
fn speaks_to_a_tool(line: &str) -> bool {
    let line = line.trim();
    [
        "-*-",
        "vim:",
        "vi:",
        "go:build",
        "+build",
        "eslint",
        "@ts-",
        "prettier-",
        "noqa",
        "pylint:",
        "type: ignore",
        "frozen_string_literal",
        "coding:",
        "coding=",
        "<reference",
        "jshint",
        "flake8:",
        "mypy:",
        "shellcheck",
        "clang-format",
    ]
    .iter()
    .any(|word| line.starts_with(word))
        || line.contains("-*-")
}

/// What is left of a comment's text when licence paragraphs, rules and lines to tools are gone.
pub(super) fn prose(text: &str) -> Option<String> {
    let mut kept: Vec<String> = Vec::new();
    let lines: Vec<&str> = text
        .lines()
        .map(|line| if is_rule(line) { "" } else { line })
        .filter(|line| !speaks_to_a_tool(line))
        .collect();
    for paragraph in lines.split(|line| line.trim().is_empty()) {
        let paragraph = paragraph.join("\n");
        let lower = paragraph.to_lowercase();
        if !paragraph.trim().is_empty() && !LICENCE.iter().any(|word| lower.contains(word)) {
            kept.push(paragraph);
        }
    }
    intent(&kept.join("\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_and_common_indentation_go() {
        assert_eq!(
            plain("/** One.\n   * Two\n   *   three\n   */"),
            "One.\nTwo\n  three"
        );
        assert_eq!(plain("/// One\n/// two"), "One\ntwo");
        assert_eq!(plain("//! One"), "One");
        assert_eq!(
            plain("# One\n#   two"),
            "One\n  two".replace("  two", "two")
        );
        assert_eq!(
            plain("\"\"\"One.\n\n    Two\n      three\n    \"\"\""),
            "One.\n\nTwo\n  three"
        );
        assert_eq!(plain("/*\n * a\n */"), "a");
        assert_eq!(plain("<!-- a -->"), "a");
        assert_eq!(plain("/**/"), "");
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let text = intent(&plain(&format!("/* x{} */", "é".repeat(4000)))).unwrap();
        assert!(text.len() <= MAX_INTENT_BYTES && text.ends_with('é'));
        assert!(plain(&"# é\n".repeat(40_000)).len() <= MAX_HEADER_BYTES);
    }

    #[test]
    fn licences_and_tool_lines_are_no_prose() {
        assert_eq!(
            prose("Copyright 2020 X\n\nParses things.\n-*- mode -*-"),
            Some("Parses things.".into())
        );
        assert_eq!(prose("SPDX-License-Identifier: MIT"), None);
    }
}
