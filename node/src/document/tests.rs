//! What a document's reader answers, and how it says what is wrong.

use std::time::Duration;

use super::{Document, Fault};

fn read<T>(
    text: &str,
    read: impl FnOnce(&mut super::Mapping<'_>) -> Result<T, Fault>,
) -> Result<T, String> {
    let document = Document::parse(text).map_err(|fault| fault.to_string())?;
    let mut mapping = document.root().mapping().map_err(|fault| fault.to_string())?;
    let said = |fault: Fault| format!("{fault}; {}", fault.problem.remedy());
    let value = read(&mut mapping).map_err(said)?;
    mapping.finish().map_err(said)?;
    Ok(value)
}

#[test]
fn values_come_out_by_type() {
    assert_eq!(read("a: x", |m| m.text("a").map(|text| text == Some("x"))), Ok(true));
    assert_eq!(read("a: 2.5", |m| m.number("a")), Ok(Some(2.5)));
    assert_eq!(read("a: 2", |m| m.number("a")), Ok(Some(2.0)));
    assert_eq!(read("a: true", |m| m.flag("a")), Ok(Some(true)));
    assert_eq!(read("a: 1m", |m| m.duration("a")), Ok(Some(Duration::from_mins(1))));
    assert_eq!(read("a: 8000", |m| m.port("a")), Ok(Some(8000)));
    assert_eq!(read("{\"a\": [1, 2]}", |m| Ok(m.list("a")?.len())), Ok(2));
}

#[test]
fn an_absent_key_and_a_null_are_the_same() {
    assert_eq!(read("", |m| m.number("a")), Ok(None));
    assert_eq!(read("a:", |m| m.number("a")), Ok(None));
    assert_eq!(read("a: null", |m| Ok(m.list("a")?.len())), Ok(0));
}

#[test]
fn a_value_of_the_wrong_type_is_named_with_its_path() {
    let wrong = read("a:\n  b: [x, 5]", |m| {
        let mut inner = m.mapping("a")?;
        let list = inner.list("b")?;
        list.iter().map(|node| node.text().map(str::len)).sum::<Result<usize, _>>()
    });
    let expected = "a.b[1]: cannot be 5; write text (quote it if it looks like a number)";
    assert_eq!(wrong, Err(expected.to_owned()));
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known() {
    let wrong = read("a: 1\nwieght: 2", |m| {
        m.number("a")?;
        m.number("weight")
    });
    assert_eq!(wrong, Err("wieght: no such key; remove it, or did you mean weight?".to_owned()));
}

#[test]
fn a_duplicate_key_is_refused_with_its_line() {
    let wrong = read("a: 1\na: 2", |m| m.number("a")).unwrap_err();
    assert!(wrong.contains("line 2") && wrong.contains("duplicate"), "{wrong}");
}

#[test]
fn what_is_not_yaml_is_refused() {
    assert!(read("a: [", |m| m.number("a")).is_err());
    assert!(read("- a\nb: c", |m| m.number("a")).is_err());
    assert!(read("just text", |m| m.number("a")).is_err());
}
