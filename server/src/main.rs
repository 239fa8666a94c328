//! The server binary: reads the configuration, opens, serves, and drains when told to stop.

use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;

use social_server::config::{self, Invocation, Mode};
use social_server::{Bound, Config, Error, Server, cluster, dev};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a shell is told of a command line or configuration that cannot be used.
const EXIT_USAGE: u8 = 2;
/// What a shell is told of a process that a second signal ended.
const EXIT_INTERRUPTED: i32 = 130;

fn main() -> ExitCode {
    // Before anything else: whoever uses TLS finds one provider.
    social_server::install_provider();
    let invocation = match config::from_args(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(error) => return failed(&error, EXIT_USAGE),
    };
    if invocation.dump_config {
        print!("{}", invocation.config.to_toml());
        return ExitCode::SUCCESS;
    }
    match &invocation.mode {
        Mode::RotateKeys => return rotate_keys(&invocation.config),
        Mode::Restore { from } => return restore(&invocation.config, from),
        _ => {}
    }
    let _telemetry = match social_observability::init(&telemetry(&invocation.config)) {
        Ok(guard) => guard,
        Err(error) => return failed(&error, EXIT_USAGE),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error, 1),
    };
    let ended = match invocation.mode {
        Mode::Migrate => runtime.block_on(migrate(&invocation.config)),
        _ => runtime.block_on(run(invocation)),
    };
    // A task that hangs in the disk had its time.
    runtime.shutdown_background();
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        // The log says what was cut off.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => failed(&error, exit_code(&error)),
    }
}

fn exit_code(error: &Error) -> u8 {
    if error.is_configuration() { EXIT_USAGE } else { 1 }
}

async fn migrate(config: &Config) -> Result<bool, Error> {
    let migrated = cluster::migrate(config).await?;
    println!("{}", cluster::report(&config.cluster.cql.keyspace, &migrated));
    Ok(true)
}

fn rotate_keys(config: &Config) -> ExitCode {
    match social_server::rotate_keys(config) {
        Ok(()) => {
            println!(
                "added a signing key; running servers sign with it within 90 seconds, and older tokens stay valid until they expire"
            );
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error, 1),
    }
}

fn restore(config: &Config, from: &Path) -> ExitCode {
    match social_server::restore(config, from) {
        Ok(done) => {
            println!("{done}");
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error, 1),
    }
}

/// Without a filter of the operator's the lines of storage engine and drivers are left out: they tell of their daily work.
fn telemetry(config: &Config) -> social_observability::Config {
    let mut telemetry = config.telemetry.clone();
    if telemetry.filter.is_none() && std::env::var_os("RUST_LOG").is_none() {
        telemetry.filter = Some("info,fjall=warn,lsm_tree=warn,scylla=off,fred=off".to_owned());
    }
    telemetry
}

/// Runs until it is told to stop; whether everything ended in order.
async fn run(invocation: Invocation) -> Result<bool, Error> {
    let mut stop = pin!(told(on_signal()));
    let is_dev = invocation.mode == Mode::Dev;
    let server = Server::open(invocation.config).await?;
    if is_dev {
        tokio::select! {
            seeded = dev::seed(&server) => seeded?,
            // The next start goes on where this one stopped.
            () = &mut stop => return Ok(server.close().await),
        }
    }
    let bound = server.bind().await?;
    announce(&bound);
    if is_dev {
        println!("{}", dev::welcome(&bound));
    }
    Ok(bound.serve(stop).await)
}

/// Ready once it is told to stop.
async fn told(stop: oneshot::Receiver<()>) {
    // Without signals there is nothing to wait for: it serves until it is killed.
    if stop.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The line that scripts wait for. Its form stays.
fn announce(bound: &Bound) {
    let admin = bound.admin_endpoint();
    match bound.endpoint() {
        Some(public) => println!("listening on {public} (admin {admin})"),
        None => println!("working (admin {admin})"),
    }
}

/// Ready at the first SIGTERM or SIGINT. A second one ends the process at once.
fn on_signal() -> oneshot::Receiver<()> {
    let (stop, stopped) = oneshot::channel();
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    tokio::spawn(async move {
        let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
            return;
        };
        either(&mut terminate, &mut interrupt).await;
        let _ = stop.send(());
        either(&mut terminate, &mut interrupt).await;
        std::process::exit(EXIT_INTERRUPTED);
    });
    stopped
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

fn failed(error: &dyn std::error::Error, code: u8) -> ExitCode {
    eprintln!("social-server: {error}");
    ExitCode::from(code)
}
