//! The index and its queries against a naive map: random changes, folds and queries, 0 differences.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::Query;
use crate::index::{Changes, Index, Stamp};
use crate::position::Position;

fn stamp(sequence: u64) -> Stamp {
    Stamp {
        position: Position { epoch: 0, sequence },
        ..Stamp::default()
    }
}

#[derive(Clone, Debug, Default)]
struct File {
    language: Option<&'static str>,
    functions: Vec<&'static str>,
    /// Ordinal, name, methods.
    classes: Vec<(i64, &'static str, Vec<&'static str>)>,
    references: Vec<&'static str>,
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(String, Option<File>)>),
    Replace,
    /// Commits these while a fold is running.
    Fold(Vec<Vec<(String, Option<File>)>>),
}

#[derive(Clone, Debug, Default)]
struct Asked {
    language: Option<&'static str>,
    functions: Vec<&'static str>,
    class: Option<&'static str>,
    reference: Option<&'static str>,
    regex: Option<&'static str>,
    glob: Option<&'static str>,
    groups: Vec<AskedGroup>,
    limit: Option<usize>,
}

#[derive(Clone, Debug)]
enum AskedGroup {
    AnyOf(Vec<Asked>),
    Not(Box<Asked>),
}

const LANGUAGES: [&str; 4] = ["rust", "Python", "go", "c"];
const NAMES: [&str; 6] = ["parse", "next", "new", "C.new", "Lexer", ""];
const CLASSES: [&str; 4] = ["Lexer", "C", "D.C", ""];
const DOCUMENTS: [&str; 3] = ["docs/A.md", "README.md", ""];

impl Asked {
    fn query(&self) -> Query {
        let mut query = Query::builder();
        let functions = self.functions.iter().map(|&name| ("function", name));
        let single = [
            ("language", self.language),
            ("class", self.class),
            ("reference", self.reference),
            ("path", self.regex),
            ("glob", self.glob),
        ];
        let single = single
            .into_iter()
            .filter_map(|(field, value)| Some((field, value?)));
        for (field, value) in functions.chain(single) {
            query = query.field(field, value);
        }
        for group in &self.groups {
            query = match group {
                AskedGroup::AnyOf(branches) => query.any_of(branches.iter().map(Asked::query)),
                AskedGroup::Not(denied) => query.not(denied.query()),
            };
        }
        query.build().unwrap()
    }

    fn holds(&self, path: &str, file: &File) -> bool {
        let mut names: BTreeSet<String> = file.functions.iter().map(|&n| n.into()).collect();
        for (_, class, methods) in &file.classes {
            for method in methods {
                names.insert((*method).into());
                if !class.is_empty() && !method.is_empty() {
                    names.insert(format!("{class}.{method}"));
                }
            }
        }
        let matches = |pattern: &str| regex::Regex::new(pattern).unwrap().is_match(path);
        let globs = |glob: &str| {
            let glob = globset::GlobBuilder::new(glob)
                .literal_separator(true)
                .build()
                .unwrap();
            glob.compile_matcher().is_match(path)
        };
        self.functions.iter().all(|&name| names.contains(name))
            && self
                .language
                .is_none_or(|l| file.language.is_some_and(|f| f.eq_ignore_ascii_case(l)))
            && self
                .class
                .is_none_or(|c| file.classes.iter().any(|(_, name, _)| *name == c))
            && self.reference.is_none_or(|r| file.references.contains(&r))
            && self.regex.is_none_or(matches)
            && self.glob.is_none_or(globs)
            && self.groups.iter().all(|group| match group {
                AskedGroup::AnyOf(branches) => branches.iter().any(|b| b.holds(path, file)),
                AskedGroup::Not(denied) => !denied.holds(path, file),
            })
    }
}

fn name() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&NAMES[..])
}

fn file() -> impl Strategy<Value = File> {
    let class = (
        proptest::sample::select(&CLASSES[..]),
        proptest::collection::vec(name(), 0..3),
    );
    (
        proptest::option::weighted(0.9, proptest::sample::select(&LANGUAGES[..])),
        proptest::collection::vec(name(), 0..3),
        proptest::collection::vec(class, 0..3),
        proptest::collection::vec(proptest::sample::select(&DOCUMENTS[..]), 0..2),
    )
        .prop_map(|(language, functions, classes, references)| {
            let classes = classes
                .into_iter()
                .zip(0..)
                .map(|((name, m), i)| (i, name, m))
                .collect();
            File {
                language,
                functions,
                classes,
                references,
            }
        })
}

fn path() -> impl Strategy<Value = String> {
    let part = proptest::sample::select(&["a", "b", "src", "z.rs", "é"][..]);
    proptest::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"))
}

