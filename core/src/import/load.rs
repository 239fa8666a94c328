//! Loading items: checked one by one, committed a batch at a time.

use std::collections::HashMap;

use uuid::Uuid;

use super::{ImportBatch, ImportFollow, ImportOutcome, ImportPost, ImportProgress};
use crate::auth;
use crate::backend::Backend;
use crate::clock::Time;
use crate::error::{Error, Reason, Result};
use crate::id::{EPOCH_UNIX_MS, PostId, UserId};
use crate::limits;
use crate::posts::Visibility;
use crate::text;
use crate::users::{Handle, NewUser};

/// A user named by id or by handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// By id.
    Id(UserId),
    /// By handle.
    Handle(Handle),
}

/// An account to import.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserItem {
    /// Its handle.
    pub handle: String,
    /// The name that people read; the handle where empty.
    pub display_name: String,
    /// A few words about the person.
    pub bio: String,
    /// Its argon2id hash in PHC form; empty for an account that cannot log in.
    pub password_hash: String,
    /// When it was made; now where absent.
    pub created_at: Option<Time>,
}

/// A post to import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostItem {
    /// Its author.
    pub author: Result<Who>,
    /// A headline; empty for none.
    pub title: String,
    /// The text.
    pub content: String,
    /// Who may see it.
    pub visibility: Result<Visibility>,
    /// The post that it replies to.
    pub in_reply_to: Result<Option<PostId>>,
    /// When it was written; now where absent.
    pub created_at: Option<Time>,
}

/// A follow to import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowItem {
    /// Who follows.
    pub follower: Result<Who>,
    /// Whom.
    pub followee: Result<Who>,
    /// Since when; now where absent.
    pub created_at: Option<Time>,
}

/// The id of an import. INVALID_FIELD `import_id`.
pub fn import_id(text: &str) -> Result<Uuid> {
    Uuid::parse_str(text)
        .ok()
        .filter(|id| !id.is_nil())
        .ok_or_else(|| Error::field("import_id", "must be a UUID, the same for all messages of one import"))
}

/// How far an import has come. IMPORT_NOT_FOUND.
pub async fn progress(backend: &Backend, import: Uuid) -> Result<ImportProgress> {
    let found = backend.store.import_progress(import).await?;
    found.ok_or_else(|| {
        Error::new(
            Reason::ImportNotFound,
            "no such import: nothing was committed under this id",
        )
    })
}

/// Commits a batch of accounts. INVALID_FIELD (`users`, `offset`, `import_id`); an item at fault is rejected by itself.
pub async fn users(backend: &Backend, import: Uuid, offset: u64, items: Vec<UserItem>) -> Result<ImportOutcome> {
    check_size("users", items.len())?;
    let now = backend.clock.now();
    let items = items.into_iter().map(|item| new_user(item, now)).collect();
    backend.store.import_users(ImportBatch { import, offset, items }).await
}

fn new_user(item: UserItem, now: Time) -> Result<NewUser> {
    let handle: Handle = item.handle.parse()?;
    let display_name = if item.display_name.is_empty() {
        handle.as_str().to_owned()
    } else {
        text::tidied(item.display_name)
    };
    let bio = text::tidied(item.bio);
    text::display_name("display_name", &display_name)?;
    if !bio.is_empty() {
        text::bio("bio", &bio)?;
    }
    let password = match item.password_hash.as_str() {
        "" => None,
        phc => Some(auth::passwords::parse_phc("password_hash", phc)?),
    };
    let created_at = Some(past(item.created_at, now)?);
    Ok(NewUser {
        handle,
        display_name,
        bio,
        password,
        created_at,
    })
}

/// Commits a batch of posts. INVALID_FIELD (`posts`, `offset`, `import_id`); an item at fault is rejected by itself.
pub async fn posts(backend: &Backend, import: Uuid, offset: u64, items: Vec<PostItem>) -> Result<ImportOutcome> {
    check_size("posts", items.len())?;
    let named = items.iter().filter_map(|item| item.author.as_ref().ok());
    let directory = Directory::load(backend, named).await?;
    let now = backend.clock.now();
    let mut checked = Vec::with_capacity(items.len());
    for item in items {
        checked.push(match new_post(backend, item, &directory, now).await {
            Err(error) if error.is_transient() => return Err(error),
            decided => decided,
        });
    }
    backend
        .store
        .import_posts(ImportBatch {
            import,
            offset,
            items: checked,
        })
        .await
}

