//! The arguments of the command, as clap reads them. The first line of each comment is its help.

use std::path::PathBuf;

use cardex::tier::Lifetime;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};

const EXIT_CODES: &str = "Exit codes: 0 found or done; 1 nothing found, or a check has findings; \
    2 an error; 130 and 143 when stopped by SIGINT and SIGTERM.\n\n\
    The project's root is the nearest directory, from here upwards, that has a .cardex or a .git in \
    it, or else this directory. Its data is kept in .cardex/ there.";

/// Finds source files by what they define, cite and are, in an index that is never silently wrong.
#[derive(Debug, Parser)]
#[command(name = "cardex", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Flags that every command takes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// Take DIR as the project's root
    #[arg(short = 'C', long = "directory", value_name = "DIR", global = true, value_hint = ValueHint::DirPath)]
    pub(super) directory: Option<PathBuf>,
    /// Read FILE in place of the project's cardex.toml
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath)]
    pub(super) config: Option<PathBuf>,
    /// The SQLite file to use: a path or sqlite:PATH
    #[arg(long, value_name = "URL", global = true, value_hint = ValueHint::FilePath)]
    pub(super) db: Option<String>,
    /// How to print [default: table, or paths for a query into a pipe]
    #[arg(long, value_name = "FORMAT", global = true)]
    pub(super) format: Option<Format>,
    /// When to use colours
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto")]
    pub(super) color: Color,
    /// Print no summaries, notes or progress
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Say more; twice for debugging
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(super) verbose: u8,
    /// Draw no progress bar
    #[arg(long, global = true)]
    pub(super) no_progress: bool,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Table,
    /// One JSON document, with the position that it is true of
    Json,
    /// One JSON document a line
    Jsonl,
    /// Comma-separated values with a header
    Csv,
    /// One path a line
    Paths,
}

/// When colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Bring the database up to date with the source tree
    ///
    /// Files that are new or changed since the last run are read; records of files that are gone,
    /// ignored or excluded are removed, so that the database holds the tree and nothing else. It can
    /// be stopped at any time, and goes on from there when it is run again.
    Index {
        /// The project's root, as with -C
        #[arg(value_name = "PATH", value_hint = ValueHint::DirPath, conflicts_with = "directory")]
        path: Option<PathBuf>,
    },
    /// List the files that match every criterion, in path order
    ///
    /// Criteria are flags, or text, or both. Text knows more: `lang:rust (fn:parse OR class:Lexer)
    /// -path:^tests/`. Its fields are lang:, fn:, class:, ref:, path: (a regular expression) and glob:.
    /// What stands beside each other must all hold; OR is between alternatives, `-` right before what
    /// is denied, a comma between names of which one must hold (lang:rust,go). A value with blanks
    /// stands in double quotes. Quote the whole of it from the shell.
    Query(QueryArgs),
    /// Show what is known of one file
    Show {
        /// The file: from the project's root, from here, or absolute inside the root
        #[arg(value_hint = ValueHint::FilePath)]
        path: PathBuf,
        /// Ask the database as it is, without a look at the tree
        #[arg(long)]
        cached: bool,
    },
    /// Read the database into an index, and tell what that took
    ///
    /// A command begins without an index and makes it of the whole database; this one does nothing
    /// else, so that one sees how long it takes and which rows cannot be read. The exit code is 1 if
    /// there are such rows, or if --verify finds a difference. The tree is not looked at.
    Sync {
        /// Read everything anew: what this command does without it as well, as it begins without an
        /// index
        #[arg(long)]
        full: bool,
        /// Compare the index with the rows, one by one, as `db check` does
        #[arg(long)]
        verify: bool,
    },
    /// Bring the database up to date with the tree, and follow it until SIGINT or SIGTERM
    ///
    /// What is saved is in the database a moment later, also for other processes. Each batch is told as
    /// a line on stderr, or with --format jsonl on the standard output. Where events are lost, the whole
    /// tree is looked at; where it cannot be watched, it is polled, and a warning says so.
    Watch,
    /// List the files that changed since a position, and those that went
    ///
    /// The database is asked as it is; `cardex index` brings it up to date with the tree. The last
    /// line, on stderr, or `position` in JSON, says where to go on from.
    Changes(ChangesArgs),
    /// Show what the index holds, of which position
    Stats,
    /// Answer over HTTP, until SIGINT or SIGTERM
    ///
    /// The database is served as it is, and followed, whoever writes to it; `cardex index` brings it
    /// up to date with the tree, and --watch keeps it so. The standard output gets one line, the address that is listened on.
    /// Requests under way are finished before the end, for five seconds at most.
    Serve(ServeArgs),
    /// Look into the caches of derived results, change and copy them
    ///
    /// They are seen as they lie in their file and on the Redis server: what a process has in its own
    /// memory it alone can tell, a server at /v1/caches. The file belongs to one process at a time; while
    /// another one has it, Redis alone is asked, and where that does not do, the command fails. Other
    /// processes are told what is changed on Redis, and forget it.
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Import, export and check the database
    #[command(subcommand)]
    Db(DbCommand),
    /// Show the configuration, or its schema
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at everything that cardex depends on, and say what is wrong and how to cure it
    ///
    /// The configuration, the tree, the directory and the disk of the database, the database and its
    /// change log, the index made of it, the limits of this process. Nothing is made or changed. The
    /// exit code is 1 if anything is not as it should be.
    Doctor,
    /// Prove that no answer is wrong, by processes that read, write and die
    ///
    /// They share a scratch database, record every answer and every commit, and then each answer is
    /// compared with the database at the position that it names. The exit code is 0 if every answer
    /// is proven and 1 if one is wrong; then the recording is kept.
    #[command(hide = true)]
    Verify(VerifyArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Args, Debug)]
