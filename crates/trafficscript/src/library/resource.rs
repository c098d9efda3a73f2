//! `resource.*`: files of the catalogue.

use std::sync::Arc;

use md5::{Digest as _, Md5};

use super::{Call, Function, Interrupt, Outcome, http, row::works};
use crate::value::Value;

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    works("resource.get", "file", (1, 1),
        "Content of a file; empty, with a warning, if there is none.",
        |call| {
            let content = content(call)?;
            call.make(&content[..])
        }),
    works("resource.exists", "file", (1, 1), "1 if there is such a file, else 0.", |call| {
        let name = call.text(0)?;
        Ok(Value::flag(call.host.resource(&name).is_some()))
    }),
    works("resource.getLines", "file", (1, 1), "Array of the lines of a file.", |call| {
        let content = content(call)?;
        http::array(call, http::lines(&content))
    }),
    works("resource.getMD5", "file", (1, 1),
        "MD5 of a file's content, 16 bytes; empty, with a warning, if there is none.",
        md5),
    works("resource.getMTime", "file", (1, 1),
        "When a file changed, in seconds since 1970; 0, with a warning, if there is none.",
        |call| {
            let changed = find(call)?.map_or(0, |(_, changed)| changed);
            Ok(Value::Int(changed))
        }),
];

/// Content of a file and when it changed, in seconds since 1970.
type File = (Arc<[u8]>, i64);

fn find(call: &mut Call<'_, '_>) -> Result<Option<File>, Interrupt> {
    let name = call.text(0)?;
    let found = call.host.resource(&name);
    if found.is_none() {
        call.warn(&format!("there is no file `{}`", name.escape_ascii()))?;
    }
    Ok(found)
}

fn content(call: &mut Call<'_, '_>) -> Result<Arc<[u8]>, Interrupt> {
    Ok(find(call)?.map(|(content, _)| content).unwrap_or_default())
}

fn md5<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let Some((content, _)) = find(call)? else { return Ok(Value::EMPTY) };
    call.charge(content.len())?;
    call.make(&Md5::digest(&content)[..])
}