fn step() -> impl Strategy<Value = Step> {
    let change = (path(), proptest::option::weighted(0.7, file()));
    let fold_change = (path(), proptest::option::weighted(0.6, file()));
    prop_oneof![
        8 => proptest::collection::vec(change, 1..12).prop_map(Step::Commit),
        1 => Just(Step::Replace),
        2 => proptest::collection::vec(proptest::collection::vec(fold_change, 1..6), 0..4).prop_map(Step::Fold),
    ]
}

fn asked() -> impl Strategy<Value = Asked> {
    let named = |names: &'static [&str]| {
        let names: Vec<_> = names
            .iter()
            .copied()
            .filter(|name| !name.is_empty())
            .collect();
        proptest::option::weighted(0.4, proptest::sample::select(names))
    };
    let functions = [
        "parse",
        "next",
        "new",
        "C.new",
        "D.C.new",
        "Lexer.next",
        "gone",
        ".",
        "C.",
    ];
    let regexes = ["^src", "^a/b", "rs$", "a", "^b$", r"\bz", "é", "^src/a/b$"];
    let globs = ["**/*.rs", "src/*", "*", "a/**", "**/{a,b}"];
    (
        named(&LANGUAGES),
        proptest::collection::vec(proptest::sample::select(functions.to_vec()), 0..3),
        named(&CLASSES),
        named(&DOCUMENTS),
        proptest::option::weighted(0.3, proptest::sample::select(regexes.to_vec())),
        proptest::option::weighted(0.3, proptest::sample::select(globs.to_vec())),
        proptest::option::weighted(0.6, 0usize..6),
    )
        .prop_map(
            |(language, functions, class, reference, regex, glob, limit)| Asked {
                language,
                functions,
                class,
                reference,
                regex,
                glob,
                groups: Vec::new(),
                limit,
            },
        )
}

/// Criteria for a group: one at least, no limit, and names that no file has.
fn inner() -> impl Strategy<Value = Asked> {
    (asked(), 0usize..3).prop_map(|(asked, gone)| {
        let mut asked = Asked {
            limit: None,
            ..asked
        };
        if asked.query().all().is_empty() {
            asked.functions.push(["parse", "gone", "C.new"][gone]);
        }
        asked
    })
}

/// Any tree of criteria.
fn tree() -> impl Strategy<Value = Asked> {
    let inner = inner().prop_recursive(4, 12, 3, |inner| {
        let group = prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(AskedGroup::AnyOf),
            inner.prop_map(|denied| AskedGroup::Not(Box::new(denied))),
        ];
        let flat = prop_oneof![Just(Asked::default()), asked()];
        (flat, proptest::collection::vec(group, 1..3)).prop_map(|(flat, groups)| Asked {
            groups,
            limit: None,
            ..flat
        })
    });
    let limit = proptest::option::weighted(0.6, 0usize..6);
    (inner, limit).prop_filter_map("larger than a query may be", |(tree, limit)| {
        (tree.size() <= 64).then_some(Asked { limit, ..tree })
    })
}

impl Asked {
    fn size(&self) -> usize {
        let groups = self.groups.iter().map(|group| match group {
            AskedGroup::AnyOf(branches) => branches.iter().map(Asked::size).sum(),
            AskedGroup::Not(denied) => denied.size(),
        });
        7 + groups.sum::<usize>()
    }
}

/// The index beside the map that it should equal.
struct Model {
    index: Arc<Index>,
    files: BTreeMap<String, (File, u64)>,
    sequence: u64,
}

impl Model {
    fn new() -> Self {
        Model {
            index: Arc::new(Index::new().unwrap()),
            files: BTreeMap::new(),
            sequence: 0,
        }
    }

