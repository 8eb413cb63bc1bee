//! A tree of files, a cache of what tools make of them, and how often they were made.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cardex::derived::{Making, ToolCache};
use cardex::kv::{KvCache, KvOptions};
use cardex::tier::TieredOptions;
use cardex::tier::{DiskTier, DiskTierOptions, MemoryTier, MemoryTierOptions, Tier, Tiered};
use cardex::{Error, ErrorKind, Result, SystemClock};
use serde_json::{Value, json};

pub struct World {
    pub folder: tempfile::TempDir,
    pub tools: ToolCache,
    pub made: AtomicUsize,
}

impl World {
    pub fn new() -> Self {
        Self::with_items(100_000)
    }

    pub fn with_items(items: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = MemoryTierOptions::default().max_items(items).unwrap();
        let memory = MemoryTier::new("tool", options, Arc::new(SystemClock));
        Self::over(folder, Arc::new(memory))
    }

    pub fn over(folder: tempfile::TempDir, tier: Arc<dyn Tier>) -> Self {
        let kv = KvCache::new("tool", KvOptions::default(), tier, Arc::new(SystemClock));
        fs::create_dir_all(folder.path().join("tree")).unwrap();
        let root = folder.path().join("tree").canonicalize().unwrap();
        World {
            tools: ToolCache::of_tree(kv, root),
            folder,
            made: AtomicUsize::new(0),
        }
    }

    /// Memory before a file that outlives this.
    pub fn durable(folder: tempfile::TempDir) -> Self {
        let tier = durable(folder.path());
        Self::over(folder, tier)
    }

    /// The same with the file in one place and the tree in another.
    pub fn durable_at(place: &Path, tree: &Path) -> Self {
        fs::create_dir_all(place).unwrap();
        let (kv, clock) = (KvOptions::default(), Arc::new(SystemClock));
        World {
            tools: ToolCache::of_tree(KvCache::new("tool", kv, durable(place), clock), tree),
            folder: tempfile::tempdir().unwrap(),
            made: AtomicUsize::new(0),
        }
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.tools.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn root(&self) -> &Path {
        self.tools.root()
    }

    pub fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    /// What a tool reads from a file, and how often anything was made so far.
    pub fn read(&self, path: &str) -> (String, usize) {
        let text = self.run("read_file", &json!({"path": path}), |_| self.contents(path));
        (text.unwrap(), self.made())
    }

    /// What a tool lists of a directory.
    pub fn list(&self, path: &str) -> (Vec<String>, usize) {
        let list = self.run("list", &json!({"dir": path}), |_| {
            let entries = fs::read_dir(self.root().join(path)).map_err(io)?;
            let mut names: Vec<String> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            Ok(names)
        });
        (list.unwrap(), self.made())
    }

    pub fn contents(&self, path: &str) -> Result<String> {
        match fs::read_to_string(self.root().join(path)) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok("(none)".to_owned()),
            read => read.map_err(io),
        }
    }

    pub fn run<T: serde::Serialize + serde::de::DeserializeOwned>(
        &self,
        tool: &str,
        arguments: &Value,
        run: impl FnOnce(&mut Making<'_>) -> Result<T>,
    ) -> Result<T> {
        self.tools.run(tool, arguments, |making| {
            self.made.fetch_add(1, Ordering::SeqCst);
            run(making)
        })
    }
}

fn io(cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, cause.to_string())
}

pub fn durable(place: &Path) -> Arc<dyn Tier> {
    tiers(
        place,
        MemoryTierOptions::default(),
        DiskTierOptions::default(),
    )
}

pub fn tiers(place: &Path, memory: MemoryTierOptions, disk: DiskTierOptions) -> Arc<dyn Tier> {
    let clock = Arc::new(SystemClock);
    let memory = MemoryTier::new("tool", memory, clock.clone());
    let disk = DiskTier::open("tool", place.join("derived.db"), disk, clock.clone()).unwrap();
    let tiers: Vec<Arc<dyn Tier>> = vec![Arc::new(memory), Arc::new(disk)];
    Tiered::new("tool", tiers, TieredOptions::default(), clock).unwrap()
}
