//! Reading the fields of a request, and gathering what is wrong with them.

use std::str::FromStr;

use prost_types::{FieldMask, Timestamp};
use social_core::cursor::PageRequest;
use social_core::{Error, Reason, Result, Time, etag, limits};
use uuid::Uuid;

/// Fields at fault that one refusal names; more of them help nobody, and a message could hold half a million.
const VIOLATIONS: usize = 20;

/// Reads fields one by one. A field at fault yields a value that stands for nothing and is noted; [`Fields::check`] comes before any
/// of the values is used.
#[derive(Debug, Default)]
pub(crate) struct Fields(Option<Error>);

impl Fields {
    /// Nothing read yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Refuses the request if a field was at fault.
    pub(crate) fn check(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }

    /// Notes a field at fault; `hint` says what would be right.
    pub(crate) fn refuse(&mut self, field: impl Into<String>, hint: impl Into<String>) {
        self.0 = Some(match self.0.take() {
            None => Error::field(field, hint),
            Some(error) if error.violations.len() < VIOLATIONS => error.violation(field, hint),
            Some(error) => error,
        });
    }

    /// Takes the outcome of a check of the domain.
    pub(crate) fn take<T: Default>(&mut self, outcome: Result<T>) -> T {
        match outcome {
            Ok(value) => value,
            Err(error) if error.reason == Reason::InvalidField => {
                for violation in error.violations {
                    self.refuse(violation.field, violation.description);
                }
                T::default()
            }
            Err(error) => {
                self.0.get_or_insert(error);
                T::default()
            }
        }
    }

    /// A check that the operation makes anyway: made here only where the request is refused already, so that the refusal is whole and a
    /// good request is checked once.
    pub(crate) fn also(&mut self, check: impl FnOnce() -> Result<()>) {
        if self.0.is_some() {
            self.take(check());
        }
    }

    /// A required id.
    pub(crate) fn id<I: FromStr + Default>(&mut self, field: &str, text: &str) -> I {
        text.parse().unwrap_or_else(|_| {
            self.refuse(field, id_hint(text));
            I::default()
        })
    }

    /// An id that may be left out.
    pub(crate) fn optional_id<I: FromStr + Default>(&mut self, field: &str, text: &str) -> Option<I> {
        (!text.is_empty()).then(|| self.id(field, text))
    }

    /// The 1 to [`limits::BATCH`] ids of a batch, each once, in their first places.
    pub(crate) fn ids<I: FromStr + Default + Eq>(&mut self, field: &str, texts: &[String]) -> Vec<I> {
        let mut ids = Vec::new();
        // Checked first, so that no more is read than a batch may hold.
        if texts.is_empty() || texts.len() > limits::BATCH {
            self.refuse(
                field,
                format!("must hold 1 to {} ids, not {}", limits::BATCH, texts.len()),
            );
            return ids;
        }
        ids.reserve_exact(texts.len());
        for (index, text) in texts.iter().enumerate() {
            match text.parse() {
                Ok(id) if ids.contains(&id) => {}
                Ok(id) => ids.push(id),
                Err(_) => self.refuse(format!("{field}[{index}]"), id_hint(text)),
            }
        }
        ids
    }

    /// The request_id of a mutation. Its value is read by the operation.
    pub(crate) fn request_id(&mut self, text: &str) {
        self.uuid(
            "request_id",
            text,
            "new for each new request and the same when you repeat one",
        );
    }

    /// A required UUID; `which` says how to choose it.
    pub(crate) fn uuid(&mut self, field: &str, text: &str, which: &str) -> Uuid {
        match Uuid::parse_str(text) {
            Ok(id) if !id.is_nil() => id,
            _ => {
                self.refuse(field, format!("must be a UUID, {which}"));
                Uuid::nil()
            }
        }
    }

    /// The version that `etag` names; None changes whatever is there.
    pub(crate) fn etag(&mut self, text: &str) -> Option<u64> {
        self.take(etag::parse("etag", text))
    }

