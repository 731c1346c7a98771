//! Compiles `schema/` to Rust, with a protobuf compiler that is itself Rust, so that a build needs
//! no `protoc`.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use tonic_prost_build::FileDescriptorSet;

const SCHEMA: &str = "schema";

/// What is compiled, with all it imports.
const ROOTS: [&str; 3] = [
    "envoy/service/ext_proc/v3/external_processor.proto",
    "grpc/health/v1/health.proto",
    "convoy/replica/v1/replica.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SCHEMA}");
    let descriptors = protox::compile(ROOTS, [SCHEMA])?;
    write_descriptors(descriptors.clone())?;
    tonic_prost_build::configure()
        // Bodies stay slices of the message they came in.
        .bytes(".")
        // Maps encode in one order, so equal messages are equal bytes.
        .btree_map(".")
        .include_file("wire.rs")
        .compile_fds(descriptors)?;
    Ok(())
}

/// Keeps the descriptors beside the generated code, without the comments.
fn write_descriptors(mut descriptors: FileDescriptorSet) -> Result<(), Box<dyn Error>> {
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    let path = PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin");
    fs::write(path, prost::Message::encode_to_vec(&descriptors))?;
    Ok(())
}
