//! The health messages against tonic's own, and `List`, which tonic's lack, against its definition.

use convoy_proto::health::health_check_response::ServingStatus;
use convoy_proto::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic_health::pb;

use crate::descriptors::Declared;

#[test]
fn check_and_watch_are_declared_as_tonic_declares_them() {
    let theirs = FileDescriptorSet::decode(pb::FILE_DESCRIPTOR_SET).unwrap();
    Declared::of(&theirs).is_part_of(&Declared::ours());
}

#[test]
fn check_and_watch_look_on_the_wire_as_tonics_do() {
    let ours = HealthCheckRequest { service: "envoy.service.ext_proc.v3".into() };
    let theirs = pb::HealthCheckRequest { service: ours.service.clone() };
    assert_eq!(ours.encode_to_vec(), theirs.encode_to_vec());
    for status in 0..=4 {
        let ours = HealthCheckResponse { status };
        assert_eq!(ours.encode_to_vec(), pb::HealthCheckResponse { status }.encode_to_vec());
    }
}

#[test]
fn a_list_is_a_map_from_services_to_statuses() {
    let serving = HealthCheckResponse { status: ServingStatus::Serving.into() };
    let list = HealthListResponse { statuses: [("a".to_owned(), serving)].into() };
    let entry = [0x0a, 1, b'a', 0x12, 2, 0x08, 1];
    assert_eq!(list.encode_to_vec(), [&[0x0a, 7][..], &entry].concat());
    assert_eq!(HealthListRequest::default().encode_to_vec(), [0_u8; 0]);
}
