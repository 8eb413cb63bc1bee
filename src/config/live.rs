//! `LiveConfig`: a configuration that can be read again while the program runs. Either the whole of it
//! is right and what can change does, or nothing changes.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::keys::UNSET;
use super::{Config, ConfigSources, Entry};
use crate::error::{ErrorKind, Result};
use crate::panics::caught;
use crate::passes::Passes;
use crate::primitives::Mutex;
use crate::primitives::atomic::{AtomicBool, Ordering};

/// What is told a configuration that has been read again.
type Apply = Arc<dyn Fn(&Config) -> Result<()> + Send + Sync>;

/// The configuration of a running program.
pub struct LiveConfig {
    sources: ConfigSources,
    current: Mutex<Arc<Config>>,
    listeners: Mutex<Vec<Apply>>,
    /// Whether somebody did not take what he was told last.
    is_refused: AtomicBool,
    reloads: Passes<Reload>,
}

/// What reading the configuration again changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Reload {
    /// Values that are in force now.
    pub changed: Vec<Changed>,
    /// Values that differ, and stay as they were until the program is started again.
    pub at_restart: Vec<Changed>,
    /// Why a part of the program could not take the values in force, one sentence for each that could
    /// not. Reloading again tells every part anew.
    pub refused: Vec<String>,
}

/// A value that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "server", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Changed {
    /// The name of its key.
    pub key: Cow<'static, str>,
    /// What it was, as TOML and without secrets.
    pub from: String,
    /// What the layers say now.
    pub to: String,
}

/// `memory_cache.max_items: 200 becomes 300`.
impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Changed { key, from, to } = self;
        write!(f, "{key}: {from} becomes {to}")
    }
}

impl LiveConfig {
    /// Reads and checks every layer.
    ///
    /// # Errors
    /// As [`ConfigSources::load`].
    pub fn load(sources: ConfigSources) -> Result<Self> {
        let current = sources.clone().load()?;
        Ok(LiveConfig {
            sources,
            current: Mutex::new(Arc::new(current)),
            listeners: Mutex::default(),
            is_refused: AtomicBool::new(false),
            reloads: Passes::default(),
        })
    }

    /// The configuration in force.
    pub fn current(&self) -> Arc<Config> {
        Arc::clone(&self.current.lock())
    }

    /// Has this called with the configuration in force each time that a reload changed it, and by the
    /// next reload once more if anybody could not take it. It takes what it can use of it; an error of
    /// it is told by the reload, and the others are called all the same.
    pub fn on_reload(&self, apply: impl Fn(&Config) -> Result<()> + Send + Sync + 'static) {
        self.listeners.lock().push(Arc::new(apply));
    }

    /// Reads the files again, and puts in force what can change while the program runs: the keys
    /// that [are live](super::Key::is_live). The environment and the command line are those of the
    /// start. Reads files; who asks while it is done shares the next time.
    ///
    /// # Errors
    /// As [`ConfigSources::load`]: then nothing has changed. What whoever was told could not take is
    /// in the [`Reload`].
    pub fn reload(&self) -> Result<Reload> {
        self.reloads.share(|| {
            let wanted = self.sources.clone().load()?;
            let mut config = Config::clone(&self.current());
            let mut reload = config.take_live(&wanted)?;
            let config = Arc::new(config);
            *self.current.lock() = Arc::clone(&config);
            if !reload.changed.is_empty() || self.is_refused.load(Ordering::Relaxed) {
                reload.refused = self.tell(&config);
                let is_refused = !reload.refused.is_empty();
                self.is_refused.store(is_refused, Ordering::Relaxed);
            }
            Ok(reload)
        })
    }

    /// Tells everybody, and returns why some could not take it.
    fn tell(&self, config: &Config) -> Vec<String> {
        let listeners = self.listeners.lock().clone();
        let told = listeners
            .iter()
            .map(|apply| caught(ErrorKind::Internal, || apply(config)));
        told.filter_map(Result::err)
            .map(|error| format!("{error:#}"))
            .collect()
    }
}

impl Config {
    /// Takes the live values of another configuration, and tells what differs.
    fn take_live(&mut self, wanted: &Config) -> Result<Reload> {
        let mut reload = Reload::default();
        for new in &wanted.entries {
            let is_same = |old: &&Entry| old.name == new.name;
            let Some(old) = self.entries.iter().find(is_same) else {
                // What is said of a type counts from the next start on.
                reload.at_restart.push(changed(new, UNSET, &new.value));
                continue;
            };
            if old.evaluated == new.evaluated && old.origin == new.origin {
                continue;
            }
            let differs = old.evaluated != new.evaluated;
            let changed = changed(new, &old.value, &new.value);
            match new.key.is_live {
                // The same value from elsewhere is worth no word.
                true => {
                    self.set(&new.setting, new.evaluated.clone())?;
                    reload.changed.extend(differs.then_some(changed));
                }
                false => reload.at_restart.extend(differs.then_some(changed)),
            }
        }
        for old in &self.entries {
            if !wanted.entries.iter().any(|new| new.name == old.name) {
                reload.at_restart.push(changed(old, &old.value, UNSET));
            }
        }
        Ok(reload)
    }
}

