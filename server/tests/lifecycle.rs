//! The real binary's life: it tells where it listens, drains on SIGTERM, guards its folder and its secrets, and says clearly why it
//! cannot start.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use social_proto::v1;
use support::people::PASSWORD;
use support::{Exited, Failure, Line, Person, Process, assert_refused, in_time, process, refused, request_id};
use tonic::Code;

/// What the servers of these tests get to finish what they have in hand.
const GRACE: Duration = Duration::from_secs(5);

/// Runs the binary with arguments to its end.
fn run(arguments: &[&str]) -> Exited {
    process::run(process::command().args(arguments))
}

/// Asserts that it refused to start: no zero, and one clear line.
#[track_caller]
fn assert_refuses(exited: &Exited, code: i32, says: &[&str]) {
    assert_eq!(exited.status.code(), Some(code), "{exited:?}");
    let lines: Vec<&str> = exited
        .stderr
        .lines()
        .filter(|line| line.starts_with("social-server: "))
        .collect();
    assert_eq!(lines.len(), 1, "one line says why: {exited:?}");
    assert!(!exited.stderr.contains("panicked"), "{exited:?}");
    for text in says {
        assert!(exited.stderr.contains(text), "{text}: {exited:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_streams_finishes_work_and_exits_zero() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(&process::write_config(folder.path(), |_| {}));
    assert!(
        server.address.port() > 0 && server.admin_address.port() > 0,
        "the ports that are bound"
    );
    let line = Line::to(server.address).await;
    let alice = Person::register(&line, "alice").await;
    let mut home = line
        .open(
            "/social.v1.TimelineService/SubscribeHomeTimeline",
            alice.token(),
            vec![Vec::new()],
        )
        .await
        .unwrap();
    in_time("the first message", home.message()).await.unwrap().unwrap();
    // A login takes its time: it is in hand when the signal comes.
    let in_hand = tokio::spawn({
        let (line, alice) = (line.clone(), alice.clone());
        async move { alice.log_in(&line).await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;

    let asked = Instant::now();
    server.signal("TERM");
    let end = in_time("the stream to end", async {
        loop {
            match home.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ended without a reason"),
                Err(status) => return Failure::from(status),
            }
        }
    })
    .await;
    assert_refused(&end, Code::Unavailable, "SHUTTING_DOWN");
    assert!(end.retry_delay.is_some());
    in_hand.await.unwrap();
    let exited = server.ended();
    let took = asked.elapsed();
    assert!(exited.status.success(), "{exited:?}");
    assert!(took < GRACE, "{took:?}");
    println!(
        "SIGTERM: the stream ended, a login in hand finished, exit 0 after {} ms",
        took.as_millis()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_outlives_sigterm_and_sigint() {
    let folder = tempfile::tempdir().unwrap();
    let config = process::write_config(folder.path(), |_| {});
    let server = Process::start(&config);
    let line = Line::to(server.address).await;
    let alice = Person::register(&line, "alice").await;
    let mut posts = Vec::new();
    let mut running = Some(server);
    for signal in ["TERM", "INT", "TERM"] {
        let server = running.take().unwrap();
        let line = Line::to(server.address).await;
        posts.insert(0, alice.post_id(&line, "still here").await);
        server.signal(signal);
        let exited = server.ended();
        assert!(exited.status.success(), "SIG{signal}: {exited:?}");
        let server = Process::start(&config);
        // The session and its token go on, too.
        let line = Line::to(server.address).await;
        assert_eq!(alice.home(&line).await.unwrap(), posts);
        running = Some(server);
    }
}

#[test]
fn one_folder_is_for_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let config = process::write_config(folder.path(), |_| {});
    let first = Process::start(&config);
    let second = process::run(process::command().arg("--config").arg(&config));
    let data = folder.path().join("data").display().to_string();
    assert_refuses(
        &second,
        1,
        &["another social-server uses the data folder", &data, "stop it"],
    );
    assert!(!second.stdout.contains("listening"));
    first.kill();
    // A crash leaves no lock behind.
    Process::start(&config);
}

#[test]
fn keys_are_added_to_a_data_folder_only() {
    let folder = tempfile::tempdir().unwrap();
    let config = process::write_config(folder.path(), |_| {});
    let data = folder.path().join("data");
    let rotate = || process::run(process::command().arg("--config").arg(&config).arg("rotate-keys"));
    assert_refuses(&rotate(), 1, &[&data.display().to_string(), "no data folder"]);
    assert!(!data.exists(), "nothing is made");
    Process::start(&config).kill();
    let rotated = rotate();
    assert!(
        rotated.status.success() && rotated.stdout.contains("added"),
        "{rotated:?}"
    );
}

#[test]
fn lost_keys_are_not_replaced_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let config = process::write_config(folder.path(), |_| {});
    let keys = folder.path().join("data/keys");
    let start = || process::run(process::command().arg("--config").arg(&config));
    Process::start(&config).kill();
    let kept = folder.path().join("kept");
    std::fs::rename(&keys, &kept).unwrap();
    assert_refuses(&start(), 1, &[&keys.display().to_string(), "restore", "rotate-keys"]);
    assert!(!keys.exists(), "nothing is made");
    std::fs::create_dir(&keys).unwrap();
    assert_refuses(&start(), 1, &["rotate-keys"]);
    std::fs::remove_dir(&keys).unwrap();
    std::fs::rename(&kept, &keys).unwrap();
    Process::start(&config).kill();
    // On purpose, it is one command.
    std::fs::remove_dir_all(&keys).unwrap();
    let rotated = process::run(process::command().arg("--config").arg(&config).arg("rotate-keys"));
    assert!(rotated.status.success(), "{rotated:?}");
    Process::start(&config);
}

#[test]
fn a_usage_line_names_no_option_that_a_variable_set() {
    let mut command = process::command();
    let exited = process::run(command.env("SOCIAL_WORKERS", "2").args(["dev", "--nonsense"]));
    assert_eq!(exited.status.code(), Some(2), "{exited:?}");
    assert!(
        exited.stderr.contains("Usage: social-server dev [OPTIONS]") && !exited.stderr.contains("--workers"),
        "{exited:?}"
    );
}

#[test]
fn a_folder_of_a_newer_format_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let config = process::write_config(folder.path(), |_| {});
    Process::start(&config).kill();
    let format = folder.path().join("data/FORMAT");
    let own: u32 = std::fs::read_to_string(&format).unwrap().trim().parse().unwrap();
    let newer = (own + 1).to_string();
    std::fs::write(&format, &newer).unwrap();
    let start = || process::run(process::command().arg("--config").arg(&config));
    assert_refuses(&start(), 1, &["format", &newer, "newer program"]);
    assert_eq!(std::fs::read_to_string(&format).unwrap(), newer);
    std::fs::write(&format, "gibberish").unwrap();
    assert_refuses(&start(), 1, &["FORMAT"]);
    std::fs::write(&format, own.to_string()).unwrap();
    Process::start(&config);
}

#[test]
fn secrets_are_for_their_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let config = process::write_config(folder.path(), |_| {});
    let server = Process::start(&config);
    let data = folder.path().join("data");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join("keys")), 0o700);
    assert_eq!(mode(&data.join("db")), 0o700);
    let mut secrets = vec![data.join("admin.token")];
    secrets.extend(
        std::fs::read_dir(data.join("keys"))
            .unwrap()
            .map(|entry| entry.unwrap().path()),
    );
    assert!(secrets.len() >= 3, "{secrets:?}");
    for path in &secrets {
        assert_eq!(mode(path), 0o600, "{}", path.display());
    }
    server.kill();
    // What others may have read is not used any more.
    for path in &secrets {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let exited = process::run(process::command().arg("--config").arg(&config));
        assert_refuses(&exited, 1, &[&path.display().to_string(), "0644"]);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn the_dump_of_the_configuration_holds_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    let secret = "canary-of-the-admin-token-0123456789abcdef";
    std::fs::write(&token, secret).unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let path = token.display().to_string();
    let dump = run(&["--dump-config", "--admin-token-file", &path, "--workers", "7"]);
    assert!(dump.status.success(), "{dump:?}");
    assert!(
        dump.stdout.contains(&path) && dump.stdout.contains("workers = 7"),
        "{dump:?}"
    );
    assert!(
        !dump.stdout.contains(secret) && !dump.stderr.contains(secret),
        "{dump:?}"
    );
    // It is a configuration.
    let file = folder.path().join("dumped.toml");
    std::fs::write(&file, &dump.stdout).unwrap();
    let again = run(&["--dump-config", "--config", &file.display().to_string()]);
    assert_eq!(again.stdout, dump.stdout);
}

#[test]
fn a_bad_configuration_is_refused_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = |text: &str| {
        let path = folder.path().join("bad.toml");
        std::fs::write(&path, text).unwrap();
        process::run(process::command().arg("--config").arg(path))
    };
    assert_refuses(
        &file("lissten = \"127.0.0.1:0\"\n"),
        2,
        &["bad.toml", "unknown field `lissten`"],
    );
    assert_refuses(&file("workers = \"many\"\n"), 2, &["bad.toml", "line 1"]);
    assert_refuses(&file("workers = 0\n"), 2, &["workers", "1"]);
    assert_refuses(&file("listen = "), 2, &["bad.toml", "line 1"]);
    assert_refuses(
        &run(&["--listen", "here"]),
        2,
        &["`listen` (from --listen)", "expected"],
    );
    assert_refuses(
        &run(&["--config", "/nowhere/at-all.toml"]),
        2,
        &["/nowhere/at-all.toml"],
    );
    assert_refuses(
        &run(&["--admin-listen", "0.0.0.0:0"]),
        2,
        &["admin.listen", "admin.tls.cert"],
    );
    let mut variable = process::command();
    assert_refuses(
        &process::run(variable.env("SOCIAL_WORKERS", "a few")),
        2,
        &["`workers` (from SOCIAL_WORKERS)"],
    );
    // An address that is taken is said with the setting's name.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = folder.path().join("data").display().to_string();
    let exited = run(&[
        "--data-dir",
        &data,
        "--listen",
        &address,
        "--admin-listen",
        "127.0.0.1:0",
    ]);
    assert_refuses(&exited, 1, &["listen", &address, "port 0"]);
}