async fn new_post(backend: &Backend, item: PostItem, directory: &Directory, now: Time) -> Result<ImportPost> {
    let author = directory.find("author", &item.author?)?;
    let (content, title) = (text::tidied(item.content), text::tidied(item.title));
    text::post_content("content", &content)?;
    if !title.is_empty() {
        text::post_title("title", &title)?;
    }
    Ok(ImportPost {
        author,
        facets: text::facets(backend.store.as_ref(), &content).await?,
        title: (!title.is_empty()).then_some(title),
        content,
        visibility: item.visibility?,
        in_reply_to: item.in_reply_to?,
        created_at: past(item.created_at, now)?,
    })
}

/// Commits a batch of follows. INVALID_FIELD (`follows`, `offset`, `import_id`); an item at fault is rejected by itself.
pub async fn follows(backend: &Backend, import: Uuid, offset: u64, items: Vec<FollowItem>) -> Result<ImportOutcome> {
    check_size("follows", items.len())?;
    let named = items
        .iter()
        .flat_map(|item| [&item.follower, &item.followee])
        .filter_map(|who| who.as_ref().ok());
    let directory = Directory::load(backend, named).await?;
    let now = backend.clock.now();
    let items = items
        .into_iter()
        .map(|item| new_follow(item, &directory, now))
        .collect();
    backend
        .store
        .import_follows(ImportBatch { import, offset, items })
        .await
}

fn new_follow(item: FollowItem, directory: &Directory, now: Time) -> Result<ImportFollow> {
    let follower = directory.find("follower", &item.follower?)?;
    let followee = directory.find("followee", &item.followee?)?;
    if follower == followee {
        return Err(Error::field("followee", "must be another user than the follower"));
    }
    Ok(ImportFollow {
        follower,
        followee,
        created_at: past(item.created_at, now)?,
    })
}

/// Ends a run of imports: readers see what was imported from now on.
pub async fn finish(backend: &Backend) -> Result<()> {
    // In this order: a cursor of the new era must stand on a timeline that holds what was imported.
    backend.timelines.forget_all().await?;
    backend.store.seal_imports().await
}

/// The users that a batch names, looked up together.
struct Directory {
    ids: HashMap<UserId, bool>,
    handles: HashMap<Handle, Option<UserId>>,
}

impl Directory {
    async fn load(backend: &Backend, named: impl Iterator<Item = &Who>) -> Result<Self> {
        let (mut ids, mut handles) = (Vec::new(), Vec::new());
        for who in named {
            match who {
                Who::Id(id) => ids.push(*id),
                Who::Handle(handle) => handles.push(handle.clone()),
            }
        }
        let users = backend.store.users(&ids).await?;
        let found = backend.store.user_ids(&handles).await?;
        Ok(Self {
            ids: ids.into_iter().zip(users.iter().map(Option::is_some)).collect(),
            handles: handles.into_iter().zip(found).collect(),
        })
    }

    fn find(&self, field: &str, who: &Who) -> Result<UserId> {
        let found = match who {
            Who::Id(id) => Some(*id).filter(|id| self.ids.get(id) == Some(&true)),
            Who::Handle(handle) => self.handles.get(handle).copied().flatten(),
        };
        found.ok_or_else(|| Error::user_not_found().violation(field, "no such user: import users first"))
    }
}

fn past(time: Option<Time>, now: Time) -> Result<Time> {
    let time = time.unwrap_or(now);
    if time > now || time < Time::from_unix_ms(EPOCH_UNIX_MS) {
        return Err(Error::field("create_time", "must be between 2006-01-01 and now"));
    }
    Ok(time)
}

fn check_size(field: &str, items: usize) -> Result<()> {
    if (1..=limits::IMPORT_BATCH).contains(&items) {
        return Ok(());
    }
    Err(Error::field(
        field,
        format!("must hold 1 to {} items a message", limits::IMPORT_BATCH),
    ))
}
