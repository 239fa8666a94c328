//! The command line itself: what is refused before any server is asked, and how.

#![allow(clippy::unwrap_used, reason = "these are tests, their helpers included")]

mod run;

use std::io::Read as _;
use std::process::Stdio;

use run::Ctl;

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9";

#[test]
fn bad_command_lines_are_usage_errors() {
    let cases: &[(&[&str], &str)] = &[
        (&["nonsense"], "unrecognized subcommand"),
        (&["post", "create"], "TEXT|-"),
        (&["post", "create", "--wiat"], "--wiat"),
        (&["post", "get", "not-an-id"], "13 characters"),
        (&["post", "create", "x", "--visibility", "secret"], "possible values"),
        (&["post", "create", "x", "--request-id", "7"], "--request-id"),
        (&["post", "edit", "2q3k5v7x9z1aa"], "nothing to change"),
        (&["user", "get", "a"], "handle"),
        (&["user", "update"], "nothing to change"),
        (&["like", "counts"], "required"),
        (&["timeline", "watch", "--count", "0"], "--count"),
        (&["admin", "policy", "set", "--mode", "shove"], "possible values"),
        (&["demo", "seed", "--users", "1"], "--users"),
        (&["-o", "xml", "context", "list"], "possible values"),
        (&["--endpoint", "ftp://x", "user", "get", "ada"], "http://"),
    ];
    let ctl = Ctl::new();
    for (args, part) in cases {
        let run = ctl.run(*args);
        assert!(run.out.is_empty(), "{args:?}: {run:?}");
        let err = run.fails(2);
        assert!(err.contains(part), "{args:?}: {err}");
    }
}

#[test]
fn a_usage_line_tells_what_the_command_takes_and_not_what_the_environment_set() {
    let ctl = Ctl::new();
    let output = ctl
        .command(["post", "create"])
        .env("SOCIALCTL_ENDPOINT", NOWHERE)
        .output()
        .unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("Usage: socialctl post create [OPTIONS] <TEXT|->"), "{err}");
    assert!(!err.contains("--endpoint"), "{err}");
}

#[test]
fn a_watch_takes_no_deadline() {
    let ctl = Ctl::new();
    for noun in ["like", "post"] {
        let err = ctl.run(["--deadline", "5", noun, "watch", "2q3k5v7x9z1aa"]).fails(2);
        assert!(err.contains("--timeout"), "{noun}: {err}");
    }
}

#[test]
fn files_that_are_none_of_the_kind_are_named() {
    let ctl = Ctl::new();
    std::fs::write(ctl.path("words"), "two words\n").unwrap();
    std::fs::write(ctl.path("token"), "token\n").unwrap();
    std::fs::write(ctl.path("empty.jsonl"), "\n").unwrap();
    let missing = ctl.run(["context", "set", "x", "--ca-file", "nowhere.pem"]).fails(5);
    assert!(missing.contains("nowhere.pem"), "{missing}");
    let wrong = ctl.run(["context", "set", "x", "--ca-file", "words"]).fails(2);
    assert!(wrong.contains("words holds no certificates"), "{wrong}");
    let admin = |token: &str, file: &str| ctl.run(["admin", "--admin-token-file", token, "import", "users", file]);
    let err = admin("words", "empty.jsonl").fails(2);
    assert!(err.contains("words holds no admin token"), "{err}");
    let err = admin("token", ".").fails(2);
    assert!(err.contains("is a folder"), "{err}");
    let empty = admin("token", "empty.jsonl");
    assert!(
        empty.out.contains("users") && empty.err.contains("no items"),
        "{empty:?}"
    );
    empty.ok();
}

#[test]
fn too_much_on_stdin_is_told_as_that() {
    let text = "x".repeat((1 << 18) + 7);
    let err = Ctl::new().run_with(&text, ["post", "create", "-"]).fails(2);
    assert!(err.contains("more than 262144 bytes"), "{err}");
}

#[test]
fn help_and_version_are_on_stdout() {
    let ctl = Ctl::new();
    assert_eq!(
        ctl.ok(["--version"]),
        concat!("socialctl ", env!("CARGO_PKG_VERSION"), "\n")
    );
    for noun in [
        "auth",
        "user",
        "post",
        "comment",
        "like",
        "graph",
        "timeline",
        "fanout",
        "admin",
        "context",
        "demo",
        "completion",
    ] {
        assert!(ctl.ok([noun, "--help"]).contains("Usage: socialctl"), "{noun}");
    }
    let help = ctl.ok(["--help"]);
    assert!(
        help.contains("Examples:") && help.contains("SOCIALCTL_CONFIG") && help.contains("130  interrupted"),
        "{help}"
    );
    assert!(
        ctl.ok(["post", "create", "--help"])
            .contains("socialctl post create - --title")
    );
}

#[test]
fn exit_codes_are_documented() {
    let text = Ctl::new().ok(["help", "exit-codes"]);
    for code in [
        "0  done",
        "2  usage",
        "3  unauth",
        "5  not found",
        "8  unavailable",
        "130  interrupted",
    ] {
        assert!(text.contains(code), "{code}: {text}");
    }
}

#[test]
fn completion_knows_nouns_and_verbs() {
    let ctl = Ctl::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = ctl.ok(["completion", shell]);
        assert!(
            script.contains("timeline") && script.contains("revoke-session"),
            "{shell}"
        );
    }
}

#[test]
fn a_server_that_is_away_is_told_with_what_to_do() {
    let run = Ctl::new().run(["--endpoint", NOWHERE, "--deadline", "2", "user", "get", "ada"]);
    assert!(run.out.is_empty(), "{run:?}");
    let err = run.fails(8);
    assert!(
        err.starts_with("error: cannot connect") && err.contains("hint: is the server running"),
        "{err}"
    );
}

