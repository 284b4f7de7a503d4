//! HTTP/1.1: request heads, header lines, responses and refusals.

mod conditional;
mod date;
pub(crate) mod expect;
pub(crate) mod framing;
pub(crate) mod head_lines;
pub(crate) mod head_writer;
pub(crate) mod headers;
pub(crate) mod reject;
pub(crate) mod request;
pub(crate) mod request_line;
pub(crate) mod response;
pub(crate) mod scan;
pub(crate) mod write;
