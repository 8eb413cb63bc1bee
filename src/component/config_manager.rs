//! `ConfigManagerComponent`: what the other components are told, checked before any of them starts.
//! While it runs the settings never change: another value takes a stop and a start.

use std::fmt;
use std::sync::Arc;

use super::running::Running;
use super::{Component, InitializationContext, Settings};
#[cfg(feature = "cli")]
use crate::config::ConfigSources;
use crate::error::Result;

/// The settings of a host, as a component that the others depend on.
pub struct ConfigManagerComponent {
    source: Source,
    running: Running<Settings>,
}

enum Source {
    Code(Arc<Settings>),
    #[cfg(feature = "cli")]
    Layers(Box<ConfigSources>),
}

impl ConfigManagerComponent {
    /// The name under which it is registered.
    pub const NAME: &str = "config_manager";

    /// Settings that were made in code.
    pub fn new(settings: Settings) -> Self {
        Self::from_source(Source::Code(Arc::new(settings)))
    }

    /// Settings that are read from the layers of a configuration each time the host starts. What is
    /// wrong in one of them keeps the host from starting, by key, value and origin.
    #[cfg(feature = "cli")]
    pub fn load(sources: ConfigSources) -> Self {
        Self::from_source(Source::Layers(Box::new(sources)))
    }

    fn from_source(source: Source) -> Self {
        ConfigManagerComponent {
            source,
            running: Running::new(Self::NAME),
        }
    }

    /// The settings of this run.
    ///
    /// # Errors
    /// `NotInitialized` unless it runs.
    pub fn settings(&self) -> Result<Arc<Settings>> {
        self.running.with(|settings| Ok(Arc::clone(settings)))
    }
}

impl Component for ConfigManagerComponent {
    fn name(&self) -> &str {
        Self::NAME
    }

    /// # Errors
    /// `InvalidConfig` or `Io`, if the configuration is read and cannot be.
    fn initialize(&self, _context: &InitializationContext<'_>) -> Result<()> {
        self.running.begin(|| match &self.source {
            Source::Code(settings) => Ok(Arc::clone(settings)),
            #[cfg(feature = "cli")]
            Source::Layers(sources) => {
                let config = sources.as_ref().clone().load()?;
                Ok(Arc::new(Settings::try_from(&config)?))
            }
        })
    }

    fn shutdown(&self) -> Result<()> {
        self.running.end();
        Ok(())
    }

    fn is_initialized(&self) -> bool {
        self.running.runs()
    }
}

/// Without the sources: they hold the environment, and with it perhaps secrets.
impl fmt::Debug for ConfigManagerComponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigManagerComponent")
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::ComponentRegistry;
    use crate::error::ErrorKind;

    fn host(component: ConfigManagerComponent) -> (ComponentRegistry, Arc<ConfigManagerComponent>) {
        let component = Arc::new(component);
        let host = ComponentRegistry::new();
        host.register(component.clone(), &[], true).unwrap();
        (host, component)
    }

    #[test]
    fn settings_made_in_code_are_there_while_the_host_runs() {
        let settings = Settings {
            project: "compiler".to_owned(),
            ..Settings::default()
        };
        let (host, config) = host(ConfigManagerComponent::new(settings.clone()));
        let error = config.settings().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotInitialized);
        assert!(error.to_string().contains("`config_manager`"), "{error}");
        host.start().unwrap();
        let told = config.settings().unwrap();
        assert_eq!(
            (&told.project, &told.database),
            (&settings.project, &settings.database)
        );
        host.stop().unwrap();
        assert!(config.settings().is_err());
    }

    #[cfg(feature = "cli")]
    #[test]
    fn layers_are_read_anew_at_each_start() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join(crate::config::PROJECT_FILE);
        let (host, config) = host(ConfigManagerComponent::load(ConfigSources::new(
            root.path(),
        )));
        for items in [200, 300] {
            std::fs::write(&file, format!("[memory_cache]\nmax_items = {items}\n")).unwrap();
            host.start().unwrap();
            let settings = config.settings().unwrap();
            assert_eq!(settings.cache.limits().max_items, items);
            assert_eq!(settings.database, root.path().join(".cardex/cardex.db"));
            assert_eq!(settings.project, "default");
            host.stop().unwrap();
        }
    }

    #[cfg(feature = "cli")]
    #[test]
    fn an_error_in_the_configuration_fails_the_start_by_key_value_and_origin() {
        let sources =
            ConfigSources::new("/p").variable("CARDEX_MEMORY_CACHE__EVICTION_STRATEGY", "lruu");
        let (host, config) = host(ConfigManagerComponent::load(sources));
        let error = host.start().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert_eq!(
            error.to_string(),
            "component `config_manager` did not start: `memory_cache.eviction_strategy` = \"lruu\" \
             is no eviction strategy; did you mean `lru`? (environment \
             CARDEX_MEMORY_CACHE__EVICTION_STRATEGY)"
        );
        assert_eq!(error.help(), Some("give one of lru, lfu, s3fifo"));
        assert!(!config.is_initialized());
    }

    #[cfg(feature = "cli")]
    #[test]
    fn the_environment_is_not_shown() {
        let sources = ConfigSources::new("/p").variable("TOKEN", "hunter2");
        let shown = format!("{:?}", ConfigManagerComponent::load(sources));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
