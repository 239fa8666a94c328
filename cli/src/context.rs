//! `context`: servers, and who is logged in at each.

pub(crate) mod store;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;
use social_sdk::DEFAULT_ENDPOINT;

use crate::app::{App, plain_handle, read_certificates};
use crate::failure::{Exit, Failure, Result};
use crate::output::{Cell, Column, Facts, Now, Show};
use store::{Context, Contexts};

/// Verbs of `context`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List all contexts
    #[command(after_help = "Examples:\n  socialctl context list\n  socialctl context list -o id")]
    List,
    /// Make a context the current one, and with --user choose among its logins
    #[command(
        after_help = "Examples:\n  socialctl context use staging\n  socialctl context use default --user grace    # --as grace does the same"
    )]
    Use {
        /// Name of the context
        name: String,
        /// Handle of the login to act for from now on
        #[arg(long, value_name = "HANDLE")]
        user: Option<String>,
    },
    /// Make a context, or change one
    #[command(visible_alias = "add")]
    #[command(after_help = "\
--endpoint is the URL of the server. Another URL than before forgets the logins and the admin access of the context.

Without --admin-endpoint, admin calls of a server on this machine go to the port behind its own: 50052 for one at 50051. For a server \
elsewhere it must be named. `socialctl context show` tells where they go.

Examples:
  socialctl context set staging --endpoint https://social.example --ca-file ca.pem --use
  socialctl context set default --admin-token-file social-data/admin.token")]
    Set(Set),
    /// Forget a context with its logins; the sessions go on at the server until they end
    #[command(after_help = "Examples:\n  socialctl context delete staging")]
    Delete {
        /// Name of the context
        name: String,
    },
    /// Show a context; tokens are never shown
    #[command(after_help = "Examples:\n  socialctl context show\n  socialctl context show staging -o json")]
    Show {
        /// Name of the context; the one in use when left out
        name: Option<String>,
    },
}

/// `context set`
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Name of the context
    #[arg(value_parser = name)]
    name: String,
    /// PEM file of certificates to trust instead of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// URL of the server's AdminService, where it is not the port behind the server's
    #[arg(long, value_name = "URL", value_parser = url)]
    admin_endpoint: Option<String>,
    /// File that holds the admin token: `admin.token` of the server's data folder
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
    /// Make it the current one
    #[arg(long = "use")]
    make_current: bool,
}

fn name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:[]".contains(c);
    if (1..=100).contains(&text.len()) && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("must be 1 to 100 of a-z, A-Z, 0-9, - _ . : [ ]".to_owned())
    }
}

/// A URL of a server as it is kept: `http://HOST:PORT` or `https://HOST:PORT`, without a slash at the end. `grpc://` and `grpcs://`,
/// as servers write it, mean the same.
pub(crate) fn url(text: &str) -> Result<String, String> {
    let schemes = [
        ("http://", "http://"),
        ("https://", "https://"),
        ("grpc://", "http://"),
        ("grpcs://", "https://"),
    ];
    let found = schemes
        .iter()
        .find_map(|(scheme, plain)| Some((plain, text.strip_prefix(scheme)?.trim_end_matches('/'))));
    match found {
        Some((scheme, rest)) if !rest.is_empty() && !rest.contains(|c: char| c.is_whitespace() || c.is_control()) => {
            Ok(format!("{scheme}{rest}"))
        }
        _ => Err("must be http://HOST:PORT or https://HOST:PORT".to_owned()),
    }
}

/// Runs a verb of `context`.
pub(crate) fn run(app: &App, command: Command) -> Result<()> {
    match command {
        Command::List => list(app),
        Command::Use { name, user } => {
            let user = one_user(user.as_deref(), app.typed_as())?;
            make_current(app, &name, user)
        }
        Command::Set(args) => set(app, args),
        Command::Delete { name } => delete(app, &name),
        Command::Show { name: Some(name) } => {
            let contexts = app.contexts.load()?;
            let context = contexts.contexts.get(&name).ok_or_else(|| unknown(&name))?;
            app.output.item(&Shown::new(&contexts, &name, context))
        }
        Command::Show { name: None } => {
            let contexts = app.contexts.load()?;
            let selected = app.selected()?;
            let mut shown = Shown::new(&contexts, &selected.name, &selected.context);
            shown.user = selected.handle;
            app.output.item(&shown)
        }
    }
}

fn list(app: &App) -> Result<()> {
    let contexts = app.contexts.load()?;
    let shown: Vec<_> = contexts
        .contexts
        .iter()
        .map(|(name, context)| Shown::new(&contexts, name, context))
        .collect();
    app.output.list("contexts", &shown, "")?;
    app.output.note(&format!("kept in {}", app.contexts.path().display()))
}

/// Both options name the login to act for from now on.
fn one_user<'a>(user: Option<&'a str>, typed_as: Option<&'a str>) -> Result<Option<&'a str>> {
    match (user, typed_as) {
        (Some(user), Some(other)) if plain_handle(user) != plain_handle(other) => {
            Err(Failure::usage("--user and --as name two users").hint("leave one of them out"))
        }
        _ => Ok(user.or(typed_as)),
    }
}

