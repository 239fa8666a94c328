//! `auth`: registration, login, sessions, password.

use clap::{Args, Subcommand};
use serde::Serialize;
use social_sdk::{Client, SessionId, v1};

use crate::app::{App, Selected, UserRef, plain_handle};
use crate::args::Paging;
use crate::failure::{Exit, Failure, Result};
use crate::output::wire::Wire;
use crate::output::{Cell, Column, Facts, Now, Show};
use crate::password::PasswordSource;

/// Verbs of `auth`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an account and log in
    #[command(after_help = "\
The new user is the current one of the context from then on. The password is asked for, unless it comes by --password-stdin or \
SOCIALCTL_PASSWORD.

Examples:
  socialctl auth register alice --display-name 'Alice L.'
  printf '%s\\n' \"$PASSWORD\" | socialctl auth register alice --password-stdin")]
    Register(Register),
    /// Log in; several users can be logged in at once
    #[command(after_help = "\
Who logs in is the current user of the context from then on. The password is asked for, unless it comes by --password-stdin or \
SOCIALCTL_PASSWORD.

Examples:
  socialctl auth login ada
  socialctl auth login grace      # grace is the current user now
  socialctl --as ada post create 'Still here'")]
    Login(Login),
    /// End the session, here and on the server
    #[command(after_help = "Examples:\n  socialctl auth logout\n  socialctl --as grace auth logout")]
    Logout,
    /// Show who is logged in
    #[command(after_help = "Examples:\n  socialctl auth whoami\n  socialctl auth whoami -o id")]
    Whoami,
    /// List your open sessions
    #[command(after_help = "Examples:\n  socialctl auth sessions\n  socialctl auth sessions --all -o json")]
    Sessions(Paging),
    /// End one of your sessions
    #[command(after_help = "Examples:\n  socialctl auth revoke-session 2q3k5v7x9z1aa")]
    RevokeSession {
        /// Id of the session, from `auth sessions`
        session: SessionId,
    },
    /// Change your password; all your other sessions end
    #[command(after_help = "\
Both passwords are asked for, unless they come by --password-stdin, the current one first and the new one in a second line, or by \
SOCIALCTL_PASSWORD and SOCIALCTL_NEW_PASSWORD.

Examples:
  socialctl auth change-password
  printf '%s\\n%s\\n' \"$OLD\" \"$NEW\" | socialctl auth change-password --password-stdin")]
    ChangePassword(PasswordSource),
}

/// `auth register`
#[derive(Debug, Args)]
pub(crate) struct Register {
    /// Handle of the new account: 3 to 30 of a-z, 0-9 and _, the first one a letter
    handle: String,
    /// Name to show; the handle when left out
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    #[command(flatten)]
    device: Device,
    #[command(flatten)]
    password: PasswordSource,
}

/// `auth login`
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// Handle of the account
    handle: String,
    #[command(flatten)]
    device: Device,
    #[command(flatten)]
    password: PasswordSource,
}

#[derive(Debug, Args)]
struct Device {
    /// What `auth sessions` calls this login
    #[arg(long, value_name = "NAME", default_value_t = device_name())]
    device_name: String,
}

/// Runs a verb of `auth`.
pub(crate) async fn run(app: &App, command: Command) -> Result<()> {
    match command {
        Command::Register(args) => register(app, args).await,
        Command::Login(args) => login(app, args).await,
        Command::Logout => logout(app).await,
        Command::Whoami => whoami(app).await,
        Command::Sessions(paging) => {
            app.list(app.client()?.auth().list_sessions(), "sessions", &paging)
                .await
        }
        Command::RevokeSession { session } => revoke(app, session).await,
        Command::ChangePassword(source) => change_password(app, source).await,
    }
}

async fn register(app: &App, args: Register) -> Result<()> {
    let selected = app.place()?;
    let client = app.anonymous(&selected)?;
    let password = args.password.fresh().await?;
    let call = client
        .auth()
        .register(plain_handle(&args.handle), password)
        .device_name(args.device.device_name);
    let user = match args.display_name {
        Some(name) => call.display_name(name).await?,
        None => call.await?,
    };
    keep(app, &selected, &client)?;
    app.output.item(&user)?;
    app.output.note(&format!(
        "logged in as @{} at {}",
        user.handle, selected.context.endpoint
    ))
}

async fn login(app: &App, args: Login) -> Result<()> {
    let selected = app.place()?;
    let client = app.anonymous(&selected)?;
    let password = args.password.current().await?;
    let user = client
        .auth()
        .login(plain_handle(&args.handle), password)
        .device_name(args.device.device_name)
        .await?;
    keep(app, &selected, &client)?;
    app.output.item(&user)?;
    app.output.note(&format!(
        "logged in as @{} at {}",
        user.handle, selected.context.endpoint
    ))
}

