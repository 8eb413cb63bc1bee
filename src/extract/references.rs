//! Which documents a file cites. A document in a labelled section is taken at its word; one that a
//! comment merely mentions, or that a Markdown page links to, counts only if it exists.

use std::sync::LazyLock;

use regex::Regex;

use crate::metadata::FilePath;

/// The end of a document's name.
#[expect(
    clippy::unwrap_used,
    reason = "the pattern is a constant and a test compiles it"
)]
static DOCUMENT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?-u)\.(?:md|rst|adoc|txt)\b").unwrap());

/// At most this many documents are taken from mentions and links of one file.
const MAX_REFERENCES: usize = 256;

/// The ends of all document names in `text`, as byte offsets.
pub(super) fn mentions(text: &str) -> impl Iterator<Item = usize> {
    DOCUMENT.find_iter(text).map(|found| found.end())
}

/// The path that ends at `end`: back to the first character that paths in prose do not have.
fn mention(text: &str, end: usize) -> Option<&str> {
    let is_path = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'/' | b'.' | b'_' | b'-' | b'+' | b'@' | b'~' | b':')
    };
    let start = end
        - text.as_bytes()[..end]
            .iter()
            .rev()
            .take(512)
            .take_while(|b| is_path(b))
            .count();
    let path = text.get(start..end)?;
    if path.contains("//") {
        // An address on the network, not a file.
        return None;
    }
    let path = path
        .rsplit(':')
        .next()?
        .trim_start_matches(['@', '~', '-', '+']);
    (!path.starts_with('.') || path.starts_with("./") || path.starts_with("../")).then_some(path)
}

/// The documents mentioned where `is_comment` holds, in order of appearance, each once.
pub(super) fn mentioned(
    path: &FilePath,
    text: &str,
    is_comment: impl Fn(usize) -> bool,
    exists: &dyn Fn(&FilePath) -> bool,
) -> Vec<String> {
    let mut out = Vec::new();
    for end in mentions(text).filter(|end| is_comment(*end)) {
        let Some(document) = mention(text, end).and_then(|m| resolve(path, m, exists)) else {
            continue;
        };
        push(&mut out, path, document);
        if out.len() == MAX_REFERENCES {
            break;
        }
    }
    out
}

fn push(out: &mut Vec<String>, from: &FilePath, document: FilePath) {
    if document != *from && !out.iter().any(|known| known == document.as_str()) {
        out.push(document.as_str().to_owned());
    }
}

/// The file that `mention` names, seen from the file it stands in, else from the root.
fn resolve(from: &FilePath, mention: &str, exists: &dyn Fn(&FilePath) -> bool) -> Option<FilePath> {
    let absolute = mention.trim_start_matches('/');
    beside(from, mention)
        .filter(|document| !mention.starts_with('/') && exists(document))
        .or_else(|| {
            FilePath::new(absolute)
                .ok()
                .filter(|document| exists(document))
        })
}

/// `mention` as seen from the directory of `from`, if it stays inside the root.
fn beside(from: &FilePath, mention: &str) -> Option<FilePath> {
    let directory = from
        .as_str()
        .rsplit_once('/')
        .map_or("", |(directory, _)| directory);
    FilePath::new(format!("{directory}/{mention}").trim_start_matches('/')).ok()
}

/// An item of `[Reference documentation]`: its first word that is a path, whether or not it exists.
pub(super) fn declared(from: &FilePath, item: &str) -> Option<String> {
    let item = link_target(item).unwrap_or(item);
    let word = item
        .split(|c: char| {
            c.is_whitespace() || matches!(c, ',' | '`' | '"' | '\'' | '(' | ')' | '<' | '>')
        })
        .map(|word| {
            word.rsplit_once(":-")
                .map_or(word, |(_, word)| word)
                .trim_end_matches(['.', ':'])
        })
        .find(|word| word.contains('/') || word.contains('.'))?;
    if word.contains("://") {
        return None;
    }
    let word = word.split('#').next().unwrap_or(word);
    let path = if word.starts_with("./") || word.starts_with("../") {
        beside(from, word)?
    } else {
        FilePath::new(word.trim_start_matches('/')).ok()?
    };
    Some(path.as_str().to_owned())
}

/// An item of `[Dependencies]`: only documents of the code base are references.
pub(super) fn dependency(from: &FilePath, item: &str) -> Option<String> {
    if item.starts_with("system:") || item.starts_with("other:") {
        return None;
    }
    let rest = item
        .strip_prefix("codebase:")
        .unwrap_or(item)
        .trim_start_matches(['-', ' ']);
    declared(from, rest).filter(|document| mentions(document).last() == Some(document.len()))
}

