//! `xml.*`: XPath queries on documents. Stylesheets and validation are known by name, so that a rule which calls them is
//! told what stands in its way.
//!
//! ```text
//! document ──roxmltree──► Tree ─┐
//! query ──syntax::parse──► Expr ─┴─evaluate──► nodes or a value ──► text, or how many
//! ```

mod core;
mod evaluate;
mod node;
mod syntax;

use std::borrow::Cow;

use roxmltree::{Document, ParsingOptions};

use self::{
    evaluate::{Evaluation, Fault, Value as Found},
    node::Tree,
};
use super::{
    Call, Function, Interrupt, Outcome,
    make::number,
    row::{never, works},
};
use crate::{host::tag, value::Value};

const NO_VALIDATION: &str = "documents are not validated here; let the application behind the pool do it";

/// The family's functions.
pub(super) const FUNCTIONS: &[Function] = &[
    works(
        "xml.xpath.matchNodeSet",
        "document, namespaces, query",
        (3, 3),
        "What an XPath 1.0 query finds in a document: the nodes one behind the other, texts and attributes as their \
         values, others as they stand in the document; or the value, if it gives one. Empty, with a warning, on error. \
         Namespaces are `xmlns:prefix=uri`, separated by spaces. Documents with a DOCTYPE are refused.",
        match_node_set,
    ),
    works(
        "xml.xpath.matchNodeCount",
        "document, namespaces, query",
        (3, 3),
        "How many nodes of a document an XPath 1.0 query finds; -1, with a warning, on error.",
        match_node_count,
    ),
    never(
        "xml.xslt.transform",
        "document, stylesheet",
        (2, 2),
        "A document transformed by an XSLT stylesheet.",
        "stylesheets are programs without a bound on their work; let the application behind the pool transform",
    ),
    never(
        "xml.validate.dtd",
        "document, dtd",
        (2, 2),
        "Whether a document is valid: 1, 0, or -1 on error.",
        NO_VALIDATION,
    ),
    never(
        "xml.validate.xsd",
        "document, schema",
        (2, 2),
        "Whether a document is valid: 1, 0, or -1 on error.",
        NO_VALIDATION,
    ),
    never("xml.validate", "document, dtd", (2, 2), "Old name of xml.validate.dtd.", NO_VALIDATION),
];

/// Most nodes of a document.
const MAX_NODES: u32 = 100_000;
/// Most attributes of an element.
const MAX_ATTRIBUTES: usize = 256;
/// Most declarations of namespaces in a document.
const MAX_NAMESPACES: usize = 1000;
/// Bytes of the tree that a byte of the document may make: the shortest element is four bytes.
const TREE: usize = 16;
/// How much slower a byte is parsed than looked at.
const PARSING: usize = 32;

/// `xml.xpath.matchNodeSet(document, namespaces, query)`
fn match_node_set<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let found = with_result(call, |evaluation, found| {
        let Found::Nodes(nodes) = found else { return evaluation.text_of(found) };
        let mut text = String::new();
        for node in nodes {
            let piece = evaluation.tree.written(node);
            evaluation.room(text.len() + piece.len())?;
            evaluation.meter.charge(piece.len())?;
            text.push_str(piece);
        }
        Ok(text)
    })?;
    call.make(found.unwrap_or_default())
}

/// `xml.xpath.matchNodeCount(document, namespaces, query)`
fn match_node_count<'p>(call: &mut Call<'_, 'p>) -> Outcome<'p> {
    let found = with_result(call, |_, found| match found {
        Found::Nodes(nodes) => Ok(nodes.len()),
        _ => Err(Fault::Query("it gives a value and no nodes")),
    })?;
    Ok(found.map_or(Value::Int(-1), number))
}

