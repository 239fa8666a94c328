//! What every command works with: the chosen context, clients for it, and where results go.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Duration;

use social_sdk::{Client, ClientBuilder, DEFAULT_ENDPOINT, List, Paged, TryStreamExt as _, UserId, v1};

use crate::args::{Global, PAGE_SIZE_MAX, Paging};
use crate::context::store::{Context, Contexts, DEFAULT_CONTEXT, Store, UserTokens};
use crate::failure::{Exit, Failure, Result};
use crate::login::Login;
use crate::output::{Format, Output, Show};

/// The state of one run.
#[derive(Debug)]
pub(crate) struct App {
    /// Where results go.
    pub(crate) output: Output,
    /// The file of contexts.
    pub(crate) contexts: Store,
    global: Global,
    login: OnceLock<Login>,
}

/// The context that a command uses.
#[derive(Clone, Debug)]
pub(crate) struct Selected {
    /// Its name; it may not be in the file yet.
    pub(crate) name: String,
    /// The context itself.
    pub(crate) context: Context,
    /// Handle of the user whom the command acts for.
    pub(crate) handle: Option<String>,
}

impl App {
    /// Reads the options that all commands share.
    pub(crate) fn new(global: Global) -> Result<Self> {
        let path = match &global.config {
            Some(path) => path.clone(),
            None => Store::default_path()?,
        };
        let output = Output::new(global.output, global.colour, global.quiet);
        Ok(Self {
            output,
            contexts: Store::new(path),
            global,
            login: OnceLock::new(),
        })
    }

    /// The context that this run uses, and whom it acts for.
    pub(crate) fn selected(&self) -> Result<Selected> {
        let mut selected = self.place()?;
        if let Some(handle) = &self.global.as_user {
            selected.handle = Some(logged_in(&selected.name, &selected.context, handle)?);
        }
        Ok(selected)
    }

    /// The context that this run uses, whatever --as says: for what makes a login, or needs none.
    pub(crate) fn place(&self) -> Result<Selected> {
        let contexts = self.contexts.load()?;
        let (name, context) = choose(
            &contexts,
            self.global.context.as_deref(),
            self.global.endpoint.as_deref(),
        )?;
        let handle = context.user.clone();
        Ok(Selected { name, context, handle })
    }

    /// What a failure means for the login that was used.
    pub(crate) fn settle(&self, failure: Failure) -> Failure {
        match self.login.get() {
            Some(login) => login.settle(failure),
            None => failure,
        }
    }

    /// The login that this run used, once there was a client for it.
    pub(crate) fn login(&self) -> Option<&Login> {
        self.login.get()
    }

    /// What --endpoint says.
    pub(crate) fn endpoint(&self) -> Option<&str> {
        self.global.endpoint.as_deref()
    }

    /// What --as says, when it was typed: what the environment says is meant for every command.
    pub(crate) fn typed_as(&self) -> Option<&str> {
        self.global.as_user.as_deref().filter(|_| self.global.as_typed)
    }

    /// Whether --deadline was given.
    pub(crate) fn has_deadline(&self) -> bool {
        self.global.deadline.is_some()
    }

    /// A client of the chosen context, for its user if somebody is logged in.
    pub(crate) fn client(&self) -> Result<Client> {
        let Selected { name, context, handle } = self.selected()?;
        let builder = self.builder(&context, &context.endpoint)?;
        let Some(handle) = handle else {
            return Ok(builder.build()?);
        };
        let tokens = UserTokens::new(self.contexts.clone(), name.clone(), handle.clone());
        let client = builder.token_store(tokens).build()?;
        if let Some(credentials) = client.credentials() {
            self.login.get_or_init(|| Login {
                store: self.contexts.clone(),
                context: name,
                endpoint: context.endpoint,
                handle,
                session: credentials.session_id(),
            });
        }
        Ok(client)
    }

    /// A client of the chosen context that knows no user.
    pub(crate) fn anonymous(&self, selected: &Selected) -> Result<Client> {
        Ok(self.builder(&selected.context, &selected.context.endpoint)?.build()?)
    }