#[test]
fn a_start_that_is_refused_leaves_no_folder_behind() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let none = folder.path().join("none.pem").display().to_string();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let start = |arguments: &[&str], variables: &[(&str, &str)]| {
        let config = process::write_config(folder.path(), |_| {});
        let mut command = process::command();
        command.arg("--config").arg(config).args(arguments);
        process::run(command.envs(variables.iter().copied()))
    };
    let no_variables: &[(&str, &str)] = &[];
    for (arguments, variables, code, says) in [
        (
            &["--tls-cert", &none, "--tls-key", &none][..],
            no_variables,
            1,
            &["tls: ", "none.pem"],
        ),
        (
            &["--admin-tls-cert", &none, "--admin-tls-key", &none],
            no_variables,
            1,
            &["admin.tls: ", "none.pem"],
        ),
        (&["--listen", &address], no_variables, 1, &["listen: ", &address]),
        (
            &["--admin-listen", &address],
            no_variables,
            1,
            &["admin.listen: ", &address],
        ),
        (
            &["--telemetry-filter", "info,,=x"],
            no_variables,
            2,
            &["telemetry.filter", "empty part"],
        ),
        (
            &["--telemetry-filter", "inof"],
            no_variables,
            2,
            &["telemetry.filter", "`inof` is no level"],
        ),
        (
            &[],
            &[("SOCIAL_WORKER", "3")],
            2,
            &["SOCIAL_WORKER ", "SOCIAL_WORKERS?"],
        ),
    ] {
        assert_refuses(&start(arguments, variables), code, says);
        assert!(!data.exists(), "{arguments:?} {variables:?}");
    }
}

