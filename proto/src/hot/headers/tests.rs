//! How headers are found in a list.

use super::*;

fn list() -> HeaderList {
    [("X-Request-Id", "1"), (":path", "/"), ("x-request-id", "2"), ("broken", "")]
        .into_iter()
        .collect()
}

#[test]
fn a_header_is_found_whatever_its_case() {
    assert_eq!(list().get(":PATH"), Some(&b"/"[..]));
    assert_eq!(list().text("Broken"), Some(""));
}

#[test]
fn the_last_of_a_name_is_found() {
    assert_eq!(list().text("X-REQUEST-ID"), Some("2"));
}

#[test]
fn what_is_not_there_is_not_found() {
    assert_eq!(list().get("x-request"), None);
    assert_eq!(HeaderList::default().get(""), None);
}

#[test]
fn a_value_that_is_no_text_is_found_as_bytes_alone() {
    let list: HeaderList = [("name", [0xff])].into_iter().collect();
    assert_eq!(list.get("name"), Some(&[0xff][..]));
    assert_eq!(list.text("name"), None);
}

#[test]
fn headers_come_in_their_order() {
    let list = list();
    assert_eq!((list.len(), list.is_empty()), (4, false));
    let names: Vec<_> = list.iter().map(|(name, _)| name).collect();
    assert_eq!(names, [&b"X-Request-Id"[..], b":path", b"x-request-id", b"broken"]);
}
