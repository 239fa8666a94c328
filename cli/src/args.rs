//! The command line: nouns, the options that all of them share, and what several nouns take.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::failure::EXIT_CODES;
use crate::output::{Colour, Format};
use crate::{admin, auth, comment, completion, context, demo, fanout, graph, like, post, timeline, user};

const EXAMPLES: &str = "\
Examples:
  socialctl auth register alice
  socialctl post create 'Hello, world! #first'
  echo 'A longer text' | socialctl post create - --title 'From a pipe' --wait
  socialctl graph follow @grace
  socialctl timeline home
  socialctl timeline watch
  socialctl post list @ada --all -o jsonl | jq -r .content

`socialctl NOUN --help` lists the verbs of a noun, `socialctl NOUN VERB --help` has examples of each.

The id of a post, a comment or a user stands at the end of its row in a list; -o id prints nothing else.";

const ENVIRONMENT: &str = "\
Environment:
  SOCIALCTL_CONFIG            file of contexts, as --config
  SOCIALCTL_CONTEXT           context to use, as --context
  SOCIALCTL_ENDPOINT          server to use, as --endpoint
  SOCIALCTL_AS                login to use, as --as
  SOCIALCTL_OUTPUT            format, as --output
  SOCIALCTL_ADMIN_ENDPOINT    URL of the AdminService, as --admin-endpoint
  SOCIALCTL_ADMIN_TOKEN_FILE  file of the admin token, as --admin-token-file
  SOCIALCTL_PASSWORD          password, for scripts that cannot use --password-stdin
  SOCIALCTL_NEW_PASSWORD      the new password of `auth change-password`, likewise
  NO_COLOR                    no colours";

fn after_help() -> String {
    format!("{EXAMPLES}\n\n{ENVIRONMENT}\n\n{EXIT_CODES}")
}

/// The command line of the social platform.
#[derive(Debug, Parser)]
#[command(name = "socialctl", version, arg_required_else_help = true)]
#[command(after_help = "`socialctl --help` has examples; `socialctl help exit-codes` lists the exit codes.", after_long_help = after_help())]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) noun: Noun,
}

impl Cli {
    /// Reads the command line. Fails with what is to be printed, help included.
    pub(crate) fn read(arguments: Vec<OsString>) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let matches = command
            .try_get_matches_from_mut(arguments.clone())
            .map_err(|error| with_plain_usage(arguments, error))?;
        let mut cli = Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        cli.global.as_typed = matches.value_source("as_user") == Some(ValueSource::CommandLine);
        Ok(cli)
    }
}

/// The same failure with a usage line of what the command takes. clap's own names each option that was set, and those that the environment
/// sets look as if they had to be typed.
fn with_plain_usage(arguments: Vec<OsString>, error: clap::Error) -> clap::Error {
    let mut command = Cli::command();
    command.build();
    fix_usage(&mut command);
    command.try_get_matches_from(arguments).err().unwrap_or(error)
}

fn fix_usage(command: &mut clap::Command) {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    *command = std::mem::take(command).override_usage(usage);
    command.get_subcommands_mut().for_each(fix_usage);
}

