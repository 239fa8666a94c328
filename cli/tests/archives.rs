//! A whole platform into a file and out of it, with real servers.

#![allow(clippy::unwrap_used, reason = "these are tests, their helpers included")]

mod run;

use std::fs;

use run::Ctl;
use run::server::{PASSWORD, Server};
use serde_json::{Value, json};

/// A server with two people, a post that was edited, a comment and a like.
fn lived_in() -> (Server, Ctl, String) {
    let server = Server::start();
    let ctl = server.ctl();
    ctl.register("ada");
    ctl.register("grace");
    ctl.ok(["--as", "ada", "graph", "follow", "@grace"]);
    let post = ctl.ok(["--as", "grace", "post", "create", "First", "--wait", "-o", "id"]);
    let post = post.trim().to_owned();
    ctl.ok(["--as", "grace", "post", "edit", &post, "Second"]);
    ctl.ok(["--as", "ada", "comment", "create", &post, "Well said"]);
    ctl.ok(["--as", "ada", "like", "add", &post]);
    (server, ctl, post)
}

fn export(ctl: &Ctl, file: &str) -> Value {
    ctl.json(["admin", "export", file])
}

#[test]
fn a_platform_goes_into_a_file_and_out_of_it() {
    let (_server, ctl, post) = lived_in();
    let exported = export(&ctl, "platform.archive");
    let expected = json!({"users": 2, "posts": 1, "revisions": 1, "comments": 1, "likes": 1, "edges": 1, "records": 8});
    for (field, count) in expected.as_object().unwrap() {
        assert_eq!(&exported[field], count, "{field} of {exported}");
    }
    assert!(!ctl.path("platform.archive.partial").exists());
    let again = ctl.run(["admin", "export", "platform.archive"]).fails(6);
    assert!(again.contains("is there already"), "{again}");

    let target = Server::start();
    let there = target.ctl();
    fs::copy(ctl.path("platform.archive"), there.path("platform.archive")).unwrap();
    let imported = there.json(["admin", "import", "platform", "platform.archive"]);
    assert_eq!((&imported["complete"], &imported["records"]), (&json!(true), &json!(8)));
    assert_eq!(imported["archive_id"], exported["archive_id"]);
    // Once more changes nothing.
    let again = there.json(["admin", "import", "platform", "platform.archive"]);
    assert_eq!(again["records"], 8);
    there
        .run_with(PASSWORD, ["auth", "login", "ada", "--password-stdin"])
        .ok();
    let home = there.json(["timeline", "home"]);
    assert_eq!(home["items"][0]["post"]["id"], json!(post));
    assert_eq!(home["items"][0]["post"]["content"], "Second");
    assert_eq!(home["items"][0]["post"]["counts"]["likes"], 1);

    let used = ctl.run(["admin", "import", "platform", "platform.archive"]).fails(6);
    assert!(used.contains("empty"), "{used}");
}

#[cfg(unix)]
#[test]
fn an_archive_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_server, ctl, _) = lived_in();
    export(&ctl, "platform.archive");
    let mode = fs::metadata(ctl.path("platform.archive")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn an_export_that_was_cut_short_goes_on() {
    let (_server, ctl, _) = lived_in();
    let whole = export(&ctl, "whole.archive");
    let bytes = fs::read(ctl.path("whole.archive")).unwrap();
    for part in [1, 3, 6, 9] {
        let file = format!("cut{part}.archive");
        let cut = &bytes[..bytes.len() * part / 10];
        fs::write(ctl.path(&format!("{file}.partial")), cut).unwrap();
        let exported = export(&ctl, &file);
        for field in ["records", "users", "posts", "comments", "likes", "edges"] {
            assert_eq!(exported[field], whole[field], "{field} of {part}/10: {exported}");
        }
        let written = fs::read(ctl.path(&file)).unwrap();
        if exported["archive_id"] == whole["archive_id"] {
            assert_eq!(written, bytes, "the same archive, as if it had not been cut");
        }
        if part == 9 {
            assert_eq!(
                exported["archive_id"], whole["archive_id"],
                "it went on and did not begin anew"
            );
        }
    }
}

#[test]
fn a_file_that_is_not_whole_is_not_brought_in() {
    let (_server, ctl, _) = lived_in();
    export(&ctl, "platform.archive");
    let bytes = fs::read(ctl.path("platform.archive")).unwrap();
    let target = Server::start();
    let there = target.ctl();
    let refused = |content: &[u8], why: &str| {
        fs::write(there.path("bad.archive"), content).unwrap();
        let err = there.run(["admin", "import", "platform", "bad.archive"]).fails(2);
        assert!(err.contains(why), "{err}");
    };
    refused(&bytes[..bytes.len() - 1], "cut short");
    refused(&bytes[..bytes.len() / 2], "cut short");
    let said = bytes.windows(4).position(|four| four == b"said").unwrap();
    let mut changed = bytes.clone();
    changed[said] = b'p';
    refused(&changed, "damaged");
    refused("{\"handle\":\"ada\"}\n".repeat(100).as_bytes(), "damaged");
    // Nothing of it is there.
    fs::write(there.path("good.archive"), &bytes).unwrap();
    assert_eq!(
        there.json(["admin", "import", "platform", "good.archive"])["records"],
        8
    );
}
