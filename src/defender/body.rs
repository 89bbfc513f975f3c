//! The body of an answer, decompressed as it arrives: a small one that grows large is
//! given up in time.

use std::io::{self, Write as _};

use flate2::write::MultiGzDecoder;

use super::error::ApiError;
use super::wire::DecodeError;

/// The compression that requests ask for.
pub(super) const ENCODING: &str = "gzip";

/// How much is decompressed between two looks at what it has become, in bytes: at most a
/// thousand times as much.
const STEP: usize = 4 * 1024;

/// What has arrived of a body.
pub(super) struct Body {
    limit: usize,
    content: Encoded,
}

enum Encoded {
    Plain(Vec<u8>),
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
}

impl Body {
    /// A body of at most `limit` bytes, compressed as the header `Content-Encoding` says.
    ///
    /// # Errors
    /// [`DecodeError::Encoding`], if that is not what was asked for.
    pub(super) fn new(encoding: &str, limit: usize) -> Result<Self, ApiError> {
        let is = |known: &[&str]| {
            known
                .iter()
                .any(|known| encoding.trim().eq_ignore_ascii_case(known))
        };
        let content = if is(&["", "identity"]) {
            Encoded::Plain(Vec::new())
        } else if is(&[ENCODING, "x-gzip"]) {
            Encoded::Gzip(Box::new(MultiGzDecoder::new(Vec::new())))
        } else {
            let encoding = encoding.chars().take(32).collect();
            return Err(DecodeError::Encoding(encoding).into());
        };
        Ok(Self { limit, content })
    }

    /// # Errors
    /// [`ApiError::BodyTooLarge`]; [`DecodeError::Compression`].
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), ApiError> {
        for step in chunk.chunks(STEP) {
            let length = match &mut self.content {
                Encoded::Plain(body) => {
                    body.extend_from_slice(step);
                    body.len()
                }
                Encoded::Gzip(decoder) => {
                    decoder.write_all(step).map_err(damaged)?;
                    decoder.get_ref().len()
                }
            };
            if length > self.limit {
                return Err(ApiError::BodyTooLarge { limit: self.limit });
            }
        }
        Ok(())
    }

    /// The whole body.
    ///
    /// # Errors
    /// [`DecodeError::Compression`], if it is cut off; [`ApiError::BodyTooLarge`].
    pub(super) fn end(self) -> Result<Vec<u8>, ApiError> {
        let body = match self.content {
            Encoded::Plain(body) => body,
            Encoded::Gzip(decoder) => decoder.finish().map_err(damaged)?,
        };
        if body.len() > self.limit {
            return Err(ApiError::BodyTooLarge { limit: self.limit });
        }
        Ok(body)
    }
}

fn damaged(_: io::Error) -> ApiError {
    DecodeError::Compression.into()
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn zipped(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).expect("memory can be written");
        encoder.finish().expect("memory can be written")
    }

    fn read(encoding: &str, limit: usize, bytes: &[u8]) -> Result<Vec<u8>, ApiError> {
        let mut body = Body::new(encoding, limit)?;
        for piece in bytes.chunks(3) {
            body.push(piece)?;
        }
        body.end()
    }

    #[test]
    fn gzip_is_read_under_each_of_its_names_and_in_several_members() {
        let members = [zipped(b"one, "), zipped(b""), zipped(b"two")].concat();
        for encoding in ["gzip", "GZIP", "x-gzip", "X-Gzip", " gzip "] {
            assert_eq!(read(encoding, 99, &members), Ok(b"one, two".to_vec()));
        }
        for encoding in ["", "identity", "Identity"] {
            assert_eq!(read(encoding, 99, b"one, two"), Ok(b"one, two".to_vec()));
        }
    }

    #[test]
    fn what_was_not_asked_for_is_named() {
        for encoding in ["br", "deflate", "zstd", "gzip, br", "gzip, gzip"] {
            let error = read(encoding, 99, b"").expect_err(encoding);
            assert!(error.to_string().contains(encoding), "{error}");
        }
        let long = read(&"b".repeat(9_999), 99, b"").expect_err("no encoding");
        assert!(long.to_string().len() < 300, "{long}");
    }

    #[test]
    fn damage_and_size_are_found() {
        let whole = zipped(b"a text of some length");
        let damaged = Err(DecodeError::Compression.into());
        for end in 1..whole.len() {
            assert_eq!(read("gzip", 99, &whole[..end]), damaged, "{end}");
        }
        let mut spoilt = whole.clone();
        spoilt[12] ^= 0x55;
        assert_eq!(read("gzip", 99, &spoilt), damaged);
        let too_large = Err(ApiError::BodyTooLarge { limit: 9 });
        assert_eq!(read("gzip", 9, &whole), too_large);
        assert_eq!(read("", 9, b"a text of some length"), too_large);
        let bomb = zipped(&vec![b' '; 64 * 1024 * 1024]);
        let mut body = Body::new("gzip", 1024).expect("it is gzip");
        assert!(body.push(&bomb).is_err());
        let Encoded::Gzip(decoder) = body.content else {
            panic!("it is gzip");
        };
        assert!(
            decoder.get_ref().capacity() < 16 * 1024 * 1024,
            "given up in time"
        );
    }
}
