//! Files of JSON lines, and what stands in them.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use social_sdk::{Timestamp, Uuid, v1};

use crate::failure::{Failure, Result};

/// Bytes of a line at the most: an item of the contract is far shorter.
const MAX_LINE_BYTES: usize = 1 << 20;

/// What a line holds, and the item that it becomes.
pub(super) trait Line: DeserializeOwned + Send {
    /// The item.
    type Item: Send;

    /// Makes the item, or says what is wrong with the line.
    fn item(self) -> Result<Self::Item, String>;
}

/// A user.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserLine {
    handle: String,
    #[serde(default)]
    display_name: String,
    #[serde(default)]
    bio: String,
    #[serde(default)]
    password_hash: String,
    create_time: Option<String>,
}

/// A post.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PostLine {
    author_id: Option<String>,
    author_handle: Option<String>,
    content: String,
    #[serde(default)]
    title: String,
    visibility: Option<String>,
    #[serde(default)]
    in_reply_to_id: String,
    create_time: Option<String>,
}

/// A follow.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FollowLine {
    follower_id: Option<String>,
    follower_handle: Option<String>,
    followee_id: Option<String>,
    followee_handle: Option<String>,
    create_time: Option<String>,
}

impl Line for UserLine {
    type Item = v1::ImportUser;

    fn item(self) -> Result<v1::ImportUser, String> {
        let Self {
            handle,
            display_name,
            bio,
            password_hash,
            create_time,
        } = self;
        Ok(v1::ImportUser {
            handle,
            display_name,
            bio,
            password_hash,
            create_time: time(create_time)?,
        })
    }
}

impl Line for PostLine {
    type Item = v1::ImportPost;

    fn item(self) -> Result<v1::ImportPost, String> {
        use v1::import_post::Author;
        let author = either(
            "author",
            self.author_id.map(Author::AuthorId),
            self.author_handle.map(Author::AuthorHandle),
        )?;
        Ok(v1::ImportPost {
            author: Some(author),
            content: self.content,
            title: self.title,
            visibility: visibility(self.visibility.as_deref())?.into(),
            in_reply_to_id: self.in_reply_to_id,
            create_time: time(self.create_time)?,
        })
    }
}

impl Line for FollowLine {
    type Item = v1::ImportFollow;

    fn item(self) -> Result<v1::ImportFollow, String> {
        use v1::import_follow::{Followee, Follower};
        let by_id = self.follower_id.map(Follower::FollowerId);
        let follower = either("follower", by_id, self.follower_handle.map(Follower::FollowerHandle))?;
        let by_id = self.followee_id.map(Followee::FolloweeId);
        let followee = either("followee", by_id, self.followee_handle.map(Followee::FolloweeHandle))?;
        Ok(v1::ImportFollow {
            follower: Some(follower),
            followee: Some(followee),
            create_time: time(self.create_time)?,
        })
    }
}

fn either<T>(name: &str, id: Option<T>, handle: Option<T>) -> Result<T, String> {
    match (id, handle) {
        (Some(one), None) | (None, Some(one)) => Ok(one),
        _ => Err(format!("needs one of {name}_id and {name}_handle")),
    }
}

fn time(text: Option<String>) -> Result<Option<Timestamp>, String> {
    let parse = |text: String| {
        text.parse()
            .map_err(|_| format!("create_time: {text:?} is no time such as 2025-06-01T12:00:00Z"))
    };
    text.map(parse).transpose()
}

fn visibility(text: Option<&str>) -> Result<v1::Visibility, String> {
    match text {
        None => Ok(v1::Visibility::Public),
        Some("public" | "VISIBILITY_PUBLIC") => Ok(v1::Visibility::Public),
        Some("followers" | "VISIBILITY_FOLLOWERS") => Ok(v1::Visibility::Followers),
        Some("private" | "VISIBILITY_PRIVATE") => Ok(v1::Visibility::Private),
        Some(other) => Err(format!("visibility: {other:?} is none of public, followers, private")),
    }
}

/// A file whose lines are all well formed.
#[derive(Debug)]
pub(super) struct Checked {
    /// Items in it.
    pub(super) lines: u64,
    /// The same for the same lines.
    pub(super) id: Uuid,
}

/// Looks at all lines, and keeps none of them.
pub(super) fn check<L: Line>(path: &Path) -> Result<Checked> {
    let mut lines = 0;
    let mut hash = Hash::default();
    for line in numbered(path)? {
        let (number, text) = line?;
        parse::<L>(path, number, &text)?;
        hash.add(text.as_bytes());
        lines += 1;
    }
    Ok(Checked { lines, id: hash.uuid() })
}

