//! `xml.*`: known by name, so that a rule which calls them is told what stands in its way.

use super::{
    Function,
    row::{never, planned},
};

const NO_VALIDATION: &str = "documents are not validated here; let the application behind the pool do it";

/// The family's functions.
pub(super) const FUNCTIONS: &[Function] = &[
    planned(
        "xml.xpath.matchNodeSet",
        "document, namespaces, query",
        (3, 3),
        "The nodes of a document that an XPath query finds; empty on error.",
    ),
    planned(
        "xml.xpath.matchNodeCount",
        "document, namespaces, query",
        (3, 3),
        "How many nodes of a document an XPath query finds; -1 on error.",
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
