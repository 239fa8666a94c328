//! Bringing an archive into an empty platform.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::{Batch, FORMAT, Header, Progress, Record, Restored};
use crate::backend::Backend;
use crate::error::{Error, Reason, Result};
use crate::id::{self, PostId, UserId};
use crate::import;
use crate::limits;
use crate::posts::Post;

/// How far the import of an archive has come. IMPORT_NOT_FOUND.
pub async fn progress(backend: &Backend, archive: Uuid) -> Result<Progress> {
    let found = backend.store.archive().await?;
    found
        .filter(|progress| progress.header.archive == archive)
        .ok_or_else(|| {
            Error::new(
                Reason::ImportNotFound,
                "no such import: nothing of this archive is stored here",
            )
        })
}

/// Stores a batch, or finds it stored. The platform must have been empty when the first one came.
///
/// INVALID_FIELD (`header`, `offset`, `records`), PLATFORM_NOT_EMPTY, ARCHIVE_CONFLICT.
pub async fn restore(backend: &Backend, mut batch: Batch) -> Result<Restored> {
    check_header(backend, &batch.header)?;
    check_bounds(&batch)?;
    check_targets(backend, &mut batch).await?;
    backend.store.restore(batch).await
}

/// Ends a run of batches: readers see what was stored from now on.
pub async fn finish(backend: &Backend) -> Result<()> {
    import::finish(backend).await
}

fn check_header(backend: &Backend, header: &Header) -> Result<()> {
    if header.format != FORMAT {
        let hint = format!("is {}; this server reads archives of format {FORMAT}", header.format);
        return Err(Error::field("header.format", hint));
    }
    let now = backend.clock.now();
    // Ids that are minted from now on must be above: the clock, which they are made of, must have come so far, or nearly.
    if header.bound > id::floor_at(now.plus(limits::ARCHIVE_AHEAD)) {
        let ahead = id::minted_at(header.bound).since(now);
        let hint = format!(
            "lies {} s ahead of this platform's clock: compare the clocks of both, or import again after that time",
            ahead.as_secs()
        );
        return Err(Error::field("header.bound_id", hint));
    }
    Ok(())
}

fn check_bounds(batch: &Batch) -> Result<()> {
    if batch.records.len() > limits::IMPORT_BATCH {
        let hint = format!("must hold at most {} records a message", limits::IMPORT_BATCH);
        return Err(Error::field("records", hint));
    }
    for (number, record) in batch.records.iter().enumerate() {
        let Some(record) = record else { continue };
        if record.newest_id() >= batch.header.bound {
            return Err(refuse(number, "", "holds an id that is not below header.bound_id"));
        }
        if let Record::Edge(edge) = record
            && edge.from == edge.to
        {
            return Err(refuse(number, ".edge.to_id", "must be another user than from_id"));
        }
    }
    Ok(())
}

/// What the records of a batch point to: all of it must be here, or come before them.
struct Targets {
    users: HashSet<UserId>,
    posts: HashMap<PostId, Arc<Post>>,
}

/// Refuses a record that points to nothing. A revision of a post that is no earlier one of it (the post was edited, or came, after it was
/// exported) is left out.
async fn check_targets(backend: &Backend, batch: &mut Batch) -> Result<()> {
    let mut targets = Targets::load(backend, &batch.records).await?;
    for (number, slot) in batch.records.iter_mut().enumerate() {
        let Some(record) = slot else { continue };
        match record {
            Record::Policy(_) => {}
            Record::User(person) => {
                targets.users.insert(person.user.id);
            }
            Record::Post(post) => {
                targets.user(post.author, number, ".post.author_id")?;
                targets.posts.insert(post.id, Arc::clone(post));
            }
            Record::Revision { post, revision } => {
                if !targets.is_earlier(*post, revision.number) {
                    *slot = None;
                }
            }
            Record::Comment(comment) => {
                targets.post(comment.post, number, ".comment.post_id")?;
                targets.user(comment.author, number, ".comment.author_id")?;
            }
            Record::Like(like) => {
                targets.post(like.post, number, ".like.post_id")?;
                targets.user(like.user, number, ".like.user_id")?;
            }
            Record::Edge(edge) => {
                targets.user(edge.from, number, ".edge.from_id")?;
                targets.user(edge.to, number, ".edge.to_id")?;
            }
        }
    }
    Ok(())
}

impl Targets {
    async fn load(backend: &Backend, records: &[Option<Record>]) -> Result<Self> {
        let (mut users, mut posts) = (HashSet::new(), HashSet::new());
        for record in records.iter().flatten() {
            match record {
                Record::Policy(_) | Record::User(_) => {}
                Record::Post(post) => drop(users.insert(post.author)),
                Record::Revision { post, .. } => drop(posts.insert(*post)),
                Record::Comment(comment) => {
                    users.insert(comment.author);
                    posts.insert(comment.post);
                }
                Record::Like(like) => {
                    users.insert(like.user);
                    posts.insert(like.post);
                }
                Record::Edge(edge) => users.extend([edge.from, edge.to]),
            }
        }
        let (users, posts): (Vec<_>, Vec<_>) = (users.into_iter().collect(), posts.into_iter().collect());
        let (users, posts) = (backend.store.users(&users).await?, backend.store.posts(&posts).await?);
        Ok(Self {
            users: users.into_iter().flatten().map(|user| user.id).collect(),
            posts: posts.into_iter().flatten().map(|post| (post.id, post)).collect(),
        })
    }

    fn user(&self, id: UserId, number: usize, field: &str) -> Result<()> {
        if self.users.contains(&id) {
            return Ok(());
        }
        Err(refuse(number, field, "is of no user: users come before what they made"))
    }

    fn post(&self, id: PostId, number: usize, field: &str) -> Result<()> {
        if self.posts.contains_key(&id) {
            return Ok(());
        }
        Err(refuse(
            number,
            field,
            "is of no post: posts come before what was said of them",
        ))
    }

    /// Whether readers may look this revision up.
    fn is_earlier(&self, post: PostId, number: u32) -> bool {
        self.posts.get(&post).is_some_and(|post| {
            let kept = post.revision.saturating_sub(limits::POST_REVISIONS as u32);
            (kept.max(1)..post.revision).contains(&number)
        })
    }
}

fn refuse(number: usize, field: &str, hint: &str) -> Error {
    Error::field(format!("records[{number}]{field}"), hint)
}
