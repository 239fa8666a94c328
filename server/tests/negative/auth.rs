//! Cases of AuthService.

use social_core::limits;
use social_proto::v1;
use tonic::Code;

use crate::support::people::PASSWORD;
use crate::table::{Bounds, Maker, Refusal, Table, id};
use crate::world::World;

const DEVICE: Bounds = Bounds::line(limits::DEVICE_CHARS, limits::DEVICE_BYTES).optional();
const NAME: Bounds = Bounds::line(limits::DISPLAY_NAME_CHARS, limits::DISPLAY_NAME_BYTES).optional();

/// What is no handle, and why.
pub(crate) const HANDLES: [(&str, &str); 9] = [
    ("missing", ""),
    ("too short", "ab"),
    ("too long", "a123456789012345678901234567890"),
    ("that begins with a digit", "1alice"),
    ("that begins with _", "_alice"),
    ("with @", "@alice"),
    ("with a blank", "alice b"),
    ("beyond ASCII", "älice"),
    ("with a control character", "ali\nce"),
];

pub(crate) fn tables(world: &World) -> Vec<Table> {
    vec![
        register(world),
        login(world),
        refresh_token(world),
        logout(world),
        change_password(world),
        list_sessions(world),
        revoke_session(world),
    ]
}

fn register(world: &World) -> Table {
    let right = v1::RegisterRequest {
        handle: "newcomer".to_owned(),
        display_name: "New".to_owned(),
        password: PASSWORD.to_owned(),
        device_name: "laptop".to_owned(),
        request_id: id(),
    };
    let taken = Refusal::of(Code::AlreadyExists, "HANDLE_TAKEN");
    let mut maker = Maker::new(world, "AuthService/Register", right)
        .text("display_name", NAME, |m| &mut m.display_name)
        .text("device_name", DEVICE, |m| &mut m.device_name)
        .request_id(|m| &mut m.request_id)
        .reused(&world.used.register, |m| &mut m.request_id)
        .case("a handle that is taken", taken.clone(), |m| {
            m.handle.clone_from(&world.alice.handle);
        })
        .case("a taken handle in capitals", taken, |m| {
            m.handle = world.alice.handle.to_uppercase();
        })
        .field("handle", "bad beside other bad fields", |m| {
            m.handle.clear();
            m.password.clear();
            m.request_id.clear();
        })
        .field("password", "bad beside other bad fields", |m| {
            m.handle.clear();
            m.password.clear();
            m.request_id.clear();
        });
    for (what, bad) in HANDLES {
        maker = maker.field("handle", what, |m| m.handle = bad.to_owned());
    }
    for (what, bad) in passwords() {
        maker = maker.field("password", what, |m| m.password = bad);
    }
    maker.done()
}

fn passwords() -> [(&'static str, String); 4] {
    [
        ("missing", String::new()),
        ("of 7 bytes", "1234567".to_owned()),
        ("of 257 bytes", "x".repeat(257)),
        ("of 100 KiB", "x".repeat(100 << 10)),
    ]
}

fn login(world: &World) -> Table {
    let right = v1::LoginRequest {
        handle: world.bob.handle.clone(),
        password: PASSWORD.to_owned(),
        device_name: "laptop".to_owned(),
    };
    let wrong = || Refusal::of(Code::Unauthenticated, "CREDENTIALS_INVALID");
    Maker::new(world, "AuthService/Login", right)
        .text("device_name", DEVICE, |m| &mut m.device_name)
        .field("handle", "too long", |m| m.handle = "a".repeat(31))
        .field("password", "missing", |m| m.password.clear())
        .field("password", "of 257 bytes", |m| m.password = "x".repeat(257))
        .field("password", "of 100 KiB", |m| m.password = "x".repeat(100 << 10))
        .case("a wrong password", wrong(), |m| m.password.push('!'))
        .case("a handle of nobody", wrong(), |m| m.handle = "nobody_here".to_owned())
        .case("no handle", wrong(), |m| m.handle.clear())
        .case("what can be no handle", wrong(), |m| m.handle = "@\n".to_owned())
        .case("an account without a password", wrong(), |m| {
            m.handle = "brought_in".to_owned();
        })
        .done()
}

fn refresh_token(world: &World) -> Table {
    let right = v1::RefreshTokenRequest {
        refresh_token: world.alice.refresh.clone(),
        request_id: id(),
    };
    let invalid = || Refusal::of(Code::Unauthenticated, "REFRESH_TOKEN_INVALID");
    let mut forged = world.alice.refresh.clone();
    let last = if forged.pop() == Some('A') { 'E' } else { 'A' };
    forged.push(last);
    let elsewhere = world.alice.refresh.replace(&world.alice.session, &world.bob.session);
    Maker::new(world, "AuthService/RefreshToken", right)
        .request_id(|m| &mut m.request_id)
        .field("refresh_token", "missing", |m| m.refresh_token.clear())
        .case("a word", invalid(), |m| m.refresh_token = "sesame".to_owned())
        .case("a forged token", invalid(), |m| m.refresh_token = forged)
        .case("a token of another session", invalid(), |m| m.refresh_token = elsewhere)
        .case("an access token", invalid(), |m| {
            m.refresh_token.clone_from(&world.alice.access);
        })
        .case("a token of 100 KiB", invalid(), |m| {
            m.refresh_token = "x".repeat(100 << 10);
        })
        .done()
}

fn logout(world: &World) -> Table {
    Maker::new(world, "AuthService/Logout", v1::LogoutRequest { request_id: id() })
        .request_id(|m| &mut m.request_id)
        .done()
}

fn change_password(world: &World) -> Table {
    let right = v1::ChangePasswordRequest {
        current_password: PASSWORD.to_owned(),
        new_password: "another horse".to_owned(),
        request_id: id(),
    };
    let wrong = Refusal::of(Code::Unauthenticated, "CREDENTIALS_INVALID");
    let mut maker = Maker::new(world, "AuthService/ChangePassword", right)
        .request_id(|m| &mut m.request_id)
        .field("current_password", "missing", |m| m.current_password.clear())
        .field("current_password", "of 257 bytes", |m| {
            m.current_password = "x".repeat(257);
        })
        .case("a wrong password", wrong, |m| m.current_password.push('!'));
    for (what, bad) in passwords() {
        maker = maker.field("new_password", what, |m| m.new_password = bad);
    }
    maker.done()
}

fn list_sessions(world: &World) -> Table {
    Maker::new(world, "AuthService/ListSessions", v1::ListSessionsRequest::default())
        .page(|m| &mut m.page_size, |m| &mut m.page_token)
        .done()
}

fn revoke_session(world: &World) -> Table {
    let right = v1::RevokeSessionRequest {
        session_id: world.alice.session.clone(),
        request_id: id(),
    };
    Maker::new(world, "AuthService/RevokeSession", right)
        .id("session_id", |m| &mut m.session_id)
        .unknown("SESSION_NOT_FOUND", |m| &mut m.session_id)
        .case("a session of bob", Refusal::not_found("SESSION_NOT_FOUND"), |m| {
            m.session_id.clone_from(&world.bob.session);
        })
        .request_id(|m| &mut m.request_id)
        .done()
}