/// Evaluates the query of a call on its document. What is wrong with either is a warning, and gives `None`.
fn with_result<T>(
    call: &mut Call<'_, '_>,
    then: impl FnOnce(&mut Evaluation<'_, '_, '_>, Found) -> Result<T, Fault>,
) -> Result<Option<T>, Interrupt> {
    let (document, namespaces, query) = (call.text(0)?, call.text(1)?, call.text(2)?);
    call.meter.made(document.len().saturating_mul(TREE))?;
    call.meter.work(document.len().saturating_mul(PARSING))?;
    let fault = 'fault: {
        let Some(text) = decoded(&document) else {
            break 'fault "the document is neither UTF-8 nor of an encoding that is known".to_owned();
        };
        if let Err(message) = bounded(text.as_bytes()) {
            break 'fault message;
        }
        let options = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
        let document = match Document::parse_with_options(&text, options) {
            Ok(document) => document,
            Err(error) => break 'fault format!("the document is no XML that can be read: {error}"),
        };
        let (namespaces, query) = (String::from_utf8_lossy(&namespaces), String::from_utf8_lossy(&query));
        let prefixes = match prefixes(&namespaces) {
            Ok(prefixes) => prefixes,
            Err(message) => break 'fault message,
        };
        let expr = match syntax::parse(&query, &prefixes) {
            Ok(expr) => expr,
            Err(message) => break 'fault message,
        };
        let mut evaluation = Evaluation::new(Tree(&document), &mut *call.meter);
        let context = evaluation.context();
        let found = evaluation.value(&expr, context).and_then(|found| then(&mut evaluation, found));
        match found {
            Ok(found) => return Ok(Some(found)),
            Err(Fault::Limit(limit)) => return Err(limit.into()),
            Err(Fault::Query(message)) => format!("the query cannot be done: {message}"),
        }
    };
    call.warn_as(tag::XML, &format!("XPath: {fault}"))?;
    Ok(None)
}

/// Whether a document is parsed in time proportional to its length: the parser compares each attribute of an element
/// with those before it, and hands namespaces down.
fn bounded(document: &[u8]) -> Result<(), String> {
    if memchr::memmem::find_iter(document, b"xmlns").count() > MAX_NAMESPACES {
        return Err(format!("the document declares more than {MAX_NAMESPACES} namespaces"));
    }
    // No attribute holds a `<`.
    for tag in document.split(|byte| *byte == b'<').skip(1).filter(|tag| !tag.starts_with(b"!")) {
        let mut quote = None;
        let mut attributes = 0;
        for &byte in tag {
            match (byte, quote) {
                (b'"' | b'\'', None) => quote = Some(byte),
                (b'=', None) => attributes += 1,
                (b'>', None) => break,
                (_, Some(open)) if open == byte => quote = None,
                _ => {}
            }
        }
        if attributes > MAX_ATTRIBUTES {
            return Err(format!("an element has more than {MAX_ATTRIBUTES} attributes"));
        }
    }
    Ok(())
}

/// A document as text: UTF-8, or the Latin-1 that its declaration says it is.
fn decoded(document: &[u8]) -> Option<Cow<'_, str>> {
    /// The declaration stands at the very beginning.
    const DECLARATION: usize = 100;
    let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
    if let Ok(text) = std::str::from_utf8(document) {
        return Some(text.into());
    }
    let start = document.get(..document.len().min(DECLARATION)).unwrap_or_default().to_ascii_lowercase();
    let declaration = start.get(..memchr::memmem::find(&start, b"?>")?)?;
    let is_latin = memchr::memmem::find(declaration, b"iso-8859-1").is_some();
    is_latin.then(|| document.iter().map(|byte| char::from(*byte)).collect::<String>().into())
}

/// `xmlns:p=uri`, separated by white space; quotation marks around the uri are left out.
fn prefixes(text: &str) -> Result<Vec<(&str, &str)>, String> {
    const MOST: usize = 64;
    let mut prefixes = Vec::new();
    for word in text.split_ascii_whitespace() {
        let named = word.strip_prefix("xmlns:").and_then(|word| word.split_once('='));
        let Some((prefix, uri)) = named else {
            return Err(format!("`{word}` is no namespace such as xmlns:p=http://example.com/p"));
        };
        if prefixes.len() >= MOST {
            return Err(format!("more than {MOST} namespaces are given"));
        }
        prefixes.push((prefix, uri.trim_matches(['"', '\''])));
    }
    Ok(prefixes)
}

#[cfg(test)]
mod tests;