    /// Where every client of a context begins.
    pub(crate) fn builder(&self, context: &Context, endpoint: &str) -> Result<ClientBuilder> {
        if travels_in_the_clear(endpoint) {
            self.output.warn(&format!(
                "warning: {endpoint} is not encrypted; passwords and tokens can be read on the way"
            ));
        }
        let mut builder = Client::builder()
            .endpoint(endpoint)
            .user_agent(concat!("socialctl/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &context.ca_file {
            builder = builder.ca_pem(read_certificates(path)?);
        }
        if let Some(seconds) = self.global.deadline {
            builder = builder.timeout(Duration::from_secs(seconds));
        }
        Ok(builder)
    }

    /// Reads and prints a list, a page or all of it. `field` is the name of the items in JSON.
    pub(crate) async fn list<M>(&self, list: List<M>, field: &str, paging: &Paging) -> Result<()>
    where
        M: Paged,
        M::Item: Show,
    {
        let list = paging.apply(list);
        if !paging.all {
            let page = list.page().await?;
            let next = M::next_page_token(&page).to_owned();
            self.output.list(field, &M::items(page), &next)?;
            return self.more(&next);
        }
        // The formats of lines are written as they come; the others need all of it.
        let as_they_come = matches!(self.output.format(), Format::Jsonl | Format::Id);
        let mut gathered = Vec::new();
        let mut pages = list.pages();
        while let Some(page) = pages.try_next().await? {
            gathered.extend(M::items(page));
            if as_they_come {
                self.output.list(field, &gathered, "")?;
                gathered.clear();
            }
        }
        if as_they_come {
            Ok(())
        } else {
            self.output.list(field, &gathered, "")
        }
    }

    /// Says how to go on behind a page.
    pub(crate) fn more(&self, next_page_token: &str) -> Result<()> {
        match next_page_token {
            "" => Ok(()),
            token => self.output.note(&format!("more: --page-token {token}, or --all")),
        }
    }
}

impl Paging {
    /// Puts the options into a list.
    pub(crate) fn apply<M: Paged>(&self, mut list: List<M>) -> List<M> {
        // Who wants all of it is served best by the largest pages, which the server cuts to its maximum.
        if let Some(items) = self.page_size.or(self.all.then_some(PAGE_SIZE_MAX)) {
            list = list.page_size(items);
        }
        match &self.page_token {
            Some(token) => list.page_token(token),
            None => list,
        }
    }
}

/// The certificates in a file, which must be there and hold some.
pub(crate) fn read_certificates(path: &Path) -> Result<Vec<u8>> {
    let pem = fs::read(path).map_err(|error| Failure::file("read", path, &error))?;
    // The SDK knows what a certificate is.
    let tried = Client::builder()
        .endpoint("https://localhost")
        .ca_pem(pem.clone())
        .build();
    match tried {
        Ok(_) => Ok(pem),
        Err(_) => Err(Failure::usage(format!("{} holds no certificates", path.display()))
            .hint("name the PEM file of the server's certificate, or of the authority that signed it, with --ca-file")),
    }
}

fn choose(contexts: &Contexts, name: Option<&str>, endpoint: Option<&str>) -> Result<(String, Context)> {
    let known = |name: &str| contexts.contexts.get(name).cloned();
    let Some(endpoint) = endpoint else {
        let name = name.unwrap_or(contexts.current());
        return match known(name) {
            Some(context) => Ok((name.to_owned(), context)),
            None if name == DEFAULT_CONTEXT => Ok((name.to_owned(), Context::new(DEFAULT_ENDPOINT))),
            None => Err(
                Failure::new(Exit::NotFound, format!("there is no context {name}")).hint(format!(
                    "`socialctl context list` lists them; `socialctl context set {name} --endpoint URL` makes it"
                )),
            ),
        };
    };
    if let Some(name) = name {
        return match known(name) {
            Some(context) if context.endpoint != endpoint => Err(Failure::usage(format!(
                "context {name} has the endpoint {}, not {endpoint}",
                context.endpoint
            ))
            .hint("leave --context or --endpoint out; tokens of one server are never sent to another")),
            Some(context) => Ok((name.to_owned(), context)),
            None => Ok((name.to_owned(), Context::new(endpoint))),
        };
    }
    let current = contexts.contexts.get_key_value(contexts.current()).into_iter();
    let found = current
        .chain(&contexts.contexts)
        .find(|(_, context)| context.endpoint == endpoint);
    Ok(match found {
        Some((name, context)) => (name.clone(), context.clone()),
        None if contexts.contexts.is_empty() && endpoint == DEFAULT_ENDPOINT => {
            (DEFAULT_CONTEXT.to_owned(), Context::new(endpoint))
        }
        None => (authority(endpoint).to_owned(), Context::new(endpoint)),
    })
}

fn logged_in(name: &str, context: &Context, handle: &str) -> Result<String> {
    let handle = plain_handle(handle);
    if context.users.contains_key(&handle) {
        return Ok(handle);
    }
    Err(Failure::new(
        Exit::Unauthenticated,
        format!("@{handle} is not logged in in context {name}"),
    )
    .hint(format!("log in with `socialctl --context {name} auth login {handle}`")))
}

/// Host and port of a URL.
fn authority(endpoint: &str) -> &str {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

fn travels_in_the_clear(endpoint: &str) -> bool {
    endpoint.starts_with("http://") && !is_loopback(endpoint)
}

/// Whether a URL leads to this machine by its very text.
pub(crate) fn is_loopback(endpoint: &str) -> bool {
    let authority = authority(endpoint);
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => authority.split(':').next().unwrap_or(authority),
    };
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// A handle as the server writes it: without `@`, in lower case.
pub(crate) fn plain_handle(handle: &str) -> String {
    handle.trim().trim_start_matches('@').to_ascii_lowercase()
}

/// A user on the command line: `@ada` or `ada`, an id, or `me`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UserRef {
    /// Who is logged in. No handle is that short.
    Me,
    /// By handle.
    Handle(String),
    /// By id. Ids begin with a digit, handles never do.
    Id(UserId),
}

impl FromStr for UserRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "me" => return Ok(Self::Me),
            _ if text.starts_with(|c: char| c.is_ascii_digit()) => {
                return text.parse().map(Self::Id).map_err(|error| format!("an id {error}"));
            }
            _ => {}
        }
        let handle = plain_handle(text);
        let letters = handle
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if letters && (3..=30).contains(&handle.len()) && handle.starts_with(|c: char| c.is_ascii_lowercase()) {
            Ok(Self::Handle(handle))
        } else {
            Err("must be `me`, an id, or a handle: 3 to 30 of a-z, 0-9 and _, the first one a letter".to_owned())
        }
    }
}

