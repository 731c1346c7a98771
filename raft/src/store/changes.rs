//! What one commit changes, in the form in which the side file holds it.

/// Which of sled's trees a change is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    /// Entries, in parts.
    Log,
    /// The state.
    State,
    /// Named values of the caller.
    Notes,
}

/// One change of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change<'a> {
    Put { tree: Tree, key: &'a [u8], value: &'a [u8] },
    Delete { tree: Tree, key: &'a [u8] },
}

/// The changes of one commit, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    written: Vec<u8>,
    count: usize,
}

const PUT: u8 = 0;
const DELETE: u8 = 1;

impl Changes {
    /// From what [`Changes::written`] gave.
    pub(super) fn read(written: Vec<u8>) -> Option<Self> {
        let changes = Self { written, count: 0 };
        let count = changes.iter().try_fold(0, |count, change| change.map(|_| count + 1))?;
        Some(Self { count, ..changes })
    }

    pub(super) fn put(&mut self, tree: Tree, key: &[u8], value: &[u8]) {
        self.head(tree, PUT, key);
        let bytes = u32::try_from(value.len()).expect("records are far smaller than 4 GiB");
        self.written.extend(bytes.to_le_bytes());
        self.written.extend(key);
        self.written.extend(value);
    }

    pub(super) fn delete(&mut self, tree: Tree, key: &[u8]) {
        self.head(tree, DELETE, key);
        self.written.extend(0_u32.to_le_bytes());
        self.written.extend(key);
    }

    pub(super) fn written(&self) -> &[u8] {
        &self.written
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn bytes(&self) -> usize {
        self.written.len()
    }

    /// All changes; `None` in place of one that cannot be read, and then no more.
    pub(super) fn iter(&self) -> impl Iterator<Item = Option<Change<'_>>> {
        let mut rest = self.written.as_slice();
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let parsed = parse(rest);
            rest = parsed.map_or(&[], |(_, rest)| rest);
            Some(parsed.map(|(change, _)| change))
        })
    }

    pub(super) fn clear(&mut self) {
        self.written.clear();
        self.count = 0;
    }

    fn head(&mut self, tree: Tree, kind: u8, key: &[u8]) {
        let tree = match tree {
            Tree::Log => 0,
            Tree::State => 1,
            Tree::Notes => 2,
        };
        let bytes = u16::try_from(key.len()).expect("keys are numbers or short names");
        self.written.push(tree);
        self.written.push(kind);
        self.written.extend(bytes.to_le_bytes());
        self.count += 1;
    }
}

fn parse(written: &[u8]) -> Option<(Change<'_>, &[u8])> {
    let (&[tree, kind, key0, key1, value0, value1, value2, value3], rest) =
        written.split_first_chunk::<8>()?;
    let tree = match tree {
        0 => Tree::Log,
        1 => Tree::State,
        2 => Tree::Notes,
        _ => return None,
    };
    let (key, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([key0, key1])))?;
    let bytes = u32::from_le_bytes([value0, value1, value2, value3]);
    let (value, rest) = rest.split_at_checked(usize::try_from(bytes).ok()?)?;
    match kind {
        PUT => Some((Change::Put { tree, key, value }, rest)),
        DELETE => Some((Change::Delete { tree, key }, rest)),
        _ => None,
    }
}
