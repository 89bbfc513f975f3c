//! What may go wrong on purpose.

use std::collections::{BTreeSet, HashMap};
use std::io::Write as _;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use flate2::{Compression, FlushCompress};
use futures::stream::{self, StreamExt as _};
use h2::Reason;
use tokio_util::sync::CancellationToken;

use super::Endpoint;
use super::damage::Damage;
use super::listen::Peer;
use super::pages::{Endless, Skip};

/// Something that goes wrong at an endpoint, for as long as it is set.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answers with this status, body and further headers.
    Status {
        /// The status code.
        code: u16,
        /// The body, sent as JSON.
        body: String,
        /// Further headers.
        headers: Vec<(String, String)>,
    },
    /// Never answers.
    Hang,
    /// Answers as it should, but only after so long.
    Late(Duration),
    /// Answers as it should, but the body stops in the middle and never goes on.
    HangInBody,
    /// Answers as it should, but the body ends in the middle.
    CutOff,
    /// Answers as it should, but the head promises twice the length.
    WrongLength,
    /// Answers as it should, zipped, with a spoilt byte in the middle.
    BrokenGzip,
    /// Resets the connection before any answer.
    Reset,
    /// Refuses the request below HTTP: over HTTP/2 by `REFUSED_STREAM`, over HTTP/1.1 by closing
    /// the connection before any byte of an answer.
    Refuse,
    /// Resets the request's stream over HTTP/2 by `CANCEL`; over HTTP/1.1 as [`Fault::Refuse`].
    Cancel,
    /// Closes the connection before any byte of an answer; over HTTP/2 after
    /// `GOAWAY(NO_ERROR)`, which says that no request was processed.
    GoAway,
    /// Answers 200 with this body.
    Body {
        /// The `Content-Type`.
        content_type: String,
        /// The body.
        bytes: Vec<u8>,
    },
    /// Answers 302 with this `Location`.
    Redirect(String),
    /// Answers as it should, but the links to next pages name this origin
    /// (`https://evil.example`).
    NextLinkElsewhere(String),
    /// Answers as it should, with this next link, whether or not there is another page.
    NextLink(String),
    /// Answers as it should, with further headers.
    Headers(Vec<(String, String)>),
    /// Answers as it should, with a next link that never ends.
    NextLinkLoop,
    /// Answers as it should, but no page is the last.
    Endless(Endless),
    /// Answers as it should, with a page without records after each other page but the last.
    BlankPages,
    /// Answers as it should, with so many records at most and no link to the rest.
    Cap {
        /// How many, on all pages together.
        records: usize,
        /// What becomes of a `$skip`, which could bring the rest.
        skip: Skip,
    },
    /// Answers 429 as if by CPU: not counted as a violation.
    Throttle {
        /// The `Retry-After`, if any: seconds, a date, or rubbish.
        retry_after: Option<String>,
    },
    /// Answers 200 with 1 GiB of blanks, a megabyte on the wire.
    GzipBomb,
    /// Answers 200 with a list of records, valid JSON of 100 MB.
    HugeJson,
    /// Answers 404 `ResourceNotFound` if a batch holds one of these ids.
    BadIds(BTreeSet<String>),
    /// The same, but with the code `NotFound`.
    UnknownIds(BTreeSet<String>),
    /// Answers 400 wherever a next link leads, as if it had come too late.
    ExpiredPages,
    /// Answers as it should, one byte each 100 ms.
    SlowDrip,
    /// Answers as it should, but with something strange in it.
    Damaged(Damage),
    /// Answers as it should, zipped in two members, as this `Content-Encoding`.
    Encoded(String),
    /// Answers 401 so many times, then as it should.
    Unauthorized(usize),
    /// Another fault so many times, then none.
    Times(usize, Box<Fault>),
}

impl Fault {
    /// An error in the API's own form, with a correlation id.
    #[must_use]
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let target = "fa017ed0-0000-4000-8000-000000000001";
        let error = serde_json::json!({ "code": code, "message": message, "target": target });
        Self::Status {
            code: status,
            body: serde_json::json!({ "error": error }).to_string(),
            headers: Vec::new(),
        }
    }
}

/// The faults that are set; one for a tenant goes before one for all.
#[derive(Debug, Default)]
pub(super) struct Faults(HashMap<(Endpoint, Option<usize>), Fault>);

impl Faults {
    pub(super) fn set(&mut self, endpoint: Endpoint, tenant: Option<usize>, fault: Option<Fault>) {
        match fault {
            Some(fault) => self.0.insert((endpoint, tenant), fault),
            None => self.0.remove(&(endpoint, tenant)),
        };
    }

