//! Text of a document (YAML or JSON) to a [`Node`] tree, with bounds that hold against hostile text.
//!
//! JSON needs no path of its own: it is read as YAML flow style, surrogate escapes included. The reader hands out
//! events with places, and the tree is built with a stack of our own, so nothing here recurses on input. Aliases
//! are copied, and every copy is charged against [`MAX_NODES`] and [`MAX_EXPANDED_BYTES`].

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use base64::Engine as _;
use granit_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag};

use crate::{
    diagnostic::{Position, quote},
    tree::{Entry, Kind, Node, Scalar},
};

/// Longest document, bytes. A ConfigMap holds at most 1 MiB.
pub const MAX_DOCUMENT_BYTES: usize = 8 * 1024 * 1024;
/// Most nodes a document may have once its aliases are expanded.
pub const MAX_NODES: usize = 400_000;
/// Most bytes of text the aliases of a document may copy.
pub const MAX_EXPANDED_BYTES: usize = 8 * 1024 * 1024;
/// Deepest nesting of lists and mappings.
pub const MAX_DEPTH: usize = 64;
/// Longest key, characters.
pub const MAX_KEY_CHARS: usize = 1024;
/// Most faults of one document that reading goes on after.
pub const MAX_SYNTAX_FAULTS: usize = 100;

/// Why a document, or a part of it, could not be read.
#[derive(Debug, PartialEq)]
pub(crate) struct SyntaxFault {
    pub(crate) at: Position,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl SyntaxFault {
    fn new(at: Position, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), hint: None }
    }

    fn with_hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }
}

/// What became of a document.
#[derive(Debug)]
pub(crate) struct Reading {
    /// What it says; `None` if it could not be read to its end. With faults it is good for finding more of them.
    pub(crate) root: Option<Node>,
    /// In the order they were found.
    pub(crate) faults: Vec<SyntaxFault>,
}

/// Reads a document. An empty one (nothing, only comments, `null`) is a [`Kind::Null`] node.
pub(crate) fn read(text: &[u8]) -> Reading {
    let mut faults = Vec::new();
    let root = tree(text, &mut faults);
    let root = root.map_err(|fault| faults.push(fault)).ok();
    Reading { root, faults }
}

/// The tree. Faults that leave the rest readable go to `faults`, one that does not comes back.
fn tree(text: &[u8], faults: &mut Vec<SyntaxFault>) -> Result<Node, SyntaxFault> {
    if text.len() > MAX_DOCUMENT_BYTES {
        let message = format!("the document has {} bytes; at most {MAX_DOCUMENT_BYTES} are read", text.len());
        return Err(SyntaxFault::new(Position::default(), message));
    }
    let text = std::str::from_utf8(text).map_err(|error| not_text(text, error.valid_up_to()))?;
    let options = granit_parser::options! {
        simple_key_max_lookahead: MAX_KEY_CHARS,
        flow_nesting_limit: MAX_DEPTH + 1,
        block_nesting_limit: MAX_DEPTH + 1,
    };
    let mut builder = Builder {
        root: None,
        faults,
        documents: 0,
        open: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        copied_bytes: 0,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => builder.take(event, &span)?,
            Err(error) => return Err(SyntaxFault::new(position(error.marker()), error.info())),
        }
    }
    let start = Position { line: 1, column: 1 };
    Ok(builder.root.unwrap_or(Node { kind: Kind::Null, at: start }))
}

fn position(marker: &Marker) -> Position {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    Position { line: number(marker.line()).max(1), column: number(marker.col()).saturating_add(1) }
}

fn not_text(text: &[u8], valid: usize) -> SyntaxFault {
    let before = &text[..valid.min(text.len())];
    let line = before.split(|byte| *byte == b'\n').count();
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    let at = Position { line: line as u32, column: column as u32 };
    SyntaxFault::new(at, "the document is not UTF-8 text")
        .with_hint("save it as UTF-8; bytes that are not text belong into a file named by valueFrom.fileRef")
}

fn too_deep(at: Position) -> SyntaxFault {
    SyntaxFault::new(at, format!("lists and mappings are nested deeper than {MAX_DEPTH}"))
}

/// A list or mapping whose end has not been seen yet.
enum Open {
    List {
        items: Vec<Node>,
        at: Position,
        anchor: usize,
    },
    Map {
        entries: Vec<Entry>,
        seen: HashSet<String>,
        key: Option<(String, Position)>,
        at: Position,
        anchor: usize,
    },
}

