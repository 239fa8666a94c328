//! The command line of the social platform: `socialctl NOUN VERB`.

mod admin;
mod app;
mod args;
mod auth;
mod comment;
mod completion;
mod content;
mod context;
mod demo;
mod failure;
mod fanout;
mod graph;
mod like;
mod login;
mod operator;
mod output;
mod password;
mod post;
mod private_file;
mod progress;
mod several;
mod terminal;
mod timeline;
mod user;
mod watch;

use std::io::{self, IsTerminal as _, Write as _};
use std::task::Poll;

use app::App;
use args::{Cli, Noun};
use failure::{EXIT_CODES, Exit, Failure, Result};

fn main() {
    let exit = match start() {
        Ok(()) => Exit::Ok,
        Err(failure) => {
            let text = failure.to_string();
            if !text.is_empty() {
                let _ = writeln!(io::stderr().lock(), "{text}");
            }
            failure.exit()
        }
    };
    // Returning would wait for threads that read stdin.
    std::process::exit(i32::from(exit as u8));
}

fn start() -> Result<()> {
    let arguments: Vec<_> = std::env::args_os().collect();
    if arguments.get(1..).is_some_and(|rest| rest == ["help", "exit-codes"]) {
        writeln!(io::stdout().lock(), "{EXIT_CODES}")?;
        return Ok(());
    }
    let cli = match Cli::read(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to stdout and is no failure; a reader of it that goes away is none either.
            let _ = error.print();
            let exit = if error.exit_code() == 0 { Exit::Ok } else { Exit::Usage };
            return if exit == Exit::Ok {
                Ok(())
            } else {
                Err(Failure::new(exit, String::new()))
            };
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(until_interrupted(cli));
    // A thread that waits for somebody to type would be waited for.
    runtime.shutdown_background();
    outcome
}

/// Runs the command, or as much of it as there is time for until Ctrl-C.
async fn until_interrupted(cli: Cli) -> Result<()> {
    let mut interrupt = Box::pin(tokio::signal::ctrl_c());
    // The first look at it takes the signal on, before the command can turn the echo of the terminal off.
    if let Poll::Ready(outcome) = futures::poll!(&mut interrupt) {
        outcome?;
    }
    let command = Box::pin(run(cli));
    tokio::select! {
        outcome = command => outcome,
        interrupt = interrupt => {
            terminal::give_back().await;
            interrupt?;
            if io::stderr().is_terminal() {
                // The terminal has written `^C`.
                let _ = writeln!(io::stderr().lock());
            }
            Err(Failure::new(Exit::Interrupted, String::new()))
        }
    }
}

async fn run(cli: Cli) -> Result<()> {
    let app = App::new(cli.global)?;
    dispatch(&app, cli.noun).await.map_err(|failure| app.settle(failure))
}

async fn dispatch(app: &App, noun: Noun) -> Result<()> {
    match noun {
        Noun::Auth(command) => auth::run(app, command).await,
        Noun::User(command) => user::run(app, command).await,
        Noun::Post(command) => post::run(app, command).await,
        Noun::Comment(command) => comment::run(app, command).await,
        Noun::Like(command) => like::run(app, command).await,
        Noun::Graph(command) => graph::run(app, command).await,
        Noun::Timeline(command) => timeline::run(app, command).await,
        Noun::Fanout(command) => fanout::run(app, command).await,
        Noun::Admin(command) => admin::run(app, command).await,
        Noun::Context(command) => context::run(app, command),
        Noun::Demo(command) => demo::run(app, command).await,
        Noun::Completion(completion) => completion::run(&app.output, &completion),
    }
}
