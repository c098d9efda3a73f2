//! The page `docs/configuration-keys.md`: every key of the format with what Tidegate does with it.
//!
//! Written from the schema and the table in [`crate::acted_on`], so it cannot say something else than the program
//! does. A test compares the file with it.

use std::fmt::Write as _;

use crate::{
    acted_on::{Acted, acted, acted_type},
    coerce::{Value, allowed},
    schema::{Key, KeyKind, ObjectType, SCHEMA},
};

const FRONT: &str = "\
# Configuration keys

Every key of the document format, with its default and what Tidegate does with it. This page is written by the
program: after a change to the tables behind it, renew it with

```sh
TIDEGATE_BLESS=1 cargo test -p tidegate-config --test keys_page
```

How to read the last column:

| | |
|---|---|
| yes | Tidegate acts on every value |
| `a`, `b` | Tidegate acts on these values; any other is reported as a warning |
| remark | text for people; there is nothing to act on |
| – | kept and not acted on yet; a value other than the default is reported as a warning |

A key that is not on this page is an error of its document, and the import changes nothing. A value that does not fit
its key is an error too; the rest of the documents is applied as if the key had not been written.

## Defaults that give way where a document is silent

What a document sets is obeyed. Where it is silent, these defaults of the format would hurt in a cluster, and Tidegate
does something else:

| Key | Default of the format | Tidegate, when no document sets it |
|---|---|---|
| `pools` `basic.node_delete_behavior` | `immediate` | a pool with service discovery drains the nodes that leave it, for at most 60 s or what `basic.node_drain_to_delete_timeout` says; other pools delete at once |
| `pools` `service_discovery.interval` | `10` | DNS follows the time to live of its records; plugins run every 10 s |
| `global_settings` `ssl.support_tls1`, `ssl.support_tls1_1` | `true` | TLS 1.0 and 1.1 are never offered |
| `global_settings` `trafficscript.regex_match_limit` | `10000000` | 5000000: the format counts the steps of a match for each position in the text, Tidegate over all of it |
| `virtual_servers` `http2.enabled` | `true` | HTTP/2 is not offered yet |

Nodes that join a pool which is serving already, or work again after a failure, are introduced slowly: they take a
tenth of their share at first and all of it after 20 s. It is left out while most nodes are new, and it never keeps a
session from its node. No key of the format sets it.

Two safeguards overrule documents, each with an error that says so: a virtual server that asks for client
certificates and whose certificate authorities are all missing is not started, and TLS with every version switched off
keeps TLS 1.3.

## Bandwidth classes

`maximum` counts thousands of bits per second of what is sent: to clients by the class of the virtual server, to nodes by that
of the pool, TLS not included. What comes in knows no limit. On top of it come 100 ms of the rate, or 2048 bytes where that is
more, after a pause. `sharing: cluster` is shared by the connections of one process, as `machine` is: with one pod on each
node of the cluster, every pod has all of it. `connection` gives all of it to each connection. Those who share get even
parts, and what one leaves is there for the others. A new `maximum` holds for what is on its way.
";

/// The page as Markdown.
pub fn keys_page() -> String {
    let mut page = FRONT.to_owned();
    let (on, off): (Vec<&ObjectType>, Vec<&ObjectType>) =
        SCHEMA.types.values().partition(|object_type| acted_type(&object_type.path));
    page.push_str("\n## Objects that Tidegate acts on\n");
    for object_type in on {
        object(&mut page, object_type);
    }
    page.push_str("\n## Objects that Tidegate does not act on yet\n");
    page.push_str("\nThey are read and checked like the others. Each one is reported as a warning.\n");
    for object_type in off {
        object(&mut page, object_type);
    }
    page
}

fn object(page: &mut String, object_type: &ObjectType) {
    put(page, format_args!("\n### {}\n", object_type.document_path()));
    if object_type.raw {
        page.push_str("\nRaw `content`.\n");
        return;
    }
    page.push_str("\n| Key | Takes | Default | Acted on |\n|---|---|---|---|\n");
    for (section, keys) in &object_type.sections {
        for (name, key) in keys {
            let required = object_type.required.iter().any(|path| *path == format!("{section}.{name}"));
            let default = if required { "must be given".to_owned() } else { default(key) };
            let acted = acted_cell(acted(&object_type.path, section, name));
            put(page, format_args!("| `{section}.{name}` | {} | {default} | {acted} |\n", takes(key)));
        }
    }
}

/// Writing to a string cannot fail.
fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = page.write_fmt(text);
}

fn takes(key: &Key) -> String {
    let takes = match &key.kind {
        KeyKind::Enum(values) => list(values),
        KeyKind::Table(columns) => {
            let columns: Vec<String> = columns
                .iter()
                .map(|(name, column)| if column.required { name.clone() } else { format!("[{name}]") })
                .collect();
            format!("rows of {}", columns.join(", "))
        }
        kind => allowed(kind).into_owned(),
    };
    match &key.reference {
        Some(reference) => format!("{takes}: `{}`", reference.replace('/', ".")),
        None => takes,
    }
}

fn list(values: &[String]) -> String {
    values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ")
}

fn default(key: &Key) -> String {
    let text = match &key.default {
        None => return "not known".to_owned(),
        Some(Value::Bool(on)) => on.to_string(),
        Some(Value::Int(number)) => number.to_string(),
        Some(Value::Float(number)) => number.to_string(),
        Some(Value::Text(text)) if text.is_empty() => return "empty".to_owned(),
        Some(Value::Text(text)) => text.replace('|', "\\|"),
        Some(Value::List(items)) => format!("[{}]", items.join(", ")),
        Some(Value::Table(_)) => "[]".to_owned(),
    };
    format!("`{text}`")
}

fn acted_cell(acted: Acted) -> String {
    match acted {
        Acted::Fully => "yes".to_owned(),
        Acted::Values(values) => {
            values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ")
        }
        Acted::Remark => "remark".to_owned(),
        Acted::No => "–".to_owned(),
    }
}