struct Builder<'f> {
    root: Option<Node>,
    faults: &'f mut Vec<SyntaxFault>,
    documents: usize,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    copied_bytes: usize,
}

impl Builder<'_> {
    /// Notes a fault that reading goes on after, unless there are too many.
    fn note(&mut self, fault: SyntaxFault) -> Result<(), SyntaxFault> {
        if self.faults.len() >= MAX_SYNTAX_FAULTS {
            let message = "there are too many faults to go on reading";
            return Err(SyntaxFault::new(fault.at, message).with_hint("correct those above first"));
        }
        self.faults.push(fault);
        Ok(())
    }

    /// The value, or its replacement with the fault noted.
    fn or_note<T>(&mut self, value: Result<T, SyntaxFault>, replacement: T) -> Result<T, SyntaxFault> {
        value.or_else(|fault| self.note(fault).map(|()| replacement))
    }

    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), SyntaxFault> {
        let at = position(&span.start);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(SyntaxFault::new(at, "a second YAML document begins here")
                        .with_hint("write one document per file, or join them under the same keys"));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let mut kind = self.or_note(scalar(&text, style, tag.as_deref(), at), Kind::Unresolved)?;
                if let Kind::Scalar(scalar) = &mut kind {
                    scalar.literal = begins(&text, style, at, span);
                }
                self.place(Node { kind, at }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.or_note(check_tag(tag.as_deref(), "seq", at), ())?;
                self.push(Open::List { items: Vec::new(), at, anchor }, at)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.or_note(check_tag(tag.as_deref(), "map", at), ())?;
                let open = Open::Map { entries: Vec::new(), seen: HashSet::new(), key: None, at, anchor };
                self.push(open, at)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List { items, at, anchor }) => {
                    self.place(Node { kind: Kind::List(items), at }, anchor)
                }
                Some(Open::Map { entries, at, anchor, .. }) => {
                    let (entries, fault) = spread_merge_keys(entries);
                    fault.map_or(Ok(()), |fault| self.note(fault))?;
                    self.place(Node { kind: Kind::Map(entries), at }, anchor)
                }
                None => Err(SyntaxFault::new(at, "something ends here that did not begin")),
            },
            Event::Alias(anchor) => self.copy(anchor, at),
            _ => Ok(()),
        }
    }

    fn push(&mut self, open: Open, at: Position) -> Result<(), SyntaxFault> {
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(at));
        }
        if let Some(Open::Map { key: None, .. }) = self.open.last() {
            return Err(SyntaxFault::new(at, "a key must be a single value, not a list or mapping"));
        }
        self.open.push(open);
        Ok(())
    }

    fn copy(&mut self, anchor: usize, at: Position) -> Result<(), SyntaxFault> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(SyntaxFault::new(at, "an alias stands inside the value it names"));
        };
        let cost = node.cost();
        if self.open.len() + cost.depth > MAX_DEPTH {
            return Err(too_deep(at));
        }
        self.nodes = self.nodes.saturating_add(cost.nodes);
        self.copied_bytes = self.copied_bytes.saturating_add(cost.bytes);
        if self.nodes > MAX_NODES || self.copied_bytes > MAX_EXPANDED_BYTES {
            return Err(SyntaxFault::new(at, "the aliases of this document expand to too much")
                .with_hint("write the values out, or use fewer aliases"));
        }
        let mut node = node.clone();
        node.at = at;
        self.attach(node)
    }

    fn place(&mut self, node: Node, anchor: usize) -> Result<(), SyntaxFault> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(SyntaxFault::new(node.at, format!("the document has more than {MAX_NODES} values")));
        }
        if anchor != 0 {
            let cost = node.cost();
            self.nodes = self.nodes.saturating_add(cost.nodes);
            self.copied_bytes = self.copied_bytes.saturating_add(cost.bytes);
            if self.nodes > MAX_NODES || self.copied_bytes > MAX_EXPANDED_BYTES {
                return Err(SyntaxFault::new(node.at, "the anchors of this document hold too much"));
            }
            self.anchors.insert(anchor, node.clone());
        }
        self.attach(node)
    }

    fn attach(&mut self, node: Node) -> Result<(), SyntaxFault> {
        let mut twice = None;
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { entries, seen, key, .. }) => {
                if let Some((key, at)) = key.take() {
                    entries.push(Entry { key, at, value: node });
                } else {
                    let text = match node.kind {
                        Kind::Scalar(scalar) => scalar.text,
                        Kind::Null | Kind::Unresolved => String::new(),
                        Kind::List(_) | Kind::Map(_) => {
                            return Err(SyntaxFault::new(node.at, "a key must be a single value"));
                        }
                    };
                    let (first, at) = (seen.insert(text.clone()), node.at);
                    if !first {
                        let message = format!("the key {} stands twice in the same mapping", quote(&text));
                        // Both are kept in the tree, so that what stands below either is looked at.
                        twice = Some(SyntaxFault::new(at, message).with_hint("keep one of them"));
                    }
                    *key = Some((text, at));
                }
            }
        }
        twice.map_or(Ok(()), |fault| self.note(fault))
    }
}

