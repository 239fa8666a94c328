//! Who may do what, over the wire: every method of the contract, called by every kind of caller, is answered as the table of
//! `social_core::access` says. A method without a row or without a request here fails.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

#[path = "../support/mod.rs"]
mod support;

mod requests;

use std::collections::BTreeSet;

use futures::StreamExt as _;
use prost::Message as _;
use secrecy::ExposeSecret as _;
use social_core::access::{self, Credentials, Rule, TABLE, Verdict, Who};
use social_core::auth::Keys;
use social_core::{Clock, Error, Reason};
use social_server::grpc::status::{reason_name, status};
use support::{Failure, House, Person, wire};
use tonic::Code;

use requests::{Asked, dead_letters};

/// Long enough ago that a token issued then has expired.
const LONG_AGO_MS: u64 = 3_600_000;

/// What the cells of a row are played by: everybody is new, so that no row can spoil another.
pub(crate) struct Cast {
    pub(crate) owner: Person,
    pub(crate) other: Person,
    pub(crate) blocked: Person,
    pub(crate) expired: String,
}

impl Cast {
    async fn of(house: &House, keys: &Keys) -> Self {
        let (owner, other, blocked) = tokio::join!(house.person("owner"), house.person("other"), house.person("shut"));
        owner.block(&house.line, &blocked).await;
        let expired = expired_token(keys, &owner);
        Self {
            owner,
            other,
            blocked,
            expired,
        }
    }

    /// Who plays a kind of caller, where it is somebody.
    pub(crate) fn person(&self, who: Who) -> Option<&Person> {
        match who {
            Who::Other => Some(&self.other),
            Who::Blocked => Some(&self.blocked),
            Who::Owner => Some(&self.owner),
            Who::Anonymous | Who::Expired | Who::Admin => None,
        }
    }
}

/// A token that the server signed an hour ago, as far as anybody can tell.
fn expired_token(keys: &Keys, person: &Person) -> String {
    let then = social_core::Time::from_unix_ms(Clock::system().now().unix_ms() - LONG_AGO_MS);
    let token = keys.issue(person.id.parse().unwrap(), person.session.parse().unwrap(), then);
    token.unwrap().text.expose_secret().to_owned()
}

/// Every method of the descriptor set that clients get by reflection.
fn described() -> BTreeSet<String> {
    let set = prost_types::FileDescriptorSet::decode(social_proto::FILE_DESCRIPTOR_SET).unwrap();
    let mut paths = BTreeSet::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                paths.insert(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
            }
        }
    }
    paths.retain(|path| path.starts_with(wire::PACKAGE));
    paths
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_answers_every_caller_as_the_table_says() {
    let house = House::open_with(|_| {}, dead_letters).await;
    let keys = Keys::open(&house.data_dir().join("keys"), Clock::system().now()).unwrap();
    let methods = described();
    let listed: BTreeSet<String> = TABLE.iter().map(|rule| rule.path.to_owned()).collect();
    assert_eq!(methods, listed, "each method has a row, and each row is a method");

    let rows = futures::stream::iter(&methods).map(|path| row(&house, &keys, access::rule(path).unwrap()));
    // One after the other: all come from one address, whose logins at once are few.
    let wrong: Vec<String> = rows.buffer_unordered(1).collect::<Vec<_>>().await.concat();
    println!(
        "checked {} methods x {} callers = {} cells, and each method at the other port: {} wrong",
        methods.len(),
        Who::ALL.len(),
        methods.len() * Who::ALL.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The cells of a row that are not as they should be.
async fn row(house: &House, keys: &Keys, rule: &Rule) -> Vec<String> {
    let cast = Cast::of(house, keys).await;
    let mut wrong = Vec::new();
    for who in Who::ALL {
        let asked = requests::of(house, &cast, rule.path, who).await;
        let token = token(house, &cast, &asked, who);
        let (port, other_port) = match rule.credentials {
            Credentials::Admin => (&house.admin, &house.line),
            _ => (&house.line, &house.admin),
        };
        let elsewhere = other_port.raw(rule.path, token, asked.messages.clone()).await;
        let answer = port.raw(rule.path, token, asked.messages.clone()).await;
        let verdict = rule.verdict(who);
        if let Err(why) = holds(verdict, &asked, &answer) {
            wrong.push(format!("{} as {who:?}: {verdict:?} expected, {why}", rule.path));
        }
        match elsewhere {
            Err(failure) if failure.code == Code::Unimplemented && failure.reason == "UNIMPLEMENTED" => {}
            answer => wrong.push(format!("{} as {who:?} at the other port: {answer:?}", rule.path)),
        }
    }
    wrong
}

fn token<'a>(house: &'a House, cast: &'a Cast, asked: &'a Asked, who: Who) -> Option<&'a str> {
    match who {
        Who::Anonymous => None,
        Who::Expired => Some(&cast.expired),
        Who::Admin => Some(&house.admin_token),
        Who::Other | Who::Blocked | Who::Owner => {
            let own = asked.token.as_deref();
            own.or_else(|| cast.person(who).and_then(Person::token))
        }
    }
}

/// Whether an answer is what the verdict promises; what it is where not.
fn holds(verdict: Verdict, asked: &Asked, answer: &Result<Vec<u8>, Failure>) -> Result<(), String> {
    match (verdict, answer) {
        (Verdict::Allow, Ok(bytes)) => match asked.shows {
            Some(shows) if !shows(bytes, &asked.object) => Err(format!("answered without {}", asked.object)),
            _ => Ok(()),
        },
        (Verdict::Hidden, Ok(bytes)) => match asked.shows {
            Some(shows) if !shows(bytes, &asked.object) => Ok(()),
            Some(_) => Err(format!("answered with {}", asked.object)),
            None => Err("a hidden object needs a way to see that it is".to_owned()),
        },
        (Verdict::Deny(reason), Err(failure)) => {
            let expected = (code(reason), reason_name(reason));
            if (failure.code, failure.reason.as_str()) == expected && failure.domain == "social.v1" {
                Ok(())
            } else {
                Err(format!("refused with {failure}"))
            }
        }
        (_, Ok(_)) => Err("answered".to_owned()),
        (_, Err(failure)) => Err(format!("refused with {failure}")),
    }
}

fn code(reason: Reason) -> Code {
    status(Error::new(reason, "")).code()
}
