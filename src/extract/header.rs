//! What a file's header and the documentation of its functions say. Labelled sections, as written
//! by "documentation based programming", are read label by label; anything else is its intent.

use crate::metadata::{ChangeRecord, DocSections, FilePath, HeaderSections};

use super::comment::{self, Block, is_rule};
use super::references;

/// A label on its own line, in square brackets, that opens a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Intent,
    DesignPrinciples,
    Constraints,
    References,
    Dependencies,
    ChangeHistory,
    ImplementationDetails,
    DesignDecisions,
    /// A label that records have no place for; it ends the section before it.
    Other,
}

/// `[Source file intent]`, also with a Markdown or doxygen decoration before it.
fn label(line: &str) -> Option<Section> {
    let line = line.trim().trim_start_matches(['*', '#']).trim();
    let inside = line.strip_prefix('[')?.strip_suffix(']')?;
    // Rust writes attributes and Markdown check boxes like this; labels are words.
    if inside.len() < 4
        || !inside
            .bytes()
            .all(|b| b.is_ascii_alphabetic() || b == b' ' || b == b'/')
    {
        return None;
    }
    let words = inside.to_ascii_lowercase();
    Some(match words.strip_prefix("source file ").unwrap_or(&words) {
        "intent"
        | "function intent"
        | "class intent"
        | "class method intent"
        | "method intent"
        | "program intent"
        | "function/method intent" => Section::Intent,
        "design principles" => Section::DesignPrinciples,
        "constraints" => Section::Constraints,
        "reference documentation" | "documentation" => Section::References,
        "dependencies" => Section::Dependencies,
        "genai tool change history" | "change history" => Section::ChangeHistory,
        "implementation details" => Section::ImplementationDetails,
        "design decisions" => Section::DesignDecisions,
        _ => Section::Other,
    })
}

/// The labelled sections of a text, each with its lines; none if it has no label we know.
fn sections(text: &str) -> Option<Vec<(Section, Vec<&str>)>> {
    let mut out: Vec<(Section, Vec<&str>)> = Vec::new();
    for line in text.lines() {
        if let Some(section) = label(line) {
            out.push((section, Vec::new()));
        } else if let Some((_, lines)) = out.last_mut() {
            // A rule ends nothing: the label after it does. It is no content either.
            if !is_rule(line) {
                lines.push(line);
            }
        }
    }
    out.iter()
        .any(|(section, _)| *section != Section::Other)
        .then_some(out)
}

/// The header of a file from its leading comments. `documents` are the documents its comments
/// mention; `is_documentation` tells the comments that document a function or class.
pub(super) fn header(
    path: &FilePath,
    blocks: &[Block],
    documents: Vec<String>,
    is_documentation: impl Fn(&Block) -> bool,
) -> HeaderSections {
    let mut header = HeaderSections::default();
    let labelled = blocks.iter().filter_map(|block| sections(&block.text));
    let mut found = false;
    for (section, lines) in labelled.flatten() {
        found = true;
        match section {
            Section::Intent if header.intent.is_none() => header.intent = paragraph(&lines),
            Section::DesignPrinciples => header.design_principles.extend(items(&lines)),
            Section::Constraints => header.constraints.extend(items(&lines)),
            Section::References => {
                for item in items(&lines) {
                    cite(&mut header, references::declared(path, &item));
                }
            }
            Section::Dependencies => {
                for item in items(&lines) {
                    cite(&mut header, references::dependency(path, &item));
                }
            }
            Section::ChangeHistory => header.change_history.extend(changes(&lines)),
            _ => {}
        }
    }
    if !found {
        header.intent = blocks
            .iter()
            .filter(|block| !is_documentation(block))
            .find_map(|block| comment::prose(&block.text));
    }
    for document in documents {
        cite(&mut header, Some(document));
    }
    header
}

fn cite(header: &mut HeaderSections, document: Option<String>) {
    let list = &mut header.reference_documentation;
    if let Some(document) = document.filter(|document| !list.contains(document)) {
        list.push(document);
    }
}

/// The documentation of a function or class.
pub(super) fn documentation(text: &str) -> DocSections {
    let mut doc = DocSections::default();
    let Some(sections) = sections(text) else {
        let lines: Vec<&str> = text.lines().filter(|line| !is_rule(line)).collect();
        doc.intent = comment::intent(&lines.join("\n"));
        return doc;
    };
    for (section, lines) in sections {
        match section {
            Section::Intent if doc.intent.is_none() => doc.intent = paragraph(&lines),
            Section::DesignPrinciples => doc.design_principles.extend(items(&lines)),
            Section::ImplementationDetails if doc.implementation_details.is_none() => {
                doc.implementation_details = paragraph(&lines);
            }
            Section::DesignDecisions if doc.design_decisions.is_none() => {
                doc.design_decisions = paragraph(&lines);
            }
            _ => {}
        }
    }
    doc
}

