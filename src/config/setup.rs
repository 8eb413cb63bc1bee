//! What a configuration says of the caches of derived results, made into what they are opened by. What
//! is wrong with a value is told by its key.

use std::path::Path;
#[cfg(feature = "redis")]
use std::sync::Arc;

use super::derived::{DerivedSettings, TypeSettings};
use crate::error::{Error, ErrorKind, Result};
use crate::kv::{CacheStrategy, CacheType, CachesSetup, KvOptions};
#[cfg(feature = "redis")]
use crate::machine;
#[cfg(feature = "redis")]
use crate::redis::RedisOptions;
use crate::tier::{DiskFileOptions, DiskTierOptions, MemoryTierOptions};

/// The last share of its lifetime in which a value is read anew, where a type is refreshed ahead.
const AHEAD: f64 = 0.2;
/// Stands for a namespace of this machine and this project alone.
pub(super) const AUTO: &str = "auto";

impl DerivedSettings {
    /// What the caches of the project at this root are opened by.
    ///
    /// # Errors
    /// `InvalidConfig`, which names the key.
    pub fn setup(&self, root: &Path) -> Result<CachesSetup> {
        let setup = CachesSetup::default().enabled(self.enabled);
        let setup = setup.memory(self.memory.then(|| self.memory_options()).transpose()?);
        let setup = self.with_redis(self.with_disk(setup)?, root)?;
        self.types.iter().try_fold(setup, |setup, (name, said)| {
            Ok(setup.define(self.cache_type(name, said)?))
        })
    }

    fn memory_options(&self) -> Result<MemoryTierOptions> {
        MemoryTierOptions::default()
            .max_items(self.memory_max_items)?
            .max_bytes(self.memory_max_bytes)?
            .ttl(self.memory_ttl)
    }

    fn with_disk(&self, setup: CachesSetup) -> Result<CachesSetup> {
        let Some(path) = self.disk_path.as_ref().filter(|_| self.disk) else {
            return Ok(setup);
        };
        let file = DiskFileOptions::default().max_bytes(self.disk_max_bytes)?;
        let each = DiskTierOptions::default().max_items(self.disk_max_items)?;
        Ok(setup.disk(path, file, each.ttl(self.disk_ttl)?))
    }

    #[cfg(feature = "redis")]
    fn with_redis(&self, setup: CachesSetup, root: &Path) -> Result<CachesSetup> {
        let Some(url) = self.redis_url.as_ref().filter(|_| self.redis) else {
            return Ok(setup);
        };
        let options = RedisOptions::new(url.expose())?
            .max_connections(self.redis_max_connections)?
            .timeout(self.redis_timeout)?;
        let namespace = match &*self.redis_namespace {
            AUTO => namespace_of(root),
            name => name.to_owned(),
        };
        let setup = setup.redis(options, namespace, self.redis_ttl)?;
        match self.coordination {
            true => setup.bus(self.heartbeat),
            false => Ok(setup),
        }
    }

    #[cfg(not(feature = "redis"))]
    fn with_redis(&self, setup: CachesSetup, _: &Path) -> Result<CachesSetup> {
        if self.redis && self.redis_url.is_some() {
            tracing::warn!("`redis.url` is set, and this program has no Redis built in");
        }
        Ok(setup)
    }

    /// A type as it is predefined, or a new one, with what is said of it.
    fn cache_type(&self, name: &str, said: &TypeSettings) -> Result<CacheType> {
        let of = |key: &str| format!("types.{name}.{key}");
        let own = CacheType::own_name(name);
        if own != name && self.types.contains_key(own) {
            let message = format!("`types.{name}` and `types.{own}` are two names of one type");
            return Err(Error::new(ErrorKind::InvalidConfig, message).with_help("give one of them"));
        }
        let mut known = match CacheType::predefined(name) {
            Some(known) => known,
            None => at(&format!("types.{name}"), CacheType::new(name))?
                .max_items(self.memory_max_items)?,
        };
        if let Some(items) = said.max_items {
            known = at(&of("max_items"), known.max_items(items))?;
        }
        if let Some(bytes) = said.max_bytes {
            known = at(&of("max_bytes"), known.max_bytes(Some(bytes)))?;
        }
        if let Some(backend) = &said.backend {
            known = known.backend(at(&of("backend"), backend.parse())?);
        }
        if let Some(prefix) = &said.prefix {
            known = at(&of("prefix"), known.prefix(prefix))?;
        }
        if let Some(strategy) = &said.strategy {
            known = known.strategy(at(&of("strategy"), strategy.parse())?);
        }
        if let Some(consistency) = &said.consistency {
            known = known.consistency(at(&of("consistency"), consistency.parse())?);
        }
        if let Some(policy) = said.policy {
            known = known.policy(policy);
        }
        if let Some(patterns) = &said.invalidates {
            known = at(&of("invalidates"), known.invalidates(patterns.clone()))?;
        }
        let mut options = known.its_options().clone();
        if known.its_strategy() == CacheStrategy::RefreshAhead {
            options = options.refresh_ahead(AHEAD)?;
        }
        let options = self.kv_options(options, said, of)?;
        Ok(known.options(options))
    }