    /// The fault for this call, counted down.
    pub(super) fn take(&mut self, endpoint: Endpoint, tenant: Option<usize>) -> Option<Fault> {
        let keys = [(endpoint, tenant), (endpoint, None)];
        let key = keys.into_iter().find(|key| self.0.contains_key(key))?;
        match self.0.get_mut(&key)? {
            Fault::Unauthorized(left) | Fault::Times(left, _) if *left == 0 => {
                self.0.remove(&key);
                None
            }
            Fault::Unauthorized(left) => {
                *left -= 1;
                Some(Fault::Unauthorized(1))
            }
            Fault::Times(left, fault) => {
                *left -= 1;
                Some(fault.as_ref().clone())
            }
            fault => Some(fault.clone()),
        }
    }
}

/// The answer of a fault that needs none of the endpoint's; `None` for the others.
pub(super) async fn answer(
    fault: &Fault,
    peer: &Peer,
    stop: &CancellationToken,
) -> Option<Response<Body>> {
    match fault {
        Fault::Status {
            code,
            body,
            headers,
        } => {
            let mut response = Response::new(Body::from(body.clone()));
            *response.status_mut() =
                StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            put(&mut response, CONTENT_TYPE, "application/json");
            put_all(&mut response, headers);
            Some(response)
        }
        Fault::Late(pause) => {
            tokio::time::sleep(*pause).await;
            None
        }
        Fault::Hang => {
            stop.cancelled().await;
            peer.sever();
            Some(Response::new(Body::empty()))
        }
        Fault::Reset => {
            peer.sever();
            Some(Response::new(Body::empty()))
        }
        Fault::Refuse => Some(reset(Reason::REFUSED_STREAM)),
        Fault::Cancel => Some(reset(Reason::CANCEL)),
        Fault::GoAway => {
            peer.go_away();
            Some(Response::new(Body::empty()))
        }
        Fault::Body {
            content_type,
            bytes,
        } => {
            let mut response = Response::new(Body::from(bytes.clone()));
            put(&mut response, CONTENT_TYPE, content_type);
            Some(response)
        }
        Fault::Redirect(location) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::FOUND;
            put(&mut response, LOCATION, location);
            Some(response)
        }
        Fault::Throttle { retry_after } => {
            let mut response = Response::new(Body::from(
                r#"{"error":{"code":"TooManyRequests","message":"CPU time exceeded","target":"fa017ed0-0000-4000-8000-000000000002"}}"#,
            ));
            *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            put(&mut response, CONTENT_TYPE, "application/json");
            if let Some(retry_after) = retry_after {
                put(&mut response, RETRY_AFTER, retry_after);
            }
            Some(response)
        }
        Fault::GzipBomb => Some(gzip_bomb()),
        Fault::HugeJson => Some(huge_json()),
        _ => None,
    }
}

/// What stands for the end of a stream without an answer.
fn reset(reason: Reason) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(reason);
    response
}

/// Whether that is no answer, but the end of a stream.
pub(super) fn is_reset(response: &Response<Body>) -> bool {
    response.extensions().get::<Reason>().is_some()
}

