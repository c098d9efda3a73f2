//! Edits of a response's fields that are good for whatever response comes in the end, be it a node's, a rule's reply or an
//! error page.

use tidegate_http1::edit::{HeaderEdits, Refusal};
use tidegate_trafficscript::host::{Edit, OwnedEdit};

/// Most edits of one response that are kept because they, or one before them, depend on the head.
const MAX_EDITS: usize = 512;

/// Most bytes of them.
const MAX_BYTES: usize = 128 * 1024;

/// Edits of a response's fields. Nearly all mean the same over any head and are made once; from the first one that depends
/// on the values it finds, they are kept in their order, to be made again of the head that comes.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResponseFields {
    /// What the edits make of the head that is there.
    here: HeaderEdits,
    relative: Option<Box<Relative>>,
}

/// Edits of which the first depends on the head.
#[derive(Clone, Debug, Default)]
struct Relative {
    /// What was edited before them.
    before: HeaderEdits,
    edits: Vec<OwnedEdit>,
    bytes: usize,
}

impl ResponseFields {
    pub(crate) fn is_empty(&self) -> bool {
        self.here.is_empty() && self.relative.is_none()
    }

    /// What the edits make of the head that is there.
    pub(crate) fn here(&self) -> &HeaderEdits {
        &self.here
    }

    /// Makes an edit; `before` are the values of its field, needed for those that depend on them.
    pub(super) fn edit(&mut self, edit: Edit<'_>, before: &[Vec<u8>]) -> Result<(), Refusal> {
        if self.relative.is_none() && !is_relative(edit) {
            return apply(&mut self.here, edit, before);
        }
        let fresh = || Box::new(Relative { before: self.here.clone(), ..Relative::default() });
        let mut relative = self.relative.take().unwrap_or_else(fresh);
        let done = relative.check_room(edit).and_then(|()| apply(&mut self.here, edit, before));
        if done.is_ok() {
            relative.note(edit);
        }
        self.relative = (!relative.edits.is_empty()).then_some(relative);
        done
    }

    /// A head has come: these are its fields.
    pub(super) fn meet<'h>(&mut self, original: &(impl Iterator<Item = (&'h [u8], &'h [u8])> + Clone)) {
        if self.relative.is_some() {
            self.here = self.over(original);
        }
    }

    /// What the edits make of a head with these fields.
    pub(crate) fn over<'h>(
        &self,
        original: &(impl Iterator<Item = (&'h [u8], &'h [u8])> + Clone),
    ) -> HeaderEdits {
        let Some(relative) = &self.relative else { return self.here.clone() };
        let mut fields = relative.before.clone();
        for edit in &relative.edits {
            let edit = edit.get();
            let mut before = Vec::new();
            if is_relative(edit) {
                fields.values(edit.field(), original.clone(), &mut |value| before.push(value.to_vec()));
            }
            // One that this head has no room for is left out, as it would have been in a response rule.
            let _left_out = apply(&mut fields, edit, &before);
        }
        fields
    }
}

impl Relative {
    fn check_room(&self, edit: Edit<'_>) -> Result<(), Refusal> {
        if self.edits.len() >= MAX_EDITS || self.bytes + bytes_of(edit) > MAX_BYTES {
            return Err("rules have edited this response too often");
        }
        Ok(())
    }

    fn note(&mut self, edit: Edit<'_>) {
        self.bytes += bytes_of(edit);
        self.edits.push(edit.into());
    }
}

fn bytes_of(edit: Edit<'_>) -> usize {
    edit.field().len() + edit.parts().iter().map(|part| part.len()).sum::<usize>()
}

/// Whether what an edit does depends on the values that are there.
pub(super) fn is_relative(edit: Edit<'_>) -> bool {
    matches!(edit, Edit::Append(..) | Edit::SetCookie(..) | Edit::RemoveCookie(_))
}

/// Makes an edit; `before` are the values of its field, needed for those that depend on them.
pub(super) fn apply(fields: &mut HeaderEdits, edit: Edit<'_>, before: &[Vec<u8>]) -> Result<(), Refusal> {
    match edit {
        Edit::Set(name, value) => fields.set(name, value),
        Edit::Add(name, value) => fields.add(name, value),
        Edit::Remove(name) => fields.remove(name),
        Edit::Append(..) | Edit::SetCookie(..) | Edit::RemoveCookie(_) => {
            let after = edit.values(before.to_vec());
            match after.strip_prefix(before) {
                Some([]) => Ok(()),
                Some([new]) => fields.add(edit.field(), new),
                _ => fields.replace(edit.field(), &after),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_made_of_the_head_that_comes() {
        let mut edits = ResponseFields::default();
        // Nothing has come yet.
        let mut edit = |edit: Edit<'_>| {
            let mut before = Vec::new();
            if is_relative(edit) {
                edits
                    .here()
                    .values(edit.field(), std::iter::empty(), &mut |value| before.push(value.to_vec()));
            }
            edits.edit(edit, &before)
        };
        for one in [
            Edit::Set(b"X-Set", b"1"),
            Edit::Append(b"X-Multi", b"1"),
            Edit::Append(b"X-Multi", b"2"),
            Edit::SetCookie(b"a", b"1", b""),
            Edit::SetCookie(b"a", b"2", b""),
            Edit::RemoveCookie(b"lang"),
            Edit::SetCookie(b"sid", b"mine", b""),
            Edit::Add(b"X-Set", b"2"),
        ] {
            edit(one).unwrap();
        }
        for _ in 0..MAX_EDITS {
            let _full = edit(Edit::Remove(b"x"));
        }
        assert!(edit(Edit::Remove(b"x")).is_err());
        let made = |fields: &HeaderEdits, head: &[(&'static str, &'static str)]| {
            let head = head.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            let mut lines = Vec::new();
            fields.fields(head, &mut |name, value| {
                lines.push(format!("{}: {}", name.escape_ascii(), value.escape_ascii()));
            });
            lines
        };
        let node = [
            ("X-Multi", "n"),
            ("Set-Cookie", "lang=en"),
            ("Set-Cookie", "sid=node; Path=/; HttpOnly"),
            ("X-Set", "n"),
            ("Set-Cookie", "other=1"),
        ];
        let expected = [
            "X-Multi: n, 1, 2",
            "Set-Cookie: sid=mine; Path=/; HttpOnly",
            "Set-Cookie: other=1",
            "Set-Cookie: a=2",
            "X-Set: 1",
            "X-Set: 2",
        ];
        let fields = node.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        assert_eq!(made(&edits.over(&fields), &node), expected);
        let nothing = ["X-Set: 1", "X-Set: 2", "X-Multi: 1, 2", "Set-Cookie: a=2", "Set-Cookie: sid=mine"];
        // Before the head has come, behind it, and of another one again.
        assert_eq!(made(edits.here(), &[]), nothing);
        edits.meet(&fields);
        assert_eq!(made(edits.here(), &node), expected);
        assert_eq!(made(&edits.over(&std::iter::empty()), &[]), nothing);
    }

    #[test]
    fn edits_that_do_not_depend_on_a_head_are_kept_in_one_form() {
        let mut edits = ResponseFields::default();
        for _ in 0..2 * MAX_EDITS {
            edits.edit(Edit::Set(b"a", b"1"), &[]).unwrap();
        }
        assert!(edits.relative.is_none());
        // One that is refused leaves nothing behind.
        assert!(edits.edit(Edit::Append(b"Connection", b"close"), &[]).is_err());
        assert!(edits.relative.is_none());
    }
}
