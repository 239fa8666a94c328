//! Commands about several things, some of which fail, against the real server.

#![allow(clippy::unwrap_used, reason = "these are tests, their helpers included")]

mod run;

use run::server::Server;
use serde_json::{Value, json};

/// No post and no comment has this id.
const NOWHERE: &str = "2q3k5v7x9z1aa";

#[test]
fn one_unknown_user_keeps_no_other_from_being_followed() {
    let server = Server::start();
    let ctl = server.ctl();
    for handle in ["grace", "linus", "ada"] {
        ctl.register(handle);
    }
    let run = ctl.run([
        "graph",
        "follow",
        "@nobody_here",
        "@grace",
        "@ada",
        "@linus",
        "-o",
        "id",
    ]);
    assert_eq!((run.code, run.out.lines().count()), (1, 2), "{run:?}");
    for part in [
        "2 of 4 users failed",
        "@nobody_here: ",
        "USER_NOT_FOUND",
        "@ada: ",
        "SELF_REFERENCE",
    ] {
        assert!(run.err.contains(part), "{part}: {run:?}");
    }
    let following = ctl.json(["graph", "following"]);
    assert_eq!(following["following"].as_array().unwrap().len(), 2);
    let run = ctl.run(["graph", "mute", "@nobody_here", "@grace", "@no_one"]);
    assert_eq!(run.code, 5, "the failures are alike: {run:?}");

    let run = ctl.run(["user", "relationships", "@nobody_here", "@grace", "-o", "json"]);
    let answer: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!((run.code, &answer["relationships"][0]["muting"]), (5, &json!(true)));
    assert!(run.err.contains("no such user: @nobody_here"), "{run:?}");
    ctl.run(["user", "relationships", "@nobody_here", "-q"]).fails(5);

    let hint = ctl.run(["user", "get", "@nobody_here"]).fails(5);
    assert!(
        hint.contains("check the spelling") && !hint.contains("user get"),
        "{hint}"
    );
}

#[test]
fn what_is_there_is_printed_and_what_is_not_is_a_failure() {
    let server = Server::start();
    let ctl = server.ctl();
    ctl.register("ada");
    let post = ctl.ok(["post", "create", "Here", "-o", "id"]);
    let comment = ctl.ok(["comment", "create", post.trim(), "Well said", "-o", "id"]);
    for (args, noun) in [
        (["like", "counts", post.trim(), NOWHERE], "post"),
        (["comment", "get", comment.trim(), NOWHERE], "comment"),
    ] {
        let run = ctl.run(args.iter().chain(&["-o", "json"]));
        let answer: Value = serde_json::from_str(&run.out).unwrap();
        assert_eq!((run.code, &answer["not_found_ids"]), (5, &json!([NOWHERE])), "{args:?}");
        assert!(run.err.contains(&format!("no such {noun}: {NOWHERE}")), "{run:?}");
    }
    let events = ["0000000000001", "0000000000002"];
    let run = ctl.run(["admin", "deadletter", "replay"].iter().chain(&events));
    assert!(run.err.contains("2 of 2 events failed"), "{run:?}");
    run.fails(5);
}

#[test]
fn a_reply_is_named_alike_for_posts_and_comments() {
    let server = Server::start();
    let ctl = server.ctl();
    ctl.register("ada");
    let post = ctl.ok(["post", "create", "Here", "-o", "id"]);
    let reply = ctl.json(["post", "create", "There", "--reply-to", post.trim()]);
    assert_eq!(reply["post"]["in_reply_to_id"], post.trim());
    let comment = ctl.ok(["comment", "create", post.trim(), "Well said", "-o", "id"]);
    for option in ["--reply-to", "--parent"] {
        let reply = ctl.json(["comment", "create", post.trim(), "Thanks", option, comment.trim()]);
        assert_eq!(reply["parent_id"], comment.trim());
        let listed = ctl.json(["comment", "list", post.trim(), option, comment.trim()]);
        assert_eq!(listed["comments"][0]["content"], "Thanks");
    }
    let help = ctl.ok(["comment", "create", "--help"]);
    assert!(help.contains("--reply-to") && !help.contains("--parent"), "{help}");
}
