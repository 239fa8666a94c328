//! Logins against the real server: who they act for, and what becomes of them when a server refuses them.

#![allow(clippy::unwrap_used, reason = "these are tests, their helpers included")]

mod run;

use std::fs;

use run::server::{PASSWORD, Server};
use run::{Ctl, Run};
use serde_json::json;

fn with_password(ctl: &Ctl, variables: &[(&str, &str)], args: &[&str]) -> Run {
    let mut command = ctl.command(args);
    command
        .env("SOCIALCTL_PASSWORD", PASSWORD)
        .envs(variables.iter().copied());
    Run::from(command.output().unwrap())
}

#[test]
fn logins_come_and_go() {
    let server = Server::start();
    let ctl = server.ctl();
    ctl.register("ada");
    ctl.register("grace");
    assert_eq!(ctl.json(["context", "show"])["users"], json!(["ada", "grace"]));
    let shown = fs::read_to_string(ctl.config()).unwrap();
    assert!(
        !ctl.ok(["context", "show", "-o", "json"])
            .contains(&shown[shown.find("eyJ").unwrap()..][..40]),
        "a token is shown"
    );

    // The same user from a second place, whose session is ended from the first.
    let other = server.ctl();
    let login = format!("{PASSWORD}\n");
    other
        .run_with(
            &login,
            [
                "auth",
                "login",
                "@ada",
                "--password-stdin",
                "--device-name",
                "elsewhere",
            ],
        )
        .ok();
    let sessions = ctl.json(["--as", "ada", "auth", "sessions"]);
    assert_eq!(sessions["sessions"][0]["device_name"], "elsewhere");
    ctl.ok([
        "--as",
        "ada",
        "auth",
        "revoke-session",
        sessions["sessions"][0]["id"].as_str().unwrap(),
    ]);
    assert!(other.run(["auth", "whoami"]).fails(3).contains("SESSION_REVOKED"));

    let passwords = format!("{PASSWORD}\nanother horse battery\n");
    ctl.run_with(
        &passwords,
        ["--as", "ada", "auth", "change-password", "--password-stdin"],
    )
    .ok();
    assert!(
        other
            .run_with(&login, ["auth", "login", "ada", "--password-stdin"])
            .fails(3)
            .contains("CREDENTIALS_INVALID")
    );
    ctl.ok(["--as", "ada", "auth", "logout"]);
    ctl.run(["--as", "ada", "timeline", "home"]).fails(3);
    assert_eq!(
        ctl.json(["auth", "whoami"])["handle"],
        "grace",
        "the other login is not touched"
    );
}

#[test]
fn logging_in_needs_no_login() {
    let server = Server::start();
    let ctl = server.ctl();
    with_password(&ctl, &[], &["--as", "ada", "auth", "register", "ada"]).ok();
    with_password(&ctl, &[("SOCIALCTL_AS", "grace")], &["auth", "register", "grace"]).ok();
    for handle in ["ada", "grace"] {
        ctl.ok(["--as", handle, "auth", "logout"]);
        with_password(&ctl, &[("SOCIALCTL_AS", handle)], &["auth", "login", handle]).ok();
    }
    let stats = with_password(&ctl, &[("SOCIALCTL_AS", "nobody")], &["admin", "stats"]);
    stats.ok();
    let run = ctl.run(["auth", "logout"]);
    assert!(
        run.err.contains("still logged in: @ada") && run.err.contains("--user ada"),
        "{run:?}"
    );
    run.ok();
}

#[test]
fn a_login_outlives_another_server_at_its_address() {
    let mut server = Server::start();
    let ctl = server.ctl();
    ctl.register("ada");
    let before = fs::read_to_string(ctl.config()).unwrap();
    server.kill_and_start_on("other");
    let err = ctl.run(["auth", "whoami"]).fails(3);
    for part in [
        "REFRESH_TOKEN_INVALID",
        "@ada",
        "another data folder",
        "kept",
        "--context test auth login ada",
    ] {
        assert!(err.contains(part), "{part}: {err}");
    }
    assert_eq!(fs::read_to_string(ctl.config()).unwrap(), before);
    server.kill_and_start_on("data");
    assert_eq!(ctl.json(["auth", "whoami"])["handle"], "ada");

    // Who wants to be rid of it is.
    server.kill_and_start_on("other");
    let run = ctl.run(["auth", "logout"]);
    assert!(run.err.contains("no such session"), "{run:?}");
    run.ok();
    assert_eq!(ctl.json(["context", "show"])["users"], json!([]));
}

#[test]
fn a_session_that_was_ended_takes_its_login_along() {
    let server = Server::start();
    let ctl = server.ctl();
    ctl.register("ada");
    let session = ctl.json(["auth", "sessions"])["sessions"][0]["id"].clone();
    let login = ctl.path("login.toml");
    fs::copy(ctl.config(), &login).unwrap();
    let elsewhere = ["--config", login.to_str().unwrap()];
    ctl.ok(["auth", "revoke-session", session.as_str().unwrap()]);
    let err = ctl.run(elsewhere.iter().chain(&["auth", "whoami"])).fails(3);
    assert!(
        err.contains("SESSION_REVOKED") && err.contains("is gone with it"),
        "{err}"
    );
    assert_eq!(
        ctl.json(elsewhere.iter().chain(&["context", "show"]))["users"],
        json!([])
    );
}

#[test]
fn a_context_is_used_for_the_login_that_was_named() {
    let server = Server::start();
    let ctl = server.ctl();
    ctl.register("ada");
    ctl.register("bob");
    let user = |args: &[&str]| ctl.json(["context", "use", "test"].iter().chain(args))["user"].clone();
    assert_eq!(user(&["--as", "ada"]), "ada");
    assert_eq!(user(&[]), "ada");
    assert_eq!(user(&["--user", "bob"]), "bob");
    assert_eq!(user(&["--user", "ada", "--as", "@Ada"]), "ada");
    ctl.run(["context", "use", "test", "--user", "ada", "--as", "bob"])
        .fails(2);
    ctl.run(["context", "use", "test", "--as", "carol"]).fails(3);
    let from_the_environment = with_password(&ctl, &[("SOCIALCTL_AS", "bob")], &["context", "use", "test"]);
    from_the_environment.ok();
    assert_eq!(ctl.json(["context", "show"])["user"], "ada");
}

#[test]
fn an_admin_call_to_another_port_is_told_so() {
    let server = Server::start();
    let ctl = server.ctl();
    let err = ctl
        .run(["admin", "stats", "--admin-endpoint", &server.endpoint])
        .fails(1);
    for part in [server.endpoint.as_str(), "is no admin port", "--admin-endpoint"] {
        assert!(err.contains(part), "{part}: {err}");
    }
    assert!(!err.contains("older than this socialctl"), "{err}");
    let err = ctl.run(["--endpoint", &server.admin_endpoint, "user", "get", "ada"]);
    assert!(err.err.contains("context show"), "{err:?}");
}