/// Puts the entries of `<<: *other` (a mapping or a list of mappings) below those written out. What is no mapping is
/// left out, with a fault.
fn spread_merge_keys(mut entries: Vec<Entry>) -> (Vec<Entry>, Option<SyntaxFault>) {
    let Some(index) = entries.iter().position(|entry| entry.key == "<<") else { return (entries, None) };
    let merge = entries.remove(index);
    let mut fault = None;
    let sources = match merge.value.kind {
        Kind::Map(entries) => vec![entries],
        Kind::List(items) => {
            let mut sources = Vec::new();
            for item in items {
                if let Kind::Map(entries) = item.kind {
                    sources.push(entries);
                } else {
                    fault = Some(SyntaxFault::new(item.at, "<< takes mappings only"));
                }
            }
            sources
        }
        _ => {
            fault = Some(SyntaxFault::new(merge.at, "<< takes a mapping or a list of mappings"));
            Vec::new()
        }
    };
    let mut seen: HashSet<String> = entries.iter().map(|entry| entry.key.clone()).collect();
    for entry in sources.into_iter().flatten() {
        if seen.insert(entry.key.clone()) {
            entries.push(entry);
        }
    }
    (entries, fault)
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, at: Position) -> Result<Kind, SyntaxFault> {
    let mut plain = style == ScalarStyle::Plain;
    let mut binary = None;
    match tag.map(type_of).transpose().map_err(|tag| unknown_tag(tag, at))?.as_deref() {
        None | Some("null" | "bool" | "int" | "float" | "timestamp") => {}
        Some("str") => plain = false,
        Some("binary") => {
            let compact: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
            let decoded = base64::engine::general_purpose::STANDARD.decode(compact);
            binary = Some(decoded.map_err(|_| SyntaxFault::new(at, "the text of !!binary is not base64"))?);
            plain = false;
        }
        Some(_) => return tag.map_or(Ok(Kind::Null), |tag| Err(unknown_tag(tag, at))),
    }
    if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Ok(Kind::Null);
    }
    Ok(Kind::Scalar(Scalar { text: text.to_owned(), binary, file: None, literal: None }))
}

/// Where text begins that stands in the document as it is. The span of a block begins with its first line that is
/// not empty, at its indentation.
fn begins(text: &str, style: ScalarStyle, at: Position, span: &Span) -> Option<Position> {
    let empty = text.bytes().take_while(|byte| *byte == b'\n').count() as u32;
    match style {
        ScalarStyle::Literal => Some(Position { line: at.line.saturating_sub(empty).max(1), ..at }),
        ScalarStyle::Plain if span.start.line() == span.end.line() => Some(at),
        _ => None,
    }
}

/// Namespace of the tags written `!!name`.
const YAML_TAGS: &str = "tag:yaml.org,2002:";

/// Name of a tag among YAML's own, where a lone `!` means a string.
fn type_of(tag: &Tag) -> Result<Cow<'_, str>, &Tag> {
    if tag.original() == "!" {
        return Ok(Cow::Borrowed("str"));
    }
    tag.suffix_in_namespace(YAML_TAGS).ok_or(tag)
}

fn check_tag(tag: Option<&Tag>, expected: &str, at: Position) -> Result<(), SyntaxFault> {
    match tag {
        Some(tag) if type_of(tag).ok().as_deref() != Some(expected) && tag.original() != "!" => {
            Err(unknown_tag(tag, at))
        }
        _ => Ok(()),
    }
}

fn unknown_tag(tag: &Tag, at: Position) -> SyntaxFault {
    SyntaxFault::new(at, format!("the tag {} has no meaning here", quote(&tag.original())))
        .with_hint("leave the tag out")
}

#[cfg(test)]
mod tests;
