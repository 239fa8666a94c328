//! How the cases of a method are made: a request that is right, and each way to make it wrong.

use prost::Message;
use prost_types::FieldMask;
use social_core::access::{self, Credentials};
use social_core::limits;
use tonic::Code;

use crate::support::request_id;
use crate::world::World;

/// An id that is well formed, and of nothing.
pub(crate) const NOBODY: &str = "0000000000001";

/// The cases of one method.
pub(crate) struct Table {
    pub(crate) path: String,
    /// A request that would be answered.
    pub(crate) right: Vec<u8>,
    pub(crate) cases: Vec<Case>,
}

/// A request that must be refused.
pub(crate) struct Case {
    pub(crate) what: String,
    pub(crate) sent: Sent,
    pub(crate) messages: Vec<Vec<u8>>,
    pub(crate) expected: Refusal,
}

/// The credentials that go with a request.
#[derive(Clone, Debug)]
pub(crate) enum Sent {
    /// Those that the method takes.
    Own,
    Nothing,
    Token(String),
}

/// What a refusal must say.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) reason: &'static str,
    /// The path of the field at fault, which must come with a hint.
    pub(crate) field: Option<String>,
}

impl Refusal {
    pub(crate) fn of(code: Code, reason: &'static str) -> Self {
        Self {
            code,
            reason,
            field: None,
        }
    }

    pub(crate) fn field(field: &str) -> Self {
        Self::of(Code::InvalidArgument, "INVALID_FIELD").at(field)
    }

    pub(crate) fn not_found(reason: &'static str) -> Self {
        Self::of(Code::NotFound, reason)
    }

    pub(crate) fn at(self, field: &str) -> Self {
        Self {
            field: Some(field.to_owned()),
            ..self
        }
    }
}

/// Makes a table from a request that would be answered.
pub(crate) struct Maker<'a, M> {
    world: &'a World,
    table: Table,
    right: M,
}

impl<'a, M: Message + Clone> Maker<'a, M> {
    /// Begins with the cases of all methods: no token, wrong ones, and bytes that are no message.
    pub(crate) fn new(world: &'a World, method: &str, right: M) -> Self {
        let path = format!("{}{method}", crate::support::wire::PACKAGE);
        let table = Table {
            path,
            right: right.encode_to_vec(),
            cases: Vec::new(),
        };
        let mut maker = Self { world, table, right };
        maker.credentials();
        maker.bytes();
        maker
    }

    pub(crate) fn done(self) -> Table {
        self.table
    }

    /// With the cases of another request of the same method.
    pub(crate) fn and(mut self, other: Table) -> Self {
        self.table.cases.extend(other.cases);
        self
    }

    /// A case: the right request, changed.
    pub(crate) fn case(mut self, what: &str, expected: Refusal, change: impl FnOnce(&mut M)) -> Self {
        let mut message = self.right.clone();
        change(&mut message);
        self.push(what, Sent::Own, vec![message.encode_to_vec()], expected);
        self
    }

    /// A case whose field is refused.
    pub(crate) fn field(self, field: &str, what: &str, change: impl FnOnce(&mut M)) -> Self {
        let what = format!("{field} {what}");
        self.case(&what, Refusal::field(field), change)
    }

    fn push(&mut self, what: &str, sent: Sent, messages: Vec<Vec<u8>>, expected: Refusal) {
        self.table.cases.push(Case {
            what: what.to_owned(),
            sent,
            messages,
            expected,
        });
    }

    fn credentials(&mut self) {
        let right = vec![self.right.encode_to_vec()];
        let (refusal, foreign) = match access::rule(&self.table.path).unwrap().credentials {
            Credentials::None => return,
            Credentials::Admin => (true, &self.world.alice.access),
            Credentials::User => (true, &self.world.house.admin_token),
            Credentials::Optional => (false, &self.world.house.admin_token),
        };
        let unauthenticated = |reason| Refusal::of(Code::Unauthenticated, reason);
        if refusal {
            self.push(
                "no token",
                Sent::Nothing,
                right.clone(),
                unauthenticated("TOKEN_MISSING"),
            );
        }
        // The user's token, with one bit of its signature turned.
        let mut forged = self.world.alice.access.clone();
        let last = if forged.ends_with('A') { 'Q' } else { 'A' };
        forged.pop();
        forged.push(last);
        let tokens = [
            ("a word for a token", "sesame"),
            ("an empty token", ""),
            ("a forged token", &forged),
            ("a refresh token", &self.world.alice.refresh),
            ("the other port's token", foreign),
            ("a token of 2 KiB", &"a".repeat(2 << 10)),
        ]
        .map(|(what, token)| (what, token.to_owned()));
        for (what, token) in tokens {
            self.push(
                what,
                Sent::Token(token),
                right.clone(),
                unauthenticated("TOKEN_INVALID"),
            );
        }
    }

