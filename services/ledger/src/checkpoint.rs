//! Checkpoints: C2SP tlog-checkpoint bodies in signed notes, with cosignatures (C2SP tlog-cosignature). Pure.
//!
//! A note is its text, an empty line, and one line for each signature: `— <name> <base64(key id ‖ signature)>`. The log
//! signs under its origin; a cosignature also covers the time at which it was made.

use crate::merkle::Hash;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD as B64, URL_SAFE_NO_PAD};
use proctor_model::signed::Signer;
use sha2::{Digest, Sha256};

/// What makes text no checkpoint, or no checkpoint of whom it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Not a signed note, or not three lines of a checkpoint in it.
    #[error("not a checkpoint")]
    Form,
    /// Not an Ed25519 verifier key.
    #[error("not a verifier key: NAME+ID+BASE64, or an Ed25519 public key in base64")]
    Key,
    /// A signature that claims to be of a known key, and is not.
    #[error("a signature of a known key does not verify")]
    Signature,
    /// None of the known keys signed it.
    #[error("not signed with a key that is trusted here")]
    Unsigned,
}

/// Signature types of signed notes (C2SP signed-note).
const ED25519_NOTE: u8 = 0x01;
const COSIGNATURE_V1: u8 = 0x04;
/// Largest note that is read, in bytes.
pub const NOTE_BYTES_MAX: usize = 64 * 1024;
/// Most signatures of a note that are looked at: as C2SP recommends.
const SIGNATURES_MAX: usize = 100;

/// What a log was at some size.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// Name of the log: `<deployment>/audit/<tenant>`.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
}

/// Name of a tenant's log.
#[must_use]
pub fn origin(deployment: &str, tenant: &str) -> String {
    format!("{deployment}/audit/{tenant}")
}

impl Checkpoint {
    /// The note's text.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            B64.encode(self.root)
        )
    }

    /// From a note's text. Further lines are allowed and mean nothing here.
    ///
    /// # Errors
    /// [`CheckpointError::Form`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text
            .strip_suffix('\n')
            .ok_or(CheckpointError::Form)?
            .split('\n');
        let mut next = || lines.next().ok_or(CheckpointError::Form);
        let (origin, size, root) = (next()?, next()?, next()?);
        let number: u64 = size.parse().map_err(|_| CheckpointError::Form)?;
        let root = B64.decode(root).map_err(|_| CheckpointError::Form)?;
        let root = Hash::try_from(root).map_err(|_| CheckpointError::Form)?;
        // One spelling of each number: no sign, no leading zero.
        if origin.is_empty() || size != number.to_string() {
            return Err(CheckpointError::Form);
        }
        Ok(Self {
            origin: origin.to_owned(),
            size: number,
            root,
        })
    }

    /// The note, signed by each signer as the log, and with a cosignature that tells the time in seconds since 1970.
    #[must_use]
    pub fn sign(&self, signers: &[&Signer], time_s: u64) -> String {
        let text = self.text();
        let mut note = format!("{text}\n");
        for signer in signers {
            let key = VerifierKey::of(&self.origin, signer);
            let signature = signer.sign_raw(text.as_bytes());
            note.push_str(&line(&key.name, key.id(ED25519_NOTE), &signature));
        }
        for signer in signers {
            note.push_str(&cosign(&self.origin, signer, &text, time_s));
        }
        note
    }
}

/// A cosignature line over a note's text (`cosignature/v1`).
#[must_use]
pub fn cosign(name: &str, signer: &Signer, text: &str, time_s: u64) -> String {
    let signature = signer.sign_raw(&cosigned(text, time_s));
    let id = VerifierKey::of(name, signer).id(COSIGNATURE_V1);
    let timed = [time_s.to_be_bytes().as_slice(), &signature].concat();
    line(name, id, &timed)
}

fn cosigned(text: &str, time_s: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {time_s}\n{text}").into_bytes()
}

fn line(name: &str, id: [u8; 4], signature: &[u8]) -> String {
    format!(
        "\u{2014} {name} {}\n",
        B64.encode([id.as_slice(), signature].concat())
    )
}

/// A key that notes are verified with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifierKey {
    /// The name that it signs under.
    pub name: String,
    /// The Ed25519 public key.
    pub key: [u8; 32],
}

impl VerifierKey {
    /// Of a signer under this name.
    #[must_use]
    pub fn of(name: &str, signer: &Signer) -> Self {
        let key = URL_SAFE_NO_PAD
            .decode(signer.public_key().key)
            .unwrap_or_default();
        Self {
            name: name.to_owned(),
            key: key.try_into().unwrap_or_default(),
        }
    }

    /// From `NAME+ID+BASE64` (either signature type), or from a bare public key, which then counts under `name`.
    ///
    /// # Errors
    /// [`CheckpointError::Key`].
    pub fn parse(text: &str, name: &str) -> Result<Self, CheckpointError> {
        let mut parts = text.trim().splitn(3, '+');
        let bare = |bytes: Vec<u8>| <[u8; 32]>::try_from(bytes).map_err(|_| CheckpointError::Key);
        if let (Some(own), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next())
            && id.len() == 8
            && let Ok(typed) = B64.decode(key)
            && let Some((kind, key)) = typed.split_first()
            && [ED25519_NOTE, COSIGNATURE_V1].contains(kind)
        {
            let found = Self {
                name: own.to_owned(),
                key: bare(key.to_vec())?,
            };
            let right = hex::encode(found.id(*kind)) == id;
            return right.then_some(found).ok_or(CheckpointError::Key);
        }
        let text = text.trim();
        let key = URL_SAFE_NO_PAD
            .decode(text.trim_end_matches('='))
            .or_else(|_| B64.decode(text));
        Ok(Self {
            name: name.to_owned(),
            key: bare(key.map_err(|_| CheckpointError::Key)?)?,
        })
    }