/// Writes the tokens of a new login into the context, which is made if it is new, and makes it the current one if it is the first.
fn keep(app: &App, selected: &Selected, client: &Client) -> Result<()> {
    let credentials = client
        .credentials()
        .ok_or_else(|| Failure::new(Exit::Internal, "the login brought no tokens"))?;
    app.contexts.update(|contexts| {
        contexts.current.get_or_insert_with(|| selected.name.clone());
        let context = contexts
            .contexts
            .entry(selected.name.clone())
            .or_insert_with(|| selected.context.clone());
        context.user = Some(credentials.handle().to_owned());
        context.users.insert(credentials.handle().to_owned(), credentials);
        Ok(())
    })
}

async fn logout(app: &App) -> Result<()> {
    let selected = app.selected()?;
    let client = app.client()?;
    let Some(login) = app.login() else {
        return Err(Failure::new(
            Exit::Unauthenticated,
            format!("nobody is logged in in context {}", selected.name),
        ));
    };
    let ended = match client.auth().logout().await {
        Ok(()) => "is logged out at",
        // There is nothing left to end; a login that cannot be used must not be kept against the user's will either.
        Err(error) if error.is_logged_out() => "is forgotten here; there was no such session any more at",
        Err(error) => return Err(error.into()),
    };
    login.forget()?;
    let others = app.contexts.update(|contexts| {
        let Some(context) = contexts.contexts.get_mut(&selected.name) else {
            return Ok(Vec::new());
        };
        let users = &context.users;
        context.user.take_if(|user| !users.contains_key(user));
        Ok(match context.user {
            Some(_) => Vec::new(),
            None => users.keys().cloned().collect(),
        })
    })?;
    app.output
        .note(&format!("@{} {ended} {}", login.handle, selected.context.endpoint))?;
    note_others(app, &selected.name, &others)
}

/// Tells which logins are left where none is the current one.
fn note_others(app: &App, context: &str, others: &[String]) -> Result<()> {
    let Some(first) = others.first() else {
        return Ok(());
    };
    let names: Vec<_> = others.iter().map(|handle| format!("@{handle}")).collect();
    app.output.note(&format!(
        "still logged in: {}; `socialctl context use {context} --user {first}` goes on as one of them",
        names.join(" ")
    ))
}

async fn whoami(app: &App) -> Result<()> {
    let selected = app.selected()?;
    let client = app.client()?;
    if client.credentials().is_none() {
        return Err(Failure::new(
            Exit::Unauthenticated,
            format!("nobody is logged in in context {}", selected.name),
        )
        .hint("log in with `socialctl auth login HANDLE`"));
    }
    let user = UserRef::Me.profile(&client).await?;
    app.output.item(&user)?;
    app.output
        .note(&format!("context {} at {}", selected.name, selected.context.endpoint))
}

async fn revoke(app: &App, session: SessionId) -> Result<()> {
    let client = app.client()?;
    client.auth().revoke_session(session).await?;
    app.output.item(
        &Facts::new(session)
            .labelled("session_id", "session", session.as_str())
            .with("revoked", true),
    )
}

async fn change_password(app: &App, source: PasswordSource) -> Result<()> {
    let client = app.client()?;
    if client.credentials().is_none() {
        return Err(Failure::new(Exit::Unauthenticated, "nobody is logged in")
            .hint("log in with `socialctl auth login HANDLE`"));
    }
    let (current_password, new_password) = source.change().await?;
    let revoked = client.auth().change_password(current_password, new_password).await?;
    app.output.item(
        &Facts::new(revoked.to_string())
            .labelled("password_changed", "password changed", true)
            .labelled("revoked_sessions", "other sessions ended", revoked),
    )
}

fn device_name() -> String {
    let host =
        std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::fs::read_to_string("/etc/hostname"));
    match host.as_deref().map(str::trim) {
        Ok(host) if (1..=30).contains(&host.len()) && !host.contains(char::is_control) => {
            format!("socialctl on {host}")
        }
        _ => "socialctl".to_owned(),
    }
}

impl Show for v1::Session {
    const COLUMNS: &'static [Column] = &[
        Column::text("DEVICE"),
        Column::fixed("OPENED"),
        Column::fixed("LAST USED"),
        Column::fixed("ENDS"),
        Column::fixed("THIS ONE"),
        Column::fixed("ID"),
    ];

    fn id(&self) -> String {
        self.id.clone()
    }

    fn wire(&self) -> impl Serialize {
        Wire(self)
    }

    fn row(&self, now: Now) -> Vec<Cell> {
        vec![
            Cell::strong(&self.device_name),
            Cell::age(now, self.create_time),
            Cell::age(now, self.last_refresh_time),
            Cell::age(now, self.expire_time),
            Cell::yes_no(self.current),
            Cell::dim(&self.id),
        ]
    }

    fn card(&self, now: Now) -> Vec<(&'static str, Cell)> {
        ["device", "opened", "last used", "ends", "this one", "id"]
            .into_iter()
            .zip(self.row(now))
            .collect()
    }
}
