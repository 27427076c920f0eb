//! CBOR with a checksum: in the log, in snapshots. Without: between nodes, where TLS and TCP see to it.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes that are not what was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CodecError {
    #[error("the value can't be written")]
    Encode(#[source] ciborium::ser::Error<std::io::Error>),
    #[error("the bytes are no value of the expected form")]
    Decode(#[source] ciborium::de::Error<std::io::Error>),
    #[error("the checksum is wrong: the bytes were altered on disk")]
    Checksum,
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).map_err(CodecError::Encode)?;
    Ok(bytes)
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    ciborium::from_reader(bytes).map_err(CodecError::Decode)
}

/// The value behind the checksum of its bytes.
pub(crate) fn seal<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = vec![0; 4];
    ciborium::into_writer(value, &mut bytes).map_err(CodecError::Encode)?;
    let sum = crc32fast::hash(bytes.get(4..).unwrap_or_default());
    if let Some(head) = bytes.first_chunk_mut() {
        *head = sum.to_le_bytes();
    }
    Ok(bytes)
}

pub(crate) fn unseal<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (sum, body) = bytes.split_first_chunk().ok_or(CodecError::Checksum)?;
    if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
        return Err(CodecError::Checksum);
    }
    decode(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_is_seen() {
        let sealed = seal(&("word", 7_u64)).unwrap();
        assert_eq!(
            unseal::<(String, u64)>(&sealed).unwrap(),
            ("word".to_owned(), 7)
        );
        for index in 0..sealed.len() {
            for bit in 0..8 {
                let mut flipped = sealed.clone();
                flipped[index] ^= 1 << bit;
                assert!(matches!(
                    unseal::<(String, u64)>(&flipped),
                    Err(CodecError::Checksum)
                ));
            }
        }
        assert!(unseal::<u64>(&[]).is_err());
    }
}
