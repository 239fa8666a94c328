//! Who operates a server: a client of its AdminService, and what its refusals mean.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use social_sdk::{AdminClient, Reason};

use crate::app::{App, Selected};
use crate::args::AdminAccess;
use crate::failure::{Exit, Failure, Result};

/// How long admin calls may take unless --deadline says otherwise: a rebuild or a recount works through many rows.
const DEADLINE: Duration = Duration::from_secs(30);

/// A client of an AdminService, and where that is.
#[derive(Debug)]
pub(crate) struct Operator {
    /// The client.
    pub(crate) client: AdminClient,
    endpoint: String,
    token_file: PathBuf,
}

impl Operator {
    /// For the server of the chosen context, unless the options say otherwise. Logins do not matter.
    pub(crate) fn new(app: &App, access: &AdminAccess) -> Result<Self> {
        let selected = app.place()?;
        let endpoint = endpoint(&selected, access)?;
        let path = token_file(&selected, access)?;
        let token = fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, &error))?;
        let builder = app.builder(&selected.context, &endpoint)?;
        let builder = if app.has_deadline() {
            builder
        } else {
            builder.timeout(DEADLINE)
        };
        let client = builder.build_admin(read_token(&path, &token)?)?;
        Ok(Self {
            client,
            endpoint,
            token_file: path,
        })
    }

    /// What helps users does not help operators: says what a refusal means at this port.
    pub(crate) fn explain(&self, failure: Failure) -> Failure {
        let endpoint = &self.endpoint;
        match (failure.exit(), failure.reason()) {
            (Exit::Unauthenticated, Some(Reason::TokenInvalid | Reason::TokenMissing | Reason::TokenExpired)) => failure
                .because(format!("admin calls go to {endpoint}, with the token in {}", self.token_file.display()))
                .hint("give the token of this very server: the file `admin.token` of its data folder, with --admin-token-file"),
            (_, Some(Reason::Unimplemented)) => failure
                .because(format!("{endpoint} answers, but is no admin port, or one of an older server"))
                .hint("name the URL of the admin port with --admin-endpoint; a server prints it when it starts"),
            (_, Some(Reason::PostNotFound)) => failure.hint("check the id: no post was ever stored under it at this server"),
            (Exit::Unavailable, Some(_)) => failure.because(format!("admin calls go to {endpoint}")),
            _ => failure,
        }
    }
}

fn endpoint(selected: &Selected, access: &AdminAccess) -> Result<String> {
    let Selected { name, context, .. } = selected;
    let given = access.admin_endpoint.clone().or_else(|| context.admin_endpoint());
    given.ok_or_else(|| {
        Failure::usage(format!(
            "context {name} does not say where the AdminService of {} is",
            context.endpoint
        ))
        .hint(format!(
            "name it with --admin-endpoint, or once and for all with `socialctl context set {name} --admin-endpoint URL`"
        ))
    })
}

/// What the file holds, if that can be a token: one word. Anything else is not sent anywhere.
fn read_token<'a>(path: &Path, text: &'a str) -> Result<&'a str> {
    let token = text.trim();
    if token.is_empty() || token.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(Failure::usage(format!("{} holds no admin token", path.display()))
            .hint("name the file `admin.token` of the server's data folder with --admin-token-file"));
    }
    Ok(token)
}

fn token_file(selected: &Selected, access: &AdminAccess) -> Result<PathBuf> {
    let Selected { name, context, .. } = selected;
    let given = access.admin_token_file.as_ref().or(context.admin_token_file.as_ref());
    given.cloned().ok_or_else(|| {
        Failure::new(Exit::Unauthenticated, "admin commands need the server's admin token").hint(format!(
            "name the file `admin.token` of the server's data folder (social-data, or social-dev in dev mode) with \
             --admin-token-file, or once and for all with `socialctl context set {name} --admin-token-file FILE`"
        ))
    })
}
