//! What every command needs: the project, its configuration, and how to talk.

use std::path::PathBuf;
use std::sync::Arc;

use cardex::config::{Config, ConfigSources, LiveConfig};
use cardex::{Error, ErrorKind};

use super::args::{Format, Global};
use super::failure::Failure;
use super::output::{Out, Paint, say};
use super::project;

/// The project, its configuration, and how to talk.
#[derive(Debug)]
pub(super) struct Context {
    /// The project's root, with every symbolic link resolved.
    pub(super) root: PathBuf,
    pub(super) config: Arc<Config>,
    /// The same, for a command that runs so long that it may change.
    pub(super) live: LiveConfig,
    pub(super) global: Global,
    /// Colours of the standard output.
    pub(super) paint: Paint,
}

impl Global {
    /// Refuses a format for a command whose output has one form, or that has none.
    pub(super) fn no_format(&self, command: &str) -> Result<(), Failure> {
        let refuse = |format| unprintable(command, format, "leave --format out");
        self.format.map_or(Ok(()), |format| Err(refuse(format)))
    }

    /// The format asked for, if `command` can print it; else the first of `formats`.
    pub(super) fn format(&self, command: &str, formats: &[Format]) -> Result<Format, Failure> {
        match self.format {
            None => Ok(formats[0]),
            Some(format) if formats.contains(&format) => Ok(format),
            Some(format) => {
                let known: Vec<String> = formats.iter().map(name).collect();
                Err(unprintable(
                    command,
                    format,
                    &format!("it prints as {}", known.join(", ")),
                ))
            }
        }
    }
}

fn unprintable(command: &str, format: Format, help: &str) -> Failure {
    let message = format!("`{command}` cannot print as {}", name(&format));
    let error = Error::new(ErrorKind::InvalidInput, message);
    error.with_help(help).into()
}

fn name(format: &Format) -> String {
    format!("{format:?}").to_ascii_lowercase()
}

impl Context {
    /// Finds the project and reads its configuration. `root` is one that the command names itself.
    pub(super) fn new(global: Global, root: Option<PathBuf>) -> Result<Self, Failure> {
        Self::with_flags(global, root, &[])
    }

    /// As [`Context::new`], with the flags of a command that are configuration: key, value, flag.
    pub(super) fn with_flags(
        global: Global,
        root: Option<PathBuf>,
        flags: &[(&str, &str, &str)],
    ) -> Result<Self, Failure> {
        let root = project::root(root.as_deref().or(global.directory.as_deref()))?;
        let mut sources = ConfigSources::new(&root).with_process()?;
        if let Some(file) = &global.config {
            sources = sources.project_file(file);
        }
        if let Some(url) = &global.db {
            sources = sources.command_line("database.url", url, "--db")?;
        }
        for (key, value, flag) in flags {
            sources = sources.command_line(key, value, flag)?;
        }
        let live = LiveConfig::load(sources)?;
        let config = live.current();
        let paint = Paint::for_stdout(global.color);
        Ok(Context {
            root,
            config,
            live,
            global,
            paint,
        })
    }

    /// As [`Global::format`].
    pub(super) fn format(&self, command: &str, formats: &[Format]) -> Result<Format, Failure> {
        self.global.format(command, formats)
    }

    /// The format of a list of files: a table for people, paths for pipes.
    pub(super) fn list_format(&self, out: &Out) -> Format {
        match (self.global.format, out.is_terminal()) {
            (Some(format), _) => format,
            (None, true) => Format::Table,
            (None, false) => Format::Paths,
        }
    }

    /// Tells a person something on stderr, unless they want quiet.
    pub(super) fn note(&self, text: &str) {
        if !self.global.quiet {
            say(text);
        }
    }
}