fn make_current(app: &App, name: &str, user: Option<&str>) -> Result<()> {
    let shown = app.contexts.update(|contexts| {
        let context = contexts.contexts.get_mut(name).ok_or_else(|| unknown(name))?;
        if let Some(user) = user {
            let handle = plain_handle(user);
            if !context.users.contains_key(&handle) {
                return Err(Failure::new(
                    Exit::Unauthenticated,
                    format!("@{handle} is not logged in in context {name}"),
                )
                .hint(format!("log in with `socialctl --context {name} auth login {handle}`")));
            }
            context.user = Some(handle);
        }
        contexts.current = Some(name.to_owned());
        contexts
            .contexts
            .get(name)
            .map(|context| Shown::new(contexts, name, context))
            .ok_or_else(|| unknown(name))
    })?;
    app.output.item(&shown)
}

fn set(app: &App, args: Set) -> Result<()> {
    let ca_file = args.ca_file.as_deref().map(absolute).transpose()?;
    if let Some(path) = &ca_file {
        read_certificates(path)?;
    }
    let admin_token_file = args.admin_token_file.as_deref().map(absolute).transpose()?;
    let endpoint = app.endpoint().map(str::to_owned);
    let shown = app.contexts.update(|contexts| {
        let context = contexts
            .contexts
            .entry(args.name.clone())
            .or_insert_with(|| Context::new(DEFAULT_ENDPOINT));
        if let Some(url) = endpoint.filter(|url| *url != context.endpoint) {
            // Tokens of one server are never sent to another.
            context.users.clear();
            context.user = None;
            context.admin_endpoint = None;
            context.admin_token_file = None;
            context.endpoint = url;
        }
        context.ca_file = ca_file.or(context.ca_file.take());
        context.admin_endpoint = args.admin_endpoint.or(context.admin_endpoint.take());
        context.admin_token_file = admin_token_file.or(context.admin_token_file.take());
        if args.make_current || contexts.current.is_none() {
            contexts.current = Some(args.name.clone());
        }
        contexts
            .contexts
            .get(&args.name)
            .map(|context| Shown::new(contexts, &args.name, context))
            .ok_or_else(|| unknown(&args.name))
    })?;
    app.output.item(&shown)
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| Failure::file("find", path, &error))
}

fn delete(app: &App, name: &str) -> Result<()> {
    app.contexts.update(|contexts| {
        contexts.contexts.remove(name).ok_or_else(|| unknown(name))?;
        contexts.current.take_if(|current| current == name);
        Ok(())
    })?;
    app.output
        .item(&Facts::new(name).with("name", name).with("deleted", true))
}

fn unknown(name: &str) -> Failure {
    Failure::new(Exit::NotFound, format!("there is no context {name}")).hint("`socialctl context list` lists them")
}

/// A context without its secrets.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    current: bool,
    endpoint: String,
    ca_file: Option<PathBuf>,
    admin_endpoint: Option<String>,
    #[serde(skip)]
    admin_by_default: bool,
    admin_token_file: Option<PathBuf>,
    user: Option<String>,
    users: Vec<String>,
}

impl Shown {
    fn new(contexts: &Contexts, name: &str, context: &Context) -> Self {
        Self {
            name: name.to_owned(),
            current: contexts.current() == name,
            endpoint: context.endpoint.clone(),
            ca_file: context.ca_file.clone(),
            admin_endpoint: context.admin_endpoint(),
            admin_by_default: context.admin_endpoint.is_none(),
            admin_token_file: context.admin_token_file.clone(),
            user: context.user.clone(),
            users: context.users.keys().cloned().collect(),
        }
    }

    fn admin(&self) -> Cell {
        match &self.admin_endpoint {
            Some(url) if self.admin_by_default => {
                Cell::plain(format!("{url} (by default: the port behind the server's)"))
            }
            Some(url) => Cell::plain(url),
            None => Cell::dim("-"),
        }
    }

    fn logins(&self) -> String {
        let mark = |handle: &String| {
            if Some(handle) == self.user.as_ref() {
                format!("*@{handle}")
            } else {
                format!("@{handle}")
            }
        };
        self.users.iter().map(mark).collect::<Vec<_>>().join(" ")
    }
}

impl Show for Shown {
    const COLUMNS: &'static [Column] = &[
        Column::fixed("CURRENT"),
        Column::fixed("NAME"),
        Column::fixed("ENDPOINT"),
        Column::text("LOGINS"),
    ];

    fn id(&self) -> String {
        self.name.clone()
    }

    fn wire(&self) -> impl Serialize {
        self
    }

    fn row(&self, _: Now) -> Vec<Cell> {
        let mark = if self.current { "*" } else { "" };
        vec![
            Cell::plain(mark),
            Cell::strong(&self.name),
            Cell::plain(&self.endpoint),
            Cell::plain(self.logins()),
        ]
    }

    fn card(&self, _: Now) -> Vec<(&'static str, Cell)> {
        let path = |path: &Option<PathBuf>| match path {
            Some(path) => Cell::plain(path.display().to_string()),
            None => Cell::dim("-"),
        };
        vec![
            ("name", Cell::strong(&self.name)),
            ("current", Cell::yes_no(self.current)),
            ("endpoint", Cell::plain(&self.endpoint)),
            ("ca file", path(&self.ca_file)),
            ("admin endpoint", self.admin()),
            ("admin token file", path(&self.admin_token_file)),
            (
                "user",
                self.user
                    .as_ref()
                    .map_or_else(|| Cell::dim("-"), |user| Cell::strong(format!("@{user}"))),
            ),
            ("logins", Cell::plain(self.logins())),
        ]
    }
}