/// The target of `[text](target)`.
fn link_target(item: &str) -> Option<&str> {
    let (_, rest) = item.split_once("](")?;
    rest.split([')', ' ']).next()
}

/// The files that a Markdown page links to: `[text](target)` and `[label]: target`, not images, not
/// inside code, anchors removed.
pub(super) fn links(
    path: &FilePath,
    text: &str,
    exists: &dyn Fn(&FilePath) -> bool,
) -> Vec<String> {
    let mut out = Vec::new();
    for line in prose_lines(text) {
        let mut rest = line;
        if let Some(target) = definition(line) {
            follow(&mut out, path, target, exists);
            continue;
        }
        while let Some(at) = rest.find("](") {
            let before = &rest[..at];
            let image = before
                .rfind('[')
                .is_some_and(|open| before[..open].ends_with('!'));
            let in_code = before.matches('`').count() % 2 == 1;
            rest = &rest[at + 2..];
            let target = match rest.strip_prefix('<') {
                Some(angled) => angled.split('>').next(),
                None => rest.split([')', ' ', '\t']).next(),
            };
            if let Some(target) = target.filter(|_| !image && !in_code) {
                follow(&mut out, path, target, exists);
            }
        }
        if out.len() >= MAX_REFERENCES {
            break;
        }
    }
    out
}

/// Lines outside fenced code.
pub(super) fn prose_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut fence: Option<&str> = None;
    text.lines().filter(move |line| {
        let trimmed = line.trim_start();
        let mark = ["```", "~~~"]
            .into_iter()
            .find(|mark| trimmed.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => {
                fence = Some(mark);
                false
            }
            (Some(open), Some(mark)) if open == mark => {
                fence = None;
                false
            }
            (open, _) => open.is_none(),
        }
    })
}

/// The target of `[label]: target`.
fn definition(line: &str) -> Option<&str> {
    let (label, target) = line.trim_start().strip_prefix('[')?.split_once("]:")?;
    if label.contains(']') || label.starts_with('^') {
        return None;
    }
    target
        .split_whitespace()
        .next()
        .map(|target| target.trim_matches(['<', '>']))
}

fn follow(
    out: &mut Vec<String>,
    from: &FilePath,
    target: &str,
    exists: &dyn Fn(&FilePath) -> bool,
) {
    let target = target.split(['#', '?']).next().unwrap_or_default();
    // `https://…`, `mailto:…`, and the page itself.
    if target.is_empty()
        || target
            .split('/')
            .next()
            .is_some_and(|first| first.contains(':'))
    {
        return;
    }
    let target = target.replace("%20", " ");
    if let Some(document) = resolve(from, &target, exists) {
        push(out, from, document);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> FilePath {
        FilePath::new(text).unwrap()
    }

    fn tree(file: &FilePath) -> bool {
        [
            "docs/A.md",
            "docs/B.rst",
            "src/NOTES.txt",
            "README.md",
            "docs/a b.md",
        ]
        .contains(&file.as_str())
    }

    #[test]
    fn a_mention_resolves_beside_the_file_then_at_the_root() {
        let text = "see docs/A.md, (../docs/B.rst) NOTES.txt docs/A.md README.md. gone.md \
                    https://x.org/docs/A.md /README.md ../../README.md x.md5 src:docs/A.md";
        let found = mentioned(&path("src/x.c"), text, |_| true, &tree);
        assert_eq!(
            found,
            ["docs/A.md", "docs/B.rst", "src/NOTES.txt", "README.md"]
        );
    }

    #[test]
    fn a_declared_document_needs_not_exist() {
        let declared = |item| declared(&path("src/x.c"), item);
        assert_eq!(
            declared("doc/DESIGN.md: the design"),
            Some("doc/DESIGN.md".into())
        );
        assert_eq!(
            declared("[Design](../doc/D.md#top)"),
            Some("doc/D.md".into())
        );
        assert_eq!(declared("codebase:- doc/D.md"), Some("doc/D.md".into()));
        assert_eq!(declared("None"), None);
        assert_eq!(declared("../../out.md"), None);
        assert_eq!(dependency(&path("a"), "codebase:src/b.rs"), None);
    }

    #[test]
    fn markdown_links_stay_inside_the_tree() {
        let page = "[a](A.md#x) ![i](A.md) `[c](B.rst)` <https://e.org> [h](https://e.org/A.md)\n\
                    [s](</README.md>) [t](a%20b.md \"title\")\n```\n[f](B.rst)\n```\n[b]: ./B.rst\n[o](../../README.md)";
        let found = links(&path("docs/INDEX.md"), page, &tree);
        assert_eq!(
            found,
            ["docs/A.md", "README.md", "docs/a b.md", "docs/B.rst"]
        );
    }
}