pub(super) struct QueryArgs {
    /// What to look for, as text: lang:rust (fn:parse OR class:Lexer) -path:^tests/
    #[arg(value_name = "TEXT")]
    pub(super) text: Vec<String>,
    /// Files in this language
    #[arg(short = 't', long, value_name = "LANG")]
    pub(super) language: Option<String>,
    /// Files that define this function or method: `name` or `Class.method`
    #[arg(short, long, value_name = "FUNC")]
    pub(super) function: Vec<String>,
    /// Files that define this class, struct, trait, interface or enum
    #[arg(short, long, value_name = "CLASS")]
    pub(super) class: Vec<String>,
    /// Files that cite this document
    #[arg(short, long, value_name = "DOC")]
    pub(super) reference: Vec<String>,
    /// Files whose path holds a match of this regular expression
    #[arg(short, long, value_name = "REGEX", allow_hyphen_values = true)]
    pub(super) path: Vec<String>,
    /// Files whose whole path matches this glob
    #[arg(short, long, value_name = "GLOB", allow_hyphen_values = true)]
    pub(super) glob: Vec<String>,
    /// List at most this many files
    #[arg(short = 'n', long, value_name = "LIMIT", allow_hyphen_values = true)]
    pub(super) limit: Option<String>,
    /// Print how many files match, whatever the limit
    #[arg(long, conflicts_with = "explain")]
    pub(super) count: bool,
    /// Print how the query would run
    #[arg(long)]
    pub(super) explain: bool,
    /// End each path with NUL instead of a line break; implies --format paths
    #[arg(short = '0', long = "null", conflicts_with_all = ["format", "count", "explain"])]
    pub(super) null: bool,
    /// Ask the database as it is, without a look at the tree
    #[arg(long)]
    pub(super) cached: bool,
}

#[derive(Args, Debug)]
pub(super) struct ChangesArgs {
    /// Where to begin: a position, as `cardex stats` prints it, or `start` for every file
    #[arg(long, value_name = "POSITION")]
    pub(super) since: String,
    /// Go on with what changes from now on, until SIGINT or until nobody reads any more
    #[arg(long)]
    pub(super) follow: bool,
    /// List at most this many files
    #[arg(short = 'n', long, value_name = "LIMIT")]
    pub(super) limit: Option<usize>,
}

#[derive(Args, Debug)]
pub(super) struct ServeArgs {
    /// Listen there; port 0 is any that is free [default: 127.0.0.1:7878]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(super) listen: Option<String>,
    /// Let the bearer of the token in FILE change things; it must be yours alone (chmod 600)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) token_file: Option<PathBuf>,
    /// Keep the database up to date with the tree
    #[arg(long)]
    pub(super) watch: bool,
}

