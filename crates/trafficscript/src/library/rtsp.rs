//! `rtsp.*`: virtual servers of the protocol RTSP, which are not served.

use super::{Function, row::never};

const NO_RTSP: &str = "virtual servers of the protocol RTSP are not served";

/// The family's functions.
#[rustfmt::skip]
pub(super) const FUNCTIONS: &[Function] = &[
    never("rtsp.getMethod", "", (0, 0), "Method of the request.", NO_RTSP),
    never("rtsp.setMethod", "method", (1, 1), "Sets the method.", NO_RTSP),
    never("rtsp.getPath", "", (0, 0), "Path of the request.", NO_RTSP),
    never("rtsp.setPath", "path", (1, 1), "Sets the path.", NO_RTSP),
    never("rtsp.getRawURL", "", (0, 0), "Target of the request as sent.", NO_RTSP),
    never("rtsp.getVersion", "", (0, 0), "Version of the request.", NO_RTSP),
    never("rtsp.getRequest", "", (0, 0), "Head of the request as text.", NO_RTSP),
    never("rtsp.getRequestHeader", "name", (1, 1), "Value of a header field of the request.", NO_RTSP),
    never("rtsp.getRequestHeaders", "", (0, 0), "Hash of the header fields of the request.", NO_RTSP),
    never("rtsp.listRequestHeaderNames", "", (0, 0), "Array of the header names of the request.", NO_RTSP),
    never("rtsp.getRequestHeaderNames", "", (0, 0),
        "Header names of the request, separated by spaces.",
        NO_RTSP),
    never("rtsp.addRequestHeader", "name, value", (2, 2), "Adds a header field to the request.", NO_RTSP),
    never("rtsp.setRequestHeader", "name, value", (2, 2), "Sets a header field of the request.", NO_RTSP),
    never("rtsp.removeRequestHeader", "name", (1, 1), "Removes a header field from the request.", NO_RTSP),
    never("rtsp.requestHeaderExists", "name", (1, 1), "Whether the request has a header field.", NO_RTSP),
    never("rtsp.getRequestBody", "[bytes]", (0, 1), "Body of the request.", NO_RTSP),
    never("rtsp.getRequestBodyLines", "[bytes]", (0, 1), "Lines of the body of the request.", NO_RTSP),
    never("rtsp.setRequestBody", "body", (1, 1), "Sets the body of the request.", NO_RTSP),
    never("rtsp.getResponse", "", (0, 0), "Head of the response as text.", NO_RTSP),
    never("rtsp.getResponseHeader", "name", (1, 1), "Value of a header field of the response.", NO_RTSP),
    never("rtsp.getResponseHeaders", "", (0, 0), "Hash of the header fields of the response.", NO_RTSP),
    never("rtsp.listResponseHeaderNames", "", (0, 0), "Array of the header names of the response.", NO_RTSP),
    never("rtsp.getResponseHeaderNames", "", (0, 0),
        "Header names of the response, separated by spaces.",
        NO_RTSP),
    never("rtsp.addResponseHeader", "name, value", (2, 2), "Adds a header field to the response.", NO_RTSP),
    never("rtsp.setResponseHeader", "name, value", (2, 2), "Sets a header field of the response.", NO_RTSP),
    never("rtsp.removeResponseHeader", "name", (1, 1), "Removes a header field from the response.", NO_RTSP),
    never("rtsp.responseHeaderExists", "name", (1, 1), "Whether the response has a header field.", NO_RTSP),
    never("rtsp.getResponseBody", "[bytes]", (0, 1), "Body of the response.", NO_RTSP),
    never("rtsp.getResponseBodyLines", "[bytes]", (0, 1), "Lines of the body of the response.", NO_RTSP),
    never("rtsp.setResponseBody", "body", (1, 1), "Sets the body of the response.", NO_RTSP),
    never("rtsp.getResponseVersion", "", (0, 0), "Version of the response.", NO_RTSP),
    never("rtsp.getResponseCode", "", (0, 0), "Status of the response.", NO_RTSP),
    never("rtsp.setResponseCode", "code[, reason]", (1, 2), "Sets the status of the response.", NO_RTSP),
    never("rtsp.redirect", "url", (1, 1), "Redirects the client.", NO_RTSP),
    never("rtsp.sendResponse", "code, body, headers", (3, 3), "Replies in place of a node.", NO_RTSP),
];