#[test]
fn who_is_not_logged_in_is_told_so_before_anything_is_sent() {
    let ctl = Ctl::new();
    for args in [
        &["timeline", "home"][..],
        &["post", "create", "x"],
        &["auth", "whoami"],
        &["graph", "blocks"],
        &["user", "get"],
    ] {
        let err = ctl.run(["--endpoint", NOWHERE].iter().chain(args)).fails(3);
        assert!(err.contains("socialctl auth login"), "{args:?}: {err}");
    }
    assert!(
        ctl.run(["--as", "ada", "timeline", "home"])
            .fails(3)
            .contains("@ada is not logged in in context default")
    );
}

#[test]
fn passwords_come_from_stdin_or_the_surroundings_never_from_arguments() {
    let ctl = Ctl::new();
    let err = ctl.run(["auth", "login", "ada"]).fails(2);
    assert!(err.contains("no terminal") && err.contains("--password-stdin"), "{err}");
    assert!(
        ctl.run(["auth", "login", "ada", "--password", "x"])
            .fails(2)
            .contains("unexpected argument")
    );
    assert!(
        ctl.run_with("", ["auth", "login", "ada", "--password-stdin"])
            .fails(2)
            .contains("stdin holds no password")
    );
    // With a password there is a server to be asked, which is not there.
    let login = ["--endpoint", NOWHERE, "--deadline", "2", "auth", "login", "ada"];
    ctl.run_with("secret-1843\n", login.iter().chain(&["--password-stdin"]))
        .fails(8);
    let mut command = ctl.command(login);
    assert_eq!(
        command
            .env("SOCIALCTL_PASSWORD", "secret-1843")
            .output()
            .unwrap()
            .status
            .code(),
        Some(8)
    );
    assert!(!ctl.config().exists(), "a login that failed leaves nothing behind");
}

#[test]
fn admin_commands_ask_for_the_token_file() {
    let ctl = Ctl::new();
    let err = ctl.run(["admin", "stats"]).fails(3);
    assert!(
        err.contains("--admin-token-file") && err.contains("context set default"),
        "{err}"
    );
    assert!(
        ctl.run(["admin", "stats", "--admin-token-file", "nowhere"])
            .fails(5)
            .contains("nowhere")
    );
    std::fs::write(ctl.path("admin.token"), "token\n").unwrap();
    let args = [
        "admin",
        "stats",
        "--admin-token-file",
        "admin.token",
        "--admin-endpoint",
        NOWHERE,
        "--deadline",
        "2",
    ];
    let err = ctl.run(args).fails(8);
    assert!(err.contains(&format!("admin calls go to {NOWHERE}")), "{err}");
}

#[test]
fn helps_name_the_folders_and_variables_that_are_there() {
    let ctl = Ctl::new();
    for verb in [
        &["admin", "stats"][..],
        &["admin", "timeline", "rebuild"],
        &["demo", "seed"],
        &["context", "set"],
    ] {
        let help = ctl.ok(verb.iter().chain(&["--help"]));
        assert!(help.contains("social-data/admin.token"), "{verb:?}: {help}");
        assert!(!help.contains(" data/admin.token"), "{verb:?}: {help}");
    }
    let help = ctl.ok(["--help"]);
    for variable in [
        "SOCIALCTL_NEW_PASSWORD",
        "SOCIALCTL_ADMIN_TOKEN_FILE",
        "SOCIALCTL_ADMIN_ENDPOINT",
    ] {
        assert!(help.contains(variable), "{variable}: {help}");
    }
}

#[test]
fn an_admin_token_is_not_sent_to_whatever_listens_here() {
    let ctl = Ctl::new();
    std::fs::write(ctl.path("admin.token"), "token\n").unwrap();
    let remote = ["context", "set", "far", "--endpoint", "https://social.invalid"];
    ctl.ok(remote.into_iter().chain(["--admin-token-file", "admin.token"]));
    let err = ctl.run(["--context", "far", "admin", "stats"]).fails(2);
    assert!(err.contains("--admin-endpoint"), "{err}");
    let moved = ctl.json(["context", "set", "far", "--endpoint", "http://127.0.0.1:1"]);
    assert!(moved["admin_token_file"].is_null(), "it was another server's: {moved}");
}

#[test]
fn a_warning_is_given_in_every_format() {
    let ctl = Ctl::new();
    for format in ["table", "json", "jsonl", "id"] {
        let args = [
            "--endpoint",
            "http://social.invalid:1",
            "--deadline",
            "1",
            "user",
            "get",
            "@ada",
        ];
        let loud = ctl.run(args.into_iter().chain(["-o", format]));
        assert!(loud.err.contains("not encrypted"), "{format}: {loud:?}");
        let quiet = ctl.run(args.into_iter().chain(["-o", format, "-q"]));
        assert!(!quiet.err.contains("not encrypted"), "{format}: {quiet:?}");
    }
}

#[test]
fn a_file_to_import_is_checked_before_anything_is_sent() {
    let ctl = Ctl::new();
    std::fs::write(ctl.path("admin.token"), "token\n").unwrap();
    std::fs::write(ctl.path("users.jsonl"), "{\"handle\":\"ada\"}\n{\"handel\":\"bob\"}\n").unwrap();
    let import = [
        "admin",
        "import",
        "users",
        "users.jsonl",
        "--admin-token-file",
        "admin.token",
        "--admin-endpoint",
        NOWHERE,
    ];
    let err = ctl.run(import).fails(2);
    assert!(err.contains("users.jsonl, line 2") && err.contains("handel"), "{err}");
    assert!(!err.contains("line 1"), "one place is told: {err}");
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let ctl = Ctl::new();
    let mut command = ctl.command(["completion", "bash"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut some = [0; 16];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
