//! Files and directories that change, with nobody telling of it.

use std::fs;
use std::time::{Duration, Instant};

use cardex::{Cache, Error, ErrorKind, Scope};
use serde_json::json;

use crate::world::World;

#[test]
fn a_result_is_made_once_while_its_file_is_as_it_was_and_anew_when_it_is_not() {
    let world = World::new();
    world.write("a", "one");
    assert_eq!(world.read("a"), ("one".to_owned(), 1));
    assert_eq!(world.read("a"), ("one".to_owned(), 1));
    assert_eq!(world.read("./a"), ("one".to_owned(), 2), "other arguments");
    world.write("a", "two");
    assert_eq!(world.read("a"), ("two".to_owned(), 3));
    assert_eq!(world.read("a"), ("two".to_owned(), 3));
    assert_eq!(world.tools.results().derived_stats().outdated, 1);
}

#[test]
fn a_result_that_is_no_longer_true_is_nobodys_also_if_it_cannot_be_made_anew() {
    let world = World::new();
    world.write("a", "one");
    assert_eq!(world.read("a"), ("one".to_owned(), 1));
    world.write("a", "two");
    let arguments = json!({"path": "a"});
    let fails = || world.run::<String>("read_file", &arguments, |_| Err(refused()));
    assert_eq!(fails().unwrap_err().to_string(), "no");
    let panics = || world.run::<String>("read_file", &arguments, |_| panic!("out of order"));
    assert_eq!(panics().unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(world.tools.results().derived_stats().outdated, 2);
    assert_eq!(world.read("a"), ("two".to_owned(), 4));
    assert_eq!(world.read("a"), ("two".to_owned(), 4));
}

fn refused() -> Error {
    Error::new(ErrorKind::InvalidInput, "no")
}

#[test]
fn creation_deletion_and_renaming_count() {
    let world = World::new();
    assert_eq!(world.read("a"), ("(none)".to_owned(), 1));
    assert_eq!(
        world.read("a"),
        ("(none)".to_owned(), 1),
        "that there is none is a result"
    );
    world.write("a", "one");
    assert_eq!(world.read("a"), ("one".to_owned(), 2));
    fs::rename(world.root().join("a"), world.root().join("b")).unwrap();
    assert_eq!(world.read("a"), ("(none)".to_owned(), 3));
    assert_eq!(world.read("b"), ("one".to_owned(), 4));
    fs::remove_file(world.root().join("b")).unwrap();
    assert_eq!(world.read("b"), ("(none)".to_owned(), 5));
}

#[test]
fn a_directory_is_about_what_is_below_it_and_nothing_else() {
    let world = World::new();
    world.write("src/a", "one");
    world.write("docs/a", "one");
    assert_eq!(world.list("src"), (vec!["a".to_owned()], 1));
    world.write("docs/b", "two");
    assert_eq!(world.list("src").1, 1);
    world.write("src/b", "two");
    assert_eq!(world.list("src"), (vec!["a".to_owned(), "b".to_owned()], 2));
    world.write("src/deep/er/c", "three");
    assert_eq!(world.list("src").1, 3);
    world.write("src/deep/er/c", "four!");
    assert_eq!(world.list("src").1, 4);
}

#[test]
fn what_comes_from_outside_the_root_is_never_kept() {
    let world = World::new();
    let outside = world.folder.path().join("outside");
    fs::write(&outside, "one").unwrap();
    for made in 1..=3 {
        let arguments = json!({"file": outside.to_str().unwrap()});
        world.run("cat", &arguments, |_| Ok(())).unwrap();
        assert_eq!(world.made(), made);
    }
    assert_eq!(world.tools.results().derived_stats().unkept, 3);
}

#[test]
fn what_a_tool_tells_of_counts_as_much_as_its_arguments() {
    let world = World::new();
    world.write("main", "include: part");
    world.write("part", "one");
    let root = world.root().to_owned();
    let include = || {
        world.run("include", &json!({"path": "main"}), |making| {
            let part = cardex::dependencies::Source::under(&root, "part")?;
            making.uses(&part);
            world.contents("part")
        })
    };
    assert_eq!((include().unwrap().as_str(), world.made()), ("one", 1));
    assert_eq!((include().unwrap().as_str(), world.made()), ("one", 1));
    world.write("part", "two");
    assert_eq!((include().unwrap().as_str(), world.made()), ("two", 2));
}

#[test]
fn an_invalidation_takes_out_exactly_the_results_of_the_file_and_says_how_many() {
    let world = World::new();
    for file in 0..100 {
        world.write(&format!("src/f{file}"), "x");
    }
    for n in 0..1000 {
        let path = format!("src/f{}", n % 100);
        world
            .run("nth", &json!({"path": path, "n": n}), |_| Ok(n))
            .unwrap();
    }
    let results = world.tools.results();
    assert_eq!(results.derived_stats().held, 1000);
    let mut took: Vec<Duration> = (0..50)
        .map(|file| {
            let path = world.root().join(format!("src/f{file}"));
            let begun = Instant::now();
            let left = world.tools.invalidate_path(&path).unwrap();
            let took = begun.elapsed();
            let held = 990 - file * 10;
            assert_eq!((left, results.usage().entries), (10, held));
            assert_eq!(results.derived_stats().edges, held);
            took
        })
        .collect();
    took.sort_unstable();
    let (p50, most) = (took[25], took[49]);
    eprintln!("10 of 1000 results left: p50 {p50:?}, most {most:?}");
    // The median: other tests run at the same time.
    assert!(p50 < Duration::from_millis(1), "{p50:?}");
    for n in 500..1000 {
        let (path, n) = (format!("src/f{}", n % 100), n);
        let made = world.made();
        let arguments = json!({"path": path, "n": n});
        assert_eq!(world.run("nth", &arguments, |_| Ok(n)).unwrap(), n);
        let is_there = n % 100 >= 50;
        assert_eq!(world.made() == made, is_there, "{n}: no other result left");
    }
    assert_eq!(results.usage().entries, 750);
    assert_eq!(
        results
            .invalidate(&Scope::Prefix("src".to_owned()))
            .unwrap(),
        750
    );
    assert_eq!(results.derived_stats().held, 0);
    assert_eq!(results.derived_stats().edges, 0);
}