    fn stamp(&self) -> Stamp {
        stamp(self.sequence)
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Fold(commits) => {
                let index = Arc::clone(&self.index);
                let meanwhile = || commits.into_iter().for_each(|c| self.run(Step::Commit(c)));
                index.fold_around(meanwhile).unwrap();
            }
            Step::Replace => {
                let mut files = self.index.builder();
                // Out of path order, on purpose.
                for (path, (file, version)) in self.files.iter().rev() {
                    write(&mut files, path, file, *version);
                }
                let base = Arc::new(files.finish().unwrap());
                let none = Changes {
                    files: self.index.builder(),
                    deleted: Vec::new(),
                };
                self.index
                    .replace(base, none, self.stamp(), |_| {})
                    .unwrap();
            }
            Step::Commit(changes) => {
                let changes: BTreeMap<_, _> = changes.into_iter().collect();
                let mut files = self.index.builder();
                let mut deleted = Vec::new();
                for (path, file) in changes {
                    self.sequence += 1;
                    match file {
                        Some(file) => {
                            write(&mut files, &path, &file, self.sequence);
                            self.files.insert(path, (file, self.sequence));
                        }
                        None => {
                            self.files.remove(&path);
                            deleted.push(path);
                        }
                    }
                }
                self.index
                    .apply(Changes { files, deleted }, self.stamp(), |_, _| {})
                    .unwrap();
            }
        }
    }

    fn check(&self, asked: &Asked) {
        let snapshot = self.index.snapshot();
        assert_eq!(snapshot.position(), self.stamp().position);
        assert_eq!(snapshot.len(), self.files.len());
        let expected: Vec<_> = self
            .files
            .iter()
            .filter(|(path, (file, _))| asked.holds(path, file))
            .collect();
        let limit = asked.limit.unwrap_or(usize::MAX);
        let unlimited = Asked {
            limit: None,
            ..asked.clone()
        }
        .query();
        assert_eq!(
            Query::parse(&unlimited.to_text()).unwrap(),
            unlimited,
            "the text is the query"
        );
        let query = match asked.limit {
            Some(limit) => super::Query(Arc::new(super::Wanted {
                limit: Some(limit),
                ..(*unlimited.0).clone()
            })),
            None => unlimited,
        };
        let answer = snapshot.search(&query);
        let hits: Vec<_> = answer
            .hits()
            .map(|h| (h.path, h.language, h.version))
            .collect();
        let lower = |file: &File| file.language.map(str::to_ascii_lowercase);
        let wanted: Vec<_> = expected
            .iter()
            .take(limit)
            .map(|(path, (file, version))| (path.as_str(), lower(file), *version))
            .collect();
        let wanted: Vec<_> = wanted
            .iter()
            .map(|(p, l, v)| (*p, l.as_deref(), *v))
            .collect();
        assert_eq!(hits, wanted, "{query}\n{}", snapshot.explain(&query));
        assert_eq!(snapshot.count(&query), expected.len() as u64, "{query}");
        assert_eq!(answer.total(), expected.len() as u64, "{query}");
        assert_eq!(answer.is_truncated(), expected.len() > limit, "{query}");
    }
}

fn write(files: &mut crate::index::SegmentBuilder, path: &str, file: &File, version: u64) {
    files.file(path, file.language, version);
    file.functions.iter().for_each(|name| files.function(name));
    file.classes
        .iter()
        .for_each(|(ordinal, name, _)| files.class(*ordinal, name));
    for (ordinal, _, methods) in &file.classes {
        methods.iter().for_each(|name| files.method(*ordinal, name));
    }
    file.references
        .iter()
        .for_each(|document| files.reference(document));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_index_equals_a_naive_map(
        steps in proptest::collection::vec((step(), proptest::collection::vec(asked(), 4)), 1..30),
    ) {
        let mut model = Model::new();
        for (step, queries) in steps {
            model.run(step);
            queries.iter().for_each(|asked| model.check(asked));
        }
    }

    #[test]
    fn alternatives_and_denials_equal_a_naive_map(
        steps in proptest::collection::vec((step(), proptest::collection::vec(tree(), 4)), 1..16),
    ) {
        let mut model = Model::new();
        for (step, queries) in steps {
            model.run(step);
            queries.iter().for_each(|asked| model.check(asked));
        }
    }
}

fn in_language(language: &'static str) -> Asked {
    Asked {
        language: Some(language),
        ..Asked::default()
    }
}

fn not(language: &'static str) -> AskedGroup {
    AskedGroup::Not(Box::new(in_language(language)))
}

