//! Posts, and their way to the followers.

use std::time::{Duration, SystemTime};

use social_sdk::v1::FanoutState;
use social_sdk::{AdminClient, Client, v1};
use tokio::time::{Instant, sleep};

use crate::failure::{During as _, Failure, Result};

/// How often a fan-out is asked whether it is done. Seldom, since asking costs what is measured; the answer says when it was.
const POLL: Duration = Duration::from_millis(50);
/// No fan-out here takes so long.
const LIMIT: Duration = Duration::from_secs(600);

/// A fan-out that is done.
#[derive(Clone, Debug)]
pub(crate) struct Delivered {
    pub(crate) post: String,
    /// Home timelines that it was written into.
    pub(crate) delivered: i64,
    /// Followers without a timeline.
    pub(crate) skipped: i64,
    /// When it was done, by the server's account.
    pub(crate) ended: SystemTime,
}

/// From now on every post is written into the timelines of all followers, however many they are.
pub(crate) async fn push_always(admin: &AdminClient) -> Result<()> {
    let policy = admin
        .set_fanout_policy(v1::FanoutMode::Push)
        .await
        .during("the policy")?;
    match policy.mode() {
        v1::FanoutMode::Push => Ok(()),
        other => Err(Failure::new(format!("the policy is {other:?} instead of push"))),
    }
}

/// Publishes a post and waits until it is with all followers.
pub(crate) async fn fan_out(author: &Client, content: String) -> Result<Delivered> {
    let published = author.posts().create(content).await.during("a post")?;
    let fanout = published.fanout_id.unwrap_or_default();
    let posted = published
        .post
        .create_time
        .and_then(|time| SystemTime::try_from(time).ok());
    let posted = posted.ok_or_else(|| Failure::new("a post without a time"))?;
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        sleep(POLL).await;
        let status = author
            .timeline()
            .fanout_status(&*fanout)
            .await
            .during("the state of a fan-out")?;
        match status.state() {
            FanoutState::Done => {
                return Ok(Delivered {
                    post: published.post.id,
                    delivered: status.delivered,
                    skipped: status.skipped,
                    ended: posted + Duration::from_millis(status.lag_ms.max(0) as u64),
                });
            }
            FanoutState::DeadLettered => return Err(Failure::new("a fan-out was given up")),
            _ => {}
        }
    }
    Err(Failure::new(format!(
        "a fan-out is not done after {} s",
        LIMIT.as_secs()
    )))
}