#[test]
fn a_port_that_others_reach_without_tls_is_warned_of_once() {
    let folder = tempfile::tempdir().unwrap();
    for (listen, times) in [("0.0.0.0:0", 1), ("127.0.0.1:0", 0)] {
        let config = process::write_config(folder.path(), |config| config.listen = listen.parse().unwrap());
        let server = Process::start(&config);
        server.signal("TERM");
        let log = server.ended().stderr;
        let warnings = log
            .lines()
            .filter(|line| line.contains("WARN") && line.contains("without TLS"));
        assert_eq!(warnings.count(), times, "{listen}: {log}");
    }
}

/// Texts that are planted wherever a client can put one; none may ever be logged.
const PASSWORD_CANARY: &str = "canary-password-7f3a";
const CONTENT_CANARY: &str = "canary-content-7f3a";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_reaches_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let config = process::write_config(folder.path(), |config| {
        config.telemetry.filter = Some("debug,social_server=trace,social_core=trace,social_store=trace".to_owned());
    });
    let server = Process::start(&config);
    let line = Line::to(server.address).await;
    let mut canaries = vec![
        PASSWORD_CANARY.to_owned(),
        CONTENT_CANARY.to_owned(),
        std::fs::read_to_string(folder.path().join("data/admin.token"))
            .unwrap()
            .trim()
            .to_owned(),
    ];
    plant(&line, &mut canaries).await;
    let admin = Line::to(server.admin_address).await;
    let policy = v1::GetFanoutPolicyRequest {};
    let _: v1::GetFanoutPolicyResponse = admin
        .call("AdminService/GetFanoutPolicy", Some(&canaries[2]), &policy)
        .await
        .unwrap();
    server.signal("TERM");
    let exited = server.ended();
    let log = format!("{}{}", exited.stdout, exited.stderr);
    for canary in &canaries {
        assert!(canary.len() > 12, "{canary}");
        let leak = log.lines().find(|line| line.contains(canary.as_str()));
        assert!(leak.is_none(), "`{canary}` was logged: {leak:?}");
        assert!(
            !log.contains(&format!("{:?}", canary.as_bytes())),
            "the bytes of `{canary}` were logged"
        );
    }
    let control = log
        .lines()
        .find(|line| line.chars().any(|c| c.is_control() && c != '\t'));
    assert!(control.is_none(), "{control:?}");
    assert!(
        log.lines().count() > 20 && log.contains("DEBUG"),
        "the log is at debug: {log}"
    );
    println!(
        "{} canaries, {} lines of log, none of them in it",
        canaries.len(),
        log.lines().count()
    );
}