/// Options that every command takes, in front of the noun or behind the verb.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// How results are written: table (in a pipe: values with tabs between), json, jsonl (an object a line, as they come) or id
    #[arg(
        long,
        short,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        env = "SOCIALCTL_OUTPUT"
    )]
    #[arg(hide_env = true, hide_possible_values = true)]
    pub(crate) output: Format,
    /// Context to use instead of the current one
    #[arg(long, global = true, value_name = "NAME", env = "SOCIALCTL_CONTEXT", hide_env = true)]
    pub(crate) context: Option<String>,
    /// Server to use: the context that has this URL, or a new one that is kept once you log in
    #[arg(long, global = true, value_name = "URL", env = "SOCIALCTL_ENDPOINT", hide_env = true, value_parser = context::url)]
    pub(crate) endpoint: Option<String>,
    /// Act as another login of the context; `auth login` and `auth register` ignore it
    #[arg(
        long = "as",
        global = true,
        value_name = "HANDLE",
        env = "SOCIALCTL_AS",
        hide_env = true
    )]
    pub(crate) as_user: Option<String>,
    /// Whether --as was typed, and not taken from the environment.
    #[arg(skip)]
    pub(crate) as_typed: bool,
    /// File of contexts; `context list` tells where it is
    #[arg(long, global = true, value_name = "FILE", env = "SOCIALCTL_CONFIG", hide_env = true)]
    pub(crate) config: Option<PathBuf>,
    /// Seconds that a call may take, retries included; 10 when left out, 30 for admin calls. What watches has --timeout instead
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) deadline: Option<u64>,
    /// When output has colours: auto, always or never
    #[arg(
        long = "color",
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        hide_possible_values = true
    )]
    pub(crate) colour: Colour,
    /// No progress and no remarks on stderr
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// What a command is about.
#[derive(Debug, Subcommand)]
pub(crate) enum Noun {
    /// Register, log in and out, sessions, password
    #[command(subcommand)]
    Auth(auth::Command),
    /// Profiles, and how you stand to others
    #[command(subcommand)]
    User(user::Command),
    /// Write, read, edit, delete and watch posts
    #[command(subcommand)]
    Post(post::Command),
    /// Comments on posts, and replies to them
    #[command(subcommand)]
    Comment(comment::Command),
    /// Likes, and counts of posts
    #[command(subcommand)]
    Like(like::Command),
    /// Follows, blocks and mutes
    #[command(subcommand)]
    Graph(graph::Command),
    /// The home timeline: read, watch, mark as read
    #[command(subcommand)]
    Timeline(timeline::Command),
    /// How far a post has got on its way to the followers
    #[command(subcommand)]
    Fanout(fanout::Command),
    /// Operate a server: policy, repair, processes, event log, storage, backups, imports
    Admin(admin::Admin),
    /// Servers, and who is logged in at each
    #[command(subcommand)]
    Context(context::Command),
    /// A world to try things on
    Demo(demo::Demo),
    /// Print a completion script for a shell
    Completion(completion::Completion),
}

/// The largest page that can be asked for. No list has larger ones.
pub(crate) const PAGE_SIZE_MAX: u32 = 1000;

/// Which part of a list.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Paging {
    /// Items per page; the server has a default and a maximum for each list
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(PAGE_SIZE_MAX)))]
    pub(crate) page_size: Option<u32>,
    /// Go on after the page that printed this token
    #[arg(long, value_name = "TOKEN")]
    pub(crate) page_token: Option<String>,
    /// Read all pages, the largest there are unless --page-size says otherwise
    #[arg(long)]
    pub(crate) all: bool,
}

/// Where the AdminService is, and the token for it.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Admin options")]
pub(crate) struct AdminAccess {
    /// URL of the AdminService, instead of the context's; that is by default the port behind the server's on this machine
    #[arg(long, global = true, value_name = "URL", env = "SOCIALCTL_ADMIN_ENDPOINT", value_parser = context::url)]
    pub(crate) admin_endpoint: Option<String>,
    /// File that holds the admin token (`social-data/admin.token`, or `social-dev/admin.token` in dev mode), instead of the context's
    #[arg(long, global = true, value_name = "FILE", env = "SOCIALCTL_ADMIN_TOKEN_FILE")]
    pub(crate) admin_token_file: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    fn verbs(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let path = format!("{path} {}", sub.get_name());
            if sub.has_subcommands() {
                verbs(sub, &path, found);
            } else {
                found.push((path, sub.clone()));
            }
        }
    }

    #[test]
    fn every_verb_has_a_line_and_examples() {
        let mut found = Vec::new();
        verbs(&Cli::command(), "socialctl", &mut found);
        assert!(found.len() > 60, "{} verbs", found.len());
        for (path, command) in found {
            assert!(command.get_about().is_some(), "{path} says nothing of itself");
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                help.contains(&format!("{path} ")) || help.contains(&format!("{path}\n")) || help.ends_with(&path),
                "{path}: {help}"
            );
        }
    }
}
