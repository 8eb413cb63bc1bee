//! The command line: arguments in, exit code out. It decides nothing about files or queries: it
//! finds the project, asks the library, and prints.
//!
//! Exit codes: 0 found or done, 1 nothing found or a check has findings, 2 an error, 130 and 143
//! when stopped by SIGINT and SIGTERM.

mod args;
mod cache;
mod changes;
mod check;
mod config;
mod context;
mod denial;
mod doctor;
mod export;
mod failure;
mod format;
mod import;
mod index;
mod interrupt;
mod output;
mod progress;
mod project;
mod query;
mod serve;
mod show;
mod stats;
mod sync;
mod table;
mod tree;
mod verify;
mod watch;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::args::{Cli, Command, ConfigCommand, DbCommand, Global};
use self::context::Context;
use self::failure::Failure;

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It found something, or did what it was told.
    Found,
    /// There is nothing of the kind; or, of a check: something is wrong.
    Nothing,
}

/// Runs the command line of this process.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse_from(denial::shielded(std::env::args_os()));
    log(&cli.global);
    let paint = output::Paint::for_stderr(cli.global.color);
    match run(cli) {
        Ok(Outcome::Found) | Err(Failure::PipeClosed) => ExitCode::SUCCESS,
        Ok(Outcome::Nothing) => ExitCode::from(1),
        Err(Failure::Interrupted(signal)) => ExitCode::from(128 + signal),
        Err(Failure::Error(error)) => {
            failure::print(&error, paint);
            ExitCode::from(2)
        }
    }
}

fn run(cli: Cli) -> Result<Outcome, Failure> {
    // What wants no project, or no configuration that is right.
    match cli.command {
        Command::Completions { shell } => {
            cli.global.no_format("completions")?;
            return completions(shell);
        }
        Command::Config(ConfigCommand::Schema) => return config::schema(&cli.global),
        Command::Doctor => return doctor::run(cli.global),
        Command::Serve(args) => return serve::run(cli.global, &args),
        Command::Verify(args) => return verify::run(&cli.global, &args),
        _ => {}
    }
    let root = match &cli.command {
        Command::Index { path } => path.clone(),
        _ => None,
    };
    let context = Context::new(cli.global, root)?;
    match cli.command {
        Command::Index { .. } => index::run(&context),
        Command::Query(args) => query::run(&context, args),
        Command::Show { path, cached } => show::run(&context, &path, cached),
        // Both ways it is a full pass: nothing is remembered from one command to the next.
        Command::Sync { full: _, verify } => sync::run(&context, verify),
        Command::Changes(args) => changes::run(&context, &args),
        Command::Watch => watch::run(&context),
        Command::Stats => stats::run(&context),
        Command::Cache(command) => cache::run(&context, command),
        Command::Db(DbCommand::Import { file }) => import::run(&context, &file),
        Command::Db(DbCommand::Export { file }) => export::run(&context, file.as_deref()),
        Command::Db(DbCommand::Check { repair }) => check::run(&context, repair),
        Command::Config(ConfigCommand::Show { origin }) => config::show(&context, origin),
        Command::Config(ConfigCommand::Schema) => config::schema(&context.global),
        Command::Doctor => doctor::run(context.global),
        Command::Serve(args) => serve::run(context.global, &args),
        Command::Verify(args) => verify::run(&context.global, &args),
        Command::Completions { shell } => completions(shell),
    }
}

fn completions(shell: clap_complete::Shell) -> Result<Outcome, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "cardex", &mut script);
    std::io::Write::write_all(&mut std::io::stdout(), &script)?;
    Ok(Outcome::Found)
}

/// Log lines go to stderr: warnings, more with `-v`, or what `RUST_LOG` says.
fn log(global: &Global) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    // Not `EnvFilter`: it switches on fully compiled automata in every regular expression of the
    // program, ignore rules among them, and those miss matches (regex-automata 0.4.18).
    let wanted = std::env::var("RUST_LOG")
        .ok()
        .filter(|wanted| !wanted.is_empty());
    let filter = wanted.and_then(|wanted| wanted.parse::<Targets>().ok());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        // What cannot be written is lost, and not complained of where it cannot be written either.
        .log_internal_errors(false)
        .without_time()
        .with_ansi(output::Paint::for_stderr(global.color).is_on())
        .compact();
    tracing_subscriber::registry()
        .with(lines)
        .with(filter.unwrap_or_else(|| Targets::new().with_default(level)))
        .init();
}