fn changed(entry: &Entry, from: &str, to: &str) -> Changed {
    Changed {
        key: entry.name.clone(),
        from: from.to_owned(),
        to: to.to_owned(),
    }
}

/// Without the sources: they hold the environment, and with it perhaps secrets.
impl fmt::Debug for LiveConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveConfig")
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::config::PROJECT_FILE;
    use crate::error::Error;

    fn write(root: &Path, text: &str) {
        std::fs::write(root.join(PROJECT_FILE), text).unwrap();
    }

    fn keys(changed: &[Changed]) -> Vec<&str> {
        changed.iter().map(|changed| &*changed.key).collect()
    }

    #[test]
    fn what_is_live_changes_at_once_and_the_rest_waits_for_a_restart() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "[memory_cache]\nmax_items = 200\n");
        let live = LiveConfig::load(ConfigSources::new(root.path())).unwrap();
        let before = live.current();
        let said = "[memory_cache]\nmax_items = 300\neviction_strategy = \"lfu\"\n";
        write(root.path(), said);
        let reload = live.reload().unwrap();
        let items = Changed {
            key: "memory_cache.max_items".into(),
            from: "200".to_owned(),
            to: "300".to_owned(),
        };
        assert_eq!(reload.changed, [items]);
        assert_eq!(keys(&reload.at_restart), ["memory_cache.eviction_strategy"]);
        let after = live.current();
        assert_eq!(before.cache().limits().max_items, 200);
        assert_eq!(after.cache().limits().max_items, 300);
        assert_eq!(after.cache().strategy(), before.cache().strategy());
        let strategy = |entry: &&crate::config::Entry| entry.key.name.ends_with("strategy");
        let strategy = after.entries().iter().find(strategy);
        assert_eq!(
            strategy.unwrap().value,
            "\"lru\"",
            "what is in force is shown"
        );
        // Nothing has changed since, but what waits still waits.
        assert_eq!(live.reload().unwrap().changed, []);
        assert_eq!(keys(&live.reload().unwrap().at_restart).len(), 1);
    }

    #[test]
    fn a_key_that_is_taken_out_goes_back_to_its_default() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "[memory_cache]\nchange_poll = \"1s\"\n");
        let live = LiveConfig::load(ConfigSources::new(root.path())).unwrap();
        write(root.path(), "");
        assert_eq!(
            keys(&live.reload().unwrap().changed),
            ["memory_cache.change_poll"]
        );
        assert_eq!(*live.current().cache(), crate::CacheOptions::default());
    }

    #[test]
    fn an_error_anywhere_changes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let live = LiveConfig::load(ConfigSources::new(root.path())).unwrap();
        write(
            root.path(),
            "[memory_cache]\nmax_items = 300\nmax_bytes = \"1\"\n",
        );
        let error = live.reload().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert_eq!(live.current().cache().limits().max_items, 10_000);
        write(root.path(), "[memory_cache]\nmax_items = 300\n");
        live.reload().unwrap();
        assert_eq!(live.current().cache().limits().max_items, 300);
    }

    #[test]
    fn who_fails_to_take_it_stops_nobody_else_and_is_told_of() {
        let root = tempfile::tempdir().unwrap();
        let live = LiveConfig::load(ConfigSources::new(root.path())).unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        live.on_reload({
            let calls = Arc::clone(&calls);
            move |_| match calls.fetch_add(1, Ordering::SeqCst) {
                0 => Err(Error::new(ErrorKind::Internal, "not now")),
                _ => Ok(()),
            }
        });
        let taken = Arc::new(AtomicUsize::new(0));
        live.on_reload({
            let taken = Arc::clone(&taken);
            move |config| {
                taken.store(config.cache().limits().max_items, Ordering::SeqCst);
                Ok(())
            }
        });
        write(root.path(), "[memory_cache]\nmax_items = 300\n");
        let reload = live.reload().unwrap();
        assert_eq!(reload.refused, ["not now"]);
        assert_eq!(keys(&reload.changed), ["memory_cache.max_items"]);
        assert_eq!(live.current().cache().limits().max_items, 300);
        assert_eq!(taken.load(Ordering::SeqCst), 300);
        // Told once more, and then only of what changes.
        for called in [2, 2, 2] {
            assert_eq!(live.reload().unwrap(), Reload::default());
            assert_eq!(calls.load(Ordering::SeqCst), called);
        }
        write(root.path(), "[memory_cache]\nmax_items = 400\n");
        assert_eq!(keys(&live.reload().unwrap().changed).len(), 1);
        assert_eq!(calls.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn who_panics_when_he_is_told_is_one_who_could_not_take_it() {
        let root = tempfile::tempdir().unwrap();
        let live = LiveConfig::load(ConfigSources::new(root.path())).unwrap();
        live.on_reload(|_| panic!("no room"));
        write(root.path(), "[memory_cache]\nmax_items = 300\n");
        let refused = live.reload().unwrap().refused;
        assert_eq!(refused, ["it panicked: no room"]);
    }
}
