//! Another program that has the database open: the `sqlite3` command, told what to do line by line.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running `sqlite3`; killed when it is dropped.
pub struct Foreign {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Foreign {
    /// Starts it, and has it read the database.
    pub fn open(file: &Path) -> Self {
        let command = std::env::var("CARDEX_SQLITE3").unwrap_or_else(|_| "sqlite3".to_owned());
        let mut child = Command::new(&command)
            .args(["-batch", "-cmd", ".timeout 5000"])
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("the `{command}` command is missing: {e}"));
        let mut foreign = Foreign {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        };
        foreign.run("SELECT count(*) FROM documents;");
        foreign
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Has it run statements, and returns when it has, with what it printed.
    #[track_caller]
    pub fn run(&mut self, statements: &str) -> String {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{statements}\nSELECT 'all done';").unwrap();
        input.flush().unwrap();
        let mut printed = String::new();
        while !printed.ends_with("all done\n") {
            let read = self.output.read_line(&mut printed).unwrap();
            assert!(read > 0, "sqlite3 ended after: {printed}");
        }
        printed.truncate(printed.len() - "all done\n".len());
        printed
    }

    /// Has it close the database and end.
    #[track_caller]
    pub fn end(mut self) {
        self.input.take();
        assert!(self.child.wait().unwrap().success());
    }

    /// Kills it: it closes nothing.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
