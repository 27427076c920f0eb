//! libmacaroons' v2 binary format: packets of (type, length, data), sections ended by a zero byte.

use super::TokenError;
use crate::limits::{CAVEAT_BYTES_MAX, CAVEATS_MAX, IDENTIFIER_BYTES_MAX, TOKEN_BYTES_MAX};

const VERSION: u8 = 2;
const END: u8 = 0;
const LOCATION: u8 = 1;
const IDENTIFIER: u8 = 2;
const SIGNATURE: u8 = 6;

/// The parts of a macaroon with first-party caveats only.
pub(super) struct Raw {
    pub(super) location: Vec<u8>,
    pub(super) identifier: Vec<u8>,
    pub(super) caveats: Vec<Vec<u8>>,
    pub(super) tag: [u8; 32],
}

/// Reads exactly what [`encode`] writes; anything else that libmacaroons can read is refused, so that each
/// token has one binary form only.
pub(super) fn decode(bytes: &[u8]) -> Result<Raw, TokenError> {
    if bytes.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Malformed("too large"));
    }
    let mut reader = Reader(bytes);
    if reader.byte()? != VERSION {
        return Err(TokenError::Malformed("macaroon binary format version 2"));
    }
    let location = reader.packet(LOCATION, 64)?;
    let identifier = reader.packet(IDENTIFIER, IDENTIFIER_BYTES_MAX)?;
    reader.end()?;
    let mut caveats = Vec::new();
    while reader.peek() != Some(END) {
        if caveats.len() >= CAVEATS_MAX {
            return Err(TokenError::Malformed("too many caveats"));
        }
        // A location or a verification id here would be a third-party caveat: not one of ours.
        caveats.push(reader.packet(IDENTIFIER, CAVEAT_BYTES_MAX)?);
        reader.end()?;
    }
    reader.end()?;
    let tag = reader
        .packet(SIGNATURE, 32)?
        .try_into()
        .map_err(|_| TokenError::Malformed("a signature of 32 bytes"))?;
    if reader.0.is_empty() {
        Ok(Raw {
            location,
            identifier,
            caveats,
            tag,
        })
    } else {
        Err(TokenError::Malformed("nothing after the signature"))
    }
}

pub(super) fn encode(
    location: &[u8],
    identifier: &[u8],
    caveats: &[Vec<u8>],
    tag: &[u8; 32],
) -> Vec<u8> {
    let mut out = vec![VERSION];
    packet(&mut out, LOCATION, location);
    packet(&mut out, IDENTIFIER, identifier);
    out.push(END);
    for caveat in caveats {
        packet(&mut out, IDENTIFIER, caveat);
        out.push(END);
    }
    out.push(END);
    packet(&mut out, SIGNATURE, tag);
    out
}

fn packet(out: &mut Vec<u8>, kind: u8, data: &[u8]) {
    out.push(kind);
    let mut length = data.len();
    loop {
        let low = u8::try_from(length & 0x7f).unwrap_or(0x7f);
        length >>= 7;
        if length == 0 {
            out.push(low);
            break;
        }
        out.push(low | 0x80);
    }
    out.extend_from_slice(data);
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn byte(&mut self) -> Result<u8, TokenError> {
        let (&byte, rest) = self
            .0
            .split_first()
            .ok_or(TokenError::Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(byte)
    }

    fn end(&mut self) -> Result<(), TokenError> {
        if self.byte()? == END {
            Ok(())
        } else {
            Err(TokenError::Malformed("a section of known packets"))
        }
    }

    fn packet(&mut self, kind: u8, bytes_max: usize) -> Result<Vec<u8>, TokenError> {
        if self.byte()? != kind {
            return Err(TokenError::Malformed("first-party packets in order"));
        }
        let length = self.length()?;
        if length > bytes_max {
            return Err(TokenError::Malformed("a packet is too large"));
        }
        let (data, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(TokenError::Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(data.to_vec())
    }

    /// A LEB128 number of at most two bytes, in its shortest form.
    fn length(&mut self) -> Result<usize, TokenError> {
        let low = self.byte()?;
        if low < 0x80 {
            return Ok(low.into());
        }
        let high = self.byte()?;
        if high == 0 || high >= 0x80 {
            return Err(TokenError::Malformed("a packet length in shortest form"));
        }
        Ok(usize::from(low & 0x7f) | usize::from(high) << 7)
    }
}
