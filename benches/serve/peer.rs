//! SQLite behind a server of the same parts as ours. A record is read from the rows of its database, or,
//! as what nothing can be faster than, is there as the JSON that is sent. Names are in memory and
//! clustered by what is asked: a name and a language are one range in the order of the answer.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Response, Uri};
use axum::routing::get;
use cardex::store::MetadataStore;
use cardex::{Cardex, FileMetadata, FilePath};
use rusqlite::Connection;
use serde::Serialize;

/// A running peer.
pub(crate) struct Peer {
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

type Shared = Arc<Mutex<Connection>>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    as_of: &'static str,
    age_ms: u64,
    complete: bool,
    total: u64,
    truncated: bool,
    hits: Vec<Hit>,
}

#[derive(Serialize)]
struct Hit {
    path: String,
    language: String,
    version: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File {
    as_of: &'static str,
    age_ms: u64,
    version: u64,
    record: FileMetadata,
}

impl Peer {
    pub(crate) fn start(cardex: &Cardex) -> Self {
        let shared: Shared = Arc::new(Mutex::new(fill(cardex).expect("it fits in memory")));
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(processors.min(4))
            .enable_all()
            .build();
        let runtime = runtime.expect("threads start");
        let router = Router::new()
            .route("/v1/query", get(query))
            .route("/blobs/{*path}", get(blob))
            .with_state(shared);
        let rows = Router::new()
            .route("/v1/files/{*path}", get(file))
            .with_state(Arc::clone(cardex.store()));
        let router = router.merge(rows);
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        runtime.spawn(serve(listener, router));
        Peer {
            address,
            _runtime: runtime,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn serve(listener: tokio::net::TcpListener, router: Router) {
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).expect("it is a TCP socket");
        let service = hyper_util::service::TowerToHyperService::new(router.clone());
        let io = hyper_util::rt::TokioIo::new(stream);
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(io, service);
        tokio::spawn(connection);
    }
}

async fn query(State(shared): State<Shared>, RawQuery(query): RawQuery) -> Response<Body> {
    let query = query.unwrap_or_default();
    work(move || {
        let value = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let mut named = pairs.filter(|(own, _)| *own == name);
            named
                .next()
                .map_or_else(String::new, |(_, value)| decoded(value))
        };
        let (language, function) = (value("language"), value("function"));
        let connection = shared.lock().expect("nobody panics");
        json(&find(&connection, &function, &language).expect("it is in memory"))
    })
    .await
}

fn find(connection: &Connection, function: &str, language: &str) -> rusqlite::Result<Found> {
    let mut first = connection.prepare_cached(
        "SELECT path, version FROM names WHERE name = ?1 AND language = ?2 ORDER BY path LIMIT 20",
    )?;
    let mut count = connection
        .prepare_cached("SELECT count(*) FROM names WHERE name = ?1 AND language = ?2")?;
    let hits = first.query_map((function, language), |row| {
        Ok(Hit {
            path: row.get(0)?,
            language: language.to_owned(),
            version: row.get::<_, i64>(1)?.unsigned_abs(),
        })
    })?;
    let hits = hits.collect::<rusqlite::Result<Vec<_>>>()?;
    let total: i64 = count.query_row((function, language), |row| row.get(0))?;
    Ok(Found {
        as_of: "0000000000000000:0",
        age_ms: 0,
        complete: true,
        total: total.unsigned_abs(),
        truncated: hits.len() < total.unsigned_abs() as usize,
        hits,
    })
}

/// A record from the rows of its database, with the statements of the store.
async fn file(State(store): State<Arc<dyn MetadataStore>>, uri: Uri) -> Response<Body> {
    let path = decoded(uri.path().trim_start_matches("/v1/files/"));
    work(move || {
        let path = FilePath::new(&path).expect("it is a path");
        let found = store.get(&path).expect("the database can be read");
        let found = found.expect("it is there");
        json(&File {
            as_of: "0000000000000000:0",
            age_ms: 0,
            version: found.version,
            record: found.record,
        })
    })
    .await
}

/// A record as the JSON that was made of it before: nothing can have less to do.
async fn blob(State(shared): State<Shared>, uri: Uri) -> Response<Body> {
    let path = decoded(uri.path().trim_start_matches("/blobs/"));
    work(move || {
        let connection = shared.lock().expect("nobody panics");
        let mut statement = connection
            .prepare_cached("SELECT version, record FROM files WHERE path = ?1")
            .expect("it parses");
        let row = statement.query_row([&path], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        });
        let (version, record) = row.expect("it is there");
        let answer = format!(
            r#"{{"asOf":"0000000000000000:0","ageMs":0,"version":{version},"record":{record}}}"#
        );
        answer.into_bytes()
    })
    .await
}

async fn work(answer: impl FnOnce() -> Vec<u8> + Send + 'static) -> Response<Body> {
    let body = tokio::task::spawn_blocking(answer).await;
    let response = Response::builder().header(CONTENT_TYPE, "application/json");
    let response = response.body(Body::from(body.expect("it does not panic")));
    response.expect("it is a response")
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("it is JSON")
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut parts = text.split('%');
    bytes.extend(parts.next().unwrap_or_default().bytes());
    for part in parts {
        let (hex, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(hex, 16).expect("the bench escapes"));
        bytes.extend(rest.bytes());
    }
    String::from_utf8(bytes).expect("the bench sends UTF-8")
}

fn fill(cardex: &Cardex) -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    connection.execute_batch(
        "PRAGMA journal_mode = OFF;
         CREATE TABLE files (path TEXT PRIMARY KEY, version INTEGER, record TEXT) WITHOUT ROWID;
         CREATE TABLE names (name TEXT, language TEXT, path TEXT, version INTEGER,
             PRIMARY KEY (name, language, path)) WITHOUT ROWID;
         BEGIN",
    )?;
    let mut failed = None;
    let scanned = cardex.store().for_each(&mut |found| {
        let version = i64::try_from(found.version).unwrap_or(i64::MAX);
        failed = failed
            .take()
            .or(insert(&connection, &found.record, version).err());
        Ok(())
    });
    scanned.expect("the database can be read");
    failed.map_or(Ok(()), Err)?;
    connection.execute_batch("COMMIT; ANALYZE")?;
    Ok(connection)
}

fn insert(connection: &Connection, record: &FileMetadata, version: i64) -> rusqlite::Result<()> {
    let path = record.path.as_str();
    let json = serde_json::to_string(record).expect("it is a record");
    let mut file = connection.prepare_cached("INSERT INTO files VALUES (?1, ?2, ?3)")?;
    file.execute((path, version, json))?;
    let methods = record.classes.iter().flat_map(|class| &class.methods);
    let named = record.functions.iter().chain(methods);
    let names: BTreeSet<&str> = named.filter_map(|f| f.name.as_deref()).collect();
    let language = record.language.as_deref().unwrap_or_default();
    let mut name = connection.prepare_cached("INSERT INTO names VALUES (?1, ?2, ?3, ?4)")?;
    for text in names {
        name.execute((text, language, path, version))?;
    }
    Ok(())
}
