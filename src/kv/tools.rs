//! `ToolResults`: what tools made of their arguments, each in its namespace, and which tools work on the
//! results of which others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::KvCache;
use super::namespace::{Level, Namespace, Reach};
use super::tool_key::tool_key;
use crate::error::Result;
use crate::primitives::Mutex;
use crate::tier::{Key, Lifetime};

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
    /// everywhere or in a namespace and all below it. Returns how many of each left.
    ///
    /// # Errors
    /// Those of [`KvCache::delete_matching`]; some may have left then.
    pub fn invalidate_tool(&self, tool: &str, namespace: Option<&Namespace>) -> Result<Cleared> {
        let global = Namespace::global();
        let namespace = namespace.unwrap_or(&global);
        let mut cleared = Cleared::new();
        for tool in self.reached_from(tool) {
            let left = self.forget(&tool, namespace)?;
            cleared.insert(tool, left);
        }
        Ok(cleared)
    }

    /// The tool, and all that work on its results, each once.
    fn reached_from(&self, tool: &str) -> BTreeSet<String> {
        let users = self.users.lock();
        let (mut reached, mut next) = (BTreeSet::new(), VecDeque::from([tool.to_owned()]));
        while let Some(tool) = next.pop_front() {
            if reached.insert(tool.clone()) {
                next.extend(users.get(&tool).into_iter().flatten().cloned());
            }
        }
        reached
    }

    fn forget(&self, tool: &str, namespace: &Namespace) -> Result<usize> {
        let below = self.cache.counted(namespace.keys_of_tool_below(tool))?;
        let own = match namespace.level() {
            Level::Tool => 0,
            _ => {
                let own = self.cache.counted(namespace.below(Level::Tool, tool))?;
                self.cache.invalidate_namespace(&own, Reach::Alone)?
            }
        };
        Ok(own + self.cache.delete_matching(&below)?)
    }
}
