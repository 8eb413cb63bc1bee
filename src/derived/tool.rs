//! `ToolCache`: what tools made of their arguments. The arguments tell from which files and directories a
//! result comes; it is answered as long as these are as they were.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::cache::{DerivedCache, Making};
use super::stamp::Witness;
#[cfg(unix)]
use super::tree::TreeWitness;
use crate::cache::Cache;
use crate::dependencies::{Source, sources_of};
use crate::error::Result;
use crate::kv::{Cleared, KvCache, Namespace, ToolResults};
use crate::tier::{Key, Lifetime};

/// Results of tools that work on the files below a root.
///
/// ```
/// # use std::sync::Arc;
/// use cardex::SystemClock;
/// use cardex::derived::ToolCache;
/// use cardex::kv::{KvCache, KvOptions};
/// use cardex::tier::{MemoryTier, MemoryTierOptions};
/// use serde_json::json;
///
/// # let root = tempfile::tempdir().unwrap();
/// # let root = root.path();
/// # std::fs::write(root.join("a.txt"), "one").unwrap();
/// let clock = Arc::new(SystemClock);
/// let memory = MemoryTier::new("tool", MemoryTierOptions::default(), clock.clone());
/// let kv = KvCache::new("tool", KvOptions::default(), Arc::new(memory), clock);
/// let tools = ToolCache::of_tree(kv, root);
/// let read = || {
///     tools.run("read_file", &json!({"path": "a.txt"}), |_| {
///         std::fs::read_to_string(root.join("a.txt")).map_err(|e| {
///             cardex::Error::new(cardex::ErrorKind::Io, e.to_string())
///         })
///     })
/// };
/// assert_eq!(read()?, "one");
/// std::fs::write(root.join("a.txt"), "two").unwrap();
/// assert_eq!(read()?, "two");
/// # Ok::<(), cardex::Error>(())
/// ```
#[derive(Debug)]
pub struct ToolCache {
    results: DerivedCache,
    tools: ToolResults,
    namespace: Namespace,
    root: PathBuf,
}

impl ToolCache {
    /// Results of tools in a cache that holds nothing else, about files as they are on disk.
    #[cfg(unix)]
    pub fn of_tree(kv: KvCache, root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self::with_witness(kv, root.clone(), Arc::new(TreeWitness::new(root)))
    }

    /// The same about files as this witness knows them.
    pub fn with_witness(kv: KvCache, root: impl Into<PathBuf>, witness: Arc<dyn Witness>) -> Self {
        ToolCache {
            results: DerivedCache::new(kv.clone(), witness),
            tools: ToolResults::new(kv),
            namespace: Namespace::global(),
            root: root.into(),
        }
    }

    /// The result of a tool for these arguments; if there is none, or one of its files is not what it
    /// was, the one that `run` makes. `run` may tell of more that it reads: see [`Making`].
    ///
    /// What comes from files outside the root is made each time, and never kept: nobody hears of changes
    /// there. So is what a directory has a part in that holds more than 10,000 files, or links that lead to
    /// directories or out of the root. Of a git repository in a directory, what is checked out, staged and
    /// committed counts; `.cardex` does not, so what a tool makes of cardex's own database is for
    /// [`Making::keep_nothing`].
    ///
    /// # Errors
    /// That of `run`; `InvalidInput` for a tool or arguments that can be no key.
    pub fn run<T: Serialize + DeserializeOwned>(
        &self,
        tool: &str,
        arguments: &Value,
        run: impl FnOnce(&mut Making<'_>) -> Result<T>,
    ) -> Result<T> {
        self.run_in(&self.namespace, tool, arguments, run)
    }

    /// The same in a namespace.
    ///
    /// # Errors
    /// Those of [`ToolCache::run`].
    pub fn run_in<T: Serialize + DeserializeOwned>(
        &self,
        namespace: &Namespace,
        tool: &str,
        arguments: &Value,
        run: impl FnOnce(&mut Making<'_>) -> Result<T>,
    ) -> Result<T> {
        let key = self.tools.key(namespace, tool, arguments)?;
        let sources = sources_of(arguments, &self.root);
        let inside: Vec<Source> = sources.inside.into_iter().collect();
        let is_outside = !sources.outside.is_empty();
        self.results
            .run(&key, Lifetime::Default, &inside, |making| {
                if is_outside {
                    making.keep_nothing();
                }
                run(making)
            })
    }

    /// The result of a tool from which another result is being made: that one lives no longer than this.
    ///
    /// # Errors
    /// Those of [`ToolCache::run`].
    pub fn run_for<T: Serialize + DeserializeOwned>(
        &self,
        making: &mut Making<'_>,
        tool: &str,
        arguments: &Value,
        run: impl FnOnce(&mut Making<'_>) -> Result<T>,
    ) -> Result<T> {
        let key = self.tools.key(&self.namespace, tool, arguments)?;
        let (inside, is_outside) = self.sources(arguments);
        making.run(&key, Lifetime::Default, &inside, |making| {
            if is_outside {
                making.keep_nothing();
            }
            run(making)
        })
    }

    /// The files that arguments name, and whether they name others that nobody hears of.
    fn sources(&self, arguments: &Value) -> (Vec<Source>, bool) {
        let sources = sources_of(arguments, &self.root);
        let inside = sources.inside.into_iter().collect();
        (inside, !sources.outside.is_empty())
    }

    /// The key of a result.
    ///
    /// # Errors
    /// `InvalidInput` for a tool or arguments that can be no key.
    pub fn key(&self, tool: &str, arguments: &Value) -> Result<Key> {
        self.tools.key(&self.namespace, tool, arguments)
    }

    /// Declares that results of `tool` are made of results of `other`: they leave together.
    pub fn declare(&self, tool: &str, other: &str) {
        self.tools.declare(tool, other);
    }

    /// Forgets the results of a tool, and of those that were declared to work on them, and so on,
    /// everywhere or in a namespace and all below it. Returns how many of each left.
    ///
    /// # Errors
    /// Whatever keeps the cache from forgetting; some may have left then.
    pub fn invalidate_tool(&self, tool: &str, namespace: Option<&Namespace>) -> Result<Cleared> {
        let cleared = self.tools.invalidate_tool(tool, namespace);
        self.results.sweep_edges();
        cleared
    }

    /// Forgets the results that come from a file or directory; how many left. Without this call they are
    /// found out when they are asked for.
    ///
    /// # Errors
    /// `InvalidPath` for what is not inside the root; whatever keeps the cache from forgetting.
    pub fn invalidate_path(&self, path: &Path) -> Result<usize> {
        let path = crate::metadata::FilePath::under(&self.root, path)?;
        self.results
            .invalidate(&crate::cache::Scope::Prefix(path.as_str().to_owned()))
    }

    /// The results, for a coordinator and for who tells of changes.
    pub fn results(&self) -> &DerivedCache {
        &self.results
    }

    /// The root.
    pub fn root(&self) -> &Path {
        &self.root
    }
}
