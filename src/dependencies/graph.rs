//! `DependencyGraph`: which entries were made from which files, directories and entries, in reverse. The
//! cost of a question follows the entries that it is about, not those that there are.
//!
//! Only entries that are held have edges: an edge leaves with its entry. What an entry was made from
//! need not be held itself.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;

use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;
use smol_str::SmolStr;

use super::Source;
use crate::cache::Scope;
use crate::error::Result;
use crate::primitives::Mutex;
use crate::tier::Key;

/// The edges. Shared by those who hold the entries.
#[derive(Default)]
pub struct DependencyGraph {
    edges: Mutex<Edges>,
}

/// A key by number; one that is freed is given out again.
type Id = u32;

#[derive(Default)]
struct Edges {
    ids: HashMap<Key, Id>,
    nodes: Vec<Node>,
    free: Vec<Id>,
    /// The entries made from each file or directory; none of these sets is empty.
    by_source: BTreeMap<SmolStr, HashSet<Id>>,
    held: usize,
    count: usize,
}

/// An entry that is held, or one that others were made from, or both.
#[derive(Default)]
struct Node {
    key: Option<Key>,
    /// What the entry was made from, if it is held.
    from: Option<From>,
    /// The entries that were made from it.
    into: HashSet<Id>,
}

struct From {
    /// That of the entry: an older one that leaves late takes no edges of a newer one along.
    version: u64,
    sources: SmallVec<[SmolStr; 2]>,
    entries: SmallVec<[Id; 2]>,
}

impl DependencyGraph {
    /// A graph without edges.
    pub fn new() -> Self {
        Self::default()
    }

    /// An entry of this version is held, and was made from these; in place of what was said of its key.
    pub fn record(&self, key: &Key, version: u64, sources: &[Source], entries: &[Key]) {
        let mut edges = self.edges.lock();
        let id = edges.id(key);
        let left = edges.unlink(id);
        let mut sources: SmallVec<[SmolStr; 2]> = sources
            .iter()
            .map(|source| source.as_str().into())
            .collect();
        sources.sort_unstable();
        sources.dedup();
        let mut entries: SmallVec<[Id; 2]> = entries.iter().map(|entry| edges.id(entry)).collect();
        entries.sort_unstable();
        entries.dedup();
        for source in &sources {
            edges
                .by_source
                .entry(source.clone())
                .or_default()
                .insert(id);
        }
        for entry in &entries {
            edges.nodes[*entry as usize].into.insert(id);
        }
        edges.count += sources.len() + entries.len();
        edges.held += 1;
        edges.nodes[id as usize].from = Some(From {
            version,
            sources,
            entries,
        });
        edges.free_unused(left);
    }

    /// The entry of this version is no longer held. Nothing happens if another one is, or none.
    pub fn forget(&self, key: &Key, version: u64) {
        let mut edges = self.edges.lock();
        let Some(id) = edges.ids.get(key).copied() else {
            return;
        };
        let from = edges.nodes[id as usize].from.as_ref();
        if from.is_some_and(|from| from.version == version) {
            let left = edges.unlink(id);
            edges.free_unused(left);
            edges.free_unused([id]);
        }
    }

    /// The entry of this key is no longer held, whatever its version.
    pub fn forget_any(&self, key: &Key) {
        let mut edges = self.edges.lock();
        if let Some(id) = edges.ids.get(key).copied() {
            let left = edges.unlink(id);
            edges.free_unused(left);
            edges.free_unused([id]);
        }
    }

    /// Whether an entry of this key is held.
    pub fn holds(&self, key: &Key) -> bool {
        self.version(key).is_some()
    }

    /// The version of the entry of this key, if one is held.
    pub fn version(&self, key: &Key) -> Option<u64> {
        let edges = self.edges.lock();
        let id = *edges.ids.get(key)?;
        let from = edges.nodes[id as usize].from.as_ref()?;
        Some(from.version)
    }

    /// The entries that are held, with their versions, in no order.
    pub fn held(&self) -> Vec<(Key, u64)> {
        let edges = self.edges.lock();
        let nodes = edges.nodes.iter();
        let held = nodes.filter_map(|node| Some((node.key.clone()?, node.from.as_ref()?.version)));
        held.collect()
    }