fn parse<L: Line>(path: &Path, number: usize, text: &str) -> Result<L::Item> {
    let at = |what: String| {
        Failure::usage(format!("{}, line {number}: {what}", path.display()))
            .hint("nothing more was sent; correct the line")
    };
    let line: L = serde_json::from_str(text).map_err(|error| at(what(&error)))?;
    line.item().map_err(at)
}

/// What is wrong with a line. To the parser it is the only one, which is not what it is in the file.
fn what(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(what) => format!("{what} (column {})", error.column()),
        None => text,
    }
}

/// Numbers of the lines in which rejected items stand; None for one that is not in the file.
pub(super) fn places(path: &Path, rejections: &[v1::ImportRejection]) -> Result<Vec<Option<usize>>> {
    let mut places = vec![None; rejections.len()];
    if rejections.is_empty() {
        return Ok(places);
    }
    for (index, line) in (0_i64..).zip(numbered(path)?) {
        let (number, _) = line?;
        for (place, rejection) in places.iter_mut().zip(rejections) {
            if rejection.index == index {
                *place = Some(number);
            }
        }
    }
    Ok(places)
}

/// FNV-1a over all lines: it names a file's content, and guards against nothing.
struct Hash(u128);

impl Default for Hash {
    fn default() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl Hash {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().chain(b"\n") {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }

    fn uuid(&self) -> Uuid {
        Uuid::from_u128(self.0)
    }
}

/// What ended the reading of a file too early.
#[derive(Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<Failure>>>);

impl Trouble {
    /// The failure, if there was one.
    pub(super) fn take(&self) -> Option<Failure> {
        self.0.lock().ok()?.take()
    }

    fn put(&self, failure: Failure) {
        if let Ok(mut place) = self.0.lock() {
            place.get_or_insert(failure);
        }
    }
}

/// The items of a file, one by one. Ends early when the file changes under it; see [`Lines::trouble`].
pub(super) struct Lines<L> {
    path: PathBuf,
    lines: Box<dyn Iterator<Item = Result<(usize, String)>> + Send>,
    trouble: Trouble,
    kind: PhantomData<fn() -> L>,
}

impl<L: Line> Lines<L> {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let lines = Box::new(numbered(path)?);
        Ok(Self {
            path: path.to_owned(),
            lines,
            trouble: Trouble::default(),
            kind: PhantomData,
        })
    }

    /// Where to look for what ended the reading.
    pub(super) fn trouble(&self) -> Trouble {
        self.trouble.clone()
    }
}

/// Lines with their numbers, from 1; empty ones are left out.
fn numbered(path: &Path) -> Result<impl Iterator<Item = Result<(usize, String)>> + Send + use<>> {
    let file = fs::File::open(path).map_err(|error| Failure::file("read", path, &error))?;
    let is_folder = file.metadata().is_ok_and(|metadata| metadata.is_dir());
    if is_folder {
        return Err(Failure::usage(format!(
            "{} is a folder; name a file of JSON lines",
            path.display()
        )));
    }
    let mut reader = BufReader::new(file);
    let path = path.to_owned();
    let lines = std::iter::from_fn(move || read_line(&mut reader).transpose()).zip(1..);
    let named = lines.map(move |(line, number)| match line {
        // What some editors write in front of a file is no part of its first line.
        Ok(text) if number == 1 => Ok((number, text.trim_start_matches('\u{FEFF}').to_owned())),
        Ok(text) => Ok((number, text)),
        Err(error) => Err(Failure::usage(format!("{}, line {number}: {error}", path.display()))),
    });
    Ok(named.filter(|line| line.as_ref().map_or(true, |(_, text)| !text.trim().is_empty())))
}

fn read_line(reader: &mut BufReader<fs::File>) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let read = io::Read::take(&mut *reader, MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    if read > MAX_LINE_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "is longer than 1 MiB"));
    }
    let text = String::from_utf8(line).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "is not UTF-8"))?;
    Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()))
}

impl<L: Line> Iterator for Lines<L> {
    type Item = L::Item;

