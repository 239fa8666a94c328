//! The file of contexts, through the command line.

#![allow(clippy::unwrap_used, reason = "these are tests, their helpers included")]

mod run;

use std::fs;
use std::process::Stdio;

use run::{Ctl, Run};
use serde_json::json;

/// A certificate of localhost; nobody has its key.
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBVjCCAQigAwIBAgIUEcVlDgS4QoDkSBoA1mN1rIKZZcswBQYDK2VwMBQxEjAQ
BgNVBAMMCWxvY2FsaG9zdDAeFw0yNjExMjExNTAyMDFaFw0yNzExMjExNTAyMDFa
MBQxEjAQBgNVBAMMCWxvY2FsaG9zdDAqMAUGAytlcAMhAIAtv96OhLN0tO2pimpf
V3pK1iubN5C10uRYkhUSQkBho2wwajAdBgNVHQ4EFgQU1yCZeLdmO2f+85ImF83U
M/so44AwHwYDVR0jBBgwFoAU1yCZeLdmO2f+85ImF83UM/so44AwDAYDVR0TAQH/
BAIwADAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwBQYDK2VwA0EANi//haZt
t+YUhrHMcai9tWEfLkAUm7KFZYU7Zpu+JguY0sNMh7efYAceXJETcjSwC7jKfEnE
7Yw3NSJPTNASAg==
-----END CERTIFICATE-----
";

#[test]
fn without_a_file_there_is_a_default() {
    let ctl = Ctl::new();
    let shown = ctl.json(["context", "show"]);
    assert_eq!(shown["name"], "default");
    assert_eq!(shown["endpoint"], "http://127.0.0.1:50051");
    assert_eq!(shown["admin_endpoint"], "http://127.0.0.1:50052");
    assert!(!ctl.config().exists(), "looking makes no file");
}

#[test]
fn contexts_are_made_chosen_changed_and_forgotten() {
    let ctl = Ctl::new();
    fs::write(ctl.path("ca.pem"), CERTIFICATE).unwrap();
    ctl.ok(["context", "set", "home", "--endpoint", "http://127.0.0.1:1/"]);
    ctl.ok([
        "context",
        "add",
        "away",
        "--endpoint",
        "https://social.example",
        "--ca-file",
        "ca.pem",
    ]);
    assert_eq!(ctl.ok(["context", "list", "-o", "id"]), "away\nhome\n");
    assert_eq!(
        ctl.json(["context", "show"])["name"],
        "home",
        "the first one made is the current one"
    );
    assert_eq!(ctl.json(["context", "use", "away"])["current"], true);
    let away = ctl.json(["context", "show"]);
    assert_eq!(
        (&away["name"], &away["endpoint"]),
        (&json!("away"), &json!("https://social.example"))
    );
    assert!(
        away["ca_file"].as_str().unwrap().ends_with("/ca.pem"),
        "paths are good from any folder: {away}"
    );
    assert_eq!(
        ctl.json(["--context", "home", "context", "show"])["endpoint"],
        "http://127.0.0.1:1"
    );
    let changed = ctl.json(["context", "set", "away", "--admin-endpoint", "https://social.example:2"]);
    assert_eq!(changed["admin_endpoint"], "https://social.example:2");
    assert_eq!(changed["endpoint"], "https://social.example", "what is not named stays");
    ctl.ok(["context", "delete", "away"]);
    assert_eq!(ctl.json(["context", "show"])["name"], "default");
    ctl.run(["context", "use", "away"]).fails(5);
    ctl.run(["--context", "away", "context", "show"]).fails(5);
    ctl.run(["context", "set", "a b"]).fails(2);
    ctl.run(["context", "set", "home", "--endpoint", "nonsense"]).fails(2);
}

#[test]
fn admin_calls_never_go_to_another_servers_port() {
    let ctl = Ctl::new();
    let admin = |args: &[&str]| ctl.json(args)["admin_endpoint"].clone();
    assert_eq!(
        admin(&["context", "set", "second", "--endpoint", "http://127.0.0.1:6001"]),
        "http://127.0.0.1:6002"
    );
    assert_eq!(
        admin(&["--endpoint", "http://127.0.0.1:7001", "context", "show"]),
        "http://127.0.0.1:7002"
    );
    assert!(
        ctl.ok(["context", "show", "second"])
            .contains("http://127.0.0.1:6002 (by default")
    );
    assert!(admin(&["context", "set", "far", "--endpoint", "https://social.example:50051"]).is_null());
}

#[test]
fn every_format_shows_contexts() {
    let ctl = Ctl::new();
    ctl.ok(["context", "set", "home", "--endpoint", "http://127.0.0.1:1"]);
    let table = ctl.ok(["context", "list"]);
    assert_eq!(
        table,
        "CURRENT\tNAME\tENDPOINT\tLOGINS\n*\thome\thttp://127.0.0.1:1\t\n"
    );
    let page = ctl.json(["context", "list"]);
    assert_eq!(page["contexts"][0]["name"], "home");
    assert_eq!(page["next_page_token"], "");
    let line = ctl.ok(["context", "list", "-o", "jsonl"]);
    assert_eq!(line.lines().count(), 1);
    assert!(
        line.starts_with("{\"name\":\"home\",\"current\":true,\"endpoint\":\"http://127.0.0.1:1\""),
        "{line}"
    );
    assert_eq!(ctl.ok(["context", "list", "-o", "id"]), "home\n");
    let mut coloured = ctl.command(["context", "list", "--color", "always"]);
    assert!(Run::from(coloured.output().unwrap()).ok().contains("\x1b["));
}

#[cfg(unix)]
#[test]
fn the_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let ctl = Ctl::new();
    ctl.ok(["context", "set", "home"]);
    assert_eq!(fs::metadata(ctl.config()).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(ctl.config(), fs::Permissions::from_mode(0o640)).unwrap();
    let err = ctl.run(["context", "list"]).fails(4);
    assert!(err.contains("chmod 600"), "{err}");
}

#[test]
fn a_broken_file_is_told_and_left_alone() {
    let ctl = Ctl::new();
    ctl.ok(["context", "set", "home"]);
    fs::write(ctl.config(), "current = 7\n").unwrap();
    assert!(
        ctl.run(["context", "set", "other"])
            .fails(2)
            .contains("no file of contexts")
    );
    assert_eq!(fs::read_to_string(ctl.config()).unwrap(), "current = 7\n");
}

#[test]
fn many_at_once_lose_nothing() {
    let ctl = Ctl::new();
    let children: Vec<_> = (0..16)
        .map(|number| {
            ctl.command(["context".into(), "set".into(), format!("context-{number}")])
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
    }
    assert_eq!(ctl.ok(["context", "list", "-o", "id"]).lines().count(), 16);
}
