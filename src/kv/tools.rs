//! `ToolResults`: what tools made of their arguments, each in its namespace, and which tools work on the
//! results of which others.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::KvCache;
use super::namespace::{Level, Namespace, Reach};
use super::tool_key::tool_key;
use crate::error::Result;
use crate::primitives::Mutex;
use crate::tier::{Key, KeyPattern, Lifetime};

/// A cache of what tools made of their arguments.
#[derive(Debug)]
pub struct ToolResults {
    cache: KvCache,
    /// Of each tool those that work on its results.
    users: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

/// How many results of each tool left; of one that had none, 0.
pub type Cleared = BTreeMap<String, usize>;

impl ToolResults {
    /// Over a cache that holds nothing else below the namespaces that are used here.
    pub fn new(cache: KvCache) -> Self {
        ToolResults {
            cache,
            users: Mutex::default(),
        }
    }

    /// The cache.
    pub fn cache(&self) -> &KvCache {
        &self.cache
    }

    /// The result of a tool for these arguments; if there is none, the one that `run` makes.
    ///
    /// # Errors
    /// Those of [`tool_key`] and of [`KvCache::get_or_load`].
    pub fn get_or_run<T: Serialize + DeserializeOwned>(
        &self,
        namespace: &Namespace,
        tool: &str,
        arguments: &Value,
        run: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let key = self.key(namespace, tool, arguments)?;
        self.cache.get_or_load(key, Lifetime::Default, run)
    }

    /// The key of a result: see [`tool_key`].
    ///
    /// # Errors
    /// Those of [`tool_key`].
    pub fn key(&self, namespace: &Namespace, tool: &str, arguments: &Value) -> Result<Key> {
        self.cache.counted(tool_key(namespace, tool, arguments))
    }

    /// Declares that results of `tool` are made of results of `other`: they leave together.
    pub fn declare(&self, tool: &str, other: &str) {
        let mut users = self.users.lock();
        users
            .entry(other.to_owned())
            .or_default()
            .insert(tool.to_owned());
    }

    /// Forgets the results of a tool, and of those that work on them, and of those that work on these,
    /// everywhere or in a namespace and all below it. Returns how many of each left. What is made of a
    /// result that has not left yet is not kept.
    ///
    /// # Errors
    /// The first of those of [`KvCache::delete_matching`]; all that can leave has left then.
    pub fn invalidate_tool(&self, tool: &str, namespace: Option<&Namespace>) -> Result<Cleared> {
        let global = Namespace::global();
        let namespace = namespace.unwrap_or(&global);
        let (mut cleared, mut failure) = (Cleared::new(), None);
        let (mut named, mut patterns) = (Vec::new(), Vec::new());
        for tool in self.reached_from(tool) {
            for pattern in keys_of(&tool, namespace) {
                match self.cache.counted(pattern) {
                    Ok(pattern) => {
                        named.push(tool.clone());
                        patterns.push(pattern);
                    }
                    Err(error) => _ = failure.get_or_insert(error),
                }
            }
            cleared.insert(tool, 0);
        }
        let together = self.cache.take_out_together(&patterns);
        for (tool, pattern) in named.into_iter().zip(&patterns) {
            match self.cache.delete_matching(pattern) {
                Ok(left) => *cleared.entry(tool).or_default() += left,
                Err(error) => _ = failure.get_or_insert(error),
            }
        }
        drop(together);
        failure.map_or(Ok(cleared), Err)
    }

    /// The tool, and all that work on its results, each once and after those that it works on: so what
    /// another process makes meanwhile of a result that has not left yet leaves after that one. In a
    /// circle there is no such order.
    fn reached_from(&self, tool: &str) -> Vec<String> {
        let users = self.users.lock();
        let users_of = |tool: &str| users.get(tool).into_iter().flatten();
        let mut seen = BTreeSet::from([tool]);
        let (mut path, mut reached) = (vec![(tool, users_of(tool))], Vec::new());
        while let Some((tool, users)) = path.last_mut() {
            match users.find(|user| seen.insert(user)) {
                Some(user) => path.push((user, users_of(user))),
                None => {
                    reached.push((*tool).to_owned());
                    path.pop();
                }
            }
        }
        reached.reverse();
        reached
    }
}

/// The keys of a tool in the namespace, and in all below it.
fn keys_of(tool: &str, namespace: &Namespace) -> Vec<Result<KeyPattern>> {
    let below = namespace.keys_of_tool_below(tool);
    match namespace.level() {
        Level::Tool => vec![below],
        _ => {
            let own = namespace.below(Level::Tool, tool);
            vec![own.and_then(|own| own.keys(Reach::Alone)), below]
        }
    }
}