impl fmt::Display for UserRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Me => f.write_str("me"),
            Self::Handle(handle) => write!(f, "@{handle}"),
            Self::Id(id) => id.fmt(f),
        }
    }
}

impl UserRef {
    /// The user's profile.
    pub(crate) async fn profile(&self, client: &Client) -> Result<v1::User> {
        Ok(match self {
            Self::Me => client.users().get(my_id(client)?).await?,
            Self::Handle(handle) => client.users().get_by_handle(handle).await?,
            Self::Id(id) => client.users().get(id).await?,
        })
    }

    /// The user's id; a handle is looked up.
    pub(crate) async fn id(&self, client: &Client) -> Result<UserId> {
        match self {
            Self::Me => my_id(client),
            Self::Id(id) => Ok(*id),
            Self::Handle(_) => {
                let id = self.profile(client).await?.id;
                id.parse()
                    .map_err(|error| Failure::new(Exit::Internal, format!("the id in the server's answer {error}")))
            }
        }
    }
}

fn my_id(client: &Client) -> Result<UserId> {
    client.user_id().ok_or_else(|| {
        Failure::new(Exit::Unauthenticated, "nobody is logged in, so `me` is nobody")
            .hint("log in with `socialctl auth login HANDLE`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contexts() -> Contexts {
        let mut contexts = Contexts {
            current: Some("home".into()),
            ..Contexts::default()
        };
        for (name, endpoint) in [
            ("away", "http://away:1"),
            ("home", "http://home:1"),
            ("twin", "http://away:1"),
        ] {
            contexts.contexts.insert(name.into(), Context::new(endpoint));
        }
        contexts
    }

    fn chosen(name: Option<&str>, endpoint: Option<&str>) -> (String, String) {
        let (name, context) = choose(&contexts(), name, endpoint).expect("a context");
        (name, context.endpoint)
    }

    #[test]
    fn a_context_is_chosen_by_name_by_endpoint_or_is_the_current_one() {
        let pair = |name: &str, endpoint: &str| (name.to_owned(), endpoint.to_owned());
        assert_eq!(chosen(None, None), pair("home", "http://home:1"));
        assert_eq!(chosen(Some("twin"), None), pair("twin", "http://away:1"));
        assert_eq!(chosen(None, Some("http://away:1")), pair("away", "http://away:1"));
        assert_eq!(chosen(None, Some("http://new:7")), pair("new:7", "http://new:7"));
        assert_eq!(chosen(Some("made"), Some("http://new:7")), pair("made", "http://new:7"));
        assert_eq!(chosen(Some("default"), None), pair("default", DEFAULT_ENDPOINT));
    }

    #[test]
    fn tokens_of_one_server_are_never_sent_to_another() {
        let failure = choose(&contexts(), Some("home"), Some("http://away:1")).expect_err("refused");
        assert_eq!(failure.exit(), Exit::Usage);
        assert_eq!(
            choose(&contexts(), Some("nowhere"), None).expect_err("refused").exit(),
            Exit::NotFound
        );
    }

    #[test]
    fn users_are_named_by_handle_id_or_me() {
        assert_eq!("@Ada".parse(), Ok(UserRef::Handle("ada".into())));
        assert_eq!("ada".parse(), Ok(UserRef::Handle("ada".into())));
        assert_eq!("me".parse(), Ok(UserRef::Me));
        assert!(matches!("2q3k5v7x9z1aa".parse(), Ok(UserRef::Id(_))));
        for wrong in ["", "ab", "a b c", "2short", "_ada", "ünder"] {
            assert!(wrong.parse::<UserRef>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn plain_http_is_fine_at_home_only() {
        for fine in [
            "http://127.0.0.1:1",
            "http://localhost:1",
            "http://[::1]:1",
            "https://social.example",
        ] {
            assert!(!travels_in_the_clear(fine), "{fine}");
        }
        assert!(travels_in_the_clear("http://social.example:50051"));
    }
}