    /// No entry is held.
    pub fn clear(&self) {
        let old = std::mem::take(&mut *self.edges.lock());
        drop(old);
    }

    /// The entries that were made from a file or directory of the scope, or from such an entry, and so
    /// on. An entry that was made from a directory is about all that is below it. Where the scope is a
    /// pattern, directories that may hold a match count.
    ///
    /// # Errors
    /// Those of [`Scope::matcher`].
    pub fn dependants(&self, scope: &Scope) -> Result<Vec<Key>> {
        let matcher = scope.matcher()?;
        let edges = self.edges.lock();
        let mut found = Closure::default();
        match scope {
            Scope::All => found.add_all(edges.by_source.values().flatten()),
            Scope::Path(path) => edges.touched_by(path.as_str(), &mut found),
            Scope::Prefix(prefix) => {
                let prefix = crate::metadata::FilePath::new(prefix)?;
                edges.touched_by(prefix.as_str(), &mut found);
            }
            Scope::Pattern(glob) => {
                let literal = glob.find(['*', '?', '[', '{', '\\']).unwrap_or(glob.len());
                let literal = &glob[..literal];
                for (source, entries) in &edges.by_source {
                    let may_hold =
                        source.starts_with(literal) || literal.starts_with(source.as_str());
                    if may_hold || matcher.covers(source) {
                        found.add_all(entries);
                    }
                }
            }
        }
        Ok(edges.close(found))
    }

    /// The entries that were made from these, and from those, and so on; not these themselves, unless
    /// they were made from each other.
    pub fn dependants_of_entries(&self, keys: &[Key]) -> Vec<Key> {
        let edges = self.edges.lock();
        let mut found = Closure::default();
        for id in keys.iter().filter_map(|key| edges.ids.get(key)) {
            found.add_all(&edges.nodes[*id as usize].into);
        }
        edges.close(found)
    }

    /// How many entries are held, and how many edges they have.
    pub fn len(&self) -> (usize, usize) {
        let edges = self.edges.lock();
        (edges.held, edges.count)
    }

    /// Whether no entry is held.
    pub fn is_empty(&self) -> bool {
        self.len().0 == 0
    }

    /// Asserts that both directions agree. For tests.
    #[cfg(any(test, debug_assertions))]
    pub fn validate(&self) {
        let edges = self.edges.lock();
        let mut count = 0;
        for (id, node) in edges.nodes.iter().enumerate() {
            let id = id as Id;
            let from = node.from.iter();
            for source in from.clone().flat_map(|from| &from.sources) {
                assert!(edges.by_source[source].contains(&id));
                count += 1;
            }
            for entry in from.flat_map(|from| &from.entries) {
                assert!(edges.nodes[*entry as usize].into.contains(&id));
                count += 1;
            }
            match &node.key {
                Some(key) => assert_eq!(edges.ids[key], id),
                None => assert!(edges.free.contains(&id) && node.from.is_none()),
            }
        }
        let into = edges
            .nodes
            .iter()
            .map(|node| node.into.len())
            .sum::<usize>();
        let by_source = edges.by_source.values().map(HashSet::len).sum::<usize>();
        assert_eq!((into + by_source, count), (edges.count, edges.count));
        assert!(edges.by_source.values().all(|entries| !entries.is_empty()));
        assert_eq!(edges.ids.len() + edges.free.len(), edges.nodes.len());
    }
}

/// The entries that were found so far, and those of them that were not followed yet.
#[derive(Default)]
struct Closure {
    found: HashSet<Id>,
    ahead: Vec<Id>,
}

impl Closure {
    fn add_all<'i>(&mut self, ids: impl IntoIterator<Item = &'i Id>) {
        for id in ids {
            if self.found.insert(*id) {
                self.ahead.push(*id);
            }
        }
    }
}

