//! Two people meet: register, post, follow, like, comment, read home.
//!
//! `cargo run -p social-sdk --example quickstart -- [ENDPOINT]`

use std::time::Duration;

use social_sdk::{Client, DEFAULT_ENDPOINT, Error, TryStreamExt, Uuid};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let endpoint = std::env::args().nth(1).unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
    run(&endpoint).await
}

pub(crate) async fn run(endpoint: &str) -> Result<(), Error> {
    // Handles that nobody has yet, so that this can be run again.
    let suffix = &Uuid::new_v4().simple().to_string()[..8];
    let ann = register(endpoint, &format!("ann_{suffix}")).await?;
    let bob = register(endpoint, &format!("bob_{suffix}")).await?;

    let posted = ann.posts().create("Hello, #world!").title("First post").await?;
    println!("ann posted {}", posted.post.id);

    let author = &posted.post.author.unwrap_or_default().id;
    let relationship = bob.graph().follow(author).await?;
    println!("bob follows ann: {}", relationship.following);
    bob.likes().like(&posted.post.id).await?;
    let comment = bob.comments().create(&posted.post.id, "Welcome!").await?;
    ann.comments()
        .create(&posted.post.id, "Thank you.")
        .parent(&comment.id)
        .await?;

    let news = ann.posts().create("A second one, for my follower.").await?;
    if let Some(fanout_id) = news.fanout_id {
        let status = ann
            .timeline()
            .wait_for_fanout(fanout_id, Duration::from_secs(10))
            .await?;
        println!(
            "it reached {} follower(s) within {} ms",
            status.delivered, status.lag_ms
        );
    }

    let mut home = bob.timeline().home().stream();
    while let Some(item) = home.try_next().await? {
        let post = item.post.unwrap_or_default();
        let counts = post.counts.unwrap_or_default();
        println!(
            "{}: {} ({} likes, {} comments)",
            post.id, post.content, counts.likes, counts.comments
        );
    }
    Ok(())
}

async fn register(endpoint: &str, handle: &str) -> Result<Client, Error> {
    let client = Client::builder().endpoint(endpoint).build()?;
    client
        .auth()
        .register(handle, "correct horse battery")
        .device_name("quickstart")
        .await?;
    Ok(client)
}
