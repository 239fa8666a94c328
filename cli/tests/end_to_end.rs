//! socialctl and social-server, both real, over real sockets.

#![allow(clippy::unwrap_used, reason = "these are tests, their helpers included")]

mod run;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use run::server::Server;
use run::{Ctl, Run};
use serde_json::{Value, json};

fn post(ctl: &Ctl, who: &str, text: &str) -> String {
    ctl.ok(["--as", who, "post", "create", text, "--wait", "-o", "id"])
        .trim()
        .to_owned()
}

#[test]
fn https_to_a_server_without_tls_is_told_as_that() {
    let server = Server::start();
    let secured = server.endpoint.replace("http://", "https://");
    let err = Ctl::new()
        .run(["--endpoint", &secured, "--deadline", "2", "user", "get", "ada"])
        .fails(8);
    assert!(err.contains("is the endpoint http://?"), "{err}");
}

#[test]
fn a_first_session() {
    let server = Server::start();
    let ctl = server.ctl();
    let ada = ctl.register("ada");
    let grace = ctl.register("Grace");
    assert_eq!(ctl.ok(["auth", "whoami", "-o", "id"]).trim(), grace);
    assert_eq!(ctl.ok(["user", "get", "@ADA", "-o", "id"]).trim(), ada);

    assert_eq!(
        ctl.json(["--as", "ada", "graph", "follow", "@grace"])["following"],
        true
    );
    let created = ctl.json(["post", "create", "Hello @ada #first", "--title", "One", "--wait"]);
    assert_eq!(created["fanout"]["state"], "FANOUT_STATE_DONE", "{created}");
    assert_eq!(created["post"]["facets"][0]["mention"]["handle"], "ada");
    let id = created["post"]["id"].as_str().unwrap();
    let status = ctl.json(["fanout", "status", created["fanout_id"].as_str().unwrap(), "--wait"]);
    assert_eq!(status["post_id"], id);

    assert_eq!(ctl.json(["--as", "ada", "like", "add", id])["counts"]["likes"], 1);
    let comment = ctl.ok(["--as", "ada", "comment", "create", id, "Well said", "-o", "id"]);
    let answer = ctl
        .run_with(
            "Thank you\n",
            ["comment", "create", id, "-", "--parent", comment.trim(), "-o", "json"],
        )
        .ok();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        (&answer["content"], &answer["parent_id"]),
        (&json!("Thank you"), &json!(comment.trim()))
    );

    let home = ctl.json(["--as", "ada", "timeline", "home"]);
    let item = &home["items"][0];
    assert_eq!(
        item["post"]["counts"],
        json!({ "likes": 1, "comments": 2, "replies": 0, "exact": true })
    );
    assert_eq!(
        (&item["reason"], &item["post"]["viewer"]["liked"]),
        (&json!("TIMELINE_REASON_FOLLOWED_AUTHOR"), &json!(true))
    );
    let table = ctl.ok(["--as", "ada", "timeline", "home"]);
    assert!(
        table.starts_with("AUTHOR\tTEXT\t") && table.contains("@grace\tOne - Hello @ada #first\t1\t2\t0\t"),
        "{table}"
    );
    assert_eq!(ctl.ok(["like", "likers", id, "-o", "id"]).trim(), ada);
    assert_eq!(ctl.json(["comment", "list", id])["comments"][0]["reply_count"], 1);
}

#[test]
fn lists_go_on_where_they_stopped() {
    let server = Server::start();
    let ctl = server.ctl();
    ctl.register("ada");
    let ids: Vec<String> = (0..5)
        .map(|number| post(&ctl, "ada", &format!("number {number}")))
        .collect();
    let first = ctl.json(["post", "list", "@ada", "--page-size", "2"]);
    assert_eq!(first["posts"].as_array().unwrap().len(), 2);
    let token = first["next_page_token"].as_str().unwrap();
    let second = ctl.json(["post", "list", "@ada", "--page-size", "2", "--page-token", token]);
    assert_eq!(second["posts"][0]["content"], "number 2");
    for (noun, verb) in [("post", "list"), ("timeline", "home")] {
        let all = ctl.ok([noun, verb, "--all", "--page-size", "2", "-o", "id"]);
        assert!(
            all.lines().eq(ids.iter().rev().map(String::as_str)),
            "{noun} {verb}: {all}"
        );
        let lines = ctl.ok([noun, verb, "--all", "--page-size", "2", "-o", "jsonl"]);
        assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()) && lines.lines().count() == 5);
    }
    assert!(
        ctl.run(["post", "list", "@ada", "--page-token", "nonsense"])
            .fails(2)
            .contains("page_token")
    );
}

