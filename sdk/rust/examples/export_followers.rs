//! Writes all followers of a user as tab-separated lines. Run it again after it broke off: it goes on where it was.
//!
//! `cargo run -p social-sdk --example export_followers -- HANDLE PASSWORD USER FILE [ENDPOINT]`

use std::fs::{self, OpenOptions};
use std::io::Write;

use social_sdk::{Client, DEFAULT_ENDPOINT, TryStreamExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [handle, password, user, path, rest @ ..] = args.as_slice() else {
        return Err("usage: export_followers HANDLE PASSWORD USER FILE [ENDPOINT]".into());
    };
    let endpoint = rest.first().map_or(DEFAULT_ENDPOINT, String::as_str);
    run(handle, password, user, path, endpoint).await
}

pub(crate) async fn run(
    handle: &str,
    password: &str,
    user: &str,
    path: &str,
    endpoint: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::builder().endpoint(endpoint).build()?;
    client.auth().login(handle, password).device_name("export").await?;
    let user = client.users().get_by_handle(user).await?;

    let cursor_path = format!("{path}.cursor");
    let mut export = client.graph().stream_followers(&user.id);
    if let Ok(cursor) = fs::read_to_string(&cursor_path) {
        export = export.resume_from(cursor);
    }
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let mut chunks = export.chunks();
    while let Some(chunk) = chunks.try_next().await? {
        for follower in chunk.followers.into_iter().filter_map(|edge| edge.user) {
            writeln!(file, "{}\t{}\t{}", follower.id, follower.handle, follower.display_name)?;
        }
        // The lines first, then the cursor: a crash in between repeats a chunk and loses none.
        file.sync_data()?;
        fs::write(&cursor_path, chunk.resume_cursor)?;
    }
    let _ = fs::remove_file(cursor_path);
    client.auth().logout().await?;
    Ok(())
}
