//! A checker that finds nothing proves nothing: each way to break a promise is recorded here once,
//! beside a recording that keeps them all.

use super::*;
use crate::cli::verify::recording::Commit;

/// Commits at times 100, 200, 300, 400, acknowledged 50 later: path 5 is made, path 6 is made, path 5
/// changes, path 6 goes. Languages 0 and 1, function 2.
const COMMITS: &str = "c 100 150 0 1 5 1 11.0.2
c 200 250 1 2 6 2 12.1.2
c 300 350 2 4 5 4 13.0.2
c 400 450 4 5 6 0 -
";

fn commits() -> Vec<Commit> {
    let part = Part::new(COMMITS);
    let lines = part.lines().map(|line| line.unwrap().1);
    lines
        .map(|line| match line {
            Line::Commit(commit) => commit,
            other => panic!("{other:?}"),
        })
        .collect()
}

/// What is found in the lines of the threads of one process.
fn found(threads: &[&str]) -> Proof {
    let history = History::new(commits()).unwrap();
    let parts: Vec<Part> = threads.iter().map(|text| Part::new(text)).collect();
    let mut proof = Proof::default();
    proof.process(&history, "test", &parts).unwrap();
    proof
}

/// Asserts that exactly the last line is found to be wrong, for this reason.
#[track_caller]
fn assert_found(threads: &[&str], reason: &str) {
    let proof = found(threads);
    let [violation] = &proof.violations[..] else {
        panic!("one is wrong: {proof:?}");
    };
    assert!(violation.why.contains(reason), "{violation:?}");
    let last = threads.last().unwrap().lines().last();
    assert_eq!(violation.answer.as_deref(), last);
    assert!(violation.positions.is_some());
}

#[test]
fn answers_that_keep_every_promise_are_proven() {
    let good = "g 10 20 c 5 -
g 160 170 l 5 1 1 11.0.2
s 260 270 c 2 5
q 280 290 a2 2 10 10 104 2 5:1:0 6:2:1
q 355 360 m20 4 9 0 1 1 5:4:0
g 460 470 l 6 -
q 480 490 l 5 5 10 104 1 5:4:0";
    let proof = found(&[good]);
    assert_eq!(proof.violations_total, 0, "{proof:?}");
    assert_eq!((proof.answers, proof.records, proof.absent), (7, 1, 2));
    assert_eq!((proof.latest, proof.at_least, proof.max_age), (3, 1, 1));
}

#[test]
fn a_record_of_another_position_is_found() {
    assert_found(&["g 360 370 c 5 4 1 11.0.2"], "another record");
}

#[test]
fn a_record_that_somebody_made_up_is_found() {
    assert_found(&["g 160 170 c 5 1 1 11.0.3"], "another record");
}

#[test]
fn an_answer_without_one_of_its_files_is_found() {
    assert_found(&["q 280 290 c 2 100 10 104 1 5:1:0"], "other files");
}

#[test]
fn an_answer_with_a_file_that_went_is_found() {
    let line = "q 460 470 c 5 100 10 104 2 5:4:0 6:2:1";
    assert_found(&[line], "other files");
}

#[test]
fn an_answer_that_is_older_than_it_says_is_found() {
    assert_found(&["q 380 390 c 2 10 1 104 1 6:2:1"], "older");
    assert_found(&["s 380 390 c 2 10"], "older");
}

#[test]
fn an_answer_that_is_older_than_was_demanded_is_found() {
    assert_found(&["g 260 270 l 5 1 1 11.0.2"], "older");
    assert_found(&["g 380 390 m10 5 1 1 11.0.2"], "older");
    assert_found(&["g 380 390 a4 5 1 1 11.0.2"], "older");
}

#[test]
fn a_thread_that_is_taken_back_by_another_thread_is_found() {
    let threads = ["s 260 270 c 2 100", "g 280 290 c 5 1 1 11.0.2"];
    assert_found(&threads, "went back");
}

#[test]
fn a_writer_that_does_not_see_its_own_commit_is_found() {
    assert_found(
        &["c 300 350 2 4 5 4 13.0.2\ng 355 360 c 5 2 1 11.0.2"],
        "went back",
    );
}

#[test]
fn an_answer_of_a_commit_that_nobody_has_begun_is_found() {
    assert_found(&["g 260 270 c 5 4 4 13.0.2"], "ahead");
}

#[test]
fn an_answer_of_a_position_inside_a_commit_is_found() {
    assert_found(&["g 360 370 c 5 3 1 11.0.2"], "no commit");
}

#[test]
fn a_file_that_is_said_to_be_absent_and_was_there_is_found() {
    assert_found(&["g 260 270 l 5 -"], "absent");
}

#[test]
fn a_commit_that_nobody_recorded_breaks_the_chain() {
    for missing in 0..3 {
        let mut commits = commits();
        commits.remove(missing);
        assert!(History::new(commits).unwrap_err().contains("chain"));
    }
    let mut twice = commits();
    twice.push(twice[1].clone());
    assert!(History::new(twice).unwrap_err().contains("chain"));
}

#[test]
fn what_is_no_line_of_a_recording_is_an_error_that_names_it() {
    for line in [
        "g 1 2 c 5",
        "g 1 2 c 104 -",
        "z",
        "nonsense",
        "",
        "é",
        "c 1 2 0 1 5",
        "q 1 2 c 1 1 1 1 1 5:1",
        "s 1 2 x 1 1",
    ] {
        let part = Part::new(&format!("n\n{line}\n"));
        let error = part.lines().find_map(Result::err);
        let error = error.unwrap_or_else(|| panic!("`{line}` is taken"));
        assert_eq!(error.to_string(), "test:2 is no line of a recording");
    }
}