    /// The page that is asked for. Its token is read by the operation, which knows what it is bound to.
    pub(crate) fn page<'a>(&mut self, size: i32, token: &'a str) -> PageRequest<'a> {
        if size < 0 {
            self.refuse("page_size", "must be 0 (for the default) or more");
        }
        PageRequest { size, token }
    }

    /// Which of the `allowed` fields an update names: for each one whether it does. It must name one at least, and no other.
    pub(crate) fn mask<const N: usize>(&mut self, mask: Option<&FieldMask>, allowed: [&str; N]) -> [bool; N] {
        let mut named = [false; N];
        let paths = mask.map_or(&[][..], |mask| &mask.paths);
        if paths.is_empty() {
            self.refuse(
                "update_mask",
                format!("must name what to change: {}", allowed.join(", ")),
            );
        }
        for (index, path) in paths.iter().enumerate() {
            match allowed.iter().position(|allowed| allowed == path) {
                Some(position) => named[position] = true,
                None => self.refuse(
                    format!("update_mask.paths[{index}]"),
                    format!("must be one of {}", allowed.join(", ")),
                ),
            }
        }
        named
    }

    /// A value of an enum: `known` are those that may be sent.
    pub(crate) fn choice<T: Copy>(&mut self, field: &str, value: i32, known: &[(i32, &str, T)]) -> Option<T> {
        let found = known.iter().find(|(number, ..)| *number == value);
        if found.is_none() {
            let names: Vec<&str> = known.iter().map(|(_, name, _)| *name).collect();
            self.refuse(field, format!("must be one of {}", names.join(", ")));
        }
        found.map(|(.., choice)| *choice)
    }

    /// A moment, cut to its millisecond; None where it is unset.
    pub(crate) fn time(&mut self, field: &str, time: Option<&Timestamp>) -> Option<Time> {
        let Timestamp { seconds, nanos } = *time?;
        let read = u64::try_from(seconds)
            .ok()
            .filter(|_| (0..1_000_000_000).contains(&nanos))
            .and_then(|seconds| seconds.checked_mul(1_000))
            .and_then(|ms| ms.checked_add(u64::from(nanos.unsigned_abs()) / 1_000_000));
        if read.is_none() {
            self.refuse(field, "must be a time after 1970, with nanos of 0 to 999,999,999");
        }
        read.map(Time::from_unix_ms)
    }

    /// A number that must not be negative.
    pub(crate) fn natural(&mut self, field: &str, value: i64) -> u64 {
        u64::try_from(value).unwrap_or_else(|_| {
            self.refuse(field, "must be 0 or more");
            0
        })
    }
}