/// Spoils an answer that the endpoint gave.
pub(super) fn spoil(fault: &Fault, response: Response<Body>, body: Bytes) -> Response<Body> {
    let (mut parts, _) = response.into_parts();
    match fault {
        Fault::CutOff => {
            parts
                .headers
                .insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
            let half = body.slice(..body.len() / 2);
            let severed = async {
                // Time for the first half to leave; else not even the headers do.
                tokio::time::sleep(Duration::from_millis(50)).await;
                Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
            };
            let body = stream::iter([Ok(half)]).chain(stream::once(severed));
            Response::from_parts(parts, Body::from_stream(body))
        }
        Fault::HangInBody => {
            let half = body.slice(..body.len() / 2);
            let body = stream::iter([Ok::<_, std::io::Error>(half)]).chain(stream::pending());
            Response::from_parts(parts, Body::from_stream(body))
        }
        Fault::WrongLength => {
            parts
                .headers
                .insert(CONTENT_LENGTH, HeaderValue::from(2 * body.len()));
            let body = stream::iter([Ok::<_, std::io::Error>(body)]);
            Response::from_parts(parts, Body::from_stream(body))
        }
        Fault::Headers(headers) => {
            let mut response = Response::from_parts(parts, Body::from(body));
            put_all(&mut response, headers);
            response
        }
        Fault::BrokenGzip => {
            let zipped = parts.headers.contains_key(CONTENT_ENCODING);
            let mut bytes = if zipped { body.to_vec() } else { gzip(&body) };
            let middle = bytes.len() / 2;
            bytes[middle..].fill(0xff);
            let mut response = Response::from_parts(parts, Body::from(bytes));
            put(&mut response, CONTENT_ENCODING, "gzip");
            response
        }
        Fault::Encoded(name) => {
            let (half, rest) = body.split_at(body.len() / 2);
            let members = [gzip(half), gzip(rest)].concat();
            let mut response = Response::from_parts(parts, Body::from(members));
            put(&mut response, CONTENT_ENCODING, name);
            response
        }
        Fault::SlowDrip => {
            let drip = stream::unfold(body, |mut rest| async move {
                if rest.is_empty() {
                    return None;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
                let drop = rest.split_to(1);
                Some((Ok::<_, std::io::Error>(drop), rest))
            });
            Response::from_parts(parts, Body::from_stream(drip))
        }
        _ => Response::from_parts(parts, Body::from(body)),
    }
}

/// One deflated mebibyte of blanks, over and over: after a full flush a block
/// does not refer to earlier ones. The checksum is left out; nobody gets there.
fn gzip_bomb() -> Response<Body> {
    const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let block = Bytes::from(deflated_block());
    let blocks =
        std::iter::once(Bytes::from_static(&HEADER)).chain(std::iter::repeat_n(block, 1024));
    let body = Body::from_stream(stream::iter(blocks.map(Ok::<_, std::io::Error>)));
    let mut response = Response::new(body);
    put(&mut response, CONTENT_TYPE, "application/json");
    put(&mut response, CONTENT_ENCODING, "gzip");
    response
}

/// A hundred thousand records of a kilobyte each, whatever the endpoint.
fn huge_json() -> Response<Body> {
    let record = format!(r#"{{"id":"{}"}},"#, "x".repeat(991));
    let records = std::iter::repeat_n(Bytes::from(record.repeat(1_000)), 100);
    let start = Bytes::from_static(br#"{"value":["#);
    let end = Bytes::from_static(br#"{"id":"last"}]}"#);
    let parts = std::iter::once(start)
        .chain(records)
        .chain(std::iter::once(end));
    let body = Body::from_stream(stream::iter(parts.map(Ok::<_, std::io::Error>)));
    let mut response = Response::new(body);
    put(&mut response, CONTENT_TYPE, "application/json");
    response
}

fn deflated_block() -> Vec<u8> {
    let mut deflate = flate2::Compress::new(Compression::best(), false);
    let mut block = Vec::with_capacity(64 * 1024);
    // Compressing blanks into 64 KiB of room cannot fail, nor run out of room.
    let _ = deflate.compress_vec(&vec![b' '; 1 << 20], &mut block, FlushCompress::Full);
    block
}

/// Gzips a body.
pub(super) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to a vector does not fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

fn put_all(response: &mut Response<Body>, headers: &[(String, String)]) {
    for (name, value) in headers {
        if let Ok(name) = HeaderName::try_from(name) {
            put(response, name, value);
        }
    }
}

/// Sets a header, unless the value is not one.
pub(super) fn put(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_counted_down_and_a_tenants_own_goes_first() {
        let mut faults = Faults::default();
        let endpoint = Endpoint::History;
        faults.set(endpoint, None, Some(Fault::Hang));
        faults.set(endpoint, Some(1), Some(Fault::Unauthorized(1)));
        assert!(matches!(
            faults.take(endpoint, Some(1)),
            Some(Fault::Unauthorized(1))
        ));
        assert!(faults.take(endpoint, Some(1)).is_none());
        assert!(matches!(faults.take(endpoint, Some(0)), Some(Fault::Hang)));
        faults.set(endpoint, None, None);
        assert!(faults.take(endpoint, Some(0)).is_none());
    }

    #[test]
    fn the_blocks_of_the_bomb_inflate_one_after_the_other() {
        use std::io::Read as _;
        let block = deflated_block();
        assert!(block.len() < 4096, "{}", block.len());
        let mut blanks = Vec::new();
        let twice = [block.as_slice(), &block].concat();
        // The stream has no end, which is an error only at its end.
        let _ = flate2::read::DeflateDecoder::new(twice.as_slice()).read_to_end(&mut blanks);
        assert_eq!(blanks.len(), 2 << 20);
    }
}