    fn next(&mut self) -> Option<L::Item> {
        let item = match self.lines.next()? {
            Ok((number, text)) => parse::<L>(&self.path, number, &text),
            Err(failure) => Err(failure),
        };
        item.map_err(|failure| self.trouble.put(failure)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), text).expect("written");
        file
    }

    #[test]
    fn lines_become_items() {
        let text = "{\"author_handle\":\"ada\",\"content\":\"Hi\",\"visibility\":\"followers\",\"create_time\":\"2025-06-01T12:00:00Z\"}\n\n\
                    {\"author_id\":\"2q3k5v7x9z1aa\",\"content\":\"Ho\"}";
        let file = file(text);
        assert_eq!(check::<PostLine>(file.path()).expect("fine").lines, 2);
        let items: Vec<_> = Lines::<PostLine>::open(file.path()).expect("open").collect();
        assert_eq!(items[0].visibility(), v1::Visibility::Followers);
        assert_eq!(items[0].create_time.expect("time").seconds, 1_748_779_200);
        assert_eq!(
            items[1].author,
            Some(v1::import_post::Author::AuthorId("2q3k5v7x9z1aa".into()))
        );
    }

    #[test]
    fn a_mark_in_front_of_the_file_is_passed_over_and_a_folder_refused() {
        let (marked, plain) = (file("\u{FEFF}{\"handle\":\"ada\"}\r\n"), file("{\"handle\":\"ada\"}\n"));
        let id = |file: &tempfile::NamedTempFile| check::<UserLine>(file.path()).expect("fine").id;
        assert_eq!(id(&marked), id(&plain));
        assert_eq!(Lines::<UserLine>::open(marked.path()).expect("open").count(), 1);
        let folder = tempfile::tempdir().expect("a folder");
        let failure = check::<UserLine>(folder.path()).expect_err("refused");
        assert!(
            failure.exit() == Exit::Usage && failure.to_string().contains("is a folder"),
            "{failure}"
        );
    }

    #[test]
    fn a_bad_line_is_told_with_its_number() {
        let cases = [
            ("{\"handle\":\"ada\"}\n{\"handle\":1}", "line 2"),
            ("{\"handle\":\"ada\",\"email\":\"x\"}", "email"),
            ("{\"handle\":\"ada\",\"create_time\":\"yesterday\"}", "create_time"),
            ("nonsense", "line 1"),
        ];
        for (text, part) in cases {
            let failure = check::<UserLine>(file(text).path()).expect_err("refused");
            assert_eq!(failure.exit(), Exit::Usage);
            assert!(failure.to_string().contains(part), "{failure}");
        }
        let both = file("{\"follower_id\":\"a\",\"follower_handle\":\"b\",\"followee_id\":\"c\"}");
        assert!(
            check::<FollowLine>(both.path())
                .expect_err("refused")
                .to_string()
                .contains("one of follower_id")
        );
    }

    #[test]
    fn a_place_is_told_once() {
        let text = "{\"handle\":\"ada\"}\n\n{\"handle\":\"bob\",\"email\":1}";
        let failure = check::<UserLine>(file(text).path()).expect_err("refused").to_string();
        assert!(
            failure.contains(", line 3: unknown field") && failure.contains("(column 23)"),
            "{failure}"
        );
        assert!(!failure.contains("line 1"), "{failure}");
    }

    #[test]
    fn items_are_found_in_the_lines_of_their_file() {
        let file = file("\n{\"handle\":\"ada\"}\n\n{\"handle\":\"bob\"}\n");
        let rejection = |index| v1::ImportRejection {
            index,
            ..Default::default()
        };
        let places = places(file.path(), &[rejection(1), rejection(0), rejection(7)]).expect("read");
        assert_eq!(places, [Some(4), Some(2), None]);
    }

    #[test]
    fn the_id_belongs_to_the_content() {
        let id = |text: &str| check::<UserLine>(file(text).path()).expect("fine").id;
        assert_eq!(id("{\"handle\":\"ada\"}\n"), id("{\"handle\":\"ada\"}"));
        assert_ne!(id("{\"handle\":\"ada\"}"), id("{\"handle\":\"bob\"}"));
    }

    #[test]
    fn a_file_that_goes_bad_ends_early_and_says_why() {
        let file = file("{\"handle\":\"ada\"}\nnonsense\n{\"handle\":\"bob\"}\n");
        let mut lines = Lines::<UserLine>::open(file.path()).expect("open");
        let trouble = lines.trouble();
        assert!(lines.next().is_some() && trouble.take().is_none());
        assert!(lines.next().is_none());
        assert!(trouble.take().expect("told").to_string().contains("line 2"));
    }
}
