//! The `cardex` command: everything it does is in `cli`, which uses the library as any program can.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
