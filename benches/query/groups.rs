//! The first files of a query with alternatives or a denial, in path order, against SQLite with the
//! statements held: of the ways to put such a question to it, the one that turns out faster.

use cardex::Index;
use rusqlite::Statement;

use crate::Bench;
use crate::common::race::race;
use crate::questions::{LIMIT, Question};
use crate::structured::{Turn, ask_ours};

/// Two ways to say the same; both are given `?1` and `?2`, the names, and `?3`, the language.
struct Case {
    name: &'static str,
    ways: [&'static str; 2],
    has_language: bool,
    questions: Vec<Question>,
}

fn cases(bench: &Bench<'_>) -> [Case; 4] {
    let mut drawer = bench.drawer();
    [
        Case {
            name: "func-or-func",
            ways: [
                "SELECT file FROM functions_any WHERE name = ?1
                 UNION SELECT file FROM functions_any WHERE name = ?2 ORDER BY file",
                "SELECT DISTINCT file FROM functions_any WHERE name IN (?1, ?2) ORDER BY file",
            ],
            has_language: false,
            questions: drawer.either_function(),
        },
        Case {
            name: "lang+(func-or-func)",
            ways: [
                "SELECT file FROM functions WHERE name = ?1 AND language = ?3
                 UNION SELECT file FROM functions WHERE name = ?2 AND language = ?3 ORDER BY file",
                "SELECT DISTINCT file FROM functions
                 WHERE name IN (?1, ?2) AND language = ?3 ORDER BY file",
            ],
            has_language: true,
            questions: drawer.language_either_function(),
        },
        Case {
            name: "func-not-func",
            ways: [
                "SELECT file FROM functions_any t WHERE name = ?1 AND NOT EXISTS
                 (SELECT 1 FROM functions_any WHERE name = ?2 AND file = t.file) ORDER BY file",
                "SELECT file FROM functions_any WHERE name = ?1
                 EXCEPT SELECT file FROM functions_any WHERE name = ?2 ORDER BY file",
            ],
            has_language: false,
            questions: drawer.function_without_function(),
        },
        Case {
            name: "func-not-lang",
            ways: [
                "SELECT t.file FROM functions_any t CROSS JOIN files f ON f.file = t.file
                 WHERE t.name = ?1 AND f.language <> ?3 AND ?2 <> '' ORDER BY t.file",
                "SELECT file FROM functions WHERE name = ?1 AND language <> ?3 AND ?2 <> ''
                 ORDER BY file",
            ],
            has_language: true,
            questions: drawer.function_without_language(),
        },
    ]
}

/// Races every case; see [`crate::structured::run`].
pub(crate) fn run(bench: &Bench<'_>, index: &Index) {
    let snapshot = index.snapshot();
    let tiers = match snapshot.outstanding() {
        0 => String::new(),
        files => format!(",outstanding={files},tiers={}", snapshot.tiers()),
    };
    for case in &cases(bench) {
        let questions = &case.questions[..];
        let turn = |sql: &str| {
            let sql = format!("{sql} LIMIT {LIMIT}");
            let mut statement = bench.sqlite.hold(&sql).expect("the statement is good");
            Turn::new(questions, move |at, found| {
                first(&mut statement, case, at, found).expect("SQLite answers");
            })
        };
        let [mut one, mut two] = case.ways.map(turn);
        one.check(bench, "sqlite", index);
        two.check(bench, "sqlite", index);
        let [ours, one, two] = race(
            questions.len(),
            [
                &mut || ask_ours(index, questions),
                &mut || one.run(),
                &mut || two.run(),
            ],
        );
        bench.report(
            &format!("{},first20{tiers}", case.name),
            "sqlite",
            ours,
            one.min(two),
            tiers.is_empty().then_some(8.0),
        );
    }
}

fn first(
    statement: &mut Statement<'_>,
    case: &Case,
    at: usize,
    found: &mut Vec<u32>,
) -> rusqlite::Result<()> {
    let question = &case.questions[at];
    for (number, term) in (1..).zip(&question.terms) {
        statement.raw_bind_parameter(number, &term.name)?;
    }
    if case.has_language {
        statement.raw_bind_parameter(3, question.language)?;
    }
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        found.push(row.get(0)?);
    }
    Ok(())
}