impl Edges {
    fn id(&mut self, key: &Key) -> Id {
        if let Some(id) = self.ids.get(key) {
            return *id;
        }
        let node = Node {
            key: Some(key.clone()),
            ..Node::default()
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.nodes[id as usize] = node;
                id
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as Id
            }
        };
        self.ids.insert(key.clone(), id);
        id
    }

    /// Takes the edges of an entry away; those to it stay. Returns the entries that it was made from,
    /// of which nobody may want to know any more.
    fn unlink(&mut self, id: Id) -> SmallVec<[Id; 2]> {
        let Some(from) = self.nodes[id as usize].from.take() else {
            return SmallVec::new();
        };
        self.held -= 1;
        self.count -= from.sources.len() + from.entries.len();
        for source in &from.sources {
            if let Some(entries) = self.by_source.get_mut(source) {
                entries.remove(&id);
                if entries.is_empty() {
                    self.by_source.remove(source);
                }
            }
        }
        for entry in &from.entries {
            self.nodes[*entry as usize].into.remove(&id);
        }
        from.entries
    }

    fn free_unused(&mut self, ids: impl IntoIterator<Item = Id>) {
        for id in ids {
            let node = &mut self.nodes[id as usize];
            if node.from.is_none()
                && node.into.is_empty()
                && let Some(key) = std::mem::take(node).key
            {
                self.ids.remove(&key);
                self.free.push(id);
            }
        }
    }

    /// What was made from the path, from something below it, or from a directory above it.
    fn touched_by(&self, path: &str, found: &mut Closure) {
        for above in Source::and_above(path) {
            found.add_all(self.by_source.get(above).into_iter().flatten());
        }
        let below = format!("{path}/");
        let range = (Bound::Included(below.as_str()), Bound::Unbounded);
        let sources = self.by_source.range::<str, _>(range);
        for (_, entries) in sources.take_while(|(source, _)| source.starts_with(&below)) {
            found.add_all(entries);
        }
    }

    /// All that follows from what was found. Ends: each entry is followed once.
    fn close(&self, mut found: Closure) -> Vec<Key> {
        let mut keys = Vec::new();
        while let Some(id) = found.ahead.pop() {
            let node = &self.nodes[id as usize];
            keys.extend(node.key.clone());
            found.add_all(&node.into);
        }
        keys
    }
}

