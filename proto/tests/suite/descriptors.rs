//! Every field, enum value and method of our schema is the protocol's, and none is missing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    ServiceDescriptorProto,
};

/// Everything a set of files declares, by full name.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    messages: BTreeMap<String, BTreeMap<i32, Field>>,
    enums: BTreeMap<String, BTreeMap<String, i32>>,
    methods: BTreeMap<String, Method>,
}

/// What decides how a field looks on the wire, and its name.
#[derive(Debug, PartialEq)]
struct Field {
    name: String,
    label: i32,
    r#type: i32,
    type_name: String,
    oneof: Option<String>,
    packed: Option<bool>,
}

#[derive(Debug, PartialEq)]
struct Method {
    input: String,
    output: String,
    client_streaming: bool,
    server_streaming: bool,
}

impl Declared {
    pub(crate) fn ours() -> Self {
        Self::of(&FileDescriptorSet::decode(convoy_proto::FILE_DESCRIPTOR_SET).unwrap())
    }

    pub(crate) fn of(files: &FileDescriptorSet) -> Self {
        let mut declared = Self::default();
        for file in &files.file {
            let package = file.package();
            file.message_type.iter().for_each(|message| declared.message(package, message));
            file.enum_type.iter().for_each(|of| declared.enumeration(package, of));
            file.service.iter().for_each(|service| declared.service(package, service));
        }
        declared
    }

    fn message(&mut self, scope: &str, message: &DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        message.nested_type.iter().for_each(|nested| self.message(&name, nested));
        message.enum_type.iter().for_each(|of| self.enumeration(&name, of));
        let fields = message.field.iter().map(|field| (field.number(), Field::of(field, message)));
        self.messages.insert(name, fields.collect());
    }

    fn enumeration(&mut self, scope: &str, of: &EnumDescriptorProto) {
        let values = of.value.iter().map(|value| (value.name().to_owned(), value.number()));
        self.enums.insert(format!("{scope}.{}", of.name()), values.collect());
    }

    fn service(&mut self, scope: &str, service: &ServiceDescriptorProto) {
        for method in &service.method {
            let path = format!("/{scope}.{}/{}", service.name(), method.name());
            let method = Method {
                input: method.input_type().to_owned(),
                output: method.output_type().to_owned(),
                client_streaming: method.client_streaming(),
                server_streaming: method.server_streaming(),
            };
            self.methods.insert(path, method);
        }
    }

    /// Drops what is not of `package`.
    fn only(mut self, package: &str) -> Self {
        self.messages.retain(|name, _| name.starts_with(package));
        self.enums.retain(|name, _| name.starts_with(package));
        self.methods.retain(|path, _| path[1..].starts_with(package));
        self
    }

    /// Checks that what we declare is declared there, in the same way and as completely.
    #[track_caller]
    pub(crate) fn is_part_of(&self, theirs: &Self) {
        for (name, fields) in &self.messages {
            assert_eq!(Some(fields), theirs.messages.get(name), "fields of {name}");
        }
        for (name, values) in &self.enums {
            assert_eq!(Some(values), theirs.enums.get(name), "values of {name}");
        }
        for (path, method) in &self.methods {
            assert_eq!(Some(method), theirs.methods.get(path), "{path}");
        }
    }
}

impl Field {
    fn of(field: &FieldDescriptorProto, message: &DescriptorProto) -> Self {
        let oneof =
            field.oneof_index.map(|index| &message.oneof_decl[usize::try_from(index).unwrap()]);
        Self {
            name: field.name().to_owned(),
            label: field.label().into(),
            r#type: field.r#type().into(),
            type_name: field.type_name().to_owned(),
            oneof: oneof.map(|oneof| oneof.name().to_owned()),
            packed: field.options.as_ref().and_then(|options| options.packed),
        }
    }
}

/// The descriptors from which `envoy-types` is generated. Its sources have them in a file.
pub(crate) fn envoy_types() -> FileDescriptorSet {
    let file = sources_of("envoy-types").join("src/generated/types.bin");
    let encoded =
        std::fs::read(&file).unwrap_or_else(|cause| panic!("{}: {cause}", file.display()));
    FileDescriptorSet::decode(&encoded[..]).unwrap()
}

fn sources_of(package: &str) -> PathBuf {
    let output = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let version = output(Command::new("rustc").arg("-vV"));
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let metadata = output(
        Command::new(env!("CARGO"))
            .args(["metadata", "--locked", "--format-version=1", "--filter-platform", host])
            .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]),
    );
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let found = metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|candidate| candidate["name"] == package)
        .unwrap_or_else(|| panic!("{package} is a dependency"));
    let manifest = PathBuf::from(found["manifest_path"].as_str().unwrap());
    manifest.parent().unwrap().to_owned()
}

#[test]
fn every_field_value_and_method_of_ours_is_envoys_and_none_is_missing() {
    let (ours, theirs) = (Declared::ours(), Declared::of(&envoy_types()));
    ours.only("envoy.").is_part_of(&theirs);
    Declared::ours().only("google.").is_part_of(&theirs);
}

#[test]
fn the_package_of_ext_proc_is_whole() {
    let (ours, theirs) = (Declared::ours(), Declared::of(&envoy_types()));
    theirs.only("envoy.service.ext_proc.v3.").is_part_of(&ours);
}
