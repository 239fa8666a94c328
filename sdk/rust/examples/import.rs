//! Brings users in from tab-separated lines (`handle`, `display name`, argon2id hash of the password or nothing). Run it
//! again with the same import id after it broke off: it goes on where it was.
//!
//! `cargo run -p social-sdk --example import -- TOKEN_FILE IMPORT_ID FILE [ADMIN_ENDPOINT]`

use std::fs::{self, File};
use std::io::{BufRead, BufReader};

use futures::stream;
use social_sdk::{AdminClient, DEFAULT_ADMIN_ENDPOINT, Uuid, v1};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [token_file, import_id, path, rest @ ..] = args.as_slice() else {
        return Err("usage: import TOKEN_FILE IMPORT_ID FILE [ADMIN_ENDPOINT]".into());
    };
    let endpoint = rest.first().map_or(DEFAULT_ADMIN_ENDPOINT, String::as_str);
    run(token_file, import_id, path, endpoint).await
}

pub(crate) async fn run(
    token_file: &str,
    import_id: &str,
    path: &str,
    endpoint: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let admin = AdminClient::builder()
        .endpoint(endpoint)
        .build_admin(fs::read_to_string(token_file)?)?;
    let import_id: Uuid = import_id.parse()?;

    // Lines are read as they are needed, so that the file may be of any size.
    let mut broken = None;
    let lines = BufReader::new(File::open(path)?)
        .lines()
        .zip(1..)
        .map_while(|(line, number)| line.map_err(|error| broken = Some((number, error))).ok());
    let done = admin
        .import_users(import_id)
        .on_progress(|progress| eprintln!("{} in, {} rejected", progress.imported, progress.rejected))
        .run(stream::iter(lines.map(|line| user(&line))))
        .await?;
    // A line that cannot be read ended the import: what stands above it is in, and running it again goes on behind that.
    if let Some((number, error)) = broken {
        return Err(format!("{path}, line {number}: {error}; {} items are in", done.imported).into());
    }
    for rejection in &done.rejections {
        println!("line {}: {} {}", rejection.index + 1, rejection.reason, rejection.field);
    }
    println!("{} imported, {} rejected", done.imported, done.rejected);
    Ok(())
}

fn user(line: &str) -> v1::ImportUser {
    let mut fields = line.split('\t').map(str::to_owned);
    v1::ImportUser {
        handle: fields.next().unwrap_or_default(),
        display_name: fields.next().unwrap_or_default(),
        password_hash: fields.next().unwrap_or_default(),
        ..Default::default()
    }
}
