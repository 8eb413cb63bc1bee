//! Namespaces and the results of tools: isolated, and forgotten alone, below, or along what was declared.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use cardex::kv::{Level, Namespace, Reach, ToolResults};
use serde_json::json;

use crate::support::{Case, NEVER, case, pattern};

fn session(name: &str) -> Namespace {
    Namespace::global().below(Level::Session, name).unwrap()
}

fn fill(cache: &Case, namespaces: &[Namespace]) {
    for namespace in namespaces {
        cache
            .set(namespace.key("k").unwrap(), &namespace.to_string(), NEVER)
            .unwrap();
    }
}

fn holds(cache: &Case, namespace: &Namespace) -> bool {
    let found = cache.get::<String>(namespace.key("k").unwrap()).unwrap();
    found.is_some_and(|found| found == namespace.to_string())
}

#[test]
fn namespaces_are_isolated_and_forgotten_alone_or_with_all_below() {
    let cache = case();
    let (a, ab) = (session("a"), session("a:b"));
    let request = a.below(Level::Request, "r").unwrap();
    let tool = request.below(Level::Tool, "t").unwrap();
    let all = [
        Namespace::global(),
        a.clone(),
        ab.clone(),
        request.clone(),
        tool.clone(),
    ];
    fill(&cache, &all);
    assert!(all.iter().all(|namespace| holds(&cache, namespace)));

    assert_eq!(cache.invalidate_namespace(&a, Reach::Alone).unwrap(), 1);
    assert!(!holds(&cache, &a) && holds(&cache, &request) && holds(&cache, &tool));
    fill(&cache, &all);
    assert_eq!(cache.invalidate_namespace(&a, Reach::Below).unwrap(), 3);
    assert!(holds(&cache, &ab), "a never clears a:b");
    assert!(holds(&cache, &Namespace::global()));
    assert_eq!(cache.invalidate_namespace(&a, Reach::Below).unwrap(), 0);
    assert_eq!(
        cache
            .invalidate_namespace(&Namespace::global(), Reach::Below)
            .unwrap(),
        2
    );
}

#[test]
fn a_name_with_stars_is_that_name_alone() {
    let cache = case();
    let names = ["*", "s?", "[s]1", "s1", "s\\1"].map(session);
    for namespace in &names {
        fill(&cache, &names);
        assert_eq!(
            cache.invalidate_namespace(namespace, Reach::Below).unwrap(),
            1,
            "{namespace}"
        );
    }
}

fn results() -> (Case, ToolResults) {
    let cache = case();
    let results = ToolResults::new(cache.cache.clone());
    (cache, results)
}

