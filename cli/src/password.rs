//! Where passwords come from: never from the command line, which every user of the machine can read.

use std::io::{self, BufRead as _, IsTerminal as _};

use clap::Args;

use crate::failure::{Exit, Failure, Result};
use crate::terminal;

const NEW_PASSWORD: &str = "New password (8 bytes or more): ";

/// How a password is given.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct PasswordSource {
    /// Read the password from the first line of stdin
    #[arg(long)]
    password_stdin: bool,
}

impl PasswordSource {
    /// The password of an account that is there.
    pub(crate) async fn current(self) -> Result<String> {
        aside(move || self.first("SOCIALCTL_PASSWORD", || prompt("Password: "))).await
    }

    /// The password of a new account, typed twice where somebody types.
    pub(crate) async fn fresh(self) -> Result<String> {
        aside(move || self.first("SOCIALCTL_PASSWORD", || prompt_twice(NEW_PASSWORD))).await
    }

    /// The password until now, and the one from now on. From stdin they are the first two lines.
    pub(crate) async fn change(self) -> Result<(String, String)> {
        aside(move || {
            let current = self.first("SOCIALCTL_PASSWORD", || prompt("Current password: "))?;
            let new = self.first("SOCIALCTL_NEW_PASSWORD", || prompt_twice(NEW_PASSWORD))?;
            Ok((current, new))
        })
        .await
    }

    fn first(self, variable: &str, ask: impl FnOnce() -> Result<String>) -> Result<String> {
        if self.password_stdin {
            return line_of_stdin();
        }
        match std::env::var(variable) {
            Ok(password) if !password.is_empty() => Ok(password),
            _ if io::stdin().is_terminal() => ask(),
            _ => Err(Failure::usage("there is no terminal to ask for a password on")
                .hint(format!("pipe it in with --password-stdin, or set {variable}"))),
        }
    }
}

/// Reads on a thread of its own, so that Ctrl-C is noticed meanwhile.
async fn aside<T: Send + 'static>(read: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(read)
        .await
        .unwrap_or_else(|error| Err(Failure::new(Exit::Internal, format!("cannot read a password: {error}"))))
}

/// Stdin keeps what it has read ahead, so that the next line is still there.
fn line_of_stdin() -> Result<String> {
    let mut line = String::new();
    let read = io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::usage(format!("cannot read stdin: {error}")))?;
    let password = line.trim_end_matches(['\n', '\r']);
    if read == 0 || password.is_empty() {
        return Err(Failure::usage("stdin holds no password").hint("one line with the password is expected"));
    }
    Ok(password.to_owned())
}

fn prompt(text: &str) -> Result<String> {
    terminal::without_echo(|| rpassword::prompt_password(text)).map_err(|error| match error.kind() {
        io::ErrorKind::Interrupted => Failure::from(error),
        _ => Failure::usage(format!("cannot ask for a password: {error}")).hint("pipe it in with --password-stdin"),
    })
}

fn prompt_twice(text: &str) -> Result<String> {
    let password = prompt(text)?;
    if prompt("The same again: ")? == password {
        Ok(password)
    } else {
        Err(Failure::usage("the two passwords differ").hint("nothing was changed; run the command again"))
    }
}
