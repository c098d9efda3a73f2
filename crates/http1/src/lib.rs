//! HTTP/1.1 framing over byte buffers: heads and bodies, strictly by RFC 9112 and RFC 9110, no sockets.
//!
//! ```text
//! client bytes ──RequestHead::parse──► head (spans into the bytes) + BodyFraming ──ChunkedRelay──► canonical body
//! node bytes   ──ResponseHead::parse─► head (spans into the bytes) + ResponseFraming
//! first bytes  ──proxy_header::parse─► who the client is (PROXY v1, v2)
//! ```
//!
//! Nothing ambiguous gets through: what two parsers could read differently is refused here, and chunked bodies
//! come out re-framed. Heads are reusable objects that hold spans, so that parsing allocates nothing once warm
//! and a proxy can copy runs of header lines as bytes.
//!
//! Reading order: [`limits`], [`head`] (what both kinds of head share), [`request`], [`response`], [`chunked`],
//! [`proxy_header`]; [`edit`] for heads that rules change; [`trace_context`] for what requests say of traces.

pub mod chunked;
pub mod edit;
pub mod head;
pub mod limits;
pub mod proxy_header;
pub mod request;
pub mod response;
pub mod trace_context;