#[test]
fn posts_change_and_come_back() {
    let server = Server::start();
    let ctl = server.ctl();
    ctl.register("ada");
    ctl.register("grace");
    let id = post(&ctl, "ada", "First version");
    let etag = ctl.json(["post", "get", &id])["etag"].clone();
    ctl.ok([
        "--as",
        "ada",
        "post",
        "edit",
        &id,
        "--content",
        "Second version",
        "--etag",
        etag.as_str().unwrap(),
    ]);
    let conflict = ctl
        .run([
            "--as",
            "ada",
            "post",
            "edit",
            &id,
            "--title",
            "T",
            "--etag",
            etag.as_str().unwrap(),
        ])
        .fails(6);
    assert!(
        conflict.contains("ETAG_MISMATCH") && conflict.contains("hint:"),
        "{conflict}"
    );
    ctl.run(["--as", "grace", "post", "edit", &id, "Mine"]).fails(4);
    let revisions = ctl.json(["post", "revisions", &id]);
    assert_eq!(revisions["revisions"][1]["content"], "First version");

    assert!(ctl.json(["--as", "ada", "post", "delete", &id])["undelete_expire_time"].is_string());
    assert!(ctl.run(["post", "get", &id]).fails(5).contains("POST_NOT_FOUND"));
    assert!(ctl.json(["--as", "ada", "post", "get", &id, "--include-deleted"])["delete_time"].is_string());
    ctl.ok(["--as", "ada", "post", "undelete", &id, "--wait"]);
    assert_eq!(ctl.json(["post", "get", &id])["content"], "Second version");

    // The same key makes one post; another text under it is refused.
    let key = "6f1c2b1e-7c0a-4d3e-9f51-2f3f5f0a9f10";
    let create = |text: &'static str| ctl.run(["post", "create", text, "--request-id", key, "-o", "id"]);
    assert_eq!(create("Once").ok(), create("Once").ok());
    assert!(create("Twice").fails(2).contains("REQUEST_ID_REUSED"));
    let empty = ctl.run(["post", "create", ""]).fails(2);
    assert!(empty.contains("content: ") && empty.contains("hint:"), "{empty}");
}

