//! Texts that are given on the command line, or with `-` on stdin.

use std::io::Read as _;

use crate::failure::{Failure, Result};

/// More than the server takes, so that it says which bound was passed.
const MAX_BYTES: usize = 1 << 18;

/// The text, or what stdin holds when the text is `-`. One line break at the end of stdin is no part of it.
pub(crate) async fn read(text: String) -> Result<String> {
    if text != "-" {
        return Ok(text);
    }
    let reading = tokio::task::spawn_blocking(|| {
        let mut content = String::new();
        std::io::stdin()
            .lock()
            .take(MAX_BYTES as u64 + 1)
            .read_to_string(&mut content)
            .map(|_| content)
    });
    let content = reading.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    let content = content.map_err(|error| Failure::usage(format!("cannot read stdin: {error}")))?;
    if content.len() > MAX_BYTES {
        return Err(Failure::usage(format!("stdin has more than {MAX_BYTES} bytes"))
            .hint("a post has 5,000 characters, a comment 2,000"));
    }
    let trimmed = content
        .strip_suffix('\n')
        .map_or(content.as_str(), |rest| rest.strip_suffix('\r').unwrap_or(rest));
    Ok(trimmed.to_owned())
}
