//! `social-bench`: holds the platform against what its parts can do by themselves, and says what it costs. See `README.md` beside it.

mod bare;
mod celebrity;
mod cpu;
mod failure;
mod fanout;
mod memory;
mod people;
mod platform;
mod posting;
mod report;
mod runs;
mod schedule;
mod subscribers;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use failure::{During as _, Result};

#[derive(Parser, Debug)]
#[command(name = "social-bench", about = "Measures the platform against references", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

/// What every benchmark takes.
#[derive(Args, Debug)]
struct Common {
    /// Prints the JSON object alone; it is the last line in any case
    #[arg(long, global = true)]
    json: bool,
    /// The server's binary to measure; built from the sources if left out
    #[arg(long, global = true, value_name = "FILE")]
    server: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Measures the platform and a reference in turns
    #[command(subcommand)]
    Ratio(Ratio),
    /// Measures what an idle subscriber of a home timeline holds, in bytes
    Subscribers(subscribers::Options),
}

#[derive(Subcommand, Debug)]
enum Ratio {
    /// Rows of home timelines written a second by fan-out on a cluster, against the bare driver (goal: at least 0.8)
    ClusterFanout(fanout::Options),
    /// How late others' posts become visible while an author with many followers posts, against quiet (goal: at most 2)
    CelebrityPost(celebrity::Options),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("social-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn start(cli: Cli) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.during("the runtime")?.block_on(Box::pin(run(cli)))
}

async fn run(Cli { command, common }: Cli) -> Result<()> {
    match command {
        Command::Ratio(Ratio::ClusterFanout(options)) => fanout::run(options, &common).await,
        Command::Ratio(Ratio::CelebrityPost(options)) => celebrity::run(options, &common).await,
        Command::Subscribers(options) => subscribers::run(options, &common).await,
    }
}