impl fmt::Debug for DependencyGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (held, edges) = self.len();
        f.debug_struct("DependencyGraph")
            .field("held", &held)
            .field("edges", &edges)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;
    use crate::metadata::FilePath;

    fn key(n: impl fmt::Display) -> Key {
        Key::new(&format!("k{n}")).unwrap()
    }

    fn source(path: &str) -> Source {
        Source::under(Path::new("/"), path).unwrap()
    }

    fn path(path: &str) -> Scope {
        Scope::Path(FilePath::new(path).unwrap())
    }

    fn sorted(keys: Vec<Key>) -> Vec<String> {
        let mut keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        keys.sort();
        keys
    }

    #[test]
    fn a_directory_is_about_all_that_is_below_it() {
        let graph = DependencyGraph::new();
        graph.record(&key("file"), 1, &[source("src/a.rs")], &[]);
        graph.record(&key("dir"), 1, &[source("src")], &[]);
        graph.record(&key("root"), 1, &[Source::ROOT], &[]);
        graph.record(&key("other"), 1, &[source("docs/a.md")], &[]);
        let about = |scope: &Scope| sorted(graph.dependants(scope).unwrap());
        assert_eq!(about(&path("src/a.rs")), ["kdir", "kfile", "kroot"]);
        assert_eq!(about(&path("src/new.rs")), ["kdir", "kroot"]);
        assert_eq!(about(&path("srcs/a.rs")), ["kroot"]);
        let whole = Scope::Prefix("src".to_owned());
        assert_eq!(about(&whole), ["kdir", "kfile", "kroot"]);
        let pattern = Scope::Pattern("src/*.rs".to_owned());
        assert_eq!(about(&pattern), ["kdir", "kfile", "kroot"]);
        assert_eq!(about(&Scope::All).len(), 4);
    }

    #[test]
    fn a_cascade_follows_entries_and_ends_in_a_cycle() {
        let graph = DependencyGraph::new();
        graph.record(&key(1), 1, &[source("a")], &[key(3)]);
        graph.record(&key(2), 1, &[], &[key(1)]);
        graph.record(&key(3), 1, &[], &[key(2)]);
        graph.record(&key(4), 1, &[source("b")], &[]);
        assert_eq!(
            sorted(graph.dependants(&path("a")).unwrap()),
            ["k1", "k2", "k3"]
        );
        assert_eq!(
            sorted(graph.dependants_of_entries(&[key(2)])),
            ["k1", "k2", "k3"]
        );
        graph.validate();
    }

    #[test]
    fn an_entry_that_leaves_late_takes_no_edges_of_a_newer_one_along() {
        let graph = DependencyGraph::new();
        graph.record(&key(1), 1, &[source("a")], &[]);
        graph.record(&key(1), 2, &[source("b")], &[]);
        graph.forget(&key(1), 1);
        assert_eq!(graph.len(), (1, 1));
        assert!(graph.dependants(&path("a")).unwrap().is_empty());
        graph.forget(&key(1), 2);
        graph.forget(&key(1), 2);
        assert_eq!(graph.len(), (0, 0));
        graph.validate();
    }

    #[test]
    fn ten_dependants_among_a_thousand_entries_are_found_within_a_millisecond() {
        let graph = DependencyGraph::new();
        for n in 0..1000 {
            graph.record(&key(n), 1, &[source(&format!("src/f{}.rs", n % 100))], &[]);
        }
        let start = Instant::now();
        let found = graph.dependants(&path("src/f7.rs")).unwrap();
        let took = start.elapsed();
        assert_eq!(found.len(), 10);
        assert!(took < Duration::from_millis(1), "{took:?}");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Record(u8, Vec<u8>, Vec<u8>),
        Forget(u8),
    }

    const PATHS: [&str; 7] = ["a", "a/b", "a/b/c", "a/d", "ab", "e/f", ""];

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let few = prop::collection::vec(0..PATHS.len() as u8, 0..3);
        let record = (0..12u8, few, prop::collection::vec(0..12u8, 0..3));
        let record = record.prop_map(|(key, sources, entries)| Step::Record(key, sources, entries));
        prop::collection::vec(
            prop_oneof![4 => record, 1 => (0..12u8).prop_map(Step::Forget)],
            0..60,
        )
    }

    type Naive = BTreeMap<u8, (Vec<u8>, Vec<u8>)>;

    /// The closure, by going over everything until nothing is added.
    fn naive(held: &Naive, changed: &str) -> Vec<String> {
        let touched = |sources: &[u8]| {
            let mut sources = sources.iter().map(|at| source(PATHS[usize::from(*at)]));
            sources.any(|source| source.is_touched_by(changed))
        };
        let mut found: BTreeSet<u8> = BTreeSet::new();
        loop {
            let more = held.iter().filter(|(key, (sources, entries))| {
                !found.contains(key)
                    && (touched(sources) || entries.iter().any(|e| found.contains(e)))
            });
            let more: Vec<u8> = more.map(|(key, _)| *key).collect();
            if more.is_empty() {
                let found = found.iter().map(key).collect();
                return sorted(found);
            }
            found.extend(more);
        }
    }

    proptest! {
        #[test]
        fn random_graphs_with_cycles_equal_a_naive_closure(steps in steps()) {
            let graph = DependencyGraph::new();
            let mut held = Naive::new();
            for step in steps {
                match step {
                    Step::Record(n, sources, entries) => {
                        let from: Vec<Source> =
                            sources.iter().map(|at| source(PATHS[usize::from(*at)])).collect();
                        let made: Vec<Key> = entries.iter().map(key).collect();
                        graph.record(&key(n), 1, &from, &made);
                        held.insert(n, (sources, entries));
                    }
                    Step::Forget(n) => {
                        graph.forget(&key(n), 1);
                        held.remove(&n);
                    }
                }
                graph.validate();
                prop_assert_eq!(graph.len().0, held.len());
                for changed in PATHS.iter().filter(|path| !path.is_empty()) {
                    let found = sorted(graph.dependants(&path(changed)).unwrap());
                    prop_assert_eq!(&found, &naive(&held, changed));
                }
            }
        }
    }
}
