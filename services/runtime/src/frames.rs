//! Reads along with an HTTP/2 connection, to know how much of what its client sends is no call.

use std::ops::ControlFlow;

/// What a client says first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes before the payload of a frame (section 4.1): length (24 bits), type, flags, stream.
const HEADER_BYTES: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const END_STREAM: u8 = 1;
/// Calls that may be under way, or were begun a while ago: as many may be given up.
const CALLS_MAX: u32 = 256;

/// Where in the stream of frames a connection is.
#[derive(Debug)]
pub(crate) struct Frames {
    place: Place,
    /// Calls that were begun and not given up.
    calls: u32,
}

#[derive(Debug)]
enum Place {
    /// So much of the preface came.
    Preface(usize),
    /// So much of a frame's header came.
    Header([u8; HEADER_BYTES], usize),
    /// So much of its payload is to come.
    Payload(usize),
    /// It is no plain HTTP/2: with TLS, a client has shown a certificate.
    Unknown,
}

impl Frames {
    pub(crate) fn new() -> Self {
        Self {
            place: Place::Preface(0),
            calls: 0,
        }
    }

    /// How many frames whose headers end in these bytes, the next that came, are no call, nor its data: settings, pings, resets,
    /// windows, headers that go on, empty data. Who begins a call may give it up: somebody behind a proxy who hangs up is no flood.
    pub(crate) fn note(&mut self, mut bytes: &[u8]) -> u32 {
        let mut beside: u32 = 0;
        while !bytes.is_empty() {
            let ControlFlow::Continue((rest, is_beside)) = self.step(bytes) else {
                self.place = Place::Unknown;
                break;
            };
            bytes = rest;
            beside = beside.saturating_add(is_beside.into());
        }
        beside
    }

    /// Takes what belongs together; the rest, and whether that was the header of a frame beside calls.
    fn step<'b>(&mut self, bytes: &'b [u8]) -> ControlFlow<(), (&'b [u8], bool)> {
        let (rest, is_beside) = match &mut self.place {
            Place::Unknown => return ControlFlow::Break(()),
            Place::Preface(came) => {
                let wanted = PREFACE.get(*came..).unwrap_or_default();
                let (now, rest) = split(bytes, wanted.len());
                if !wanted.starts_with(now) {
                    return ControlFlow::Break(());
                }
                *came = came.saturating_add(now.len());
                if *came == PREFACE.len() {
                    self.place = Place::Header([0; HEADER_BYTES], 0);
                }
                (rest, false)
            }
            Place::Header(header, came) => {
                let missing = header.get_mut(*came..).unwrap_or_default();
                let (now, rest) = split(bytes, missing.len());
                for (to, from) in missing.iter_mut().zip(now) {
                    *to = *from;
                }
                *came = came.saturating_add(now.len());
                let mut is_beside = false;
                if *came == HEADER_BYTES {
                    let header = *header;
                    is_beside = self.begin(header);
                }
                (rest, is_beside)
            }
            Place::Payload(left) => {
                let (now, rest) = split(bytes, *left);
                let left = left.saturating_sub(now.len());
                self.place = Self::behind(left);
                (rest, false)
            }
        };
        ControlFlow::Continue((rest, is_beside))
    }

    /// A header is whole; whether its frame is beside calls.
    fn begin(&mut self, header: [u8; HEADER_BYTES]) -> bool {
        let [high, middle, low, kind, flags, ..] = header;
        let length = u32::from_be_bytes([0, high, middle, low]);
        self.place = Self::behind(usize::try_from(length).unwrap_or(usize::MAX));
        match kind {
            HEADERS => {
                self.calls = self.calls.saturating_add(1).min(CALLS_MAX);
                false
            }
            RESET => {
                let given_up = self.calls.checked_sub(1);
                self.calls = given_up.unwrap_or(0);
                given_up.is_none()
            }
            DATA => length == 0 && flags & END_STREAM == 0,
            _ => true,
        }
    }

    fn behind(left: usize) -> Place {
        match left {
            0 => Place::Header([0; HEADER_BYTES], 0),
            left => Place::Payload(left),
        }
    }
}

fn split(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at_checked(at).unwrap_or((bytes, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags, 0, 0, 0, 1]);
        frame.extend(payload);
        frame
    }

    #[test]
    fn frames_beside_calls_are_counted_however_they_are_cut() {
        let settings = frame(4, 0, &[]);
        let call = [frame(HEADERS, 4, &[1; 300]), frame(DATA, 1, &[2; 70])].concat();
        let goes_on = [frame(HEADERS, 0, &[1; 9]), frame(9, 0, &[1; 1000])].concat();
        let cases = [
            (vec![], 0),
            (settings.clone(), 1),
            (call.clone(), 0),
            ([call.clone(), frame(RESET, 0, &[0; 4])].concat(), 0),
            (
                [call.clone(), frame(RESET, 0, &[0; 4]).repeat(3)].concat(),
                2,
            ),
            (frame(RESET, 0, &[0; 4]), 1),
            ([frame(6, 0, &[4; 8]), call.clone(), settings].concat(), 2),
            ([frame(8, 0, &[4; 4]), frame(99, 0, b"?")].concat(), 2),
            (goes_on, 1),
            ([frame(DATA, 1, &[]), frame(DATA, 0, &[])].concat(), 1),
        ];
        for (frames, beside) in cases {
            let all = [PREFACE, &frames].concat();
            for size in 1..=all.len() {
                let mut noted = Frames::new();
                let counts = all.chunks(size).map(|chunk| noted.note(chunk));
                assert_eq!(counts.sum::<u32>(), beside, "{frames:?} by {size}");
            }
        }
    }

    #[test]
    fn what_is_no_http2_is_not_counted() {
        for bytes in [
            &[0x16, 3, 1, 0, 0, 0, 0, 0, 0, 0][..],
            b"GET / HTTP/1.1\r\n\r\n",
        ] {
            let mut noted = Frames::new();
            assert_eq!(noted.note(bytes), 0);
            assert_eq!(noted.note(&frame(4, 0, &[])), 0);
        }
    }
}