/// Sends secrets and texts by all ways, good ones and refused ones, and adds to the canaries what came back.
async fn plant(line: &Line, canaries: &mut Vec<String>) {
    let register = v1::RegisterRequest {
        handle: "canary".to_owned(),
        display_name: "Canary".to_owned(),
        password: PASSWORD_CANARY.to_owned(),
        device_name: CONTENT_CANARY.to_owned(),
        request_id: request_id(),
    };
    let registered: v1::RegisterResponse = line.call("AuthService/Register", None, &register).await.unwrap();
    let tokens = registered.tokens.unwrap();
    let token = Some(tokens.access_token.as_str());
    let mut refusals = Vec::new();
    // The wrong password of one place is the right one of another.
    for password in [
        format!("{PASSWORD_CANARY}!"),
        format!("{PASSWORD_CANARY}\u{1b}[31m\r\n"),
    ] {
        let login = v1::LoginRequest {
            handle: format!("canary{password}")[..20].to_owned(),
            password,
            ..Default::default()
        };
        refusals.push(refused(
            line.call::<v1::LoginResponse>("AuthService/Login", None, &login).await,
        ));
    }
    let change = v1::ChangePasswordRequest {
        current_password: format!("{PASSWORD_CANARY}-not"),
        new_password: PASSWORD.to_owned(),
        request_id: request_id(),
    };
    refusals.push(refused(
        line.call::<v1::ChangePasswordResponse>("AuthService/ChangePassword", token, &change)
            .await,
    ));
    let post = v1::CreatePostRequest {
        content: format!("{CONTENT_CANARY} #canary"),
        title: CONTENT_CANARY.to_owned(),
        request_id: request_id(),
        ..Default::default()
    };
    let _: v1::CreatePostResponse = line.call("PostService/CreatePost", token, &post).await.unwrap();
    let bad = v1::CreatePostRequest {
        title: format!("{CONTENT_CANARY}\u{1b}[31m\u{7}"),
        ..post
    };
    refusals.push(refused(
        line.call::<v1::CreatePostResponse>("PostService/CreatePost", token, &bad)
            .await,
    ));
    let refresh = v1::RefreshTokenRequest {
        refresh_token: tokens.refresh_token.clone(),
        request_id: request_id(),
    };
    let next: v1::RefreshTokenResponse = line.call("AuthService/RefreshToken", None, &refresh).await.unwrap();
    let next = next.tokens.unwrap();
    // A forged token, and a header that is none.
    let forged = format!("{}{PASSWORD_CANARY}", next.access_token);
    let marker = v1::GetMarkerRequest {};
    for bad in [forged.as_str(), PASSWORD_CANARY, &next.refresh_token] {
        refusals.push(refused(
            line.call::<v1::GetMarkerResponse>("TimelineService/GetMarker", Some(bad), &marker)
                .await,
        ));
    }
    // The old refresh token again: its session is revoked, and said so in the log.
    let again = v1::RefreshTokenRequest {
        request_id: request_id(),
        ..refresh
    };
    let reused = refused(
        line.call::<v1::RefreshTokenResponse>("AuthService/RefreshToken", None, &again)
            .await,
    );
    assert_refused(&reused, Code::Unauthenticated, "REFRESH_TOKEN_REUSED");
    refusals.push(reused);
    canaries.extend([
        tokens.access_token,
        tokens.refresh_token,
        next.access_token,
        next.refresh_token,
    ]);
    for refusal in refusals {
        let text = format!("{refusal:?}");
        assert!(!refusal.message.chars().any(char::is_control), "{text}");
        let leak = canaries.iter().find(|canary| text.contains(canary.as_str()));
        assert!(leak.is_none(), "a refusal says {leak:?}: {text}");
    }
}