#[derive(Args, Debug)]
pub(super) struct VerifyArgs {
    /// Record for so long
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(super) seconds: u64,
    /// Processes that ask
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(super) readers: u8,
    /// Processes that write: a foreign program, a cache, and so on in turns
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(super) writers: u8,
    /// Threads of each process that asks
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(super) threads: u8,
    /// Kill a process that writes, again and again
    #[arg(long)]
    pub(super) kills: bool,
    /// Prune the log, stop processes for a while, rewrite the file and change its schema
    #[arg(long)]
    pub(super) faults: bool,
    /// Repeat what is asked and written, though not in what order the processes come to it
    #[arg(long, value_name = "S")]
    pub(super) seed: Option<u64>,
    /// Record in this folder, and keep it; it must be empty or new
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) dir: Option<PathBuf>,
    /// Check the recording that was kept in this folder again
    #[arg(
        long, value_name = "DIR", value_hint = ValueHint::DirPath,
        conflicts_with_all = ["seconds", "readers", "writers", "threads", "kills", "faults", "seed", "dir"],
    )]
    pub(super) replay: Option<PathBuf>,
    /// Be one of those processes
    #[arg(long, hide = true)]
    pub(super) task: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum DbCommand {
    /// Add or replace the records of a file of JSON lines
    ///
    /// Each line is one record, as `db export` writes it; the file may be compressed with zstd. Good
    /// lines are imported whatever the others are; each bad line is named with its number and the
    /// reason, and then the exit code is 2.
    Import {
        /// The file; - is the standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Write every record as a line of JSON, in path order
    Export {
        /// The file; compressed if its name ends in .zst; - or nothing is the standard output
        #[arg(value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
    },
    /// Check that the database is sound and the index equal to it, row by row
    Check {
        /// Mend what can be mended: restores change capture and logs every file anew
        #[arg(long)]
        repair: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum CacheCommand {
    /// Print the value of a key, as JSON
    ///
    /// The exit code is 1 if there is none. With --format json come its time to live and its size.
    Get {
        /// The type of cache: one of the predefined ones, or of [types.NAME] of the configuration
        #[arg(value_name = "TYPE")]
        name: String,
        /// The key
        key: String,
    },
    /// Keep a value under a key
    Set {
        /// The type of cache
        #[arg(value_name = "TYPE")]
        name: String,
        /// The key
        key: String,
        /// The value, as JSON; - is the standard input
        #[arg(value_name = "JSON", allow_negative_numbers = true)]
        value: String,
        /// How long: a duration such as 10m, never, or what the type says
        #[arg(
            long,
            value_name = "TIME",
            default_value = "default",
            hide_default_value = true
        )]
        ttl: Lifetime,
    },
    /// Forget the value of a key, or of all keys that match
    ///
    /// The exit code is 1 if there was none.
    Delete {
        /// The type of cache
        #[arg(value_name = "TYPE")]
        name: String,
        /// The key
        #[arg(required_unless_present = "pattern", conflicts_with = "pattern")]
        key: Option<String>,
        /// Every key that matches: * is any text, ? any character, [abc] one of these
        #[arg(long, value_name = "GLOB")]
        pattern: Option<String>,
    },
    /// List the keys that have a value, in their order
    Keys {
        /// The type of cache
        #[arg(value_name = "TYPE")]
        name: String,
        /// Those that match: * is any text, ? any character, [abc] one of these
        pattern: Option<String>,
    },
    /// Print how much longer the value of a key lives
    Ttl {
        /// The type of cache
        #[arg(value_name = "TYPE")]
        name: String,
        /// The key
        key: String,
    },
    /// Show what each type holds, how it does, and where it lies
    ///
    /// Of all types, those are shown that are configured or hold something. Requests are counted by the
    /// process that makes them.
    Stats {
        /// The type of cache
        #[arg(value_name = "TYPE")]
        name: Option<String>,
    },
    /// Forget every value of a type
    Clear {
        /// The type of cache
        #[arg(value_name = "TYPE")]
        name: String,
    },
    /// Show how the types that are configured do against what they are held to
    Report,
    /// Copy the file of the caches
    Backup {
        /// The new file; it must not exist
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Put what a copy holds in place of what the file of the caches holds
    ///
    /// Each entry is checked; what is damaged, or has expired meanwhile, is left out.
    Restore {
        /// A file that `cardex cache backup` wrote
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print the configuration in force, without secrets
    Show {
        /// Say where each value came from
        #[arg(long)]
        origin: bool,
    },
    /// Print the JSON Schema of a configuration file, for editors to check and complete it
    Schema,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