    fn kv_options(
        &self,
        mut options: KvOptions,
        said: &TypeSettings,
        of: impl Fn(&str) -> String,
    ) -> Result<KvOptions> {
        options = options.cross_process(self.coordination);
        options = at("coordination.lease", options.lease(self.lease))?;
        if let Some(enabled) = said.enabled {
            options = options.enabled(enabled);
        }
        if let Some(ttl) = said.ttl {
            options = at(&of("ttl"), options.ttl(ttl))?;
        }
        if let Some(grace) = said.grace {
            options = options.grace(grace);
        }
        Ok(options)
    }
}

/// The outcome, an error of which names the key.
fn at<T>(key: &str, outcome: Result<T>) -> Result<T> {
    outcome.map_err(|error| {
        let message = format!("`{key}` is refused: {error}");
        let told = Error::new(ErrorKind::InvalidConfig, message);
        match error.help() {
            Some(help) => told.with_help(help),
            None => told,
        }
    })
}

/// What sets this project on this machine apart from all others on one server.
#[cfg(feature = "redis")]
fn namespace_of(root: &Path) -> String {
    let root: Arc<Path> = root.canonicalize().map_or_else(|_| root.into(), Into::into);
    let machine = machine::name().unwrap_or_default();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(machine.len() as u64).to_le_bytes());
    hasher.update(machine.as_bytes());
    hasher.update(root.as_os_str().as_encoded_bytes());
    hasher.finalize().to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::ConfigSources;
    use crate::eviction::Strategy;
    use crate::kv::{Backend, CacheStrategy, Consistency};

    fn setup(text: &str) -> Result<CachesSetup> {
        with(text, &[])
    }

    /// The same with variables of the environment.
    fn with(text: &str, variables: &[(&str, &str)]) -> Result<CachesSetup> {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join(crate::config::PROJECT_FILE), text).unwrap();
        let sources = ConfigSources::new(root.path());
        let sources = variables.iter().fold(sources, |sources, (name, value)| {
            sources.variable(*name, *value)
        });
        sources.load()?.derived().setup(root.path())
    }

    #[test]
    fn each_key_of_a_type_changes_what_it_says() {
        let setup = setup(
            "[coordination]\nenabled = false\nlease = '7s'\n\
             [types.chat]\nenabled = false\nbackend = 'multi_tier'\nprefix = 'c'\nstrategy = 'read_through'\n\
             ttl = '5m'\ngrace = '2s'\nmax_items = 7\nmax_bytes = '4KiB'\npolicy = 'fifo'\n\
             consistency = 'strong'\ninvalidates = ['page:{id}']\n",
        );
        let setup = setup.unwrap();
        let [chat] = setup.types() else {
            panic!("{setup:?}");
        };
        let options = KvOptions::default()
            .enabled(false)
            .cross_process(false)
            .grace(Duration::from_secs(2))
            .lease(Duration::from_secs(7))
            .and_then(|options| options.ttl(Duration::from_secs(300)));
        let expected = CacheType::new("chat")
            .and_then(|chat| chat.prefix("c"))
            .and_then(|chat| chat.max_items(7))
            .and_then(|chat| chat.max_bytes(Some(4096)));
        let expected = expected
            .unwrap()
            .backend(Backend::Tiered)
            .strategy(CacheStrategy::ReadThrough)
            .policy(Strategy::Fifo)
            .consistency(Consistency::Strong)
            .invalidates(vec!["page:{id}".to_owned()])
            .unwrap()
            .options(options.unwrap());
        assert_eq!(*chat, expected);
    }

    #[test]
    fn a_pattern_with_another_placeholder_is_refused_by_its_key() {
        for pattern in ["page:{user}", "page:{id", "[{user}]"] {
            let text = format!("[types.chat]\ninvalidates = ['a:*', '{pattern}']\n");
            let error = setup(&text).unwrap_err();
            let told = error.to_string();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{told}");
            assert!(told.contains("`types.chat.invalidates`"), "{told}");
        }
    }

    #[test]
    fn a_source_is_used_by_the_strategy_that_the_configuration_says() {
        struct Empty;
        impl crate::kv::Source for Empty {
            fn load(&self, _: &crate::tier::Key) -> Result<Option<serde_json::Value>> {
                Ok(None)
            }
        }
        for strategy in CacheStrategy::ALL {
            let text =
                format!("[tiers.disk]\nenabled = false\n[types.chat]\nstrategy = '{strategy}'\n");
            let setup = setup(&text).unwrap();
            let caches = setup.open(None, std::sync::Arc::new(crate::SystemClock));
            let sourced = caches.unwrap().sourced("chat", std::sync::Arc::new(Empty));
            match strategy {
                CacheStrategy::WriteBehind => {
                    assert!(sourced.unwrap_err().to_string().contains("journal"));
                }
                _ => assert_eq!(sourced.unwrap().strategy(), strategy),
            }
        }
    }

    #[test]
    fn a_predefined_type_keeps_what_is_not_said_of_it() {
        let setup =
            setup("[types.llm_response]\nmax_items = 9\n[types.own]\nttl = '1m'\n").unwrap();
        let [llm, own] = setup.types() else {
            panic!("{setup:?}");
        };
        assert_eq!(llm.name(), "llm_response");
        let expected = CacheType::predefined("llm_response").unwrap();
        let options = expected.its_options().clone();
        let options = options.lease(Duration::from_secs(30)).unwrap();
        assert_eq!(*llm, expected.max_items(9).unwrap().options(options));
        assert_eq!((own.name(), own.its_prefix()), ("own", "own"));
    }

    #[test]
    fn switches_and_paths_decide_what_is_opened() {
        let all = setup("").unwrap();
        assert!(all.is_enabled() && all.redis_server().is_none());
        assert!(all.disk_path().unwrap().ends_with(".cardex/derived.db"));
        let off = setup("[tiers]\nenabled = false\n[tiers.disk]\nenabled = false\n").unwrap();
        assert!(!off.is_enabled());
        assert_eq!(off.disk_path(), None);
    }

    #[test]
    fn what_two_types_cannot_share_is_told() {
        let error = setup("[types.session]\nttl = '1m'\n[types.chat_history]\nttl = '1m'\n");
        let error = error.unwrap_err();
        assert!(
            error.to_string().contains("`types.chat_history`"),
            "{error}"
        );
    }

    #[cfg(feature = "redis")]
    #[test]
    fn the_server_is_shown_without_its_password_and_a_bad_one_named_by_its_key() {
        let url = ("CARDEX_REDIS__URL", "redis://me:hunter2@h:7000/3");
        let shown = with("", &[url, ("CARDEX_REDIS__NAMESPACE", "us")]).unwrap();
        assert_eq!(shown.redis_server().as_deref(), Some("redis://h:7000/3"));
        assert!(!format!("{shown:?}").contains("hunter2"));
        let off = with("[tiers.redis]\nenabled = false\n", &[url]).unwrap();
        assert_eq!(off.redis_server(), None);
        let error = with("", &[("CARDEX_REDIS__URL", "rediss://me:hunter2@h")]).unwrap_err();
        let told = format!("{error:#}");
        assert!(
            told.contains("`redis.url`") && !told.contains("hunter2"),
            "{told}"
        );
    }

    #[test]
    fn a_projects_file_does_not_say_whose_results_it_shares() {
        let error = setup("[redis]\nnamespace = 'theirs'\n").unwrap_err();
        assert!(error.to_string().contains("`redis.namespace`"), "{error}");
        setup("[redis]\nnamespace = 'auto'\n").unwrap();
    }

    #[cfg(feature = "redis")]
    #[test]
    fn two_roots_have_two_namespaces_and_one_has_the_same_each_time() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let namespace = namespace_of(one.path());
        assert_eq!(namespace.len(), 16);
        assert_eq!(namespace, namespace_of(&one.path().join(".")));
        assert_ne!(namespace, namespace_of(other.path()));
    }
}