fn paragraph(lines: &[&str]) -> Option<String> {
    let text = lines
        .iter()
        .map(|line| line.trim())
        .collect::<Vec<_>>()
        .join("\n");
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The text after `- ` or `* `.
fn bullet(line: &str) -> Option<&str> {
    let line = line.trim();
    line.strip_prefix("- ")
        .or_else(|| line.strip_prefix("* "))
        .map(str::trim)
}

/// The items of a list. A line without a bullet continues the item before it if that had one.
fn items(lines: &[&str]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut bulleted = false;
    for line in lines
        .iter()
        .map(|line| line.trim())
        .filter(|line| !line.is_empty())
    {
        match bullet(line) {
            Some(item) => {
                bulleted = true;
                out.push(item.to_owned());
            }
            None => match out.last_mut() {
                Some(item) if bulleted => {
                    item.push(' ');
                    item.push_str(line);
                }
                _ => out.push(line.to_owned()),
            },
        }
    }
    out
}

/// Entries such as `2025-04-15T09:33:00Z : summary by X`, each with its bullets.
fn changes(lines: &[&str]) -> Vec<ChangeRecord> {
    let mut out: Vec<ChangeRecord> = Vec::new();
    for line in lines
        .iter()
        .map(|line| line.trim())
        .filter(|line| !line.is_empty())
    {
        if let Some(detail) = bullet(line) {
            match out.last_mut() {
                Some(change) if !starts_with_date(detail) => change.details.push(detail.to_owned()),
                _ => out.push(change(detail)),
            }
        } else if starts_with_date(line) || out.is_empty() {
            out.push(change(line));
        } else if let Some(last) = out.last_mut() {
            let open = match last.details.last_mut() {
                Some(detail) => detail,
                None => last.summary.get_or_insert_default(),
            };
            open.push(' ');
            open.push_str(line);
        }
    }
    out
}

fn starts_with_date(line: &str) -> bool {
    let bytes = line.as_bytes();
    bytes.len() >= 10
        && bytes[..10].iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => matches!(byte, b'-' | b'/' | b'.'),
            _ => byte.is_ascii_digit(),
        })
}

fn change(line: &str) -> ChangeRecord {
    let (timestamp, summary) = if starts_with_date(line) {
        // `2025-04-15 09:33 : summary` has a blank and colons inside its time.
        match line.split_once(" : ").or_else(|| line.split_once(' ')) {
            Some((timestamp, summary)) => {
                (Some(timestamp), summary.trim_start_matches([':', '-', ' ']))
            }
            None => (Some(line), ""),
        }
    } else {
        (None, line)
    };
    ChangeRecord {
        timestamp: timestamp.map(|t| t.trim().to_owned()),
        summary: (!summary.is_empty()).then(|| summary.trim().to_owned()),
        details: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> HeaderSections {
        let block = Block {
            last_start: 0,
            end: 0,
            text: text.to_owned(),
        };
        header(
            &FilePath::new("src/a.py").unwrap(),
            &[block],
            Vec::new(),
            |_| false,
        )
    }

    #[test]
    fn a_labelled_header_is_read_label_by_label() {
        let header = read(
            "[Source file intent]\nReads\nthings.\n####\n[Source file design principles]\n- Small\n  and fast\n- Pure\n\
             [Source file constraints]\n- None over 1 MiB\n[Reference documentation]\n- docs/A.md\n\
             [Dependencies]\n# x\nsystem:- threading\ncodebase:- doc/B.md\n[GenAI tool change history]\n\
             2025-04-15T09:33:00Z : Made by X\n* one\n  more\n* two\n2025-04-14 10:00 : Began",
        );
        assert_eq!(header.intent.as_deref(), Some("Reads\nthings."));
        assert_eq!(header.design_principles, ["Small and fast", "Pure"]);
        assert_eq!(header.constraints, ["None over 1 MiB"]);
        assert_eq!(header.reference_documentation, ["docs/A.md", "doc/B.md"]);
        let [first, second] = &header.change_history[..] else {
            panic!("{header:?}")
        };
        assert_eq!(first.timestamp.as_deref(), Some("2025-04-15T09:33:00Z"));
        assert_eq!(first.summary.as_deref(), Some("Made by X"));
        assert_eq!(first.details, ["one more", "two"]);
        assert_eq!(second.timestamp.as_deref(), Some("2025-04-14 10:00"));
    }

    #[test]
    fn without_labels_the_whole_text_is_the_intent() {
        assert_eq!(
            read("Reads things.").intent.as_deref(),
            Some("Reads things.")
        );
        assert_eq!(
            documentation("Reads [a] thing.").intent.as_deref(),
            Some("Reads [a] thing.")
        );
    }

    #[test]
    fn a_function_has_sections_of_its_own() {
        let doc = documentation(
            "[Function intent]\nAdds.\n\n[Design principles]\nPure.\n\n[Implementation details]\nCarry\nby hand.\n\n[Parameters]\nx\n\n[Design decisions]\nNone",
        );
        assert_eq!(doc.intent.as_deref(), Some("Adds."));
        assert_eq!(doc.design_principles, ["Pure."]);
        assert_eq!(
            doc.implementation_details.as_deref(),
            Some("Carry\nby hand.")
        );
        assert_eq!(doc.design_decisions.as_deref(), Some("None"));
    }
}
