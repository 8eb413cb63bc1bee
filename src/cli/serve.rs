//! `cardex serve`: the database over HTTP, until somebody stops it.

use std::sync::Arc;

use cardex::bus::{FileChanges, InvalidationBus};
use cardex::config::{LiveConfig, Reload};
use cardex::kv::{Caches, CachesSetup};
use cardex::server::{Served, Server};
use cardex::watch::Watcher;
use cardex::{CacheCoordinator, Cardex, Error, ErrorKind, Position, SystemClock};

use super::args::{Global, ServeArgs};
use super::context::Context;
use super::failure::Failure;
use super::output::{Out, say};
use super::{Outcome, index, interrupt, watch};

/// Serves until SIGINT or SIGTERM, and then finishes what is under way.
pub(super) fn run(global: Global, args: &ServeArgs) -> Result<Outcome, Failure> {
    global.no_format("serve")?;
    let quiet = global.quiet;
    let context = with_flags(global, args)?;
    let (store, watcher) = match context.config.watch_enabled() {
        true => {
            let (store, _) = index::follow(&context, true)?;
            let watcher = watch::watcher(&context, &store)?;
            (store, Some(watcher))
        }
        false => (Arc::new(context.existing_store()?), None),
    };
    let options = context.config.cache().clone();
    let cardex = Cardex::over(store, Arc::new(SystemClock), options)?;
    // From here on a signal is an end in order.
    interrupt::flag()?;
    let hung_up = interrupt::hang_ups()?;
    let coordinator = CacheCoordinator::new(context.config.coordinator().clone());
    coordinator.register(cardex.as_cache())?;
    coordinator.start()?;
    let coordinator = Arc::new(coordinator);
    let caches = derived(&context, &coordinator)?;
    let bus = caches.bus()?;
    let watcher = watcher.map(|watcher| Arc::new(told_on(&bus, watcher)));
    // What the caches have in their file may be of any position.
    let follows = FileChanges::follow(&cardex, Position::default(), bus)?;
    let live = Arc::new(context.live);
    let served = Served::new(&cardex, &coordinator)
        .at(&context.root, context.config.database())
        .configured_by(&live)
        .with_results(&caches);
    let served = match &watcher {
        Some(watcher) => {
            watcher.start()?;
            served.watched_by(watcher)
        }
        None => served,
    };
    let server = Server::start(context.config.server().clone(), served)?;
    on_reload(&live, &cardex, &coordinator, &server);
    let address = server.address();
    let mut out = Out::new();
    out.line(&address.to_string())?;
    out.finish()?;
    note(quiet, &format!("Listening on http://{address}"));
    let ended = interrupt::wait(&hung_up, || reload(&live, quiet));
    if !server.stop() {
        note(quiet, "note: requests that took too long were cut off");
    }
    if let Some(watcher) = watcher {
        watcher.stop();
    }
    drop(follows);
    cardex.shutdown();
    caches.close();
    match ended? {}
}

/// The caches of derived results: those of the types that the configuration names, each enrolled with the
/// coordinator. Without such a type there is none, and no file is opened.
fn derived(context: &Context, coordinator: &Arc<CacheCoordinator>) -> Result<Arc<Caches>, Failure> {
    let setup = match context.config.derived().types.is_empty() {
        true => CachesSetup::default(),
        false => context.caches_setup(true)?,
    };
    let caches = setup.open(Some(Arc::clone(coordinator)), Arc::new(SystemClock))?;
    for known in setup.types() {
        match caches.get(known.name()) {
            Err(error) if may_be_absent(error.kind()) => {
                let name = known.name();
                say(&format!(
                    "warning: the cache `{name}` is left out: {error:#}"
                ));
            }
            made => drop(made?),
        }
    }
    let health = caches.health();
    let bus = caches.bus_health().into_iter();
    for why in health
        .reasons
        .into_iter()
        .chain(bus.flat_map(|bus| bus.reasons))
    {
        say(&format!("warning: {}", why.message));
    }
    Ok(Arc::new(caches))
}

/// The watcher, whose batches are told on the bus: earlier than the database tells of them.
fn told_on(bus: &Arc<InvalidationBus>, watcher: Watcher) -> Watcher {
    let bus = Arc::clone(bus);
    watcher.on_batch(move |batch| {
        if let Some(invalidation) = batch.invalidation() {
            bus.publish(invalidation);
        }
    })
}

/// Whether a cache that could not be made for this reason does not stop a start: its file is not there,
/// which is told by the health, too. What is wrong with the configuration does.
fn may_be_absent(kind: ErrorKind) -> bool {
    use ErrorKind::{Database, DatabaseBusy, DatabaseCorrupt, Io, Unavailable};
    matches!(
        kind,
        Database | DatabaseBusy | DatabaseCorrupt | Io | Unavailable
    )
}

/// Whoever can takes other limits and intervals when the configuration is read again.
fn on_reload(
    live: &LiveConfig,
    cardex: &Cardex,
    coordinator: &Arc<CacheCoordinator>,
    server: &Server,
) {
    let cache = cardex.clone();
    live.on_reload(move |config| cache.reconfigure(config.cache()));
    let coordinator = Arc::clone(coordinator);
    live.on_reload(move |config| {
        coordinator.reconfigure(config.coordinator().clone());
        Ok(())
    });
    let server = server.reconfigure();
    live.on_reload(move |config| {
        server(config.server());
        Ok(())
    });
}

/// Reads the configuration again, and tells what came of it; of one that is refused always.
fn reload(live: &LiveConfig, quiet: bool) {
    match live.reload() {
        Ok(reload) => {
            tidings(&reload).iter().for_each(|line| note(quiet, line));
            for why in &reload.refused {
                say(&format!(
                    "warning: the values are in force, but not everywhere: {why}"
                ));
            }
        }
        Err(error) => say(&format!(
            "warning: the configuration stays as it was: {error:#}"
        )),
    }
}

/// What a reload changed, line by line.
fn tidings(reload: &Reload) -> Vec<String> {
    if *reload == Reload::default() {
        return vec!["the configuration is read again: nothing has changed".to_owned()];
    }
    let changed = reload.changed.iter().map(|changed| changed.to_string());
    let waiting = reload.at_restart.iter();
    let waiting = waiting.map(|waiting| format!("{waiting}, once the server is started again"));
    changed.chain(waiting).collect()
}

fn note(quiet: bool, text: &str) {
    if !quiet {
        say(text);
    }
}

/// The project, with the flags over its configuration.
fn with_flags(global: Global, args: &ServeArgs) -> Result<Context, Failure> {
    let mut flags = Vec::new();
    if let Some(address) = &args.listen {
        flags.push(("server.listen", address.as_str(), "--listen"));
    }
    if args.watch {
        flags.push(("watch.enabled", "true", "--watch"));
    }
    if let Some(file) = &args.token_file {
        let file = file.to_str().ok_or_else(|| {
            let message = format!("the name of {} is not UTF-8", file.display());
            Error::new(ErrorKind::InvalidInput, message)
        })?;
        flags.push(("server.token_file", file, "--token-file"));
    }
    Context::with_flags(global, None, &flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_nothing_changed_is_told_where_nobody_refused_anything() {
        let mut reload = Reload::default();
        assert_eq!(
            tidings(&reload),
            ["the configuration is read again: nothing has changed"]
        );
        reload.refused.push("not now".to_owned());
        assert!(tidings(&reload).is_empty());
    }
}
