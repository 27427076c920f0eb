//! Reads along with an HTTP/2 connection, to know how much of what its client sends is no call, or one that it gives up.

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
    /// Calls whose data was not said to end.
    unended: u32,
    /// The highest stream that began a call: the next one's is higher (section 5.1.1).
    stream: u32,
}

/// How many frames came beside calls that are waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Noted {
    /// No call, nor its data: settings, pings, resets, windows, headers that go on, headers that are of no new call, empty data,
    /// ends of data that has ended.
    pub(crate) beside: u32,
    /// Resets that give up a call.
    pub(crate) given_up: u32,
}

/// What a frame is.
#[derive(Clone, Copy)]
enum Kind {
    OfCall,
    Beside,
    GivesUp,
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
            unended: 0,
            stream: 0,
        }
    }

    /// Counts the frames whose headers end in these bytes, the next that came. Who begins a call may give it up: somebody
    /// behind a proxy who hangs up is no flood. But each such call was begun, so that they count apart.
    pub(crate) fn note(&mut self, mut bytes: &[u8]) -> Noted {
        let mut noted = Noted::default();
        while !bytes.is_empty() {
            let ControlFlow::Continue((rest, kind)) = self.step(bytes) else {
                self.place = Place::Unknown;
                break;
            };
            bytes = rest;
            match kind {
                Kind::OfCall => {}
                Kind::Beside => noted.beside = noted.beside.saturating_add(1),
                Kind::GivesUp => noted.given_up = noted.given_up.saturating_add(1),
            }
        }
        noted
    }

    /// Takes what belongs together; the rest, and of what kind the frame is whose header that ended.
    fn step<'b>(&mut self, bytes: &'b [u8]) -> ControlFlow<(), (&'b [u8], Kind)> {
        let (rest, kind) = match &mut self.place {
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
                (rest, Kind::OfCall)
            }
            Place::Header(header, came) => {
                let missing = header.get_mut(*came..).unwrap_or_default();
                let (now, rest) = split(bytes, missing.len());
                for (to, from) in missing.iter_mut().zip(now) {
                    *to = *from;
                }
                *came = came.saturating_add(now.len());
                let mut kind = Kind::OfCall;
                if *came == HEADER_BYTES {
                    let header = *header;
                    kind = self.begin(header);
                }
                (rest, kind)
            }
            Place::Payload(left) => {
                let (now, rest) = split(bytes, *left);
                let left = left.saturating_sub(now.len());
                self.place = Self::behind(left);
                (rest, Kind::OfCall)
            }
        };
        ControlFlow::Continue((rest, kind))
    }

    /// A header is whole: of what kind its frame is.
    fn begin(&mut self, header: [u8; HEADER_BYTES]) -> Kind {
        let [high, middle, low, kind, flags, stream @ ..] = header;
        let length = u32::from_be_bytes([0, high, middle, low]);
        // The highest bit means nothing.
        let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
        self.place = Self::behind(usize::try_from(length).unwrap_or(usize::MAX));
        match kind {
            HEADERS if stream > self.stream => {
                self.stream = stream;
                self.calls = self.calls.saturating_add(1).min(CALLS_MAX);
                if flags & END_STREAM == 0 {
                    self.unended = self.unended.saturating_add(1);
                }
                Kind::OfCall
            }
            // No client of gRPC sends trailers, and of a call that was answered without being heard out they are read and thrown away
            // without end.
            HEADERS => Kind::Beside,
            RESET => match self.calls.checked_sub(1) {
                Some(calls) => {
                    self.calls = calls;
                    Kind::GivesUp
                }
                None => Kind::Beside,
            },
            // It ends once.
            DATA if flags & END_STREAM != 0 => match self.unended.checked_sub(1) {
                Some(unended) => {
                    self.unended = unended;
                    Kind::OfCall
                }
                None => Kind::Beside,
            },
            // How many small ones there may be is the HTTP/2 library's to say.
            DATA if length > 0 => Kind::OfCall,
            _ => Kind::Beside,
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
        frame_of(1, kind, flags, payload)
    }

    fn frame_of(stream: u32, kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        frame
    }

    #[test]
    fn frames_beside_calls_are_counted_however_they_are_cut() {
        let settings = frame(4, 0, &[]);
        let call = [frame(HEADERS, 4, &[1; 300]), frame(DATA, 1, &[2; 70])].concat();
        let reset = |times| frame(RESET, 0, &[0; 4]).repeat(times);
        let next = frame_of(3, HEADERS, 5, &[1; 9]);
        let other = [frame_of(3, HEADERS, 4, &[1; 9]), frame_of(3, DATA, 1, &[])].concat();
        let trailers = |times| frame(HEADERS, 5, &[1]).repeat(times);
        let goes_on = [frame(HEADERS, 0, &[1; 9]), frame(9, 0, &[1; 1000])].concat();
        let cases = [
            (vec![], 0, 0),
            (settings.clone(), 1, 0),
            (call.clone(), 0, 0),
            ([call.clone(), reset(1)].concat(), 0, 1),
            ([call.clone(), reset(3)].concat(), 2, 1),
            (
                [call.clone(), reset(1), next.clone(), reset(1)].concat(),
                0,
                2,
            ),
            // Trailers are no call more, and neither is data behind the end.
            ([call.clone(), call.clone(), reset(2)].concat(), 3, 1),
            ([call.clone(), trailers(3)].concat(), 3, 0),
            ([call.clone(), next.clone(), trailers(3)].concat(), 3, 0),
            ([call.clone(), other, frame(DATA, 1, b"!")].concat(), 1, 0),
            (reset(1), 1, 0),
            (
                [frame(6, 0, &[4; 8]), call.clone(), settings].concat(),
                2,
                0,
            ),
            ([frame(8, 0, &[4; 4]), frame(99, 0, b"?")].concat(), 2, 0),
            (goes_on, 1, 0),
            ([call.clone(), frame(DATA, 0, &[])].concat(), 1, 0),
            ([frame(DATA, 1, &[]), frame(DATA, 0, &[])].concat(), 2, 0),
        ];
        for (frames, beside, given_up) in cases {
            let all = [PREFACE, &frames].concat();
            for size in 1..=all.len() {
                let mut noted = Frames::new();
                let counts: Vec<Noted> = all.chunks(size).map(|chunk| noted.note(chunk)).collect();
                let sum = |of: fn(&Noted) -> u32| counts.iter().map(of).sum::<u32>();
                let sums = (sum(|noted| noted.beside), sum(|noted| noted.given_up));
                assert_eq!(sums, (beside, given_up), "{frames:?} by {size}");
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
            assert_eq!(noted.note(bytes), Noted::default());
            assert_eq!(noted.note(&frame(4, 0, &[])), Noted::default());
        }
    }
}
