//! Watches a home timeline, and goes on in the next run where this one ends.
//!
//! `cargo run -p social-sdk --example watch -- HANDLE PASSWORD [ENDPOINT]`

use std::fs;
use std::path::Path;

use social_sdk::{Client, DEFAULT_ENDPOINT, FileTokenStore, HomeEvent, TryStreamExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (handle, password) = args
        .next()
        .zip(args.next())
        .ok_or("usage: watch HANDLE PASSWORD [ENDPOINT]")?;
    let endpoint = args.next().unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
    run(&handle, &password, &endpoint, Path::new(".")).await
}

/// Keeps tokens and cursor in `folder`.
pub(crate) async fn run(
    handle: &str,
    password: &str,
    endpoint: &str,
    folder: &Path,
) -> Result<(), Box<dyn std::error::Error>> {
    let cursor_path = folder.join("watch.cursor");
    let store = FileTokenStore::new(folder.join("watch.tokens"));
    let client = Client::builder().endpoint(endpoint).token_store(store).build()?;
    if client.credentials().is_none_or(|known| known.handle() != handle) {
        client.auth().login(handle, password).device_name("watch").await?;
        // A cursor is good for the user that it was issued to.
        let _ = fs::remove_file(&cursor_path);
    }

    let mut subscription = client.timeline().subscribe();
    if let Ok(cursor) = fs::read_to_string(&cursor_path) {
        subscription = subscription.resume_from(cursor);
    }
    let mut stream = subscription.stream();
    while let Some(event) = stream.try_next().await? {
        match event {
            HomeEvent::Connected { reconnected } => println!("-- connected{}", if reconnected { " again" } else { "" }),
            HomeEvent::Reconnecting(lost) => println!("-- lost ({}), again in {:?}", lost.cause, lost.delay),
            HomeEvent::Added { item, late } => {
                let post = item.post.unwrap_or_default();
                let author = post.author.unwrap_or_default();
                println!(
                    "{}@{}: {}",
                    if late { "(late) " } else { "" },
                    author.handle,
                    post.content
                );
            }
            HomeEvent::Removed(ids) => println!("-- no longer there: {}", ids.join(", ")),
            // What came before it was printed, so the next run may start behind it.
            HomeEvent::Checkpoint { cursor } => fs::write(&cursor_path, cursor)?,
            HomeEvent::Gap => println!("-- too slow, catching up"),
            HomeEvent::Reset => println!("-- too long away: read the home timeline anew"),
            _ => {}
        }
    }
    Ok(())
}
