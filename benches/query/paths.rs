//! Path patterns: what cardex does with one, raced against one search over all paths laid end to end, and
//! against a loop over a vector of strings.

use std::hint::black_box;

use cardex::{Index, Query};
use regex::Regex;

use crate::Bench;
use crate::common::corpus::Corpus;
use crate::common::race::race;

/// All files whose paths match.
pub(crate) fn run(bench: &Bench<'_>, index: &Index) {
    let strings = bench.arena.strings();
    for case in CASES {
        let (query, regex) = (case.query(), case.regex());
        let ours = index.snapshot().search(&query);
        for theirs in [bench.arena.search(&regex), loop_over(&strings, &regex)] {
            let same = ours
                .paths()
                .eq(theirs.iter().map(|&file| bench.arena.path(file)));
            assert!(same, "{query}: {} and {} files", ours.len(), theirs.len());
        }
        let hits = ours.len();
        let [ours, arena, looped] = race(
            1,
            [
                &mut || drop(black_box(index.snapshot().search(&query))),
                &mut || drop(black_box(bench.arena.search(&regex))),
                &mut || drop(black_box(loop_over(&strings, &regex))),
            ],
        );
        let name = format!("path,{},hits={hits}", case.name);
        bench.report(&name, "arena", ours, arena, Some(0.9));
        bench.report(&name, "loop", ours, looped, None);
    }
}

/// One pattern, as cardex takes it and as the peers do.
struct Case {
    name: &'static str,
    pattern: Pattern,
    /// The same for a text of one path a line; `None` if it needs no change.
    lines: Option<&'static str>,
}

enum Pattern {
    Regex(&'static str),
    Glob(&'static str),
}

const CASES: [Case; 10] = [
    Case {
        name: "literal-rare",
        pattern: Pattern::Regex("cisco_telemetry"),
        lines: None,
    },
    Case {
        name: "literal-inside",
        pattern: Pattern::Regex(r"streams/.*Join\w*Test\.java$"),
        lines: Some(r"(?m)streams/.*Join\w*Test\.java$"),
    },
    Case {
        name: "suffix-common",
        pattern: Pattern::Regex(r"\.java$"),
        lines: Some(r"(?m)\.java$"),
    },
    Case {
        name: "alternation",
        pattern: Pattern::Regex("(Lexer|Parser|Tokenizer)"),
        lines: None,
    },
    Case {
        name: "no-literal",
        pattern: Pattern::Regex(r"/\w+[0-9]{3}[^/]*\.\w+$"),
        lines: Some(r"(?m)/\w+[0-9]{3}[^/\n]*\.\w+$"),
    },
    Case {
        name: "no-literal-none",
        pattern: Pattern::Regex("[0-9]{9}"),
        lines: None,
    },
    Case {
        name: "prefix",
        pattern: Pattern::Regex("^ws000/kafka/clients/"),
        lines: Some("(?m)^ws000/kafka/clients/"),
    },
    Case {
        name: "prefix-and-more",
        pattern: Pattern::Regex(r"^ws00.*/migrations/.*\.py$"),
        lines: Some(r"(?m)^ws00.*/migrations/.*\.py$"),
    },
    Case {
        name: "glob-suffix",
        pattern: Pattern::Glob("**/*.py"),
        lines: Some(r"(?m)\.py$"),
    },
    Case {
        name: "glob",
        pattern: Pattern::Glob("ws00?/*/plugins/**/*_test.go"),
        lines: Some(r"(?m)^ws00[^/\n]/[^/\n]*/plugins/(?:.*/)?[^/\n]*_test\.go$"),
    },
];

impl Case {
    fn query(&self) -> Query {
        let criterion = match self.pattern {
            Pattern::Regex(regex) => Query::builder().path_regex(regex),
            Pattern::Glob(glob) => Query::builder().path_glob(glob),
        };
        criterion.build().expect("the pattern is good")
    }

    /// The pattern for one path, or for many on a line each.
    fn regex(&self) -> Regex {
        let (Pattern::Regex(text) | Pattern::Glob(text)) = self.pattern;
        Regex::new(self.lines.unwrap_or(text)).expect("the pattern is good")
    }
}

/// Every path in one text, a line each, and where each begins.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    text: String,
    starts: Vec<u32>,
}

impl Arena {
    pub(crate) fn new(corpus: &Corpus) -> Self {
        let mut arena = Arena::default();
        let mut path = String::new();
        for file in 0..corpus.len() {
            corpus.path_into(file, &mut path);
            arena.starts.push(arena.text.len() as u32);
            arena.text.push_str(&path);
            arena.text.push('\n');
        }
        arena.starts.push(arena.text.len() as u32);
        arena
    }

    pub(crate) fn path(&self, file: u32) -> &str {
        let file = file as usize;
        &self.text[self.starts[file] as usize..self.starts[file + 1] as usize - 1]
    }

    fn strings(&self) -> Vec<String> {
        (1..self.starts.len() as u32)
            .map(|next| self.path(next - 1).to_owned())
            .collect()
    }

    /// One search from line to line: after a match it goes on at the next line.
    fn search(&self, regex: &Regex) -> Vec<u32> {
        let mut found = Vec::new();
        let mut file = 0;
        // The search ends before the last line's end: there is no line behind it.
        let text = &self.text[..self.text.len() - 1];
        let mut from = 0;
        while from < text.len()
            && let Some(start) = regex.find_at(text, from).map(|hit| hit.start() as u32)
        {
            // Gallop to the line of the match.
            let mut reach = 1;
            while file + reach < self.starts.len() && self.starts[file + reach] <= start {
                reach *= 2;
            }
            let end = (file + reach).min(self.starts.len());
            let low = file + reach / 2;
            file = low + self.starts[low..end].partition_point(|&next| next <= start) - 1;
            found.push(file as u32);
            file += 1;
            from = self.starts[file] as usize;
        }
        found
    }
}

/// The loop that one writes first.
fn loop_over(paths: &[String], regex: &Regex) -> Vec<u32> {
    let numbered = (0..).zip(paths);
    numbered
        .filter(|(_, path)| regex.is_match(path))
        .map(|(file, _)| file)
        .collect()
}