fn id_hint(text: &str) -> &'static str {
    if text.is_empty() {
        "is required: an id as the server sent it"
    } else {
        "must be an id as the server sent it: 13 characters of 0-9 and a-z without i, l, o, u"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use social_core::PostId;

    /// The fields that a reader refuses.
    fn refused(read: impl FnOnce(&mut Fields)) -> Vec<String> {
        let mut fields = Fields::new();
        read(&mut fields);
        let Err(error) = fields.check() else { return Vec::new() };
        assert_eq!(error.reason, Reason::InvalidField);
        error.violations.into_iter().map(|violation| violation.field).collect()
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn ids_are_read_or_refused() {
        let good = PostId(42).to_string();
        for (text, ok) in [
            (good.as_str(), true),
            ("", false),
            ("42", false),
            ("000000000001I", false),
            ("zzzzzzzzzzzzz", false),
            (" 000000000000", false),
        ] {
            let mut fields = Fields::new();
            let id: PostId = fields.id("post_id", text);
            assert_eq!(fields.check().is_ok(), ok, "{text:?}");
            assert_eq!(id, PostId(if ok { 42 } else { 0 }));
        }
        let mut fields = Fields::new();
        assert_eq!(fields.optional_id::<PostId>("in_reply_to_id", ""), None);
        assert_eq!(fields.optional_id("in_reply_to_id", &good), Some(PostId(42)));
        assert_eq!(fields.check(), Ok(()));
    }

    #[test]
    fn batches_hold_each_id_once_and_name_the_malformed() {
        let (a, b) = (PostId(1).to_string(), PostId(2).to_string());
        let mut fields = Fields::new();
        assert_eq!(
            fields.ids::<PostId>("post_ids", &texts(&[&b, &a, &b])),
            [PostId(2), PostId(1)]
        );
        assert_eq!(fields.check(), Ok(()));
        let read = |texts: &[String]| refused(|fields| drop(fields.ids::<PostId>("post_ids", texts)));
        assert_eq!(read(&[]), ["post_ids"]);
        assert_eq!(read(&vec![a.clone(); limits::BATCH + 1]), ["post_ids"]);
        assert_eq!(read(&vec![a.clone(); limits::BATCH]), [""; 0]);
        assert_eq!(read(&texts(&[&a, "x", &b, ""])), ["post_ids[1]", "post_ids[3]"]);
    }

    #[test]
    fn all_fields_at_fault_are_named_but_not_without_end() {
        let problems = refused(|fields| {
            fields.id::<PostId>("post_id", "x");
            fields.etag("nonsense");
            fields.request_id("");
            fields.page(-1, "");
            fields.natural("offset", -1);
        });
        assert_eq!(problems, ["post_id", "etag", "request_id", "page_size", "offset"]);
        let many = texts(&vec!["x"; 100]);
        let problems = refused(|fields| drop(fields.ids::<PostId>("post_ids", &many)));
        assert_eq!(problems.len(), VIOLATIONS);
    }

    #[test]
    fn request_ids_are_uuids() {
        for (text, ok) in [
            ("6ba7b810-9dad-11d1-80b4-00c04fd430c8", true),
            ("00000000-0000-0000-0000-000000000000", false),
            ("", false),
            ("1", false),
        ] {
            assert_eq!(refused(|fields| fields.request_id(text)).is_empty(), ok, "{text:?}");
        }
    }

    #[test]
    fn masks_name_what_is_allowed() {
        let mask = |paths: &[&str]| FieldMask { paths: texts(paths) };
        let mut fields = Fields::new();
        assert_eq!(
            fields.mask(Some(&mask(&["bio"])), ["display_name", "bio"]),
            [false, true]
        );
        assert_eq!(fields.mask(Some(&mask(&["bio", "bio"])), ["bio"]), [true]);
        assert_eq!(fields.check(), Ok(()));
        let read = |mask: Option<FieldMask>| refused(|fields| _ = fields.mask(mask.as_ref(), ["display_name", "bio"]));
        assert_eq!(read(None), ["update_mask"]);
        assert_eq!(read(Some(mask(&[]))), ["update_mask"]);
        assert_eq!(
            read(Some(mask(&["bio", "handle", "*"]))),
            ["update_mask.paths[1]", "update_mask.paths[2]"]
        );
    }

    #[test]
    fn times_and_choices_are_read_or_refused() {
        let time = |seconds, nanos| Timestamp { seconds, nanos };
        let mut fields = Fields::new();
        assert_eq!(fields.time("create_time", None), None);
        let read = fields.time("create_time", Some(&time(1, 999_999_999)));
        assert_eq!(read, Some(Time::from_unix_ms(1_999)));
        assert_eq!(fields.choice("mode", 2, &[(1, "ONE", 'a'), (2, "TWO", 'b')]), Some('b'));
        assert_eq!(fields.check(), Ok(()));
        for bad in [time(-1, 0), time(0, -1), time(0, 1_000_000_000), time(i64::MAX, 0)] {
            assert_eq!(refused(|fields| _ = fields.time("t", Some(&bad))), ["t"], "{bad:?}");
        }
        for bad in [0, 3, -1] {
            assert_eq!(
                refused(|fields| _ = fields.choice("mode", bad, &[(1, "ONE", ())])),
                ["mode"]
            );
        }
    }

    #[test]
    fn checks_of_the_domain_join_in() {
        let bad = || Err(Error::field("content", "is empty"));
        assert_eq!(refused(|fields| fields.also(bad)), [""; 0]);
        let problems = refused(|fields| {
            fields.request_id("");
            fields.also(bad);
        });
        assert_eq!(problems, ["request_id", "content"]);
    }
}