#[test]
fn the_graph_is_changed_and_written_out() {
    let server = Server::start();
    let ctl = server.ctl();
    let handles = ["ada", "grace", "linus", "mallory"];
    let ids = handles.map(|handle| ctl.register(handle));
    for handle in &handles[1..] {
        ctl.ok(["--as", handle, "graph", "follow", "@ada"]);
    }
    let export = ctl.ok(["--as", "ada", "graph", "export", "-o", "id"]);
    assert_eq!(export.lines().collect::<Vec<_>>(), [&ids[3], &ids[2], &ids[1]]);
    ctl.ok(["--as", "ada", "graph", "block", "mallory"]);
    ctl.ok(["--as", "ada", "graph", "mute", &ids[2]]);
    assert_eq!(
        ctl.json(["--as", "ada", "graph", "blocks"])["blocks"][0]["user"]["handle"],
        "mallory"
    );
    assert_eq!(
        ctl.json(["--as", "ada", "graph", "mutes"])["mutes"][0]["user"]["handle"],
        "linus"
    );
    assert!(
        ctl.run(["--as", "mallory", "graph", "follow", "@ada"])
            .fails(4)
            .contains("BLOCKED")
    );
    assert!(
        ctl.run(["--as", "ada", "graph", "follow", "me"])
            .fails(2)
            .contains("SELF_REFERENCE")
    );
    assert!(
        ctl.run(["graph", "follow", "@nobody_here"])
            .fails(5)
            .contains("USER_NOT_FOUND")
    );
    let relationships = ctl.json(["--as", "ada", "user", "relationships", "@grace", "@mallory"]);
    assert_eq!(
        (
            &relationships["relationships"][0]["followed_by"],
            &relationships["relationships"][1]["blocking"]
        ),
        (&json!(true), &json!(true))
    );
    assert_eq!(
        ctl.json(["--as", "ada", "graph", "followers"])["followers"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn a_watch_outlives_its_server() {
    let mut server = Server::start();
    let ctl = server.ctl();
    ctl.register("ada");
    ctl.register("grace");
    ctl.ok(["--as", "ada", "graph", "follow", "@grace"]);
    let watch = [
        "--as",
        "ada",
        "timeline",
        "watch",
        "--count",
        "2",
        "--timeout",
        "60",
        "-o",
        "jsonl",
    ];
    let mut watching = ctl
        .command(watch)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let mut next = |name: &str| {
        let mut events = lines.by_ref().map(|line| serde_json::from_str::<Value>(&line).unwrap());
        events
            .find_map(|mut event| Some(event.get_mut(name)?.take()))
            .unwrap_or_else(|| panic!("no {name}"))
    };
    next("checkpoint");
    post(&ctl, "grace", "before");
    assert_eq!(next("added")["item"]["post"]["content"], "before");
    server.kill_and_start_again();
    post(&ctl, "grace", "after");
    assert_eq!(next("added")["item"]["post"]["content"], "after");
    assert_eq!(watching.wait().unwrap().code(), Some(0));
}

#[test]
fn watches_end_as_they_are_told() {
    let server = Server::start();
    let ctl = server.ctl();
    ctl.register("ada");
    let id = post(&ctl, "ada", "Watched");
    ctl.ok(["timeline", "watch", "--timeout", "1"]);
    let few = ctl.run(["timeline", "watch", "--timeout", "1", "--count", "1"]);
    assert!(few.fails(8).contains("0 of 1 events"));
    let mut watching = ctl.command(["post", "watch", &id, "--count", "1", "--timeout", "60", "-o", "jsonl"]);
    let mut watching = watching.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    assert!(lines.find(|line| line.starts_with("{\"snapshot\"")).is_some());
    ctl.ok(["comment", "create", &id, "Live"]);
    assert!(lines.any(|line| line.contains("Live") || line.starts_with("{\"counts\"")));
    assert_eq!(watching.wait().unwrap().code(), Some(0));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_watch_with_130() {
    let server = Server::start();
    let ctl = server.ctl();
    ctl.register("ada");
    let mut watching = ctl
        .command(["timeline", "watch", "-o", "jsonl"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    let kill = std::process::Command::new("kill")
        .args(["-INT", &watching.id().to_string()])
        .status()
        .unwrap();
    assert!(kill.success());
    assert_eq!(watching.wait().unwrap().code(), Some(130));
}

#[test]
fn operators_work_with_a_token_of_their_own() {
    let server = Server::start();
    let ctl = server.ctl();
    ctl.register("ada");
    let id = post(&ctl, "ada", "Counted");
    let policy = ctl.json([
        "admin",
        "policy",
        "set",
        "--mode",
        "hybrid",
        "--celebrity-threshold",
        "7",
    ]);
    assert_eq!(
        (&policy["mode"], &policy["celebrity_threshold"]),
        (&json!("FANOUT_MODE_HYBRID"), &json!(7))
    );
    let old = policy["etag"].as_str().unwrap();
    ctl.ok([
        "admin",
        "policy",
        "set",
        "--mode",
        "hybrid",
        "--celebrity-threshold",
        "7",
        "--etag",
        old,
    ]);
    ctl.run(["admin", "policy", "set", "--mode", "push", "--etag", old])
        .fails(6);
    assert_eq!(ctl.json(["admin", "policy", "get"])["celebrity_threshold"], 7);
    assert_eq!(ctl.json(["admin", "post", "recount", &id])["after"]["exact"], true);
    assert!(ctl.json(["admin", "timeline", "rebuild", "@ada"])["entries"].is_number());
    assert_eq!(ctl.json(["admin", "deadletter", "list"])["dead_letters"], json!([]));
    ctl.run(["admin", "deadletter", "replay", "0000000000001"]).fails(5);
    let outbox = ctl.json(["admin", "outbox"]);
    assert_eq!(
        (&outbox["events"], &outbox["counts"]["dead"]),
        (&json!([]), &json!(0)),
        "{outbox}"
    );
    assert_eq!(outbox["counts"]["exact"], true);
    assert_eq!(ctl.json(["admin", "outbox", "--all"])["events"], json!([]));
    ctl.run(["admin", "outbox", "--page-token", "nonsense"]).fails(2);
    let cluster = ctl.json(["admin", "cluster"]);
    let process = &cluster["processes"][0];
    assert_eq!(
        (&cluster["backend"], &process["answered"]),
        (&json!("embedded"), &json!(true))
    );
    assert_eq!(process["roles"], json!(["PROCESS_ROLE_API", "PROCESS_ROLE_WORKER"]));
    assert_eq!(
        (&process["shards"], &cluster["shards"][0]["held"]),
        (&json!([0]), &json!(true))
    );
    let table = ctl.ok(["admin", "cluster"]);
    assert!(
        table.starts_with("NODE\tNAME\tROLES\tSTATE\t") && table.contains("\tapi,worker\tlive\t"),
        "{table}"
    );
    assert_eq!(ctl.ok(["admin", "cluster", "-o", "id"]), "0\n");
    let stats = ctl.json(["admin", "stats"]);
    assert!(
        stats["tables"].as_array().is_some_and(|tables| !tables.is_empty()),
        "{stats}"
    );
    fs::write(ctl.path("wrong.token"), "wrong").unwrap();
    let wrong = ctl
        .run(["admin", "stats", "--admin-token-file", "wrong.token"])
        .fails(3);
    assert!(
        wrong.contains("admin.token") && !wrong.contains("auth login"),
        "{wrong}"
    );
}

#[test]
fn files_are_imported_once() {
    let server = Server::start();
    let ctl = server.ctl();
    let users = "{\"handle\":\"ada\",\"display_name\":\"Ada\"}\n{\"handle\":\"grace\"}\n{\"handle\":\"ada\"}\n";
    fs::write(ctl.path("users.jsonl"), users).unwrap();
    let import = |ctl: &Ctl, what: &str, file: &str| -> Run { ctl.run(["admin", "import", what, file, "-o", "json"]) };
    let first = import(&ctl, "users", "users.jsonl");
    assert!(
        first.code == 1 && first.err.contains("1 of 3 items were rejected"),
        "{first:?}"
    );
    let progress: Value = serde_json::from_str(&first.out).unwrap();
    assert_eq!(
        (&progress["imported"], &progress["rejections"][0]["index"]),
        (&json!(2), &json!(2))
    );
    let again: Value = serde_json::from_str(&import(&ctl, "users", "users.jsonl").out).unwrap();
    assert_eq!(again["imported"], 2, "a rerun does nothing");
    assert_eq!(
        ctl.json(["admin", "import", "status", progress["import_id"].as_str().unwrap()])["next_offset"],
        3
    );

    fs::write(
        ctl.path("posts.jsonl"),
        "{\"author_handle\":\"ada\",\"content\":\"Old\",\"create_time\":\"2025-06-01T12:00:00Z\"}\n",
    )
    .unwrap();
    import(&ctl, "posts", "posts.jsonl").ok();
    import(&ctl, "posts", "posts.jsonl").ok();
    let posts = ctl.json(["post", "list", "@ada"]);
    assert_eq!(
        (
            posts["posts"].as_array().unwrap().len(),
            &posts["posts"][0]["create_time"]
        ),
        (1, &json!("2025-06-01T12:00:00Z"))
    );
    fs::write(
        ctl.path("follows.jsonl"),
        "{\"follower_handle\":\"grace\",\"followee_handle\":\"ada\"}\n",
    )
    .unwrap();
    import(&ctl, "follows", "follows.jsonl").ok();
    assert_eq!(ctl.json(["user", "get", "@ada"])["counts"]["followers"], 1);
}

#[test]
fn a_demo_world_is_the_same_however_often_it_is_seeded() {
    let server = Server::start();
    let ctl = server.ctl();
    let seed = [
        "demo",
        "seed",
        "--users",
        "60",
        "--seed",
        "3",
        "--active",
        "4",
        "--comments",
        "20",
        "--likes",
        "30",
    ];
    let first = ctl.json(seed);
    println!("{first}");
    assert_eq!(
        (&first["people"]["count"], &first["people"]["rejected"]),
        (&json!(60), &json!(0))
    );
    assert!(
        first["follows"]["count"].as_i64().unwrap() > 200 && first["posts"]["count"].as_i64().unwrap() > 100,
        "{first}"
    );
    assert_eq!(
        (&first["follows"]["rejected"], &first["posts"]["rejected"]),
        (&json!(0), &json!(0))
    );
    assert!(
        first["comments"]["count"].as_i64().unwrap() > 5 && first["likes"]["count"].as_i64().unwrap() > 5,
        "{first}"
    );
    let counts = |ctl: &Ctl| {
        let lines = ctl.ok(["post", "list", "@ada", "--all", "-o", "jsonl"]);
        lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .map(|post| post["counts"].to_string())
            .collect::<Vec<_>>()
    };
    let before = counts(&ctl);
    assert_eq!(ctl.json(seed)["posts"]["count"], first["posts"]["count"]);
    assert_eq!(counts(&ctl), before);

    ctl.run_with("analytical-engine-1843\n", ["auth", "login", "ada", "--password-stdin"])
        .ok();
    assert!(ctl.json(["timeline", "home"])["items"].as_array().unwrap().len() >= 20);
    let other = ["demo", "seed", "--users", "60", "--seed", "4"];
    assert!(ctl.run(other).fails(6).contains("@ada"), "two worlds do not mix");
}