#[test]
fn a_result_is_made_once_for_the_same_arguments_in_any_order() {
    let (cache, results) = results();
    let run = |text: &str| {
        let arguments = serde_json::from_str(text).unwrap();
        let run = || Ok(text.to_owned());
        results
            .get_or_run(&session("s"), "grep", &arguments, run)
            .unwrap()
    };
    let first = run(r#"{"path": "a", "limit": 1}"#);
    assert_eq!(run(r#"{"limit": 1, "path": "a"}"#), first);
    assert_ne!(run(r#"{"limit": "1", "path": "a"}"#), first);
    assert_ne!(run(r#"{"limit": true, "path": "a"}"#), first);
    assert_eq!(cache.stats().unwrap().loads, 3);
}

fn fill_results(results: &ToolResults) {
    for tool in ["parse", "index", "search", "other"] {
        for namespace in [Namespace::global(), session("s"), session("t")] {
            for n in 0..2 {
                let made = results.get_or_run(&namespace, tool, &json!({"n": n}), || Ok(n));
                assert_eq!(made.unwrap(), n);
            }
        }
    }
}

#[test]
fn a_tool_is_forgotten_with_all_that_work_on_its_results_and_circles_end() {
    let (cache, results) = results();
    results.declare("index", "parse");
    results.declare("search", "index");
    results.declare("parse", "search");
    results.declare("search", "search");
    fill_results(&results);
    let cleared = results.invalidate_tool("index", None).unwrap();
    let told: Vec<(&str, usize)> = cleared
        .iter()
        .map(|(tool, left)| (&**tool, *left))
        .collect();
    assert_eq!(told, [("index", 6), ("parse", 6), ("search", 6)]);
    assert_eq!(cache.keys(&pattern("*:tool=other:*")).unwrap().len(), 6);
    assert_eq!(cache.stats().unwrap().total_entries, 6);
    let alone = results
        .invalidate_tool("other", Some(&session("s")))
        .unwrap();
    assert_eq!(alone["other"], 2);
    assert_eq!(results.invalidate_tool("none", None).unwrap()["none"], 0);
}

#[test]
fn a_tool_in_a_namespace_is_forgotten_there_and_below() {
    let (_cache, results) = results();
    let request = session("s").below(Level::Request, "r").unwrap();
    for namespace in [session("s"), request, session("t"), session("s:tool=grep")] {
        for tool in ["grep", "grep2", "*"] {
            results
                .get_or_run(&namespace, tool, &json!(null), || Ok(1))
                .unwrap();
        }
    }
    let cleared = |tool| results.invalidate_tool(tool, Some(&session("s"))).unwrap()[tool];
    assert_eq!(cleared("*"), 2);
    assert_eq!(cleared("grep"), 2);
    assert_eq!(cleared("grep"), 0);
    assert_eq!(cleared("grep2"), 2);
}

/// What a tool makes while its results are forgotten is not kept.
#[test]
fn a_result_that_is_being_made_is_voided() {
    let (cache, results) = results();
    let made = results.get_or_run(&session("s"), "grep", &json!(1), || {
        results.invalidate_tool("grep", None)?;
        Ok(1)
    });
    assert_eq!(made.unwrap(), 1);
    assert_eq!(cache.stats().unwrap().total_entries, 0);
}

/// The dependant comes before in the order of names. It is asked for at each moment of the invalidation.
#[test]
fn a_result_that_is_made_again_of_one_that_has_not_left_yet_is_not_kept() {
    let (cache, global) = (case(), Namespace::global());
    let tools = Arc::new(ToolResults::new(cache.cache.clone()));
    tools.declare("a", "b");
    tools.declare("0", "a");
    let truth = Arc::new(AtomicU32::new(1));
    let ask = {
        let (tools, truth) = (Arc::clone(&tools), Arc::clone(&truth));
        move || {
            let none = json!({});
            let b = || Ok(truth.load(Ordering::SeqCst));
            let a = || tools.get_or_run(&global, "b", &none, b);
            let first = || tools.get_or_run(&global, "a", &none, a);
            tools.get_or_run(&global, "0", &none, first).unwrap()
        }
    };
    assert_eq!(ask(), 1);
    truth.store(2, Ordering::SeqCst);
    let asked = Arc::new(AtomicU32::new(0));
    cache.on_change({
        let (ask, asked) = (ask.clone(), Arc::clone(&asked));
        move |_| {
            asked.fetch_add(1, Ordering::SeqCst);
            ask();
        }
    });
    tools.invalidate_tool("b", None).unwrap();
    assert!(asked.load(Ordering::SeqCst) >= 3);
    assert_eq!(ask(), 2);
}

#[test]
fn a_tool_that_cannot_be_forgotten_does_not_keep_the_others() {
    let (cache, global) = (case(), Namespace::global());
    let tools = ToolResults::new(cache.cache.clone());
    let long = "t".repeat(2000);
    tools.declare(&long, "b");
    tools.declare("z", &long);
    for tool in ["b", "z"] {
        let made = tools.get_or_run(&global, tool, &json!({}), || Ok(1));
        assert_eq!(made.unwrap(), 1);
    }
    assert!(tools.invalidate_tool("b", None).is_err());
    assert_eq!(cache.keys(&pattern("*")).unwrap(), []);
}
