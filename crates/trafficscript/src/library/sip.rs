//! `sip.*`: virtual servers of the protocol SIP, which are not served.

use super::{Function, row::never};

const NO_SIP: &str = "virtual servers of the protocol SIP are not served";

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    never("sip.getMethod", "", (0, 0), "Method of the request.", NO_SIP),
    never("sip.setMethod", "method", (1, 1), "Sets the method.", NO_SIP),
    never("sip.getRequestURI", "", (0, 0), "Address of the request.", NO_SIP),
    never("sip.setRequestURI", "uri", (1, 1), "Sets the address of the request.", NO_SIP),
    never("sip.getVersion", "", (0, 0), "Version of the request.", NO_SIP),
    never("sip.getRequest", "", (0, 0), "Head of the request as text.", NO_SIP),
    never("sip.getRequestHeader", "name", (1, 1), "Value of a header field of the request.", NO_SIP),
    never("sip.getRequestHeaders", "", (0, 0), "Hash of the header fields of the request.", NO_SIP),
    never("sip.listRequestHeaderNames", "", (0, 0), "Array of the header names of the request.", NO_SIP),
    never("sip.getRequestHeaderNames", "", (0, 0),
        "Header names of the request, separated by spaces.",
        NO_SIP),
    never("sip.addRequestHeader", "name, value", (2, 2), "Adds a header field to the request.", NO_SIP),
    never("sip.setRequestHeader", "name, value", (2, 2), "Sets a header field of the request.", NO_SIP),
    never("sip.removeRequestHeader", "name", (1, 1), "Removes a header field from the request.", NO_SIP),
    never("sip.requestHeaderExists", "name", (1, 1), "Whether the request has a header field.", NO_SIP),
    never("sip.getRequestBody", "[bytes]", (0, 1), "Body of the request.", NO_SIP),
    never("sip.getRequestBodyLines", "[bytes]", (0, 1), "Lines of the body of the request.", NO_SIP),
    never("sip.setRequestBody", "body", (1, 1), "Sets the body of the request.", NO_SIP),
    never("sip.getResponse", "", (0, 0), "Head of the response as text.", NO_SIP),
    never("sip.getResponseHeader", "name", (1, 1), "Value of a header field of the response.", NO_SIP),
    never("sip.getResponseHeaders", "", (0, 0), "Hash of the header fields of the response.", NO_SIP),
    never("sip.listResponseHeaderNames", "", (0, 0), "Array of the header names of the response.", NO_SIP),
    never("sip.getResponseHeaderNames", "", (0, 0),
        "Header names of the response, separated by spaces.",
        NO_SIP),
    never("sip.addResponseHeader", "name, value", (2, 2), "Adds a header field to the response.", NO_SIP),
    never("sip.setResponseHeader", "name, value", (2, 2), "Sets a header field of the response.", NO_SIP),
    never("sip.removeResponseHeader", "name", (1, 1), "Removes a header field from the response.", NO_SIP),
    never("sip.responseHeaderExists", "name", (1, 1), "Whether the response has a header field.", NO_SIP),
    never("sip.getResponseBody", "[bytes]", (0, 1), "Body of the response.", NO_SIP),
    never("sip.getResponseBodyLines", "[bytes]", (0, 1), "Lines of the body of the response.", NO_SIP),
    never("sip.setResponseBody", "body", (1, 1), "Sets the body of the response.", NO_SIP),
    never("sip.getResponseVersion", "", (0, 0), "Version of the response.", NO_SIP),
    never("sip.getResponseCode", "", (0, 0), "Status of the response.", NO_SIP),
    never("sip.setResponseCode", "code[, reason]", (1, 2), "Sets the status of the response.", NO_SIP),
    never("sip.redirect", "contact", (1, 1), "Redirects the client.", NO_SIP),
    never("sip.sendResponse", "code, reason[, headers[, body]]", (2, 4),
        "Replies in place of a node.",
        NO_SIP),
];
