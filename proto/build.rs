//! Compiles `social/v1/*.proto`, without protoc, into OUT_DIR:
//!
//! - `descriptors.bin`, the descriptor set with comments, for reflection and tests
//! - `social.v1.rs`, messages and clients
//! - `servers/social.v1.rs`, server stubs over the same messages, but for the answer of GetHomeTimeline, which is
//!   `spliced::HomeTimelinePage`
//! - `methods.rs`, a constant for each method

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost_types::FileDescriptorSet;
use protox::prost::Message as _;

/// Messages that hold a password, a hash or a token: their `Debug` is written by hand, in `src/redacted.rs`.
const SECRET_MESSAGES: &[&str] = &[
    ".social.v1.TokenPair",
    ".social.v1.RegisterRequest",
    ".social.v1.LoginRequest",
    ".social.v1.RefreshTokenRequest",
    ".social.v1.ChangePasswordRequest",
    ".social.v1.ImportUser",
    ".social.v1.StreamBackupResponse",
    ".social.v1.ArchiveUser",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=social/v1");
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let descriptors = protox::compile(proto_files()?, ["."])?;
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    fs::write(out.join("methods.rs"), method_table(&descriptors)?)?;
    messages_and_clients(&descriptors, &out)?;
    if enabled("SERVER") {
        servers(&descriptors, &out.join("servers"))?;
    }
    Ok(())
}

/// The contract's files, in a fixed order, so that two builds are the same byte for byte.
fn proto_files() -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir("social/v1")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn enabled(feature: &str) -> bool {
    env::var_os(format!("CARGO_FEATURE_{feature}")).is_some()
}

fn messages_and_clients(descriptors: &FileDescriptorSet, out: &Path) -> Result<(), Box<dyn Error>> {
    tonic_prost_build::configure()
        .build_client(enabled("CLIENT"))
        .build_server(false)
        .skip_debug(SECRET_MESSAGES)
        .out_dir(out)
        .compile_fds(descriptors.clone())?;
    Ok(())
}

/// Servers are generated in a second pass, since only there one message has another Rust type. All messages are extern
/// in it, so it emits stubs alone.
fn servers(descriptors: &FileDescriptorSet, out: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(out)?;
    tonic_prost_build::configure()
        .build_client(false)
        .build_server(true)
        .extern_path(".social.v1", "crate::v1")
        .extern_path(".social.v1.GetHomeTimelineResponse", "crate::spliced::HomeTimelinePage")
        .out_dir(out)
        .compile_fds(descriptors.clone())?;
    Ok(())
}

/// Rust source of `METHODS`, in the order of the files and of the methods in them.
fn method_table(descriptors: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let mut table = String::from("&[\n");
    for file in &descriptors.file {
        for service in &file.service {
            let service_name = format!("{}.{}", file.package(), service.name());
            for method in &service.method {
                let name = method.name();
                writeln!(
                    table,
                    "    Method {{ path: \"/{service_name}/{name}\", service: \"{service_name}\", name: \"{name}\", \
                     client_streaming: {}, server_streaming: {} }},",
                    method.client_streaming(),
                    method.server_streaming(),
                )?;
            }
        }
    }
    table.push_str("]\n");
    Ok(table)
}
