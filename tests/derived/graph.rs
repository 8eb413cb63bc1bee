//! Results that are made from results, and edges that leave with them.

use cardex::Cache;
use cardex::tier::{DiskTierOptions, MemoryTierOptions};
use serde_json::json;

use crate::world::{World, tiers};

impl World {
    fn twice(&self, path: &str) -> (String, usize) {
        let arguments = json!({"path": path});
        let text = self.run("twice", &json!({"of": path}), |making| {
            let once = self.tools.run_for(making, "read_file", &arguments, |_| {
                self.made.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                self.contents(path)
            })?;
            Ok(format!("{once}{once}"))
        });
        (text.unwrap(), self.made())
    }
}

#[test]
fn a_result_of_a_result_comes_from_its_files_too() {
    let world = World::new();
    world.write("a", "x");
    assert_eq!(world.twice("a"), ("xx".to_owned(), 2));
    assert_eq!(world.twice("a"), ("xx".to_owned(), 2));
    world.write("a", "y");
    assert_eq!(world.twice("a"), ("yy".to_owned(), 4));
}

#[test]
fn an_invalidation_cascades() {
    let world = World::new();
    world.write("a", "x");
    world.write("b", "x");
    world.twice("a");
    world.twice("b");
    assert_eq!(
        world
            .tools
            .invalidate_path(&world.root().join("a"))
            .unwrap(),
        2
    );
    assert_eq!(world.twice("b").1, 4, "b is as it was");
    assert_eq!(world.twice("a").1, 6);
    let key = world.tools.key("read_file", &json!({"path": "a"})).unwrap();
    assert_eq!(world.tools.results().remove(&[key]).unwrap(), 2);
}

#[test]
fn a_result_lives_no_longer_than_the_one_that_it_was_made_from() {
    let world = World::new();
    world.write("a", "x");
    assert_eq!(world.twice("a").1, 2);
    let key = world.tools.key("read_file", &json!({"path": "a"})).unwrap();
    // Behind the graph's back.
    assert!(world.tools.results().kv().delete(&key).unwrap());
    assert_eq!(world.twice("a").1, 4);
}

#[test]
fn tools_leave_together_as_was_declared() {
    let world = World::new();
    world.write("a", "x");
    world.tools.declare("twice", "read_file");
    world.twice("a");
    world.list(".");
    let cleared = world.tools.invalidate_tool("read_file", None).unwrap();
    assert_eq!((cleared["read_file"], cleared["twice"]), (1, 1));
    assert_eq!(world.tools.results().derived_stats().held, 1);
    assert_eq!(world.list(".").1, 3, "another tool");
}

#[test]
fn edges_are_those_of_the_results_that_are_there_after_any_eviction() {
    const ITEMS: usize = 20;
    let world = World::with_items(ITEMS);
    let results = world.tools.results();
    let mut random = fastrand::Rng::with_seed(7);
    for n in 0..1000 {
        let path = format!("f{}", random.u32(0..400));
        world.write(&path, &n.to_string());
        world.read(&path);
        let (stats, held) = (results.derived_stats(), results.usage().entries);
        assert_eq!((stats.held, stats.edges), (held, held), "after {n}");
        if n % 50 == 0 {
            let path = world.root().join(&path);
            assert_eq!(world.tools.invalidate_path(&path).unwrap(), 1);
            assert_eq!(world.tools.invalidate_path(&path).unwrap(), 0);
        }
        if random.u32(0..10) == 0 {
            // As a coordinator has it done, to the results or to the cache below them.
            let below = results.kv();
            let caches: [&dyn Cache; 2] = [results, below];
            caches[random.usize(0..2)]
                .evict(random.usize(0..8))
                .unwrap();
            let stats = results.derived_stats();
            let held = results.usage().entries;
            assert_eq!((stats.held, stats.edges), (held, held), "after {n}");
        }
    }
    results.sweep_edges();
    let (stats, held) = (results.derived_stats(), results.usage().entries);
    assert_eq!((stats.held, stats.edges), (held, held));
    results.clear().unwrap();
    assert_eq!(results.derived_stats().edges, 0);
}

#[test]
fn edges_leave_with_the_results_that_a_file_has_no_room_for() {
    const ITEMS: usize = 30;
    let folder = tempfile::tempdir().unwrap();
    let (memory, disk) = (
        MemoryTierOptions::default().max_items(ITEMS / 3).unwrap(),
        DiskTierOptions::default().max_items(ITEMS).unwrap(),
    );
    let tier = tiers(folder.path(), memory, disk);
    let world = World::over(folder, tier);
    let results = world.tools.results();
    for n in 0..200 {
        let path = format!("f{}", n % 70);
        world.write(&path, &n.to_string());
        world.read(&path);
        let kept = (n + 1).min(ITEMS);
        let stats = results.derived_stats();
        assert_eq!((stats.held, stats.edges), (kept, kept), "after {n}");
    }
}

#[test]
fn a_result_is_bound_to_the_one_that_it_was_made_from_and_not_to_a_later_one() {
    let world = World::new();
    world.write("a", "x");
    let arguments = json!({"path": "a"});
    let made = world.run("twice", &json!({"of": "a"}), |making| {
        let once = world
            .tools
            .run_for(making, "read_file", &arguments, |_| world.contents("a"))?;
        // The file changes, and somebody else has the tool read it anew.
        world.write("a", "y");
        assert_eq!(world.read("a").0, "y");
        Ok(format!("{once}{once}"))
    });
    assert_eq!(made.unwrap(), "xx", "to who made it");
    assert_eq!(world.twice("a").0, "yy");
}