    fn bytes(&mut self) {
        let whole = Refusal::field(self.table.path.trim_start_matches('/'));
        for (what, bytes) in [
            ("bytes that are no message", vec![0xff; 7]),
            // Field 1, of two bytes, where only one follows.
            ("a message that was cut short", vec![0x0a, 2, b'x']),
            // Field 1, whose text is no UTF-8, or whose type is another one.
            ("a field of a wrong type", vec![0x0d, 1]),
            ("a message over 1 MiB", unknown_field(limits::MESSAGE_BYTES + 1)),
        ] {
            self.push(what, Sent::Own, vec![bytes], whole.clone());
        }
    }
}

/// A message with a field of no meaning that has as many bytes.
fn unknown_field(bytes: usize) -> Vec<u8> {
    let mut message = Vec::new();
    prost::encoding::bytes::encode(9_999, &vec![0; bytes], &mut message);
    message
}

/// Accessors of fields.
type Text<M> = fn(&mut M) -> &mut String;

impl<M: Message + Clone> Maker<'_, M> {
    /// The request_id of a mutation.
    pub(crate) fn request_id(self, field: Text<M>) -> Self {
        self.uuid("request_id", field)
    }

    /// A required UUID.
    pub(crate) fn uuid(mut self, name: &str, field: Text<M>) -> Self {
        for (what, bad) in [
            ("missing", ""),
            ("no UUID", "1"),
            ("a UUID cut short", "6ba7b810-9dad-11d1-80b4-00c04fd430c"),
            ("the nil UUID", "00000000-0000-0000-0000-000000000000"),
            ("a UUID and more", "6ba7b810-9dad-11d1-80b4-00c04fd430c8 "),
        ] {
            self = self.field(name, what, |message| *field(message) = bad.to_owned());
        }
        self
    }

    /// A required id.
    pub(crate) fn id(self, name: &str, field: Text<M>) -> Self {
        self.field(name, "missing", |message| field(message).clear())
            .optional_id(name, field)
    }

    /// An id that may be left out.
    pub(crate) fn optional_id(mut self, name: &str, field: Text<M>) -> Self {
        for (what, bad) in [
            ("too short", "42"),
            ("too long", "00000000000010"),
            ("in capitals", "000000000000A"),
            ("with a letter that is none", "000000000000u"),
            ("beyond 63 bits", "zzzzzzzzzzzzz"),
            ("with a blank", " 000000000001"),
            ("not ASCII", "00000000000é"),
        ] {
            self = self.field(name, what, |message| *field(message) = bad.to_owned());
        }
        self
    }

    /// An id of nothing.
    pub(crate) fn unknown(self, reason: &'static str, field: Text<M>) -> Self {
        self.case(
            &format!("an id of nothing ({reason})"),
            Refusal::not_found(reason),
            |message| *field(message) = NOBODY.to_owned(),
        )
    }

    /// 1 to 100 ids.
    pub(crate) fn ids(self, name: &str, field: fn(&mut M) -> &mut Vec<String>) -> Self {
        let second = format!("{name}[1]");
        self.field(name, "none", |message| field(message).clear())
            .field(name, "of more than 100", |message| {
                *field(message) = vec![NOBODY.to_owned(); limits::BATCH + 1];
            })
            .field(name, "of 10,000", |message| {
                *field(message) = vec![NOBODY.to_owned(); 10_000];
            })
            .field(&second, "malformed", |message| {
                *field(message) = vec![NOBODY.to_owned(), "x".to_owned()];
            })
            .field(&second, "empty", |message| {
                *field(message) = vec![NOBODY.to_owned(), String::new()];
            })
    }

    /// An etag: malformed ones, and those of other versions.
    pub(crate) fn etag(self, field: Text<M>) -> Self {
        let mismatch = || Refusal::of(Code::Aborted, "ETAG_MISMATCH");
        self.malformed_etag(field)
            .case("a future etag", mismatch(), |message| {
                *field(message) = "effff".to_owned();
            })
            .case("the last etag of all", mismatch(), |message| {
                *field(message) = "effffffffffffffff".to_owned();
            })
    }

    /// Etags that are none.
    pub(crate) fn malformed_etag(mut self, field: Text<M>) -> Self {
        for bad in ["1", "e", "e01", "\"e1\"", "e10000000000000000", "*"] {
            self = self.field("etag", &format!("`{bad}`"), |message| *field(message) = bad.to_owned());
        }
        self
    }

    /// Which fields an update changes.
    pub(crate) fn mask(self, field: fn(&mut M) -> &mut Option<FieldMask>) -> Self {
        let mask = |paths: &[&str]| {
            Some(FieldMask {
                paths: paths.iter().map(ToString::to_string).collect(),
            })
        };
        self.field("update_mask", "missing", |message| *field(message) = None)
            .field("update_mask", "of no path", |message| *field(message) = mask(&[]))
            .field("update_mask.paths[0]", "unknown", |message| {
                *field(message) = mask(&["id"]);
            })
            .field("update_mask.paths[0]", "of everything", |message| {
                *field(message) = mask(&["*"]);
            })
            .field("update_mask.paths[0]", "empty", |message| *field(message) = mask(&[""]))
    }

    /// A page: a negative size, and tokens that are none or were issued for something else.
    pub(crate) fn page(mut self, size: fn(&mut M) -> &mut i32, token: Text<M>) -> Self {
        let refused = || Refusal::of(Code::InvalidArgument, "PAGE_TOKEN_INVALID").at("page_token");
        self = self.field("page_size", "of -1", |message| *size(message) = -1).field(
            "page_size",
            "of the least",
            |message| *size(message) = i32::MIN,
        );
        for (what, bad) in self.world.bad_tokens(&self.table.path) {
            self = self.case(&format!("page token: {what}"), refused(), |message| {
                *token(message) = bad.clone();
            });
        }
        self
    }

    /// A text's bounds. `line` is one that is shown beside other things.
    pub(crate) fn text(mut self, name: &str, bounds: Bounds, field: Text<M>) -> Self {
        let Bounds {
            required,
            chars,
            bytes,
            line,
        } = bounds;
        // One character of a person's counting, of a letter and its accents.
        let heavy = format!("e{}", "\u{301}".repeat(60));
        let mut bad = vec![
            ("of a character too many", "é".repeat(chars + 1)),
            (
                "of few characters and too many bytes",
                heavy.repeat(bytes / heavy.len() + 1),
            ),
            ("of blanks", " \u{200b}\u{3000}".to_owned()),
            ("with NUL", "a\0b".to_owned()),
            ("with an escape sequence", "a\u{1b}[31mb".to_owned()),
            ("with a C1 control", "a\u{9b}b".to_owned()),
        ];
        if required {
            bad.push(("missing", String::new()));
        }
        if line {
            bad.push(("of two lines", "a\nb".to_owned()));
            bad.push(("that turns its direction", "a\u{202e}b".to_owned()));
        }
        for (what, bad) in bad {
            self = self.field(name, what, |message| *field(message) = bad);
        }
        self
    }

    /// A request_id that alice used for a request of this method with another content.
    pub(crate) fn reused(self, request: &str, field: Text<M>) -> Self {
        let expected = Refusal::of(Code::InvalidArgument, "REQUEST_ID_REUSED").at("request_id");
        self.case("a request_id of another request", expected, |message| {
            *field(message) = request.to_owned();
        })
    }
}

/// The bounds of a text.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) required: bool,
    pub(crate) chars: usize,
    pub(crate) bytes: usize,
    pub(crate) line: bool,
}

impl Bounds {
    pub(crate) const fn prose(chars: usize, bytes: usize) -> Self {
        Self {
            required: true,
            chars,
            bytes,
            line: false,
        }
    }

    pub(crate) const fn line(chars: usize, bytes: usize) -> Self {
        Self {
            line: true,
            ..Self::prose(chars, bytes)
        }
    }

    pub(crate) const fn optional(self) -> Self {
        Self {
            required: false,
            ..self
        }
    }
}

/// A new request_id.
pub(crate) fn id() -> String {
    request_id()
}

/// A mask of one path.
pub(crate) fn mask(path: &str) -> Option<FieldMask> {
    Some(FieldMask {
        paths: vec![path.to_owned()],
    })
}
