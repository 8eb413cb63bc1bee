//! `cardex serve`: the database over HTTP, until somebody stops it.

use std::sync::Arc;

use cardex::server::{Served, Server};
use cardex::{Cardex, Error, ErrorKind, SystemClock};

use super::args::{Global, ServeArgs};
use super::context::Context;
use super::failure::Failure;
use super::output::Out;
use super::{Outcome, interrupt};

/// Serves until SIGINT or SIGTERM, and then finishes what is under way.
pub(super) fn run(global: Global, args: &ServeArgs) -> Result<Outcome, Failure> {
    global.no_format("serve")?;
    let context = with_flags(global, args)?;
    let store = context.existing_store()?;
    let options = context.config.cache().clone();
    let cardex = Cardex::over(Arc::new(store), Arc::new(SystemClock), options)?;
    // From here on a signal is an end in order.
    interrupt::flag()?;
    let served = Served {
        root: context.root.clone(),
        database: context.config.database().to_path_buf(),
    };
    let server = Server::start(context.config.server().clone(), &cardex, served)?;
    let address = server.address();
    let mut out = Out::new();
    out.line(&address.to_string())?;
    out.finish()?;
    context.note(&format!("Listening on http://{address}"));
    let ended = interrupt::wait();
    if !server.stop() {
        context.note("note: requests that took too long were cut off");
    }
    cardex.shutdown();
    match ended? {}
}

/// The project, with the flags over its configuration.
fn with_flags(global: Global, args: &ServeArgs) -> Result<Context, Failure> {
    let mut flags = Vec::new();
    if let Some(address) = &args.listen {
        flags.push(("server.listen", address.as_str(), "--listen"));
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
