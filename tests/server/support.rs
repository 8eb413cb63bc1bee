//! A server of its own for each test, over a small project.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use cardex::server::{Served, Server, ServerOptions};
use cardex::store::{MetadataStore, SqliteOptions, SqliteStore};
use cardex::{
    CacheCoordinator, CacheOptions, Cardex, Class, FileMetadata, FilePath, Function, SystemClock,
};

use crate::client::{Answer, Client};
use crate::gated_store::{GatedStore, wait_until};

/// The token of every test.
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A running server, and what it serves.
pub(crate) struct Running {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) store: Arc<GatedStore>,
    pub(crate) cardex: Cardex,
    pub(crate) server: Server,
}

/// Any free port of this machine, and nobody who may change anything.
pub(crate) fn options() -> ServerOptions {
    ServerOptions::default().listen("127.0.0.1:0".parse().unwrap())
}

/// A cache that follows nothing and holds no records: what a test does not ask for does not happen.
pub(crate) fn quiet() -> CacheOptions {
    CacheOptions::default().follow(false).load_bodies(false)
}

/// A project, with its cache as the only one of the process.
pub(crate) fn served(cardex: &Cardex) -> Served {
    let coordinator = CacheCoordinator::default();
    coordinator.register(cardex.as_cache()).unwrap();
    let served = Served::new(cardex, &Arc::new(coordinator));
    #[cfg(feature = "cli")]
    let served = {
        use cardex::config::{ConfigSources, LiveConfig};
        let defaults = LiveConfig::load(ConfigSources::new("/nowhere")).unwrap();
        served.configured_by(&Arc::new(defaults))
    };
    served
}

/// A file with the token that nobody else may read.
pub(crate) fn token_file(directory: &tempfile::TempDir, mode: u32) -> PathBuf {
    let file = directory.path().join("token");
    fs::write(&file, format!("{TOKEN}\n")).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    file
}

pub(crate) fn path(text: &str) -> FilePath {
    FilePath::new(text).unwrap()
}

/// The project: three Python files and one in Rust.
pub(crate) fn records() -> Vec<FileMetadata> {
    let file = |path, language| FileMetadata::builder(path).language(language);
    let lexer = Class::named("Lexer").method(Function::named("parse"));
    [
        file("docs/conf.py", "python").function(Function::named("setup")),
        file("src/lexer.py", "python")
            .class(lexer)
            .reference("docs/GRAMMAR.md"),
        file("src/main.rs", "rust").function(Function::named("parse")),
        file("src/ö x.py", "python").function(Function::named("parse_all")),
    ]
    .map(|builder| builder.build().unwrap())
    .to_vec()
}

impl Running {
    /// Loaded, following nothing.
    pub(crate) fn start() -> Self {
        Self::with(options(), quiet())
    }

    /// Loaded, following the database.
    pub(crate) fn following() -> Self {
        Self::with(options(), CacheOptions::default().load_bodies(false))
    }

    /// Loaded, with the token.
    pub(crate) fn with_token() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = token_file(&directory, 0o600);
        Self::with(options().token_file(Some(file)), quiet())
    }

    pub(crate) fn with(options: ServerOptions, cache: CacheOptions) -> Self {
        let running = Self::unloaded(options, cache);
        wait_until("the index is loaded", || {
            running.cardex.stats().unwrap().last_sync.is_some()
        });
        running
    }

    /// With the load held up by whatever `prepare` does to the store.
    pub(crate) fn prepared(prepare: impl FnOnce(&GatedStore)) -> Self {
        Self::build(options(), quiet(), prepare)
    }

    fn unloaded(options: ServerOptions, cache: CacheOptions) -> Self {
        Self::build(options, cache, |_| {})
    }

    fn build(
        options: ServerOptions,
        cache: CacheOptions,
        prepare: impl FnOnce(&GatedStore),
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("test.db");
        let inner = SqliteStore::open(&file, "default", SqliteOptions::default()).unwrap();
        for record in records() {
            inner.put(&record).unwrap();
        }
        let store = Arc::new(GatedStore::new(inner));
        prepare(&store);
        let cardex = Cardex::over(store.clone(), Arc::new(SystemClock), cache).unwrap();
        let served = served(&cardex).at(directory.path(), file);
        let server = Server::start(options, served).unwrap();
        Running {
            directory,
            store,
            cardex,
            server,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address())
    }

    /// Asks on a connection of its own.
    pub(crate) fn get(&self, target: &str) -> Answer {
        self.client().get(target)
    }

    /// Asks for JSON, which must be had.
    #[track_caller]
    pub(crate) fn json(&self, target: &str) -> serde_json::Value {
        let answer = self.get(target);
        let body = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, 200, "{target}: {body}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        answer.json()
    }

    /// Sends JSON, as the bearer of the token.
    pub(crate) fn post(&self, target: &str, body: &str) -> Answer {
        let (host, length) = (self.address(), body.len());
        let mut client = self.client();
        client.send(format!(
            "POST {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        client.answer()
    }

    /// Adds a file, as somebody else would.
    pub(crate) fn add(&self, name: &str) {
        let record = FileMetadata::builder(name).language("go").build().unwrap();
        self.store.put(&record).unwrap();
    }
}
