//! Edits of a response, kept as they were ordered: what request rules say is made of the response that comes in the end, be
//! it a node's, a rule's reply or an error page.

use tidegate_http1::edit::{HeaderEdits, Refusal};
use tidegate_trafficscript::host::{Edit, OwnedEdit};

/// Most edits of one response that are kept.
const MAX_EDITS: usize = 512;

/// Most bytes of them.
const MAX_BYTES: usize = 128 * 1024;

/// Edits in the order in which rules gave them.
#[derive(Clone, Debug, Default)]
pub(crate) struct EditLog {
    edits: Vec<OwnedEdit>,
    bytes: usize,
}

impl EditLog {
    pub(crate) fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Keeps an edit.
    pub(super) fn note(&mut self, edit: Edit<'_>) -> Result<(), Refusal> {
        let bytes = edit.field().len() + edit.parts().iter().map(|part| part.len()).sum::<usize>();
        if self.edits.len() >= MAX_EDITS || self.bytes + bytes > MAX_BYTES {
            return Err("rules have edited this response too often");
        }
        self.bytes += bytes;
        self.edits.push(edit.into());
        Ok(())
    }

    /// What they make of a head with these fields.
    pub(crate) fn over<'h>(
        &self,
        original: &(impl Iterator<Item = (&'h [u8], &'h [u8])> + Clone),
    ) -> HeaderEdits {
        let mut fields = HeaderEdits::default();
        for edit in &self.edits {
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
        let mut log = EditLog::default();
        for edit in [
            Edit::Append(b"X-Multi", b"1"),
            Edit::Append(b"X-Multi", b"2"),
            Edit::SetCookie(b"a", b"1", b""),
            Edit::SetCookie(b"a", b"2", b""),
            Edit::RemoveCookie(b"lang"),
            Edit::SetCookie(b"sid", b"mine", b""),
        ] {
            log.note(edit).unwrap();
        }
        let made = |head: &[(&'static str, &'static str)]| {
            let fields = head.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            let mut lines = Vec::new();
            log.over(&fields).fields(fields, &mut |name, value| {
                lines.push(format!("{}: {}", name.escape_ascii(), value.escape_ascii()));
            });
            lines
        };
        assert_eq!(made(&[]), ["X-Multi: 1, 2", "Set-Cookie: a=2", "Set-Cookie: sid=mine"]);
        let node = [
            ("X-Multi", "n"),
            ("Set-Cookie", "lang=en"),
            ("Set-Cookie", "sid=node; Path=/; HttpOnly"),
            ("Set-Cookie", "other=1"),
        ];
        let expected = [
            "X-Multi: n, 1, 2",
            "Set-Cookie: sid=mine; Path=/; HttpOnly",
            "Set-Cookie: other=1",
            "Set-Cookie: a=2",
        ];
        assert_eq!(made(&node), expected);
        for _ in 0..MAX_EDITS {
            let _full = log.note(Edit::Remove(b"x"));
        }
        assert!(log.note(Edit::Remove(b"x")).is_err());
    }
}