fn any<const N: usize>(languages: [&'static str; N]) -> AskedGroup {
    AskedGroup::AnyOf(languages.map(in_language).into())
}

fn grouped<const N: usize>(flat: Asked, groups: [AskedGroup; N], limit: Option<usize>) -> Asked {
    Asked {
        groups: groups.into(),
        limit,
        ..flat
    }
}

#[test]
fn dense_lists_are_bitmaps_and_equal_a_naive_map() {
    let mut model = Model::new();
    let commit = |range: std::ops::Range<u32>, language| {
        let file = |at: u32| File {
            language: Some(language),
            functions: if at.is_multiple_of(2) {
                vec!["parse", "new"]
            } else {
                vec!["next"]
            },
            ..File::default()
        };
        Step::Commit(
            range
                .map(|at| (format!("d{}/{at:05}", at % 7), Some(file(at))))
                .collect(),
        )
    };
    let queries = [
        Asked {
            language: Some("rust"),
            functions: vec!["parse"],
            ..Asked::default()
        },
        Asked {
            functions: vec!["parse", "new"],
            limit: Some(20),
            ..Asked::default()
        },
        Asked {
            functions: vec!["next"],
            language: Some("go"),
            ..Asked::default()
        },
        Asked {
            regex: Some("^d3/"),
            functions: vec!["next"],
            ..Asked::default()
        },
        Asked {
            regex: Some("7$"),
            language: Some("rust"),
            limit: Some(5),
            ..Asked::default()
        },
        Asked::default(),
        grouped(Asked::default(), [not("rust"), not("c")], Some(20)),
        grouped(Asked::default(), [not("python")], None),
        grouped(Asked::default(), [any(["go", "c"])], Some(50)),
        grouped(Asked::default(), [any(["go", "rust"]), not("c")], None),
        grouped(
            Asked {
                regex: Some("^d3/"),
                ..Asked::default()
            },
            [any(["rust", "c"])],
            Some(300),
        ),
    ];
    let steps = [
        commit(0..20_000, "rust"),
        Step::Fold(Vec::new()),
        commit(500..600, "go"),
        commit(9_000..9_010, "c"),
        commit(30_000..30_100, "rust"),
        Step::Commit(
            (0..300)
                .map(|at| (format!("d{}/{at:05}", at % 7), None))
                .collect(),
        ),
        Step::Fold(Vec::new()),
        commit(1..2, "go"),
        Step::Replace,
    ];
    for step in steps {
        model.run(step);
        queries.iter().for_each(|asked| model.check(asked));
    }
}

#[test]
fn a_fold_in_the_background_changes_no_answer() {
    let mut model = Model::new();
    let query = Asked {
        functions: vec!["parse"],
        limit: Some(50),
        ..Asked::default()
    };
    for round in 0..40u32 {
        let file = File {
            functions: vec!["parse"],
            ..File::default()
        };
        let change = |at: u32| (format!("f{:05}", at * 7919 % 20_000), Some(file.clone()));
        model.run(Step::Commit(
            (round * 400..round * 400 + 400).map(change).collect(),
        ));
        model.check(&query);
    }
}

#[test]
fn the_background_thread_folds_tiers_into_the_base() {
    let mut model = Model::new();
    let file = File {
        functions: vec!["parse"],
        ..File::default()
    };
    let change = |at: u32| (format!("f{at:05}"), Some(file.clone()));
    model.run(Step::Commit((0..5_000).map(change).collect()));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while model.index.snapshot().outstanding() > 0 {
        assert!(std::time::Instant::now() < deadline, "nothing was folded");
        std::thread::yield_now();
    }
    model.check(&Asked {
        functions: vec!["parse"],
        limit: Some(5),
        ..Asked::default()
    });
}

#[test]
fn readers_see_all_of_a_commit_or_none_of_it() {
    const FILES: usize = 300;
    const COMMITS: u64 = 400;
    let index = Index::new().unwrap();
    let query = Query::builder().function("parse").build().unwrap();
    std::thread::scope(|scope| {
        let readers = [(); 2].map(|()| {
            scope.spawn(|| {
                let mut seen = 0;
                while seen < COMMITS {
                    let snapshot = index.snapshot();
                    let position = snapshot.position().sequence;
                    assert!(position >= seen, "the position never goes back");
                    let answer = snapshot.search(&query);
                    let versions: BTreeSet<u64> = answer.hits().map(|hit| hit.version).collect();
                    if position > 0 {
                        assert_eq!(answer.len(), FILES);
                        assert_eq!(versions, BTreeSet::from([position]));
                    }
                    seen = position;
                }
            })
        });
        for sequence in 1..=COMMITS {
            let mut files = index.builder();
            for at in 0..FILES {
                files.file(&format!("f{at}"), None, sequence);
                files.function("parse");
            }
            let changes = Changes {
                files,
                deleted: Vec::new(),
            };
            index.apply(changes, stamp(sequence), |_, _| {}).unwrap();
            if sequence % 100 == 0 {
                index.fold().unwrap();
            }
        }
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

#[test]
fn what_is_wrong_with_a_query_is_an_error_and_never_a_wider_answer() {
    for (field, value) in [
        ("language", ""),
        ("function", ""),
        ("class", ""),
        ("reference", ""),
        ("path", ""),
        ("glob", ""),
        ("limit", "-1"),
        ("limit", "many"),
        ("langage", "rust"),
        ("path", "("),
        ("glob", "["),
    ] {
        let built = Query::builder()
            .language("rust")
            .field(field, value)
            .limit(5)
            .build();
        assert!(built.is_err(), "{field}={value}");
    }
    let caret = Query::builder().path_regex("src/[a").build().unwrap_err();
    assert_eq!(caret.excerpt().map(|excerpt| excerpt.at.start), Some(4));
}