    /// `NAME+ID+BASE64`, as the tools of signed notes take it.
    #[must_use]
    pub fn text(&self) -> String {
        self.typed(ED25519_NOTE)
    }

    /// The same of one that cosigns.
    #[must_use]
    pub fn cosigner_text(&self) -> String {
        self.typed(COSIGNATURE_V1)
    }

    fn typed(&self, kind: u8) -> String {
        let typed = [&[kind], self.key.as_slice()].concat();
        format!(
            "{}+{}+{}",
            self.name,
            hex::encode(self.id(kind)),
            B64.encode(typed)
        )
    }

    /// SHA-256(name ‖ "\n" ‖ type ‖ key), the first four bytes.
    fn id(&self, kind: u8) -> [u8; 4] {
        let digest: [u8; 32] = Sha256::new()
            .chain_update(&self.name)
            .chain_update([b'\n', kind])
            .chain_update(self.key)
            .finalize()
            .into();
        [digest[0], digest[1], digest[2], digest[3]]
    }

    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.key)
            .verify(message, signature)
            .is_ok()
    }
}

/// A signed note, read and not believed yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note<'n> {
    /// What is signed.
    pub text: &'n str,
    lines: Vec<(&'n str, Vec<u8>)>,
}

/// What a note's signatures say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Signed {
    /// Keys that signed as the log.
    pub logs: Vec<VerifierKey>,
    /// Keys that cosigned, each with the time that it named, in seconds since 1970.
    pub cosigned: Vec<(VerifierKey, u64)>,
}

impl Signed {
    /// The latest time that a trusted key named.
    #[must_use]
    pub fn time_s(&self) -> Option<u64> {
        self.cosigned.iter().map(|(_, time)| *time).max()
    }
}

impl<'n> Note<'n> {
    /// Splits a note.
    ///
    /// # Errors
    /// [`CheckpointError::Form`].
    pub fn parse(note: &'n str) -> Result<Self, CheckpointError> {
        let wrong = CheckpointError::Form;
        let ill = |c: char| c.is_control() && c != '\n';
        if note.len() > NOTE_BYTES_MAX || note.contains(ill) {
            return Err(wrong);
        }
        let split = note.rfind("\n\n").ok_or(wrong)?;
        let text = note.get(..=split).ok_or(wrong)?;
        let signatures = note.get(split + 2..).ok_or(wrong)?;
        let signatures = signatures.strip_suffix('\n').ok_or(wrong)?;
        let line = |line: &'n str| {
            let (name, signature) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
            let bytes = B64.decode(signature).ok()?;
            (!name.is_empty() && !name.contains('+') && bytes.len() > 4).then_some((name, bytes))
        };
        let lines: Vec<_> = signatures
            .split('\n')
            .map(line)
            .collect::<Option<_>>()
            .ok_or(wrong)?;
        if lines.len() > SIGNATURES_MAX {
            return Err(wrong);
        }
        Ok(Self { text, lines })
    }

    /// The signature lines under this name, as they are written.
    #[must_use]
    pub fn lines_of(&self, name: &str) -> String {
        let lines = self.lines.iter().filter(|(of, _)| *of == name);
        lines
            .map(|(name, bytes)| format!("\u{2014} {name} {}\n", B64.encode(bytes)))
            .collect()
    }

    /// What these keys signed. Signatures of others mean nothing; a wrong one of a known key makes the note worthless.
    ///
    /// # Errors
    /// [`CheckpointError::Signature`].
    pub fn signed(&self, keys: &[VerifierKey]) -> Result<Signed, CheckpointError> {
        let mut signed = Signed::default();
        for (name, bytes) in &self.lines {
            for key in keys.iter().filter(|key| key.name == *name) {
                let (id, signature) = bytes.split_at_checked(4).ok_or(CheckpointError::Form)?;
                if id == key.id(ED25519_NOTE) {
                    if !key.verifies(self.text.as_bytes(), signature) {
                        return Err(CheckpointError::Signature);
                    }
                    signed.logs.push(key.clone());
                } else if id == key.id(COSIGNATURE_V1) {
                    let (time, signature) = signature
                        .split_first_chunk()
                        .ok_or(CheckpointError::Signature)?;
                    let time = u64::from_be_bytes(*time);
                    if !key.verifies(&cosigned(self.text, time), signature) {
                        return Err(CheckpointError::Signature);
                    }
                    signed.cosigned.push((key.clone(), time));
                }
            }
        }
        Ok(signed)
    }
}

/// The checkpoint in a note that one of these keys signed, as the log or as a witness, and what was signed.
///
/// A bare key counts for any origin: its name is to be empty.
///
/// # Errors
/// If it is none, or not signed with any of the keys.
pub fn open(note: &str, keys: &[VerifierKey]) -> Result<(Checkpoint, Signed), CheckpointError> {
    let parsed = Note::parse(note)?;
    let checkpoint = Checkpoint::parse(parsed.text)?;
    let named: Vec<_> = keys
        .iter()
        .map(|key| VerifierKey {
            name: if key.name.is_empty() {
                checkpoint.origin.clone()
            } else {
                key.name.clone()
            },
            key: key.key,
        })
        .collect();
    let signed = parsed.signed(&named)?;
    if signed.logs.is_empty() && signed.cosigned.is_empty() {
        return Err(CheckpointError::Unsigned);
    }
    Ok((checkpoint, signed))
}

#[cfg(test)]
mod tests;
